//go:build soak

package store

import "testing"

// TestSoakDeleteOfPopular: a delete of a product that 100,000 others list is
// the same few statements, and keeps no product in memory.
func TestSoakDeleteOfPopular(t *testing.T) {
	few, _ := deletePopular(t, 3)
	got, heap := deletePopular(t, 100_001)
	if got != few {
		t.Errorf("%d statements for 3 products, %d for 100,001", few, got)
	}
	t.Logf("%d bytes of heap", heap)
	if heap > 64<<20 {
		t.Errorf("%d bytes of heap", heap)
	}
}
