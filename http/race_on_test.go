//go:build race

package http

// raceDetector says that allocation counts mean nothing: sync.Pool then drops
// at random what it is given.
const raceDetector = true
