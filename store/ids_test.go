package store

import (
	"fmt"
	"strings"
	"testing"
)

// TestIDsAreNew: whatever imports and deletes have done before, nothing that is
// made through the API gets an id that was ever published.
func TestIDsAreNew(t *testing.T) {
	db := catalogue(t, 1, 2, 3)
	published := map[string]bool{}
	live := func() (ids []string) {
		for _, table := range tables {
			ids = append(ids, query[string](t, db, `select '`+table.name+` ' || id from catalog.`+table.name)...)
		}
		return ids
	}
	keep := func() {
		for _, id := range live() {
			published[id] = true
		}
	}
	keep()
	create := func(after string) int64 {
		t.Helper()
		done, err := db.Create(t.Context(), input(t, `{"name":"n","category":"c","default_price":1,"related":[1],
			"features":[{"feature":"f","value":"v"}],
			"styles":[{"name":"s","original_price":1,"photos":[{"url":"u","thumbnail_url":"t"}],"skus":[{"size":"S","quantity":1}]}]}`, false))
		if err != nil {
			t.Fatalf("%s: %v", after, err)
		}
		id := done.Row.ProductID
		rows := 0
		for _, of := range []string{
			`products where id = $1`, `features where product_id = $1`, `styles where product_id = $1`, `related where product_id = $1`,
			`photos where style_id in (select id from catalog.styles where product_id = $1)`,
			`skus where style_id in (select id from catalog.styles where product_id = $1)`,
		} {
			table, _, _ := strings.Cut(of, " ")
			for _, own := range query[int64](t, db, `select id from catalog.`+of, id) {
				rows++
				if row := fmt.Sprint(table, " ", own); published[row] {
					t.Errorf("%s: %s is given out again", after, row)
				}
			}
		}
		if rows != len(tables) {
			t.Errorf("%s: %d rows", after, rows)
		}
		keep()
		return id
	}
	imported := func(ids ...int64) {
		t.Helper()
		fill(t, db, ids...)
		publish(t, db)
		keep()
	}

	create("the first import")
	id := create("another")
	if _, err := db.Delete(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	create("a delete of the highest")
	imported(1, 2, 500)
	create("a higher import")
	imported(1, 2)
	create("an import that has lost the highest")
	imported(1)
	fill(t, db, 1, 2, 3, 900)
	create("a load that waits")
	publish(t, db)
	keep()
	id = create("its publish")
	if id <= 900 {
		t.Errorf("product %d after product 900 was live", id)
	}
	for _, gone := range []int64{900, id} {
		if _, err := db.Delete(t.Context(), gone, nil); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, db)
	create("a warm without an import")
}
