package store

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/hotshelf/hotshelf/blob"
)

var text = bytes.Repeat([]byte("0123456789"), 2000)

// large is a product's blobs in 20 kB, which the COPY is slower with than whoever
// puts them.
func large(id int64) *blob.Blobs {
	detail := append(fmt.Appendf(nil, `{"id":%d,"text":"`, id), text...)
	return &blob.Blobs{Detail: append(detail, `"}`...), Styles: []byte(`{}`), Related: []byte(`[]`)}
}

// TestOverflow: what the COPY is too slow for goes another way, and all is there
// once, visible to all.
func TestOverflow(t *testing.T) {
	t.Parallel()
	db := open(t, pg.Database(t))
	const products = 4000
	ids := make([]int64, products)
	for i := range ids {
		ids[i] = int64(i + 1)
	}
	fill(t, db, ids...)
	w := beginWarm(t, db)
	defer w.Close()
	writer := openWriter(t, w)
	for _, id := range ids {
		if err := writer.Put(id, w.Version, id, blob.Pulsar, large(id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Publish(t.Context(), Publication{Whole: true, Everything: true, Put: products}); err != nil {
		t.Fatal(err)
	}
	if took := w.fill.copy.rows; took[0] == 0 || took[1] == 0 || took[0]+took[1] != products {
		t.Errorf("the two took %d products", took)
	}
	var rows, right, pages, visible, tables int64
	err := db.pool.QueryRow(t.Context(), `
select count(*), count(*) filter (where detail->'id' = to_jsonb(product_id) and hash = product_id),
       (select relpages from pg_class where oid = 'shelf.blobs'::regclass),
       (select relallvisible from pg_class where oid = 'shelf.blobs'::regclass),
       (select count(*) from pg_tables where schemaname = 'shelf')
from shelf.blobs`).Scan(&rows, &right, &pages, &visible, &tables)
	if err != nil {
		t.Fatal(err)
	}
	if rows != products || right != products || visible != pages || tables != 1 {
		t.Errorf("%d rows, %d right, %d of %d pages visible to all, %d tables", rows, right, visible, pages, tables)
	}
}

// TestCopyEnds: where either of the two COPYs ends, so does the other, whoever
// writes hears of it, and what is live stays.
func TestCopyEnds(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"blobs", "overflow"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			db := open(t, pg.Database(t))
			fill(t, db, 1, 2, 3)
			publish(t, db)
			w := beginWarm(t, db)
			defer w.Close()
			writer := openWriter(t, w)
			var ended int
			for ended == 0 { // the COPY may not have begun yet
				err := db.pool.QueryRow(t.Context(), `
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and query like '%copy shelf_next.' || $1 || '%' and pid <> pg_backend_pid()`, table).Scan(&ended)
				if err != nil {
					t.Fatal(err)
				}
			}
			var err error
			for id := int64(1); err == nil; id++ {
				err = writer.Put(id, w.Version, id, blob.Pulsar, large(id))
			}
			if !strings.Contains(err.Error(), "fill the new shelf: the database is unavailable") {
				t.Errorf("got %v", err)
			}
			if _, err := w.Publish(t.Context(), Publication{Whole: true, Put: 3}); err == nil {
				t.Error("published")
			}
			var rows int
			if err := db.pool.QueryRow(t.Context(), `select count(*) from shelf.blobs where hash <> 0`).Scan(&rows); err != nil || rows != 3 {
				t.Errorf("%d products are live: %v", rows, err)
			}
		})
	}
}
