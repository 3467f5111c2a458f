package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hotshelf/hotshelf/blob"
)

func TestPublish(t *testing.T) {
	db := open(t, pg.Database(t))
	fill(t, db, 10, 20, 30, 40)
	if state, err := db.State(t.Context()); err != nil || !state.LoadWaits || state.Generation != 0 {
		t.Fatalf("after a load: %+v, %v", state, err)
	}
	if g := publish(t, db); g != 1 {
		t.Errorf("generation %d", g)
	}
	state, err := db.State(t.Context())
	if err != nil || state.LoadWaits || state.Generation != 1 || state.Source != "import" ||
		state.BuilderVersion != blob.BuilderVersion || state.Head == 0 {
		t.Errorf("after the publish: %+v, %v", state, err)
	}

	rows, err := db.Lookup(t.Context(), []int64{40, 11, 10})
	if err != nil || len(rows) != 2 {
		t.Fatalf("Lookup: %v, %v", rows, err)
	}
	for _, r := range rows {
		if r.Version == 0 || r.Hash == 0 || !strings.HasPrefix(string(r.Detail), fmt.Sprintf(`{"id": %d,`, r.ProductID)) {
			t.Errorf("row %d: version %d, hash %d, %s", r.ProductID, r.Version, r.Hash, r.Detail)
		}
	}
	if one, err := db.Lookup(t.Context(), []int64{20}); err != nil || len(one) != 1 {
		t.Errorf("Lookup of one: %v, %v", one, err)
	}
	if none, err := db.Lookup(t.Context(), []int64{21}); err != nil || len(none) != 0 {
		t.Errorf("Lookup of none: %v, %v", none, err)
	}
	var ids []int64
	if err := db.LiveIDs(t.Context(), func(id int64) { ids = append(ids, id) }); err != nil || !slices.Equal(ids, []int64{10, 20, 30, 40}) {
		t.Errorf("LiveIDs: %v, %v", ids, err)
	}

	// A product that is made next must not get an id that was ever live, also
	// when the import that had it has been replaced by a smaller one.
	fill(t, db, 1, 2)
	if g := publish(t, db); g != 2 {
		t.Errorf("generation %d", g)
	}
	for _, sequence := range []string{"product_id", "feature_id", "style_id", "related_id", "photo_id", "sku_id"} {
		if next := query[int64](t, db, `select nextval('hotshelf.`+sequence+`')`); next[0] <= 40 {
			t.Errorf("%s gives out %d again", sequence, next[0])
		}
	}
	// Another warm of the same rows.
	if g := publish(t, db); g != 3 {
		t.Errorf("generation %d", g)
	}
}

func TestPublishRefusesAnIncompleteShelf(t *testing.T) {
	db := open(t, pg.Database(t))
	fill(t, db, 1, 2)
	w, err := db.BeginWarm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shelf := openWriter(t, w)
	var b blob.Blobs
	blob.Build(&b, &blob.Product{ID: 1}, blob.Pulsar)
	if err := shelf.Put(1, 1, 1, blob.Pulsar, &b); err != nil {
		t.Fatal(err)
	}
	if err := shelf.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Publish(t.Context(), Publication{Whole: true, Put: 1}); err == nil || !strings.Contains(err.Error(), "there are 2") {
		t.Errorf("Publish: %v", err)
	}
	w.Close()
	if state, err := db.State(t.Context()); err != nil || !state.LoadWaits || state.Generation != 0 {
		t.Errorf("%+v, %v", state, err)
	}
	if left := query[string](t, db, `select nspname from pg_namespace where nspname ~ '_next|_old' order by 1`); !slices.Equal(left, []string{"catalog_next"}) {
		t.Errorf("schemas: %v", left)
	}
}

// TestPublishBesideAReader: a reader in a long transaction keeps what it saw,
// holds nothing up, and what it holds goes with a later warm.
func TestPublishBesideAReader(t *testing.T) {
	db := open(t, pg.Database(t))
	fill(t, db, 1)
	publish(t, db)
	reader, err := db.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Rollback(context.Background()) }()
	var n int
	if err := reader.QueryRow(t.Context(), `select count(*) from shelf.blobs`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	publish(t, db)
	left := query[string](t, db, `select nspname from pg_namespace where nspname ~ '_old_'`)
	if len(left) != 1 {
		t.Errorf("old schemas beside a reader: %v", left)
	}
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish(t, db)
	if left := query[string](t, db, `select nspname from pg_namespace where nspname ~ '_old_'`); len(left) > 0 {
		t.Errorf("old schemas afterwards: %v", left)
	}
}

// TestStoredBlobsAreWhatWasBuilt: jsonb gives back exactly the bytes of
// blob.Build, but for blanks between tokens.
func TestStoredBlobsAreWhatWasBuilt(t *testing.T) {
	db := open(t, pg.Database(t))
	const products = 200
	var ids []int64
	for id := range int64(products) {
		ids = append(ids, id+1)
	}
	fill(t, db, ids...)
	w := beginWarm(t, db)
	defer w.Close()
	shelf := openWriter(t, w)
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.ReplaceAll(rapid.String().Draw(t, "text"), "\x00", "")
	})
	price := rapid.Custom(func(t *rapid.T) blob.Price {
		return blob.Price(rapid.Int64Range(0, int64(blob.MaxPrice)).Draw(t, "price"))
	})
	built := make(map[int64]blob.Blobs)
	for _, id := range ids {
		p := rapid.Custom(func(t *rapid.T) blob.Product {
			p := blob.Product{ID: id, Name: text.Draw(t, "name"), Description: text.Draw(t, "description"), DefaultPrice: price.Draw(t, "price")}
			for range rapid.IntRange(0, 3).Draw(t, "styles") {
				s := blob.Style{ID: rapid.Int64Min(1).Draw(t, "id"), Name: text.Draw(t, "name"), OriginalPrice: price.Draw(t, "price")}
				for n := range rapid.IntRange(0, 20).Draw(t, "skus") {
					s.SKUs = append(s.SKUs, blob.SKU{ID: int64(n*n*n + 1), Size: text.Draw(t, "size"), Quantity: rapid.Int64Range(0, 1<<31-1).Draw(t, "quantity")})
				}
				p.Styles = append(p.Styles, s)
			}
			for range rapid.IntRange(0, 3).Draw(t, "features") {
				p.Features = append(p.Features, blob.Feature{Name: text.Draw(t, "feature"), Value: text.Draw(t, "value"), HasValue: rapid.Bool().Draw(t, "has")})
			}
			return p
		}).Example(int(id))
		var b blob.Blobs
		blob.Build(&b, &p, blob.Contract(id%2))
		built[id] = b
		if err := shelf.Put(id, 1, b.Hash(), blob.Pulsar, &b); err != nil {
			t.Fatal(err)
		}
	}
	if err := shelf.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Publish(t.Context(), Publication{Whole: true, Put: products}); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Lookup(t.Context(), ids)
	if err != nil || len(rows) != products {
		t.Fatal(len(rows), err)
	}
	for _, r := range rows {
		b := built[r.ProductID]
		for _, pair := range [][2][]byte{{r.Detail, b.Detail}, {r.Styles, b.Styles}, {r.Related, b.Related}} {
			var stored bytes.Buffer
			if err := json.Compact(&stored, pair[0]); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(stored.Bytes(), pair[1]) {
				t.Fatalf("product %d:\nstored %s\nbuilt  %s", r.ProductID, stored.Bytes(), pair[1])
			}
		}
	}
}

// TestPhotosByStyle: photos and SKUs read by the range of the styles are those
// of the join, also where styles of other products lie between, or the styles
// are not in the products' order.
func TestPhotosByStyle(t *testing.T) {
	db := open(t, pg.Database(t))
	fill(t, db, 10, 20, 30, 40, 50, 60)
	publish(t, db)
	// Product 20 has a style behind those of 30; 40 and 50 have changed places.
	_, err := db.pool.Exec(t.Context(), `
		insert into catalog.styles values (35, 20, 'new', null, 1, false);
		insert into catalog.photos values (100, 35, 'new', ''), (101, 10, 'second', '');
		insert into catalog.skus values (100, 35, 'new', 1), (101, 10, 'second', 2);
		update catalog.styles set product_id = 90 - product_id where product_id in (40, 50)`)
	if err != nil {
		t.Fatal(err)
	}
	w, err := db.BeginVerify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	read := func(stream string, lo, hi int64, stylesFirst bool) (got []string, closed bool) {
		t.Helper()
		r := openReader(t, w)
		defer r.Close()
		if stylesFirst {
			if _, err := r.Rows(t.Context(), "styles", lo, hi); err != nil {
				t.Fatal(err)
			}
		}
		rows, err := r.Rows(t.Context(), stream, lo, hi)
		if err != nil {
			t.Fatal(err)
		}
		// Rows of one style may come in any order.
		var style int64
		first := 0
		for rows.Next() {
			if rows.Int(0) != style {
				style, first = rows.Int(0), len(got)
			}
			got = append(got, fmt.Sprint(rows.Int(0), rows.Text(1), rows.Text(2)))
			slices.Sort(got[first:])
		}
		return got, r.styles.closed
	}
	for _, c := range []struct {
		lo, hi int64
		closed bool
	}{{10, 10, true}, {1, 20, false}, {30, 30, true}, {20, 30, false}, {40, 50, false}, {40, 40, true}, {60, 1 << 62, true}, {70, 80, true}} {
		for _, stream := range []string{"photos", "skus"} {
			want, _ := read(stream, c.lo, c.hi, false)
			got, closed := read(stream, c.lo, c.hi, true)
			if !slices.Equal(got, want) || closed != c.closed {
				t.Errorf("%s of %d to %d: %q, closed %v; by a join %q, want closed %v", stream, c.lo, c.hi, got, closed, want, c.closed)
			}
		}
	}
}

// TestRowsComeBackAsWritten goes through every column of both directions of
// COPY, at the edges of each type.
func TestRowsComeBackAsWritten(t *testing.T) {
	db := open(t, pg.Database(t))
	load, err := db.BeginLoad(t.Context(), anyRoom)
	if err != nil {
		t.Fatal(err)
	}
	defer load.Close()
	prices := []blob.Price{0, 1, 9, 10, 99, 100, 101, 9999, 10000, 10001, 999999, 1000000, 99999999, 100000000, 100000001, 10000_0000_00, blob.MaxPrice - 1, blob.MaxPrice}
	const long = 1 << 20
	texts := []string{"", "plain", "tab\tnewline\nback\\slash \"quote\" é 大 👟", strings.Repeat("x", long)}
	w, err := load.Table(t.Context(), "products")
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range prices {
		w.Int(int64(i + 1))
		for j := range 4 {
			w.Text([]byte(texts[(i+j)%len(texts)]))
		}
		w.Price(p)
		if err := w.EndRow(); err != nil {
			t.Fatal(err)
		}
	}
	counts := map[string]int64{}
	if counts["products"], err = w.Close(); err != nil {
		t.Fatal(err)
	}
	styles, err := load.Table(t.Context(), "styles")
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range prices {
		styles.Int(1<<62 + int64(i))
		styles.Int(int64(i + 1))
		styles.Text(nil)
		if p == 0 {
			styles.Null()
		} else {
			styles.Price(p)
		}
		styles.Price(p)
		styles.Bool(i%2 == 0)
		if err := styles.EndRow(); err != nil {
			t.Fatal(err)
		}
	}
	if counts["styles"], err = styles.Close(); err != nil {
		t.Fatal(err)
	}
	if err := load.Finish(t.Context(), "import", counts); err != nil {
		t.Fatal(err)
	}
	load.Close()
	// What PostgreSQL makes of the numbers, not what our own reader does.
	for i, s := range query[string](t, db, `select default_price::text from catalog_next.products order by id`) {
		if want := fmt.Sprintf("%d.%02d", prices[i]/100, prices[i]%100); s != want {
			t.Errorf("price %s, want %s", s, want)
		}
	}

	warm := beginWarm(t, db)
	defer warm.Close()
	reader := openReader(t, warm)
	defer reader.Close()
	rows, err := reader.Rows(t.Context(), "products", 1, 1<<62)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for ; rows.Next(); i++ {
		if rows.Int(0) != int64(i+1) || rows.Price(5) != prices[i] || rows.Text(2) != texts[(i+1)%len(texts)] {
			t.Errorf("product %d came back as %d, %d", i+1, rows.Int(0), rows.Price(5))
		}
	}
	if i != len(prices) {
		t.Errorf("%d products came back", i)
	}
	rows, err = reader.Rows(t.Context(), "styles", 1, 1<<62)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; rows.Next(); i++ {
		if rows.Int(1) != 1<<62+int64(i) || rows.Null(3) != (prices[i] == 0) || rows.Price(3) != prices[i] || rows.Bool(5) != (i%2 == 0) {
			t.Errorf("style %d came back as %d, %v, %d, %v", i, rows.Int(1), rows.Null(3), rows.Price(3), rows.Bool(5))
		}
	}
}

func TestAnswerThatIsNoCopy(t *testing.T) {
	if _, err := newRows("PGCOPY"); err == nil {
		t.Error("a cut-off head was taken")
	}
}

// TestFollow: a node learns of each publish, and goes on after its connection
// was cut.
func TestFollow(t *testing.T) {
	db := open(t, pg.Database(t))
	resets, changes, lost := make(chan State, 10), make(chan blob.Change, 10), make(chan error, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		db.Follow(ctx, 200*time.Millisecond, Node{
			Reset:   func(_ context.Context, s State, _ string) error { resets <- s; return nil },
			Apply:   func(_ context.Context, c blob.Change) error { changes <- c; return nil },
			Current: func(time.Time) {},
			Lost:    func(err error) { lost <- err },
			Deaf:    func(err error) { t.Error(err) },
		})
	}()
	defer func() { cancel(); <-done }()

	if s := receive(t, resets); s != (State{}) {
		t.Errorf("state of an empty database: %+v", s)
	}
	fill(t, db, 1)
	if s := receive(t, resets); s.Epoch == "" || s.Generation != 0 {
		t.Errorf("first state: %+v", s)
	}
	publish(t, db)
	for s := receive(t, resets); s.Generation != 1; s = receive(t, resets) {
		// That a load waits is news too, and may have come by itself.
		if !s.LoadWaits {
			t.Fatalf("state after the first publish: %+v", s)
		}
	}
	publish(t, db)
	if c := receive(t, changes); c.Generation != 2 {
		t.Errorf("change %+v, want generation 2", c)
	}
	query[bool](t, db, `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)
	if err := receive(t, lost); !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("Lost: %v", err)
	}
	publish(t, db)
	if c := receive(t, changes); c.Generation != 3 {
		t.Errorf("change %+v after the cut", c)
	}
	// A notification that never comes only costs a poll.
	if _, err := db.pool.Exec(t.Context(), `insert into hotshelf.feed (version, changed) values (nextval('hotshelf.version'), '{7, 8}')`); err != nil {
		t.Fatal(err)
	}
	if c := receive(t, changes); !slices.Equal(c.Changed, []int64{7, 8}) {
		t.Errorf("change %+v without a notification", c)
	}
	// The database goes back in time: nothing known holds any longer.
	if _, err := db.pool.Exec(t.Context(), `delete from hotshelf.feed where generation in (0, 3); update hotshelf.catalogue set generation = 2`); err != nil {
		t.Fatal(err)
	}
	if s := receive(t, resets); s.Generation != 2 {
		t.Errorf("state after going back: %+v", s)
	}
	if len(resets)+len(changes) > 0 {
		t.Errorf("told more than once: %d resets, %d changes", len(resets), len(changes))
	}
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
