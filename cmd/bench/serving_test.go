//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

// TestServingSuites runs each suite from start to end, on tiny catalogues that
// they share and for moments: what it finds is noise, but it has to be there.
func TestServingSuites(t *testing.T) {
	if testing.Short() {
		t.Skip("several servers and loads")
	}
	dir := t.TempDir()
	at := places{Work: filepath.Join(dir, "work"), programs: filepath.Join(dir, "programs")}
	shared := kept{places: at, Data: filepath.Join(dir, "data")}
	for _, d := range []string{at.Work, at.programs} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const products = 300
	moment := 60 * time.Millisecond

	t.Run("hit", func(t *testing.T) {
		f := runs(t, at, &hitSuite{kept: shared, Products: products, Pairs: 1, span: moment})
		want := []string{"detail: hotshelf", "detail: bare fasthttp"}
		if find("nginx", "/usr/sbin") != "" {
			want = append(want, "detail: nginx")
		}
		for _, name := range append(want, "list: hotshelf", "styles, 304: hotshelf", "related: hotshelf at 10,000/s") {
			if !slices.Contains(f.contenders(), name) {
				t.Errorf("without %s: %q", name, f.contenders())
			}
		}
		ratio := f.Ratios[0]
		if ratio.Of != "detail: hotshelf" || ratio.AtMost != hitToBare || ratio.Median <= 0 {
			t.Errorf("the first ratio is %+v", ratio)
		}
		// The bare one sends as many bytes, the date's included.
		ours, bare := f.values("styles: hotshelf", columnAnswer)[0], f.values("styles: bare fasthttp", columnAnswer)[0]
		if d := ours/bare - 1; d < -0.25 || d > 0.25 {
			t.Errorf("responses of %.0f and %.0f bytes", ours, bare)
		}
	})
	t.Run("miss", func(t *testing.T) {
		f := runs(t, at, &missSuite{kept: shared, Products: products, Pairs: 1, span: moment, lookups: 20})
		if find("pgbench", "/usr/lib/postgresql/*/bin") != "" && (len(f.Ratios) != 1 || f.Ratios[0].AtLeast != missToPgbench) {
			t.Errorf("ratios %+v", f.Ratios)
		}
		// Far fewer products than the cache holds.
		if hits := f.values(contenderMiss, columnHits); len(hits) != 1 || hits[0] < 0.01 || hits[0] > 1 {
			t.Errorf("hits %v", hits)
		}
		if p99 := f.values("database time of list", columnP99); len(p99) != 1 || p99[0] <= 0 {
			t.Errorf("p99 of the list's look-up: %v", p99)
		}
	})
	t.Run("ramp", func(t *testing.T) {
		f := runs(t, at, &rampSuite{kept: shared, Products: products, Phase: moment})
		if len(f.Runs) != len(rampRates)*len(routes) || len(f.values("list at 1,000/s", columnP99)) != 1 {
			t.Errorf("%d runs: %q", len(f.Runs), f.contenders())
		}
	})
	t.Run("scale", func(t *testing.T) {
		f := runs(t, at, &scaleSuite{kept: shared, Sizes: []int64{100, products}, Rounds: 1, span: moment})
		if len(f.Ratios) == 0 || f.Ratios[0].Of != "hit, 300 products, 1 CPU" || f.Ratios[0].To != "hit, 100 products, 1 CPU" {
			t.Errorf("ratios %+v", f.Ratios)
		}
		if len(f.Bounds) == 0 || f.Bounds[0].Below != scaleBudget || f.Bounds[0].Largest == 0 {
			t.Errorf("limits %+v", f.Bounds)
		}
	})
	t.Run("write", func(t *testing.T) {
		f := runs(t, at, &writeSuite{places: at, Products: products, Pairs: 1, span: 10 * moment})
		for _, kind := range []string{"stock of a SKU", "name and price"} {
			if v := f.values(kind+": hotshelf", columnWrites); len(v) != 1 || v[0] <= 0 {
				t.Errorf("%s: writes/s %v", kind, v)
			}
		}
		if find("pgbench", "/usr/lib/postgresql/*/bin") != "" && (len(f.Ratios) != 2 || f.Ratios[0].AtLeast != writeToBare) {
			t.Errorf("ratios %+v", f.Ratios)
		}
	})
	t.Run("coherence", func(t *testing.T) {
		f := runs(t, at, &coherenceSuite{places: at, Products: products, span: 10 * moment})
		for _, name := range []string{"with NOTIFY, 10 writes/s", "without NOTIFY, 500 writes/s"} {
			if v := f.values(name, columnP99); len(v) != 1 || v[0] <= 0 {
				t.Errorf("%s: p99 %v", name, v)
			}
		}
	})
	t.Run("publish", func(t *testing.T) {
		f := runs(t, at, &publishSuite{places: at, Products: products, Rounds: 1, slice: moment})
		for _, kind := range publishKinds {
			if v := f.values("around its publish: "+kind.name, columnAround); len(v) != 1 || v[0] != 2 {
				t.Errorf("%s: slices %v", kind.name, v)
			}
		}
	})
	t.Run("box", func(t *testing.T) {
		group, err := newBox(cgroupRoot)
		if errors.Is(err, errNoGroups) {
			t.Skip(err)
		}
		if err := errors.Join(err, group.remove()); err != nil {
			t.Fatal(err)
		}
		f := runs(t, at, &boxSuite{kept: shared, Products: products, span: moment})
		for _, column := range []string{columnPeakBox, columnResident, columnKills} {
			if v := f.values(contenderBox, column); len(v) != 1 || column != columnKills && v[0] < 1<<20 {
				t.Errorf("%s: %v", column, v)
			}
		}
		if len(f.values("10 % of a CPU, Zipf 1.0 at 1,000/s", columnThrottled)) != 1 {
			t.Errorf("throttling isn't told: %q", f.contenders())
		}
	})
}

// runs runs a suite and checks what all have in common.
func runs(t *testing.T, at places, s suite) *Figures {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.json")
	var stdout, stderr bytes.Buffer
	began := time.Now()
	if err := keep(t.Context(), s, out, cli.IO{Stdout: &stdout, Stderr: &stderr}); err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	t.Logf("took %v", time.Since(began))
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	f := new(Figures)
	if err := json.Unmarshal(text, f); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(filepath.Dir(out), resultsName))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(append(page, text...), []byte(filepath.Dir(at.Work))) {
		t.Errorf("a path of this machine is in the figures:\n%s", page)
	}
	drawing, err := os.ReadFile(filepath.Join(filepath.Dir(out), f.plotName()))
	if err != nil || !bytes.Contains(page, []byte("]("+f.plotName()+")")) {
		t.Errorf("no plot on the page (%v)", err)
	}
	if n := strings.Count(string(drawing), "<polyline"); n != len(f.Latencies) || n == 0 {
		t.Errorf("%d lines are drawn, want %d", n, len(f.Latencies))
	}
	if left, err := os.ReadDir(at.Work); err != nil || len(left) > 0 {
		t.Errorf("the suite left %v behind (%v)", left, err)
	}
	return f
}

// A suite that compares must not take errors for answers.
func TestStrict(t *testing.T) {
	for name, o := range map[string]*outcome{"errors": {requests: 5, errors: 1}, "nothing": {}} {
		if o.strict() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := (&outcome{requests: 1}).strict(); err != nil {
		t.Error(err)
	}
}

func TestBareServerThatDiffersIsCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	b := &serving{places: places{programs: t.TempDir()}, f: new(Figures)}
	if err := b.apportion(); err != nil {
		t.Fatal(err)
	}
	answers := []answer{{Path: "/a", Headers: [][2]string{{"Content-Type", "application/json"}, {"ETag", `"1"`}}, Body: []byte("{}")}}
	s, err := b.bare(t.Context(), answers)
	if err != nil {
		t.Fatal(err)
	}
	// fasthttp decides on this header itself.
	answers[0].Headers[0][1] = ""
	if _, err := b.bare(t.Context(), answers); err == nil || !strings.Contains(err.Error(), "/a differently") {
		t.Errorf("got %v", err)
	}
	for _, stop := range b.stops {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
	if err := syscall.Kill(s.pid, 0); err == nil {
		t.Error("the bare server still runs")
	}
}

// A program that ends before its time is told, with what it printed.
func TestServiceThatEnds(t *testing.T) {
	cpus, err := cpusAllowed()
	if err != nil {
		t.Fatal(err)
	}
	_, err = serve(cpus[:1], exec.CommandContext(t.Context(), "sh", "-c", "echo no disk >&2; exit 3"))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("got %v", err)
	}
}

func TestStartedOnItsCPU(t *testing.T) {
	cpus, err := cpusAllowed()
	if err != nil {
		t.Fatal(err)
	}
	last := cpus[len(cpus)-1:]
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "grep Cpus_allowed_list /proc/self/status")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := startOn(cmd, last); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if fields := strings.Fields(out.String()); len(fields) != 2 || fields[1] != strconv.Itoa(last[0]) {
		t.Errorf("%q, want CPU %d", out.String(), last[0])
	}
	if again, err := cpusAllowed(); err != nil || !slices.Equal(again, cpus) {
		t.Errorf("this process may now use %v, before %v (%v)", again, cpus, err)
	}
}

func TestCPUOfAProcess(t *testing.T) {
	before, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for own := ownCPU(); ownCPU() < own+20*time.Millisecond; {
	}
	after, err := cpuOf(os.Getpid())
	if err != nil || after-before < 15*time.Millisecond {
		t.Errorf("%v after 20 ms of work (%v)", after-before, err)
	}
	if _, err := cpuOf(1 << 22); err == nil {
		t.Error("a process that isn't there has a clock")
	}
}
