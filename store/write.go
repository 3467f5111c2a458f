package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	// Two statements, for an upsert would lock each row before it updates it.
	insertBlobs = `
insert into shelf.blobs (product_id, version, hash, contract, detail, styles, related)
select n.product_id, n.version, n.hash, $1, n.detail::jsonb, n.styles::jsonb, n.related::jsonb
from ` + newBlobs
	updateBlobs = `
update shelf.blobs b
set version = n.version, hash = n.hash, contract = $1, detail = n.detail::jsonb, styles = n.styles::jsonb, related = n.related::jsonb
from ` + newBlobs + `
where b.product_id = n.product_id`
	newBlobs = `unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[])
     as n (product_id, version, hash, detail, styles, related)`

	insertChange = `insert into hotshelf.feed (version, changed, removed) values ($1, $2, $3)`

	upsertWritten = `
insert into hotshelf.written (product_id, deleted) select n.product_id, $2 from unnest($1::bigint[]) as n (product_id)
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

// write is what one caller wants to have written, and at the end what became
// of it.
type write struct {
	id    int64      // the product, which must exist; 0 for a new one
	match blob.Match // what state it must be in

	in            *blob.Input // of a create or an update
	sku, quantity int64       // of a change of stock
	remove        bool

	ids drawn // for what the input has that is new

	// Row.ProductID of done is set from the moment that the id is known.
	done blob.Written
	err  error

	size int             // about how many bytes the input takes
	ctx  context.Context //nolint:containedctx // the queue is where callers meet
	over chan struct{}   // closed when done and err are final
}

// Create adds a product and returns it. Errors: *blob.InvalidError where a
// related product does not exist or an element has an id, and those of every
// write: blob.ErrNotReady, ErrUnavailable, ErrOutcomeUnknown.
func (db *DB) Create(ctx context.Context, in *blob.Input) (blob.Written, error) {
	return db.write(ctx, &write{in: in})
}

// Update changes what the input gives and returns the product's new state.
// Errors: those of Create, blob.ErrNotFound, blob.ErrMovedOn, and
// *blob.InvalidError for an id that is not this product's too.
func (db *DB) Update(ctx context.Context, id int64, in *blob.Input, match blob.Match) (blob.Written, error) {
	return db.write(ctx, &write{id: id, match: match, in: in})
}

// SetQuantity sets the stock of one of the product's SKUs. Errors: those of
// Update, and blob.ErrNoSKU.
func (db *DB) SetQuantity(ctx context.Context, id, sku, quantity int64, match blob.Match) (blob.Written, error) {
	return db.write(ctx, &write{id: id, match: match, sku: sku, quantity: quantity})
}

// Delete removes a product, also from every other product's related list. It
// runs the same few statements however many products list it; of each it keeps
// an id, a hash and the new list in memory. Errors: those of Update.
func (db *DB) Delete(ctx context.Context, id int64, match blob.Match) (blob.Written, error) {
	return db.write(ctx, &write{id: id, match: match, remove: true})
}

// prepare checks what the inputs name and draws the ids of what they add.
func (g *group) prepare(ctx context.Context) error {
	var b pgx.Batch
	for _, w := range g.writes {
		if w.in != nil && (w.id == 0 || w.in.Features != nil || w.in.Related != nil || w.in.Styles != nil) {
			w.queueCheck(&b)
		}
	}
	if b.Len() == 0 {
		return nil
	}
	if err := g.tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("check what %d writes name: %w", len(g.writes), classify(err))
	}
	return nil
}

// change changes the rows, and builds the blobs from what they are then.
func (g *group) change(ctx context.Context) error {
	var b pgx.Batch
	ids := make([]int64, 0, len(g.writes))
	byProduct := make(map[int64]*write, len(g.writes))
	for _, w := range g.writes {
		if w.in != nil {
			w.queueRows(&b)
		} else {
			w.queueStock(&b)
		}
		id := w.done.Row.ProductID
		ids, byProduct[id] = append(ids, id), w
	}
	// They are read in the same round trip.
	var fault error
	size := 0
	queueProducts(&b, "catalog", ids, func(p *blob.Product) {
		w := byProduct[p.ID]
		if w.err != nil || fault != nil {
			return
		}
		if fault = p.CheckSize(); fault != nil {
			return
		}
		if size > groupBytes {
			fault = errTooMuch
			return
		}
		var b blob.Blobs
		blob.Build(&b, p, g.contract)
		w.done.Row = blob.Row{ProductID: p.ID, Version: g.version, Hash: b.Hash(), Contract: g.contract, Detail: b.Detail, Styles: b.Styles, Related: b.Related}
		size += len(b.Detail) + len(b.Styles) + len(b.Related)
	})
	if err := g.tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("change the rows of products %d: %w", ids, classify(err))
	}
	return fault
}

// put puts the blobs on the shelf and tells the feed.
func (g *group) put(ctx context.Context) error {
	ids := make([]int64, 0, len(g.writes))
	var fresh, known shelfRows
	for _, w := range g.writes {
		r := &w.done.Row
		if r.Version == 0 {
			return fmt.Errorf("product %d is on the shelf, but has no rows: run warm", r.ProductID)
		}
		w.done.Change = blob.Change{Version: g.version, Changed: []int64{r.ProductID}}
		ids = append(ids, r.ProductID)
		to := &known
		if w.id == 0 {
			to = &fresh
		}
		to.add(r.ProductID, r.Version, r.Hash, &blob.Blobs{Detail: r.Detail, Styles: r.Styles, Related: r.Related})
	}
	var b pgx.Batch
	g.queueBlobs(&b, insertBlobs, &fresh)
	g.queueBlobs(&b, updateBlobs, &known)
	queueChange(&b, ids, &blob.Change{Version: g.version, Changed: ids})
	if err := g.tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("put products %d on the shelf: %w", ids, classify(err))
	}
	return nil
}

func (g *group) queueBlobs(b *pgx.Batch, statement string, s *shelfRows) {
	if len(s.ids) > 0 {
		b.Queue(statement, g.contract, s.ids, s.versions, s.hashes, s.detail, s.styles, s.related)
	}
}

// queueStock queues the change of a SKU's stock.
func (w *write) queueStock(b *pgx.Batch) {
	b.Queue(updateQuantity, w.id, w.sku, w.quantity).QueryRow(func(row pgx.Row) error {
		w.done.SKU = blob.SKU{ID: w.sku, Quantity: w.quantity}
		err := row.Scan(&w.done.SKU.Size)
		if errors.Is(err, pgx.ErrNoRows) {
			w.err = blob.ErrNoSKU // and nothing has changed
			return nil
		}
		return err
	})
}

// queueChange tells the feed, and notes that the products were written: with
// the next import the catalogue would lose that.
func queueChange(b *pgx.Batch, ids []int64, c *blob.Change) {
	b.Queue(upsertWritten, ids, len(c.Removed) > 0)
	b.Queue(insertChange, c.Version, append([]int64{}, c.Changed...), append([]int64{}, c.Removed...))
	b.Queue(notify)
}

// remove does the one write of a group that deletes.
func (g *group) remove(ctx context.Context) error {
	w := g.writes[0]
	w.done.Change = blob.Change{Version: g.version, Removed: []int64{w.id}}
	var listing []int64
	var b pgx.Batch
	b.Queue(selectListing, w.id).Query(func(rows pgx.Rows) (err error) {
		listing, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	b.Queue(deleteProduct, w.id)
	b.Queue(deleteBlobs, w.id)
	if err := g.tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("delete product %d: %w", w.id, classify(err))
	}
	w.done.Change.Changed = listing
	b = pgx.Batch{}
	if len(listing) > 0 {
		ids, hashes, related, err := g.relatedOf(ctx, listing)
		if err != nil {
			return err
		}
		b.Queue(updateRelated, g.version, ids, hashes, related)
	}
	queueChange(&b, []int64{w.id}, &w.done.Change)
	if err := g.tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("take product %d out of %d lists: %w", w.id, len(listing), classify(err))
	}
	return nil
}

// relatedOf builds the blobs of products from their rows, and returns what an
// update of their lists needs.
func (g *group) relatedOf(ctx context.Context, listing []int64) (ids, hashes []int64, related []string, err error) {
	ids, hashes, related = slices.Grow(ids, len(listing)), slices.Grow(hashes, len(listing)), slices.Grow(related, len(listing))
	var b blob.Blobs
	err = eachProduct(ctx, g.tx, "catalog", listing, func(p *blob.Product) {
		blob.Build(&b, p, g.contract)
		ids, hashes, related = append(ids, p.ID), append(hashes, b.Hash()), append(related, string(b.Related))
	})
	if err == nil && len(ids) != len(listing) {
		err = fmt.Errorf("read %d of %d products", len(ids), len(listing))
	}
	return ids, hashes, related, err
}
