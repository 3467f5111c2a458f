package main

import (
	"context"
	"time"

	"github.com/hotshelf/hotshelf/cache"
	httpd "github.com/hotshelf/hotshelf/http"
	"github.com/hotshelf/hotshelf/store"
)

// scrapeTimeout is how long a scrape waits for what only the database knows.
const scrapeTimeout = 500 * time.Millisecond

// observe collects what the metrics show besides the requests.
func observe(blobs *cache.Cache, db *store.DB, node *node, budget memory) httpd.Reading {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	// Below 0 they are left out; other metrics tell that the database is away.
	waiting, lag := int64(-1), int64(-1)
	generation := node.generation.Load()
	if state, err := db.State(ctx); err == nil {
		generation = state.Generation
		// Asked before what it is compared with, so that a change that comes
		// meanwhile is no lag.
		lag = max(state.Head-node.version.Load(), 0)
		if rows, err := db.RowsWaiting(ctx); err == nil {
			waiting = rows
		}
	}
	c, pool := blobs.Stats(), db.PoolStats()
	return httpd.Reading{
		Listed: c.Listed, Missed: c.Misses, Coalesced: c.Coalesced, Through: c.Through, Stale: c.Stale,
		Unpacked: c.Unpacked, Evicted: c.Evicted, Entries: c.Entries, Packed: c.Packed, Filled: c.Filled, Filling: c.Filling, Bytes: c.Bytes, BytesLimit: c.Limit,
		Lookups: c.RoundTrips, LookupsFailed: c.Failed, LookupsRefused: c.Refused, LookupsWaiting: c.Waiting,
		Products: c.Products, Generation: generation, RowsWaiting: waiting,
		FeedVersion: node.version.Load(), FeedLag: lag, Staleness: c.Staleness,
		MemoryLimit:  int64(budget),
		PoolAcquired: pool.Acquired, PoolIdle: pool.Idle, PoolLimit: pool.Limit, PoolWaits: pool.Waits, PoolWaited: pool.Waited,
	}
}
