package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

	// What every write needs to know, read under the lock. The product's own
	// columns are null where it is not on the shelf.
	selectForWrite = `
select nextval('hotshelf.version'), c.schema_version, c.generation, c.contract, b.version, b.hash
from hotshelf.catalogue c left join shelf.blobs b on b.product_id = $1`

	upsertBlobs = `
insert into shelf.blobs (product_id, version, hash, contract, detail, styles, related)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (product_id) do update
set version = excluded.version, hash = excluded.hash, contract = excluded.contract,
    detail = excluded.detail, styles = excluded.styles, related = excluded.related`

	insertChange = `insert into hotshelf.feed (version, changed, removed) values ($1, $2, $3)`

	upsertWritten = `
insert into hotshelf.written (product_id, deleted) values ($1, $2)
on conflict (product_id) do update set deleted = excluded.deleted, at = excluded.at`

	updateQuantity = `
update catalog.skus k set quantity = $3
from catalog.styles s
where k.id = $2 and s.id = k.style_id and s.product_id = $1
returning k.size`

	selectListing = `
select distinct product_id from catalog.related
where related_id = $1 and product_id <> $1 order by product_id`
	deleteProduct = `delete from catalog.products where id = $1`
	deleteBlobs   = `delete from shelf.blobs where product_id = $1`
	// Of a product that listed the deleted one, only its list has changed; the
	// hash is over all three blobs.
	updateRelated = `
update shelf.blobs b set version = $1, hash = n.hash, related = n.related::jsonb
from unnest($2::bigint[], $3::bigint[], $4::text[]) as n (product_id, hash, related)
where b.product_id = n.product_id`
)

// rollbackTimeout bounds the clean-up after a write that failed.
const rollbackTimeout = 5 * time.Second

// write is one transaction under the write lock.
type write struct {
	tx       pgx.Tx
	version  int64
	contract blob.Contract
}

// inWrite runs do in one transaction: it takes the write lock before it draws
// the version, so that version order is commit order. id is the product that
// must exist and match, or 0. On any error nothing has happened, except with
// blob.ErrOutcomeUnknown: then the result, with Version 0, lists what may have
// changed.
func (db *DB) inWrite(ctx context.Context, id int64, match blob.Match, do func(w *write) (blob.Written, error)) (blob.Written, error) {
	var none blob.Written
	// Writes go one after the other anyway: those that wait here leave the
	// connections to reads.
	select {
	case db.writing <- struct{}{}:
		defer func() { <-db.writing }()
	case <-ctx.Done():
		return none, fmt.Errorf("wait for other writes: %w", ctx.Err())
	}
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return none, fmt.Errorf("begin a write: %w", classify(err))
	}
	defer conn.Release()
	// Once for a connection, and ahead of the transaction: prepared in it, ahead
	// of the lock, the statement would go on with the shelf that was live then.
	if _, err := conn.Conn().Prepare(ctx, selectForWrite, selectForWrite); err != nil {
		return none, fmt.Errorf("begin a write: %w", classify(err))
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return none, fmt.Errorf("begin a write: %w", classify(err))
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_ = tx.Rollback(ctx) // after a commit it does nothing
	}()
	w := &write{tx: tx}
	if err := w.begin(ctx, id, match); err != nil {
		return none, err
	}
	done, err := do(w)
	if err != nil {
		return none, err
	}
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("commit a write: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		if notCommitted(err) {
			return none, fmt.Errorf("commit a write: %w", classify(err))
		}
		done.Change.Version = 0
		return done, fmt.Errorf("commit a write: %w: %w", blob.ErrOutcomeUnknown, err)
	}
	return done, nil
}

// notCommitted says whether a failed COMMIT certainly did nothing, because the
// server said so. pgconn.SafeToRetry is no help: of a connection that breaks
// while it waits for the answer, the driver says "conn closed" and that nothing
// was sent.
func notCommitted(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, pgx.ErrTxCommitRollback) || errors.As(err, &pg) && pg.SeverityUnlocalized == "ERROR"
}

func (w *write) begin(ctx context.Context, id int64, match blob.Match) error {
	var b pgx.Batch
	b.Queue(writeSettings)
	b.Queue(takeWriteLock, int64(writeLock))
	var schema int
	var generation int64
	var contract string
	var version, hash *int64
	// Of the lock's batch, but a statement after it: it sees what the last
	// holder has committed.
	b.Queue(selectForWrite, id).QueryRow(func(row pgx.Row) error {
		return row.Scan(&w.version, &schema, &generation, &contract, &version, &hash)
	})
	if err := w.tx.SendBatch(ctx, &b).Close(); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			return blob.ErrNotReady
		}
		return fmt.Errorf("begin a write: %w", classify(err))
	}
	switch {
	case schema != hotshelf.SchemaVersion:
		// Of an older program, or of a newer one that came after the start.
		return fmt.Errorf("%w: the database has schema version %d, this program %d", blob.ErrNotReady, schema, hotshelf.SchemaVersion)
	case generation == 0:
		return blob.ErrNotReady
	case id != 0 && version == nil:
		return blob.ErrNotFound
	case match != nil && !match(*version, *hash):
		return blob.ErrMovedOn
	}
	var err error
	w.contract, err = blob.ParseContract(contract)
	return err
}

// Create adds a product and returns it. Errors: *blob.InvalidError where a
// related product does not exist or an element has an id, and those of every
// write: blob.ErrNotReady, ErrUnavailable, ErrOutcomeUnknown.
func (db *DB) Create(ctx context.Context, in *blob.Input) (blob.Written, error) {
	return db.inWrite(ctx, 0, nil, func(w *write) (blob.Written, error) {
		var b pgx.Batch
		id, err := w.queueRows(ctx, &b, 0, in)
		if err != nil {
			return blob.Written{}, fmt.Errorf("create a product: %w", err)
		}
		return w.finish(ctx, &b, id)
	})
}

// Update changes what the input gives and returns the product's new state.
// Errors: those of Create, blob.ErrNotFound, blob.ErrMovedOn, and
// *blob.InvalidError for an id that is not this product's too.
func (db *DB) Update(ctx context.Context, id int64, in *blob.Input, match blob.Match) (blob.Written, error) {
	return db.inWrite(ctx, id, match, func(w *write) (blob.Written, error) {
		var b pgx.Batch
		if _, err := w.queueRows(ctx, &b, id, in); err != nil {
			return blob.Written{}, fmt.Errorf("update product %d: %w", id, err)
		}
		return w.finish(ctx, &b, id)
	})
}

// SetQuantity sets the stock of one of the product's SKUs. Errors: those of
// Update, and blob.ErrNoSKU.
func (db *DB) SetQuantity(ctx context.Context, id, sku, quantity int64, match blob.Match) (blob.Written, error) {
	return db.inWrite(ctx, id, match, func(w *write) (blob.Written, error) {
		var size string
		var b pgx.Batch
		b.Queue(updateQuantity, id, sku, quantity).QueryRow(func(row pgx.Row) error {
			if err := row.Scan(&size); !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			return blob.ErrNoSKU
		})
		done, err := w.finish(ctx, &b, id)
		done.SKU = blob.SKU{ID: sku, Size: size, Quantity: quantity}
		return done, err
	})
}

// finish changes the product's rows by the statements of changes, and rebuilds
// its blobs from what they are then.
func (w *write) finish(ctx context.Context, changes *pgx.Batch, id int64) (blob.Written, error) {
	done := blob.Written{Change: blob.Change{Version: w.version, Changed: []int64{id}}}
	// They are read in the same round trip.
	var tooLarge error
	queueProducts(changes, "catalog", []int64{id}, func(p *blob.Product) {
		if tooLarge = p.CheckSize(); tooLarge != nil {
			return
		}
		var b blob.Blobs
		blob.Build(&b, p, w.contract)
		done.Row = blob.Row{ProductID: id, Version: w.version, Hash: b.Hash(), Contract: w.contract, Detail: b.Detail, Styles: b.Styles, Related: b.Related}
	})
	err := w.tx.SendBatch(ctx, changes).Close()
	if errors.Is(err, blob.ErrNoSKU) {
		return done, err
	}
	if err != nil {
		return done, fmt.Errorf("change the rows of product %d: %w", id, classify(err))
	}
	if tooLarge != nil {
		return done, tooLarge
	}
	if done.Row.ProductID != id {
		return done, fmt.Errorf("product %d is on the shelf, but has no rows: run warm", id)
	}
	r := &done.Row
	var b pgx.Batch
	b.Queue(upsertBlobs, id, r.Version, r.Hash, r.Contract, r.Detail, r.Styles, r.Related)
	w.queueChange(&b, id, &done.Change)
	if err := w.tx.SendBatch(ctx, &b).Close(); err != nil {
		return done, fmt.Errorf("put product %d on the shelf: %w", id, classify(err))
	}
	return done, nil
}

// queueChange tells the feed, and notes that product id was written: with the
// next import the catalogue would lose that.
func (w *write) queueChange(b *pgx.Batch, id int64, c *blob.Change) {
	b.Queue(upsertWritten, id, len(c.Removed) > 0)
	b.Queue(insertChange, c.Version, append([]int64{}, c.Changed...), append([]int64{}, c.Removed...))
	b.Queue(notify)
}

// Delete removes a product, also from every other product's related list. It
// runs the same few statements however many products list it; of each it keeps
// an id, a hash and the new list in memory. Errors: those of Update.
func (db *DB) Delete(ctx context.Context, id int64, match blob.Match) (blob.Written, error) {
	return db.inWrite(ctx, id, match, func(w *write) (blob.Written, error) {
		done := blob.Written{
			Change: blob.Change{Version: w.version, Removed: []int64{id}},
			Row:    blob.Row{ProductID: id},
		}
		var listing []int64
		var b pgx.Batch
		b.Queue(selectListing, id).Query(func(rows pgx.Rows) (err error) {
			listing, err = pgx.CollectRows(rows, pgx.RowTo[int64])
			return err
		})
		b.Queue(deleteProduct, id)
		b.Queue(deleteBlobs, id)
		if err := w.tx.SendBatch(ctx, &b).Close(); err != nil {
			return done, fmt.Errorf("delete product %d: %w", id, classify(err))
		}
		done.Change.Changed = listing
		b = pgx.Batch{}
		if len(listing) > 0 {
			ids, hashes, related, err := w.relatedOf(ctx, listing)
			if err != nil {
				return done, err
			}
			b.Queue(updateRelated, w.version, ids, hashes, related)
		}
		w.queueChange(&b, id, &done.Change)
		if err := w.tx.SendBatch(ctx, &b).Close(); err != nil {
			return done, fmt.Errorf("take product %d out of %d lists: %w", id, len(listing), classify(err))
		}
		return done, nil
	})
}

// relatedOf builds the blobs of products from their rows, and returns what an
// update of their lists needs.
func (w *write) relatedOf(ctx context.Context, listing []int64) (ids, hashes []int64, related []string, err error) {
	ids, hashes, related = slices.Grow(ids, len(listing)), slices.Grow(hashes, len(listing)), slices.Grow(related, len(listing))
	var b blob.Blobs
	err = eachProduct(ctx, w.tx, "catalog", listing, func(p *blob.Product) {
		blob.Build(&b, p, w.contract)
		ids, hashes, related = append(ids, p.ID), append(hashes, b.Hash()), append(related, string(b.Related))
	})
	if err == nil && len(ids) != len(listing) {
		err = fmt.Errorf("read %d of %d products", len(ids), len(listing))
	}
	return ids, hashes, related, err
}
