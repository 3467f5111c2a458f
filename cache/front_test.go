package cache

import (
	"context"
	"testing"
	"time"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cache/fence"
)

// watched is a store that counts what it is asked, and says so before it answers.
type watched struct {
	*tableStore
	asked int
	after func() // of the store's own look, before its answer
}

func (w *watched) Get(id int64) (*entry, bool) {
	w.asked++
	e, ok := w.tableStore.Get(id)
	if w.after != nil {
		w.after()
	}
	return e, ok
}

func newWatched(budget int64) (*front, *watched) {
	w := &watched{tableStore: newTableStore()}
	return newFront(w, new(fence.Fence), budget), w
}

// promote asks for a product until it is in front.
func promote(t *testing.T, f *front, id int64) {
	t.Helper()
	for range 100 * broughtHits {
		if s := f.slot(id).Load(); s != nil && s.id == id {
			return
		}
		f.Get(id)
	}
	t.Fatalf("product %d does not come to the front", id)
}

func TestFrontSparesTheStore(t *testing.T) {
	f, w := newWatched(0)
	f.Set(1, &entry{cost: 7}, 0)
	const hits = 100 * toldHits
	for range hits {
		if got, ok := f.Get(1); !ok || got.cost != 7 {
			t.Fatal("not there")
		}
	}
	if w.asked < 40 || w.asked > 250 {
		t.Errorf("of %d hits the store was told %d", hits, w.asked)
	}
	if n := testing.AllocsPerRun(100, func() { f.Get(1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A product that is asked for often takes the place of another, one that is
// only looked up does not.
func TestFrontGoesToTheWanted(t *testing.T) {
	f, w := newWatched(0)
	other := 1 + int64(len(f.slots))
	f.Set(1, &entry{}, 0)
	f.Set(other, &entry{}, 0)
	if s := f.slot(1).Load(); s.id != 1 {
		t.Errorf("product %d is in front", s.id)
	}
	promote(t, f, other)
	w.asked = 0
	f.Get(other)
	if w.asked > 1 {
		t.Errorf("asked %d times", w.asked)
	}
}

// An entry whose stamp has ended is none, and the store may have a newer one.
func TestFrontAsksTheFence(t *testing.T) {
	f, w := newWatched(0)
	f.Set(1, &entry{stamp: f.fence.Stamp(1)}, 0)
	f.fence.Raise(1)
	newer := &entry{stamp: f.fence.Stamp(1), cost: 7}
	_ = w.tableStore.Set(1, newer, 0)
	if got, ok := f.Get(1); !ok || *got != *newer {
		t.Errorf("%+v, %v; want %+v", got, ok, newer)
	}
}

// What a reader found in the store before it was replaced does not come up
// again, whatever else has been in its slot in between.
func TestFrontStaysAhead(t *testing.T) {
	for range 10 * broughtHits {
		f, w := newWatched(0)
		other := 1 + int64(len(f.slots))
		f.store.Set(1, &entry{}, 0)
		f.store.Set(other, &entry{}, 0)
		promote(t, f, other)
		newer := &entry{cost: 7}
		w.after = func() {
			w.after = nil
			f.Set(1, newer, 0)
			promote(t, f, 1)
			promote(t, f, other)
		}
		f.Get(1)
		delete(w.m, 1)
		if got, ok := f.Get(1); ok && *got != *newer {
			t.Fatal("the old entry has come back")
		}
	}
}

// The same where what a look-up has found goes into no store.
func TestFrontIsToldOfMore(t *testing.T) {
	for range 10 * broughtHits {
		f, w := newWatched(0)
		f.store.Set(1, &entry{}, 0)
		w.after = func() {
			w.after = nil
			f.replace(1, nil)
		}
		f.Get(1)
		delete(w.m, 1)
		if _, ok := f.Get(1); ok {
			t.Fatal("the old entry has come back")
		}
	}
}

func TestFrontIsBounded(t *testing.T) {
	const budget = 64 << 20
	f, _ := newWatched(budget)
	if most := int64(len(f.slots)) * frontCost; most > budget/16 {
		t.Errorf("%d slots for a budget of %d", len(f.slots), budget)
	}
	f.Set(1, &entry{cost: frontCost + 1}, frontCost+1)
	for range 10 * broughtHits {
		f.Get(1)
	}
	if s := f.slot(1).Load(); !s.none {
		t.Error("an entry too large for it is in front")
	}
	// It must end the smaller one that was there.
	f.Set(2, &entry{}, 0)
	f.Set(2, &entry{cost: frontCost + 1}, frontCost+1)
	if s := f.slot(2).Load(); !s.none {
		t.Error("an entry that was replaced is in front")
	}
}

// announced is a store that says which entry it is about to take.
type announced struct {
	*tableStore
	before func(e *entry)
}

func (a *announced) Set(id int64, e *entry, cost int64) bool {
	if a.before != nil {
		a.before(e)
	}
	return a.tableStore.Set(id, e, cost)
}

// What was unpacked while a look-up was under way ends with what that finds ahead
// of the feed, also where the look-up knew of an entry that had ended already.
func TestUnpackedDoesNotComeBack(t *testing.T) {
	ctx := context.Background()
	const other = 3 // has the same slot
	shelf, a := newShelf(row(1, 1), row(other, 1)), &announced{tableStore: newTableStore()}
	c := newCache(Config{Source: shelf, MissTimeout: time.Second, MaxStaleness: time.Hour}, a)
	defer c.Close()
	if err := c.Load(ctx, 0); err != nil {
		t.Fatal(err)
	}
	c.packed.reset(realisticCodec(t), 100, 4*segmentSize, true)
	landed := func() {
		t.Helper()
		eventually(t, func() bool {
			c.flights.mu.Lock()
			defer c.flights.mu.Unlock()
			return c.flights.flying == 0
		})
	}
	reads(t, c, 1, 1, 0)
	landed()
	c.Apply(blob.Change{Version: 2, Changed: []int64{1 + fence.Stripes}})
	if !c.flights.fill(ctx, []int64{1}) {
		t.Fatal("not filled")
	}
	landed()

	reads(t, c, other, 1, 0)
	promote(t, c.flights.store, other)

	// This reader has looked for it before it was filled in.
	shelf.during = func(context.Context, []int64) error {
		for stored := false; !stored; {
			e, good := c.hit(1, 0)
			if !good || e.answers.Version != 1 {
				t.Errorf("hit %v, %v", e, good)
				break
			}
			now, _ := a.tableStore.Get(1)
			stored = now == e
		}
		shelf.put(row(1, 3))
		a.before = func(e *entry) {
			for range 100 * broughtHits { // others read what is to be replaced
				c.store.Get(1)
			}
		}
		return nil
	}
	joined, err := c.flights.join(nil, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := c.flights.wait(ctx, joined[0], nil); err != nil || e.answers.Version != 3 {
		t.Fatal(e, err)
	}
	shelf.during, a.before = nil, nil
	reads(t, c, 1, 3, 0)
}
