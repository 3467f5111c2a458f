package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

// strained answers so many products a second on each connection, however they
// are asked for.
type strained struct {
	*shelf
	each time.Duration
}

func (s *strained) Lookup(ctx context.Context, ids []int64) ([]blob.Row, error) {
	timer := time.NewTimer(time.Duration(len(ids)) * s.each)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var found []blob.Row
	for _, id := range ids {
		found = append(found, row(id, 1))
	}
	return found, nil
}

// TestOverload: of several times what the database can answer, the cache
// answers about as much as the database can, and refuses the rest at once.
func TestOverload(t *testing.T) {
	for _, tc := range []struct {
		name   string
		each   time.Duration // for a product
		demand int64         // times what the database can
	}{
		{"fast database, 4 times", 500 * time.Microsecond, 4},
		{"slow database, 4 times", 2 * time.Millisecond, 4},
		{"slow database, 10 times", 2 * time.Millisecond, 10},
		{"very slow database, 4 times", 10 * time.Millisecond, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const settles, seconds = 6 * time.Second, 5
				db := &strained{shelf: newShelf(), each: tc.each}
				c := newCache(Config{Source: db, MissTimeout: time.Second, MaxStaleness: time.Hour}, newTableStore())
				defer c.Close()
				if err := c.Load(context.Background(), 0); err != nil {
					t.Fatal(err)
				}
				capacity := int64(maxRoundTrips * time.Second / tc.each)
				var good, late, refused atomic.Int64
				var readers sync.WaitGroup
				start := time.Now()
				for id := int64(1); time.Since(start) < settles+seconds*time.Second; id++ {
					readers.Go(func() {
						began := time.Now()
						switch _, _, err := c.Get(context.Background(), id); {
						case began.Sub(start) < settles:
						case err == nil:
							good.Add(1)
						case errors.Is(err, blob.ErrOverloaded) && time.Since(began) == 0:
							refused.Add(1)
						default:
							late.Add(1)
						}
					})
					time.Sleep(time.Second / time.Duration(capacity*tc.demand))
				}
				readers.Wait()
				if good.Load() < capacity*seconds*8/10 {
					t.Errorf("%d answered of %d that the database could; %d refused at once, %d late", good.Load(), capacity*seconds, refused.Load(), late.Load())
				}
			})
		})
	}
}

// TestRoomForAPage: after a time without answers a page is looked up, however
// little room there is left, and though nobody else comes to make more.
func TestRoomForAPage(t *testing.T) {
	bubble(t, time.Hour, func(t *testing.T, c *Cache, db *slow) {
		for id := int64(1); id <= 8; id++ {
			if _, _, err := c.Get(context.Background(), id); !errors.Is(err, blob.ErrUnavailable) {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		const count = 500
		if c.flights.room >= count {
			t.Fatalf("there is room for %d", c.flights.room)
		}
		db.takes = time.Millisecond
		page, _, _, err := c.Page(context.Background(), nil, 0, count)
		if err != nil || len(page) != count {
			t.Errorf("%d products, %v", len(page), err)
		}
	})
}
