package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Unit is what a column counts; it decides how a value is written.
type Unit string

// The units.
const (
	Seconds Unit = "s"
	Bytes   Unit = "bytes"
	// Time is for what may be microseconds as well as seconds; values are in seconds.
	Time Unit = "time"
	// Rate is so many per second.
	Rate Unit = "/s"
	// Count is a number of things.
	Count Unit = "count"
	// Share is from 0 to 1.
	Share Unit = "share"
)

// scale is how values about as large as v are written: divided by what, and
// with which name.
func (u Unit) scale(v float64) (by float64, name string) {
	switch u {
	case Seconds:
		return 1, " s"
	case Time:
		switch {
		case v >= 1:
			return 1, " s"
		case v >= 1e-3:
			return 1e-3, " ms"
		}
		return 1e-6, " µs"
	case Rate:
		return 1, "/s"
	case Count:
		return 1, ""
	case Share:
		return 0.01, " %"
	case Bytes:
	}
	switch {
	case v >= 1<<30:
		return 1 << 30, " GiB"
	case v > 0 && v < 16<<10:
		return 1, " B"
	default:
		return 1 << 20, " MiB"
	}
}

// number is a value without its unit's name, after division.
func (u Unit) number(v float64) string {
	if u == Count || u == Rate && v >= 10 {
		return grouped(int64(math.Round(v)))
	}
	return tenths(v)
}

func (u Unit) format(v float64) string {
	by, name := u.scale(v)
	return u.number(v/by) + name
}

// table is rows of cells under a head. The first column is words, the others
// are figures.
type table struct {
	head []string
	rows [][]string
}

const unmeasured = "–"

// tables are the figures as they are shown: the runs, the ratios, the limits.
// One without rows is left out.
func (f *Figures) tables() []table {
	var all []table
	for _, t := range []table{f.runsTable(), f.ratiosTable(), f.boundsTable()} {
		if len(t.rows) > 0 {
			all = append(all, t)
		}
	}
	return all
}

func (f *Figures) runsTable() table {
	t := table{head: []string{"median (least–most)", "runs"}}
	for _, c := range f.Columns {
		t.head = append(t.head, c.Title)
	}
	for _, name := range f.contenders() {
		row := []string{name, strconv.Itoa(f.runs(name))}
		for _, c := range f.Columns {
			row = append(row, c.summary(f.values(name, c.Name)))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func (f *Figures) runs(contender string) (n int) {
	for _, r := range f.Runs {
		if r.Contender == contender {
			n++
		}
	}
	return n
}

func (c Column) summary(values []float64) string {
	if len(values) == 0 {
		return unmeasured
	}
	median, low, high := spread(values)
	by, name := c.Unit.scale(median)
	text := c.Unit.number(median / by)
	if l, h := c.Unit.number(low/by), c.Unit.number(high/by); l != h {
		text += " (" + l + "–" + h + ")"
	}
	return text + name
}

func (f *Figures) ratiosTable() table {
	t := table{head: []string{"ratio", "in", "median", "least", "most", "rounds", "target", ""}}
	for _, r := range f.Ratios {
		rounds := make([]string, len(r.Rounds))
		for i, v := range r.Rounds {
			rounds[i] = hundredths(v)
		}
		target, met := "", ""
		if r.AtMost > 0 {
			target, met = "at most "+hundredths(r.AtMost), verdict(r.Met())
		}
		if r.AtLeast > 0 {
			target, met = "at least "+hundredths(r.AtLeast), verdict(r.Met())
		}
		t.rows = append(t.rows, []string{r.Of + " ÷ " + r.To, f.column(r.Column).Title, hundredths(r.Median),
			hundredths(r.Min), hundredths(r.Max), strings.Join(rounds, " "), target, met})
	}
	return t
}

func (f *Figures) boundsTable() table {
	t := table{head: []string{"limit", "of", "worst", "target", ""}}
	for _, b := range f.Bounds {
		c := f.column(b.Column)
		worst, target := b.Largest, "below "+c.Unit.format(b.Below)
		if b.AtLeast > 0 {
			worst, target = b.Least, "at least "+c.Unit.format(b.AtLeast)
		}
		t.rows = append(t.rows, []string{b.Contender, c.Title, c.Unit.format(worst), target, verdict(b.Met())})
	}
	return t
}

func (f *Figures) column(name string) Column {
	for _, c := range f.Columns {
		if c.Name == name {
			return c
		}
	}
	return Column{Name: name, Title: name}
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "not met"
}

func tenths(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func hundredths(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// grouped is n with a comma before every three digits.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// machine is one line about where the figures were made.
func (f *Figures) machine() string {
	m := f.Machine
	parts := []string{strconv.Itoa(m.CPUs) + " CPUs"}
	if m.Model != "" {
		parts[0] += " (" + m.Model + ")"
	}
	if m.MemoryBytes > 0 {
		parts = append(parts, Bytes.format(float64(m.MemoryBytes))+" of memory")
	}
	return strings.Join(append(parts, m.System, m.Go, "PostgreSQL "+m.PostgreSQL), ", ")
}

// print writes the figures for a terminal.
func (f *Figures) print(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s\n%s\n%s\n", f.Title, f.Command, f.machine())
	for _, t := range f.tables() {
		fmt.Fprintln(out)
		t.print(out)
	}
	if len(f.Notes) > 0 {
		fmt.Fprintln(out)
	}
	for _, note := range f.Notes {
		fmt.Fprintln(out, "-", note)
	}
	return out.Flush()
}

func (t table) print(out io.Writer) {
	rows := append([][]string{t.head}, t.rows...)
	widths := make([]int, len(t.head))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		line := fmt.Sprintf("%-*s", widths[0], row[0])
		for i, cell := range row[1:] {
			line += fmt.Sprintf("  %*s", widths[i+1], cell)
		}
		fmt.Fprintln(out, strings.TrimRight(line, " "))
	}
}

// markdown writes the table for the page of results.
func (t table) markdown(out io.Writer) {
	line := func(cells []string) {
		escaped := make([]string, len(cells))
		for i, cell := range cells {
			escaped[i] = strings.NewReplacer("|", `\|`, `\`, `\\`).Replace(cell)
		}
		fmt.Fprintf(out, "| %s |\n", strings.Join(escaped, " | "))
	}
	line(t.head)
	fmt.Fprintf(out, "|---|%s\n", strings.Repeat("---:|", len(t.head)-1))
	for _, row := range t.rows {
		line(row)
	}
}
