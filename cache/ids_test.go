package cache

import (
	"slices"
	"testing"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"pgregory.net/rapid"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cache/fence"
)

// loadedIDs are ids after a load that found these.
func loadedIDs(live ...int64) *ids {
	s := &ids{fence: new(fence.Fence), live: roaring64.New()}
	s.drop(0)
	reload(s, live...)
	return s
}

func reload(s *ids, live ...int64) {
	load := s.begin(0)
	c := newCollector()
	for _, id := range live {
		c.add(id)
	}
	c.flush()
	s.finish(load, c.live)
}

func all(s *ids) []int64 {
	list, _, _ := s.page(nil, 0, 1<<40)
	return list
}

func create(version, id int64) *blob.Change {
	return &blob.Change{Version: version, Changed: []int64{id}}
}

func remove(version, id int64) *blob.Change {
	return &blob.Change{Version: version, Removed: []int64{id}}
}

// A write of this node's own comes from the writer and by the feed, in either
// order; other changes come between.
func TestOwnWritesAndTheFeed(t *testing.T) {
	const own, feed = true, false
	type told struct {
		change *blob.Change
		own    bool
	}
	for _, tc := range []struct {
		name string
		told []told
		want []int64
	}{
		{"the feed repeats an own create behind an own delete",
			[]told{{create(5, 7), own}, {remove(6, 7), own}, {create(5, 7), feed}}, nil},
		{"the feed repeats both",
			[]told{{create(5, 7), own}, {remove(6, 7), own}, {create(5, 7), feed}, {remove(6, 7), feed}}, nil},
		{"the feed has an own create first, and another node's delete too",
			[]told{{create(5, 7), feed}, {remove(6, 7), feed}, {create(5, 7), own}}, nil},
		{"two own writes in the wrong order",
			[]told{{remove(6, 7), own}, {create(5, 7), own}}, nil},
		{"another node's delete after an own update",
			[]told{{create(5, 7), own}, {create(5, 7), feed}, {remove(6, 7), feed}}, nil},
		{"an own create stays", []told{{create(5, 7), own}, {create(5, 7), feed}}, []int64{7}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := loadedIDs()
			for _, told := range tc.told {
				s.apply(told.change, told.own)
			}
			if got := all(s); !slices.Equal(got, tc.want) {
				t.Errorf("ids %v, want %v", got, tc.want)
			}
		})
	}
	t.Run("nothing is kept of what the feed has confirmed", func(t *testing.T) {
		s := loadedIDs()
		for v := range int64(100) {
			s.apply(create(v+1, v%7), own)
			s.apply(create(v+1, v%7), feed)
		}
		if len(s.own) != 0 {
			t.Errorf("own writes kept: %v", s.own)
		}
	})
}

func TestLoadThatWasOvertaken(t *testing.T) {
	s := loadedIDs(1)
	s.outdate(0)
	load := s.begin(0)
	s.outdate(0) // another publish, which the snapshot may not know
	stale := newCollector()
	stale.add(2)
	stale.flush()
	s.finish(load, stale.live)
	if current, _ := s.state(); current || !slices.Equal(all(s), []int64{1}) {
		t.Errorf("current %v, ids %v: the overtaken load was taken", current, all(s))
	}
	reload(s, 3)
	if current, _ := s.state(); !current || !slices.Equal(all(s), []int64{3}) {
		t.Errorf("current %v, ids %v", current, all(s))
	}
	if s.begin(0) != 0 {
		t.Error("a load without need")
	}
}

func TestIDsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.OneOf(rapid.Int64Range(1, 30), rapid.Int64Range(65_530, 65_540), rapid.Int64Range(1<<32-3, 1<<32+3), rapid.Int64Range(1<<63-4, 1<<63-1))
		s, model := loadedIDs(), map[int64]bool{}
		version := int64(0)
		for range rapid.IntRange(1, 40).Draw(t, "changes") {
			version++
			change := blob.Change{Version: version}
			for _, x := range rapid.SliceOfNDistinct(id, 0, 5, rapid.ID[int64]).Draw(t, "ids") {
				if model[x] = rapid.Bool().Draw(t, "live"); model[x] {
					change.Changed = append(change.Changed, x)
				} else {
					change.Removed = append(change.Removed, x)
				}
			}
			s.apply(&change, rapid.Bool().Draw(t, "own"))
		}
		var want []int64
		for x, live := range model {
			if live {
				want = append(want, x)
			}
		}
		slices.Sort(want)
		offset, count := rapid.IntRange(0, len(want)).Draw(t, "offset"), rapid.IntRange(0, len(want)).Draw(t, "count")
		got, total, _ := s.page(nil, int64(offset), int64(count))
		if end := min(offset+count, len(want)); total != int64(len(want)) || !slices.Equal(got, want[offset:end]) {
			t.Fatalf("page %d+%d: %v of %d, want %v of %d", offset, count, got, total, want[offset:end], len(want))
		}
	})
}
