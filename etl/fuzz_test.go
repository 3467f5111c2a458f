package etl

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzLoad gives arbitrary bytes as the data of each of the files in turn. The
// load must take them, the account must close, no line may be merged with
// another or lost, and what is loaded must be fit for the database.
func FuzzLoad(f *testing.F) {
	for i, table := range catalogue() {
		for _, edition := range []string{"sample", "dirty"} {
			text, err := os.ReadFile(filepath.Join("testdata", edition, table.file))
			if err != nil {
				f.Fatal(err)
			}
			_, lines, _ := bytes.Cut(text, []byte{'\n'})
			f.Add(lines, i)
		}
	}
	f.Add([]byte("1,1,\"a\n2,1,\"b\",\"\n\n\r\n,,,,,,,\n\x00\n\xff\n\"\\\"\""), 4)
	f.Add([]byte("1,1,\\\"a,\\b,\"null\",$1,000.00,1\n"), 2)
	f.Fuzz(func(t *testing.T, text []byte, which int) {
		table := catalogue()[uint(which)%6]
		l := load(t, table, text)

		lines, rejected := int64(0), int64(0)
		for _, line := range bytes.Split(text, []byte{'\n'}) {
			if len(bytes.TrimLeft(bytes.TrimRight(line, "\r"), " \t")) > 0 {
				lines++
			}
		}
		for _, n := range l.account.rejects {
			rejected += n
		}
		a := &l.account
		if a.lines != lines || a.loaded+rejected != lines {
			t.Fatalf("%d lines, but %d read, %d loaded, %d rejected", lines, a.lines, a.loaded, rejected)
		}
		if physical := int64(bytes.Count(text, []byte{'\n'})); l.in.number != physical && l.in.number != physical+1 {
			t.Fatalf("%d line feeds, but line %d at the end", physical, l.in.number)
		}
		for _, n := range a.fixes {
			if n > a.loaded+l.in.number-lines {
				t.Fatalf("a repair was counted %d times on %d lines", n, a.loaded)
			}
		}
		rows := l.out.(*memoryWriter).rows
		if int64(len(rows)) != a.loaded {
			t.Fatalf("%d rows, but %d loaded", len(rows), a.loaded)
		}
		for _, row := range rows {
			if !utf8.ValidString(row) || strings.ContainsAny(row, "\x00\n") {
				t.Fatalf("not fit for the database: %q", row)
			}
		}
	})
}

// load loads one file's data lines, with every id from 1 to 100 there for a
// parent.
func load(t testing.TB, table *table, text []byte) *loader {
	t.Helper()
	r := &run{rejects: &rejectFile{}}
	l := newLoader(r, table, &fileProgress{})
	if table.name != "products" {
		l.parent = &loader{seen: newIDSet(), failed: newIDSet()}
		for id := range int64(100) {
			l.parent.seen.add(id + 1)
		}
	}
	m := newMemory()
	l.out, _ = m.open(context.Background(), table.name)
	l.in = newLines(bytes.NewReader(text))
	for i := range table.columns {
		l.row.layout.at[i] = i
	}
	l.row.layout.usual = true
	for l.in.next() == nil {
		if err := l.line(); err != nil {
			t.Fatal(err)
		}
	}
	return l
}
