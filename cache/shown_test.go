package cache

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cache/fence"
)

// What a read has shown is in the list for other reads too, though the feed has
// not told of it yet.
func TestShownIsListed(t *testing.T) {
	node(t, func(t *testing.T, c *Cache, db *slow) {
		pageIs(t, c, 0, 99, 100)
		db.put(row(101, 2))
		db.put(row(102, 2))
		db.put(row(103, 2))
		reads(t, c, 101, 2, 0)
		pageIs(t, c, 0, 99, 100, 101)
		if _, _, err := c.Many(context.Background(), nil, []int64{1, 102}); err != nil {
			t.Fatal(err)
		}
		pageIs(t, c, 0, 99, 100, 101, 102)
		c.Apply(*create(2, 101))
		c.Apply(*create(3, 102))
		c.Apply(*remove(4, 101))
		db.remove(101)
		pageIs(t, c, 0, 99, 100, 102)
	})
}

// What is shown while the ids are loaded stays, though their snapshot may be older.
func TestShownDuringALoad(t *testing.T) {
	for name, change := range map[string]func(s *ids){
		"wanted by a list":    func(s *ids) { s.need(1) },
		"after a publish":     func(s *ids) { s.outdate(0) },
		"of another database": func(s *ids) { s.drop(0) },
	} {
		t.Run(name, func(t *testing.T) {
			s := loadedIDs(1, 2)
			change(s)
			load := s.begin(1)
			if !s.show(2, s.fence.Stamp(2)) || !s.show(7, s.fence.Stamp(7)) {
				t.Fatal("to be looked up again")
			}
			snapshot := newCollector()
			snapshot.add(1)
			snapshot.flush()
			s.finish(load, snapshot.live)
			if got := all(s); !slices.Equal(got, []int64{1, 2, 7}) {
				t.Errorf("ids %v", got)
			}
		})
	}
}

// What was shown is gone for other reads too once newly loaded ids lack it, and
// be they those of another database.
func TestGoneFromNewIDs(t *testing.T) {
	for name, change := range map[string]func(s *ids){
		"wanted by a list":    func(s *ids) { s.need(1) },
		"of another database": func(s *ids) { s.drop(0) },
	} {
		t.Run(name, func(t *testing.T) {
			s := loadedIDs(1, 2)
			change(s)
			before := s.fence.Stamp(2)
			if !s.show(7, s.fence.Stamp(7)) {
				t.Fatal("to be looked up again")
			}
			shown := s.fence.Stamp(7)
			reload(s, 1)
			if s.fence.Holds(2, before) || s.fence.Holds(7, shown) {
				t.Error("what is gone may be served")
			}
		})
	}
}

// late has something happen between what a look-up finds and its answer.
type late struct {
	*shelf
	then func()
}

func (l *late) Lookup(ctx context.Context, ids []int64) ([]blob.Row, error) {
	rows, err := l.shelf.Lookup(ctx, ids)
	if then := l.then; then != nil {
		l.then = nil
		then()
	}
	return rows, err
}

// TestLookedUpAgain: a look-up that was overtaken by a change does not bring
// back into the list what that has removed, and shows nothing that the list lacks.
func TestLookedUpAgain(t *testing.T) {
	overtaken := func(t *testing.T, f func(t *testing.T, c *Cache, db *late)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			db := &late{shelf: newShelf(rows(1, 100)...)}
			c := newCache(Config{Source: db, MissTimeout: time.Minute, MaxStaleness: time.Hour}, newTableStore())
			defer c.Close()
			if err := c.Load(context.Background(), 0); err != nil {
				t.Fatal(err)
			}
			c.Fresh(time.Now())
			f(t, c, db)
		})
	}
	t.Run("removed", func(t *testing.T) {
		overtaken(t, func(t *testing.T, c *Cache, db *late) {
			db.then = func() {
				db.remove(100)
				c.Apply(*remove(2, 100))
			}
			reads(t, c, 100, 0, 0)
			pageIs(t, c, 0, 99)
			if n := c.Stats().Products; n != 99 {
				t.Errorf("%d products", n)
			}
		})
	})
	t.Run("neighbour changed", func(t *testing.T) {
		overtaken(t, func(t *testing.T, c *Cache, db *late) {
			db.put(row(101, 2))
			db.then = func() { c.Wrote(blob.Change{Changed: []int64{101 + fence.Stripes}}) }
			reads(t, c, 101, 2, 0)
			if n := len(db.looked()); n != 2 {
				t.Errorf("%d look-ups", n)
			}
			pageIs(t, c, 0, 99, 100, 101)
		})
	})
	t.Run("and its callers have left", func(t *testing.T) {
		overtaken(t, func(t *testing.T, c *Cache, db *late) {
			ctx, leave := context.WithCancel(context.Background())
			db.put(row(101, 2))
			done := make(chan error)
			db.then = func() {
				c.Wrote(blob.Change{Changed: []int64{101}})
				leave()
				go func() {
					_, _, err := c.Get(context.Background(), 101)
					done <- err
				}()
				synctest.Wait()
			}
			if _, _, err := c.Get(ctx, 101); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	})
}

// The same where so much is gone that no counter would be left out.
func TestMuchGoneFromNewIDs(t *testing.T) {
	many := make([]int64, fence.Stripes+1)
	for i := range many {
		many[i] = 10 * int64(i+1)
	}
	s := loadedIDs(many...)
	s.need(1)
	shown := make(map[int64]fence.Stamp, len(many))
	for _, id := range many {
		shown[id] = s.fence.Stamp(id)
	}
	reload(s, many[0])
	for _, id := range many[1:] {
		if s.fence.Holds(id, shown[id]) {
			t.Fatalf("%d is gone and may be served", id)
		}
	}
}
