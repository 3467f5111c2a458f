package cache

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cache/fence"
)

// entry is what the cache keeps of one product. It is never changed. answers
// is nil for a product that does not exist.
type entry struct {
	stamp   fence.Stamp
	moment  int64 // when its look-up began, see freshness
	cost    int64 // bytes of the heap
	answers *blob.Answers
}

// same says whether the row would make the answers that e has already.
func (e *entry) same(row *blob.Row) bool {
	return e != nil && e.answers != nil && e.answers.Version == row.Version && e.answers.Hash == row.Hash
}

// changed says whether the row, nil for none, is another state than e's.
func (e *entry) changed(row *blob.Row) bool {
	switch {
	case e == nil:
		return false
	case row == nil:
		return e.answers != nil
	}
	return !e.same(row)
}

const (
	// gzipLevel: 3 makes average styles 25.7 % of their size in 13 µs. 6 makes
	// them 25.4 % in 22 µs, and 1 saves no time (BenchmarkForms).
	gzipLevel = 3
	// gzipMin is the size from which a body has a gzip form. A smaller one
	// leaves in a single network packet with its header either way, so its
	// gzip form would save nobody a wait; it would take 12 % of the budget
	// (BenchmarkForms: 3829 bytes a product instead of 3412, identity alone
	// 3012) and as much time again to make.
	gzipMin = 1200
	// The room for a gzip form counts from the beginning, for it comes when the
	// entry has its place already: what average styles take, and its slice.
	gzipPercent  = 27
	gzipOverhead = 24

	// entryOverhead is what an entry takes of the heap besides its bytes: the
	// entry, its Answers, and its places in ristretto's two maps. Measured by
	// TestCostIsHonest.
	entryOverhead = 400
	// absentCost is the same for a product that does not exist.
	absentCost = 200
)

// builder makes Answers. It keeps its memory from one to the next and is used
// by one goroutine at a time.
type builder struct {
	data   []byte
	packed []byte
}

func newBuilder() *builder { return new(builder) }

// build makes the answers of a row, and says how many bytes of the heap their
// data takes.
func (b *builder) build(row *blob.Row) (*blob.Answers, int64) {
	b.data = blob.AppendWire(b.data[:0], row.Detail)
	detail := len(b.data)
	b.data = blob.AppendWire(b.data, row.Styles)
	styles := len(b.data) - detail
	b.data = blob.AppendWire(b.data, row.Related)
	return b.answers(row, detail, styles)
}

// answers makes the answers of a row whose identity forms are b.data, see
// arrange.
func (b *builder) answers(row *blob.Row, detail, styles int) (*blob.Answers, int64) {
	all := len(b.data)
	b.data = appendTags(b.data, row)
	// append rounds up to the allocator's size, which is what it costs.
	data := append([]byte(nil), b.data...)
	a := new(blob.Answers)
	return a, int64(cap(data)) + arrange(a, row, data, detail, styles, all)
}

func appendTags(dst []byte, row *blob.Row) []byte {
	dst = blob.AppendETag(dst, row.Version, row.Hash, "")
	return blob.AppendETag(dst, row.Version, row.Hash, blob.GzipSuffix)
}

// arrange makes a the answers of a row. All their data but gzip forms lies in
// one piece of memory, one behind the other: detail bytes, styles bytes, those of
// related up to all, and the tags. It returns what the gzip forms will take.
func arrange(a *blob.Answers, row *blob.Row, data []byte, detail, styles, all int) (zips int64) {
	part := func(from, to int) []byte { return data[from:to:to] }
	*a = blob.Answers{
		ProductID: row.ProductID,
		Version:   row.Version,
		Hash:      row.Hash,
		Contract:  row.Contract,
		Detail:    blob.Answer{Body: part(0, detail)},
		Styles:    blob.Answer{Body: part(detail, detail+styles)},
		Related:   blob.Answer{Body: part(detail+styles, all)},
		Tags:      part(all, len(data)),
	}
	for _, answer := range [...]*blob.Answer{&a.Detail, &a.Styles, &a.Related} {
		if len(answer.Body) >= gzipMin {
			answer.Zip = zip
			zips += int64(len(answer.Body))*gzipPercent/100 + gzipOverhead
		}
	}
	from, to := blob.FeaturesSpan(a.Detail.Body)
	a.FeaturesFrom, a.FeaturesTo = int32(from), int32(to)
	return zips
}

// zipper compresses. Its memory is a few hundred kilobytes, so it is used again.
type zipper struct {
	writer *gzip.Writer
	zipped bytes.Buffer
}

var zippers = sync.Pool{New: func() any {
	z := new(zipper)
	var err error
	if z.writer, err = gzip.NewWriterLevel(&z.zipped, gzipLevel); err != nil {
		panic(err) // the level is a constant of ours
	}
	return z
}}

// zip returns body compressed; nil where that is more than half of it, for an
// entry has no room for so much, and the client hardly a gain. Writes to memory
// don't fail, so neither does the compressor.
func zip(body []byte) []byte {
	z := zippers.Get().(*zipper)
	defer zippers.Put(z)
	z.zipped.Reset()
	z.writer.Reset(&z.zipped)
	_, _ = z.writer.Write(body)
	_ = z.writer.Close()
	if z.zipped.Len() > len(body)/2 {
		return nil
	}
	return bytes.Clone(z.zipped.Bytes())
}
