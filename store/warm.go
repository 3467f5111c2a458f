package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	createShelfNext = `
drop schema if exists shelf_next cascade;
create schema shelf_next;
create table shelf_next.blobs (like shelf.blobs including all excluding indexes)`
	dropShelfNext = `drop schema if exists shelf_next cascade`

	copyShelfNext = `copy shelf_next.blobs (product_id, version, hash, contract, detail, styles, related) from stdin (format binary)`

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

	// The end of the next range of products, and how many there are in it.
	selectRange = `
select coalesce(max(id), 0), count(*)
from (select id from %s.products where id > $1 order by id limit $2) chunk`
)

// streams are the ordered streams that warm merges, for the products from lo
// to hi: by product, then style, then their own id. The first column names the
// row that each belongs to.
var streams = map[string]string{
	"products": `
select id, name, slogan, description, category, default_price
from %[1]s.products where id between %[2]d and %[3]d order by id`,
	"features": `
select product_id, feature, value
from %[1]s.features where product_id between %[2]d and %[3]d order by product_id, id`,
	"styles": `
select product_id, id, name, sale_price, original_price, default_style
from %[1]s.styles where product_id between %[2]d and %[3]d order by product_id, id`,
	"related": `
select product_id, related_id
from %[1]s.related where product_id between %[2]d and %[3]d order by product_id, id`,
	"photos": `
select p.style_id, p.url, p.thumbnail_url
from %[1]s.styles s join %[1]s.photos p on p.style_id = s.id
where s.product_id between %[2]d and %[3]d order by s.product_id, s.id, p.id`,
	"skus": `
select k.style_id, k.id, k.size, k.quantity
from %[1]s.styles s join %[1]s.skus k on k.style_id = s.id
where s.product_id between %[2]d and %[3]d order by s.product_id, s.id, k.id`,
	// What is live now, to tell which products change.
	"shelf": `
select product_id, version, hash
from shelf.blobs where product_id between %[2]d and %[3]d order by product_id`,
	// The same with the blobs, to compare them.
	"blobs": `
select product_id, version, hash, contract::bigint, detail, styles, related
from shelf.blobs where product_id between %[2]d and %[3]d order by product_id`,
}

// Warm is a new state of the shelf being built beside the live one, or the live
// one being checked. It holds the maintenance lock, and its streams show the
// database at one moment. Nothing live changes before Publish.
type Warm struct {
	db        *DB
	lock      *pgx.Conn
	shelf     bool // shelf_next was made
	published bool

	State    State  // the catalogue when the warm began
	Products int64  // how many products the streams have
	Version  int64  // for the blobs that differ from the live ones
	rows     string // the schema the rows are read from
	since    int64  // version of the newest change that is taken in

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
func (w *Warm) makeShelf(ctx context.Context) error {
	if err := w.dropOld(ctx); err != nil {
		return err
	}
	w.shelf = true
	if _, err := w.lock.PgConn().Exec(ctx, createShelfNext).ReadAll(); err != nil {
		return fmt.Errorf("make the new shelf: %w", classify(err))
	}
	return nil
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
	if !w.shelf {
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

// NextRange gives out the next n products as a range of ids, lo to hi, and how
// many there are in it; io.EOF when there are no more. The ranges cover all ids:
// the last has the products of the shelf that come after the last rows. Callers
// may run side by side.
func (w *Warm) NextRange(ctx context.Context, n int64) (lo, hi, count int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return 0, 0, 0, io.EOF
	}
	lo = w.last + 1
	if err := w.snapshot.QueryRow(ctx, fmt.Sprintf(selectRange, w.rows), w.last, n).Scan(&hi, &count); err != nil {
		return 0, 0, 0, fmt.Errorf("read the next range of products: %w", classify(err))
	}
	if w.ended = count < n; w.ended {
		hi = math.MaxInt64
	}
	w.last = hi
	return lo, hi, count, nil
}

// RowReader reads the streams of a warm on a connection of its own. It is used
// by one goroutine.
type RowReader struct {
	rows string
	conn *pgx.Conn
	size map[string]int // bytes of each stream's last range
}

// Reader opens a reader that sees what the warm sees.
func (w *Warm) Reader(ctx context.Context) (*RowReader, error) {
	conn, err := w.db.worker(ctx)
	if err != nil {
		return nil, err
	}
	script := beginSnapshot + "; set transaction snapshot '" + w.id + "'"
	if _, err := conn.PgConn().Exec(ctx, script).ReadAll(); err != nil {
		closeConn(conn)
		return nil, fmt.Errorf("share the snapshot: %w", classify(err))
	}
	return &RowReader{rows: w.rows, conn: conn, size: map[string]int{}}, nil
}

// Rows reads one of the streams (products, features, styles, related, photos,
// skus, shelf) for the products from lo to hi.
func (r *RowReader) Rows(ctx context.Context, stream string, lo, hi int64) (*Rows, error) {
	var data strings.Builder
	data.Grow(r.size[stream] + r.size[stream]/8)
	sql := "copy (" + fmt.Sprintf(streams[stream], r.rows, lo, hi) + ") to stdout (format binary)"
	if _, err := r.conn.PgConn().CopyTo(ctx, &data, sql); err != nil {
		return nil, fmt.Errorf("read the %s of products %d to %d: %w", stream, lo, hi, classify(err))
	}
	r.size[stream] = data.Len()
	return newRows(data.String())
}

// Close ends the connection.
func (r *RowReader) Close() { closeConn(r.conn) }

// ShelfWriter fills the new shelf; several can do so side by side. Each is
// used by one goroutine and ends with Close or Abort.
type ShelfWriter struct {
	conn *pgx.Conn
	copy *copyWriter
}

// Writer opens a writer.
func (w *Warm) Writer(ctx context.Context) (*ShelfWriter, error) {
	conn, err := w.db.worker(ctx)
	if err != nil {
		return nil, err
	}
	return &ShelfWriter{conn: conn, copy: startCopy(ctx, conn, copyShelfNext)}, nil
}

// Put adds a product's blobs, which are copied.
func (w *ShelfWriter) Put(id, version, hash int64, contract blob.Contract, b *blob.Blobs) error {
	w.copy.beginRow(7)
	w.copy.int8(id)
	w.copy.int8(version)
	w.copy.int8(hash)
	w.copy.int2(int16(contract))
	w.copy.jsonb(b.Detail)
	w.copy.jsonb(b.Styles)
	w.copy.jsonb(b.Related)
	if err := w.copy.endRow(); err != nil {
		return fmt.Errorf("fill the new shelf: %w", err)
	}
	return nil
}

// Close commits the blobs and returns how many there are.
func (w *ShelfWriter) Close() (int64, error) {
	defer closeConn(w.conn)
	n, err := w.copy.close()
	if err != nil {
		return 0, fmt.Errorf("fill the new shelf: %w", err)
	}
	return n, nil
}

// Abort gives the blobs up.
func (w *ShelfWriter) Abort() {
	w.copy.abort()
	closeConn(w.conn)
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
	if w.shelf && !w.published && !w.lock.IsClosed() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, _ = w.lock.Exec(ctx, dropShelfNext)
	}
	unlockMaintenance(w.lock)
}
