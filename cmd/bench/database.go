package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf"
	"github.com/hotshelf/hotshelf/embedded"
)

// database is the private PostgreSQL of a bench, with the settings that it has
// for everyone.
type database struct {
	dir        string
	server     *embedded.Server
	conn       *pgx.Conn
	postmaster int // 0 where it can't be told
}

// startDatabase starts one in dir, with hotshelf's schema and no catalogue.
func startDatabase(ctx context.Context, dir string) (*database, error) {
	server, err := embedded.Start(ctx, dir, embedded.Options{})
	if err != nil {
		return nil, err
	}
	d := &database{dir: dir, server: server}
	if err := d.connect(ctx); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

func (d *database) connect(ctx context.Context) (err error) {
	if d.conn, err = pgx.Connect(ctx, d.server.URL()); err != nil {
		return fmt.Errorf("connect to the bench's PostgreSQL: %w", err)
	}
	if err := d.exec(ctx, hotshelf.Schema); err != nil {
		return err
	}
	backend, ok := readProcess(int(d.conn.PgConn().PID()))
	if ok {
		d.postmaster = backend.parent
	}
	return nil
}

func (d *database) stop() error {
	if d.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = d.conn.Close(ctx) // the server ends it otherwise
	}
	return d.server.Stop()
}

// resetSettings takes back what a suite has set for itself.
const resetSettings = `alter system reset all`

// restart stops PostgreSQL and starts it again. Its URL stays.
func (d *database) restart(ctx context.Context) (err error) {
	if err := d.stop(); err != nil {
		return err
	}
	if d.server, err = embedded.Start(ctx, d.dir, embedded.Options{}); err != nil {
		return err
	}
	return d.connect(ctx)
}

// pin holds PostgreSQL, with the processes that it will start, to some CPUs.
func (d *database) pin(cpus []int) error {
	for _, pid := range family(d.postmaster) {
		if err := pin(pid, cpus); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// exec runs statements.
func (d *database) exec(ctx context.Context, script string) error {
	if _, err := d.conn.PgConn().Exec(ctx, script).ReadAll(); err != nil {
		first, _, _ := strings.Cut(script, "\n")
		return fmt.Errorf("%s: %w", first, err)
	}
	return nil
}

// text asks for one column of texts.
func (d *database) text(ctx context.Context, sql string, args ...any) ([]string, error) {
	rows, err := d.conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// settingNames are the settings that matter to the figures of a load.
var settingNames = []string{"autovacuum", "autovacuum_naptime", "checkpoint_timeout", "fsync", "full_page_writes", "maintenance_work_mem",
	"max_wal_size", "shared_buffers", "synchronous_commit", "wal_compression", "wal_level", "work_mem"}

// about returns the server's version, and its settings by name.
func (d *database) about(ctx context.Context) (version string, settings map[string]string, err error) {
	if err := d.conn.QueryRow(ctx, `select current_setting('server_version')`).Scan(&version); err != nil {
		return "", nil, fmt.Errorf("ask PostgreSQL for its version: %w", err)
	}
	version, _, _ = strings.Cut(version, " ") // a distribution's own follows
	settings = make(map[string]string)
	for _, name := range settingNames {
		var value string
		if err := d.conn.QueryRow(ctx, `select current_setting($1)`, name).Scan(&value); err != nil {
			return "", nil, fmt.Errorf("ask PostgreSQL for its setting %s: %w", name, err)
		}
		settings[name] = value
	}
	return version, settings, nil
}

// cpu is the CPU time that the server has used so far; 0 where the system does
// not tell.
func (d *database) cpu() time.Duration {
	if d.postmaster == 0 {
		return 0
	}
	return familyCPU(d.postmaster)
}

// walBytes is how much was ever written to the write-ahead log.
func (d *database) walBytes(ctx context.Context) (n int64, err error) {
	err = d.conn.QueryRow(ctx, `select (pg_current_wal_lsn() - '0/0')::bigint`).Scan(&n)
	return n, err
}

// tables are those of the catalogue in the order of their references, with
// the file that each is filled from.
var tables = []struct{ name, file string }{
	{"products", "product.csv"}, {"features", "features.csv"}, {"styles", "styles.csv"},
	{"related", "related.csv"}, {"photos", "photos.csv"}, {"skus", "skus.csv"},
}

// counts returns how many rows each table of a schema has, by its file.
func (d *database) counts(ctx context.Context, schema string) (map[string]int64, error) {
	counts := make(map[string]int64)
	for _, t := range tables {
		var n int64
		if err := d.conn.QueryRow(ctx, `select count(*) from `+schema+`.`+t.name).Scan(&n); err != nil {
			return nil, fmt.Errorf("count the table %s.%s: %w", schema, t.name, err)
		}
		counts[t.file] = n
	}
	return counts, nil
}

// All that tells two schemas of tables apart: columns, keys and whether they
// were checked, indexes, whether tables are logged, and statistics. With
// search_path on the schema, its name is not in the definitions.
const describeSchema = `
with t as (select oid, relname, relpersistence, reloptions from pg_class
           where relnamespace = $1::regnamespace and relkind = 'r')
select relname || ': ' || relpersistence::text || coalesce(reloptions::text, '') from t
union all select relname || ': ' || attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull::text || ' ' || attcompression::text || attstorage::text
  from t join pg_attribute on attrelid = t.oid where attnum > 0 and not attisdropped
union all select relname || ': ' || conname || ' ' || pg_get_constraintdef(c.oid) || ' ' || convalidated::text
  from t join pg_constraint c on conrelid = t.oid
union all select relname || ': ' || pg_get_indexdef(indexrelid, 0, true) || ' ' || indisvalid::text
  from t join pg_index on indrelid = t.oid
order by 1`

const selectStatistics = `
select relname::text from pg_class
where relnamespace = $1::regnamespace and relkind = 'r'
  and not exists (select from pg_statistic where starelid = pg_class.oid) order by 1`

// sameAs fails where the tables of a schema are not defined as those of the
// schema model are, or have no statistics.
func (d *database) sameAs(ctx context.Context, model, schema string) error {
	want, err := d.describe(ctx, model)
	if err != nil {
		return err
	}
	got, err := d.describe(ctx, schema)
	if err != nil {
		return err
	}
	var faults []string
	for _, line := range want {
		if !slices.Contains(got, line) {
			faults = append(faults, "without "+line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			faults = append(faults, "with "+line)
		}
	}
	bare, err := d.text(ctx, selectStatistics, schema)
	if err != nil {
		return fmt.Errorf("look for the statistics of %s: %w", schema, err)
	}
	for _, table := range bare {
		faults = append(faults, "without statistics of "+table)
	}
	if len(faults) > 0 {
		return fmt.Errorf("the schema %s is not as %s is: %s", schema, model, strings.Join(faults, "; "))
	}
	return nil
}

func (d *database) describe(ctx context.Context, schema string) ([]string, error) {
	if err := d.exec(ctx, `set search_path = `+schema); err != nil {
		return nil, err
	}
	lines, err := d.text(ctx, describeSchema, schema)
	if err != nil {
		return nil, fmt.Errorf("describe the schema %s: %w", schema, err)
	}
	return lines, d.exec(ctx, `reset search_path`)
}
