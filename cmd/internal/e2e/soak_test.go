//go:build soak

package e2e

import (
	"testing"
	"time"
)

// TestSoakMessySample is TestMessySample at the size where rows straddle every
// buffer.
func TestSoakMessySample(t *testing.T) {
	checkMessy(t, t.TempDir(), "--database-url="+pg.Database(t), 200_000)
}

// TestSoakEveryAnswer compares everything in both contracts.
func TestSoakEveryAnswer(t *testing.T) { everyAnswer(t, 100_000, 1) }

// TestSoakKilled is TestKilled with twenty-one kills and fourteen polite stops.
func TestSoakKilled(t *testing.T) { killed(t, 7, 20_000) }

// TestSoakRandomWrites sends ten thousand random bodies.
func TestSoakRandomWrites(t *testing.T) {
	randomWrites(t, "pulsar", 5_000, 3)
	randomWrites(t, "atelier", 5_000, 4)
}

// TestSoakRewarmed is TestRewarmed with twenty kills.
func TestSoakRewarmed(t *testing.T) { rewarmed(t, 20) }

// TestSoakCoherence is TestCoherence with a minute for each scenario.
func TestSoakCoherence(t *testing.T) { coherence(t, time.Minute) }
