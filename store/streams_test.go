package store

import (
	"slices"
	"testing"
)

// TestStylesAreSorted: whatever order the table has them in, styles of one
// product come in the order of their ids, and their photos in the same.
func TestStylesAreSorted(t *testing.T) {
	db := open(t, pg.Database(t))
	fill(t, db, 1, 2, 3)
	for _, sql := range []string{
		`insert into catalog_next.styles values (9, 2, 's', null, 1, false), (5, 2, 's', null, 1, false)`,
		`insert into catalog_next.photos values (9, 9, 'u', 't'), (5, 5, 'u', 't')`,
	} {
		if _, err := db.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	w := beginWarm(t, db)
	defer w.Close()
	r := openReader(t, w)
	defer r.Close()
	for _, stream := range []struct {
		name   string
		column int
	}{{"styles", 1}, {"photos", 0}} {
		rows, err := r.Rows(t.Context(), stream.name, 1, 3)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for rows.Next() {
			got = append(got, rows.Int(stream.column))
		}
		if want := []int64{1, 2, 5, 9, 3}; !slices.Equal(got, want) {
			t.Errorf("%s: of the styles %d, want %d", stream.name, got, want)
		}
	}
}
