package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/hotshelf/hotshelf/blob"
)

func TestRowsWaiting(t *testing.T) {
	db := open(t, pg.Database(t))
	waiting := func() int64 {
		t.Helper()
		rows, err := db.RowsWaiting(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	if n := waiting(); n != 0 {
		t.Errorf("%d rows wait in a database without a catalogue", n)
	}
	fill(t, db, 1, 2, 3)
	total := query[int64](t, db, `
select (select count(*) from catalog_next.products) + (select count(*) from catalog_next.features) + (select count(*) from catalog_next.styles)
     + (select count(*) from catalog_next.photos) + (select count(*) from catalog_next.skus) + (select count(*) from catalog_next.related)`)[0]
	if n := waiting(); n != total || n < 3 {
		t.Errorf("%d rows wait, want %d", n, total)
	}
	publish(t, db)
	if n := waiting(); n != 0 {
		t.Errorf("%d rows wait after the publish", n)
	}
	closed := open(t, pg.Database(t))
	closed.Close()
	if _, err := closed.RowsWaiting(t.Context()); !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("without a connection: %v", err)
	}
}

func TestPoolStats(t *testing.T) {
	db := open(t, pg.Database(t))
	conn, err := db.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := db.PoolStats()
	if s.Acquired != 1 || s.Limit < 4 {
		t.Errorf("one connection in use: %+v", s)
	}
	conn.Release()
	if s := db.PoolStats(); s.Acquired != 0 || s.Idle != 1 {
		t.Errorf("one connection idle: %+v", s)
	}
}

func TestWhereShowsNoSecret(t *testing.T) {
	url := pg.Database(t)
	where := open(t, strings.Replace(url, "hotshelf@", "hotshelf:hunter2@", 1)).Where()
	if strings.Contains(where, "hunter2") || !strings.HasPrefix(where, "hotshelf@") {
		t.Errorf("%s is at %s", url, where)
	}
}
