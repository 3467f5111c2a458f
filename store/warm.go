package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	createShelfNext = `
drop schema if exists shelf_next cascade;
create schema shelf_next;
create table shelf_next.blobs (like shelf.blobs including all excluding indexes);
create unlogged table shelf_next.overflow (like shelf.blobs including all excluding indexes)`
	dropShelfNext = `drop schema if exists shelf_next cascade`

	beginSnapshot = `begin isolation level repeatable read read only`
	// The first statement of the snapshot: what the feed tells after its head
	// is what the snapshot doesn't see.
	selectBegin = `
select pg_export_snapshot(), (select count(*) from %s.products),
       (select coalesce(max(version), 0) from hotshelf.feed)`
	nextVersion = `select nextval('hotshelf.version')`

	sizeOfRows = `
select coalesce(sum(pg_relation_size(c.oid)), 0)::bigint
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relkind = 'r'`

	// The end of the next range of products, and how many there are in it. It
	// has no more than $2 products with rows, and no more than that on the shelf;
	// the last range has no end.
	selectRange = `
with range as materialized (
    select least(
        (select id from %[1]s.products where id > $1 order by id offset $2::bigint - 1 limit 1),
        (select product_id from shelf.blobs where product_id > $1 order by product_id offset $2::bigint - 1 limit 1)) as hi
)
select hi, (select count(*) from %[1]s.products where id > $1 and id <= coalesce(hi, 9223372036854775807)) from range`
)

// Warm is a new state of the shelf being built beside the live one, or the live
// one being checked. It holds the maintenance lock, and its streams show the
// database at one moment. Nothing live changes before Publish.
type Warm struct {
	db        *DB
	lock      *pgx.Conn
	published bool

	State    State    // the catalogue when the warm began
	Products int64    // how many products the streams have
	Version  int64    // for the blobs that differ from the live ones
	rows     string   // the schema the rows are read from
	since    int64    // version of the newest change that is taken in
	fill     *filling // nil where nothing is to be published

	mu       sync.Mutex // guards the rest
	snapshot *pgx.Conn  // holds the transaction that the others share
	id       string     // the snapshot's name
	last     int64      // end of the last range that was given out
	ended    bool       // all ranges were given out
}

// BeginWarm prepares a warm: from the load that waits, else from the live rows.
func (db *DB) BeginWarm(ctx context.Context) (*Warm, error) {
	return db.beginWarm(ctx, func(w *Warm) error {
		if err := ensureSchema(ctx, w.lock); err != nil {
			return err
		}
		if err := w.readState(ctx); err != nil {
			return err
		}
		if w.State.LoadWaits {
			w.rows = "catalog_next"
		}
		return w.makeShelf(ctx)
	})
}

// BeginRebuild prepares a warm of some products from the live rows, whether or
// not a load waits. Publish is told which.
func (db *DB) BeginRebuild(ctx context.Context) (*Warm, error) {
	return db.beginWarm(ctx, func(w *Warm) error {
		if err := w.readLive(ctx); err != nil {
			return err
		}
		return w.makeShelf(ctx)
	})
}

// BeginVerify prepares to read the live rows and blobs. Nothing is written.
func (db *DB) BeginVerify(ctx context.Context) (*Warm, error) {
	return db.beginWarm(ctx, func(w *Warm) error { return w.readLive(ctx) })
}

func (db *DB) beginWarm(ctx context.Context, prepare func(w *Warm) error) (*Warm, error) {
	lock, err := db.lockMaintenance(ctx)
	if err != nil {
		return nil, err
	}
	w := &Warm{db: db, lock: lock, rows: "catalog"}
	if err = prepare(w); err == nil {
		err = w.takeSnapshot(ctx)
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (w *Warm) readState(ctx context.Context) (err error) {
	if w.State, err = readState(ctx, w.lock); err != nil {
		return err
	}
	if w.State.Generation == 0 && !w.State.LoadWaits {
		return errNothingLoaded
	}
	return nil
}

// readLive is readState for work on what is live.
func (w *Warm) readLive(ctx context.Context) error {
	err := w.readState(ctx)
	switch {
	case errors.Is(err, blob.ErrNotReady):
		return errNothingLoaded
	case err != nil:
		return err
	case w.State.OldSchema:
		return errors.New("the database was set up by an older hotshelf: run warm, which brings it up to date")
	case w.State.Generation == 0:
		return errors.New("nothing is live yet: a load waits, run warm to publish it")
	}
	return nil
}

var errNothingLoaded = errors.New("there is nothing to warm: run load first")

// makeShelf drops what earlier warms left, and makes the new shelf.
func (w *Warm) makeShelf(ctx context.Context) (err error) {
	if err := w.dropOld(ctx); err != nil {
		return err
	}
	if _, err := w.lock.PgConn().Exec(ctx, createShelfNext).ReadAll(); err != nil {
		return fmt.Errorf("make the new shelf: %w", classify(err))
	}
	w.fill, err = w.db.startFilling(ctx)
	return err
}

func (w *Warm) takeSnapshot(ctx context.Context) (err error) {
	if w.snapshot, err = w.db.worker(ctx); err != nil {
		return err
	}
	if _, err := w.snapshot.Exec(ctx, beginSnapshot); err != nil {
		return fmt.Errorf("begin a snapshot: %w", classify(err))
	}
	if err := w.snapshot.QueryRow(ctx, fmt.Sprintf(selectBegin, w.rows)).Scan(&w.id, &w.Products, &w.since); err != nil {
		return fmt.Errorf("take a snapshot: %w", classify(err))
	}
	if w.fill == nil {
		return nil
	}
	// Drawn after the snapshot, so that it is newer than every version in it.
	if err := w.lock.QueryRow(ctx, nextVersion).Scan(&w.Version); err != nil {
		return fmt.Errorf("draw a version: %w", classify(err))
	}
	return nil
}

// ShelfSize is about how many bytes of disk a new shelf takes with its key:
// measured, 57 % of what the rows take without theirs.
func (w *Warm) ShelfSize(ctx context.Context) (int64, error) {
	var rows int64
	if err := w.lock.QueryRow(ctx, sizeOfRows, w.rows).Scan(&rows); err != nil {
		return 0, fmt.Errorf("measure the rows: %w", classify(err))
	}
	return rows / 100 * 60, nil
}

// NextRange gives out the next range of ids, lo to hi, with n products at most,
// and how many there are in it; io.EOF when there are no more. The ranges cover
// all ids. Callers may run side by side.
func (w *Warm) NextRange(ctx context.Context, n int64) (lo, hi, count int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return 0, 0, 0, io.EOF
	}
	lo = w.last + 1
	var end *int64
	if err := w.snapshot.QueryRow(ctx, fmt.Sprintf(selectRange, w.rows), w.last, n).Scan(&end, &count); err != nil {
		return 0, 0, 0, fmt.Errorf("read the next range of products: %w", classify(err))
	}
	hi = math.MaxInt64
	if end != nil {
		hi = *end
	}
	w.ended = hi == math.MaxInt64
	w.last = hi
	return lo, hi, count, nil
}

// dropOld drops what earlier publishes replaced. A reader that began before
// may hold it for as long as it likes: waiting behind it is pointless, so the
// schema then stays for the next time.
func (w *Warm) dropOld(ctx context.Context) error {
	rows, err := w.lock.Query(ctx, selectOldSchemas)
	if err != nil {
		return fmt.Errorf("look for old schemas: %w", classify(err))
	}
	old, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for old schemas: %w", classify(err))
	}
	for _, schema := range old {
		_, err = w.lock.PgConn().Exec(ctx, `set lock_timeout = '3s'; drop schema `+schema+` cascade; reset lock_timeout`).ReadAll()
	}
	if err != nil && !isLockTimeout(err) {
		return fmt.Errorf("drop what earlier publishes replaced: %w", classify(err))
	}
	return nil
}

// Close gives up the maintenance lock. A shelf that was not published goes.
func (w *Warm) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.snapshot != nil && !w.snapshot.IsClosed() {
		closeConn(w.snapshot)
	}
	if w.fill != nil {
		w.fill.abort()
	}
	if w.fill != nil && !w.published && !w.lock.IsClosed() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, _ = w.lock.Exec(ctx, dropShelfNext)
	}
	unlockMaintenance(w.lock)
}
