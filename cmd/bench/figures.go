package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Figures is what a run of one suite found. It is kept as JSON, and has nothing
// in it that is of use on one machine only, such as a path.
type Figures struct {
	Suite    string            `json:"suite"`
	Title    string            `json:"title"`
	Command  string            `json:"command"` // which made these figures
	Began    time.Time         `json:"began"`
	Seconds  float64           `json:"seconds"` // how long the suite took
	Machine  Machine           `json:"machine"`
	Settings map[string]string `json:"settings"` // of PostgreSQL
	Columns  []Column          `json:"columns"`  // what Runs can have, in this order
	Runs     []Run             `json:"runs"`
	Ratios   []Ratio           `json:"ratios"`
	Bounds   []Bound           `json:"bounds"`
	// Latencies are drawn; what follows is for the suites that have any.
	Latencies []Latency `json:"latencies,omitempty"`
	Notes     []string  `json:"notes"`
	// Files are what a reader needs to repeat it, such as a peer's configuration.
	Files []File `json:"attached,omitempty"`
}

// Latency is how long a contender's requests took.
type Latency struct {
	Contender string  `json:"contender"`
	Points    []Point `json:"points"`
}

// Point says that Share of the requests, from 0 to 1, took Seconds at most.
type Point struct {
	Share   float64 `json:"share"`
	Seconds float64 `json:"seconds"`
}

// File is a text that goes with the figures.
type File struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Machine is where the figures were made. What could not be found out is empty.
type Machine struct {
	CPUs        int    `json:"cpus"`
	Model       string `json:"model"` // of the CPU
	MemoryBytes int64  `json:"memory_bytes"`
	System      string `json:"system"` // as linux/amd64
	Go          string `json:"go"`
	PostgreSQL  string `json:"postgresql"`
}

// Column is one thing that is measured of a run.
type Column struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Unit  Unit   `json:"unit"`
}

// Run is one contender's run. Values has, by the names of columns, what could
// be measured. Runs of one Round followed one another; ratios are taken of
// them. Round 0 is a run that was made once.
type Run struct {
	Contender string             `json:"contender"`
	Round     int                `json:"round"`
	Values    map[string]float64 `json:"values"`
}

// Ratio compares two contenders in one column, round by round.
type Ratio struct {
	Of     string    `json:"of"`
	To     string    `json:"to"`
	Column string    `json:"column"`
	Rounds []float64 `json:"rounds"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	// AtMost and AtLeast are the target for the median; 0 for none.
	AtMost  float64 `json:"at_most,omitempty"`
	AtLeast float64 `json:"at_least,omitempty"`
}

// Met says whether the target was met; true where there is none.
func (r Ratio) Met() bool {
	return (r.AtMost == 0 || r.Median <= r.AtMost) && r.Median >= r.AtLeast
}

// Bound holds the worst value that a contender had in a column against a
// limit: the largest has to stay below one, or the least has to reach one.
type Bound struct {
	Contender string  `json:"contender"`
	Column    string  `json:"column"`
	Largest   float64 `json:"largest"`
	Below     float64 `json:"below,omitempty"`
	Least     float64 `json:"least,omitempty"`
	AtLeast   float64 `json:"at_least,omitempty"`
}

// Met says whether the limit was kept.
func (b Bound) Met() bool {
	if b.AtLeast > 0 {
		return b.Least >= b.AtLeast
	}
	return b.Largest < b.Below
}

// contenders lists who ran, in the order of their first runs.
func (f *Figures) contenders() []string {
	var names []string
	for _, r := range f.Runs {
		if !slices.Contains(names, r.Contender) {
			names = append(names, r.Contender)
		}
	}
	return names
}

// values are those of a contender in a column, in the order of the runs.
func (f *Figures) values(contender, column string) []float64 {
	var values []float64
	for _, r := range f.Runs {
		if v, measured := r.Values[column]; measured && r.Contender == contender {
			values = append(values, v)
		}
	}
	return values
}

// compare adds the ratio of two contenders, unless there is no round that both
// ran in.
func (f *Figures) compare(of, to, column string, atMost float64) {
	f.ratio(Ratio{Of: of, To: to, Column: column, AtMost: atMost})
}

// compareAtLeast is compare with a target that the ratio has to reach.
func (f *Figures) compareAtLeast(of, to, column string, atLeast float64) {
	f.ratio(Ratio{Of: of, To: to, Column: column, AtLeast: atLeast})
}

func (f *Figures) ratio(r Ratio) {
	of, to, column := r.Of, r.To, r.Column
	for _, a := range f.Runs {
		for _, b := range f.Runs {
			if a.Contender == of && b.Contender == to && a.Round == b.Round && a.Round > 0 && b.Values[column] > 0 {
				r.Rounds = append(r.Rounds, a.Values[column]/b.Values[column])
			}
		}
	}
	if len(r.Rounds) > 0 {
		r.Median, r.Min, r.Max = spread(r.Rounds)
		f.Ratios = append(f.Ratios, r)
	}
}

// bound adds the limit of a contender, unless the column was not measured.
func (f *Figures) bound(contender, column string, below float64) {
	if values := f.values(contender, column); len(values) > 0 {
		f.Bounds = append(f.Bounds, Bound{Contender: contender, Column: column, Largest: slices.Max(values), Below: below})
	}
}

// reach adds a limit that a contender has to reach, unless the column was not
// measured.
func (f *Figures) reach(contender, column string, atLeast float64) {
	if values := f.values(contender, column); len(values) > 0 {
		f.Bounds = append(f.Bounds, Bound{Contender: contender, Column: column,
			Largest: slices.Max(values), Least: slices.Min(values), AtLeast: atLeast})
	}
}

// spread returns the middle value, or the mean of the middle two, and both
// ends, of at least one value.
func spread(values []float64) (median, low, high float64) {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]
}

// checkOut fails, before hours of work, where out can't be written later.
func checkOut(out string) error {
	dir := filepath.Dir(out)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keep the figures: %w", err)
	}
	probe, err := os.CreateTemp(dir, ".bench-*")
	if err != nil {
		return fmt.Errorf("keep the figures: %w", err)
	}
	_ = probe.Close()
	return os.Remove(probe.Name())
}

func (f *Figures) write(path string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep the figures: %w", err)
	}
	return nil
}
