package fence

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

func TestFence(t *testing.T) {
	var f Fence
	const id, neighbour, sameStripe = 7, 8, 7 + Stripes
	stamp, other := f.Stamp(id), f.Stamp(neighbour)
	if !f.Holds(id, stamp) {
		t.Fatal("a fresh stamp does not hold")
	}
	f.Raise(id)
	if f.Holds(id, stamp) {
		t.Error("a stamp holds after Raise")
	}
	if !f.Holds(neighbour, other) {
		t.Error("Raise ended the stamp of another stripe")
	}
	stamp = f.Stamp(id)
	f.Raise(sameStripe)
	if f.Holds(id, stamp) {
		t.Error("a stamp holds after a Raise of its stripe")
	}
	stamp = f.Stamp(id)
	f.RaiseAll()
	if f.Holds(id, stamp) || f.Holds(neighbour, other) {
		t.Error("a stamp holds after RaiseAll")
	}
	for _, odd := range []int64{0, -1, math.MaxInt64, math.MinInt64} {
		if stamp := f.Stamp(odd); !f.Holds(odd, stamp) {
			t.Errorf("id %d: a fresh stamp does not hold", odd)
		}
		f.Raise(odd)
	}
}

// padded is the fence with a cache line for each counter: the layout that the
// comment at Stripes decides against.
type padded struct {
	generation atomic.Uint64
	_          [120]byte
	counts     [Stripes]struct {
		atomic.Uint64
		_ [56]byte
	}
}

func BenchmarkHolds(b *testing.B) {
	var f Fence
	var p padded
	raise := func(b *testing.B, one func(id int64)) {
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			tick := time.NewTicker(100 * time.Microsecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					one(rand.Int64N(1_000_000))
				case <-stop:
					return
				}
			}
		}()
		b.Cleanup(func() { close(stop); <-done })
	}
	run := func(b *testing.B, holds func(id int64) bool) {
		b.RunParallel(func(pb *testing.PB) {
			// xorshift: a cheap run of ids, so that the fence is what is timed
			x := rand.Uint64() | 1
			for pb.Next() {
				x ^= x << 13
				x ^= x >> 7
				x ^= x << 17
				holds(int64(x >> 44))
			}
		})
	}
	b.Run("packed", func(b *testing.B) {
		raise(b, f.Raise)
		run(b, func(id int64) bool { return f.Holds(id, Stamp{}) })
	})
	b.Run("padded", func(b *testing.B) {
		raise(b, func(id int64) { p.counts[uint64(id)%Stripes].Add(1) })
		run(b, func(id int64) bool {
			return p.counts[uint64(id)%Stripes].Load() == 0 && p.generation.Load() == 0
		})
	})
}
