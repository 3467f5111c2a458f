package store

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf"
	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/embedded/embedtest"
)

var pg embedtest.Server

func TestMain(m *testing.M) { os.Exit(pg.Run(m)) }

func open(t *testing.T, url string) *DB {
	t.Helper()
	db, err := Open(t.Context(), url, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// TestReadyConnections: they are there before anybody needs them, or as many as
// the pool may have.
func TestReadyConnections(t *testing.T) {
	for _, tc := range []struct {
		ready int32
		limit string
		want  int64
	}{{3, "4", 3}, {3, "2", 1}} {
		db, err := Open(t.Context(), pg.Database(t)+"&pool_max_conns="+tc.limit, "test", tc.ready)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		for end := time.Now().Add(20 * time.Second); db.PoolStats().Idle < tc.want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%+v, want %d idle", db.PoolStats(), tc.want)
			}
		}
	}
}

func anyRoom(int64) error { return nil }

// fill loads products with the given ids, each related to the first one, and
// leaves the load waiting for a publish.
func fill(t *testing.T, db *DB, ids ...int64) {
	t.Helper()
	load, err := db.BeginLoad(t.Context(), anyRoom)
	if err != nil {
		t.Fatal(err)
	}
	defer load.Close()
	counts := fillTables(t, load, ids)
	if err := load.Finish(t.Context(), "import", counts); err != nil {
		t.Fatal(err)
	}
}

func fillTables(t *testing.T, load *Load, ids []int64) map[string]int64 {
	t.Helper()
	counts := make(map[string]int64)
	for _, table := range tables {
		w, err := load.Table(t.Context(), table.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			w.Int(id)
			switch table.name {
			case "products":
				w.Text([]byte("name"))
				w.Text([]byte("slogan"))
				w.Text([]byte("description"))
				w.Text([]byte("category"))
				w.Price(blob.Price(id))
			case "features":
				w.Int(id)
				w.Text([]byte("Fabric"))
				w.Null()
			case "styles":
				w.Int(id)
				w.Text([]byte("style"))
				w.Null()
				w.Price(blob.MaxPrice)
				w.Bool(true)
			case "related":
				w.Int(id)
				w.Int(ids[0])
			case "photos":
				w.Int(id)
				w.Text([]byte("https://images.example.com/1"))
				w.Text([]byte(""))
			case "skus":
				w.Int(id)
				w.Text([]byte("7.5"))
				w.Int(12)
			}
			if err := w.EndRow(); err != nil {
				t.Fatal(err)
			}
		}
		if counts[table.name], err = w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return counts
}

func beginWarm(t *testing.T, db *DB) *Warm {
	t.Helper()
	w, err := db.BeginWarm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func openWriter(t *testing.T, w *Warm) *ShelfWriter {
	t.Helper()
	writer, err := w.Writer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return writer
}

func openReader(t *testing.T, w *Warm) *RowReader {
	t.Helper()
	r, err := w.Reader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// publish builds a shelf by hand, the products' version and hash included, and
// takes back what was written through the API.
func publish(t *testing.T, db *DB) int64 {
	t.Helper()
	w := beginWarm(t, db)
	defer w.Close()
	shelf := openWriter(t, w)
	reader := openReader(t, w)
	put := int64(0)
	for {
		lo, hi, _, err := w.NextRange(t.Context(), 3)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		rows, err := reader.Rows(t.Context(), "products", lo, hi)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var b blob.Blobs
			blob.Build(&b, &blob.Product{ID: rows.Int(0), DefaultPrice: rows.Price(5)}, blob.Pulsar)
			if err := shelf.Put(rows.Int(0), w.Version, b.Hash(), blob.Pulsar, &b); err != nil {
				t.Fatal(err)
			}
			put++
		}
	}
	reader.Close()
	if err := shelf.Close(); err != nil {
		t.Fatal(err)
	}
	done, err := w.Publish(t.Context(), Publication{Whole: true, Put: put, Everything: true, DiscardWrites: true})
	if err != nil {
		t.Fatal(err)
	}
	return done.Generation
}

func query[T any](t *testing.T, db *DB, sql string, args ...any) []T {
	t.Helper()
	rows, err := db.pool.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%v in %s", err, sql)
	}
	return all
}

const describe = `
select format('%s %s %s', c.relname, k.conname, pg_get_constraintdef(k.oid, true)) as line
from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1
union all
select format('%s %s', c.relname, replace(pg_get_indexdef(i.indexrelid), n.nspname || '.', ''))
from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1
union all
select format('%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attcompression)
from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and a.attnum > 0 and c.relkind = 'r'
order by line`

func describeSchema(t *testing.T, db *DB, schema string) string {
	t.Helper()
	text := strings.Join(query[string](t, db, describe, schema), "\n")
	return strings.ReplaceAll(text, schema+".", "")
}

func TestSchemaIsIdempotent(t *testing.T) {
	db := open(t, pg.Database(t))
	for range 2 {
		if _, err := db.pool.Exec(t.Context(), hotshelf.Schema); err != nil {
			t.Fatal(err)
		}
	}
	if n := query[int](t, db, `select count(*)::int from hotshelf.catalogue where schema_version = $1`, hotshelf.SchemaVersion); n[0] != 1 {
		t.Errorf("%d records of schema version %d", n[0], hotshelf.SchemaVersion)
	}
}

// TestNextSchemasEqualLiveOnes: what goes live after a load has the keys,
// indexes and columns that schema.sql gives, under the same names.
func TestNextSchemasEqualLiveOnes(t *testing.T) {
	db := open(t, pg.Database(t))
	if _, err := db.pool.Exec(t.Context(), hotshelf.Schema); err != nil {
		t.Fatal(err)
	}
	catalog, shelf := describeSchema(t, db, "catalog"), describeSchema(t, db, "shelf")
	for _, part := range []string{"skus_style_id_fkey FOREIGN KEY", "related_related_id_idx", "products_pkey PRIMARY KEY", "CHECK (quantity >= 0)"} {
		if !strings.Contains(catalog, part) {
			t.Fatalf("no %q in the definitions of catalog:\n%s", part, catalog)
		}
	}
	for range 2 { // the second time from tables that were made by the first
		fill(t, db, 1, 2, 3)
		publish(t, db)
		if got := describeSchema(t, db, "catalog"); got != catalog {
			t.Errorf("catalog after a publish:\n%s\nbefore:\n%s", got, catalog)
		}
		if got := describeSchema(t, db, "shelf"); got != shelf {
			t.Errorf("shelf after a publish:\n%s\nbefore:\n%s", got, shelf)
		}
	}
	if left := query[string](t, db, `select nspname from pg_namespace where nspname ~ '_next|_old'`); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if n := query[bool](t, db, `select convalidated from pg_constraint where contype = 'f'`); len(n) != 6 {
		t.Errorf("%d foreign keys", len(n))
	} else {
		for _, validated := range n {
			if !validated {
				t.Error("a foreign key was never checked")
			}
		}
	}
}

func TestDatabaseWithoutCatalogue(t *testing.T) {
	db := open(t, pg.Database(t))
	if _, err := db.State(t.Context()); !errors.Is(err, blob.ErrNotReady) {
		t.Errorf("State: %v", err)
	}
	if _, err := db.Lookup(t.Context(), []int64{1}); !errors.Is(err, blob.ErrNotReady) {
		t.Errorf("Lookup: %v", err)
	}
	if n := query[int](t, db, `select count(*)::int from pg_namespace where nspname in ('hotshelf', 'catalog', 'shelf')`); n[0] != 0 {
		t.Error("looking has made schemas")
	}
	if _, err := db.BeginWarm(t.Context()); err == nil || !strings.Contains(err.Error(), "run load first") {
		t.Errorf("BeginWarm: %v", err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	url := pg.Database(t)
	db := open(t, url)
	fill(t, db, 1)
	if _, err := db.pool.Exec(t.Context(), `update hotshelf.catalogue set schema_version = schema_version + 1`); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), url, "test", 0); err == nil || !strings.Contains(err.Error(), "use a newer hotshelf") {
		t.Errorf("Open: %v", err)
	}
	if _, err := db.BeginLoad(t.Context(), anyRoom); err == nil || !strings.Contains(err.Error(), "use a newer hotshelf") {
		t.Errorf("BeginLoad: %v", err)
	}
}

// TestOlderSchema: a database of schema version 1 says so, and the next warm
// brings it up to date with its blobs' contract.
func TestOlderSchema(t *testing.T) {
	db := open(t, pg.Database(t))
	fill(t, db, 1, 2)
	publish(t, db)
	_, err := db.pool.Exec(t.Context(), `
		alter table shelf.blobs drop column contract;
		alter table hotshelf.catalogue drop column feed_floor;
		drop table hotshelf.written;
		update hotshelf.catalogue set schema_version = 1, contract = 'atelier'`)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := db.State(t.Context()); err != nil || !s.OldSchema || s.Generation != 1 {
		t.Errorf("State: %+v, %v", s, err)
	}
	// A node that waits for it is told, though nothing else changes.
	resets := make(chan State, 10)
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	following.Go(func() {
		db.Follow(ctx, 200*time.Millisecond, Node{
			Reset:   func(_ context.Context, s State, _ string) error { resets <- s; return nil },
			Apply:   func(context.Context, blob.Change) error { return nil },
			Current: func(time.Time) {},
			Lost:    func(error) {},
			Deaf:    func(error) {},
		})
	})
	if s := receive(t, resets); !s.OldSchema {
		t.Errorf("a node is told %+v", s)
	}
	if _, err := db.BeginVerify(t.Context()); err == nil || !strings.Contains(err.Error(), "run warm") {
		t.Errorf("BeginVerify: %v", err)
	}
	w, err := db.BeginWarm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	if s, err := db.State(t.Context()); err != nil || s.OldSchema {
		t.Errorf("State: %+v, %v", s, err)
	}
	if s := receive(t, resets); s.OldSchema || s.Generation != 1 {
		t.Errorf("a node is told %+v", s)
	}
	rows, err := db.Lookup(t.Context(), []int64{1, 2})
	if err != nil || len(rows) != 2 || rows[0].Contract != blob.Atelier {
		t.Errorf("Lookup: %+v, %v", rows, err)
	}
}

// TestWorkerCompressesQuickly: page images of load and warm take lz4 where
// PostgreSQL was built with it.
func TestWorkerCompressesQuickly(t *testing.T) {
	conn, err := open(t, pg.Database(t)).worker(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(conn)
	var can bool
	var is string
	err = conn.QueryRow(t.Context(), `
select coalesce('lz4' = any(enumvals), false), setting from pg_settings where name = 'wal_compression'`).Scan(&can, &is)
	if err != nil || can != (is == "lz4") {
		t.Errorf("lz4 is there: %v, setting %q, %v", can, is, err)
	}
}

func TestOpenNamesNoSecret(t *testing.T) {
	for _, url := range []string{
		"postgres://shop:hunter2@127.0.0.1:1/shop",
		"postgres://shop:hunter2@host:port:port/shop",
		"host=127.0.0.1 port=1 user=shop password=hunter2",
	} {
		_, err := Open(t.Context(), url, "test", 0)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than a line: %v", url, err)
		}
		if !strings.Contains(url, "port:port") && !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("%s: %v is not ErrUnavailable", url, err)
		}
	}
}

func TestMaintenanceLockNamesItsHolder(t *testing.T) {
	url := pg.Database(t)
	first, err := Open(t.Context(), url, "load", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	load, err := first.BeginLoad(t.Context(), anyRoom)
	if err != nil {
		t.Fatal(err)
	}
	second := open(t, url)
	for name, begin := range map[string]func() error{
		"load": func() error { _, err := second.BeginLoad(t.Context(), anyRoom); return err },
		"warm": func() error { _, err := second.BeginWarm(t.Context()); return err },
	} {
		if err := begin(); err == nil || !strings.Contains(err.Error(), "hotshelf load (process ") {
			t.Errorf("%s beside a load: %v", name, err)
		}
	}
	load.Close()
	fill(t, second, 1)
}

// TestLoadIsAllOrNothing: a load that fails leaves nothing, and what waited
// before it is gone, as the operator was told.
func TestLoadIsAllOrNothing(t *testing.T) {
	db := open(t, pg.Database(t))
	fill(t, db, 1, 2)
	publish(t, db)

	load, err := db.BeginLoad(t.Context(), anyRoom)
	if err != nil {
		t.Fatal(err)
	}
	counts := fillTables(t, load, []int64{5, 6})
	counts["skus"]++
	if err := load.Finish(t.Context(), "import", counts); err == nil || !strings.Contains(err.Error(), "skus holds 2 rows, but 3 were loaded") {
		t.Errorf("Finish with a wrong count: %v", err)
	}
	load.Close()
	state, err := db.State(t.Context())
	if err != nil || state.LoadWaits || state.Generation != 1 {
		t.Errorf("state %+v, %v", state, err)
	}
	if left := query[string](t, db, `select nspname from pg_namespace where nspname = 'catalog_next'`); len(left) > 0 {
		t.Error("the failed load is still there")
	}
	if ids := query[int64](t, db, `select id from catalog.products order by id`); len(ids) != 2 || ids[0] != 1 {
		t.Errorf("live products: %v", ids)
	}
}

func TestLoadIsCancelled(t *testing.T) {
	db := open(t, pg.Database(t))
	load, err := db.BeginLoad(t.Context(), anyRoom)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w, err := load.Table(ctx, "products")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for err == nil {
		w.Int(1)
		for range 4 {
			w.Text([]byte("text"))
		}
		w.Price(1)
		err = w.EndRow()
	}
	// Either side may be the first to say so.
	if !errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), "canceling statement") {
		t.Errorf("EndRow: %v", err)
	}
	w.Abort()
	load.Close()
	fill(t, db, 1)
}

func TestForeignKeysAreChecked(t *testing.T) {
	db := open(t, pg.Database(t))
	load, err := db.BeginLoad(t.Context(), anyRoom)
	if err != nil {
		t.Fatal(err)
	}
	defer load.Close()
	counts := fillTables(t, load, []int64{1, 2})
	// An orphan that slipped through the reader.
	if _, err := db.pool.Exec(t.Context(), `delete from catalog_next.styles where id = 2`); err != nil {
		t.Fatal(err)
	}
	counts["styles"]--
	if err := load.Finish(t.Context(), "import", counts); err == nil || !strings.Contains(err.Error(), "_style_id_fkey") {
		t.Errorf("Finish with orphans: %v", err)
	}
}
