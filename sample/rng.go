package sample

import "math/bits"

// rng is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
// Generators, 2014). Its own few lines keep the catalogue's bytes independent
// of any library's version.
type rng uint64

const golden = 0x9e3779b97f4a7c15

// newRNG returns the generator of one thing: each product has one for its
// counts and one for its content, so any product can be made without those
// before it.
func newRNG(seed uint64, stream stream, id int64) rng {
	return rng(mix(mix(mix(seed)+uint64(stream)) + uint64(id)*golden))
}

type stream uint64

const (
	streamCounts stream = iota + 1
	streamProduct
	streamContent
	streamOrder
	streamURL
	streamDefects
)

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *rng) next() uint64 {
	*r += golden
	return mix(uint64(*r))
}

// below returns a number from 0 to n-1. Its bias is far below what a
// catalogue of any size could show.
func (r *rng) below(n int) int {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int(hi)
}

// oneIn is true once in n times.
func (r *rng) oneIn(n int) bool { return r.below(n) == 0 }

func (r *rng) pick(from []string) string { return from[r.below(len(from))] }
