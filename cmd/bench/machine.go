package main

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// thisMachine finds out what it can; the database knows the rest.
func thisMachine(postgres string) Machine {
	m := Machine{CPUs: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), PostgreSQL: postgres}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.Model = fieldOf(text, "model name")
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.MemoryBytes = kibibytes(fieldOf(text, "MemTotal"))
	}
	return m
}

// fieldOf returns what follows "name:" on the first line that begins so.
func fieldOf(text []byte, name string) string {
	for line := range bytes.Lines(text) {
		if key, value, found := bytes.Cut(line, []byte{':'}); found && string(bytes.TrimSpace(key)) == name {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// kibibytes reads "1234 kB" as bytes; 0 where it is something else.
func kibibytes(text string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64)
	return n << 10
}

// tick is the unit of times in /proc. It is 1/100 s for programs wherever Go
// runs on Linux, whatever the kernel's own.
const tick = 10 * time.Millisecond

// busy is the time that the CPUs of this machine have worked since it started,
// with what a host gave to others instead. 0 where the system does not tell.
func busy() time.Duration {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	return busyOf(string(line))
}

// busyOf reads the line "cpu" of /proc/stat: user, nice, system, idle, iowait,
// irq, softirq, steal, and two that are part of the first two (proc(5)).
func busyOf(line string) (sum time.Duration) {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0
	}
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		sum += time.Duration(n) * tick
	}
	return sum
}

// ownCPU is the time that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// process is what /proc/PID/stat says of a process.
type process struct {
	parent int
	own    time.Duration // CPU time of itself
	ended  time.Duration // CPU time of its children that have ended
}

func readProcess(pid int) (process, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, false
	}
	return parseProcess(string(text))
}

// parseProcess reads the line: the process's name is in brackets and may hold
// anything, the parent is the 4th field, CPU times are fields 14 to 17 (proc(5)).
func parseProcess(line string) (p process, ok bool) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 15 {
		return p, false
	}
	var n [15]int64
	for _, i := range []int{1, 11, 12, 13, 14} {
		var err error
		if n[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return p, false
		}
	}
	return process{int(n[1]), time.Duration(n[11]+n[12]) * tick, time.Duration(n[13]+n[14]) * tick}, true
}

// family lists a process and its children that live.
func family(pid int) []int {
	all := []int{pid}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if child, err := strconv.Atoi(e.Name()); err == nil {
			if p, ok := readProcess(child); ok && p.parent == pid {
				all = append(all, child)
			}
		}
	}
	return all
}

// familyCPU is the CPU time of a process and its children, those that have
// ended and those that live. 0 where the system does not tell.
func familyCPU(pid int) (sum time.Duration) {
	for _, member := range family(pid) {
		if p, ok := readProcess(member); ok {
			sum += p.own + p.ended
		}
	}
	return sum
}

// peakMemory is the most memory that a running process has had resident so far,
// in bytes; 0 where the system does not tell. What the kernel reports of an
// ended child (ru_maxrss) would include the parent's, from before the child's
// program began.
func peakMemory(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	return kibibytes(fieldOf(text, "VmHWM"))
}

// waitForCalm returns when the machine has next to nothing to do for a second,
// or after at most the time given.
func waitForCalm(ctx context.Context, atMost time.Duration) {
	const look = time.Second
	for end := time.Now().Add(atMost); time.Now().Before(end) && ctx.Err() == nil; {
		before := busy()
		select {
		case <-ctx.Done():
		case <-time.After(look):
		}
		if busy()-before < look/5 {
			return
		}
	}
}
