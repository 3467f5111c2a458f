package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpusAllowed lists the CPUs that this process may run on.
func cpusAllowed() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("ask for the CPUs of this process: %w", err)
	}
	var cpus []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

func setOf(cpus []int) *unix.CPUSet {
	set := new(unix.CPUSet)
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	return set
}

// pin holds all threads of a process to some CPUs. It looks twice: a thread
// that was begun in between by one that was not pinned yet is found then.
func pin(pid int, cpus []int) error {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	for range 2 {
		threads, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("pin process %d: %w", pid, err)
		}
		for _, t := range threads {
			tid, _ := strconv.Atoi(t.Name())
			if err := unix.SchedSetaffinity(tid, setOf(cpus)); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("pin process %d: %w", pid, err)
			}
		}
	}
	return nil
}

// startOn starts a program on some CPUs, so that it never sees others.
func startOn(cmd *exec.Cmd, cpus []int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var own unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		return fmt.Errorf("ask for the CPUs of this thread: %w", err)
	}
	if err := unix.SchedSetaffinity(0, setOf(cpus)); err != nil {
		return fmt.Errorf("pin %s: %w", cmd.Path, err)
	}
	err := cmd.Start()
	return errors.Join(err, unix.SchedSetaffinity(0, &own))
}

// cpuOf is the CPU time that a process has used, its ended threads included,
// to the nanosecond. What /proc says is in hundredths of a second.
func cpuOf(pid int) (time.Duration, error) {
	var t unix.Timespec
	// A process's clock has its id, inverted, above three bits (clock_getcpuclockid(3)).
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return 0, fmt.Errorf("ask for the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// dropCache writes a file back and takes it out of the page cache.
func dropCache(f *os.File) error {
	return errors.Join(unix.Fdatasync(int(f.Fd())), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}
