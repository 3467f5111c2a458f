package etl

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestIDSet holds the set against a map, on ids that share containers, share
// their lower halves, or lie anywhere.
func TestIDSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.OneOf(
			rapid.Int64Range(1, 20),
			rapid.Int64Range(65_530, 65_540),
			rapid.Map(rapid.Int64Range(0, 3), func(n int64) int64 { return n<<32 + 7 }),
			rapid.SampledFrom([]int64{1, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64 - 1, math.MaxInt64}),
			rapid.Int64Range(1, math.MaxInt64),
		)
		set, model := newIDSet(), map[int64]bool{}
		for _, id := range rapid.SliceOf(id).Draw(t, "added") {
			if set.add(id) == model[id] {
				t.Fatalf("add of %d: %v", id, model[id])
			}
			model[id] = true
		}
		for _, id := range rapid.SliceOf(id).Draw(t, "asked") {
			if set.contains(id) != model[id] {
				t.Fatalf("contains %d: want %v", id, model[id])
			}
		}
	})
}

// Dense ids, in no order, must cost about a bit each.
func TestIDSetIsSmall(t *testing.T) {
	const n = 2_000_000
	for _, from := range []int64{1, 1 << 40} {
		set := newIDSet()
		for i := range int64(n) {
			set.add(from + i*7919%n) // 7919 is prime to n: each id once
		}
		size := set.low.GetSizeInBytes()
		for _, b := range set.high {
			size += b.GetSizeInBytes()
		}
		if size > n/8*5/4 {
			t.Errorf("%d ids from %d take %d bytes", n, from, size)
		}
	}
}
