package cache

import (
	"fmt"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
)

// store keeps entries, or does not: it may forget any entry at any time, and
// may drop, delay or reorder what it is told to keep. Wait returns once
// earlier calls of Set have come to whatever end they come to.
type store interface {
	Get(id int64) (*entry, bool)
	Set(id int64, e *entry, cost int64) bool
	Wait()
}

const (
	// typicalCost is what an average product costs, for sizing ristretto's
	// sketch (BenchmarkForms).
	typicalCost = 3400
	// countersPerEntry is ristretto's advice.
	countersPerEntry = 10
)

// departures counts entries that ristretto took and has no longer. (Its own
// metrics would cost an atomic operation for every hit.)
type departures struct {
	all     atomic.Int64 // replaced by newer ones, evicted, or rejected after all
	evicted atomic.Int64
}

func newRistretto(bytes int64, left *departures) (*ristretto.Cache[int64, *entry], error) {
	r, err := ristretto.NewCache(&ristretto.Config[int64, *entry]{
		NumCounters: max(countersPerEntry*bytes/typicalCost, 1000),
		MaxCost:     bytes,
		BufferItems: 64,
		KeyToHash:   hashID,
		// Our costs are measured heap bytes already.
		IgnoreInternalCost: true,
		// Its samples may name a victim twice; the second time there is no entry.
		OnExit: func(e *entry) {
			if e != nil {
				left.all.Add(1)
			}
		},
		OnEvict: func(i *ristretto.Item[*entry]) {
			if i.Value != nil {
				left.evicted.Add(1)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make a cache of %d bytes: %w", bytes, err)
	}
	return r, nil
}

// hashID mixes an id with the finaliser of MurmurHash3. It is needed because
// ristretto takes an integer as its own hash, and then all rows of its sketch
// collide together. The mix is a bijection, so no two ids share a hash and
// the second hash can stay 0, "do not compare".
func hashID(id int64) (hash, conflict uint64) {
	h := uint64(id)
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h, 0
}
