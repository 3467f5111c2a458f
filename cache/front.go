package cache

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"

	"github.com/hotshelf/hotshelf/cache/fence"
)

// front is a store with a small table before it, of what is asked for most.
// ristretto counts every Get in a sketch that outgrows the processor's caches:
// with the goroutine that does it, that is a tenth of what a hit costs, and a
// third of a list. One hit in toldHits is told to it, so it still knows what is
// wanted.
//
// What must always hold, for the reasons in flights: an entry that was replaced
// or taken away in the store behind does not come up again here. So Get puts
// into a slot what the store had only if the slot is as it was before the store
// was asked, and Set makes a new slot of any. A slot is never used again, so a
// pointer to it tells.
type front struct {
	store
	fence *fence.Fence
	slots []atomic.Pointer[slot] // as many as a power of two
}

// slot has its entry in itself, which spares a hit one wait for memory.
type slot struct {
	id    int64
	none  bool
	entry entry
}

const (
	// toldHits: of so many hits in front, one is told to the store. What leaves
	// the store for that stays in front, while it is wanted there.
	toldHits = 256
	// broughtHits: of so many hits in the store, one comes to the front.
	broughtHits = 16
	// frontShare: the front holds so much less than the budget. What it holds
	// is in the store as well as a rule; entries that have left the store are on
	// top of the budget.
	frontShare = 64
	// frontCost bounds what an entry in front may take.
	frontCost = 4 * typicalCost
	mostSlots = 1 << 16
)

func newFront(s store, f *fence.Fence, budget int64) *front {
	count := min(max(budget/frontShare/typicalCost, 2), mostSlots)
	return &front{store: s, fence: f, slots: make([]atomic.Pointer[slot], 1<<(bits.Len64(uint64(count))-1))}
}

// slot is where a product may be: next to each other those with ids next to
// each other.
func (f *front) slot(id int64) *atomic.Pointer[slot] {
	return &f.slots[uint64(id)&uint64(len(f.slots)-1)]
}

func (f *front) Get(id int64) (*entry, bool) {
	at := f.slot(id)
	held := at.Load()
	drawn := rand.Uint32()
	if held != nil && held.id == id && !held.none && f.fence.Holds(id, held.entry.stamp) {
		if drawn%toldHits == 0 {
			f.store.Get(id)
		}
		return &held.entry, true
	}
	e, ok := f.store.Get(id)
	if ok && drawn%broughtHits == 0 && e.cost <= frontCost {
		at.CompareAndSwap(held, &slot{id: id, entry: *e})
	}
	return e, ok
}

// touch reads of each product a word of what an answer to many will read: the
// processor then waits for the memory of all of them at once, not of one after
// the other. What it returns means nothing; it keeps the reads from being
// left out.
//
//go:noinline
func (f *front) touch(ids []int64) (sum byte) {
	for _, id := range ids {
		if held := f.slot(id).Load(); held != nil && held.id == id && held.entry.answers != nil {
			if body := held.entry.answers.Detail.Body; len(body) > 0 {
				sum += body[0]
			}
		}
	}
	return sum
}

func (f *front) Set(id int64, e *entry, cost int64) bool {
	if cost > frontCost {
		f.replace(id, nil)
	} else {
		f.replace(id, e)
	}
	return f.store.Set(id, e, cost)
}

// replace ends what is in front of a product, and what a reader may be about to
// put there. It is also for who has an entry that the store does not get.
func (f *front) replace(id int64, e *entry) {
	at := f.slot(id)
	for {
		held := at.Load()
		next := &slot{id: id, none: e == nil}
		if e != nil {
			next.entry = *e
		}
		if held != nil && held.id != id {
			*next = *held
		}
		if at.CompareAndSwap(held, next) {
			return
		}
	}
}
