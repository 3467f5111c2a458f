package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	// One transaction, so that a killed load leaves either the old load or none.
	createCatalogNext = `
update hotshelf.catalogue set next_source = null, next_loaded_at = null;
drop schema if exists catalog_next cascade;
create schema catalog_next`
	dropCatalogNext = `drop schema if exists catalog_next cascade`

	sizeOfCatalogNext = `
select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'catalog_next' and c.relkind = 'r'`

	// The live table is the pattern; keys and indexes come once it is full.
	createNextTable = `create table catalog_next.%[1]s (like catalog.%[1]s including all excluding indexes)`

	// Rows copied into a table that this transaction truncated can be frozen
	// at once, which saves rewriting them when they are first read.
	truncateNextTable = `truncate catalog_next.%s`
	copyNextTable     = `copy catalog_next.%s from stdin (format binary, freeze)`

	// With search_path on the live schema, the definitions come out without
	// its name, and mean the other schema when search_path is there.
	selectKeys = `
select conname, contype::text, pg_get_constraintdef(oid, true)
from pg_constraint where conrelid = to_regclass($1) and contype in ('p', 'f') order by contype desc, conname`

	selectIndexes = `
select pg_get_indexdef(indexrelid, 0, true)
from pg_index where indrelid = to_regclass($1) and not indisprimary order by indexrelid`

	markLoaded = `update hotshelf.catalogue set next_source = $1, next_loaded_at = now()`
)

// Load is a catalogue that is being loaded into catalog_next. Nothing live
// changes. It holds the maintenance lock until Close.
type Load struct {
	db       *DB
	lock     *pgx.Conn
	finished bool
}

// BeginLoad sets the database up where that is still to be done, drops what an
// earlier load left, and makes empty tables.
//
// Before anything changes, hasRoom is asked whether there is room for the load
// besides the bytes that the earlier load's tables give back.
func (db *DB) BeginLoad(ctx context.Context, hasRoom func(givenBack int64) error) (*Load, error) {
	lock, err := db.lockMaintenance(ctx)
	if err != nil {
		return nil, err
	}
	var leftover int64
	if err = lock.QueryRow(ctx, sizeOfCatalogNext).Scan(&leftover); err != nil {
		err = fmt.Errorf("measure what an earlier load left: %w", classify(err))
	} else {
		err = hasRoom(leftover)
	}
	if err != nil {
		unlockMaintenance(lock)
		return nil, err
	}
	l := &Load{db: db, lock: lock}
	if err := l.prepare(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Load) prepare(ctx context.Context) error {
	if err := ensureSchema(ctx, l.lock); err != nil {
		return err
	}
	script := createCatalogNext
	for _, t := range tables {
		script += ";\n" + fmt.Sprintf(createNextTable, t.name)
	}
	if _, err := l.lock.PgConn().Exec(ctx, script).ReadAll(); err != nil {
		return fmt.Errorf("make the tables of the load: %w", classify(err))
	}
	return nil
}

// Table opens a table for filling, by its name in schema.sql. A table can be
// filled once; different tables can be filled side by side.
func (l *Load) Table(ctx context.Context, name string) (*TableWriter, error) {
	for _, t := range tables {
		if t.name == name {
			return l.open(ctx, t)
		}
	}
	return nil, fmt.Errorf("there is no table %q", name)
}

func (l *Load) open(ctx context.Context, t table) (*TableWriter, error) {
	conn, err := l.db.worker(ctx)
	if err != nil {
		return nil, err
	}
	script := "begin; " + fmt.Sprintf(truncateNextTable, t.name)
	if _, err := conn.PgConn().Exec(ctx, script).ReadAll(); err != nil {
		closeConn(conn)
		return nil, fmt.Errorf("fill the table %s: %w", t.name, classify(err))
	}
	return &TableWriter{table: t, conn: conn, copy: startCopy(ctx, conn, fmt.Sprintf(copyNextTable, t.name), 0)}, nil
}

// Finish adds keys, foreign keys, indexes and statistics to the full tables,
// checks that each holds as many rows as counts says, and marks the load as
// complete: warm can publish it. The source is "sample" or "import".
func (l *Load) Finish(ctx context.Context, source string, counts map[string]int64) error {
	all, err := liveDefinitions(ctx, l.lock)
	if err != nil {
		return fmt.Errorf("read the definitions of the live tables: %w", classify(err))
	}
	err = l.db.inNext(ctx, "catalog_next", all, func(d definition) []string { return append(d.indexes, d.primary...) })
	if err != nil {
		return err
	}
	// A foreign key locks both of its tables, so these go one by one, without
	// looking at the rows; the check of the rows locks nobody out.
	for _, d := range all {
		if err := l.db.inNext(ctx, "catalog_next", []definition{d}, func(d definition) []string { return d.foreign }); err != nil {
			return err
		}
	}
	err = l.db.inNext(ctx, "catalog_next", all, func(d definition) []string { return append(d.validate, "analyze "+d.table) })
	if err != nil {
		return err
	}
	for _, t := range tables {
		var n int64
		if err := l.lock.QueryRow(ctx, `select count(*) from catalog_next.`+t.name).Scan(&n); err != nil {
			return fmt.Errorf("count the table %s: %w", t.name, classify(err))
		}
		if n != counts[t.name] {
			return fmt.Errorf("the table %s holds %d rows, but %d were loaded", t.name, n, counts[t.name])
		}
	}
	if _, err := l.lock.Exec(ctx, markLoaded, source); err != nil {
		return fmt.Errorf("mark the load as complete: %w", classify(err))
	}
	l.finished = true
	return nil
}

// Close gives up the maintenance lock. A load that was not finished goes.
func (l *Load) Close() {
	if !l.finished && !l.lock.IsClosed() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, _ = l.lock.Exec(ctx, dropCatalogNext)
	}
	unlockMaintenance(l.lock)
}

// definition is what a live table has besides its columns, as statements that
// give the same to its twin in the schema that search_path names.
type definition struct {
	table    string
	primary  []string
	indexes  []string
	foreign  []string
	validate []string
}

// liveDefinitions reads the definitions of the tables of catalog, the largest
// first: that one takes longest.
func liveDefinitions(ctx context.Context, conn *pgx.Conn) ([]definition, error) {
	if _, err := conn.Exec(ctx, `set search_path = catalog`); err != nil {
		return nil, err
	}
	var all []definition
	for i := range tables {
		d, err := liveDefinition(ctx, conn, tables[len(tables)-1-i].name)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	_, err := conn.Exec(ctx, `reset search_path`)
	return all, err
}

func liveDefinition(ctx context.Context, conn *pgx.Conn, table string) (definition, error) {
	d := definition{table: table}
	rows, err := conn.Query(ctx, selectKeys, table)
	if err != nil {
		return d, err
	}
	var name, kind, text string
	_, err = pgx.ForEachRow(rows, []any{&name, &kind, &text}, func() error {
		add := "alter table " + table + " add constraint " + name + " " + text
		if kind == "p" {
			d.primary = append(d.primary, add)
		} else {
			d.foreign = append(d.foreign, add+" not valid")
			d.validate = append(d.validate, "alter table "+table+" validate constraint "+name)
		}
		return nil
	})
	if err != nil {
		return d, err
	}
	rows, err = conn.Query(ctx, selectIndexes, table)
	if err != nil {
		return d, err
	}
	d.indexes, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return d, err
}

// inNext runs statements for some tables, side by side, with search_path on
// the schema next.
func (db *DB) inNext(ctx context.Context, next string, all []definition, statements func(definition) []string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(3)
	for _, d := range all {
		g.Go(func() error {
			conn, err := db.worker(ctx)
			if err != nil {
				return err
			}
			defer closeConn(conn)
			for _, sql := range append([]string{"set search_path = " + next}, statements(d)...) {
				if _, err := conn.Exec(ctx, sql); err != nil {
					return fmt.Errorf("finish the table %s: %w", d.table, classify(err))
				}
			}
			return nil
		})
	}
	return g.Wait()
}
