package store

import (
	"context"
	"errors"
	"fmt"
	"io"
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

	beginSnapshot  = `begin isolation level repeatable read read only`
	exportSnapshot = `select pg_export_snapshot()`
	countProducts  = `select (select count(*) from %s.products), (select count(*) from shelf.blobs)`
	nextVersion    = `select nextval('hotshelf.version')`

	// The end of the next range of products, and how many there are in it.
	selectRange = `
select coalesce(max(id), 0), count(*)
from (select id from %s.products where id > $1 order by id limit $2) chunk`

	moveSequences = `
select setval('hotshelf.product_id', greatest((select max(id) from catalog.products), (select last_value from hotshelf.product_id))),
       setval('hotshelf.feature_id', greatest((select max(id) from catalog.features), (select last_value from hotshelf.feature_id))),
       setval('hotshelf.style_id',   greatest((select max(id) from catalog.styles),   (select last_value from hotshelf.style_id))),
       setval('hotshelf.related_id', greatest((select max(id) from catalog.related),  (select last_value from hotshelf.related_id))),
       setval('hotshelf.photo_id',   greatest((select max(id) from catalog.photos),   (select last_value from hotshelf.photo_id))),
       setval('hotshelf.sku_id',     greatest((select max(id) from catalog.skus),     (select last_value from hotshelf.sku_id)))`

	updatePublished = `
update hotshelf.catalogue
set generation = $1, contract = $2, builder_version = $3, published_at = now(),
    source = coalesce(next_source, source), next_source = null, next_loaded_at = null`

	selectOldSchemas = `
select nspname from pg_namespace where nspname ~ '^(catalog|shelf)_old_[0-9]+$' order by nspname`
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
}

// Warm is a new shelf being built beside the live one. It holds the
// maintenance lock, and all its reads see the database at one moment. Nothing
// live changes before Publish.
type Warm struct {
	db        *DB
	lock      *pgx.Conn
	published bool

	State    State  // the catalogue when the warm began
	Products int64  // how many products it reads
	Live     int64  // how many products are live when it begins
	Version  int64  // for the blobs that differ from the live ones
	rows     string // the schema the rows are read from

	mu       sync.Mutex // guards the rest
	snapshot *pgx.Conn  // holds the transaction that the others share
	id       string     // the snapshot's name
	last     int64      // end of the last range that was given out
}

// BeginWarm prepares a warm: from the load that waits, else from the live rows.
func (db *DB) BeginWarm(ctx context.Context) (*Warm, error) {
	lock, err := db.lockMaintenance(ctx)
	if err != nil {
		return nil, err
	}
	w := &Warm{db: db, lock: lock}
	if err := w.prepare(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (w *Warm) prepare(ctx context.Context) error {
	if err := ensureSchema(ctx, w.lock); err != nil {
		return err
	}
	var err error
	if w.State, err = readState(ctx, w.lock); err != nil {
		return err
	}
	switch {
	case w.State.LoadWaits:
		w.rows = "catalog_next"
	case w.State.Generation > 0:
		w.rows = "catalog"
	default:
		return errors.New("there is nothing to warm: run load first")
	}
	if err := w.dropOld(ctx); err != nil {
		return err
	}
	if _, err := w.lock.PgConn().Exec(ctx, createShelfNext).ReadAll(); err != nil {
		return fmt.Errorf("make the new shelf: %w", classify(err))
	}
	if err := w.lock.QueryRow(ctx, nextVersion).Scan(&w.Version); err != nil {
		return fmt.Errorf("draw a version: %w", classify(err))
	}
	if w.snapshot, err = w.db.worker(ctx); err != nil {
		return err
	}
	if _, err := w.snapshot.Exec(ctx, beginSnapshot); err != nil {
		return fmt.Errorf("begin a snapshot: %w", classify(err))
	}
	if err := w.snapshot.QueryRow(ctx, exportSnapshot).Scan(&w.id); err != nil {
		return fmt.Errorf("export the snapshot: %w", classify(err))
	}
	if err := w.snapshot.QueryRow(ctx, fmt.Sprintf(countProducts, w.rows)).Scan(&w.Products, &w.Live); err != nil {
		return fmt.Errorf("count the products: %w", classify(err))
	}
	return nil
}

// NextRange gives out the next n products as a range of ids, lo to hi, and how
// many there are in it; io.EOF when there are no more. Callers may run side by
// side.
func (w *Warm) NextRange(ctx context.Context, n int64) (lo, hi, count int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lo = w.last + 1
	if err := w.snapshot.QueryRow(ctx, fmt.Sprintf(selectRange, w.rows), w.last, n).Scan(&hi, &count); err != nil {
		return 0, 0, 0, fmt.Errorf("read the next range of products: %w", classify(err))
	}
	if count == 0 {
		return 0, 0, 0, io.EOF
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

// Publish adds the key and the statistics of the new shelf, checks that it
// holds as many products as count says, and makes it live together with the
// rows it was built from. It returns the new generation.
func (w *Warm) Publish(ctx context.Context, contract blob.Contract, count int64) (int64, error) {
	if _, err := w.lock.Exec(ctx, `set search_path = shelf`); err != nil {
		return 0, fmt.Errorf("read the definition of the shelf: %w", classify(err))
	}
	d, err := liveDefinition(ctx, w.lock, "blobs")
	if err != nil {
		return 0, fmt.Errorf("read the definition of the shelf: %w", classify(err))
	}
	if err := w.db.inNext(ctx, "shelf_next", []definition{d}, func(d definition) []string { return append(d.primary, "analyze "+d.table) }); err != nil {
		return 0, err
	}
	var built int64
	if err := w.lock.QueryRow(ctx, `select count(*) from shelf_next.blobs`).Scan(&built); err != nil {
		return 0, fmt.Errorf("count the new shelf: %w", classify(err))
	}
	if built != count || built != w.Products {
		return 0, fmt.Errorf("the new shelf holds %d products, %d were built, and there are %d", built, count, w.Products)
	}
	// All is read: the snapshot would hold up the end of the old tables.
	closeConn(w.snapshot)
	generation := w.State.Generation + 1
	if err := w.swap(ctx, generation, contract); err != nil {
		return 0, fmt.Errorf("publish the new shelf: %w", classify(err))
	}
	w.published = true
	// What is live is complete now; a reader that still holds the old tables
	// only delays their end until the next warm.
	_ = w.dropOld(ctx)
	return generation, nil
}

// swap is the publish itself: one short transaction under the write lock.
func (w *Warm) swap(ctx context.Context, generation int64, contract blob.Contract) error {
	return pgx.BeginFunc(ctx, w.lock, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, takeWriteLock, int64(writeLock)); err != nil {
			return err
		}
		var renames []string
		if w.State.LoadWaits {
			renames = append(renames,
				fmt.Sprintf(`alter schema catalog rename to catalog_old_%d`, generation),
				`alter schema catalog_next rename to catalog`)
		}
		renames = append(renames,
			fmt.Sprintf(`alter schema shelf rename to shelf_old_%d`, generation),
			`alter schema shelf_next rename to shelf`)
		for _, sql := range renames {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, moveSequences); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, updatePublished, generation, contract.String(), blob.BuilderVersion); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insertPublish, generation); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, notify)
		return err
	})
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
	if !w.published && !w.lock.IsClosed() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, _ = w.lock.Exec(ctx, dropShelfNext)
	}
	unlockMaintenance(w.lock)
}
