package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// fillBatch is how many products the filler looks up at once. A read that
	// comes meanwhile waits for no more than their rows, about a millisecond.
	fillBatch = 32
	// After each batch the filler rests for so many times as long as the batch
	// took, on a busy machine longer than on one at rest; where somebody has read
	// meanwhile what is no plain hit, and so waits for the same that the filler
	// does, for longer too.
	fillRest     = 1
	fillBusyRest = 3
	// fillRetry is for when look-ups fail, or too many wait for theirs.
	fillRetry = time.Second
)

// filler packs the rows of the products that nobody has asked for yet. After a
// start or a publish everything has to be looked up once; left to the reads
// alone, the last products of a million take them hours.
//
// It goes through flights as reads do, so that what must always hold there holds
// for what it finds. Only a catalogue that fits packed is filled in: where there
// is room for a part, what reads ask for is the better part.
type filler struct {
	stop context.CancelFunc
	done sync.WaitGroup
	wake chan struct{} // holds one wish at most

	wanted, ended atomic.Int64 // numbers of loads of the ids
}

func (f *filler) start(c *Cache) {
	f.wake = make(chan struct{}, 1)
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.done.Go(func() {
		for {
			select {
			case <-f.wake:
			case <-ctx.Done():
				return
			}
			load := f.wanted.Load()
			c.fill(ctx)
			f.ended.Store(load)
		}
	})
}

func (f *filler) close() {
	f.stop()
	f.done.Wait()
}

// begin fills in what the load of the ids with this number brought.
func (f *filler) begin() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// filling says that there is something to fill in still.
func (f *filler) filling() bool { return f.wanted.Load() != f.ended.Load() }

// fill goes through all products once, until a newer set of ids is needed or
// the packed rows are full.
func (c *Cache) fill(ctx context.Context) {
	var room, want [fillBatch]int64
	from, asked := int64(0), int64(0)
	for {
		ids := c.ids.after(room[:0], from, fillBatch)
		if len(ids) == 0 {
			return
		}
		lacking, full := c.packed.lacking(want[:0], ids)
		if full {
			return
		}
		rest := time.Duration(0)
		if len(lacking) > 0 {
			began := time.Now()
			if c.flights.fill(ctx, lacking) {
				rest = fillRest * time.Since(began)
				if before := asked; c.asked() != before {
					asked, rest = c.asked(), fillBusyRest*time.Since(began)
				}
			} else {
				rest, ids = fillRetry, nil
			}
		}
		if len(ids) > 0 {
			from = ids[len(ids)-1] + 1
		}
		if !pause(ctx, rest) {
			return
		}
	}
}

// fill looks products up for which nobody has asked, so that their rows are
// packed, and waits for that. It returns false where it could not.
func (f *flights) fill(ctx context.Context, ids []int64) bool {
	flown := make([]*flight, 0, len(ids))
	f.mu.Lock()
	// Of a database that is down it may be the one that finds out when it is back:
	// perhaps nobody reads.
	if f.closed || f.down && (f.flying > 0 || len(f.queue) > 0) || len(f.queue) > f.room/2 {
		f.mu.Unlock()
		return false
	}
	queued := len(f.queue)
	for _, id := range ids {
		if f.open[id] == nil { // else somebody has asked meanwhile
			fl := &flight{id: id, done: make(chan struct{}), waiters: 1, unasked: true}
			f.open[id] = fl
			f.queue = append(f.queue, fl)
			flown = append(flown, fl)
		}
	}
	f.staff(queued)
	f.mu.Unlock()
	var failed error
	for _, fl := range flown {
		if _, err := f.wait(ctx, fl, nil); err != nil {
			failed = err
		}
	}
	return failed == nil
}

// asked changes while there are reads that are no plain hits.
func (c *Cache) asked() int64 {
	return c.flights.misses.Load() + c.packed.unpacked.Load() + c.listed.Load()
}

// pause returns false where ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}
