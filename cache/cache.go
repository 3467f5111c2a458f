// Package cache keeps products' answers in memory, within a budget of bytes,
// and looks up what it does not have. The http package reads from it; the
// server's wiring tells it what has changed.
//
// What must always hold:
//
//   - A read sees every change that Apply or Wrote was told before the read
//     began. An entry is served only while its fence holds (package fence), a
//     look-up is joined only while its fence holds, so nothing rests on what
//     ristretto does with an entry or when.
//   - A read shows every change that was committed more than MaxStaleness before
//     it began, or says how old it may be (see freshness). While the feed says
//     nothing, an entry is trusted for that long after its own look-up.
//   - Reads one after the other never see a product go back to an older version,
//     also while the feed is behind the database (see flights).
//     The exception is a Load, which is for a database that did go back.
//   - Answers that are returned together are of one contract.
//   - Answers are built once and never changed, but for those that are lent, and
//     these not before they have been given back.
//   - A hit takes no lock of ours, and allocates nothing but the slot of an entry
//     that comes to the front.
package cache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/dgraph-io/ristretto/v2"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cache/fence"
)

// Source is where products come from when they are not in the cache. What a
// method returns must have been committed when it is called, or later.
type Source interface {
	// Lookup returns the rows of the products that exist, in any order, in
	// one round trip. It is asked for at most 512 at once. Errors that are
	// blob.ErrUnavailable make the cache try one look-up at a time.
	Lookup(ctx context.Context, ids []int64) ([]blob.Row, error)
	// LiveIDs calls each with the ids of all products, ascending, as of one
	// moment.
	LiveIDs(ctx context.Context, each func(id int64)) error
}

// Config says how to make a Cache.
type Config struct {
	// Bytes is the budget of entries and packed rows, measured as they lie on
	// the heap, and of what Go's collector wants free beside them. About 2 % more
	// goes to ristretto's sketch, 512 KiB to the fence and 1 bit for each product
	// to the ids.
	Bytes int64
	// MissTimeout is how long a read waits for the database.
	MissTimeout time.Duration
	// MaxStaleness is how old an answer may be. Fresh has to be called more
	// often than that, or reads go through to the source.
	MaxStaleness time.Duration
	// StaleIfError is how old an answer may be while the source is unavailable.
	StaleIfError time.Duration
	Source       Source
}

// Cache is safe for use by any number of goroutines, except for Close.
type Cache struct {
	fence   fence.Fence
	fresh   freshness
	store   store
	packed  *packed
	flights *flights
	ids     ids
	source  Source
	limit   time.Duration
	listed  atomic.Int64

	through, stale atomic.Int64 // see Stats

	bytes     int64        // the budget
	usable    atomic.Int64 // of it, by entries and packed rows
	divided   int64        // the number of the load of ids for which; the loader's
	ristretto *ristretto.Cache[int64, *entry]
	left      *departures
	loader    loader
	filler    filler
}

// New makes an empty cache, which answers blob.ErrNotReady until Load.
func New(config Config) (*Cache, error) {
	if config.Bytes <= 0 || config.MissTimeout <= 0 || config.MaxStaleness <= 0 {
		return nil, fmt.Errorf("make a cache: budget %d bytes, miss timeout %v and staleness %v must be positive",
			config.Bytes, config.MissTimeout, config.MaxStaleness)
	}
	left := new(departures)
	r, err := newRistretto(besides(config.Bytes, 0), left)
	if err != nil {
		return nil, err
	}
	c := newCache(config, r)
	c.ristretto, c.left = r, left
	return c, nil
}

func newCache(config Config, s store) *Cache {
	c := &Cache{source: config.Source, limit: config.MissTimeout, bytes: config.Bytes}
	c.ids.fence, c.ids.live = &c.fence, roaring64.New()
	front := newFront(s, &c.fence, config.Bytes)
	c.store = front
	c.fresh.begin(config.MaxStaleness, config.StaleIfError)
	c.packed = newPacked(front, &c.fence)
	c.flights = newFlights(config.Source, front, c.packed, &c.fence, &c.fresh, &c.ids, c.limit)
	c.usable.Store(besides(c.bytes, 0))
	c.filler.start(c)
	c.loader.start(c)
	return c
}

// Close ends look-ups under way with blob.ErrUnavailable. No other method may
// run or be called any more: ristretto panics otherwise. Stop serving first.
func (c *Cache) Close() {
	c.flights.close()
	c.loader.close()
	c.filler.close()
	if c.ristretto != nil {
		c.ristretto.Close()
	}
}

// Apply takes in one entry of the change feed. Entries come in order, from one
// goroutine. It returns when reads see the change. After a publish the list
// goes on with the ids it has until the new ones are loaded, which is tried
// until it works; Ready tells.
func (c *Cache) Apply(change blob.Change) {
	if change.Generation > 0 {
		c.fence.RaiseAll()
		c.ids.outdate(c.fresh.feed.Load())
		c.loader.overtake()
	}
	c.raise(&change)
	c.ids.apply(&change, false)
}

// Wrote takes in a change of this node's own, after its commit and before
// anybody is told. The feed brings it again. Version 0 means that the outcome
// of the commit is unknown: then what the change may have touched is looked up
// again, and the list waits for the feed.
func (c *Cache) Wrote(change blob.Change) {
	c.raise(&change)
	if change.Version > 0 {
		c.ids.apply(&change, true)
	}
}

func (c *Cache) raise(change *blob.Change) {
	for _, id := range change.Changed {
		c.fence.Raise(id)
	}
	for _, id := range change.Removed {
		c.fence.Raise(id)
	}
}

// Fresh takes in that all changes committed before asOf have been applied. It
// is a time with a monotonic reading, taken before the database was asked.
func (c *Cache) Fresh(asOf time.Time) {
	if stale := c.fresh.age(never) > c.fresh.bound; stale {
		// The database answers, whatever became of the last look-up.
		c.flights.answered()
	}
	c.fresh.known(asOf)
}

// Load starts anew: at the beginning, and when what the cache knows no longer
// holds, because the database is another one or has gone back in time. head is
// the version of the feed's newest entry, 0 without one, read before Load is
// called; Apply goes on behind it. Load returns when the ids are loaded; when
// that fails it is tried again by itself.
func (c *Cache) Load(ctx context.Context, head int64) error {
	return c.loader.wait(ctx, c.ids.drop(head))
}

// Unload starts anew where there is no catalogue: everything is
// blob.ErrNotReady until Load.
func (c *Cache) Unload() { c.ids.unload() }

// Ready is nil when every kind of read can be answered. Otherwise it is
// blob.ErrNotReady before the first Load, and later the reason why the ids of
// the newest catalogue are not there yet.
func (c *Cache) Ready() error {
	current, _ := c.ids.state()
	switch {
	case current:
		return nil
	case !c.ids.ready.Load():
		return errors.Join(blob.ErrNotReady, c.loader.lastError())
	}
	if err := c.loader.lastError(); err != nil {
		return err
	}
	return fmt.Errorf("the ids of the list are being loaded: %w", blob.ErrUnavailable)
}

// Stats are counts since the start, except where said otherwise. Hits are not
// among them, so that a hit writes to no memory that others read: they are the
// calls of Get, and Listed, less Misses.
type Stats struct {
	Listed     int64 // products that Many and Page were asked for
	Misses     int64 // products that were asked for and not in the cache
	Unpacked   int64 // products whose entry was made from a packed row
	Coalesced  int64 // of these, products that were being looked up already
	Through    int64 // of these, products that were in the cache but may have been too old
	Stale      int64 // products that were served although too old
	RoundTrips int64 // look-ups, of one product or many
	Failed     int64 // of these, look-ups that ended with an error
	Refused    int64 // reads turned away because too many wait, or the database is down
	Waiting    int64 // products that wait for a look-up to start, now
	Evicted    int64 // entries that made room for others
	Entries    int64 // now
	Packed     int64 // packed rows, now
	Filled     int64 // products that were looked up to be packed, though nobody had asked
	Filling    bool  // there are such products still, now
	Bytes      int64 // cost of entries and packed rows, now
	Limit      int64 // what Bytes may be
	Products   int64 // live products, now
	// Staleness is how long ago the feed's head was last known, now; years
	// before the first time.
	Staleness time.Duration
	// ReadsThrough says that Staleness is over MaxStaleness, now.
	ReadsThrough bool
}

// Stats are cheap enough for every scrape of metrics.
func (c *Cache) Stats() Stats {
	f := c.flights
	f.mu.Lock()
	waiting := int64(len(f.queue))
	f.mu.Unlock()
	_, products := c.ids.state()
	s := Stats{
		Listed:     c.listed.Load(),
		Misses:     f.misses.Load(),
		Unpacked:   c.packed.unpacked.Load(),
		Coalesced:  f.coalesced.Load(),
		Through:    c.through.Load(),
		Stale:      c.stale.Load(),
		RoundTrips: f.trips.Load(),
		Failed:     f.failed.Load(),
		Refused:    f.refused.Load(),
		Waiting:    waiting,
		Products:   products,
		Staleness:  c.fresh.age(never),
		Filled:     f.filled.Load(),
		Filling:    c.filler.filling(),
	}
	s.ReadsThrough = s.Staleness > c.fresh.bound
	s.Packed, s.Bytes = c.packed.used()
	s.Limit = c.usable.Load()
	if c.ristretto != nil {
		s.Bytes += c.ristretto.MaxCost() - c.ristretto.RemainingCost()
		s.Evicted = c.left.evicted.Load()
		// An entry that is being put in can be replaced before it is counted.
		s.Entries = max(f.kept.Load()+c.packed.passed.Load()-c.left.all.Load(), 0)
	}
	return s
}
