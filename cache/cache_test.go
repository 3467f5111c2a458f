package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

func TestNewRefusesBadConfig(t *testing.T) {
	for _, config := range []Config{
		{Bytes: 0, MissTimeout: time.Second},
		{Bytes: -1, MissTimeout: time.Second},
		{Bytes: 1 << 20},
	} {
		if c, err := New(config); err == nil {
			c.Close()
			t.Errorf("New(%+v) made a cache", config)
		}
	}
}

func TestNotReadyBeforeLoad(t *testing.T) {
	ctx := context.Background()
	db := newShelf(row(1, 1))
	c, err := New(Config{Bytes: 1 << 20, MissTimeout: time.Second, MaxStaleness: time.Hour, Source: db})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	check := func(want error) {
		t.Helper()
		_, _, get := c.Get(ctx, 1)
		_, _, many := c.Many(ctx, nil, []int64{1})
		_, _, _, page := c.Page(ctx, nil, 0, 5)
		for name, err := range map[string]error{"Get": get, "Many": many, "Page": page, "Ready": c.Ready()} {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
	}
	check(blob.ErrNotReady)

	db.fail(fmt.Errorf("gone: %w", blob.ErrUnavailable))
	if err := c.Load(ctx, 0); !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("Load from a broken source: %v", err)
	}
	check(blob.ErrNotReady)

	db.fail(nil)
	if err := c.Load(ctx, 0); err != nil {
		t.Fatal(err)
	}
	check(nil)
}

func TestGet(t *testing.T) {
	ctx := context.Background()
	db := newShelf(row(1, 1))
	c := newLoaded(t, db)
	first, _, err := c.Get(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(first.Detail.Body), `{"id":1,"name":"v1","features":[{"value":"x","feature":"y"}],"default_price":"1"}`; got != want {
		t.Errorf("detail %s, want %s", got, want)
	}
	again, _, err := c.Get(ctx, 1)
	if err != nil || again != first {
		t.Errorf("second Get: %p, %v; want the same answers %p", again, err, first)
	}
	if trips := db.looked(); len(trips) != 1 {
		t.Errorf("look-ups %v, want one", trips)
	}
}

func TestWritesAreSeen(t *testing.T) {
	ctx := context.Background()
	version := func(c *Cache, id int64) int64 {
		t.Helper()
		a, _, err := c.Get(ctx, id)
		if errors.Is(err, blob.ErrNotFound) {
			return 0
		}
		if err != nil {
			t.Fatal(err)
		}
		return a.Version
	}
	for name, tell := range map[string]func(*Cache, blob.Change){
		"Apply": (*Cache).Apply,
		"Wrote": (*Cache).Wrote,
	} {
		t.Run(name, func(t *testing.T) {
			db := newShelf(row(1, 1))
			c := newLoaded(t, db)
			if version(c, 1) != 1 || version(c, 2) != 0 || version(c, 2) != 0 {
				t.Fatal("wrong before any write")
			}
			if trips := db.looked(); len(trips) != 2 {
				t.Errorf("look-ups %v: a missing product is not remembered", trips)
			}
			db.put(row(1, 5))
			db.put(row(2, 5))
			tell(c, blob.Change{Version: 5, Changed: []int64{1, 2}})
			if v1, v2 := version(c, 1), version(c, 2); v1 != 5 || v2 != 5 {
				t.Errorf("after a change: versions %d, %d", v1, v2)
			}
			if got := list(t, c, 0, 10); !slices.Equal(got, []int64{1, 2}) {
				t.Errorf("list %v after a create", got)
			}
			db.remove(1)
			tell(c, blob.Change{Version: 6, Removed: []int64{1}})
			if v := version(c, 1); v != 0 {
				t.Errorf("after a delete: version %d", v)
			}
			if got := list(t, c, 0, 10); !slices.Equal(got, []int64{2}) {
				t.Errorf("list %v after a delete", got)
			}
		})
	}
}

func TestUnknownOutcome(t *testing.T) {
	ctx := context.Background()
	db := newShelf(row(1, 1))
	c := newLoaded(t, db)
	if _, _, err := c.Get(ctx, 1); err != nil {
		t.Fatal(err)
	}
	db.put(row(1, 2))
	c.Wrote(blob.Change{Changed: []int64{1, 2}})
	if a, _, err := c.Get(ctx, 1); err != nil || a.Version != 2 {
		t.Errorf("version %v, %v", a, err)
	}
	if got := list(t, c, 0, 10); !slices.Equal(got, []int64{1}) {
		t.Errorf("list %v: shows a product that may not exist", got)
	}
}

func TestPublish(t *testing.T) {
	ctx := context.Background()
	db := newShelf(row(1, 1), row(2, 1), row(3, 1))
	c := newLoaded(t, db)
	before, _, err := c.Many(ctx, nil, []int64{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	db.put(row(2, 9))
	db.remove(3)
	db.put(row(7, 9))
	c.Apply(blob.Change{Version: 10, Generation: 2})
	after, _, err := c.Many(ctx, nil, []int64{1, 2, 3, 7})
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != 3 || after[0].ProductID != 1 || after[1].Version != 9 || after[2].ProductID != 7 {
		t.Errorf("after a publish: %v", after)
	}
	if after[0] != before[0] {
		t.Error("the answers of an unchanged product were built anew")
	}
	if after[1] == before[1] {
		t.Error("the answers of a changed product were kept")
	}
	eventually(t, func() bool { return c.Ready() == nil })
	if got := list(t, c, 0, 10); !slices.Equal(got, []int64{1, 2, 7}) {
		t.Errorf("list %v after a publish", got)
	}
}

// A version may come back with another body when the database was restored.
func TestSameVersionOtherBody(t *testing.T) {
	ctx := context.Background()
	db := newShelf(row(1, 5))
	c := newLoaded(t, db)
	if _, _, err := c.Get(ctx, 1); err != nil {
		t.Fatal(err)
	}
	other := row(1, 5)
	other.Hash, other.Related = 4711, []byte(`[9]`)
	db.put(other)
	if err := c.Load(ctx, 3); err != nil {
		t.Fatal(err)
	}
	if a, _, err := c.Get(ctx, 1); err != nil || string(a.Related.Body) != "[9]" {
		t.Errorf("after a restore: %v, %v", a, err)
	}
}

func TestMany(t *testing.T) {
	ctx := context.Background()
	db := newShelf(rows(1, 600)...)
	c := newLoaded(t, db)
	ids := func(list []*blob.Answers) (ids []int64) {
		for _, a := range list {
			ids = append(ids, a.ProductID)
		}
		return ids
	}
	if _, _, err := c.Get(ctx, 3); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Get(ctx, 900); !errors.Is(err, blob.ErrNotFound) {
		t.Fatal(err)
	}
	db.looked()
	kept := &blob.Answers{ProductID: -1}
	for _, tc := range []struct {
		name     string
		ask, got []int64
		trips    int
	}{
		{"none", nil, []int64{-1}, 0},
		{"order, duplicates, holes", []int64{700, 3, 1, 900, 2, 1, 800}, []int64{-1, 3, 1, 2, 1}, 1},
		{"all cached", []int64{1, 2, 3, 700, 800, 900}, []int64{-1, 1, 2, 3}, 0},
		{"all missing, and known to be", []int64{700, 800}, []int64{-1}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, _, err := c.Many(ctx, []*blob.Answers{kept}, tc.ask)
			if err != nil || !slices.Equal(ids(got), tc.got) {
				t.Errorf("got %v, %v, want %v", ids(got), err, tc.got)
			}
			if trips := db.looked(); len(trips) != tc.trips {
				t.Errorf("%d look-ups, want %d", len(trips), tc.trips)
			}
		})
	}
	db.fail(fmt.Errorf("gone: %w", blob.ErrUnavailable))
	got, _, err := c.Many(ctx, []*blob.Answers{kept}, []int64{1, 50, 2})
	if !errors.Is(err, blob.ErrUnavailable) || !slices.Equal(ids(got), []int64{-1}) {
		t.Errorf("from a broken source: %v, %v", ids(got), err)
	}
}

func TestPage(t *testing.T) {
	db := newShelf(row(2, 1), row(3, 1), row(70_000, 1), row(1<<40, 1), row(1<<62, 1))
	c := newLoaded(t, db)
	for _, tc := range []struct {
		offset, count int64
		want          []int64
	}{
		{0, 2, []int64{2, 3}},
		{2, 2, []int64{70_000, 1 << 40}},
		{4, 5, []int64{1 << 62}},
		{5, 5, nil},
		{1 << 62, 1 << 62, nil},
		{1, 1 << 62, []int64{3, 70_000, 1 << 40, 1 << 62}},
		{-1, 5, nil},
		{0, 0, nil},
	} {
		if got := list(t, c, tc.offset, tc.count); !slices.Equal(got, tc.want) {
			t.Errorf("offset %d, count %d: %v, want %v", tc.offset, tc.count, got, tc.want)
		}
	}
	// Deleted, but not yet told by the feed: left out.
	db.remove(3)
	c.Wrote(blob.Change{Changed: []int64{3}})
	if got := list(t, c, 0, 3); !slices.Equal(got, []int64{2, 70_000}) {
		t.Errorf("with a product that is gone: %v", got)
	}
}

// TestColdPageIsOneRoundTrip: at any depth, and whatever is deleted before it.
func TestColdPageIsOneRoundTrip(t *testing.T) {
	const count = 100_000
	db := newShelf(rows(1, count)...)
	for id := int64(2); id < count/2; id += 3 {
		db.remove(id)
	}
	live := int64(len(db.rows))
	c := newLoaded(t, db)
	for _, offset := range []int64{0, live / 2, live - 500} {
		db.looked()
		if got := list(t, c, offset, 500); len(got) != 500 {
			t.Errorf("offset %d: %d products", offset, len(got))
		}
		if trips := db.looked(); len(trips) != 1 || len(trips[0]) != 500 {
			t.Errorf("offset %d: %d look-ups, want 1", offset, len(trips))
		}
		// Warm, or made again from packed rows: none.
		if list(t, c, offset, 500); len(db.looked()) != 0 {
			t.Errorf("offset %d: looked up again", offset)
		}
	}
}

// list reads a page and returns its ids.
func list(t *testing.T, c *Cache, offset, count int64) (ids []int64) {
	t.Helper()
	page, total, _, err := c.Page(context.Background(), nil, offset, count)
	if err != nil {
		t.Fatal(err)
	}
	if want := c.Stats().Products; total != want {
		t.Errorf("total %d, want %d", total, want)
	}
	for _, a := range page {
		ids = append(ids, a.ProductID)
	}
	return ids
}

func TestCrowd(t *testing.T) {
	ctx := context.Background()
	db := newShelf(rows(1, 1000)...)
	c := newSized(t, db, 64<<20)
	crowd := func(misses int64, id func(i int) int64) [][]int64 {
		// The look-ups wait until the crowd has come.
		gate := make(chan struct{})
		db.during = func(context.Context, []int64) error {
			<-gate
			return nil
		}
		start := c.Stats()
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				if a, _, err := c.Get(ctx, id(i)); err != nil || a.ProductID != id(i) {
					t.Errorf("product %d: %v, %v", id(i), a, err)
				}
			})
		}
		eventually(t, func() bool { return c.Stats().Misses-start.Misses == misses })
		close(gate)
		all.Wait()
		return db.looked()
	}
	if trips := crowd(1000, func(int) int64 { return 1 }); len(trips) != 1 {
		t.Errorf("1,000 callers of one product: %d look-ups, want 1", len(trips))
	}
	trips := crowd(999, func(i int) int64 { return int64(i + 1) }) // 1 is cached
	// The three workers leave with what has come by then, and then with a third of
	// what waits, again and again.
	if len(trips) > 30 {
		t.Errorf("1,000 products: %d look-ups", len(trips))
	}
	products := 0
	for _, trip := range trips {
		products += len(trip)
	}
	if products != 999 {
		t.Errorf("%d products were looked up, want 999", products)
	}
}

func TestErrorsAreNotCached(t *testing.T) {
	ctx := context.Background()
	db := newShelf(row(1, 1))
	c := newLoaded(t, db)
	for _, cause := range []error{blob.ErrUnavailable, blob.ErrNotReady} {
		db.fail(fmt.Errorf("cut: %w", cause))
		if _, _, err := c.Get(ctx, 1); !errors.Is(err, cause) {
			t.Errorf("got %v, want %v", err, cause)
		}
	}
	db.fail(nil)
	if _, _, err := c.Get(ctx, 1); err != nil {
		t.Errorf("after the error: %v", err)
	}
}

func TestClose(t *testing.T) {
	ctx := context.Background()
	db := newShelf(row(1, 1))
	inside := make(chan struct{})
	db.during = func(ctx context.Context, _ []int64) error {
		close(inside)
		<-ctx.Done()
		return ctx.Err()
	}
	c, err := New(Config{Bytes: 1 << 20, MissTimeout: time.Hour, MaxStaleness: time.Hour, Source: db})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Load(ctx, 0); err != nil {
		t.Fatal(err)
	}
	result := make(chan error)
	go func() {
		_, _, err := c.Get(ctx, 1)
		result <- err
	}()
	<-inside
	// The read ends first, as Close demands of its caller.
	c.flights.close()
	if err := <-result; !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("a miss that Close ends: %v", err)
	}
	c.Close()
	if _, _, err := c.Get(ctx, 1); !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("Get after Close: %v", err)
	}
}

// TestRealStore runs writers, readers and the feed at full speed over a budget
// that a tenth of the products fit. A reader must see the version that was
// acknowledged when it began, and no product goes back.
func TestRealStore(t *testing.T) {
	ctx := context.Background()
	const count = 2000
	db := newShelf(rows(1, count)...)
	c := newSized(t, db, 150<<10)
	var mu sync.Mutex
	version := int64(1)
	acked := make([]int64, count+1)
	read := func() []int64 {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(acked)
	}
	stop := time.Now().Add(500 * time.Millisecond)
	var all sync.WaitGroup
	for w := range 2 {
		all.Go(func() { // writes, and one of them a publish now and then
			for n := int64(0); time.Now().Before(stop); n++ {
				mu.Lock()
				version++
				v, id := version, 1+n*7%20
				db.put(row(id, v))
				mu.Unlock()
				c.Wrote(blob.Change{Version: v, Changed: []int64{id}})
				mu.Lock()
				acked[id] = max(acked[id], v)
				mu.Unlock()
				if w == 0 && n%50 == 0 {
					c.Apply(blob.Change{Version: v, Generation: n + 1})
				}
			}
		})
	}
	for r := range 4 {
		all.Go(func() {
			seen := make([]int64, count+1)
			for n := int64(r); time.Now().Before(stop); n++ {
				id := 1 + n%20
				if n%3 == 0 {
					id = 1 + n*31%count
				}
				floor := max(read()[id], seen[id])
				a, _, err := c.Get(ctx, id)
				if err != nil {
					t.Error(err)
					return
				}
				if a.Version < floor {
					t.Errorf("product %d: read version %d, must be from %d", id, a.Version, floor)
					return
				}
				seen[id] = a.Version
			}
		})
	}
	all.Wait()
	if s := c.Stats(); s.Bytes > 150<<10 {
		t.Errorf("the entries cost %d bytes, over the budget", s.Bytes)
	}
}

func TestHitDoesNotAllocate(t *testing.T) {
	ctx := context.Background()
	db := newShelf(rows(1, 500)...)
	c := newLoaded(t, db)
	list(t, c, 0, 500)
	page := make([]*blob.Answers, 0, 500)
	_, _, _ = c.Get(ctx, 900)
	settled(t, c)
	for name, hit := range map[string]func(){
		"Get":     func() { _, _, _ = c.Get(ctx, 7) },
		"absent":  func() { _, _, _ = c.Get(ctx, 900) },
		"page":    func() { page, _, _, _ = c.Page(ctx, page[:0], 100, 5) },
		"several": func() { page, _, _ = c.Many(ctx, page[:0], []int64{5, 6, 900, 7}) },
	} {
		t.Run(name, func(t *testing.T) {
			// ristretto allocates a buffer of 64 keys for every 64 reads: less
			// than one a read, which AllocsPerRun rounds down.
			want := 0.0
			if raceEnabled {
				t.Skip("the race detector makes sync.Pool forget")
			}
			if got := testing.AllocsPerRun(1000, hit); got != want {
				t.Errorf("%v allocations, want %v", got, want)
			}
		})
	}
	if trips := db.looked(); len(trips) > 2 {
		t.Errorf("these were no hits: %d look-ups", len(trips))
	}
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for range 5000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("it did not happen")
}

// settled waits until all entries are where the store puts them.
func settled(t *testing.T, c *Cache) {
	t.Helper()
	eventually(t, func() bool {
		c.flights.mu.Lock()
		defer c.flights.mu.Unlock()
		return len(c.flights.open) == 0
	})
}
