package etl

import "github.com/RoaringBitmap/roaring/v2"

// idSet is a set of positive ids. Dense ids take about a bit each, wherever
// they begin; ids scattered over all 63 bits take some hundred bytes each.
// Contains may be called from several goroutines once nobody adds.
type idSet struct {
	low *roaring.Bitmap // ids below 2^32: all of them, in real catalogues
	// high holds the others by their upper 32 bits. A map, because the sorted
	// list of roaring64 takes quadratic time on scattered ids.
	high map[uint32]*roaring.Bitmap
}

func newIDSet() *idSet {
	return &idSet{low: roaring.New(), high: map[uint32]*roaring.Bitmap{}}
}

// add returns false where the set has the id already.
func (s *idSet) add(id int64) bool {
	upper := uint32(id >> 32)
	if upper == 0 {
		return s.low.CheckedAdd(uint32(id))
	}
	b := s.high[upper]
	if b == nil {
		b = roaring.New()
		s.high[upper] = b
	}
	return b.CheckedAdd(uint32(id))
}

func (s *idSet) contains(id int64) bool {
	upper := uint32(id >> 32)
	if upper == 0 {
		return s.low.Contains(uint32(id))
	}
	b := s.high[upper]
	return b != nil && b.Contains(uint32(id))
}
