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
// third of a list. One hit in sampledHits is told to it, so it still knows what
// is wanted.
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

type slot struct {
	id    int64
	entry *entry // nil: none
}

const (
	// sampledHits: of so many hits in front, one is told to the store, and of so
	// many hits in the store, one comes to the front.
	sampledHits = 16
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
	sampled := rand.Uint32()%sampledHits == 0
	if held != nil && held.id == id && held.entry != nil && f.fence.Holds(id, held.entry.stamp) {
		if sampled {
			f.store.Get(id)
		}
		return held.entry, true
	}
	e, ok := f.store.Get(id)
	if ok && sampled && e.cost <= frontCost {
		at.CompareAndSwap(held, &slot{id, e})
	}
	return e, ok
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
		next := &slot{id, e}
		if held != nil && held.id != id {
			*next = *held
		}
		if at.CompareAndSwap(held, next) {
			return
		}
	}
}
