package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

// TestStatsAddUp: after replacements, evictions and rejections the number of
// entries is what ristretto holds; and reads are hits or misses, whatever
// their outcome.
func TestStatsAddUp(t *testing.T) {
	ctx := context.Background()
	db := newShelf(rows(1, 400)...)
	early, err := New(Config{Bytes: 1 << 20, MissTimeout: time.Minute, MaxStaleness: time.Hour, Source: db})
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	if _, _, err := early.Get(ctx, 1); !errors.Is(err, blob.ErrNotReady) {
		t.Fatal(err)
	}
	if _, _, err := early.Many(ctx, nil, []int64{1, 2}); !errors.Is(err, blob.ErrNotReady) {
		t.Fatal(err)
	}
	if s := early.Stats(); s.Misses != 3 || s.Listed != 2 {
		t.Errorf("before the first load: %+v", s)
	}

	c := newSized(t, db, 100<<10)
	gets, hits := int64(0), int64(0)
	read := func(id int64) {
		before := c.Stats().Misses
		if _, _, err := c.Get(ctx, id); err != nil && !errors.Is(err, blob.ErrNotFound) {
			t.Fatal(err)
		}
		gets++
		if c.Stats().Misses == before {
			hits++
		}
	}
	for n := range int64(3000) {
		read(1 + rand.Int64N(500)) // the last hundred don't exist
		if n%10 == 0 {
			c.Apply(blob.Change{Version: 1000 + n, Changed: []int64{1 + rand.Int64N(500)}})
		}
		if n%100 == 0 {
			list(t, c, n/10, 20)
		}
	}
	settled(t, c)
	held := int64(0)
	c.ristretto.IterValues(func(*entry) bool { held++; return false })
	s := c.Stats()
	if s.Entries != held || held == 0 || s.Evicted == 0 || s.Evicted >= c.left.all.Load() {
		t.Errorf("%d entries held, %d left, %+v", held, c.left.all.Load(), s)
	}
	if s.Bytes > s.Limit || s.Limit != 75<<10 {
		t.Errorf("bytes: %+v", s)
	}
	if s.Listed < 30*20 || hits == 0 || gets+s.Listed-s.Misses < hits {
		t.Errorf("%d gets, %d of them hits: %+v", gets, hits, s)
	}

	// A list that is refused in its middle.
	before := c.Stats()
	c.flights.mu.Lock()
	c.flights.down, c.flights.flying = true, 1
	c.flights.mu.Unlock()
	if _, _, err := c.Many(ctx, nil, []int64{900, 901, 902}); !errors.Is(err, blob.ErrUnavailable) {
		t.Fatal(err)
	}
	c.flights.mu.Lock()
	c.flights.down, c.flights.flying = false, 0
	c.flights.mu.Unlock()
	if s := c.Stats(); s.Misses-before.Misses != 3 || s.Listed-before.Listed != 3 {
		t.Errorf("a refused list of 3: %d listed, %d missed", s.Listed-before.Listed, s.Misses-before.Misses)
	}
}
