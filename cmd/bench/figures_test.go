package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestSpread(t *testing.T) {
	cases := []struct {
		name   string
		values []float64
		want   [3]float64
	}{
		{"one", []float64{2}, [3]float64{2, 2, 2}},
		{"two", []float64{3, 1}, [3]float64{2, 1, 3}},
		{"three", []float64{9, 1, 2}, [3]float64{2, 1, 9}},
		{"four", []float64{4, 1, 8, 2}, [3]float64{3, 1, 8}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := slices.Clone(c.values)
			median, low, high := spread(c.values)
			if got := [3]float64{median, low, high}; got != c.want {
				t.Errorf("median, least and most of %v: %v, want %v", c.values, got, c.want)
			}
			if !slices.Equal(c.values, before) {
				t.Errorf("the values were put in another order: %v", c.values)
			}
		})
	}
}

func took(contender string, round int, seconds float64) Run {
	return Run{contender, round, map[string]float64{columnWall: seconds}}
}

func TestCompare(t *testing.T) {
	cases := []struct {
		name   string
		runs   []Run
		rounds []float64
		median float64
		met    bool
	}{
		{"round by round, not median by median", []Run{took("a", 1, 2), took("b", 1, 1), took("a", 2, 30), took("b", 2, 30), took("a", 3, 3), took("b", 3, 2)},
			[]float64{2, 1, 1.5}, 1.5, false},
		{"just met", []Run{took("b", 1, 4), took("a", 1, 5)}, []float64{1.25}, 1.25, true},
		{"a round without the other", []Run{took("a", 1, 1), took("a", 2, 1), took("b", 2, 1)}, []float64{1}, 1, true},
		{"a run made once is in no round", []Run{took("a", 0, 1), took("b", 0, 1)}, nil, 0, true},
		{"without the other", []Run{took("a", 1, 1)}, nil, 0, true},
		{"nothing measured", []Run{took("a", 1, 1), {Contender: "b", Round: 1}}, nil, 0, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := &Figures{Runs: c.runs}
			f.compare("a", "b", columnWall, 1.25)
			if c.rounds == nil {
				if len(f.Ratios) > 0 {
					t.Errorf("a ratio of nothing: %+v", f.Ratios)
				}
				return
			}
			if len(f.Ratios) != 1 {
				t.Fatalf("%d ratios, want one", len(f.Ratios))
			}
			r := f.Ratios[0]
			if !slices.Equal(r.Rounds, c.rounds) || r.Median != c.median || r.Met() != c.met {
				t.Errorf("got %+v, met %v; want rounds %v, median %v, met %v", r, r.Met(), c.rounds, c.median, c.met)
			}
		})
	}
}

func TestCompareAtLeast(t *testing.T) {
	f := &Figures{Runs: []Run{took("a", 1, 8), took("b", 1, 10)}}
	f.compareAtLeast("a", "b", columnWall, 0.8)
	f.compareAtLeast("a", "b", columnWall, 0.81)
	if len(f.Ratios) != 2 || !f.Ratios[0].Met() || f.Ratios[1].Met() {
		t.Errorf("got %+v, want 0.8 just met, and 0.81 not", f.Ratios)
	}
}

func TestReach(t *testing.T) {
	f := &Figures{Runs: []Run{took("a", 1, 3), took("a", 2, 7)}}
	f.reach("a", columnWall, 3)
	f.reach("a", columnWall, 3.1)
	f.reach("a", columnPeak, 3)
	if len(f.Bounds) != 2 || f.Bounds[0].Least != 3 || !f.Bounds[0].Met() || f.Bounds[1].Met() {
		t.Errorf("got %+v, want the least twice, first met and then not", f.Bounds)
	}
}

func TestUnits(t *testing.T) {
	cases := []struct {
		unit  Unit
		value float64
		want  string
	}{
		{Seconds, 0.04, "0.0 s"}, {Time, 12.34e-6, "12.3 µs"}, {Time, 0.0255, "25.5 ms"}, {Time, 2, "2.0 s"},
		{Rate, 25000.4, "25,000/s"}, {Rate, 0.97, "1.0/s"}, {Count, 0, "0"}, {Count, 12345, "12,345"},
		{Share, 0.014, "1.4 %"}, {Bytes, 2184.8, "2184.8 B"}, {Bytes, 128 << 20, "128.0 MiB"}, {Bytes, 3 << 30, "3.0 GiB"},
		{Bytes, 0, "0.0 MiB"},
	}
	for _, c := range cases {
		if got := c.unit.format(c.value); got != c.want {
			t.Errorf("%v of %q: %q, want %q", c.value, c.unit, got, c.want)
		}
	}
}

func TestPlotIsDrawnAsBefore(t *testing.T) {
	f := &Figures{Suite: "hit", Title: "Hit <&>", Latencies: []Latency{
		{"a & b", []Point{{0, 50e-6}, {0.5, 100e-6}, {0.99, 1e-3}, {0.999, 9e-3}}},
		{"c", []Point{{0, 0}, {0.5, 2e-3}}},
	}}
	drawing, err := f.plot()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plot.golden", drawing)
	for name, odd := range map[string][]Latency{"nothing": nil, "no point": {{"a", nil}}, "one": {{"a", []Point{{0.5, 1}}}}} {
		drawing, err := (&Figures{Latencies: odd}).plot()
		if err != nil || bytes.Contains(drawing, []byte("NaN")) || bytes.Contains(drawing, []byte("Inf")) {
			t.Errorf("%s: %v\n%s", name, err, drawing)
		}
	}
}

func TestBound(t *testing.T) {
	f := &Figures{Runs: []Run{took("a", 1, 3), took("a", 2, 7), took("a", 3, 5)}}
	f.bound("a", columnWall, 7)
	f.bound("a", columnWall, 7.1)
	f.bound("a", columnPeak, 7)
	if len(f.Bounds) != 2 || f.Bounds[0].Largest != 7 || f.Bounds[0].Met() || !f.Bounds[1].Met() {
		t.Errorf("got %+v, want 7 twice, first not met and then met", f.Bounds)
	}
}

// example has everything that the tables can show.
func example() *Figures {
	value := func(wall, peak float64) map[string]float64 {
		return map[string]float64{columnWall: wall, columnPeak: peak}
	}
	f := &Figures{
		Suite: "load", Title: "Load: CSV files to rows", Command: "go run ./cmd/bench load --products 10 --pairs 3",
		Began: time.Date(2026, 11, 24, 23, 0, 0, 0, time.UTC), Seconds: 754.3,
		Machine:  Machine{CPUs: 2, Model: "Maker | 9000", MemoryBytes: 8 << 30, System: "linux/amd64", Go: "go1.26.8", PostgreSQL: "15.18"},
		Settings: map[string]string{"wal_level": "minimal", "fsync": "on"},
		Columns:  []Column{{columnWall, "time", Seconds}, {columnPeak, "peak memory", Bytes}},
		Runs: []Run{
			{contenderLoad, 1, value(10, 90<<20)}, {`psql \copy`, 1, map[string]float64{columnWall: 8}},
			{contenderLoad, 2, value(12, 91<<20)}, {`psql \copy`, 2, map[string]float64{columnWall: 12}},
			{contenderLoad, 3, value(11, 128<<20)}, {`psql \copy`, 3, map[string]float64{columnWall: 10}},
			{"load, messy, 20 products", 0, value(25.04, 1.5*(1<<30))},
		},
		Notes: []string{"One thing to know.", "And `another`."},
	}
	f.compare(contenderLoad, `psql \copy`, columnWall, 1)
	f.compare(`psql \copy`, contenderLoad, columnWall, 0)
	f.bound(contenderLoad, columnPeak, 128<<20)
	f.bound("load, messy, 20 products", columnPeak, 2<<30)
	return f
}

func TestTablesAreWrittenAsBefore(t *testing.T) {
	var terminal bytes.Buffer
	if err := example().print(&terminal); err != nil {
		t.Fatal(err)
	}
	golden(t, "terminal.golden", terminal.Bytes())
	bare := &Figures{Suite: "bare", Title: "A suite without a target", Command: "go run ./cmd/bench bare", Machine: Machine{CPUs: 1, System: "darwin/arm64", Go: "go1.26.8", PostgreSQL: "18.1"}}
	golden(t, "page.golden", page([]*Figures{example(), bare}))
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it anew):\n%s", name, got)
	}
}

func TestFiguresSurviveTheirFile(t *testing.T) {
	dir := t.TempDir()
	if err := writeResults(dir); err == nil || !strings.Contains(err.Error(), "no figures") {
		t.Errorf("a page without figures: %v", err)
	}
	want := example()
	if err := want.write(filepath.Join(dir, "load.json")); err != nil {
		t.Fatal(err)
	}
	// What a load reports lies beside the figures and is none.
	if err := os.WriteFile(filepath.Join(dir, "load-50m-report.json"), []byte(`{"files":{},"total":{"lines_read":3}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeResults(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, resultsName))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, page([]*Figures{want})) {
		t.Errorf("the page made from the file is another:\n%s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeResults(dir); err == nil || !strings.Contains(err.Error(), "broken.json") {
		t.Errorf("a broken file: %v, want an error that names it", err)
	}
}
