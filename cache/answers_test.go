package cache

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/hotshelf/hotshelf/blob"
)

func TestBuild(t *testing.T) {
	long := `[` + strings.Repeat(`1, `, 600) + `1]`
	for _, tc := range []struct {
		name    string
		row     blob.Row
		etag    string
		gzipped string // d, s and r for the responses that have a gzip form
	}{
		{"small", blob.Row{ProductID: 1, Version: 41, Hash: 0x01239f3c2a10, Detail: []byte(`{"id": 1}`), Styles: []byte(`{}`), Related: []byte(`[]`)}, `"41-9f3c2a10"`, ""},
		{"negative hash", blob.Row{Version: 1, Hash: -1, Detail: []byte(`{}`), Styles: []byte(`{}`), Related: []byte(`[]`)}, `"1-ffffffff"`, ""},
		{"leading zeros", blob.Row{Version: 1 << 62, Hash: 7, Detail: []byte(`{}`), Styles: []byte(`{}`), Related: []byte(`[]`)}, `"4611686018427387904-00000007"`, ""},
		{"all long", blob.Row{Version: 2, Detail: []byte(`{"a": ` + long + `}`), Styles: []byte(`{"b": ` + long + `}`), Related: []byte(long)}, `"2-00000000"`, "dsr"},
		{"nothing at all", blob.Row{}, `"0-00000000"`, ""},
		{"realistic", realistic(3), "", "s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBuilder()
			_, _ = b.build(&blob.Row{Detail: []byte(long)}) // its memory is used again
			a, size := b.build(&tc.row)
			if tc.etag != "" && string(a.ETag()) != tc.etag {
				t.Errorf("ETag %s, want %s", a.ETag(), tc.etag)
			}
			if got, want := string(a.GzipETag()), strings.TrimSuffix(string(a.ETag()), `"`)+`-gzip"`; got != want {
				t.Errorf("gzip ETag %s, want %s", got, want)
			}
			gzipped, total := "", 0
			for i, answer := range []*blob.Answer{&a.Detail, &a.Styles, &a.Related} {
				want := blob.AppendWire(nil, [][]byte{tc.row.Detail, tc.row.Styles, tc.row.Related}[i])
				if !bytes.Equal(answer.Body, want) {
					t.Errorf("body %d: %s, want %s", i, answer.Body, want)
				}
				if answer.Zip != nil {
					gzipped += "dsr"[i : i+1]
					if answer.Size() != len(want) {
						t.Errorf("gzip form %d was made unasked", i)
					}
					if plain := gunzip(t, answer.Gzip()); !bytes.Equal(plain, want) {
						t.Errorf("gzip form %d: %s, want %s", i, plain, want)
					}
				}
				total += answer.Size()
				if cap(answer.Body) != len(answer.Body) {
					t.Errorf("body %d has room to append into its neighbour", i)
				}
			}
			if gzipped != tc.gzipped {
				t.Errorf("gzip forms %q, want %q", gzipped, tc.gzipped)
			}
			if size < int64(total) {
				t.Errorf("size %d, bodies are %d", size, total)
			}
			from, to := blob.FeaturesSpan(a.Detail.Body)
			if int(a.FeaturesFrom) != from || int(a.FeaturesTo) != to {
				t.Errorf("features %d to %d, want %d to %d", a.FeaturesFrom, a.FeaturesTo, from, to)
			}
			again, _ := newBuilder().build(&tc.row)
			if a.Styles.Zip == nil {
				return
			}
			if !bytes.Equal(again.Styles.Gzip(), a.Styles.Gzip()) {
				t.Error("two nodes would make different gzip forms")
			}
			if first := a.Styles.Gzip(); &first[0] != &a.Styles.Gzip()[0] {
				t.Error("the gzip form is made each time")
			}
		})
	}
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// generated makes its rows when they are asked for.
type generated struct{ existing int64 }

func (g generated) Lookup(_ context.Context, ids []int64) (found []blob.Row, err error) {
	for _, id := range ids {
		if id <= g.existing {
			found = append(found, realistic(id))
		}
	}
	return found, nil
}

func (g generated) LiveIDs(context.Context, func(int64)) error { return nil }

// TestCostIsHonest compares the heap with what the entries claim to cost.
func TestCostIsHonest(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("measures the heap")
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for name, tc := range map[string]struct{ existing, first int64 }{
		"products": {1 << 62, 1},
		"absent":   {0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			const entries = 20_000
			c := newSized(t, generated{tc.existing}, 1<<30)
			before := heap()
			ids := make([]int64, 500)
			for n := range entries / len(ids) {
				for i := range ids {
					ids[i] = tc.first + int64(n*len(ids)+i)
				}
				all, _, err := c.Many(context.Background(), nil, ids)
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range all {
					for _, answer := range []*blob.Answer{&a.Detail, &a.Styles, &a.Related} {
						if answer.Zip != nil {
							answer.Gzip()
						}
					}
				}
			}
			settled(t, c)
			used, claimed := heap()-before, c.Stats().Bytes
			t.Logf("an entry takes %d bytes and claims %d", used/entries, claimed/entries)
			if used > claimed*21/20 || used < claimed*17/20 {
				t.Errorf("%d bytes are used, %d claimed", used, claimed)
			}
		})
	}
}
