package blob

import (
	"testing"
	"unsafe"
)

// TestAnswersLayout: what a list needs lies in what a processor fetches at once.
func TestAnswersLayout(t *testing.T) {
	var a Answers
	if end := unsafe.Offsetof(a.Detail) + unsafe.Sizeof(a.Detail.Body); end > 64 {
		t.Errorf("what a list needs ends at byte %d", end)
	}
	// Of Go's sizes this is one of those whose places begin at multiples of 64.
	if size := unsafe.Sizeof(a); size > 192 {
		t.Errorf("%d bytes", size)
	}
}
