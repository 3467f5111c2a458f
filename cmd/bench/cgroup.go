package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// box is a control group: processes that share a bound of CPU time and memory,
// their page cache included.
type box struct {
	// dirs are its directories by controller; version 2 has one for all.
	dirs map[string]string
	two  bool // version 2
}

const (
	cgroupRoot = "/sys/fs/cgroup"
	// boxPeriod is how often the group's share of a CPU is given out anew. The
	// kernel's default, 100 ms, would stop a group at 10 % for 90 ms in a row.
	boxPeriod = 10 * time.Millisecond
)

// The controllers of a box. What is read from disk is told by the processes:
// blkio counts it on some kernels only.
var boxControllers = []string{"cpu", "memory"}

var errNoGroups = errors.New("no control groups for CPU and memory can be made here: " +
	"this suite confines server and PostgreSQL to a small machine, and does not run without (try as root)")

// newBox makes an empty group below root.
func newBox(root string) (*box, error) {
	b := &box{dirs: make(map[string]string)}
	name := "hotshelf-bench-" + strconv.Itoa(os.Getpid())
	if controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers")); err == nil {
		has := strings.Fields(string(controllers))
		b.two = len(has) > 0
	}
	if b.two {
		// May fail where it is set already, or where processes are in the root
		// of a namespace; the group's files tell.
		_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+cpu +memory"), 0o644)
		for _, controller := range boxControllers {
			b.dirs[controller] = filepath.Join(root, name)
		}
	} else {
		for _, controller := range boxControllers {
			for _, mount := range []string{controller, controller + ",cpuacct"} {
				if _, err := os.Stat(filepath.Join(root, mount, "cgroup.procs")); err == nil {
					b.dirs[controller] = filepath.Join(root, mount, name)
				}
			}
		}
	}
	for _, dir := range b.dirs {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, errors.Join(fmt.Errorf("%w: %w", errNoGroups, err), b.remove())
		}
	}
	for controller, file := range map[string]string{"cpu": b.name("cpu.cfs_quota_us", "cpu.max"), "memory": b.name("memory.limit_in_bytes", "memory.max")} {
		if _, err := os.Stat(b.file(controller, file)); err != nil || b.dirs[controller] == "" {
			return nil, errors.Join(errNoGroups, b.remove())
		}
	}
	return b, nil
}

// name is that of a file, in version 1 or 2.
func (b *box) name(one, two string) string {
	if b.two {
		return two
	}
	return one
}

func (b *box) file(controller, name string) string { return filepath.Join(b.dirs[controller], name) }

func (b *box) write(controller, name, text string) error {
	if err := os.WriteFile(b.file(controller, name), []byte(text), 0o644); err != nil {
		return fmt.Errorf("set up the control group: %w", err)
	}
	return nil
}

// bytes bounds the group's memory, without swap.
func (b *box) bytes(n int64) error {
	if err := b.write("memory", b.name("memory.limit_in_bytes", "memory.max"), strconv.FormatInt(n, 10)); err != nil {
		return err
	}
	// Files of a kernel that counts swap; without them there is nothing to forbid.
	swap, most := b.name("memory.memsw.limit_in_bytes", "memory.swap.max"), "0"
	if !b.two {
		most = strconv.FormatInt(n, 10) // memory and swap together
	}
	if _, err := os.Stat(b.file("memory", swap)); err == nil {
		return b.write("memory", swap, most)
	}
	return nil
}

// share gives the group a share of one CPU, above 0.
func (b *box) share(of float64) error {
	period := boxPeriod.Microseconds()
	quota := int64(of * float64(period))
	if b.two {
		return b.write("cpu", "cpu.max", fmt.Sprintf("%d %d", quota, period))
	}
	return errors.Join(b.write("cpu", "cpu.cfs_period_us", strconv.FormatInt(period, 10)),
		b.write("cpu", "cpu.cfs_quota_us", strconv.FormatInt(quota, 10)))
}

// entrance is a shell script that enters the group and becomes the program of
// its arguments, so that nothing of it was ever outside.
func (b *box) entrance() string {
	var script strings.Builder
	seen := ""
	for _, controller := range boxControllers {
		if dir := b.dirs[controller]; dir != "" && dir != seen {
			fmt.Fprintf(&script, "echo $$ > '%s/cgroup.procs' && ", dir)
			seen = dir
		}
	}
	return script.String() + `exec "$@"`
}

// remove takes the group away. Its processes have to be gone; the kernel may
// need a moment to see that.
func (b *box) remove() error {
	var err error
	for _, dir := range b.dirs {
		for range 100 {
			if err = os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
				err = nil
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("remove the control group: %w", err)
		}
	}
	return nil
}

// account is what the kernel says of a group. What it doesn't say is -1.
type account struct {
	peak      int64 // bytes, page cache included
	resident  int64 // bytes now, page cache not included
	kills     int64 // by the kernel, for want of memory
	throttled int64 // periods in which the share was used up
	stopped   time.Duration
	reads     int64 // bytes from disk, by the processes that live
}

func (b *box) account() account {
	number := func(controller, name string) int64 {
		text, err := os.ReadFile(b.file(controller, name))
		if err != nil {
			return -1
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
	keyed := func(controller, name, key string) int64 {
		text, _ := os.ReadFile(b.file(controller, name))
		return valueOf(string(text), key)
	}
	a := account{
		peak:      number("memory", b.name("memory.max_usage_in_bytes", "memory.peak")),
		resident:  keyed("memory", "memory.stat", b.name("total_rss", "anon")),
		kills:     keyed("memory", b.name("memory.oom_control", "memory.events"), "oom_kill"),
		throttled: keyed("cpu", "cpu.stat", "nr_throttled"),
		reads:     -1,
	}
	if b.two {
		a.stopped = time.Duration(keyed("cpu", "cpu.stat", "throttled_usec")) * time.Microsecond
	} else {
		a.stopped = time.Duration(keyed("cpu", "cpu.stat", "throttled_time"))
	}
	if text, err := os.ReadFile(b.file("memory", "cgroup.procs")); err == nil {
		a.reads = readsOf("/proc", strings.Fields(string(text)))
	}
	return a
}

// valueOf finds the line "key value"; -1 where there is none.
func valueOf(text, key string) int64 {
	for line := range strings.Lines(text) {
		if k, value, found := strings.Cut(strings.TrimSpace(line), " "); found && k == key {
			// Metrics are floats, and may be written with an exponent.
			if n, err := strconv.ParseFloat(value, 64); err == nil {
				return int64(n)
			}
		}
	}
	return -1
}

// readsOf is what processes have read from disk; -1 where none tells. Those that
// end meanwhile are left out.
func readsOf(proc string, pids []string) int64 {
	sum, told := int64(0), false
	for _, pid := range pids {
		text, err := os.ReadFile(filepath.Join(proc, pid, "io"))
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(fieldOf(text, "read_bytes"), 10, 64); err == nil {
			sum, told = sum+n, true
		}
	}
	if !told {
		return -1
	}
	return sum
}
