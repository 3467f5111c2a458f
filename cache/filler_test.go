package cache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

// settleFill waits until a cache has filled itself.
func settleFill(t *testing.T, c *Cache) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); c.Stats().Filling; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still filling: %+v", c.Stats())
		}
	}
}

// TestFill: of a catalogue that fits packed, everything is answered without the
// database once the cache has filled itself, after a start and after a publish;
// a change is looked up.
func TestFill(t *testing.T) {
	const count, budget = 2000, 2500 << 10
	ctx := context.Background()
	shelf := newShelf()
	for id := int64(1); id <= count; id++ {
		shelf.put(realistic(3 * id)) // with gaps
	}
	c := newSized(t, shelf, budget)
	read := func(what string, want int64) {
		t.Helper()
		settleFill(t, c)
		before := c.Stats()
		for id := int64(1); id <= count; id++ {
			if a, _, err := c.Get(ctx, 3*id); err != nil || a.ProductID != 3*id {
				t.Fatal(a, err)
			}
		}
		s := c.Stats()
		if s.Misses-before.Misses != want || s.Bytes > s.Limit || s.Limit > budget {
			t.Errorf("%s: %+v", what, s)
		}
	}
	read("after the start", 0)
	if s := c.Stats(); s.Filled != count || s.Packed != count {
		t.Errorf("%+v", s)
	}
	for _, trip := range shelf.looked()[1:] { // the first is the sample
		if len(trip) > fillBatch {
			t.Errorf("%d products looked up at once", len(trip))
		}
	}
	c.Apply(blob.Change{Version: 2, Changed: []int64{30, 60}})
	read("after a change", 2)
	c.Apply(blob.Change{Version: 3, Generation: 2})
	for c.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	read("after a publish", 0)
	c.Unload()
	if s := c.Stats(); s.Filling {
		t.Errorf("with nothing to fill in: %+v", s)
	}
}

// TestFillEnds: it stops with the cache, and where its ids are no longer those
// of the catalogue.
func TestFillEnds(t *testing.T) {
	shelf := newShelf()
	for id := int64(1); id <= 2000; id++ {
		shelf.put(realistic(id))
	}
	reached := make(chan struct{}, 1)
	shelf.during = func(ctx context.Context, ids []int64) error {
		if len(ids) > fillBatch { // the sample
			return nil
		}
		select {
		case reached <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return ctx.Err()
	}
	c, err := New(Config{Bytes: 2500 << 10, MissTimeout: 100 * time.Millisecond, MaxStaleness: time.Hour, Source: shelf})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Load(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	<-reached
	if s := c.Stats(); !s.Filling || s.Filled != 0 {
		t.Errorf("%+v", s)
	}
	c.Unload()
	settleFill(t, c)
	if err := c.Load(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	<-reached
	c.Close() // goleak sees what stays
}

// TestFillWithReads: a read joins what the filler looks up, and what was read
// has its place in the store; the filler does not look up again what is under
// way, and asks a database that is down only where nobody else does.
func TestFillWithReads(t *testing.T) {
	bubble(t, time.Second/4, func(t *testing.T, c *Cache, db *slow) {
		f := c.flights
		ctx := context.Background()
		for id := range int64(maxRoundTrips) {
			go func() { _, _, _ = c.Get(ctx, id+1) }()
			synctest.Wait()
		}
		done := make(chan bool)
		go func() { done <- f.fill(ctx, []int64{1, 7, 8}) }()
		synctest.Wait()
		go func() { _, _, _ = c.Get(ctx, 7) }()
		if !<-done {
			t.Error("not filled")
		}
		synctest.Wait()
		if trips := db.looked(); len(trips) != maxRoundTrips+1 || len(trips[maxRoundTrips]) != 2 {
			t.Errorf("look-ups %v", trips)
		}
		for id, want := range map[int64]bool{7: true, 8: false} {
			if _, kept := c.store.Get(id); kept != want {
				t.Errorf("product %d in the store: %v, want %v", id, kept, want)
			}
		}
		if s := c.Stats(); s.Misses != maxRoundTrips+1 || s.Coalesced != 1 {
			t.Errorf("%+v", s)
		}
		down := func() {
			f.mu.Lock()
			f.down = true
			f.mu.Unlock()
		}
		go func() { _, _, _ = c.Get(ctx, 20) }()
		synctest.Wait()
		down()
		if f.fill(ctx, []int64{9}) {
			t.Error("asked a database that is down together with a read")
		}
		time.Sleep(time.Second)
		down()
		if !f.fill(ctx, []int64{9}) || f.isDown() {
			t.Error("did not find out that the database is back")
		}
		if trips := db.looked(); len(trips) != 2 {
			t.Errorf("look-ups %v", trips)
		}
	})
}

// TestApportion: whatever the catalogue, the parts stay inside the budget, and
// the collector has its share.
func TestApportion(t *testing.T) {
	const entrySize, packedSize = 3600, 460
	for _, tc := range []struct {
		name          string
		budget, count int64
		packed, whole bool
	}{
		{"fits as entries", 512 << 20, 100_000, false, false},
		{"fits packed", 486 << 20, 1_000_000, true, true},
		{"fits packed, and is small", 8 << 20, 10_000, true, true},
		{"fits packed without entries", 460 << 20, 1_000_000, true, false},
		{"does not fit", 46 << 20, 1_000_000, true, false},
		{"does not fit by far", 3 << 20, 50_000_000, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			packed, whole := int64(0), false
			if !fits(tc.budget, tc.count, entrySize) {
				packed, whole = apportion(tc.budget, tc.count, packedSize)
			}
			if packed > 0 != tc.packed || whole != tc.whole {
				t.Errorf("%d bytes packed, whole %v", packed, whole)
			}
			entries := besides(tc.budget, packed)
			spare := tc.budget - packed - entries
			if entries < tc.budget/32 || spare < min(tc.budget/4, leastSpare) || spare < (tc.budget-packed)/4 {
				t.Errorf("%d bytes for entries, %d packed, %d spare", entries, packed, spare)
			}
			if whole && packed < tc.count*packedSize {
				t.Errorf("%d bytes are too few for the whole catalogue", packed)
			}
		})
	}
}

// TestFilledCounts: what a read is looking up already is not the filler's.
func TestFilledCounts(t *testing.T) {
	bubble(t, time.Second/2, func(t *testing.T, c *Cache, _ *slow) {
		go func() { _, _, _ = c.Get(context.Background(), 1) }()
		synctest.Wait()
		if !c.flights.fill(context.Background(), []int64{1, 2}) {
			t.Fatal("not filled")
		}
		if n := c.Stats().Filled; n != 1 {
			t.Errorf("%d products, want 1", n)
		}
	})
}
