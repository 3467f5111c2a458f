package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hotshelf/hotshelf/blob"
)

// The feed's notifications carry nothing: they wake a node up, and the truth
// is in the table.
const (
	listen = `listen hotshelf_feed`
	notify = `notify hotshelf_feed`

	// One statement and so one snapshot: the record, which database this is,
	// whether the newest entry that the node knows is still the same one, and the
	// entries behind it. Cleaning removes the oldest entries first, so while the
	// known one is there, none behind it is missing.
	selectFeed = `
select ` + stateColumns + `, %s,
       coalesce((select k.at = $2::timestamptz from hotshelf.feed k where k.version = $1), $1 = 0),
       (select h.at from hotshelf.feed h order by h.version desc limit 1),
       f.version, f.generation, f.changed, f.removed, f.at
from hotshelf.catalogue c left join lateral (
    select version, generation, changed, removed, at from hotshelf.feed where version > $1 order by version limit 500
) f on true
order by f.version`

	// A restored database has another timeline or was started anew, and one
	// that another server took over has another identifier or timeline. (A
	// plain restart looks like a restore, and costs each product a look-up.)
	databaseIdentity = `concat_ws(' ', c.epoch, pg_postmaster_start_time(),
    (select system_identifier from pg_control_system()),
    case when not pg_is_in_recovery() then left(pg_walfile_name(pg_current_wal_lsn()), 8) end)`
	// Some services don't let everybody ask all that.
	plainIdentity = `concat_ws(' ', c.epoch, pg_postmaster_start_time())`
)

const feedBatch = 500 // the limit in selectFeed

// Node is what follows the feed. Its functions are called by one goroutine;
// an error makes Follow connect anew and begin with Reset.
type Node struct {
	// Reset is told where the catalogue stands at the start, and again, with
	// the reason, when the feed can't be continued: the database is another one,
	// has gone back in time or may have, or its feed has been cleaned up further
	// than the node had come. Nothing known before holds any longer. The zero
	// State stands for a database without a catalogue; one without a published
	// one is told again when a load is complete, or was dropped.
	Reset func(ctx context.Context, s State, why string) error
	// Apply is told each later change, in commit order.
	Apply func(ctx context.Context, c blob.Change) error
	// Current is told that the node has been told all that was committed before
	// asOf, which has a monotonic reading. Before the first catalogue it has no
	// meaning.
	Current func(asOf time.Time)
	// Lost is told, once per outage, why the feed can't be read at the moment.
	Lost func(err error)
	// Deaf is told, once, that notifications don't come, so that the feed is
	// only polled: the database is a standby, or behind a pooler.
	Deaf func(err error)
}

const (
	// reconnectDelay is how long Follow waits before it connects again.
	reconnectDelay = 200 * time.Millisecond
	// connectLimit is how long a connection may take. A packet that was lost
	// when the network was is sent again after a second.
	connectLimit = 2 * time.Second
	// deafAfter is how long a notification of our own may take.
	deafAfter = 2 * time.Second
)

// errDeaf is what Deaf is told where LISTEN itself was not refused.
var errDeaf = errors.New("the database takes LISTEN, but its notifications do not arrive")

// Follow keeps node informed until ctx ends. It waits for notifications, and
// looks at the feed four times within maxStaleness, and four times a second,
// for notifications may not come. A link that is silently dead is found out by
// the time that a look takes. A database without a catalogue is looked at too.
func (db *DB) Follow(ctx context.Context, maxStaleness time.Duration, node Node) {
	f := &follower{
		db: db, node: node,
		poll:     min(maxStaleness/4, 250*time.Millisecond),
		limit:    min(max(maxStaleness/2, 500*time.Millisecond), time.Second),
		identify: databaseIdentity,
	}
	f.patience = f.limit
	for ctx.Err() == nil {
		err := f.run(ctx)
		if ctx.Err() != nil {
			return
		}
		var pg *pgconn.PgError
		switch {
		case errors.Is(err, blob.ErrNotReady):
			f.nothingThere(ctx)
		case errors.As(err, &pg) && (pg.Code == "42501" || pg.Code == "42883") && f.identify != plainIdentity:
			// insufficient_privilege, undefined_function
			f.identify = plainIdentity
			continue
		case !f.lost:
			node.Lost(err)
			f.lost = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(reconnectDelay):
		}
	}
}

type follower struct {
	db       *DB
	node     Node
	poll     time.Duration
	limit    time.Duration // how long a poll may take
	patience time.Duration // the same, more where a database is slow throughout
	identify string        // SQL

	lost  bool // Lost was told
	woken bool // a notification came since the last poll
	heard bool // one has come on this connection
	deaf  bool // Deaf was told

	known    bool // a Reset was taken
	identity string
	last     int64 // version of the newest change that the node knows
	at       *time.Time
	// Of the record at the last Reset: a first load was complete, something was
	// published, the schema was an older program's.
	waits, published, old bool
}

// nothingThere tells the node, once, that the database has no catalogue.
func (f *follower) nothingThere(ctx context.Context) {
	if f.known && f.identity == "" {
		return
	}
	f.known = f.node.Reset(ctx, State{}, "") == nil
	f.identity, f.last, f.at = "", 0, nil
}

// run follows the feed on one connection until something fails.
func (f *follower) run(ctx context.Context) error {
	conn, err := f.connect(ctx)
	if err != nil {
		f.patience = f.limit
		return err
	}
	defer closeConn(conn)
	if f.lost {
		// Connections of the pool may have died with ours, and not know it.
		f.db.pool.Reset()
	}
	hearing, stop := context.WithTimeout(ctx, deafAfter)
	var poke sync.WaitGroup
	defer poke.Wait()
	defer stop()
	// From elsewhere: a pooler would pass on what comes from ourselves.
	poke.Go(func() { _, _ = f.db.pool.Exec(hearing, notify) })

	for first := true; ; first = false {
		asOf := time.Now() // before the question leaves
		f.woken = false
		more, err := f.catchUp(ctx, conn)
		if err != nil {
			if first && errors.Is(err, errTooSlow) {
				f.patience = min(2*f.patience, 8*time.Second)
			}
			return err
		}
		f.patience, f.lost = f.limit, false
		if more {
			continue
		}
		f.node.Current(asOf)
		if !f.heard && hearing.Err() != nil {
			f.tellDeaf(errDeaf)
		}
		if err := f.sleep(ctx, conn); err != nil {
			return err
		}
	}
}

// connect opens a connection of the follower's own, for it listens.
func (f *follower) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	config := f.db.pool.Config().ConnConfig
	f.heard = false
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { f.woken, f.heard = true, true }
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("follow the change feed: %w", classify(err))
	}
	// To plan the poll takes several times as long as to run it, and the plan is
	// always the same. Without it nothing is lost but that time.
	_, _ = conn.Exec(ctx, `set plan_cache_mode = force_generic_plan`)
	if _, err := conn.Exec(ctx, listen); err != nil {
		if conn.IsClosed() {
			return nil, fmt.Errorf("follow the change feed: %w", classify(err))
		}
		f.tellDeaf(err)
	}
	return conn, nil
}

func (f *follower) tellDeaf(err error) {
	if !f.deaf {
		f.deaf = true
		f.node.Deaf(err)
	}
}

// sleep returns when a notification has come, or after poll.
func (f *follower) sleep(ctx context.Context, conn *pgx.Conn) error {
	if f.woken {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, f.poll)
	defer cancel()
	err := conn.PgConn().WaitForNotification(wait)
	if err != nil && (wait.Err() == nil || ctx.Err() != nil) {
		return fmt.Errorf("follow the change feed: %w", classify(err))
	}
	return nil
}

// errTooSlow is the end of a poll that got no answer.
var errTooSlow = fmt.Errorf("the change feed gives no answer in time: %w", blob.ErrUnavailable)

// catchUp polls once: it tells the node what it does not know yet. more says
// that there may be more than one poll takes.
func (f *follower) catchUp(parent context.Context, conn *pgx.Conn) (more bool, err error) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	watch := time.AfterFunc(f.patience, func() { cancel(errTooSlow) })
	defer watch.Stop()
	fail := func(err error) (bool, error) {
		if errors.Is(context.Cause(ctx), errTooSlow) {
			return false, errTooSlow
		}
		return false, fmt.Errorf("read the change feed: %w", classify(err))
	}
	rows, err := conn.Query(ctx, fmt.Sprintf(selectFeed, f.identify), f.last, f.at)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	found := 0
	for rows.Next() {
		var p polled
		if err := p.scan(rows); err != nil {
			return fail(err)
		}
		watch.Stop() // what follows is the node's time
		if found == 0 {
			if reset, why := f.broken(&p); reset {
				watch.Reset(f.patience)
				rows.Close()
				watch.Stop()
				return false, f.reset(parent, &p, why)
			}
		}
		found++
		if p.change.Version == 0 {
			continue // there is nothing new
		}
		if err := f.node.Apply(parent, p.change); err != nil {
			f.known = false
			return false, err
		}
		f.last, f.at = p.change.Version, p.changeAt
		watch.Reset(f.patience)
	}
	if err := rows.Err(); err != nil {
		return fail(err)
	}
	if found == 0 { // a schema without its record
		return false, blob.ErrNotReady
	}
	return found == feedBatch, nil
}

// polled is a row of selectFeed.
type polled struct {
	state    State
	identity string
	same     bool
	headAt   *time.Time
	change   blob.Change // Version 0 for none
	changeAt *time.Time
}

func (p *polled) scan(rows pgx.Rows) error {
	var version, generation *int64
	var record stateScan
	err := rows.Scan(append(record.targets(&p.state), &p.identity, &p.same, &p.headAt,
		&version, &generation, &p.change.Changed, &p.change.Removed, &p.changeAt)...)
	if err != nil {
		return err
	}
	if version != nil {
		p.change.Version, p.change.Generation = *version, *generation
	}
	return record.finish(&p.state)
}

// broken says whether what the node knows can't be continued, and why.
func (f *follower) broken(p *polled) (reset bool, why string) {
	switch {
	case !f.known:
		return true, ""
	case f.identity == "": // there was no database
		return true, ""
	case p.identity != f.identity:
		return true, "the database was started anew, or is another one"
	case p.state.Head < f.last:
		return true, "the database has gone back in time"
	case !p.same:
		return true, "what was last read of the change feed is no longer in it"
	}
	// Before the first publish there is no feed to tell that a load is complete.
	s := &p.state
	return s.waitsFirst() != f.waits || s.OldSchema != f.old || (s.Generation > 0) != f.published, ""
}

func (f *follower) reset(ctx context.Context, p *polled, why string) error {
	if err := f.node.Reset(ctx, p.state, why); err != nil {
		f.known = false
		return err
	}
	f.known, f.identity, f.last, f.at, f.waits = true, p.identity, p.state.Head, p.headAt, p.state.waitsFirst()
	f.published, f.old = p.state.Generation > 0, p.state.OldSchema
	return nil
}

// waitsFirst says that a load waits and nothing was ever published.
func (s *State) waitsFirst() bool { return s.Generation == 0 && s.LoadWaits }
