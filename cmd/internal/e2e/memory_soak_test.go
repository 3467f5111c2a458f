//go:build soak

package e2e

import (
	"testing"
	"time"
)

// TestSoakMemory is TestMemory with a catalogue of which the cache holds a
// twentieth.
func TestSoakMemory(t *testing.T) { underLoad(t, 1_000_000, time.Minute) }
