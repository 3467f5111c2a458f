package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// copySchema is where psql puts the rows.
const copySchema = "bench_copy"

// copyStyle is a way to load the files with psql's \copy.
type copyStyle int

const (
	// One psql, table by table, as one would write it down.
	plainCopy copyStyle = iota
	// The same, but each table is truncated and filled in one transaction, with
	// FREEZE. At wal_level minimal its rows then bypass the write-ahead log, as
	// those of hotshelf's load do.
	frozenCopy
	// Frozen, and up to three psql side by side in the waves of hotshelf's load.
	besideCopy
)

func (s copyStyle) String() string {
	return [...]string{`psql \copy`, `psql \copy, frozen`, `psql \copy, frozen, 3 side by side`}[s]
}

// definition is what a table of catalog has besides its columns, as statements
// that give the same to its twin in the schema that search_path names.
type definition struct {
	table   string
	keys    []string // primary key and indexes
	foreign []string // "alter table … add …", one for each foreign key
	names   []string // of the foreign keys
}

const (
	selectPrimary = `
select 'alter table ' || $1 || ' add constraint ' || conname || ' ' || pg_get_constraintdef(oid, true)
from pg_constraint where conrelid = to_regclass($1) and contype = 'p'`
	selectIndexes = `
select pg_get_indexdef(indexrelid, 0, true)
from pg_index where indrelid = to_regclass($1) and not indisprimary order by indexrelid`
	selectForeign = `
select 'alter table ' || $1 || ' add constraint ' || conname || ' ' || pg_get_constraintdef(oid, true)
from pg_constraint where conrelid = to_regclass($1) and contype = 'f' order by conname`
	selectForeignNames = `
select conname::text from pg_constraint where conrelid = to_regclass($1) and contype = 'f' order by conname`
)

// definitions reads the definitions of the tables of catalog.
func (d *database) definitions(ctx context.Context) ([]definition, error) {
	if err := d.exec(ctx, `set search_path = catalog`); err != nil {
		return nil, err
	}
	all := make([]definition, len(tables))
	for i, t := range tables {
		def := definition{table: t.name}
		for _, q := range []struct {
			sql  string
			into *[]string
		}{{selectPrimary, &def.keys}, {selectIndexes, &def.keys}, {selectForeign, &def.foreign}, {selectForeignNames, &def.names}} {
			lines, err := d.text(ctx, q.sql, t.name)
			if err != nil {
				return nil, fmt.Errorf("read the definition of the table %s: %w", t.name, err)
			}
			*q.into = append(*q.into, lines...)
		}
		all[i] = def
	}
	return all, d.exec(ctx, `reset search_path`)
}

// copySession has the settings that hotshelf's load makes for its connections.
const copySession = `
set maintenance_work_mem = '64MB';
set work_mem = '32MB';
set search_path = ` + copySchema + `;
`

// script is what one psql reads.
func script(statements ...string) string {
	return copySession + strings.Join(statements, ";\n") + ";\n"
}

// copySteps are the scripts that load the files of dir in a style. The scripts
// of a step may run side by side, the steps follow one another.
func copySteps(style copyStyle, defs []definition, dir string) [][]string {
	create := "create schema " + copySchema
	for _, t := range tables {
		create += fmt.Sprintf(";\ncreate table %[1]s (like catalog.%[1]s including all excluding indexes)", t.name)
	}
	fills := make(map[string]string)
	for _, t := range tables {
		fills[t.name] = fill(style, t.name, filepath.Join(dir, t.file))
	}
	if style != besideCopy {
		all := []string{create}
		for _, t := range tables {
			all = append(all, fills[t.name])
		}
		for _, d := range defs {
			all = append(all, d.keys...)
		}
		for _, d := range defs {
			all = append(all, d.foreign...)
		}
		for _, d := range defs {
			all = append(all, "analyze "+d.table)
		}
		return [][]string{{script(all...)}}
	}

	steps := [][]string{
		{script(create, fills["products"])},
		{script(fills["related"]), script(fills["styles"]), script(fills["features"])},
		{script(fills["skus"]), script(fills["photos"])},
	}
	var keys, foreign, checks []string
	for i := range defs {
		d := defs[len(defs)-1-i] // the largest first
		keys = append(keys, script(d.keys...))
		for _, add := range d.foreign {
			foreign = append(foreign, add+" not valid")
		}
		var check []string
		for _, name := range d.names {
			check = append(check, "alter table "+d.table+" validate constraint "+name)
		}
		checks = append(checks, script(append(check, "analyze "+d.table)...))
	}
	return append(steps, keys, []string{script(foreign...)}, checks)
}

// fill copies one file. A backslash command ends with its line, so what follows
// it begins a new one; the semicolon that script adds after it is harmless.
func fill(style copyStyle, table, path string) string {
	command := `\copy ` + table + ` from ` + quote(path) + ` with (format csv, header, null 'null'`
	if style == plainCopy {
		return command + ")\n"
	}
	return "begin;\ntruncate " + table + ";\n" + command + ", freeze)\ncommit"
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// besideLimit is how many psql run side by side, as many as hotshelf's load
// uses connections for keys and indexes.
const besideLimit = 3

// runSteps runs the scripts and returns what all psql together took, except for
// peak, which is that of the largest.
func runSteps(ctx context.Context, psql, url string, steps [][]string) (usage, error) {
	var total usage
	for _, scripts := range steps {
		used := make([]usage, len(scripts))
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(besideLimit)
		for i, text := range scripts {
			g.Go(func() (err error) {
				used[i], err = runPsql(ctx, psql, url, text, nil)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return total, err
		}
		for _, u := range used {
			total.cpu += u.cpu
			total.peak = max(total.peak, u.peak)
		}
	}
	return total, nil
}

// runPsql runs a script in one psql, on some CPUs or, with nil, on any.
func runPsql(ctx context.Context, psql, url, script string, cpus []int) (usage, error) {
	args := []string{"-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url}
	return program{path: psql, args: args, input: script, cpus: cpus}.run(ctx)
}

// timeLimit bounds one run of so many products: far more than any should take.
func timeLimit(products int64) time.Duration {
	return 2*time.Minute + time.Duration(products)*time.Millisecond
}
