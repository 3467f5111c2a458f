package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

// PoolStats are the connections that look-ups and writes share: counts of the
// moment, and, since the start, how often one was waited for and how long.
type PoolStats struct {
	Acquired, Idle, Limit int64
	Waits                 int64
	Waited                time.Duration
}

// PoolStats asks nobody.
func (db *DB) PoolStats() PoolStats {
	s := db.pool.Stat()
	return PoolStats{
		Acquired: int64(s.AcquiredConns()),
		Idle:     int64(s.IdleConns()),
		Limit:    int64(s.MaxConns()),
		Waits:    s.EmptyAcquireCount(),
		Waited:   s.EmptyAcquireWaitTime(),
	}
}

// Where is the database in words that can be shown: without the password.
func (db *DB) Where() string {
	c := db.pool.Config().ConnConfig
	return url.PathEscape(c.User) + "@" + address(&c.Config) + "/" + url.PathEscape(c.Database)
}

// The number of rows is the one that the load's ANALYZE has left.
const selectRowsWaiting = `
select coalesce(sum(t.reltuples) filter (where t.reltuples > 0), 0)::bigint
from hotshelf.catalogue c
join pg_namespace s on s.nspname = 'catalog_next' and c.next_loaded_at is not null
join pg_class t on t.relnamespace = s.oid and t.relkind = 'r'`

// RowsWaiting is about how many rows a load has that waits for a warm, 0
// without one.
func (db *DB) RowsWaiting(ctx context.Context) (rows int64, err error) {
	err = classify(db.pool.QueryRow(ctx, selectRowsWaiting).Scan(&rows))
	if err != nil && !errors.Is(err, blob.ErrNotReady) {
		return 0, fmt.Errorf("count the rows that wait for a warm: %w", err)
	}
	return rows, nil
}
