package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// feedRetention is how long an entry of the feed is kept at least. A node
	// that was cut off for longer starts from an empty cache.
	feedRetention = time.Hour
	// cleanEvery is how often a node looks for entries to remove.
	cleanEvery = time.Minute
	// cleanStep is how many entries go in one transaction, cleanPause the time
	// between two: cleaning up after a busy day is not to be felt.
	cleanStep  = 1000
	cleanPause = 100 * time.Millisecond
)

const (
	tryCleaningLock = `select pg_try_advisory_xact_lock($1)`

	// The oldest entries, as far as they are old enough: nothing younger is
	// passed over, so that all that is gone lies below the floor. The newest
	// stays, for nodes compare it with what they know.
	//
	// An unfinished warm replays from the feed. It is asked for with a look at
	// the locks, for even a shared lock of ours would make the next load or warm
	// fail. One that takes the lock at this moment needs no entry that is old.
	cleanFeed = `
with oldest as (
    select version, at from hotshelf.feed order by version limit $2
), gone as (
    delete from hotshelf.feed f
    where f.version <= (select max(version) from oldest)
      and f.version < coalesce((select min(version) from oldest where at >= now() - $1::interval), 9223372036854775807)
      and f.version < (select max(version) from hotshelf.feed)
      and not exists (
          select from pg_locks
          where locktype = 'advisory' and granted and classid = 0 and objid = $3 and objsubid = 1
            and database = (select oid from pg_database where datname = current_database()))
    returning f.version
), raised as (
    update hotshelf.catalogue set feed_floor = greatest(feed_floor, (select max(version) from gone))
    where exists (select from gone)
)
select count(*) from gone`
)

// KeepFeedShort removes old entries of the feed now and then until ctx ends.
// failed is told why that does not work, once until it works again. Every node
// runs it; one at a time is at work.
func (db *DB) KeepFeedShort(ctx context.Context, failed func(err error)) {
	told := false
	for wait := cleanEvery; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		n, err := db.cleanFeed(ctx)
		if err != nil && ctx.Err() == nil && !told {
			failed(err)
		}
		told = err != nil
		wait = cleanEvery
		if n == cleanStep {
			wait = cleanPause
		}
	}
}

// cleanFeed removes up to cleanStep old entries, and returns how many. Where another node is at it, or load, warm or verify, it removes none.
func (db *DB) cleanFeed(ctx context.Context) (n int64, err error) {
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		var free bool
		if err := tx.QueryRow(ctx, tryCleaningLock, int64(cleaningLock)).Scan(&free); err != nil || !free {
			return err
		}
		return tx.QueryRow(ctx, cleanFeed, feedRetention, cleanStep, int64(maintenanceLock)).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("clean up the change feed: %w", classify(err))
	}
	return n, nil
}
