package etl

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hotshelf/hotshelf/blob"
)

// memory is a database in memory: rows by table, a row as its values joined
// with |, NULL as <null>.
type memory struct {
	mu      sync.Mutex
	rows    map[string][]string
	ended   map[string]string // closed or aborted, by table
	opened  []string
	failRow int // EndRow of this row (from 1) fails
	failAt  string
	lose    string // the table that reports a row less than it took
}

func newMemory() *memory {
	return &memory{rows: map[string][]string{}, ended: map[string]string{}}
}

func (m *memory) open(_ context.Context, table string) (Writer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened = append(m.opened, table)
	return &memoryWriter{m: m, table: table}, nil
}

type memoryWriter struct {
	m      *memory
	table  string
	values []string
	rows   []string
}

func (w *memoryWriter) Int(n int64)   { w.values = append(w.values, strconv.FormatInt(n, 10)) }
func (w *memoryWriter) Text(b []byte) { w.values = append(w.values, string(b)) }
func (w *memoryWriter) Null()         { w.values = append(w.values, "<null>") }
func (w *memoryWriter) Price(p blob.Price) {
	w.values = append(w.values, strconv.FormatInt(int64(p), 10)+"c")
}
func (w *memoryWriter) Bool(b bool) { w.values = append(w.values, strconv.FormatBool(b)) }

func (w *memoryWriter) EndRow() error {
	w.rows = append(w.rows, strings.Join(w.values, "|"))
	w.values = w.values[:0]
	if w.table == w.m.failAt && len(w.rows) == w.m.failRow {
		return errors.New("disk full")
	}
	return nil
}

func (w *memoryWriter) Close() (int64, error) {
	w.end("closed")
	n := int64(len(w.rows))
	if w.table == w.m.lose {
		n--
	}
	return n, nil
}

func (w *memoryWriter) Abort() { w.end("aborted") }

func (w *memoryWriter) end(how string) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	if before := w.m.ended[w.table]; before != "" {
		how = before + " and " + how
	}
	w.m.ended[w.table] = how
	w.m.rows[w.table] = w.rows
}

// headers are those of the clean edition, by file.
func headers() map[string]string {
	h := map[string]string{}
	for _, t := range catalogue() {
		h[t.file] = t.header()
	}
	return h
}

// writeFiles makes a directory with the six files. A file that is not given
// has its header alone; one that begins with a digit gets its header.
func writeFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, header := range headers() {
		text, given := files[name]
		switch {
		case !given:
			text = header + "\n"
		case text == "" || strings.HasPrefix(text, "\n") || text[0] >= '0' && text[0] <= '9':
			text = header + "\n" + text
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func zip(t testing.TB, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	w := gzip.NewWriter(f)
	_, err = w.Write(text)
	if err = errors.Join(err, w.Close(), f.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
}

// result is what a load in memory has made.
type result struct {
	*memory
	report  *Report
	rejects [][]string // of the reject file, without its header
	err     error
}

// loadInto loads a directory into memory.
func loadInto(t testing.TB, dir string, change func(*memory, *Options)) result {
	t.Helper()
	m := newMemory()
	o := Options{Dir: dir, Open: m.open, Rejects: filepath.Join(t.TempDir(), "rejects.csv")}
	if change != nil {
		change(m, &o)
	}
	report, err := Run(context.Background(), o)
	res := result{memory: m, report: report, err: err}
	if report == nil || o.Rejects == "" {
		return res
	}
	f, err := os.Open(o.Rejects)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := csv.NewReader(f)
	res.rejects, err = r.ReadAll()
	if err != nil {
		t.Fatalf("the reject file is no CSV: %v", err)
	}
	if head := strings.Join(res.rejects[0], ","); head != "file,line,reason,text" {
		t.Fatalf("the reject file begins with %q", head)
	}
	res.rejects = res.rejects[1:]
	return res
}
