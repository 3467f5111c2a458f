package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	selectBlob = `
select product_id, version, hash, contract, detail, styles, related
from shelf.blobs where product_id = $1`

	selectBlobs = `
select product_id, version, hash, contract, detail, styles, related
from shelf.blobs where product_id = any($1)`

	selectLiveIDs = `select product_id from shelf.blobs order by product_id`
)

// Lookup returns the rows of the products that exist, in any order, in one
// round trip. Errors: blob.ErrUnavailable, blob.ErrNotReady.
func (db *DB) Lookup(ctx context.Context, ids []int64) ([]blob.Row, error) {
	found, err := lookup(ctx, db.pool, ids)
	if err != nil {
		return nil, fmt.Errorf("look up %d products: %w", len(ids), classify(err))
	}
	return found, nil
}

func lookup(ctx context.Context, q querier, ids []int64) ([]blob.Row, error) {
	var rows pgx.Rows
	var err error
	if len(ids) == 1 {
		rows, err = q.Query(ctx, selectBlob, ids[0])
	} else {
		rows, err = q.Query(ctx, selectBlobs, ids)
	}
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make([]blob.Row, 0, len(ids))
	for rows.Next() {
		var r blob.Row
		if err := rows.Scan(&r.ProductID, &r.Version, &r.Hash, &r.Contract, &r.Detail, &r.Styles, &r.Related); err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

// LiveIDs calls each with the ids of all products on the shelf, ascending.
func (db *DB) LiveIDs(ctx context.Context, each func(id int64)) error {
	rows, err := db.pool.Query(ctx, selectLiveIDs)
	if err != nil {
		return fmt.Errorf("read the live ids: %w", classify(err))
	}
	var id int64
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { each(id); return nil }); err != nil {
		return fmt.Errorf("read the live ids: %w", classify(err))
	}
	return nil
}
