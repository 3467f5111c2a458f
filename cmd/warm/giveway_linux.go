package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// giveWay makes this process one of batch work (sched(7), SCHED_BATCH): its
// threads take turns as before, but don't interrupt others when they wake up,
// which they do thousands of times a second. Whom they would interrupt is the
// COPY that they wait for, or a server.
func giveWay() {
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			continue
		}
		// Threads that start later are as those that started them. Where it is not
		// allowed, a warm only takes longer.
		if how, err := unix.SchedGetAttr(id, 0); err == nil && how.Policy == unix.SCHED_NORMAL {
			how.Policy = unix.SCHED_BATCH
			_ = unix.SchedSetAttr(id, how, 0)
		}
	}
}
