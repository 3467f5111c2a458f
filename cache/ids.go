package cache

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2/roaring64"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cache/fence"
)

// ids is the set of the live products, for "the n-th existing id" at any
// depth and with gaps. A dense million takes 125 kB.
//
// It is a bitmap under a read-write lock. Immutable copies would spare readers
// the lock, some 20 ns of the 0.1 to 1.2 µs that finding a page of a million
// takes, but each create or delete would copy the whole bitmap: 7 µs.
//
// A load replaces the set by what the database says, while changes go on being
// applied and pages go on being read. No change is lost, because the order is:
// first begin to note changes (begin), then take the snapshot (the statement
// that reads the ids starts), and in one step apply the noted changes to the
// snapshot and swap it in (finish). A change is applied after its commit. So
// one that was applied before begin is part of the snapshot, one applied
// between begin and finish is noted, and one applied later meets the new set.
// A noted change that the snapshot knows already does no harm: the set has an id
// as it was before, and comes to rest in the newest state when the feed does.
//
// What a page leaves out, nobody must have been shown before, and the other way
// round: see show and finish. An id that is in the set and not in the catalogue
// does no harm there, for its look-up tells.
type ids struct {
	fence *fence.Fence

	mu     sync.RWMutex
	live   *roaring64.Bitmap
	size   int64
	loaded bool // live may be read: from the first load on, and again after drop
	// ready says that there is a catalogue: from the first load to unload.
	ready atomic.Bool

	// want is the number of the newest load asked for, have that of the load
	// that made live what it is. While they differ, live may be out of date
	// in any id.
	want, have int64
	// refresh asks for a load although live is kept up: by a feed that tells
	// nothing at the moment.
	refresh bool
	// moment is when the load that made live began, or later as of when live is
	// known to have been up to date; begun is that of the load under way. See
	// freshness.
	moment, begun int64

	// What is noted: of each id the newest change. nil while there is no load.
	added, removed *roaring64.Bitmap

	// A write of this node's own comes twice, from the writer and by the feed,
	// in either order and with other changes between. told is how far the feed
	// has come: what a writer says of an older version is known, and maybe
	// outdated. own has, of each id that own writes touched ahead of the feed,
	// the version of the newest: what the feed says of an older one is outdated.
	told int64
	own  map[int64]int64

	iterators sync.Pool // *roaring64.IntIterator64, which point into themselves
}

// editsPerLock bounds how long readers wait behind one large change.
const editsPerLock = 1024

// apply takes a change in. own says that this node made it, and has it ahead
// of the feed.
func (s *ids) apply(change *blob.Change, own bool) {
	s.edit(change.Changed, false, change.Version, own)
	s.edit(change.Removed, true, change.Version, own)
	if !own {
		s.mu.Lock()
		s.told = change.Version
		s.mu.Unlock()
	}
}

func (s *ids) edit(list []int64, removed bool, version int64, own bool) {
	for part := range slices.Chunk(list, editsPerLock) {
		s.mu.Lock()
		if own && version <= s.told {
			part = nil
		}
		for _, id := range part {
			if newest, ok := s.own[id]; ok && newest > version {
				continue
			}
			if own {
				if s.own == nil {
					s.own = make(map[int64]int64)
				}
				s.own[id] = version
			} else if len(s.own) > 0 {
				delete(s.own, id)
			}
			s.change(id, removed)
		}
		s.mu.Unlock()
	}
}

// show is called for each product that a look-up has found, before anybody is
// shown it: a page that is read later must have it, though the feed may not have
// told of it yet. stamp is that of the look-up. Where show returns false, somebody
// has raised the fence since, maybe because the product is gone: only another
// look-up can tell.
//
// A fence is raised before its product leaves the set. So while the stamp holds,
// under the mutex, whatever the product's end may be is still to come.
func (s *ids) show(id int64, stamp fence.Stamp) bool {
	s.mu.RLock()
	there := s.has(id)
	s.mu.RUnlock()
	if there {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fence.Holds(id, stamp) {
		return s.has(id)
	}
	s.change(id, false)
	return true
}

// has says that an id is in the set to stay, as far as is known. The mutex is held.
func (s *ids) has(id int64) bool {
	if s.added != nil && !s.added.Contains(uint64(id)) {
		return false // the load may have begun before it came
	}
	return s.live.Contains(uint64(id))
}

// change takes one change in, and into a load under way. The mutex is held.
func (s *ids) change(id int64, removed bool) {
	n := uint64(id)
	if s.added != nil {
		from, to := s.removed, s.added
		if removed {
			from, to = to, from
		}
		from.Remove(n)
		to.Add(n)
	}
	switch {
	case removed && s.live.CheckedRemove(n):
		s.size--
	case !removed && s.live.CheckedAdd(n):
		s.size++
	}
}

// outdate says that any id may have changed since the moment: a new load is
// needed, until which the old set goes on.
func (s *ids) outdate(moment int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.have == s.want {
		s.moment = max(s.moment, moment)
	}
	s.want++
}

// need asks for a load that began at oldest or later.
func (s *ids) need(oldest int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh = s.refresh || s.added == nil || s.begun < oldest
}

// drop is outdate where the old set must not be used any longer, nor any entry.
// It returns the number of the load. head is where the feed goes on from.
func (s *ids) drop(head int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.empty(head)
	return s.want
}

func (s *ids) empty(head int64) {
	s.fence.RaiseAll() // with the mutex, so that show belongs to either side
	s.want++           // a load that is under way comes too late
	s.loaded, s.told, s.own = false, head, nil
}

// unload is drop where there is nothing to load.
func (s *ids) unload() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.empty(0)
	s.have, s.refresh = s.want, false
	s.ready.Store(false)
}

// begin starts a load now, and returns its number; 0 if none is needed. There
// is one at a time.
func (s *ids) begin(now int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.have == s.want && !s.refresh {
		return 0
	}
	s.added, s.removed = roaring64.New(), roaring64.New()
	s.refresh, s.begun = false, now
	return s.want
}

// finish ends the load that begin numbered. live is nil where it failed. A
// load that was overtaken by a newer wish is thrown away.
//
// It may be ahead of the feed. So the fence of each id that is gone is raised before
// a page shows it: what a page has left out must not come up again by itself.
func (s *ids) finish(load int64, live *roaring64.Bitmap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if live != nil && load == s.want {
		live.Or(s.added)
		live.AndNot(s.removed)
		if gone := roaring64.AndNot(s.live, live); gone.GetCardinality() >= fence.Stripes {
			s.fence.RaiseAll()
		} else {
			for id := gone.Iterator(); id.HasNext(); {
				s.fence.Raise(int64(id.Next()))
			}
		}
		s.live, s.size, s.loaded = live, int64(live.GetCardinality()), true
		s.have, s.moment = load, s.begun
		s.ready.Store(true)
	}
	s.added, s.removed = nil, nil
}

// idsState says what a set of ids is worth.
type idsState struct {
	loaded   bool  // there is a set
	outdated bool  // it awaits a load, and is not kept up until then
	moment   int64 // as of when it is known to be up to date, without the feed
}

// page appends up to count live ids from the offset-th on, both counted from
// 0, and returns the number of all.
func (s *ids) page(dst []int64, offset, count int64) (page []int64, total int64, set idsState) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	set = idsState{loaded: s.loaded, outdated: s.have != s.want, moment: s.moment}
	if !s.loaded {
		return dst, 0, set
	}
	if offset < 0 || count <= 0 || offset >= s.size {
		return dst, s.size, set
	}
	first, err := s.live.Select(uint64(offset))
	if err != nil {
		return dst, s.size, set
	}
	it := s.iterator()
	defer s.iterators.Put(it)
	it.AdvanceIfNeeded(first)
	for n := min(count, s.size-offset); n > 0; n-- {
		dst = append(dst, int64(it.Next()))
	}
	return dst, s.size, set
}

// after appends up to count live ids from the id from on; none where the set is
// not up to date.
func (s *ids) after(dst []int64, from int64, count int) []int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.loaded || s.have != s.want {
		return dst
	}
	it := s.iterator()
	defer s.iterators.Put(it)
	it.AdvanceIfNeeded(uint64(from))
	for ; count > 0 && it.HasNext(); count-- {
		dst = append(dst, int64(it.Next()))
	}
	return dst
}

// iterator is at the first id. The mutex is held.
func (s *ids) iterator() *roaring64.IntIterator64 {
	it, _ := s.iterators.Get().(*roaring64.IntIterator64)
	if it == nil {
		it = new(roaring64.IntIterator64)
	}
	it.Initialize(s.live)
	return it
}

// state says whether there is a set to read that is up to date, and how many
// ids the set to read has.
func (s *ids) state() (current bool, size int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.loaded {
		return false, 0
	}
	return s.have == s.want, s.size
}

// collector builds a bitmap from ascending ids.
type collector struct {
	live *roaring64.Bitmap
	run  []uint64
}

func newCollector() *collector {
	return &collector{live: roaring64.New(), run: make([]uint64, 0, 4096)}
}

func (c *collector) add(id int64) {
	if c.run = append(c.run, uint64(id)); len(c.run) == cap(c.run) {
		c.flush()
	}
}

func (c *collector) flush() {
	c.live.AddMany(c.run)
	c.run = c.run[:0]
}
