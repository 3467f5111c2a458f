package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/embedded/embedtest"
)

// catalogue opens a database with the given products published, each related
// to the first.
func catalogue(t *testing.T, ids ...int64) *DB {
	t.Helper()
	db := open(t, pg.Database(t))
	fill(t, db, ids...)
	publish(t, db)
	return db
}

func input(t *testing.T, body string, update bool) *blob.Input {
	t.Helper()
	in, err := blob.ParseInput([]byte(body), update)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// everything is all rows, blobs and feed entries.
func everything(t *testing.T, db *DB) []string {
	t.Helper()
	var all []string
	for _, table := range []string{"catalog.products", "catalog.features", "catalog.styles", "catalog.related", "catalog.photos", "catalog.skus", "shelf.blobs", "hotshelf.feed", "hotshelf.written"} {
		all = append(all, query[string](t, db, `select '`+table+` ' || t::text from `+table+` t order by 1`)...)
	}
	return all
}

func TestWriteRefusals(t *testing.T) {
	db := open(t, pg.Database(t))
	if _, err := db.Delete(t.Context(), 1, nil); !errors.Is(err, blob.ErrNotReady) {
		t.Errorf("without a schema: %v", err)
	}
	fill(t, db, 1, 2, 3)
	if _, err := db.Create(t.Context(), input(t, `{"name":"","category":"","default_price":1}`, false)); !errors.Is(err, blob.ErrNotReady) {
		t.Errorf("before a publish: %v", err)
	}
	publish(t, db)
	before := everything(t, db)
	never := func(int64, int64) bool { return false }
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		write func() (blob.Written, error)
		want  error
	}{
		"no product":           {func() (blob.Written, error) { return db.Update(t.Context(), 9, input(t, `{}`, true), nil) }, blob.ErrNotFound},
		"no product to delete": {func() (blob.Written, error) { return db.Delete(t.Context(), 9, nil) }, blob.ErrNotFound},
		"another's SKU":        {func() (blob.Written, error) { return db.SetQuantity(t.Context(), 1, 2, 5, nil) }, blob.ErrNoSKU},
		"moved on":             {func() (blob.Written, error) { return db.SetQuantity(t.Context(), 1, 1, 5, never) }, blob.ErrMovedOn},
		"delete, moved on":     {func() (blob.Written, error) { return db.Delete(t.Context(), 1, never) }, blob.ErrMovedOn},
		"cancelled":            {func() (blob.Written, error) { return db.Delete(stopped, 1, nil) }, context.Canceled},
	} {
		if _, err := c.write(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := db.Update(t.Context(), 1, input(t, `{"name":"x","related":[2,7,3,8],"styles":[
		{"style_id":1,"name":"","original_price":1},{"style_id":2,"name":"","original_price":1,"skus":[{"id":3,"size":"","quantity":1}]}]}`, true), nil)
	var invalid *blob.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	var at []string
	for _, f := range invalid.Faults {
		at = append(at, f.Pointer)
	}
	if want := []string{"/styles/1/style_id", "/styles/1/skus/0/id", "/related/1", "/related/3"}; !slices.Equal(at, want) {
		t.Errorf("faults at %q, want %q", at, want)
	}
	if after := everything(t, db); !slices.Equal(before, after) {
		t.Error("a refused write has left something")
	}
}

// TestWriteFailures: whatever statement fails, nothing is left; and a COMMIT
// without an answer is reported as that.
func TestWriteFailures(t *testing.T) {
	db := catalogue(t, 1, 2, 3)
	before := everything(t, db)
	in := input(t, `{"name":"x","features":[{"feature":"f"}],"related":[3]}`, true)
	writes := map[string]func() (blob.Written, error){
		"update": func() (blob.Written, error) { return db.Update(t.Context(), 2, in, nil) },
		"stock":  func() (blob.Written, error) { return db.SetQuantity(t.Context(), 2, 2, 5, nil) },
		"delete": func() (blob.Written, error) { return db.Delete(t.Context(), 1, nil) },
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := db.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'planted'; end $$`)
	exec(`create function cut() returns trigger language plpgsql as $$ begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1); return null; end $$`)
	for _, trigger := range []string{
		`create trigger planted before insert on hotshelf.feed for each row execute function refuse()`,
		`create trigger planted before insert on hotshelf.feed for each row execute function cut()`,
		`create constraint trigger planted after insert on hotshelf.feed deferrable initially deferred for each row execute function refuse()`,
		`create constraint trigger planted after insert on hotshelf.feed deferrable initially deferred for each row execute function cut()`,
	} {
		exec(trigger)
		for name, write := range writes {
			done, err := write()
			if err == nil {
				t.Fatalf("%s with %s: no error", name, trigger)
			}
			if errors.Is(err, blob.ErrOutcomeUnknown) && (done.Change.Version != 0 || len(done.Change.Changed) == 0) {
				t.Errorf("%s: an unknown outcome with %+v", name, done.Change)
			}
			cutAtCommit := strings.HasSuffix(trigger, "initially deferred for each row execute function cut()")
			if errors.Is(err, blob.ErrOutcomeUnknown) != cutAtCommit {
				t.Errorf("%s with %s: %v", name, trigger, err)
			}
		}
		exec(`drop trigger planted on hotshelf.feed`)
		if after := everything(t, db); !slices.Equal(before, after) {
			t.Fatalf("%s: a failed write has left something", trigger)
		}
	}
}

// TestCommitWithoutAnswer: a connection that breaks while the database commits
// leaves the outcome unknown, and here the write was made.
func TestCommitWithoutAnswer(t *testing.T) {
	direct := catalogue(t, 1, 2)
	link := embedtest.NewLink(t, direct.pool.Config().ConnString())
	db := open(t, link.URL())
	conn, err := direct.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, sql := range []string{
		`create function held() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(4711); return null; end $$`,
		`create constraint trigger held after insert on hotshelf.feed deferrable initially deferred for each row execute function held()`,
		`select pg_advisory_lock(4711)`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	held := func() int {
		return query[int](t, direct, `select count(*)::int from pg_locks where locktype = 'advisory' and objid = 4711 and not granted`)[0]
	}
	type outcome struct {
		done blob.Written
		err  error
	}
	result := make(chan outcome, 1)
	go func() {
		done, err := db.SetQuantity(t.Context(), 2, 2, 5, nil)
		result <- outcome{done, err}
	}()
	for held() == 0 {
		time.Sleep(time.Millisecond)
	}
	link.Cut()
	got := <-result
	if !errors.Is(got.err, blob.ErrOutcomeUnknown) || got.done.Change.Version != 0 || !slices.Equal(got.done.Change.Changed, []int64{2}) {
		t.Errorf("%+v, %v", got.done.Change, got.err)
	}
	if _, err := conn.Exec(t.Context(), `select pg_advisory_unlock(4711)`); err != nil {
		t.Fatal(err)
	}
	for query[int](t, direct, `select quantity from catalog.skus where id = 2`)[0] != 5 {
		time.Sleep(time.Millisecond)
	}
}

// counter counts statements.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() { c.mu.Lock(); c.n++; c.mu.Unlock() }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.add()
	return ctx
}
func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (c *counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}
func (c *counter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) { c.add() }
func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// TestWritten: what is written through the API is noted, in the write's own
// transaction.
func TestWritten(t *testing.T) {
	db := catalogue(t, 1, 2, 3)
	if _, err := db.SetQuantity(t.Context(), 2, 2, 5, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := db.SetQuantity(t.Context(), 3, 3, 5, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Delete(t.Context(), 3, nil); err != nil {
		t.Fatal(err)
	}
	done, err := db.Create(t.Context(), input(t, `{"name":"","category":"","default_price":1}`, false))
	if err != nil {
		t.Fatal(err)
	}
	got := query[string](t, db, `select product_id || ' ' || deleted from hotshelf.written order by product_id`)
	if want := []string{"2 false", "3 true", fmt.Sprintf("%d false", done.Row.ProductID)}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestWriteToOtherSchema: a database of another version is not written to.
func TestWriteToOtherSchema(t *testing.T) {
	db := catalogue(t, 1, 2)
	if _, err := db.pool.Exec(t.Context(), `update hotshelf.catalogue set schema_version = schema_version + 1`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.SetQuantity(t.Context(), 2, 2, 5, nil); !errors.Is(err, blob.ErrNotReady) {
		t.Errorf("error: %v", err)
	}
}

// TestConcurrentWrites: versions are in commit order and in the feed, each once
// and with all that was written with it, and writes that are refused disturb no
// others.
func TestConcurrentWrites(t *testing.T) {
	db := catalogue(t, 1, 2, 3)
	var wg sync.WaitGroup
	var mu sync.Mutex
	newest := map[int64]blob.Row{}
	told := map[int64][]int64{} // the products of a version
	for n := range 8 {
		wg.Go(func() {
			var last, own int64
			for i := range 20 {
				id := int64(1 + (n+i)%3)
				var done blob.Written
				var err, want error
				switch i % 5 {
				case 0:
					done, err = db.Create(t.Context(), &blob.Input{Name: new(string), Category: new(string), DefaultPrice: new(blob.Price)})
					own = done.Row.ProductID
				case 1:
					done, err = db.SetQuantity(t.Context(), id, id, int64(n*100+i), nil)
				case 2:
					want = blob.ErrNoSKU
					_, err = db.SetQuantity(t.Context(), own, id, 1, nil)
				case 3:
					done, err = db.Update(t.Context(), id, &blob.Input{Features: &[]blob.Feature{{Name: fmt.Sprint(n, i)}}}, nil)
				case 4:
					done, err = db.Delete(t.Context(), own, nil)
				}
				if !errors.Is(err, want) {
					t.Error(err)
					return
				}
				if want != nil {
					continue
				}
				if done.Change.Version <= last {
					t.Errorf("version %d after %d", done.Change.Version, last)
				}
				last = done.Change.Version
				mu.Lock()
				told[last] = append(told[last], done.Row.ProductID)
				if newest[done.Row.ProductID].Version < last {
					newest[done.Row.ProductID] = done.Row
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	feed := query[int64](t, db, `select version from hotshelf.feed where generation = 0 order by xmin::text::bigint`)
	if len(feed) != len(told) || !slices.IsSorted(feed) {
		t.Errorf("%d versions, feed: %v", len(told), feed)
	}
	for _, version := range feed {
		slices.Sort(told[version])
		named := query[int64](t, db, `select id from hotshelf.feed, unnest(changed || removed) id where version = $1 order by id`, version)
		if !slices.Equal(named, told[version]) {
			t.Errorf("version %d wrote %d, the feed says %d", version, told[version], named)
		}
	}
	rows, err := db.Lookup(t.Context(), []int64{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		want := newest[r.ProductID]
		if r.Version != want.Version || r.Hash != want.Hash || !bytes.Equal(blob.AppendWire(nil, r.Styles), blob.AppendWire(nil, want.Styles)) {
			t.Errorf("product %d is at version %d, the newest write at %d", r.ProductID, r.Version, want.Version)
		}
	}
	checkShelf(t, db, 1, 2, 3)
}

// TestUpdateReplacesLists: a list that is given replaces the old one, one that
// is absent stays, and ids that are given are kept.
func TestUpdateReplacesLists(t *testing.T) {
	db := catalogue(t, 1, 2)
	f := func(body, want string) {
		t.Helper()
		done, err := db.Update(t.Context(), 2, input(t, body, true), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%s %s %s", done.Row.Detail, done.Row.Styles, done.Row.Related)
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", body, got, want)
		}
	}
	const detail = `{"id":2,"name":"new","slogan":"slogan","category":"category","features":[],"description":"description","default_price":"0.02"} `
	f(`{"name":"new","features":[],"styles":[{"style_id":2,"name":"kept","original_price":5}]}`,
		detail+`{"results":[{"name":"kept","skus":{"7.5":12},"photos":[{"url":"https://images.example.com/1","thumbnail_url":""}],"default?":1,"style_id":2,"sale_price":"0","original_price":"5"}],"product_id":"2"} [1]`)
	f(`{"related":[2,1,2],"styles":[{"style_id":2,"name":"kept","original_price":5,"sale_price":"4.5","photos":[{"url":"u","thumbnail_url":"t"}],"skus":[{"size":"S","quantity":1}]},
		{"name":"new","original_price":6,"skus":[{"id":2,"size":"M","quantity":3}]}]}`,
		detail+`{"results":[{"name":"kept","skus":{"S":1},"photos":[{"url":"u","thumbnail_url":"t"}],"default?":1,"style_id":2,"sale_price":"4.50","original_price":"5"},`+
			`{"name":"new","skus":{"M":3},"photos":[{"url":null,"thumbnail_url":null}],"default?":0,"style_id":3,"sale_price":"0","original_price":"6"}],"product_id":"2"} [2,1,2]`)
	if n := query[int64](t, db, `select style_id from catalog.skus where id = 2`); len(n) != 1 || n[0] != 3 {
		t.Errorf("SKU 2 belongs to %v", n)
	}
	f(`{"styles":[],"related":[]}`, detail+`{"results":[{"name":"","skus":{"null":null},"photos":[{"url":null,"thumbnail_url":null}],"default?":1,"style_id":null,"sale_price":"0","original_price":"0.02"}],"product_id":"2"} []`)
}

// TestProductStaysInBounds: styles that keep their SKUs count too, though the
// body that keeps them does not name them.
func TestProductStaysInBounds(t *testing.T) {
	db := catalogue(t, 1)
	styles := func(kept []int64, fresh int) string {
		var all []string
		for _, id := range kept {
			all = append(all, fmt.Sprintf(`{"style_id":%d,"name":"s","original_price":1}`, id))
		}
		for range fresh {
			skus := strings.TrimSuffix(strings.Repeat(`{"size":"XS","quantity":1},`, 1000), ",")
			all = append(all, `{"name":"s","original_price":1,"skus":[`+skus+`]}`)
		}
		return `{"styles":[` + strings.Join(all, ",") + `]}`
	}
	if _, err := db.Update(t.Context(), 1, input(t, styles(nil, 6), true), nil); err != nil {
		t.Fatal(err)
	}
	kept := query[int64](t, db, `select id from catalog.styles where product_id = 1 order by id`)
	before := everything(t, db)
	_, err := db.Update(t.Context(), 1, input(t, styles(kept, 5), true), nil)
	var invalid *blob.InvalidError
	if !errors.As(err, &invalid) || invalid.Faults[0].Pointer != "/styles" {
		t.Errorf("11,000 SKUs: %v", err)
	}
	if !slices.Equal(everything(t, db), before) {
		t.Error("a write that was refused has changed something")
	}
	if _, err := db.Update(t.Context(), 1, input(t, styles(kept, 4), true), nil); err != nil {
		t.Errorf("10,000 SKUs: %v", err)
	}
}
