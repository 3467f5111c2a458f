package main

import (
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGiveWay: threads that there are, and those that come, are batch work as
// nice as before.
func TestGiveWay(t *testing.T) {
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Skip(err)
	}
	giveWay()
	done := make(chan bool)
	for range 4 { // they block, so that new threads come
		go func() {
			_, _ = os.ReadFile("/proc/self/mountinfo")
			done <- true
		}()
		<-done
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil || len(threads) == 0 {
		t.Fatal(threads, err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		if how, err := unix.SchedGetAttr(id, 0); err == nil && (how.Policy != unix.SCHED_BATCH || how.Nice != before.Nice) {
			t.Errorf("thread %d of %d has policy %d and is %d nice", id, len(threads), how.Policy, how.Nice)
		}
	}
}
