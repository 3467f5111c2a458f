package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	// What a new shelf takes over from the live one: products that are there
	// still, and were not put because their blobs are as they were.
	copyUnchanged = `
insert into shelf_next.blobs
select b.* from shelf.blobs b
where exists (select from %s.products p where p.id = b.product_id)
  and not exists (select from shelf_next.blobs n where n.product_id = b.product_id)`

	mergeDifferences = `
insert into shelf.blobs (product_id, version, hash, contract, detail, styles, related)
select product_id, version, hash, contract, detail, styles, related from shelf_next.blobs
on conflict (product_id) do update
set version = excluded.version, hash = excluded.hash, contract = excluded.contract,
    detail = excluded.detail, styles = excluded.styles, related = excluded.related`
	removeBlobs = `delete from shelf.blobs where product_id = any($1)`

	moveSequences = `
select setval('hotshelf.product_id', greatest((select max(id) from catalog.products), (select last_value from hotshelf.product_id))),
       setval('hotshelf.feature_id', greatest((select max(id) from catalog.features), (select last_value from hotshelf.feature_id))),
       setval('hotshelf.style_id',   greatest((select max(id) from catalog.styles),   (select last_value from hotshelf.style_id))),
       setval('hotshelf.related_id', greatest((select max(id) from catalog.related),  (select last_value from hotshelf.related_id))),
       setval('hotshelf.photo_id',   greatest((select max(id) from catalog.photos),   (select last_value from hotshelf.photo_id))),
       setval('hotshelf.sku_id',     greatest((select max(id) from catalog.skus),     (select last_value from hotshelf.sku_id)))`

	insertGeneration = `insert into hotshelf.feed (version, generation) values (nextval('hotshelf.version'), $1)`
	insertDifference = `insert into hotshelf.feed (version, changed, removed) values (nextval('hotshelf.version'), $1, $2)`
	deleteWritten    = `delete from hotshelf.written`

	updatePublished = `
update hotshelf.catalogue set generation = $1, contract = $2, published_at = now()`
	updateBuilder = `update hotshelf.catalogue set builder_version = $1`
	updateSource  = `
update hotshelf.catalogue set source = next_source, next_source = null, next_loaded_at = null`

	selectDump = `
select exists (select from pg_stat_activity where application_name = 'pg_dump' and datname = current_database() and xact_start is not null)`

	selectOldSchemas = `
select nspname from pg_namespace where nspname ~ '^(catalog|shelf)_old_[0-9]+$' order by nspname`
)

// Publication says what is to become live.
type Publication struct {
	Contract blob.Contract
	// Whole makes the new shelf the live one. Without it the differences are
	// written into the live one.
	Whole bool
	// Put is how many products were put on the new shelf. The others are taken
	// over from the live one where it is to be whole.
	Put int64
	// Changed lists the products that were put because they are new or differ,
	// Removed those that are live and have no rows any more. Everything says
	// that Changed is not complete: then every cache forgets all it has.
	Changed    []int64
	Removed    []int64
	Everything bool
	// Rebuild lists products to build anew, where that is all that is done.
	Rebuild []int64
	// DiscardWrites lets an import take back what was written through the API.
	DiscardWrites bool
}

// Published says what has become live.
type Published struct {
	Generation int64 // of the catalogue; a new one after a new shelf
	Differs    bool  // whether anything that is read has changed
	// Rebuilt, of Rebuild and of what was written while the warm ran.
	Rebuilt Rebuilt
}

// Publish makes the new shelf, or its differences, live together with the rows
// it was built from. Products that were written since the warm began are built
// anew, in rounds and at last under the write lock, so that no write is lost.
// On an error nothing has changed; ErrWritten says what stands in the way.
func (w *Warm) Publish(ctx context.Context, p Publication) (done Published, err error) {
	// All is read: the snapshot would hold up the end of the old tables.
	closeConn(w.snapshot)
	if err := refuseDump(ctx, w.lock); err != nil {
		return done, err
	}
	if err := w.completeShelf(ctx, p); err != nil {
		return done, err
	}
	r := &replay{warm: w, contract: p.Contract, whole: p.Whole, changed: set(p.Changed), removed: set(p.Removed)}
	if err := r.catchUp(ctx); err != nil {
		return done, err
	}
	done.Generation = w.State.Generation
	if p.Whole {
		done.Generation++
	}
	err = pgx.BeginFunc(ctx, w.lock, func(tx pgx.Tx) error {
		var b pgx.Batch
		b.Queue(endWithHost)
		b.Queue(takeWriteLock, int64(writeLock))
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return err
		}
		if err := refuseDump(ctx, tx); err != nil {
			return err
		}
		if !p.DiscardWrites {
			if err := w.refuseWritten(ctx, tx); err != nil {
				return err
			}
		}
		if err := r.finish(ctx, tx, p.Rebuild); err != nil {
			return err
		}
		return w.switchOver(ctx, tx, p, r, done.Generation)
	})
	if errors.Is(err, ErrWritten) || errors.Is(err, errDump) {
		return done, err
	}
	if err != nil {
		return done, fmt.Errorf("publish: %w", classify(err))
	}
	done.Rebuilt, done.Differs = r.done, r.differs
	w.published = true
	// What is live is complete now; a reader that still holds the old tables
	// only delays their end until the next warm.
	_ = w.dropOld(ctx)
	return done, nil
}

// errDump is in the way of a publish: pg_dump finds its tables by name, one by
// one, and would put some of the old catalogue beside some of the new.
var errDump = errors.New("pg_dump is reading this database: nothing was published, run warm again when it has ended")

func refuseDump(ctx context.Context, q querier) error {
	var dumping bool
	if err := q.QueryRow(ctx, selectDump).Scan(&dumping); err != nil {
		return fmt.Errorf("look for a dump: %w", classify(err))
	}
	if dumping {
		return errDump
	}
	return nil
}

// completeShelf gives what was put its key, and what a whole shelf needs: the
// products that were not put, and statistics.
func (w *Warm) completeShelf(ctx context.Context, p Publication) error {
	put, err := w.fill.end(ctx)
	if err != nil {
		return err
	}
	if put != p.Put {
		return fmt.Errorf("the new shelf took %d products, %d were put", put, p.Put)
	}
	if _, err := w.lock.Exec(ctx, `set search_path = shelf`); err != nil {
		return fmt.Errorf("read the definition of the shelf: %w", classify(err))
	}
	d, err := liveDefinition(ctx, w.lock, "blobs")
	if err != nil {
		return fmt.Errorf("read the definition of the shelf: %w", classify(err))
	}
	steps := append([]string{`set local search_path = shelf_next`}, d.primary...)
	var held, head int64
	if p.Whole {
		held = put
		// To find that nothing is missing takes as long as to look for it.
		if put != w.Products {
			tag, err := w.fill.conn.Exec(ctx, fmt.Sprintf(copyUnchanged, w.rows))
			if err != nil {
				return fmt.Errorf("take over the products that are as they were: %w", classify(err))
			}
			held += tag.RowsAffected()
		}
		if err := w.fill.conn.QueryRow(ctx, selectHead).Scan(&head); err != nil {
			return fmt.Errorf("read the head of the feed: %w", classify(err))
		}
		// What was written meanwhile comes with the replay.
		if head == w.since && held != w.Products {
			return fmt.Errorf("the new shelf holds %d products, and there are %d", held, w.Products)
		}
	}
	steps = append(steps, `commit`)
	if p.Whole {
		steps = append(steps, fewStatistics, vacuumShelfNext)
	}
	for _, sql := range steps {
		if _, err := w.fill.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("complete the new shelf: %w", classify(err))
		}
	}
	return nil
}

const (
	// Nothing is ever searched for by what is in the blobs, and 3,000 rows tell how
	// the ids lie.
	fewStatistics = `set default_statistics_target = 10`
	// Rows that were frozen are passed over. Of the others it is noted that all can
	// see them, unless a transaction is older, so that nobody who reads them has to
	// find out, and to read ids needs the key only.
	vacuumShelfNext = `vacuum (analyze) shelf_next.blobs (product_id)`
)

// dropOverflow is left to the publish, beside which there is no dump: one that
// has begun before would miss the table.
const dropOverflow = `drop table shelf_next.overflow`

const selectHead = `select coalesce(max(version), 0) from hotshelf.feed`

// switchOver is the publish itself, under the write lock.
func (w *Warm) switchOver(ctx context.Context, tx pgx.Tx, p Publication, r *replay, generation int64) error {
	var b pgx.Batch
	if w.rows == "catalog_next" {
		b.Queue(fmt.Sprintf(`alter schema catalog rename to catalog_old_%d`, w.Version))
		b.Queue(`alter schema catalog_next rename to catalog`)
		b.Queue(updateSource)
		b.Queue(deleteWritten)
		b.Queue(moveSequences)
	}
	changed, removed := slices.AppendSeq([]int64{}, maps.Keys(r.changed)), slices.AppendSeq([]int64{}, maps.Keys(r.removed))
	r.differs = p.Everything || len(changed)+len(removed) > 0
	switch {
	case p.Whole:
		b.Queue(fmt.Sprintf(`alter schema shelf rename to shelf_old_%d`, w.Version))
		b.Queue(dropOverflow)
		b.Queue(`alter schema shelf_next rename to shelf`)
	case r.differs:
		b.Queue(mergeDifferences)
		b.Queue(removeBlobs, removed)
		// A dump may hold its tables: to drop them has time.
		fallthrough
	default:
		b.Queue(fmt.Sprintf(`alter schema shelf_next rename to shelf_old_%d`, w.Version))
	}
	b.Queue(updatePublished, generation, p.Contract.String())
	if p.Rebuild == nil {
		b.Queue(updateBuilder, blob.BuilderVersion)
	}
	switch {
	case p.Everything:
		b.Queue(insertGeneration, generation)
		b.Queue(notify)
	case r.differs:
		// What the feed does not name, no cache forgets.
		b.Queue(insertDifference, changed, removed)
		b.Queue(notify)
	}
	return tx.SendBatch(ctx, &b).Close()
}
