package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	// What has been written since, a product once.
	selectWritten = `
select coalesce(max(version), $1), array(
    select distinct id from hotshelf.feed f, unnest(f.changed || f.removed) as id where f.version > $1 order by id)
from hotshelf.feed where version > $1`

	upsertNext = `
insert into shelf_next.blobs (product_id, version, hash, contract, detail, styles, related)
select n.product_id, n.version, n.hash, $1, n.detail::jsonb, n.styles::jsonb, n.related::jsonb
from ` + newBlobs + `
on conflict (product_id) do update
set version = excluded.version, hash = excluded.hash, contract = excluded.contract,
    detail = excluded.detail, styles = excluded.styles, related = excluded.related`
	deleteNext = `delete from shelf_next.blobs where product_id = any($1)`
)

const (
	// replayChunk bounds the memory and the statements of a round.
	replayChunk = 500
	// A round that finds this few products is the last one without the write
	// lock; the rest takes milliseconds under it. Rounds get shorter by
	// themselves, as building is quicker than writing; replayRounds is for a
	// database that is too slow for that.
	replayFew    = 100
	replayRounds = 20
)

// Rebuilt says how products were found that were built anew.
type Rebuilt struct {
	Built     int64 `json:"built"`
	Unchanged int64 `json:"unchanged"`
	Changed   int64 `json:"changed"` // different blobs, or new
	Removed   int64 `json:"removed"`
	Unknown   int64 `json:"unknown"` // neither rows nor blobs
}

// replay brings the new shelf in line with what was written since the warm's
// snapshot.
type replay struct {
	warm     *Warm
	contract blob.Contract
	whole    bool
	changed  map[int64]bool // products on the new shelf that are new or differ
	removed  map[int64]bool // live products without rows
	done     Rebuilt        // of the last round
	differs  bool           // whether anything that is read changes
}

// catchUp builds in rounds, each of what was written during the one before.
func (r *replay) catchUp(ctx context.Context) error {
	for range replayRounds {
		few := false
		err := pgx.BeginFunc(ctx, r.warm.lock, func(tx pgx.Tx) error {
			head, ids, err := r.written(ctx, tx)
			if err != nil || len(ids) == 0 {
				few = true
				return err
			}
			if err := r.rebuild(ctx, tx, ids); err != nil {
				return err
			}
			r.warm.since, few = head, len(ids) <= replayFew
			return nil
		})
		if err != nil {
			return fmt.Errorf("build what was written meanwhile: %w", classify(err))
		}
		if few {
			return nil
		}
	}
	return nil
}

// finish is the last round, under the write lock, with products besides.
func (r *replay) finish(ctx context.Context, tx pgx.Tx, besides []int64) error {
	_, ids, err := r.written(ctx, tx)
	if err != nil {
		return err
	}
	ids = append(ids, besides...)
	slices.Sort(ids)
	return r.rebuild(ctx, tx, slices.Compact(ids))
}

// written lists the products that were written since the last round.
func (r *replay) written(ctx context.Context, tx pgx.Tx) (head int64, ids []int64, err error) {
	err = tx.QueryRow(ctx, selectWritten, r.warm.since).Scan(&head, &ids)
	return head, ids, err
}

func (r *replay) rebuild(ctx context.Context, tx pgx.Tx, ids []int64) error {
	r.done = Rebuilt{}
	if len(ids) == 0 {
		return nil
	}
	// Newer than any version that one of the products has had.
	var version int64
	if err := tx.QueryRow(ctx, nextVersion).Scan(&version); err != nil {
		return err
	}
	for chunk := range slices.Chunk(ids, replayChunk) {
		if err := r.rebuildChunk(ctx, tx, chunk, version); err != nil {
			return err
		}
	}
	return nil
}

func (r *replay) rebuildChunk(ctx context.Context, tx pgx.Tx, ids []int64, version int64) error {
	live := make(map[int64]*blob.Row, len(ids))
	found, err := lookup(ctx, tx, ids)
	if err != nil {
		return err
	}
	for i := range found {
		live[found[i].ProductID] = &found[i]
	}

	var put shelfRows
	var unneeded []int64
	left := make(map[int64]bool, len(ids)) // have no rows
	for _, id := range ids {
		left[id] = true
	}
	var blobs blob.Blobs
	err = eachProduct(ctx, tx, r.warm.rows, ids, func(p *blob.Product) {
		delete(left, p.ID)
		delete(r.changed, p.ID)
		delete(r.removed, p.ID)
		blob.Build(&blobs, p, r.contract)
		r.done.Built++
		hash := blobs.Hash()
		switch l := live[p.ID]; {
		case l == nil || l.Hash != hash || l.Contract != r.contract || !sameBlobs(l, &blobs):
			r.done.Changed++
			r.changed[p.ID] = true
			put.add(p.ID, version, hash, &blobs)
		case r.whole:
			r.done.Unchanged++
			put.add(p.ID, l.Version, hash, &blobs)
		default:
			r.done.Unchanged++
			unneeded = append(unneeded, p.ID)
		}
	})
	if err != nil {
		return err
	}
	for id := range left {
		delete(r.changed, id)
		unneeded = append(unneeded, id)
		if live[id] != nil {
			r.done.Removed++
			r.removed[id] = true
		} else {
			r.done.Unknown++
			delete(r.removed, id)
		}
	}
	var b pgx.Batch
	b.Queue(upsertNext, r.contract, put.ids, put.versions, put.hashes, put.detail, put.styles, put.related)
	b.Queue(deleteNext, unneeded)
	return tx.SendBatch(ctx, &b).Close()
}

// sameBlobs says whether a row holds the blobs, whatever its hash says.
func sameBlobs(r *blob.Row, b *blob.Blobs) bool {
	for _, pair := range [...]struct{ stored, built []byte }{{r.Detail, b.Detail}, {r.Styles, b.Styles}, {r.Related, b.Related}} {
		if _, _, equal := blob.FirstDifference(string(pair.stored), pair.built); !equal {
			return false
		}
	}
	return true
}

// shelfRows are rows for a shelf, column by column.
type shelfRows struct {
	ids, versions, hashes   []int64
	detail, styles, related []string
}

func (s *shelfRows) add(id, version, hash int64, b *blob.Blobs) {
	s.ids, s.versions, s.hashes = append(s.ids, id), append(s.versions, version), append(s.hashes, hash)
	s.detail, s.styles, s.related = append(s.detail, string(b.Detail)), append(s.styles, string(b.Styles)), append(s.related, string(b.Related))
}
