package cache

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestDividePauses: whoever reads has a turn every so many products of the
// sample, and nothing is packed of one that fits as entries. Time stands still
// here but for the pauses, so it counts them.
func TestDividePauses(t *testing.T) {
	const pass = sampled / measuredAtOnce
	for _, tc := range []struct {
		name   string
		budget int64
		want   time.Duration
	}{
		{"fits as entries", 64 << 20, pass},
		{"fits packed", 2500 << 10, 2 * pass},
	} {
		t.Run(tc.name, func(t *testing.T) {
			shelf := newShelf()
			for id := int64(1); id <= 2000; id++ {
				shelf.put(realistic(id))
			}
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				newSized(t, shelf, tc.budget)
				if pauses := time.Since(began) / measureRest; pauses != tc.want {
					t.Errorf("%d pauses, want %d", pauses, tc.want)
				}
			})
		})
	}
}
