package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	testBound = time.Second
	testLimit = 5 * time.Minute
)

var errGone = fmt.Errorf("gone: %w", blob.ErrUnavailable)

// node runs f with a cache whose feed was current at this moment.
func node(t *testing.T, f func(t *testing.T, c *Cache, db *slow)) {
	t.Helper()
	nodeOn(t, newTableStore(), f)
}

func nodeOn(t *testing.T, s store, f func(t *testing.T, c *Cache, db *slow)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db := &slow{shelf: newShelf(rows(1, 100)...)}
		c := newCache(Config{Source: db, MissTimeout: 2 * time.Second, MaxStaleness: testBound, StaleIfError: testLimit}, s)
		defer c.Close()
		if err := c.Load(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		c.Fresh(time.Now())
		f(t, c, db)
	})
}

// read expects a version, 0 for a product that does not exist, and staleness.
func reads(t *testing.T, c *Cache, id, version int64, stale time.Duration) {
	t.Helper()
	a, age, err := c.Get(context.Background(), id)
	got := int64(0)
	if err == nil {
		got = a.Version
	} else if !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("product %d: %v", id, err)
	}
	if got != version || age != stale {
		t.Fatalf("product %d: version %d, stale %v; want %d, %v", id, got, age, version, stale)
	}
}

func refused(t *testing.T, c *Cache, id int64) {
	t.Helper()
	start := time.Now()
	if a, _, err := c.Get(context.Background(), id); !errors.Is(err, blob.ErrUnavailable) {
		t.Fatalf("product %d: %v, %v", id, a, err)
	}
	if took := time.Since(start); took != 0 {
		t.Fatalf("product %d: refused after %v", id, took)
	}
}

func TestBoundOfTheFeed(t *testing.T) {
	node(t, func(t *testing.T, c *Cache, db *slow) {
		reads(t, c, 1, 1, 0)
		reads(t, c, 200, 0, 0)
		db.looked()
		time.Sleep(10 * time.Second)
		c.Fresh(time.Now())
		c.Fresh(time.Now().Add(-time.Second)) // takes nothing back
		db.put(row(1, 2))
		db.put(row(200, 2))
		time.Sleep(testBound)
		reads(t, c, 1, 1, 0)
		reads(t, c, 200, 0, 0)
		if s := c.Stats(); s.Staleness != testBound || s.ReadsThrough {
			t.Errorf("at the bound: %+v", s)
		}
		if n := len(db.looked()); n != 0 {
			t.Errorf("%d look-ups within the bound", n)
		}
		time.Sleep(time.Nanosecond)
		if s := c.Stats(); !s.ReadsThrough {
			t.Errorf("past the bound: %+v", s)
		}
		reads(t, c, 1, 2, 0)
		reads(t, c, 200, 2, 0)
		if s := c.Stats(); s.Through != 2 || s.Stale != 0 {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

// What was looked up without the feed is good for as long as the bound.
func TestBoundOfALookUp(t *testing.T) {
	node(t, func(t *testing.T, c *Cache, db *slow) {
		time.Sleep(time.Minute)
		db.takes = 300 * time.Millisecond
		reads(t, c, 1, 1, 0)
		db.put(row(1, 2))
		db.looked()
		// Counted from when the look-up began.
		time.Sleep(testBound - db.takes)
		reads(t, c, 1, 1, 0)
		if n := len(db.looked()); n != 0 {
			t.Errorf("%d look-ups within the bound", n)
		}
		time.Sleep(time.Nanosecond)
		reads(t, c, 1, 2, 0)
		// With the feed back, hits are hits.
		c.Fresh(time.Now())
		db.looked()
		time.Sleep(testBound)
		reads(t, c, 1, 2, 0)
		if n := len(db.looked()); n != 0 {
			t.Errorf("%d look-ups with the feed", n)
		}
	})
}

// A look-up under way is joined by a crowd, but not by a read that begins more
// than the bound after it.
func TestJoiningWithoutTheFeed(t *testing.T) {
	node(t, func(t *testing.T, c *Cache, db *slow) {
		reads(t, c, 1, 1, 0)
		db.looked()
		time.Sleep(time.Minute)
		entered := time.Now()
		db.during = func(ctx context.Context, ids []int64) error { return nil }
		db.takes = 1500 * time.Millisecond
		got := make(chan int64, 100)
		get := func() {
			// A read of a product that is held waits for heldLimit, but this one
			// is asked for where nothing is held.
			a, _, err := c.Get(context.Background(), 50)
			if err != nil {
				t.Error(err)
				got <- 0
				return
			}
			got <- a.Version
		}
		for range 50 {
			go get()
		}
		time.Sleep(testBound)
		for range 49 {
			go get()
		}
		synctest.Wait()
		if trips := db.looked(); len(trips) != 0 {
			t.Fatalf("answered after %v", time.Since(entered))
		}
		time.Sleep(time.Nanosecond)
		db.put(row(50, 2))
		go get() // its own look-up, behind the other one
		time.Sleep(time.Minute)
		if trips := db.looked(); len(trips) != 2 {
			t.Errorf("look-ups %v, want two", trips)
		}
		for range 100 {
			if v := <-got; v != 2 {
				t.Errorf("version %d", v)
			}
		}
	})
}

func TestDatabaseGone(t *testing.T) {
	node(t, func(t *testing.T, c *Cache, db *slow) {
		reads(t, c, 1, 1, 0)
		reads(t, c, 200, 0, 0)
		db.fail(errGone)
		reads(t, c, 1, 1, 0) // still known to be right
		refused(t, c, 2)
		time.Sleep(testBound)
		reads(t, c, 1, 1, 0)
		time.Sleep(time.Nanosecond)
		reads(t, c, 1, 1, testBound+1)
		reads(t, c, 200, 0, testBound+1)
		refused(t, c, 2)
		many, stale, err := c.Many(context.Background(), nil, []int64{200, 1})
		if err != nil || len(many) != 1 || stale != testBound+1 {
			t.Errorf("Many: %v, %v, %v", many, stale, err)
		}
		if _, _, err := c.Many(context.Background(), nil, []int64{1, 2}); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("Many with one that is not there: %v", err)
		}
		// A change that the node knows of is not hidden by an older state.
		c.Wrote(blob.Change{Changed: []int64{200}})
		refused(t, c, 200)

		time.Sleep(testLimit - testBound - 1)
		reads(t, c, 1, 1, testLimit)
		time.Sleep(time.Nanosecond)
		refused(t, c, 1)

		synctest.Wait() // the look-up that failed has signed off
		db.fail(nil)
		db.put(row(1, 2))
		reads(t, c, 1, 2, 0) // no feed needed
	})
}

// A database that says nothing is waited for half a second by the first, and
// then by one read at a time. What was refused goes on with the feed's return.
func TestDatabaseSilent(t *testing.T) {
	node(t, func(t *testing.T, c *Cache, db *slow) {
		reads(t, c, 1, 1, 0)
		reads(t, c, 2, 1, 0)
		time.Sleep(testBound + 1)
		db.takes = time.Hour
		start := time.Now()
		reads(t, c, 1, 1, testBound+1+heldLimit)
		if took := time.Since(start); took != heldLimit {
			t.Errorf("the first waited for %v", took)
		}
		time.Sleep(2 * time.Second) // now it is known
		go func() { _, _, _ = c.Get(context.Background(), 3) }()
		synctest.Wait()
		age := testBound + 1 + heldLimit + 2*time.Second
		for range 10 {
			reads(t, c, 1, 1, age)
			reads(t, c, 2, 1, age)
		}
		refused(t, c, 4)
		db.takes = 0
		c.Fresh(time.Now())
		reads(t, c, 4, 1, 0) // although one look-up still waits in vain
		reads(t, c, 1, 1, 0)
		time.Sleep(3 * time.Second)
	})
}

// stubborn keeps the first entry of a product, as ristretto may.
type stubborn struct{ *tableStore }

func (s stubborn) Set(id int64, e *entry, cost int64) bool {
	if _, ok := s.Get(id); ok {
		return true
	}
	return s.tableStore.Set(id, e, cost)
}

// What a look-up has found ahead of the feed stays found, whatever the store
// makes of it.
func TestNothingGoesBack(t *testing.T) {
	nodeOn(t, stubborn{newTableStore()}, func(t *testing.T, c *Cache, db *slow) {
		reads(t, c, 1, 1, 0)
		reads(t, c, 2, 1, 0)
		db.put(row(1, 2))
		db.remove(2)
		time.Sleep(testBound + 1)
		reads(t, c, 1, 2, 0)
		reads(t, c, 2, 0, 0)
		c.Fresh(time.Now().Add(-time.Millisecond)) // the feed does not know it yet
		reads(t, c, 1, 2, 0)
		reads(t, c, 2, 0, 0)
		db.fail(errGone)
		reads(t, c, 1, 2, 0)
		reads(t, c, 2, 0, 0)
		clear(c.store.(*front).slots) // now only the old entries are left
		refused(t, c, 1)
		refused(t, c, 2)
	})
}

// pageIs expects the ids from the 99th product on.
func pageIs(t *testing.T, c *Cache, stale time.Duration, want ...int64) {
	t.Helper()
	page, _, age, err := c.Page(context.Background(), nil, 98, 10)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, a := range page {
		ids = append(ids, a.ProductID)
	}
	if !slices.Equal(ids, want) || age != stale {
		t.Fatalf("page %v, stale %v; want %v, %v", ids, age, want, stale)
	}
}

func TestListWithoutTheFeed(t *testing.T) {
	node(t, func(t *testing.T, c *Cache, db *slow) {
		pageIs(t, c, 0, 99, 100)
		db.put(row(101, 2))
		time.Sleep(testBound)
		pageIs(t, c, 0, 99, 100)
		time.Sleep(time.Nanosecond)
		pageIs(t, c, 0, 99, 100, 101)
		db.put(row(102, 2))
		loads := db.loads
		time.Sleep(testBound) // from the load on
		pageIs(t, c, 0, 99, 100, 101)
		if db.loads != loads {
			t.Errorf("%d loads within the bound", db.loads-loads)
		}
		time.Sleep(time.Nanosecond)
		pageIs(t, c, 0, 99, 100, 101, 102)
		if err := c.Ready(); err != nil {
			t.Errorf("Ready: %v", err)
		}
		db.fail(errGone)
		time.Sleep(testBound + 1)
		pageIs(t, c, testBound+1, 99, 100, 101, 102)
		time.Sleep(testLimit - testBound - 1)
		pageIs(t, c, testLimit, 99, 100, 101, 102)
		time.Sleep(time.Nanosecond)
		if _, _, _, err := c.Page(context.Background(), nil, 0, 1); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("past the limit: %v", err)
		}
		db.fail(nil)
		db.remove(99)
		pageIs(t, c, 0, 100, 101, 102)
	})
}

// What a page of newly loaded ids leaves out is gone for other reads too, though
// the feed has not told of it yet.
func TestGoneFromTheList(t *testing.T) {
	node(t, func(t *testing.T, c *Cache, db *slow) {
		reads(t, c, 99, 1, 0)
		time.Sleep(testBound)
		polled := time.Now()
		db.remove(99)
		time.Sleep(time.Nanosecond)
		pageIs(t, c, 0, 100)
		c.Fresh(polled)
		reads(t, c, 99, 0, 0)
	})
}

// After a publish the list goes on with the ids that it has for as long as they
// can't be too old, though the feed is followed.
func TestListAfterAPublish(t *testing.T) {
	node(t, func(t *testing.T, c *Cache, db *slow) {
		pageIs(t, c, 0, 99, 100)
		db.put(row(101, 2))
		db.fail(errGone)
		time.Sleep(time.Millisecond)
		c.Apply(blob.Change{Version: 2, Generation: 2})
		db.fail(nil)
		hang := make(chan struct{})
		db.mu.Lock()
		db.duringLoad = func(ctx context.Context) error {
			select {
			case <-hang:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		db.mu.Unlock()
		keep := func(d time.Duration) {
			time.Sleep(d)
			c.Fresh(time.Now())
		}
		keep(testBound - time.Millisecond)
		pageIs(t, c, 0, 99, 100)
		keep(1)
		pageIs(t, c, testBound+1+heldLimit, 99, 100)
		c.Fresh(time.Now())
		close(hang)
		time.Sleep(retryLast)
		pageIs(t, c, 0, 99, 100, 101)
	})
}

// TestOneContract: between a publish and its arrival by the feed, what is
// cached and what is looked up are of two contracts, but no answer is.
func TestOneContract(t *testing.T) {
	atelier := func(id, version int64) blob.Row {
		r := row(id, version)
		r.Contract = blob.Atelier
		return r
	}
	ctx := context.Background()
	ids := []int64{3, 200, 1, 2}
	node(t, func(t *testing.T, c *Cache, db *slow) {
		reads(t, c, 1, 1, 0)
		reads(t, c, 3, 1, 0)
		for id := range int64(100) {
			db.put(atelier(id+1, 5))
		}
		db.remove(3)
		many, _, err := c.Many(ctx, nil, ids)
		if err != nil || len(many) != 2 || many[0].Contract != blob.Atelier || many[1].Contract != blob.Atelier {
			t.Fatalf("across a publish: %v, %v", many, err)
		}
		reads(t, c, 1, 5, 0)
		reads(t, c, 3, 0, 0)

		// Another publish, seen while the database goes away.
		db.put(row(7, 9))
		reads(t, c, 7, 9, 0)
		db.fail(errGone)
		if many, _, err := c.Many(ctx, nil, []int64{1, 7}); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("two contracts, and no database: %v, %v", many, err)
		}
		db.fail(nil)
		// And publishes without end: whichever is looked up is of another one.
		version := int64(9)
		db.during = func(_ context.Context, ids []int64) error {
			for _, id := range ids {
				version++
				if id == 1 {
					db.put(row(id, version))
				} else {
					db.put(atelier(id, version))
				}
			}
			return nil
		}
		c.Wrote(blob.Change{Changed: []int64{1, 7}})
		if many, _, err := c.Many(ctx, nil, []int64{1, 7}); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("publishes without end: %v, %v", many, err)
		}
	})
}

// TestUnload: without a catalogue nothing of the one before is left.
func TestUnload(t *testing.T) {
	node(t, func(t *testing.T, c *Cache, db *slow) {
		reads(t, c, 1, 1, 0)
		db.takes = time.Second
		c.Apply(blob.Change{Version: 2, Generation: 2})
		c.Unload()
		check := func() {
			t.Helper()
			_, _, get := c.Get(context.Background(), 1)
			_, _, _, page := c.Page(context.Background(), nil, 0, 1)
			for name, err := range map[string]error{"Get": get, "Page": page, "Ready": c.Ready()} {
				if !errors.Is(err, blob.ErrNotReady) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		check()
		time.Sleep(time.Minute) // the load that was under way has ended
		check()
		if err := c.Load(context.Background(), 3); err != nil {
			t.Fatal(err)
		}
		db.put(row(1, 4))
		reads(t, c, 1, 4, 0)
	})
}

// BenchmarkOldest is what the comparison of the clock costs each read.
func BenchmarkOldest(b *testing.B) {
	var f freshness
	f.begin(time.Hour, time.Hour)
	f.known(time.Now())
	for b.Loop() {
		if f.oldest() != anyAge {
			b.Fatal("not fresh")
		}
	}
}
