package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cache/fence"
)

const (
	// maxRoundTrips is how many look-ups are under way at once. The store's
	// pool has at least four connections, and writes and the feed need one.
	// More would not be faster: while these are out, further misses gather,
	// and a row costs Postgres a third in a batch of what it costs alone.
	maxRoundTrips = 3
	// maxBatch is how many products travel in one: the longest list page is
	// 500. It bounds the memory of rows under way.
	maxBatch = 512
)

// flights looks up what the store does not have. However many callers want a
// product, it is looked up once, and products that are wanted while look-ups
// are under way travel together in the next.
//
// What must always hold: a caller gets what the database said after every
// change that was raised before the caller came. So it joins a flight only
// before the flight's look-up has started, or while the fence says that
// nothing was raised since, and the look-up began recently enough for a caller
// that can't rely on the feed.
//
// And look-ups of one product never overlap: the next one starts when the
// entry of the one before has settled in the store, or has been turned away.
// So it finds the same state or a later one, and the older entry can't come
// up any more. That is why a reader never sees a product go back, not even
// where nobody has raised the fence yet. (If they overlapped, a slow look-up
// from before a raise could bring a newer state than a quick one from after
// it, whose entry is the one that stays.)
type flights struct {
	source Source
	store  *front
	packed *packed
	fence  *fence.Fence
	fresh  *freshness
	ids    *ids
	limit  time.Duration

	// base ends with close: a flight outlives whoever asked for it.
	base     context.Context
	stop     context.CancelFunc
	workers  sync.WaitGroup
	builders *sync.Pool
	landed   chan struct{} // closed: done of a flight that was not needed

	mu     sync.Mutex
	open   map[int64]*flight // the newest flight of each product
	queue  []*flight         // those that no worker has taken yet
	flying int               // workers
	room   int               // how many may be in the queue
	// rowBytes is the length of a row, on average over a full batch or so.
	rowBytes int
	closed   bool
	// down says that the last look-up got no answer. Then one look-up at a
	// time tries, and everybody else is told at once.
	down bool

	misses, coalesced, trips, refused, failed atomic.Int64
	filled                                    atomic.Int64 // nobody had asked for
	kept                                      atomic.Int64 // entries that the store took
}

// flight is the look-up of one product. entry and err may be read once done is
// closed; the others belong to the mutex.
type flight struct {
	id      int64
	done    chan struct{}
	entry   *entry
	err     error
	old     *entry // what the store had, for its bytes
	stamp   fence.Stamp
	moment  int64
	started bool
	waiters int
	unasked bool // by a read: the store does not need its entry
	again   bool // what it found may be of a product that is gone
	// together says that it waits for the same caller as the one before it.
	together bool
	next     *flight // of the same product, once this one has finished
}

func newFlights(source Source, store *front, packed *packed, fence *fence.Fence, fresh *freshness, ids *ids, limit time.Duration) *flights {
	f := &flights{
		source: source, store: store, packed: packed, fence: fence, fresh: fresh, ids: ids, limit: limit,
		builders: packed.builders, open: make(map[int64]*flight),
	}
	f.room = maxWaiting
	f.base, f.stop = context.WithCancel(context.Background())
	f.landed = make(chan struct{})
	close(f.landed)
	return f
}

// join returns, for each id, a flight to wait for, all or none. None began
// before oldest. Every flight must be waited for.
func (f *flights) join(dst []*flight, oldest int64, ids ...int64) ([]*flight, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return dst, fmt.Errorf("the cache is closed: %w", blob.ErrUnavailable)
	}
	queued := len(f.queue)
	defer f.staff(queued)
	busy := f.flying > 0 || queued > 0
	refuse, room := f.down && busy, f.room
	if !busy {
		// How long others took says nothing now: a page may be longer than what
		// there is room for, and nobody else may come to find out the new pace.
		room = maxWaiting
	}
	for i, id := range ids {
		fl, err := f.joinOne(id, oldest, refuse, room)
		if err != nil {
			f.refused.Add(1)
			f.misses.Add(int64(len(ids) - 1 - i)) // the rest were none less
			for _, joined := range dst {
				joined.waiters--
			}
			return dst[:0], err
		}
		if fl.waiters == 0 {
			fl.together = i > 0
		}
		fl.waiters++
		dst = append(dst, fl)
	}
	return dst, nil
}

// staff starts a worker where more flights wait than did before. One is enough
// for what has just come: it can take all of it. The mutex is held.
func (f *flights) staff(before int) {
	if len(f.queue) > before && f.flying < maxRoundTrips {
		f.flying++
		f.workers.Go(f.work)
	}
}

func (f *flights) joinOne(id, oldest int64, refuse bool, room int) (*flight, error) {
	f.misses.Add(1)
	if fl := f.open[id]; fl != nil && (!fl.started || fl.moment >= oldest && f.fence.Holds(id, fl.stamp)) {
		f.coalesced.Add(1)
		if !fl.started {
			fl.unasked = false
		}
		return fl, nil
	}
	// A flight may have landed between the caller's look into the store and
	// now; its entry was in the store before it left the map.
	old, _ := f.store.Get(id)
	if old != nil && old.moment >= oldest && f.fence.Holds(id, old.stamp) {
		f.coalesced.Add(1)
		return &flight{id: id, entry: old, done: f.landed, started: true}, nil
	}
	if refuse {
		return nil, fmt.Errorf("look up product %d while the database does not answer: %w", id, blob.ErrUnavailable)
	}
	if len(f.queue) >= room {
		return nil, fmt.Errorf("look up product %d: %w", id, blob.ErrOverloaded)
	}
	fl := &flight{id: id, old: old, done: make(chan struct{})}
	if before := f.open[id]; before != nil {
		before.next = fl
	} else {
		f.queue = append(f.queue, fl)
	}
	f.open[id] = fl
	return fl, nil
}

// isDown says that the last look-up got no answer.
func (f *flights) isDown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down
}

// answered takes in that the database has answered something else.
func (f *flights) answered() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = false
}

// wait waits for a flight until ctx ends or the time is up.
func (f *flights) wait(ctx context.Context, fl *flight, timeUp <-chan struct{}) (*entry, error) {
	var err error
	select {
	case <-fl.done:
		return fl.entry, fl.err
	case <-ctx.Done():
		err = fmt.Errorf("wait for product %d: %w", fl.id, context.Cause(ctx))
	case <-timeUp:
		err = fmt.Errorf("look up product %d: no answer in time: %w", fl.id, blob.ErrUnavailable)
	}
	select {
	case <-fl.done: // both at once: the answer counts
		return fl.entry, fl.err
	default:
		f.leave(fl)
		return nil, err
	}
}

// leave takes a caller off a flight. A flight that everybody has left before
// it started is not flown.
func (f *flights) leave(fl *flight) {
	f.mu.Lock()
	fl.waiters--
	f.mu.Unlock()
}

// work flies what waits, until nothing does.
func (f *flights) work() {
	b := f.builders.Get().(*builder)
	defer f.builders.Put(b)
	var batch []*flight
	for {
		if batch = f.take(batch[:0]); len(batch) == 0 {
			return
		}
		f.fly(b, batch)
	}
}

// take starts the flights that waited longest. Where none are left, the
// worker is signed off.
func (f *flights) take(batch []*flight) []*flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken, moment := 0, f.fresh.now()
	limit, share := f.batch(), maxBatch
	if f.flying > 1 {
		share = max(fairBatch, len(f.open)/maxRoundTrips)
	}
	for _, fl := range f.queue {
		if len(batch) == limit || len(batch) >= share && !fl.together {
			break
		}
		taken++
		if fl.waiters == 0 && fl.next == nil {
			f.forget(fl)
			continue
		}
		// Before the look-up: the stamp is what the entry's life hangs on.
		fl.moment = moment
		fl.stamp, fl.started = f.fence.Stamp(fl.id), true
		batch = append(batch, fl)
	}
	f.queue = slices.Delete(f.queue, 0, taken)
	if len(batch) == 0 {
		f.flying--
	}
	return batch
}

// forget ends the joining of a flight. The mutex is held.
func (f *flights) forget(fl *flight) {
	if f.open[fl.id] == fl {
		delete(f.open, fl.id)
	}
}

// fly looks a batch up in one round trip.
func (f *flights) fly(b *builder, batch []*flight) {
	ids := make([]int64, len(batch))
	for i, fl := range batch {
		ids[i] = fl.id
	}
	f.trips.Add(1)
	ctx, cancel := context.WithTimeout(f.base, f.limit)
	began := f.fresh.now()
	rows, err := f.source.Lookup(ctx, ids)
	if err == nil || ctx.Err() != nil {
		f.makeRoom(len(ids), f.fresh.now()-began)
	}
	err = f.explain(ctx, err, len(ids))
	cancel()

	if err != nil {
		f.failed.Add(1)
		// Nobody joins a failure.
		f.finish(batch, errors.Is(err, blob.ErrUnavailable))
		for _, fl := range batch {
			fl.err = err
			close(fl.done)
		}
		return
	}

	f.weigh(rows)
	f.packed.forget(ids)
	// As a map, for the rows come in any order and the ids of a page are many.
	missing := make(map[int64]*flight, len(batch))
	for _, fl := range batch {
		missing[fl.id] = fl
	}
	for i := range rows {
		if fl := missing[rows[i].ProductID]; fl != nil {
			delete(missing, fl.id)
			f.land(b, fl, &rows[i])
		}
	}
	for _, fl := range missing {
		f.land(b, fl, nil)
	}

	// ristretto puts an entry into place some time after Set. Waiting for that
	// also bounds how many entries lie in its queue, outside of the budget.
	f.store.Wait()
	f.finish(batch, false)
}

// finish lets the next look-ups of these products begin, or the same again.
func (f *flights) finish(batch []*flight, down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
	for _, fl := range batch {
		if fl.again {
			fl.again, fl.started = false, false
			f.queue = append(f.queue, fl)
			continue
		}
		if fl.next != nil {
			if fl.entry != nil {
				fl.next.old = fl.entry
			}
			f.queue = append(f.queue, fl.next)
		}
		f.forget(fl)
	}
}

// explain makes an error that callers can tell by kind of what a look-up
// returned.
func (f *flights) explain(ctx context.Context, err error, products int) error {
	switch {
	case err == nil:
		return nil
	case f.base.Err() != nil:
		return fmt.Errorf("look up %d products: the cache is closed: %w", products, blob.ErrUnavailable)
	case ctx.Err() != nil:
		return fmt.Errorf("look up %d products: no answer within %v: %w", products, f.limit, blob.ErrUnavailable)
	}
	return fmt.Errorf("look up %d products: %w", products, err)
}

// land ends a flight with its row, nil where the product does not exist.
func (f *flights) land(b *builder, fl *flight, row *blob.Row) {
	if row != nil && !f.ids.show(fl.id, fl.stamp) {
		fl.again = true
		return
	}
	e := &entry{stamp: fl.stamp, moment: fl.moment}
	if fl.old == nil || !f.fence.Holds(fl.id, fl.old.stamp) {
		if now, ok := f.store.Get(fl.id); ok { // it may have been unpacked meanwhile
			fl.old = now
		}
	}
	if fl.old.changed(row) && f.fence.Holds(fl.id, fl.old.stamp) {
		// Found ahead of the feed. Whatever the store does now, and whatever
		// becomes of the feed: the older entry ends here.
		e.stamp = f.fence.Renew(fl.id, fl.stamp)
	}
	switch {
	case row == nil:
		e.cost = absentCost
	case fl.old.same(row):
		e.cost, e.answers = fl.old.cost, fl.old.answers
	default:
		var size int64
		e.answers, size = b.build(row)
		e.cost = entryOverhead + size
	}
	fl.entry, fl.old = e, nil
	switch {
	case fl.unasked:
		f.store.replace(fl.id, nil)
		f.filled.Add(1)
	case f.store.Set(fl.id, e, e.cost):
		f.kept.Add(1)
	}
	close(fl.done)
	if row != nil {
		f.packed.keep(b, e)
	}
}

// close ends all flights and waits for the workers.
func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.stop()
	f.workers.Wait()
}
