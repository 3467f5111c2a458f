package warm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/hotshelf/hotshelf/blob"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rows are an ordered stream kept in memory.
type rows struct {
	all [][]any
	at  int
}

func (r *rows) Next() bool             { r.at++; return r.at <= len(r.all) }
func (r *rows) Int(i int) int64        { return r.all[r.at-1][i].(int64) }
func (r *rows) Text(i int) string      { s, _ := r.all[r.at-1][i].(string); return s }
func (r *rows) Null(i int) bool        { return r.all[r.at-1][i] == nil }
func (r *rows) Bool(i int) bool        { return r.all[r.at-1][i].(bool) }
func (r *rows) Price(i int) blob.Price { p, _ := r.all[r.at-1][i].(blob.Price); return p }

// shelf takes blobs in memory.
type shelf struct {
	mu      sync.Mutex
	put     map[int64]string // "version hash detail styles related"
	order   []int64
	aborted atomic.Int64
	fail    error
}

type shelfWriter struct {
	s *shelf
}

func (w *shelfWriter) Put(id, version, hash int64, _ blob.Contract, b *blob.Blobs) error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.s.fail != nil {
		return w.s.fail
	}
	w.s.put[id] = fmt.Sprintf("%d %d %s %s %s", version, hash, b.Detail, b.Styles, b.Related)
	w.s.order = append(w.s.order, id)
	return nil
}
func (w *shelfWriter) Close() error { return nil }
func (w *shelfWriter) Abort()       { w.s.aborted.Add(1) }

// streams are the rows of three products: one with everything, one with
// nothing, and one whose styles' ids are below those of the first. Rows of one
// owner are not in the order of their ids.
func testStreams() map[string][][]any {
	return map[string][][]any{
		"products": {
			{int64(1), "Camo", "s", "d", "c", blob.Price(140_00)},
			{int64(5), "Bare", "", "", "", blob.Price(1)},
			{int64(9), "Last", "", "", "", blob.Price(2)},
		},
		"features": {{int64(1), "Sole", nil, int64(8)}, {int64(1), "Fabric", "Canvas", int64(5)}, {int64(9), "Cut", "Loose", int64(2)}},
		"styles": {
			{int64(1), int64(30), "Green", nil, blob.Price(140_00), true},
			{int64(1), int64(31), "Blue", blob.Price(100_00), blob.Price(140_00), false},
			{int64(9), int64(7), "Grey", nil, blob.Price(2), false},
		},
		"related": {{int64(1), int64(5), int64(4)}, {int64(1), int64(9), int64(3)}},
		"photos":  {{int64(30), "u2", "t2", int64(7)}, {int64(30), "u1", "t1", int64(6)}, {int64(7), "u3", "t3", int64(1)}},
		"skus":    {{int64(30), "XL", int64(4), int64(2)}, {int64(30), "XL", int64(15), int64(1)}, {int64(31), "S", int64(1), int64(3)}},
		"shelf":   {},
	}
}

func owner(streams map[string][][]any, stream string, row []any) int64 {
	id := row[0].(int64)
	if stream != "photos" && stream != "skus" {
		return id
	}
	for _, s := range streams["styles"] {
		if s[1] == id {
			return s[0].(int64)
		}
	}
	return 9 // an orphan turns up with the last product
}

// source reads from streams, in ranges of one product; the last one goes on for
// ever.
func source(streams map[string][][]any) Source {
	var next atomic.Int64
	return Source{
		NextRange: func(context.Context, int64) (lo, hi, count int64, err error) {
			i, products := int(next.Add(1))-1, streams["products"]
			switch {
			case i > len(products):
				return 0, 0, 0, io.EOF
			case i > 0:
				lo = products[i-1][0].(int64) + 1
			}
			if i == len(products) {
				return lo, math.MaxInt64, 0, nil
			}
			return lo, products[i][0].(int64), 1, nil
		},
		Reader: func(context.Context) (Reader, error) {
			read := func(_ context.Context, stream string, lo, hi int64) (Rows, error) {
				if stream == "sizes" {
					stream = "skus"
				}
				r := &rows{}
				for _, row := range streams[stream] {
					if id := owner(streams, stream, row); lo <= id && id <= hi {
						r.all = append(r.all, row)
					}
				}
				return r, nil
			}
			return Reader{Rows: read, Close: func() {}}, nil
		},
		Progress: func(int64) {},
	}
}

// into puts blobs on s.
func into(s *shelf) Target {
	return Target{Version: 77, Writer: func(context.Context) (Writer, error) { return &shelfWriter{s: s}, nil }}
}

func TestBuild(t *testing.T) {
	first := &shelf{put: map[int64]string{}}
	summary, lists, err := Build(t.Context(), source(testStreams()), into(first))
	if err != nil || summary != (Summary{Built: 3, New: 3}) || len(lists.Changed) != 3 || len(lists.Removed) > 0 {
		t.Fatalf("%+v, %v", summary, err)
	}
	var want blob.Blobs
	blob.Build(&want, &blob.Product{
		ID: 1, Name: "Camo", Slogan: "s", Description: "d", Category: "c", DefaultPrice: 140_00,
		Features: []blob.Feature{{Name: "Fabric", Value: "Canvas", HasValue: true}, {Name: "Sole"}},
		Styles: []blob.Style{
			{
				ID: 30, Name: "Green", OriginalPrice: 140_00, Default: true,
				Photos: []blob.Photo{{URL: "u1", ThumbnailURL: "t1"}, {URL: "u2", ThumbnailURL: "t2"}},
				SKUs:   []blob.SKU{{ID: 1, Size: "XL", Quantity: 15}, {ID: 2, Size: "XL", Quantity: 4}},
			},
			{ID: 31, Name: "Blue", OriginalPrice: 140_00, SalePrice: 100_00, OnSale: true, SKUs: []blob.SKU{{ID: 3, Size: "S", Quantity: 1}}},
		},
		Related: []int64{9, 5},
	}, blob.Pulsar)
	if got := fmt.Sprintf("77 %d %s %s %s", want.Hash(), want.Detail, want.Styles, want.Related); first.put[1] != got {
		t.Errorf("product 1:\ngot  %s\nwant %s", first.put[1], got)
	}
	if !strings.Contains(first.put[5], `"style_id":null`) || !strings.Contains(first.put[9], `"url":"u3"`) {
		t.Errorf("products 5 and 9:\n%s\n%s", first.put[5], first.put[9])
	}
}

// TestPlace: whatever order the rows of one owner come in, their ids order them,
// also behind a longer list.
func TestPlace(t *testing.T) {
	var m merge
	for _, ids := range [][]int64{{1, 2, 3, 4, 5}, {5, 4, 3, 2, 1}, {3, 5, 1, 4, 2}, {2, 1}, {7}, {}} {
		var got []int64
		for _, id := range ids {
			got = place(&m, got, id, -id)
		}
		want := slices.Sorted(slices.Values(ids))
		for i := range want {
			want[i] = -want[i]
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v became %v", ids, got)
		}
	}
}

// built is what a build of the test's streams puts, and the products' hashes.
func built(t *testing.T) (*shelf, func(id int64) int64) {
	t.Helper()
	s := &shelf{put: map[int64]string{}}
	if _, _, err := Build(t.Context(), source(testStreams()), into(s)); err != nil {
		t.Fatal(err)
	}
	return s, func(id int64) int64 {
		var version, hash int64
		if _, err := fmt.Sscan(s.put[id], &version, &hash); err != nil {
			t.Fatal(err)
		}
		return hash
	}
}

// TestDifferences: what is as it was is left out, or keeps its version, also
// beside products that came, went or changed.
func TestDifferences(t *testing.T) {
	_, hash := built(t)
	streams := testStreams()
	streams["shelf"] = [][]any{
		{int64(1), int64(40), hash(1)},     // unchanged
		{int64(3), int64(41), int64(1)},    // gone
		{int64(9), int64(42), hash(9) + 1}, // changed
		{int64(12), int64(43), int64(1)},   // gone, and beyond the last
	}
	for _, all := range []bool{false, true} {
		after := &shelf{put: map[int64]string{}}
		target := into(after)
		target.All = all
		summary, lists, err := Build(t.Context(), source(streams), target)
		if err != nil || summary != (Summary{Built: 3, Unchanged: 1, Changed: 1, New: 1, Removed: 2}) {
			t.Errorf("%+v, %v", summary, err)
		}
		slices.Sort(lists.Changed)
		slices.Sort(lists.Removed)
		if !lists.Complete || !slices.Equal(lists.Changed, []int64{5, 9}) || !slices.Equal(lists.Removed, []int64{3, 12}) {
			t.Errorf("%+v", lists)
		}
		want := map[int64]string{5: "77 ", 9: "77 "}
		if all {
			want[1] = "40 "
		}
		for id, version := range want {
			if !strings.HasPrefix(after.put[id], version) {
				t.Errorf("product %d: %.20s, want version %s", id, after.put[id], version)
			}
		}
		if len(after.order) != len(want) {
			t.Errorf("put: %v", after.order)
		}
	}
}

// TestMany: one product more than are listed is told of, once and beside the
// build, which can end there.
func TestMany(t *testing.T) {
	boom := errors.New("boom")
	for products, want := range map[int64]int64{maxListed: 0, maxListed + 1: 1, maxListed + 500: 1} {
		for _, fails := range []bool{false, true} {
			streams := map[string][][]any{} // without rows, so that all are gone
			for id := range products {
				streams["shelf"] = append(streams["shelf"], []any{id + 1, int64(1), int64(1)})
			}
			var told atomic.Int64
			target := into(&shelf{put: map[int64]string{}})
			target.Many = func(context.Context) error {
				told.Add(1)
				if fails {
					return boom
				}
				return nil
			}
			_, lists, err := Build(t.Context(), source(streams), target)
			if told.Load() != want || errors.Is(err, boom) != (fails && want > 0) {
				t.Errorf("%d products differ: told %d times, want %d: %v", products, told.Load(), want, err)
			}
			if err == nil && lists.Complete != (want == 0) {
				t.Errorf("%d products differ: complete: %v", products, lists.Complete)
			}
		}
	}
}

func TestFew(t *testing.T) {
	for s, want := range map[Summary]bool{
		{Built: 100, Unchanged: 95, Changed: 2, New: 2, Removed: 1}: true,
		{Built: 100, Unchanged: 95, Changed: 3, New: 2, Removed: 1}: false,
		{Built: 100, Unchanged: 100}:                                true,
		{Built: 3, New: 3}:                                          false,
	} {
		if s.Few() != want {
			t.Errorf("%+v: %v", s, s.Few())
		}
	}
}

func TestVerify(t *testing.T) {
	s, hash := built(t)
	stored := func(id int64, change func(row []any)) []any {
		var version, h int64
		parts := strings.SplitN(s.put[id], " ", 3)
		_, _ = fmt.Sscan(parts[0]+" "+parts[1], &version, &h)
		// No text of these products has a blank, so the blobs are apart by one.
		blobs := strings.Split(parts[2], " ")
		row := []any{id, version, hash(id), int64(blob.Pulsar), "\x01" + blobs[0], "\x01" + blobs[1], "\x01" + blobs[2]}
		if change != nil {
			change(row)
		}
		return row
	}
	verify := func(rows ...[]any) (compared, differ int64, found []string) {
		streams := testStreams()
		streams["blobs"] = rows
		var err error
		compared, differ, err = Verify(t.Context(), source(streams), func(d Difference) { found = append(found, d.String()) })
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(found)
		return compared, differ, found
	}
	if compared, differ, found := verify(stored(1, nil), stored(5, nil), stored(9, nil)); compared != 3 || differ != 0 {
		t.Errorf("all right: %d compared, %d differ: %q", compared, differ, found)
	}
	compared, differ, found := verify(
		stored(1, func(row []any) { row[5] = strings.Replace(row[5].(string), "Blue", "Blow", 1); row[6] = "\x01[9, 6]" }),
		[]any{int64(3), int64(1), int64(1), int64(0), "", "", ""},
		stored(9, func(row []any) { row[2] = int64(7); row[3] = int64(blob.Atelier) }),
	)
	if compared != 3 || differ != 4 || len(found) != 6 {
		t.Fatalf("%d compared, %d differ: %q", compared, differ, found)
	}
	for i, want := range []string{
		`product 1, related: at byte 3: stored "[9, 6]", its rows give "[9,5]"`,
		`product 1, styles: at byte `,
		`product 3, shelf: it is on the shelf, and has no rows`,
		`product 5, shelf: it has rows, and is not on the shelf`,
		`product 9, shelf: it is stored in the contract atelier, the catalogue's is pulsar`,
		`product 9, shelf: the stored hash is 7, its rows give `,
	} {
		if !strings.HasPrefix(found[i], want) {
			t.Errorf("got  %s\nwant %s", found[i], want)
		}
	}
	if !strings.Contains(found[1], `Blow`) || !strings.Contains(found[1], `Blue`) {
		t.Errorf("both sides are not shown: %s", found[1])
	}
}

func TestBuildFails(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		spoil func(map[string][][]any, *Source, *shelf)
		want  string
	}{
		"a photo without a style": {func(s map[string][][]any, _ *Source, _ *shelf) {
			s["photos"] = append(s["photos"], []any{int64(99), "u", "t"})
		}, "a row of photos belongs to 99"},
		"a feature without a product": {func(s map[string][][]any, _ *Source, _ *shelf) {
			s["features"] = slices.Insert(s["features"], 2, []any{int64(4), "f", "v"})
		}, "a row of features belongs to 4"},
		"a writer fails": {func(_ map[string][][]any, _ *Source, s *shelf) { s.fail = boom }, "boom"},
		"a reader fails": {func(_ map[string][][]any, j *Source, _ *shelf) {
			j.Reader = func(context.Context) (Reader, error) {
				return Reader{Rows: func(context.Context, string, int64, int64) (Rows, error) { return nil, boom }, Close: func() {}}, nil
			}
		}, "boom"},
		"a range that has fewer products than it should": {func(s map[string][][]any, j *Source, _ *shelf) {
			next := j.NextRange
			j.NextRange = func(ctx context.Context, n int64) (lo, hi, count int64, err error) {
				lo, hi, count, err = next(ctx, n)
				return lo, hi, count + 1, err
			}
		}, "built 1 of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{put: map[int64]string{}}
			streams := testStreams()
			j := source(streams)
			c.spoil(streams, &j, s)
			_, _, err := Build(t.Context(), j, into(s))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Build: %v, want %q", err, c.want)
			}
			if s.aborted.Load() == 0 {
				t.Error("no writer was aborted: what it wrote would be kept")
			}
		})
	}
}
