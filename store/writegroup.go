package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hotshelf/hotshelf"
	"github.com/hotshelf/hotshelf/blob"
)

const (
	// To plan selectProducts takes several times as long as to run it, and the
	// plan is the same whatever the ids. And a host that is gone in the middle of
	// a write must not keep the lock. No settings of the connection: poolers
	// refuse those that they don't know.
	writeSettings = `
select set_config('plan_cache_mode', 'force_generic_plan', true), set_config('idle_in_transaction_session_timeout', '1min', true)`

	// What every write needs to know, read under the lock: the record, and of
	// the products those that are on the shelf.
	selectForWrite = `
select nextval('hotshelf.version'), c.schema_version, c.generation, c.contract, b.product_id, b.version, b.hash
from hotshelf.catalogue c cross join lateral (
    select array_agg(product_id) as product_id, array_agg(version) as version, array_agg(hash) as hash
    from shelf.blobs where product_id = any($1)) b`
)

const (
	// groupWrites bounds a group, and with groupBytes its memory: so much may
	// its inputs take, and so much, but for the last, its blobs.
	groupWrites = 32
	groupBytes  = 256 << 10

	// rollbackTimeout bounds the clean-up after a write that failed.
	rollbackTimeout = 5 * time.Second
)

// errTooMuch says that the products of a group take too much memory together.
var errTooMuch = errors.New("the products are too large to be written together")

// writeQueue has the writes that wait while a transaction of this process is
// under way.
type writeQueue struct {
	mu      sync.Mutex
	waiting []*write
	atWork  bool // a goroutine takes them, until there is none left
}

// write queues a write and returns when it is done. On an error nothing has
// happened, except with blob.ErrOutcomeUnknown: then the result, with Version
// 0, lists what may have changed.
func (db *DB) write(ctx context.Context, w *write) (blob.Written, error) {
	w.ctx, w.size, w.over = ctx, sizeOf(w.in), make(chan struct{})
	if db.writes.add(w) {
		go func() {
			for group := db.writes.take(); group != nil; group = db.writes.take() {
				db.writeTogether(group)
				for _, w := range group {
					close(w.over)
				}
			}
		}()
	}
	select {
	case <-w.over:
	case <-ctx.Done():
		if db.writes.withdraw(w) {
			return blob.Written{}, fmt.Errorf("wait for other writes: %w", ctx.Err())
		}
		<-w.over // its outcome has to be known
	}
	if w.err != nil && !errors.Is(w.err, blob.ErrOutcomeUnknown) {
		return blob.Written{}, w.err
	}
	return w.done, w.err
}

// add returns whether somebody has to begin to take.
func (q *writeQueue) add(w *write) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	idle := !q.atWork
	q.waiting, q.atWork = append(q.waiting, w), true
	return idle
}

// withdraw returns whether the write was still waiting.
func (q *writeQueue) withdraw(w *write) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, w)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	return i >= 0
}

// take returns the next group: the first that waits, and what can be done with
// it. A second write to a product has to find what the first one left, and a
// delete, which changes products without end, goes alone.
func (q *writeQueue) take() []*write {
	q.mu.Lock()
	defer q.mu.Unlock()
	var group []*write
	products := make(map[int64]bool)
	size, full := 0, false
	q.waiting = slices.DeleteFunc(q.waiting, func(w *write) bool {
		full = full || len(group) > 0 && (w.remove || group[0].remove || len(group) == groupWrites || size+w.size > groupBytes)
		if full || products[w.id] {
			return false
		}
		group = append(group, w)
		products[w.id] = w.id != 0
		size += w.size
		return true
	})
	q.atWork = group != nil
	return group
}

// writeTogether does some writes in one transaction. Where that fails, and may
// have failed because of one of them, it does each in its own.
func (db *DB) writeTogether(writes []*write) {
	ctx, cancel := untilAllLeave(writes)
	defer cancel()
	begun, err := db.transact(ctx, writes)
	if err == nil {
		return
	}
	// Nobody's own fault; but who has left is to be told just that.
	all := !begun && ctx.Err() == nil || errors.Is(err, blob.ErrOutcomeUnknown) || len(writes) == 1
	for _, w := range writes {
		switch {
		case w.err != nil: // was refused
		case all:
			w.err = err
		default:
			db.writeTogether([]*write{w})
		}
	}
}

// untilAllLeave is a context for what is done for several callers.
func untilAllLeave(writes []*write) (context.Context, context.CancelFunc) {
	if len(writes) == 1 {
		return context.WithCancel(writes[0].ctx)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(writes[0].ctx))
	var left atomic.Int32
	stops := make([]func() bool, len(writes))
	for i, w := range writes {
		stops[i] = context.AfterFunc(w.ctx, func() {
			if int(left.Add(1)) == len(writes) {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

// group is some writes in one transaction under the write lock, with one
// version. No two are to the same product.
type group struct {
	tx       pgx.Tx
	version  int64
	contract blob.Contract
	writes   []*write // less those that were refused
}

// transact does the writes in one transaction: it takes the write lock before
// it draws the version, so that version order is commit order. A write that is
// refused gets its error, and has changed nothing. On an error of its own
// nothing has happened, except with blob.ErrOutcomeUnknown; begun says that it
// got as far as the writes themselves.
func (db *DB) transact(ctx context.Context, writes []*write) (begun bool, err error) {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("begin a write: %w", classify(err))
	}
	defer conn.Release()
	// Once for a connection, and ahead of the transaction: prepared in it, ahead
	// of the lock, the statement would go on with the shelf that was live then.
	if _, err := conn.Conn().Prepare(ctx, selectForWrite, selectForWrite); err != nil {
		return false, fmt.Errorf("begin a write: %w", classify(err))
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, fmt.Errorf("begin a write: %w", classify(err))
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_ = tx.Rollback(ctx) // after a commit it does nothing
	}()
	g := &group{tx: tx, writes: slices.Clone(writes)}
	state, err := g.begin(ctx)
	if err != nil {
		return false, err
	}
	return true, g.run(ctx, state)
}

// run does what is left to do under the lock.
func (g *group) run(ctx context.Context, state shelved) (err error) {
	// The caller whose handler would have caught it waits elsewhere.
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("a write panicked: %v\n%s", cause, debug.Stack())
		}
	}()
	for _, w := range g.writes {
		w.done = blob.Written{Row: blob.Row{ProductID: w.id}}
		w.err = state.allows(w)
	}
	steps := []func(context.Context) error{g.prepare, g.change, g.put}
	if g.writes[0].remove {
		steps = []func(context.Context) error{g.remove}
	}
	for _, step := range steps {
		g.writes = slices.DeleteFunc(g.writes, func(w *write) bool { return w.err != nil })
		if len(g.writes) == 0 {
			return nil
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return g.commit(ctx)
}

func (g *group) commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit a write: %w", err)
	}
	err := g.tx.Commit(ctx)
	if err == nil {
		return nil
	}
	if notCommitted(err) {
		return fmt.Errorf("commit a write: %w", classify(err))
	}
	for _, w := range g.writes {
		w.done.Change.Version = 0
	}
	return fmt.Errorf("commit a write: %w: %w", blob.ErrOutcomeUnknown, err)
}

// notCommitted says whether a failed COMMIT certainly did nothing, because the
// server said so. pgconn.SafeToRetry is no help: of a connection that breaks
// while it waits for the answer, the driver says "conn closed" and that nothing
// was sent.
func notCommitted(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, pgx.ErrTxCommitRollback) || errors.As(err, &pg) && pg.SeverityUnlocalized == "ERROR"
}

// shelved is the state of the products of a group that are on the shelf.
type shelved map[int64]struct{ version, hash int64 }

// begin takes the write lock, draws the version and reads what there is.
func (g *group) begin(ctx context.Context) (shelved, error) {
	asked := make([]int64, len(g.writes))
	for i, w := range g.writes {
		asked[i] = w.id
	}
	var b pgx.Batch
	b.Queue(writeSettings)
	b.Queue(takeWriteLock, int64(writeLock))
	var schema int
	var generation int64
	var contract string
	var ids, versions, hashes []int64
	// Of the lock's batch, but a statement after it: it sees what the last
	// holder has committed.
	b.Queue(selectForWrite, asked).QueryRow(func(row pgx.Row) error {
		return row.Scan(&g.version, &schema, &generation, &contract, &ids, &versions, &hashes)
	})
	if err := g.tx.SendBatch(ctx, &b).Close(); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, blob.ErrNotReady
		}
		return nil, fmt.Errorf("begin a write: %w", classify(err))
	}
	if schema != hotshelf.SchemaVersion {
		// Of an older program, or of a newer one that came after the start.
		return nil, fmt.Errorf("%w: the database has schema version %d, this program %d", blob.ErrNotReady, schema, hotshelf.SchemaVersion)
	}
	if generation == 0 {
		return nil, blob.ErrNotReady
	}
	state := make(shelved, len(ids))
	for i, id := range ids {
		state[id] = struct{ version, hash int64 }{versions[i], hashes[i]}
	}
	var err error
	g.contract, err = blob.ParseContract(contract)
	return state, err
}

// allows says why a write can't be done, if so.
func (s shelved) allows(w *write) error {
	is, there := s[w.id]
	switch {
	case w.id == 0:
		return nil
	case !there:
		return blob.ErrNotFound
	case w.match != nil && !w.match(is.version, is.hash):
		return blob.ErrMovedOn
	}
	return nil
}
