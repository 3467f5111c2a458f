package cache

import (
	"math"
	"sync/atomic"
	"time"
)

// freshness knows as of when the feed's head was last known, and so how old an
// answer may be. Moments are nanoseconds on the monotonic clock since start: a
// step of the wall clock changes nothing, and a process that was stopped sees
// how long it was away.
//
// What must always hold: an answer whose moment is not older than bound shows
// every change that was committed more than bound before the read began. For
// the clock is compared at every read, moments are taken before the database
// is asked, and the feed's moment is raised after the fences of all that was
// committed before it.
type freshness struct {
	start time.Time
	bound time.Duration // how old an unmarked answer may be
	limit time.Duration // how old a marked one may be while the database can't be reached
	feed  atomic.Int64
}

const (
	never  = math.MinInt64 / 2
	anyAge = math.MinInt64
)

func (f *freshness) begin(bound, limit time.Duration) {
	f.start, f.bound, f.limit = time.Now(), bound, limit
	f.feed.Store(never)
}

func (f *freshness) now() int64 { return int64(time.Since(f.start)) }

// known takes in that everything committed before at has been applied.
func (f *freshness) known(at time.Time) {
	moment := int64(at.Sub(f.start))
	for {
		feed := f.feed.Load()
		if moment <= feed || f.feed.CompareAndSwap(feed, moment) {
			return
		}
	}
}

// oldest is the moment from which an entry must be to be served by a read that
// begins now: any while the feed is followed closely enough, since then the
// fence tells. It is called before the fence is asked.
func (f *freshness) oldest() int64 {
	feed := f.feed.Load()
	now := f.now()
	if now-feed <= int64(f.bound) {
		return anyAge
	}
	return now - int64(f.bound)
}

// age is how long ago what an entry of this moment shows was known to be
// current, if its fence holds.
func (f *freshness) age(moment int64) time.Duration {
	feed := f.feed.Load()
	return time.Duration(f.now() - max(feed, moment))
}

// ageOf is the age of a set of ids.
func (f *freshness) ageOf(set idsState) time.Duration {
	if set.outdated {
		return time.Duration(f.now() - set.moment)
	}
	return f.age(set.moment)
}
