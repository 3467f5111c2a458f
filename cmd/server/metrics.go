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
func observe(blobs *cache.Cache, db *store.DB, node *node) httpd.Reading {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	waiting, err := db.RowsWaiting(ctx)
	if err != nil {
		waiting = -1 // other metrics tell that the database is away
	}
	c, pool := blobs.Stats(), db.PoolStats()
	return httpd.Reading{
		Listed: c.Listed, Missed: c.Misses, Coalesced: c.Coalesced, Through: c.Through, Stale: c.Stale,
		Evicted: c.Evicted, Entries: c.Entries, Bytes: c.Bytes, BytesLimit: c.Limit,
		Lookups: c.RoundTrips, LookupsFailed: c.Failed, LookupsRefused: c.Refused, LookupsWaiting: c.Waiting,
		Products: c.Products, Generation: node.generation.Load(), RowsWaiting: waiting,
		FeedVersion: node.version.Load(), Staleness: c.Staleness,
		PoolAcquired: pool.Acquired, PoolIdle: pool.Idle, PoolLimit: pool.Limit, PoolWaits: pool.Waits, PoolWaited: pool.Waited,
	}
}
