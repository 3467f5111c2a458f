package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// plant makes files below a directory.
func plant(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoControlGroups(t *testing.T) {
	cases := map[string]map[string]string{
		"none":                 {},
		"without memory":       {"cpu/cgroup.procs": ""},
		"made without a bound": {"cpu/cgroup.procs": "", "memory/cgroup.procs": ""},
		"version 2 without":    {"cgroup.controllers": "cpu memory\n"},
	}
	for name, files := range cases {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			plant(t, root, files)
			if _, err := newBox(root); !errors.Is(err, errNoGroups) {
				t.Errorf("got %v", err)
			}
			err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
				if strings.HasPrefix(filepath.Base(path), "hotshelf-bench") {
					t.Errorf("%s was left", path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// groups are a box of each version whose files are planted, as the kernel has
// them.
func groups(t *testing.T) (one, two *box) {
	t.Helper()
	root := t.TempDir()
	plant(t, root, map[string]string{
		"cpu/cpu.stat":                       "nr_periods 9\nnr_throttled 7\nthrottled_time 2500000\n",
		"memory/memory.memsw.limit_in_bytes": "",
		"memory/memory.max_usage_in_bytes":   "4096\n",
		"memory/memory.stat":                 "rss 1\ntotal_rss 2048\n",
		"memory/memory.oom_control":          "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
		"unified/cpu.stat":                   "usage_usec 1\nnr_throttled 7\nthrottled_usec 2500\n",
		"unified/memory.swap.max":            "",
		"unified/memory.peak":                "4096\n",
		"unified/memory.stat":                "anon 2048\nfile 9\n",
		"unified/memory.events":              "oom 4\noom_kill 3\n",
	})
	dir := func(name string) string { return filepath.Join(root, name) }
	one = &box{dirs: map[string]string{"cpu": dir("cpu"), "memory": dir("memory")}}
	two = &box{two: true, dirs: map[string]string{"cpu": dir("unified"), "memory": dir("unified")}}
	return one, two
}

func TestBoxInBothVersions(t *testing.T) {
	one, two := groups(t)
	want := account{peak: 4096, resident: 2048, kills: 3, throttled: 7, stopped: 2500 * time.Microsecond, reads: -1}
	written := map[*box]map[string]string{
		one: {"cpu/cpu.cfs_quota_us": "1000", "cpu/cpu.cfs_period_us": "10000", "memory/memory.limit_in_bytes": "1073741824", "memory/memory.memsw.limit_in_bytes": "1073741824"},
		two: {"cpu/cpu.max": "1000 10000", "memory/memory.max": "1073741824", "memory/memory.swap.max": "0"},
	}
	for b, files := range written {
		if got := b.account(); got != want {
			t.Errorf("version 2 is %v: account %+v, want %+v", b.two, got, want)
		}
		if err := errors.Join(b.bytes(1<<30), b.share(0.1)); err != nil {
			t.Fatal(err)
		}
		for name, want := range files {
			controller, file := filepath.Split(name)
			got, err := os.ReadFile(b.file(filepath.Clean(controller), file))
			if err != nil || string(got) != want {
				t.Errorf("%s: %q, want %q (%v)", name, got, want, err)
			}
		}
	}
	if got := strings.Count(one.entrance(), "cgroup.procs"); got != 2 {
		t.Errorf("version 1 is entered %d times: %s", got, one.entrance())
	}
	if got := strings.Count(two.entrance(), "cgroup.procs"); got != 1 {
		t.Errorf("version 2 is entered %d times: %s", got, two.entrance())
	}
}

func TestReadsOfProcesses(t *testing.T) {
	proc := t.TempDir()
	plant(t, proc, map[string]string{
		"7/io":  "rchar: 900\nread_bytes: 4096\nwrite_bytes: 1\n",
		"8/io":  "rchar: 900\nread_bytes: 1000\n",
		"10/io": "",
	})
	if got := readsOf(proc, []string{"7", "8", "9", "10"}); got != 5096 {
		t.Errorf("got %d", got)
	}
	if got := readsOf(proc, []string{"9"}); got != -1 {
		t.Errorf("of a process that has ended: %d", got)
	}
}

func TestWhatAGroupDoesNotTell(t *testing.T) {
	b := &box{dirs: map[string]string{"cpu": t.TempDir(), "memory": t.TempDir()}}
	if got := b.account(); got.peak != -1 || got.resident != -1 || got.kills != -1 || got.throttled != -1 || got.reads != -1 {
		t.Errorf("got %+v", got)
	}
}
