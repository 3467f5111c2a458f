package cache

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

// slow answers each look-up after a time of its own.
type slow struct {
	*shelf
	takes time.Duration
	deaf  bool // doesn't notice that its context ends
}

func (s *slow) Lookup(ctx context.Context, ids []int64) ([]blob.Row, error) {
	timer := time.NewTimer(s.takes)
	defer timer.Stop()
	done := ctx.Done()
	if s.deaf {
		done = nil
	}
	select {
	case <-timer.C:
		return s.shelf.Lookup(ctx, ids)
	case <-done:
		return nil, ctx.Err()
	}
}

// bubble runs f with a cache on a slow source; misses may take a second.
func bubble(t *testing.T, takes time.Duration, f func(t *testing.T, c *Cache, db *slow)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db := &slow{shelf: newShelf(rows(1, 10_000)...), takes: takes}
		c := newCache(Config{Source: db, MissTimeout: time.Second, MaxStaleness: time.Hour}, newTableStore())
		defer c.Close()
		if err := c.Load(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		f(t, c, db)
	})
}

func TestMissTimeout(t *testing.T) {
	for _, tc := range []struct {
		name  string
		takes time.Duration
		deaf  bool
		want  error
	}{
		{"just in time", time.Second - 1, false, nil},
		{"just too late", time.Second + 1, false, blob.ErrUnavailable},
		{"source deaf to its context", time.Second + 1, true, blob.ErrUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, tc.takes, func(t *testing.T, c *Cache, db *slow) {
				db.deaf = tc.deaf
				start := time.Now()
				_, _, err := c.Get(context.Background(), 1)
				if !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if took, want := time.Since(start), min(tc.takes, time.Second); took != want {
					t.Errorf("took %v, want %v", took, want)
				}
			})
		})
	}
}

func TestLeavingDoesNotCancelOthers(t *testing.T) {
	bubble(t, 500*time.Millisecond, func(t *testing.T, c *Cache, db *slow) {
		first, leave := context.WithCancel(context.Background())
		left, stayed := make(chan error, 1), make(chan error, 1)
		go func() { _, _, err := c.Get(first, 1); left <- err }()
		synctest.Wait()
		go func() { _, _, err := c.Get(context.Background(), 1); stayed <- err }()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
		if err := <-stayed; err != nil {
			t.Errorf("who stayed: %v", err)
		}
		if trips := db.looked(); len(trips) != 1 {
			t.Errorf("look-ups %v, want one", trips)
		}
	})
}

// What waits beside other look-ups is shared among them, but for what came
// together.
func TestFairBatches(t *testing.T) {
	bubble(t, 500*time.Millisecond, func(t *testing.T, c *Cache, db *slow) {
		ctx := context.Background()
		go func() { _, _, _ = c.Get(ctx, 1) }()
		synctest.Wait()
		if _, err := c.flights.join(nil, anyAge, ascending(1000, 200)...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if trips := db.looked(); len(trips) != 2 {
			t.Errorf("%d look-ups, want one for what came together", len(trips)-1)
		}
		for id := range int64(maxRoundTrips) {
			go func() { _, _, _ = c.Get(ctx, id+2) }()
			synctest.Wait()
		}
		const waiting = 30 * maxRoundTrips
		for id := range int64(waiting) {
			go func() { _, _, _ = c.Get(ctx, 100+id) }()
		}
		time.Sleep(time.Minute)
		var got []int
		for _, trip := range db.looked() {
			got = append(got, len(trip))
		}
		for i, n := range got {
			if want := waiting / maxRoundTrips; i >= maxRoundTrips && (n < fairBatch || n > want+1) {
				t.Errorf("look-ups of %v products, want %d each", got, want)
			}
		}
	})
}

func ascending(from, count int64) (ids []int64) {
	for id := from; id < from+count; id++ {
		ids = append(ids, id)
	}
	return ids
}

func TestFlightThatEverybodyLeftIsNotFlown(t *testing.T) {
	bubble(t, 500*time.Millisecond, func(t *testing.T, c *Cache, db *slow) {
		for id := range int64(maxRoundTrips) {
			go func() { _, _, _ = c.Get(context.Background(), id+1) }()
			synctest.Wait()
		}
		ctx, leave := context.WithCancel(context.Background())
		go func() { _, _, _ = c.Get(ctx, 100) }()
		synctest.Wait()
		leave()
		time.Sleep(time.Minute)
		if trips := db.looked(); len(trips) != maxRoundTrips {
			t.Errorf("look-ups %v: flown for nobody", trips)
		}
	})
}

func TestTooManyWait(t *testing.T) {
	bubble(t, 900*time.Millisecond, func(t *testing.T, c *Cache, db *slow) {
		for id := range int64(maxRoundTrips) { // take off alone
			go func() { _, _, _ = c.Get(context.Background(), id+1) }()
			synctest.Wait()
		}
		results := make(chan error, maxWaiting+1)
		for id := range int64(maxWaiting) {
			go func() { _, _, err := c.Get(context.Background(), 100+id); results <- err }()
		}
		synctest.Wait()
		if s := c.Stats(); s.Waiting != maxWaiting {
			t.Fatalf("%d wait, want %d", s.Waiting, maxWaiting)
		}
		start := time.Now()
		if _, _, err := c.Get(context.Background(), 9000); !errors.Is(err, blob.ErrOverloaded) || time.Since(start) != 0 {
			t.Errorf("one too many: %v after %v", err, time.Since(start))
		}
		// A page is turned away as a whole, and joining is free.
		if _, _, err := c.Many(context.Background(), nil, []int64{100, 9001}); !errors.Is(err, blob.ErrOverloaded) {
			t.Errorf("a page too many: %v", err)
		}
		go func() { _, _, err := c.Get(context.Background(), 100); results <- err }()
		time.Sleep(time.Minute)
		if len(results) != maxWaiting+1 {
			t.Errorf("%d of %d callers were answered", len(results), maxWaiting+1)
		}
		if s := c.Stats(); s.Waiting != 0 || s.Refused != 2 {
			t.Errorf("afterwards: %+v", s)
		}
		if _, _, err := c.Get(context.Background(), 9000); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// While the database does not answer, one caller at a time finds out, the rest
// are told at once; hits go on; and the first answer ends it.
func TestDatabaseDown(t *testing.T) {
	bubble(t, 0, func(t *testing.T, c *Cache, db *slow) {
		ctx := context.Background()
		if _, _, err := c.Get(ctx, 1); err != nil {
			t.Fatal(err)
		}
		db.takes = time.Hour
		if _, _, err := c.Get(ctx, 2); !errors.Is(err, blob.ErrUnavailable) {
			t.Fatal(err)
		}
		go func() { _, _, _ = c.Get(ctx, 3) }() // tries
		synctest.Wait()
		start := time.Now()
		for id := range int64(100) {
			if _, _, err := c.Get(ctx, 4+id); !errors.Is(err, blob.ErrUnavailable) {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("misses were told after %v", took)
		}
		if _, _, err := c.Get(ctx, 1); err != nil {
			t.Errorf("a hit: %v", err)
		}
		db.takes = 0
		time.Sleep(2 * time.Second) // the one that tried has given up
		if _, _, err := c.Many(ctx, nil, []int64{5, 6, 7}); err != nil {
			t.Errorf("after the return: %v", err)
		}
		synctest.Wait()
		if c.flights.down {
			t.Error("still down")
		}
	})
}

func TestLoadIsTriedAgain(t *testing.T) {
	bubble(t, 0, func(t *testing.T, c *Cache, db *slow) {
		db.put(row(20_000, 2))
		db.fail(fmt.Errorf("cut: %w", blob.ErrUnavailable))
		c.Apply(blob.Change{Version: 2, Generation: 2})
		time.Sleep(time.Minute)
		if err := c.Ready(); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("Ready: %v", err)
		}
		if loads := db.loads; loads < 50 || loads > 70 {
			t.Errorf("%d attempts in a minute", loads)
		}
		if _, total, set := c.ids.page(nil, 0, 1); !set.loaded || total != 10_000 {
			t.Errorf("the list did not go on: total %d, %v", total, set)
		}
		db.fail(nil)
		time.Sleep(time.Second)
		if err := c.Ready(); err != nil {
			t.Error(err)
		}
		if _, total, _ := c.ids.page(nil, 0, 1); total != 10_001 {
			t.Errorf("total %d", total)
		}
	})
}

func TestLoadGivesUpWithItsContext(t *testing.T) {
	bubble(t, 0, func(t *testing.T, c *Cache, db *slow) {
		db.fail(fmt.Errorf("cut: %w", blob.ErrUnavailable))
		ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
		defer cancel()
		time.Sleep(time.Second)
		if err := c.Load(ctx, 0); err == nil {
			t.Error("Load worked")
		}
		if _, _, _, err := c.Page(context.Background(), nil, 0, 5); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("Page shows ids from before Load: %v", err)
		}
	})
}

// TestLongRowsTravelInSmallBatches: what is under way is bounded in bytes too.
func TestLongRowsTravelInSmallBatches(t *testing.T) {
	db := newShelf()
	for id := int64(1); id <= 1000; id++ {
		r := row(id, 1)
		r.Styles = fmt.Appendf(nil, `{"name": "%0*d"}`, 60_000, id)
		db.put(r)
	}
	c := newLoaded(t, db)
	list(t, c, 0, 500) // which teaches it
	db.looked()
	list(t, c, 500, 500)
	trips := db.looked()
	for _, trip := range trips {
		if len(trip) > 2*batchBytes/60_000 {
			t.Errorf("%d products of 60 kB in one look-up", len(trip))
		}
	}
	if len(trips) > 20 {
		t.Errorf("%d look-ups for 500 products", len(trips))
	}
}
