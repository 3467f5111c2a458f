// Package warm turns rows into blobs: it merges the ordered streams of the six
// tables product by product, calls blob.Build, compares with what is live, and
// writes a new shelf.
//
// The commands use it; a store gives it the streams and takes the blobs. What
// must always hold: a product whose blobs are as they were keeps its version,
// every other product gets the new one, and each product is written once.
package warm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hotshelf/hotshelf/blob"
)

// Rows iterates over one ordered stream. Columns are counted from 0.
type Rows interface {
	Next() bool
	Int(column int) int64
	Text(column int) string
	Null(column int) bool
	Bool(column int) bool
	Price(column int) blob.Price
}

// Reader reads streams for the products from lo to hi, ordered by product,
// then style, then row:
//
//	products  id, name, slogan, description, category, default_price
//	features  product_id, feature, value
//	styles    product_id, id, name, sale_price, original_price, default_style
//	related   product_id, related_id
//	photos    style_id, url, thumbnail_url
//	skus      style_id, id, size, quantity
//	shelf     product_id, version, hash: what is live
type Reader struct {
	Rows  func(ctx context.Context, stream string, lo, hi int64) (Rows, error)
	Close func()
}

// Writer takes the blobs of a new shelf.
type Writer interface {
	Put(id, version, hash int64, contract blob.Contract, b *blob.Blobs) error
	Close() (rows int64, err error)
	Abort()
}

// Job is one warm. All functions may be called side by side.
type Job struct {
	Contract blob.Contract
	Version  int64 // for products that are new or different
	Live     int64 // how many products are live now
	// NextRange gives out the next n products; io.EOF when there are no more.
	NextRange func(ctx context.Context, n int64) (lo, hi, count int64, err error)
	Reader    func(ctx context.Context) (Reader, error)
	Writer    func(ctx context.Context) (Writer, error)
	Progress  func(built int64) // products built so far
}

// Summary says what a warm did, in products.
type Summary struct {
	Built     int64 `json:"built"`
	Unchanged int64 `json:"unchanged"`
	Changed   int64 `json:"changed"` // different blobs, or new
	Removed   int64 `json:"removed"` // were live, and are no more
}

const (
	// lanes is how many ranges are worked on side by side. Each occupies a
	// processor of the database with its COPY back.
	lanes = 2
	// rangeSize bounds memory: the rows of a product take about 2.7 kB.
	rangeSize = 2000
)

// Build builds the blobs of all products into a new shelf.
func Build(ctx context.Context, j Job) (Summary, error) {
	var built, unchanged, replaced atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range lanes {
		g.Go(func() error {
			l := lane{job: &j}
			err := l.run(ctx, func() { j.Progress(built.Add(l.takeBuilt())) })
			unchanged.Add(l.unchanged)
			replaced.Add(l.replaced)
			return err
		})
	}
	err := g.Wait()
	s := Summary{Built: built.Load(), Unchanged: unchanged.Load()}
	s.Changed = s.Built - s.Unchanged
	s.Removed = j.Live - s.Unchanged - replaced.Load()
	return s, err
}

// lane builds one range after the other.
type lane struct {
	job    *Job
	reader Reader
	writer Writer

	blobs blob.Blobs

	built     int64 // since takeBuilt
	unchanged int64
	replaced  int64
}

func (l *lane) takeBuilt() int64 {
	n := l.built
	l.built = 0
	return n
}

func (l *lane) run(ctx context.Context, progress func()) (err error) {
	if l.reader, err = l.job.Reader(ctx); err != nil {
		return err
	}
	defer l.reader.Close()
	if l.writer, err = l.job.Writer(ctx); err != nil {
		return err
	}
	var wrote int64
	for {
		lo, hi, count, err := l.job.NextRange(ctx, rangeSize)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = l.buildRange(ctx, lo, hi)
		}
		if err == nil && l.built != count {
			err = fmt.Errorf("products %d to %d: built %d of %d", lo, hi, l.built, count)
		}
		if err != nil {
			l.writer.Abort()
			return err
		}
		wrote += l.built
		progress()
	}
	rows, err := l.writer.Close()
	if err == nil && rows != wrote {
		err = fmt.Errorf("wrote %d products, the new shelf took %d", wrote, rows)
	}
	return err
}
