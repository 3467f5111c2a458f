package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
)

// The feed's notifications carry nothing: they wake a node up, and the truth
// is in the table.
const (
	listen = `listen hotshelf_feed`
	notify = `notify hotshelf_feed`

	selectFeed = `
select version, generation, changed, removed
from hotshelf.feed where version > $1 order by version limit 1000`
)

// Node is what follows the feed. Both functions are called by one goroutine;
// an error makes Follow connect anew and begin with Reset.
type Node struct {
	// Reset is told where the catalogue stands at the start, and again when
	// the feed can't be continued, because the database is another one or
	// has gone back in time. Nothing known before holds any longer. The zero
	// State stands for a database without a catalogue; one without a published
	// one is told again when a load is complete, or was dropped.
	Reset func(ctx context.Context, s State) error
	// Apply is told each later change, in commit order.
	Apply func(ctx context.Context, c blob.Change) error
	// Current is told that the node has been told all that was committed before
	// asOf, which has a monotonic reading. Before the first catalogue it has no
	// meaning.
	Current func(asOf time.Time)
	// Lost is told, once per outage, why the feed can't be read at the moment.
	Lost func(err error)
}

// reconnectDelay is how long Follow waits before it connects again.
const reconnectDelay = 500 * time.Millisecond

// Follow keeps node informed until ctx ends. It waits for notifications and
// looks at the feed at least every poll, for a link may be silently dead. A
// database without a catalogue is looked at every poll too.
func (db *DB) Follow(ctx context.Context, poll time.Duration, node Node) {
	f := &follower{db: db, node: node, poll: poll}
	told := false
	for ctx.Err() == nil {
		err := f.run(ctx, func() { told = false })
		if ctx.Err() != nil {
			return
		}
		switch {
		case errors.Is(err, blob.ErrNotReady):
			f.nothingThere(ctx)
		case !told:
			node.Lost(err)
			told = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(reconnectDelay):
		}
	}
}

type follower struct {
	db   *DB
	node Node
	poll time.Duration

	known bool // a Reset was taken
	epoch string
	last  int64 // version of the newest change that the node knows
	waits bool  // a first load was complete at the last Reset
}

// nothingThere tells the node, once, that the database has no catalogue.
func (f *follower) nothingThere(ctx context.Context) {
	if f.known && f.epoch == "" {
		return
	}
	f.known = f.node.Reset(ctx, State{}) == nil
	f.epoch, f.last = "", 0
}

// run follows the feed on one connection until something fails. It calls
// reached when the feed could be read.
func (f *follower) run(ctx context.Context, reached func()) error {
	// A connection of its own, for it waits for notifications.
	conn, err := pgx.ConnectConfig(ctx, f.db.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("follow the change feed: %w", classify(err))
	}
	defer closeConn(conn)
	if _, err := conn.Exec(ctx, listen); err != nil {
		return fmt.Errorf("follow the change feed: %w", classify(err))
	}
	for {
		asOf := time.Now() // before the question leaves
		if err := f.catchUp(ctx, conn); err != nil {
			return err
		}
		f.node.Current(asOf)
		reached()
		wait, cancel := context.WithTimeout(ctx, f.poll)
		_, err := conn.WaitForNotification(wait)
		timedOut := wait.Err() != nil
		cancel()
		if err != nil && (!timedOut || ctx.Err() != nil) {
			return fmt.Errorf("follow the change feed: %w", classify(err))
		}
	}
}

func (f *follower) catchUp(ctx context.Context, conn *pgx.Conn) error {
	s, err := readState(ctx, conn)
	if err != nil {
		return err
	}
	// Before the first publish there is no feed to tell that a load is complete.
	waits := s.Generation == 0 && s.LoadWaits
	if !f.known || s.Epoch != f.epoch || s.Head < f.last || waits != f.waits && s.Generation == 0 {
		if err := f.node.Reset(ctx, s); err != nil {
			f.known = false
			return err
		}
		f.known, f.epoch, f.last, f.waits = true, s.Epoch, s.Head, waits
		return nil
	}
	for f.last < s.Head {
		rows, err := conn.Query(ctx, selectFeed, f.last)
		if err != nil {
			return fmt.Errorf("read the change feed: %w", classify(err))
		}
		changes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[blob.Change])
		if err != nil {
			return fmt.Errorf("read the change feed: %w", classify(err))
		}
		for _, c := range changes {
			if err := f.node.Apply(ctx, c); err != nil {
				f.known = false
				return err
			}
			f.last = c.Version
		}
		if len(changes) == 0 {
			break
		}
	}
	return nil
}
