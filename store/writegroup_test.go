package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hotshelf/hotshelf/blob"
)

// stock is a change of the stock of a product of catalogue, whose one SKU has
// the product's id.
func stock(id, quantity int64) *write { return &write{id: id, sku: id, quantity: quantity} }

// together does some writes as one group.
func together(t *testing.T, db *DB, writes ...*write) {
	t.Helper()
	for _, w := range writes {
		if w.ctx == nil {
			w.ctx = t.Context()
		}
	}
	db.writeTogether(writes)
}

// upTo is the numbers from 1.
func upTo(n int) (ids []int64) {
	for id := range n {
		ids = append(ids, int64(id+1))
	}
	return ids
}

// checkShelf holds the blobs of products that were written against their rows.
func checkShelf(t *testing.T, db *DB, ids ...int64) {
	t.Helper()
	rows, err := db.Lookup(t.Context(), ids)
	if err != nil || len(rows) != len(ids) {
		t.Fatalf("%d of %d products are on the shelf, %v", len(rows), len(ids), err)
	}
	checked := 0
	err = pgx.BeginFunc(t.Context(), db.pool, func(tx pgx.Tx) error {
		return eachProduct(t.Context(), tx, "catalog", ids, func(p *blob.Product) {
			r := rows[slices.IndexFunc(rows, func(r blob.Row) bool { return r.ProductID == p.ID })]
			var b blob.Blobs
			blob.Build(&b, p, r.Contract)
			if r.Hash != b.Hash() || !sameBlobs(&r, &b) {
				t.Errorf("product %d is on the shelf as %s %s %s", p.ID, r.Detail, r.Styles, r.Related)
			}
			checked++
		})
	})
	if err != nil || checked != len(ids) {
		t.Errorf("%d of %d products have rows, %v", checked, len(ids), err)
	}
}

// TestGroup: writes that are refused leave the others of their group alone,
// which are done with one version and one entry of the feed.
func TestGroup(t *testing.T) {
	db := catalogue(t, upTo(9)...)
	never := func(int64, int64) bool { return false }
	asked := func(version, _ int64) bool { return version > 0 }
	fresh := &write{in: input(t, `{"name":"fresh","category":"c","default_price":1,"related":[2]}`, false)}
	fine := []*write{
		stock(1, 11),
		{id: 2, in: input(t, `{"name":"two","features":[{"feature":"f","value":"v"}]}`, true), match: asked},
		fresh,
		{id: 3, in: input(t, `{"styles":[{"style_id":3,"name":"s","original_price":1}]}`, true)},
	}
	refused := map[*write]error{
		stock(99, 1):                                              blob.ErrNotFound,
		{id: 4, sku: 5, quantity: 1}:                              blob.ErrNoSKU,
		{id: 5, sku: 5, quantity: 1, match: never}:                blob.ErrMovedOn,
		{id: 6, in: input(t, `{"name":"x"}`, true), match: never}: blob.ErrMovedOn,
		{id: 98, in: input(t, `{"name":"x"}`, true)}:              blob.ErrNotFound,
	}
	invalid := &write{id: 7, in: input(t, `{"name":"x","related":[1,77]}`, true)}
	all := append(slices.Clone(fine), invalid)
	for w := range refused {
		all = append(all, w)
	}
	before := query[string](t, db, `select b::text from shelf.blobs b where product_id between 4 and 9 order by 1`)
	together(t, db, all...)

	var changed []int64
	for i, w := range fine {
		if w.err != nil {
			t.Fatalf("write %d: %v", i, w.err)
		}
		id, version := w.done.Row.ProductID, w.done.Change.Version
		changed = append(changed, id)
		if version == 0 || version != fine[0].done.Change.Version || w.done.Row.Version != version || !slices.Equal(w.done.Change.Changed, []int64{id}) {
			t.Errorf("write %d: %+v", i, w.done.Change)
		}
	}
	if fresh.done.Row.ProductID != 10 {
		t.Errorf("the new product is %d", fresh.done.Row.ProductID)
	}
	for w, want := range refused {
		if !errors.Is(w.err, want) {
			t.Errorf("%+v: %v, want %v", w, w.err, want)
		}
	}
	var faults *blob.InvalidError
	if !errors.As(invalid.err, &faults) || faults.Faults[0].Pointer != "/related/1" {
		t.Errorf("invalid: %v", invalid.err)
	}
	slices.Sort(changed)
	feed := query[string](t, db, `select f.version || ' ' || array(select unnest(changed) order by 1)::text from hotshelf.feed f where generation = 0`)
	if want := fmt.Sprintf("%d {%d,%d,%d,%d}", fine[0].done.Change.Version, changed[0], changed[1], changed[2], changed[3]); !slices.Equal(feed, []string{want}) {
		t.Errorf("feed: %q, want %q", feed, want)
	}
	if n := query[int64](t, db, `select product_id from hotshelf.written where not deleted order by product_id`); !slices.Equal(n, []int64{1, 2, 3, 10}) {
		t.Errorf("written: %v", n)
	}
	if after := query[string](t, db, `select b::text from shelf.blobs b where product_id between 4 and 9 order by 1`); !slices.Equal(before, after) {
		t.Error("a refused write has changed something")
	}
	checkShelf(t, db, changed...)
}

// TestGroupThatFails: where a group fails as a whole, each of its writes is
// done by itself, and only those that can't be done fail.
func TestGroupThatFails(t *testing.T) {
	db := catalogue(t, upTo(9)...)
	exec(t, db, `create function refuse() returns trigger language plpgsql as $$ begin raise exception 'planted'; end $$`)
	exec(t, db, `create function cut() returns trigger language plpgsql as $$ begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1); return null; end $$`)
	quantity := int64(0)
	for name, trigger := range map[string]string{
		"statement":  `create trigger planted before update on catalog.skus for each row when (new.quantity = 666) execute function refuse()`,
		"commit":     `create constraint trigger planted after update on catalog.skus deferrable initially deferred for each row when (new.quantity = 666) execute function refuse()`,
		"connection": `create trigger planted before update on catalog.skus for each row when (new.quantity = 666) execute function cut()`,
	} {
		exec(t, db, trigger)
		quantity++
		bad := stock(2, 666)
		all := []*write{stock(1, quantity), bad, stock(99, 1), stock(3, quantity), {id: 4, in: input(t, `{"name":"x"}`, true)}}
		together(t, db, all...)
		if bad.err == nil {
			t.Errorf("%s: no error", name)
		}
		if !errors.Is(all[2].err, blob.ErrNotFound) {
			t.Errorf("%s: a product that does not exist: %v", name, all[2].err)
		}
		versions := map[int64]bool{}
		for _, w := range []*write{all[0], all[3], all[4]} {
			if w.err != nil {
				t.Errorf("%s: product %d: %v", name, w.id, w.err)
			}
			versions[w.done.Change.Version] = true
		}
		if len(versions) != 3 || versions[0] {
			t.Errorf("%s: versions %v", name, versions)
		}
		if got := query[int64](t, db, `select quantity::bigint from catalog.skus where id in (1, 2, 3) order by id`); !slices.Equal(got, []int64{quantity, 12, quantity}) {
			t.Errorf("%s: stock %v", name, got)
		}
		exec(t, db, `drop trigger planted on catalog.skus`)
		checkShelf(t, db, 1, 3, 4)
	}
}

// TestGroupWithUnknownOutcome: all of its writes are told, and none is tried
// again.
func TestGroupWithUnknownOutcome(t *testing.T) {
	db := catalogue(t, 1, 2, 3)
	exec(t, db, `create function cut() returns trigger language plpgsql as $$ begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1); return null; end $$`)
	exec(t, db, `create constraint trigger planted after insert on hotshelf.feed deferrable initially deferred for each row when (cardinality(new.changed) > 1) execute function cut()`)
	before := everything(t, db)
	missing := stock(99, 1)
	unknown := []*write{stock(1, 5), stock(2, 5)}
	together(t, db, append(unknown, missing)...)
	for _, w := range unknown {
		if c := w.done.Change; !errors.Is(w.err, blob.ErrOutcomeUnknown) || c.Version != 0 || !slices.Equal(c.Changed, []int64{w.id}) {
			t.Errorf("product %d: %+v, %v", w.id, c, w.err)
		}
	}
	if !errors.Is(missing.err, blob.ErrNotFound) {
		t.Errorf("a product that does not exist: %v", missing.err)
	}
	if !slices.Equal(everything(t, db), before) {
		t.Error("something was tried again")
	}
}

// TestGroupThatPanics: so does one write of it, and the others are done.
func TestGroupThatPanics(t *testing.T) {
	db := catalogue(t, 1, 2, 3)
	all := []*write{stock(1, 5), {id: 2, sku: 2, match: func(int64, int64) bool { panic("planted") }}, stock(3, 5)}
	together(t, db, all...)
	if all[0].err != nil || all[2].err != nil || all[1].err == nil || !strings.Contains(all[1].err.Error(), "planted") {
		t.Errorf("%v, %v, %v", all[0].err, all[1].err, all[2].err)
	}
}

// TestGroupOfLargeProducts: they are written one by one.
func TestGroupOfLargeProducts(t *testing.T) {
	db := catalogue(t, upTo(20)...)
	exec(t, db, `update catalog.products set description = repeat('x', 20000)`)
	var all []*write
	for _, id := range upTo(20) {
		all = append(all, stock(id, 5))
	}
	together(t, db, all...)
	for i, w := range all {
		if w.err != nil || w.done.Change.Version == 0 || i > 0 && w.done.Change.Version <= all[i-1].done.Change.Version {
			t.Fatalf("write %d: version %d, %v", i, w.done.Change.Version, w.err)
		}
	}
	checkShelf(t, db, upTo(20)...)
}

// TestLeavingAGroup: what one caller wants no longer is done all the same for
// the sake of the others, and nothing is done for nobody.
func TestLeavingAGroup(t *testing.T) {
	db := catalogue(t, upTo(5)...)
	conn, err := db.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	lock := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, int64(writeLock)); err != nil {
			t.Fatal(err)
		}
	}
	blocked := func() bool {
		return query[int](t, db, `select count(*)::int from pg_locks where locktype = 'advisory' and objid = $1 and not granted`, int64(writeLock))[0] > 0
	}
	f := func(stay, leave []*write) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, w := range leave {
			w.ctx = ctx //nolint:fatcontext // each has the same one
		}
		lock(`select pg_advisory_lock($1)`)
		over := make(chan struct{})
		go func() { together(t, db, append(leave, stay...)...); close(over) }()
		for !blocked() {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if len(stay) == 0 {
			<-over // with the lock taken
		}
		lock(`select pg_advisory_unlock($1)`)
		<-over
	}
	stays, leaves := stock(1, 5), stock(2, 5)
	f([]*write{stays}, []*write{leaves})
	if stays.err != nil || leaves.err != nil || leaves.done.Change.Version != stays.done.Change.Version {
		t.Errorf("%v, %v", stays.err, leaves.err)
	}
	before := everything(t, db)
	gone := []*write{stock(3, 5), stock(4, 5)}
	f(nil, gone)
	if !errors.Is(gone[0].err, context.Canceled) || !errors.Is(gone[1].err, context.Canceled) || !slices.Equal(everything(t, db), before) {
		t.Errorf("%v, %v", gone[0].err, gone[1].err)
	}

	// One that still waits in the queue goes at once.
	lock(`select pg_advisory_lock($1)`)
	first := make(chan error, 1)
	go func() { _, err := db.SetQuantity(t.Context(), 1, 1, 6, nil); first <- err }()
	for !blocked() {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	go func() { _, err := db.SetQuantity(ctx, 2, 2, 6, nil); second <- err }()
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("a write that was withdrawn: %v", err)
	}
	lock(`select pg_advisory_unlock($1)`)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if got := query[int](t, db, `select quantity from catalog.skus where id in (1, 2) order by id`); !slices.Equal(got, []int{6, 5}) {
		t.Errorf("stock %v", got)
	}
}

// TestGroupStatements: a write more in a group is a statement more.
func TestGroupStatements(t *testing.T) {
	db := catalogue(t, upTo(16)...)
	config := db.pool.Config()
	count := new(counter)
	config.ConnConfig.Tracer = count
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	counted := &DB{pool: pool}
	statements := func(n int) int {
		t.Helper()
		count.n = 0
		var all []*write
		for _, id := range upTo(n) {
			all = append(all, stock(id, 5))
		}
		together(t, counted, all...)
		for _, w := range all {
			if w.err != nil {
				t.Fatal(w.err)
			}
		}
		return count.n
	}
	alone, many := statements(1), statements(16)
	if alone > 11 || many != alone+15 {
		t.Errorf("%d statements for a write, %d for a group of 16", alone, many)
	}
}

// TestTake: which of the writes that wait make a group.
func TestTake(t *testing.T) {
	waiting := func(writes ...*write) (groups []string) {
		q := writeQueue{waiting: writes, atWork: true}
		for group := q.take(); group != nil; group = q.take() {
			var b bytes.Buffer
			for _, w := range group {
				fmt.Fprint(&b, w.id, " ")
			}
			groups = append(groups, strings.TrimSpace(b.String()))
		}
		if q.atWork {
			t.Error("goes on for ever")
		}
		return groups
	}
	create, remove := &write{}, func(id int64) *write { return &write{id: id, remove: true} }
	large := func(id int64) *write { return &write{id: id, size: groupBytes/2 + 1} }
	var many []*write
	var first []string
	for _, id := range upTo(groupWrites + 1) {
		many, first = append(many, stock(id, 1)), append(first, fmt.Sprint(id))
	}
	for name, c := range map[string]struct {
		writes []*write
		want   []string
	}{
		"different products": {[]*write{stock(1, 1), stock(2, 1), stock(3, 1)}, []string{"1 2 3"}},
		"the same product":   {[]*write{stock(1, 1), stock(1, 2), stock(2, 1), stock(1, 3)}, []string{"1 2", "1", "1"}},
		"new products":       {[]*write{create, stock(1, 1), create}, []string{"0 1 0"}},
		"a delete":           {[]*write{stock(1, 1), remove(2), stock(3, 1), stock(4, 1)}, []string{"1", "2", "3 4"}},
		"deletes":            {[]*write{remove(1), remove(2)}, []string{"1", "2"}},
		"large ones":         {[]*write{large(1), large(2), stock(3, 1)}, []string{"1", "2 3"}},
		"many":               {many, []string{strings.Join(first[:groupWrites], " "), first[groupWrites]}},
	} {
		if got := waiting(c.writes...); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestSizeOf: whatever is long in an input counts.
func TestSizeOf(t *testing.T) {
	long := strings.Repeat("x", 900)
	for _, body := range []string{
		`{"name":"` + long + `"}`, `{"slogan":"` + long + `"}`, `{"description":"` + long + `"}`, `{"category":"` + long + `"}`,
		`{"features":[{"feature":"` + long + `"}]}`, `{"features":[{"feature":"f","value":"` + long + `"}]}`,
		`{"related":[` + strings.TrimSuffix(strings.Repeat("1,", 20), ",") + `]}`,
		`{"styles":[{"name":"` + long + `","original_price":1}]}`,
		`{"styles":[{"name":"s","original_price":1,"skus":[{"size":"` + long + `","quantity":1}]}]}`,
		`{"styles":[{"name":"s","original_price":1,"photos":[{"url":"` + long + `","thumbnail_url":""}]}]}`,
		`{"styles":[{"name":"s","original_price":1,"photos":[{"url":"","thumbnail_url":"` + long + `"}]}]}`,
	} {
		if n := sizeOf(input(t, body, true)); n < 900 || n > 2000 {
			t.Errorf("%d bytes for %.60s", n, body)
		}
	}
	if n := sizeOf(nil); n != 0 {
		t.Errorf("%d bytes for nothing", n)
	}
}
