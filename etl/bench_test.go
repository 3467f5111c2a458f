package etl

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"testing"

	"github.com/hotshelf/hotshelf/blob"
)

// discard is a Writer that only counts.
type discard struct{ rows, bytes int }

func (d *discard) Int(int64)             {}
func (d *discard) Text(b []byte)         { d.bytes += len(b) }
func (d *discard) Null()                 {}
func (d *discard) Price(blob.Price)      {}
func (d *discard) Bool(bool)             {}
func (d *discard) EndRow() error         { d.rows++; return nil }
func (d *discard) Close() (int64, error) { return int64(d.rows), nil }
func (d *discard) Abort()                {}

// cleanLines are n clean data lines of a table, as the clean edition has them:
// URLs and texts of real lengths, a quarter of the ids out of order.
func cleanLines(table string, n int) []byte {
	const url = "https://images.unsplash.com/photo-%013d-71c79fa3283e?ixlib=rb-1.2.1&ixid=eyJhcHBfaWQiOjEyMDd9&auto=format&fit=crop&w=%d&q=80"
	var b bytes.Buffer
	for i := range n {
		id, parent := i^(i>>1&1)+1, i/4%100+1
		switch table {
		case "products":
			fmt.Fprintf(&b, "%d,\"Bright Future Sunglasses\",\"You've got to wear shades\",\"Where you're going you might not need roads, but you definitely need some shades. Give those baby blues a rest and let the future shine bright on these timeless lenses.\",\"Accessories\",%d\n", id, i%500)
		case "features":
			fmt.Fprintf(&b, "%d,%d,\"Mid-Sole\",\"ControlSupport Arch Bridge\"\n", id, parent)
		case "styles":
			fmt.Fprintf(&b, "%d,%d,\"Black Lenses & Gold Frame\",null,%d,%d\n", id, parent, i%500, i%2)
		case "related":
			fmt.Fprintf(&b, "%d,%d,%d\n", id, parent, i%100+1)
		case "photos":
			fmt.Fprintf(&b, "%d,%d,\""+url+"\",\""+url+"\"\n", id, parent, i, 668, i, 300)
		case "skus":
			fmt.Fprintf(&b, "%d,%d,\"XL\",%d\n", id, parent, i%50)
		}
	}
	return b.Bytes()
}

// repeated gives the same text over and over.
type repeated struct {
	text []byte
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

// endless is a loader over the lines of a table, again and again; duplicates
// are not looked at from the second time on.
func endless(tb testing.TB, name string, text []byte) *loader {
	tb.Helper()
	tables := catalogue()
	i := slices.IndexFunc(tables, func(t *table) bool { return t.name == name })
	l := load(tb, tables[i], nil)
	l.out = &discard{}
	l.in = newLines(&repeated{text: text})
	return l
}

// BenchmarkLoad is everything from the file's bytes to the Writer's calls, for
// clean lines of each table; BenchmarkEncodingCSV only cuts the same lines into
// fields.
func BenchmarkLoad(b *testing.B) {
	for _, table := range catalogue() {
		b.Run(table.name, func(b *testing.B) {
			text := cleanLines(table.name, 100_000)
			l := endless(b, table.name, text)
			b.SetBytes(int64(len(text) / 100_000))
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if i%100_000 == 0 {
					b.StopTimer()
					l.seen = newIDSet()
					b.StartTimer()
				}
				if err := l.in.next(); err != nil {
					b.Fatal(err)
				}
				if err := l.line(); err != nil {
					b.Fatal(err)
				}
			}
			if l.account.loaded != int64(b.N) {
				b.Fatalf("%d of %d loaded", l.account.loaded, b.N)
			}
		})
	}
}

func BenchmarkEncodingCSV(b *testing.B) {
	for _, table := range catalogue() {
		b.Run(table.name, func(b *testing.B) {
			text := cleanLines(table.name, 100_000)
			r := csv.NewReader(&repeated{text: text})
			r.ReuseRecord = true
			b.SetBytes(int64(len(text) / 100_000))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := r.Read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestNoAllocations: a clean line costs no allocation, whatever its table, and
// nor does one that is repaired.
func TestNoAllocations(t *testing.T) {
	cases := map[string][]byte{}
	for _, table := range catalogue() {
		cases[table.name] = cleanLines(table.name, 1000)
	}
	check := func(name, table string, text []byte) {
		l := endless(t, table, text)
		one := func() {
			if l.in.number%1000 == 0 {
				// The ids come again; a set that is full already takes no memory.
				l.seen.low.Clear()
			}
			if err := l.in.next(); err != nil {
				t.Fatal(err)
			}
			if err := l.line(); err != nil {
				t.Fatal(err)
			}
		}
		for range 2000 {
			one()
		}
		seen := l.seen
		allocs := testing.AllocsPerRun(900, func() {
			// The set's own growth, some bytes for thousands of lines, is not the line's.
			l.seen = seen
			one()
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations a line", name, allocs)
		}
		if l.account.loaded != l.account.lines {
			t.Errorf("%s: %d lines read, %d loaded", name, l.account.lines, l.account.loaded)
		}
	}
	for table, text := range cases {
		check(table, table, text)
	}
	dirty := bytes.ReplaceAll(cases["photos"], []byte(`80"`), []byte(`80" `))
	check("repaired photos", "photos", bytes.ReplaceAll(dirty, []byte("https:"), []byte(`https:\`)))
	check("repaired styles", "styles", bytes.ReplaceAll(cases["styles"], []byte(`null,`), []byte(`"null", $ 1`)))
}
