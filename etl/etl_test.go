package etl

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The sample is real lines of the clean edition, cut off after ten products,
// so that some rows point outside.
func TestRealLines(t *testing.T) {
	got := loadInto(t, "testdata/sample", nil)
	if got.err != nil {
		t.Fatal(got.err)
	}
	want := map[string]FileReport{
		"product.csv":  {LinesRead: 10, Loaded: 10},
		"features.csv": {LinesRead: 27, Loaded: 27},
		"styles.csv":   {LinesRead: 52, Loaded: 52},
		"related.csv":  {LinesRead: 50, Loaded: 50},
		"photos.csv":   {LinesRead: 20, Loaded: 20},
		"skus.csv":     {LinesRead: 40, Loaded: 40},
	}
	for file, w := range want {
		f := got.report.Files[file]
		if f.LinesRead != w.LinesRead || f.Loaded != w.Loaded || f.Rejected+sum(f.Repairs)+sum(f.Warnings) != 0 {
			t.Errorf("%s: %+v", file, f)
		}
	}
	for table, n := range map[string]string{
		"features": "4|2|UV Protection|<null>",
		"products": "4|Slacker's Slacks|Comfortable for everything, or nothing|I'll tell you how great they are after I nap for a bit.|Pants|6500c",
		"skus":     "40|11|L|10",
		"styles":   "3|1|Ocean Blue & Grey|10000c|14000c|false",
	} {
		if !slices.Contains(got.rows[table], n) {
			t.Errorf("%s: no row %s", table, n)
		}
	}
}

func TestUnwritableRejects(t *testing.T) {
	res := loadInto(t, "testdata/sample", func(_ *memory, o *Options) { o.Rejects = filepath.Join(t.TempDir(), "no", "where") })
	if res.err == nil || !strings.Contains(res.err.Error(), "create the reject file") || len(res.opened) > 0 {
		t.Errorf("got %v, opened %v", res.err, res.opened)
	}
}

func TestRejectFileKeepsTheLine(t *testing.T) {
	lines := []string{"x,1,\"a \"\"quoted\"\", one\",\"\\\"\"\r", "y,\xff,\x00,", "z,\r\r,\"", "-,,,,,,,,\"\"\""}
	dir := writeFiles(t, map[string]string{"photos.csv": "\n" + strings.Join(lines, "\n")})
	path := filepath.Join(t.TempDir(), "rejects.csv")
	m := newMemory()
	if _, err := Run(context.Background(), Options{Dir: dir, Open: m.open, Rejects: path}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[1:] {
		parts := strings.SplitN(got, ",", 4)
		quoted := parts[3]
		original := strings.ReplaceAll(quoted[1:len(quoted)-1], `""`, `"`)
		if original != lines[i] {
			t.Errorf("line %d came back as %q, want %q", i, original, lines[i])
		}
	}
}

func TestNoRejectFile(t *testing.T) {
	dir := writeFiles(t, map[string]string{"skus.csv": "1,1,\"S\",1"})
	got := loadInto(t, dir, func(_ *memory, o *Options) { o.Rejects = "" })
	if got.err != nil || got.report.Files["skus.csv"].Rejects["orphan"] != 1 {
		t.Errorf("%v %+v", got.err, got.report)
	}
}

func TestRejectFileDiskFull(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/dev/full is Linux's")
	}
	dir := writeFiles(t, map[string]string{"skus.csv": "1,1,\"S\",1"})
	m := newMemory()
	_, err := Run(context.Background(), Options{Dir: dir, Open: m.open, Rejects: "/dev/full"})
	if err == nil || !strings.Contains(err.Error(), "write the reject file") {
		t.Errorf("got %v", err)
	}
}

func TestMaxRejects(t *testing.T) {
	// 8 lines, 4 of them rejected.
	dir := writeFiles(t, map[string]string{"skus.csv": "1,1,\"S\",1\n2,1,\"S\",1\n3,1,\"S\",1\n4,1,\"S\",1\n",
		"product.csv": "1,\"a\",\"b\",\"c\",\"d\",1\n2,\"a\",\"b\",\"c\",\"d\",1\n3,\"a\",\"b\",\"c\",\"d\",1\n4,\"a\",\"b\",\"c\",\"d\",1"})
	for limit, ok := range map[string]bool{"": true, "4": true, "3": false, "0": false, "50%": true, "49.9%": false, "0%": false, "100%": true} {
		got := loadInto(t, dir, func(_ *memory, o *Options) {
			var err error
			if o.MaxRejects, err = ParseLimit(limit); err != nil {
				t.Fatal(err)
			}
			if o.MaxRejects.String() != limit {
				t.Errorf("limit %q is written %q", limit, o.MaxRejects)
			}
		})
		if (got.err == nil) != ok {
			t.Errorf("limit %q: %v", limit, got.err)
		}
		if !ok && (!strings.Contains(got.err.Error(), "too many lines were rejected") || len(got.rejects) == 0 || got.report == nil) {
			t.Errorf("limit %q: %v, %d in the reject file", limit, got.err, len(got.rejects))
		}
	}
	for _, bad := range []string{"x", "-1", "1.5", "%", "-1%", "101%", "NaN%", "1 %", "99999999999999999999"} {
		if l, err := ParseLimit(bad); err == nil {
			t.Errorf("%q was read as %v", bad, l)
		}
	}
}

func TestWriterFails(t *testing.T) {
	t.Run("a row", func(t *testing.T) {
		got := loadInto(t, "testdata/sample", func(m *memory, _ *Options) { m.failAt, m.failRow = "styles", 3 })
		if got.err == nil || got.err.Error() != "styles.csv line 4: write the row: disk full" {
			t.Errorf("got %v", got.err)
		}
		if got.ended["styles"] != "aborted" || got.ended["products"] != "closed" || got.ended["photos"] != "" {
			t.Errorf("the writers ended so: %v", got.ended)
		}
		if len(got.ended) != len(got.opened) {
			t.Errorf("opened %v, ended %v", got.opened, got.ended)
		}
	})
	t.Run("the table lost a row", func(t *testing.T) {
		got := loadInto(t, "testdata/sample", func(m *memory, _ *Options) { m.lose = "skus" })
		if got.err == nil || !strings.Contains(got.err.Error(), "40 rows were loaded, but the table skus reports 39") {
			t.Errorf("got %v", got.err)
		}
	})
	t.Run("open", func(t *testing.T) {
		got := loadInto(t, "testdata/sample", func(m *memory, o *Options) {
			o.Open = func(ctx context.Context, table string) (Writer, error) {
				if table == "photos" {
					return nil, errors.New("no connection")
				}
				return m.open(ctx, table)
			}
		})
		if got.err == nil || got.err.Error() != "photos.csv line 1: open the table photos: no connection" {
			t.Errorf("got %v", got.err)
		}
		for table, how := range got.ended {
			if how != "closed" && how != "aborted" {
				t.Errorf("%s was %s", table, how)
			}
		}
	})
}

func TestCancel(t *testing.T) {
	dir := writeFiles(t, map[string]string{"product.csv": strings.Repeat("1,\"a\",\"b\",\"c\",\"d\",1\n", 1<<20)})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m := newMemory()
	report, err := Run(ctx, Options{Dir: dir, Open: func(ctx context.Context, table string) (Writer, error) {
		cancel()
		return m.open(ctx, table)
	}})
	if !errors.Is(err, context.Canceled) || report == nil {
		t.Fatalf("got %v", err)
	}
	if !maps.Equal(m.ended, map[string]string{"products": "aborted"}) {
		t.Errorf("the writers ended so: %v", m.ended)
	}
	if read := report.Files["product.csv"].LinesRead; read > 1<<18 {
		t.Errorf("%d lines were read after the end", read)
	}
}

func TestProgress(t *testing.T) {
	var last Progress
	calls := 0
	got := loadInto(t, "testdata/sample", func(_ *memory, o *Options) {
		o.Progress = func(p Progress) { last, calls = p, calls+1 }
	})
	if got.err != nil || calls == 0 {
		t.Fatal(got.err, calls)
	}
	for i, table := range catalogue() {
		info, err := os.Stat(filepath.Join("testdata/sample", table.file))
		if err != nil {
			t.Fatal(err)
		}
		f := last.Files[i]
		lines := got.report.Files[table.file].LinesRead + 1
		if want := (FileProgress{table.file, info.Size(), info.Size(), lines, true}); f != want {
			t.Errorf("got %+v, want %+v", f, want)
		}
	}
}

// An account that does not close must be found.
func TestAccountMustClose(t *testing.T) {
	got := loadInto(t, "testdata/sample", nil)
	if err := got.report.check(); err != nil {
		t.Fatal(err)
	}
	got.report.Files["skus.csv"].LinesRead++
	if err := got.report.check(); err == nil || err.Error() != "the account of skus.csv does not close: 41 lines read, but 40 loaded and 0 rejected" {
		t.Errorf("got %v", err)
	}
}

// TestReport holds the report's two forms, and the dirty catalogue in
// testdata/dirty, against golden files. Run with -update after a change.
func TestReport(t *testing.T) {
	got := loadInto(t, "testdata/dirty", nil)
	if got.err != nil {
		t.Fatal(got.err)
	}
	var table, rows, rejects bytes.Buffer
	if err := got.report.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.MarshalIndent(got.report, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range catalogue() {
		for _, row := range got.rows[c.name] {
			rows.WriteString(c.name + " " + row + "\n")
		}
	}
	slices.SortStableFunc(got.rejects, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	w := csv.NewWriter(&rejects)
	if err := w.WriteAll(got.rejects); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"report.txt": table.Bytes(), "report.json": append(asJSON, '\n'), "rows.txt": rows.Bytes(), "rejects.csv": rejects.Bytes()} {
		path := filepath.Join("testdata/golden", name)
		if *update {
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
