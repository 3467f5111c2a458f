package etl

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Report is the account of a load. Files has the six files by their plain
// names, product.csv to skus.csv, whether they were compressed or not; Total is
// their sum.
type Report struct {
	Files map[string]*FileReport `json:"files"`
	Total FileReport             `json:"total"`
}

// FileReport is the account of one file. LinesRead are the data lines: neither
// the header nor empty lines. A line that is loaded counts once for each kind
// of repair or warning that it needed; a line that is rejected counts for its
// reason alone. The maps have only kinds that occur.
type FileReport struct {
	LinesRead int64            `json:"lines_read"`
	Loaded    int64            `json:"loaded"`
	Rejected  int64            `json:"rejected"`
	Rejects   map[string]int64 `json:"rejects"`
	Repairs   map[string]int64 `json:"repairs"`
	Warnings  map[string]int64 `json:"warnings"`
}

func newFileReport() *FileReport {
	return &FileReport{Rejects: map[string]int64{}, Repairs: map[string]int64{}, Warnings: map[string]int64{}}
}

// report adds up what the loaders have counted.
func (r *run) report() *Report {
	report := &Report{Files: map[string]*FileReport{}, Total: *newFileReport()}
	for _, l := range r.loaders {
		f := newFileReport()
		report.Files[l.table.file] = f
		f.LinesRead, f.Loaded = l.account.lines, l.account.loaded
		for why, n := range l.account.rejects {
			f.Rejected += n
			count(f.Rejects, reason(why).String(), n)
		}
		for i, n := range l.account.fixes {
			if i < firstWarning {
				count(f.Repairs, fixName(i), n)
			} else {
				count(f.Warnings, fixName(i), n)
			}
		}
		report.Total.add(f)
	}
	return report
}

func count(m map[string]int64, kind string, n int64) {
	if n > 0 {
		m[kind] += n
	}
}

func (f *FileReport) add(g *FileReport) {
	f.LinesRead += g.LinesRead
	f.Loaded += g.Loaded
	f.Rejected += g.Rejected
	for _, maps := range [][2]map[string]int64{{f.Rejects, g.Rejects}, {f.Repairs, g.Repairs}, {f.Warnings, g.Warnings}} {
		for kind, n := range maps[1] {
			maps[0][kind] += n
		}
	}
}

// check fails where a line is neither loaded nor rejected, or is both.
func (r *Report) check() error {
	for _, t := range catalogue() {
		if f := r.Files[t.file]; f.Loaded+f.Rejected != f.LinesRead {
			return fmt.Errorf("the account of %s does not close: %d lines read, but %d loaded and %d rejected",
				t.file, f.LinesRead, f.Loaded, f.Rejected)
		}
	}
	return nil
}

// WriteTable writes the report for people: a line per file, then what was
// rejected, repaired and warned of, by file and kind. It returns the error of w.
func (r *Report) WriteTable(w io.Writer) error {
	out := &bytes.Buffer{}
	rows := [][]string{{"file", "lines read", "loaded", "rejected", "repairs", "warnings"}}
	line := func(name string, f *FileReport) {
		rows = append(rows, []string{name, grouping(f.LinesRead), grouping(f.Loaded), grouping(f.Rejected),
			grouping(sum(f.Repairs)), grouping(sum(f.Warnings))})
	}
	tables := catalogue()
	for _, t := range tables {
		line(t.file, r.Files[t.file])
	}
	line("total", &r.Total)
	writeColumns(out, rows)

	for _, part := range []struct {
		title string
		kinds func(*FileReport) map[string]int64
	}{
		{"rejected", func(f *FileReport) map[string]int64 { return f.Rejects }},
		{"repaired", func(f *FileReport) map[string]int64 { return f.Repairs }},
		{"warned of", func(f *FileReport) map[string]int64 { return f.Warnings }},
	} {
		var rows [][]string
		for _, t := range tables {
			kinds := part.kinds(r.Files[t.file])
			for _, kind := range sortedKeys(kinds) {
				rows = append(rows, []string{fmt.Sprintf("%-12s  %s", t.file, kind), grouping(kinds[kind])})
			}
		}
		if len(rows) > 0 {
			fmt.Fprintf(out, "\n%s\n", part.title)
			writeColumns(out, rows)
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// writeColumns writes rows with the first column to the left and the others to
// the right.
func writeColumns(out *bytes.Buffer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		fmt.Fprintf(out, "%-*s", widths[0], row[0])
		for i, cell := range row[1:] {
			fmt.Fprintf(out, "  %*s", widths[i+1], cell)
		}
		fmt.Fprintln(out)
	}
}

// grouping is n with a comma before every three digits.
func grouping(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func sum(kinds map[string]int64) (n int64) {
	for _, k := range kinds {
		n += k
	}
	return n
}

func sortedKeys(kinds map[string]int64) []string {
	keys := make([]string, 0, len(kinds))
	for kind := range kinds {
		keys = append(keys, kind)
	}
	slices.Sort(keys)
	return keys
}
