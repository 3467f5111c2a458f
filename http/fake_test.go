package http

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/hotshelf/hotshelf/blob"
)

// shelf is a catalogue in memory, made the way the cache makes its entries.
type shelf struct {
	answers []*blob.Answers // ascending
	// err, if set, is what every call returns; panics makes them panic.
	err    error
	panics bool
	// stale, if set, is how old everything is.
	stale time.Duration
	// enter, if set, runs at the start of every Get.
	enter func(context.Context) error
}

func newShelf(t testing.TB, contract blob.Contract) *shelf {
	t.Helper()
	s := new(shelf)
	for i, p := range sampleProducts() {
		s.answers = append(s.answers, makeAnswers(t, &p, contract, int64(40+i)))
	}
	return s
}

func (s *shelf) trouble() error {
	if s.panics {
		panic("the fake catalogue panics: secret-dsn")
	}
	return s.err
}

func (s *shelf) Get(ctx context.Context, id int64) (*blob.Answers, time.Duration, error) {
	if s.enter != nil {
		if err := s.enter(ctx); err != nil {
			return nil, 0, err
		}
	}
	if err := s.trouble(); err != nil {
		return nil, 0, err
	}
	for _, a := range s.answers {
		if a.ProductID == id {
			return a, s.stale, nil
		}
	}
	return nil, s.stale, blob.ErrNotFound
}

func (s *shelf) Done(*blob.Answers) {}

func (s *shelf) Many(_ context.Context, dst []*blob.Answers, ids []int64) ([]*blob.Answers, time.Duration, error) {
	if err := s.trouble(); err != nil {
		return dst, 0, err
	}
	for _, id := range ids {
		for _, a := range s.answers {
			if a.ProductID == id {
				dst = append(dst, a)
			}
		}
	}
	return dst, s.stale, nil
}

func (s *shelf) Page(_ context.Context, dst []*blob.Answers, offset, count int64) ([]*blob.Answers, int64, time.Duration, error) {
	if err := s.trouble(); err != nil {
		return dst, 0, 0, err
	}
	total := int64(len(s.answers))
	if offset < 0 || count < 1 || offset+count < offset {
		panic(fmt.Sprintf("page asked for offset %d, count %d", offset, count))
	}
	from := min(offset, total)
	return append(dst, s.answers[from:min(from+count, total)]...), total, s.stale, nil
}

func makeAnswers(t testing.TB, p *blob.Product, contract blob.Contract, version int64) *blob.Answers {
	t.Helper()
	var blobs blob.Blobs
	blob.Build(&blobs, p, contract)
	form := func(stored []byte) blob.Answer {
		body := blob.AppendWire(nil, stored)
		if len(body) < 300 {
			return blob.Answer{Body: body}
		}
		var zipped bytes.Buffer
		zip := gzip.NewWriter(&zipped)
		if _, err := zip.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := zip.Close(); err != nil {
			t.Fatal(err)
		}
		return blob.Answer{Body: body, Zip: func([]byte) []byte { return zipped.Bytes() }}
	}
	tag := fmt.Sprintf("%d-%08x", version, uint32(blobs.Hash()))
	a := &blob.Answers{
		ProductID: p.ID,
		Version:   version,
		Hash:      blobs.Hash(),
		Contract:  contract,
		Tags:      []byte(`"` + tag + `""` + tag + `-gzip"`),
		Detail:    form(blobs.Detail),
		Styles:    form(blobs.Styles),
		Related:   form(blobs.Related),
	}
	from, to := blob.FeaturesSpan(a.Detail.Body)
	a.FeaturesFrom, a.FeaturesTo = int32(from), int32(to)
	return a
}

// sampleProducts are few, and have what is odd: no styles, no photos, no SKUs,
// two SKUs of a size, a feature without a value, gaps between ids.
func sampleProducts() []blob.Product {
	photos := []blob.Photo{{URL: "https://example.com/a.jpg", ThumbnailURL: "https://example.com/a-small.jpg"}}
	var many []int64
	for id := int64(100); id < 200; id++ {
		many = append(many, id)
	}
	return []blob.Product{
		{
			ID: 1, Name: "Camo Onesie", Slogan: "Blend in", Description: "It will wake you up.",
			Category: "Jackets", DefaultPrice: 14000,
			Features: []blob.Feature{{Name: "Fabric", Value: "Canvas", HasValue: true}, {Name: "Buttons", Value: "Brass", HasValue: true}},
			Related:  []int64{2, 3, 8, 7},
			Styles: []blob.Style{
				{ID: 1, Name: "Forest Green & Black", OriginalPrice: 14000, Default: true, Photos: photos, SKUs: []blob.SKU{
					{ID: 1, Size: "XL", Quantity: 19}, {ID: 2, Size: "7.5", Quantity: 4}, {ID: 3, Size: "XS", Quantity: 8}, {ID: 4, Size: "XS", Quantity: 2},
				}},
				{ID: 2, Name: "Gold", OriginalPrice: 14050, SalePrice: 10000, OnSale: true, SKUs: []blob.SKU{{ID: 5, Size: "One Size", Quantity: 1}}},
				{ID: 3, Name: "Bare", OriginalPrice: 14000, Photos: photos},
			},
		},
		{
			ID: 2, Name: "Bright \"Future\" Sunglasses", Slogan: "Brings joy", Description: "Où est le soleil?",
			Category: "Accessories", DefaultPrice: 6900,
			Features: []blob.Feature{{Name: "Non-GMO"}},
		},
		{ID: 3, Name: "Morning Joggers", Category: "Pants", DefaultPrice: 4050, Related: many},
		{ID: 5, Name: "Heir Force Ones", Slogan: "A sneaker dynasty", Category: "Kicks", DefaultPrice: 9900, Related: []int64{5, 1, 1}},
		{ID: 8, Name: "Pumped Up Kicks", Category: "Kicks", DefaultPrice: 0},
		{ID: 9223372036854775807, Name: "Last", Category: "Kicks", DefaultPrice: 1},
	}
}

func TestShelfHasGzip(t *testing.T) {
	s := newShelf(t, blob.Pulsar)
	if s.answers[0].Styles.Zip == nil || s.answers[0].Related.Zip != nil || s.answers[2].Related.Zip == nil {
		t.Fatal("the sample products no longer have answers both with and without a gzip form")
	}
	if !slices.IsSortedFunc(s.answers, func(x, y *blob.Answers) int { return strings.Compare(fmt.Sprint(x.ProductID), fmt.Sprint(y.ProductID)) }) {
		t.Fatal("the sample products are not in order")
	}
}
