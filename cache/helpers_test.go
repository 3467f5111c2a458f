package cache

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hotshelf/hotshelf/blob"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a database in memory: what is on it answers at once.
type shelf struct {
	mu    sync.Mutex
	rows  map[int64]blob.Row
	trips [][]int64 // the ids of each look-up
	err   error     // of the next look-ups
	loads int
	// during, if set, is called in each look-up before it reads.
	during func(ctx context.Context, ids []int64) error
	// duringLoad is the same for loads of ids.
	duringLoad func(ctx context.Context) error
}

func newShelf(rows ...blob.Row) *shelf {
	s := &shelf{rows: make(map[int64]blob.Row)}
	for _, r := range rows {
		s.rows[r.ProductID] = r
	}
	return s
}

func (s *shelf) Lookup(ctx context.Context, ids []int64) ([]blob.Row, error) {
	if s.during != nil {
		if err := s.during(ctx, ids); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trips = append(s.trips, slices.Clone(ids))
	if s.err != nil {
		return nil, s.err
	}
	var rows []blob.Row
	for _, id := range ids {
		if r, ok := s.rows[id]; ok {
			rows = append(rows, r)
		}
	}
	slices.Reverse(rows) // any order
	return rows, nil
}

func (s *shelf) LiveIDs(ctx context.Context, each func(id int64)) error {
	s.mu.Lock()
	during := s.duringLoad
	s.mu.Unlock()
	if during != nil {
		if err := during(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	if s.err != nil {
		return s.err
	}
	ids := make([]int64, 0, len(s.rows))
	for id := range s.rows {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		each(id)
	}
	return nil
}

func (s *shelf) put(r blob.Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[r.ProductID] = r
}

func (s *shelf) remove(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rows, id)
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// looked returns the look-ups since the last call.
func (s *shelf) looked() [][]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trips
	s.trips = nil
	return t
}

// newLoaded makes a cache of one mebibyte on the shelf, ready to read.
func newLoaded(t testing.TB, source Source) *Cache {
	t.Helper()
	return newSized(t, source, 1<<20)
}

func newSized(t testing.TB, source Source, size int64) *Cache {
	t.Helper()
	c, err := New(Config{Bytes: size, MissTimeout: time.Minute, MaxStaleness: time.Hour, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Load(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	return c
}

// row is a small product as Postgres returns it.
func row(id, version int64) blob.Row {
	return blob.Row{
		ProductID: id,
		Version:   version,
		Hash:      id*1000 + version,
		Detail:    fmt.Appendf(nil, `{"id": %d, "name": "v%d", "features": [{"value": "x", "feature": "y"}], "default_price": "1"}`, id, version),
		Styles:    fmt.Appendf(nil, `{"results": [], "product_id": "%d"}`, id),
		Related:   []byte(`[2, 3]`),
	}
}

func rows(from, to int64) []blob.Row {
	var list []blob.Row
	for id := from; id <= to; id++ {
		list = append(list, row(id, 1))
	}
	return list
}

// product is a product of about the average size of the real catalogue (2.2
// features, 1.96 styles; 2.9 photos and 5.8 SKUs a style; 4.5 related), with
// texts and URLs that compress as the real ones do.
func product(id int64) *blob.Product {
	words := strings.Fields("the so fatigues will wake you up and fit in this high energy camo have blending even wildest surroundings where going might not need roads but definitely some shades give those baby blues rest let future shine bright on timeless lenses morning person gym bound everyone looks good joggers nap for bit soft canvas brass cotton rubber ultimate comfort every step of way")
	x := uint64(id)*0x9e3779b97f4a7c15 + 1
	next := func(n int) int {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		return int(x>>33) % n
	}
	text := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(words[next(len(words))])
			b.WriteByte(' ')
		}
		return strings.TrimSpace(b.String())
	}
	p := &blob.Product{
		ID: id, Name: text(3), Slogan: text(6), Description: text(20 + next(25)),
		Category: words[next(len(words))], DefaultPrice: blob.Price(100 * (1 + next(900))),
	}
	for range 1 + next(4)*2/3 + next(2) {
		p.Features = append(p.Features, blob.Feature{Name: words[next(len(words))], Value: text(1 + next(2)), HasValue: next(5) > 0})
	}
	styles := 0
	if next(5) > 0 {
		styles = 1 + next(3) + next(2)*next(2)
	}
	for s := range styles {
		st := blob.Style{ID: id*2 + int64(s), Name: text(1 + next(2)), OriginalPrice: p.DefaultPrice, Default: s == 0}
		if next(4) == 0 {
			st.OnSale, st.SalePrice = true, p.DefaultPrice/2
		}
		for range 1 + next(5) {
			url := fmt.Sprintf("https://images.unsplash.com/photo-%d-%012x?ixlib=rb-1.2.1&ixid=eyJhcHBfaWQiOjEyMDd9&auto=format&fit=crop&w=", 1500000000000+next(1<<30)*60, x&0xffffffffffff)
			st.Photos = append(st.Photos, blob.Photo{URL: fmt.Sprintf("%s%d&q=80", url, 600+next(2200)), ThumbnailURL: url + "300&q=80"})
		}
		for k, size := range []string{"XS", "S", "M", "L", "XL", "XXL"} {
			st.SKUs = append(st.SKUs, blob.SKU{ID: st.ID*6 + int64(k), Size: size, Quantity: int64(next(60))})
		}
		p.Styles = append(p.Styles, st)
	}
	for range next(10) {
		p.Related = append(p.Related, int64(1+next(1_000_000)))
	}
	return p
}

// realistic is a row of product(id), with the blanks of jsonb.
func realistic(id int64) blob.Row {
	var b blob.Blobs
	blob.Build(&b, product(id), blob.Pulsar)
	jsonb := func(compact []byte) []byte {
		var out []byte
		in := false
		for i, ch := range compact {
			if ch == '"' && (i == 0 || compact[i-1] != '\\') {
				in = !in
			}
			out = append(out, ch)
			if !in && (ch == ':' || ch == ',') {
				out = append(out, ' ')
			}
		}
		return bytes.Clone(out)
	}
	return blob.Row{ProductID: id, Version: id, Hash: b.Hash(), Detail: jsonb(b.Detail), Styles: jsonb(b.Styles), Related: jsonb(b.Related)}
}

// measure makes a codec for products like these, and says how many bytes one
// takes in either form.
func measure(rows []blob.Row) (c *codec, entrySize, packedSize int64, err error) {
	entries, entrySize, err := makeEntries(context.Background(), rows)
	if err != nil {
		return nil, 0, 0, err
	}
	c, packedSize, err = makeCodec(context.Background(), entries)
	return c, entrySize, packedSize, err
}

// tableStore keeps everything at once.
type tableStore struct {
	mu sync.Mutex
	m  map[int64]*entry
}

func newTableStore() *tableStore { return &tableStore{m: make(map[int64]*entry)} }

func (s *tableStore) Get(id int64) (*entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.m[id]
	return e, ok
}

func (s *tableStore) Set(id int64, e *entry, _ int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[id] = e
	return true
}

func (s *tableStore) Wait() {}
