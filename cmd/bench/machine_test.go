package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseProcess(t *testing.T) {
	const rest = " S 77 77 77 0 -1 4194560 100 200 0 0 11 12 130 140 20 0 1 0 5000"
	want := process{parent: 77, own: 230 * time.Millisecond, ended: 2700 * time.Millisecond}
	cases := []struct {
		name, line string
		ok         bool
	}{
		{"plain", "12 (postgres)" + rest, true},
		{"a name with brackets and blanks", "12 (a) S 1 (b c)" + rest, true},
		{"cut short", "12 (postgres) S 77 77", false},
		{"no number", "12 (postgres) S x 77 77 0 -1 4194560 100 200 0 0 11 12 130 140 20", false},
		{"empty", "", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, ok := parseProcess(c.line)
			if ok != c.ok || ok && got != want {
				t.Errorf("got %+v, %v", got, ok)
			}
		})
	}
}

func TestBusyLeavesIdleTimeOut(t *testing.T) {
	// user nice system idle iowait irq softirq steal guest guest_nice
	if got, want := busyOf("cpu  1 2 4 1000 2000 8 16 32 64 128"), 630*time.Millisecond; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, line := range []string{"", "cpu 1 2", "intr 1 2 3 4 5 6 7 8 9"} {
		if got := busyOf(line); got != 0 {
			t.Errorf("%q: %v, want 0", line, got)
		}
	}
}

func TestFieldOf(t *testing.T) {
	text := []byte("VmPeak:\t  900 kB\nVmHWM:\t  12 kB\nmodel name\t: A CPU: fast\n")
	if got := kibibytes(fieldOf(text, "VmHWM")); got != 12<<10 {
		t.Errorf("VmHWM: %d", got)
	}
	if got := fieldOf(text, "model name"); got != "A CPU: fast" {
		t.Errorf("model name: %q", got)
	}
	if got := fieldOf(text, "Vm"); got != "" {
		t.Errorf("a field that isn't there: %q", got)
	}
}

// The peak must be the child's own: this process has had more than the child
// will ever have, and the kernel would report that as the child's.
func TestPeakIsTheProcessesOwn(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	ballast := make([]byte, 64<<20)
	for i := range ballast {
		ballast[i] = 1
	}
	if own := peakMemory(os.Getpid()); own < 64<<20 {
		t.Fatalf("this process has at least 64 MiB, and is said to have had %d bytes", own)
	}
	runtime.KeepAlive(ballast)
	u, err := program{path: "sleep", args: []string{"0.3"}}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if u.peak == 0 || u.peak > 32<<20 {
		t.Errorf("sleep is said to have had %d bytes", u.peak)
	}
}

func TestFamilyCPUCountsChildren(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	parent := os.Getpid()
	spin := func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "sh", "-c", "while :; do :; done")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	before := familyCPU(parent)
	child := spin(ctx)
	used := func() time.Duration { p, _ := readProcess(child.Process.Pid); return p.own }
	for used() < 200*time.Millisecond {
		time.Sleep(10 * time.Millisecond)
	}
	alive := familyCPU(parent) - before
	stop()
	_ = child.Wait() // killed
	ended := familyCPU(parent) - before
	if alive < 200*time.Millisecond || ended < alive {
		t.Errorf("a child used 200 ms and more: %v while it lived, %v when it had ended", alive, ended)
	}
}

func TestPlainEnvironment(t *testing.T) {
	for _, name := range []string{"DATABASE_URL", "HOTSHELF_QUIET", "PGHOST", "PGOPTIONS", "GOGC", "GOMEMLIMIT"} {
		t.Setenv(name, "planted")
	}
	t.Setenv("KEPT", "kept")
	env := plainEnvironment()
	for _, setting := range env {
		if name, value, _ := strings.Cut(setting, "="); value == "planted" {
			t.Errorf("%s reaches the programs", name)
		}
	}
	if !slices.Contains(env, "KEPT=kept") {
		t.Error("what changes nothing is not handed on")
	}
}
