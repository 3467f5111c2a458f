// Package warm turns rows into blobs: it merges the ordered streams of six
// tables product by product, calls blob.Build, and compares with what is live:
// to write what differs (Build), or only to say so (Verify).
//
// The commands use it; a store gives it the streams and takes the blobs. What
// must always hold: each product is built once, and one whose blobs are as
// they were keeps its version.
package warm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

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
// then style. Styles of one product are in the order of their ids; features,
// related, photos and SKUs of one owner come in any. Rows and their texts are
// good until the stream is read again:
//
//	products  id, name, slogan, description, category, default_price
//	features  product_id, feature, value, id
//	styles    product_id, id, name, sale_price, original_price, default_style
//	related   product_id, related_id, id
//	photos    style_id, url, thumbnail_url, id
//	skus      style_id, size, quantity, id
//	sizes     style_id, size, quantity: the same without the ids, which only the
//	          contract atelier has
//	shelf     product_id, version, hash: what is live
//	blobs     product_id, version, hash, contract, detail, styles, related:
//	          the same with the blobs, as JSON text behind a byte
type Reader struct {
	Rows  func(ctx context.Context, stream string, lo, hi int64) (Rows, error)
	Close func()
}

// Source is where products are read from. Its functions may be called side by
// side.
type Source struct {
	Contract blob.Contract
	// NextRange gives out the next range of ids with n products at most, and how
	// many there are in it; io.EOF when there are no more. The ranges cover all
	// ids.
	NextRange func(ctx context.Context, n int64) (lo, hi, count int64, err error)
	Reader    func(ctx context.Context) (Reader, error)
	Progress  func(built int64) // products built so far
}

// extent says how a run goes through the products.
type extent struct {
	lanes int   // how many ranges are worked on side by side
	size  int64 // how many products a range has
}

// Memory is bounded by both: the rows of a product take about 2.7 kB, its blobs
// another 1.6 kB. Two lanes and the COPYs that take all they build keep two
// processors busy; where there is little or none to copy, it takes three.
var (
	allExtent        = extent{lanes: 2, size: 1500}
	differenceExtent = extent{lanes: 3, size: 1000}
	verifyExtent     = extent{lanes: 3, size: 700}
)

// sink takes what one lane finds, range by range.
type sink interface {
	// product takes a product's blobs, which are reused afterwards, and its row
	// of the shelf, which is nil where it has none.
	product(id int64, b *blob.Blobs, live Rows) error
	// gone takes a product that is on the shelf and has no rows.
	gone(id int64) error
	// end comes last, also after a failure.
	end(failure error) error
}

// run builds all products. shelf is the stream that live rows come from.
func run(ctx context.Context, s Source, over extent, shelf string, open func(ctx context.Context) (sink, error)) error {
	var mu sync.Mutex
	var built int64
	// The first one says why: to end its sink may make others fail.
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var g errgroup.Group
	for range over.lanes {
		g.Go(func() error {
			l := lane{source: &s, size: over.size, shelf: shelf, fail: fail}
			err := l.run(ctx, open, func(count int64) {
				mu.Lock()
				defer mu.Unlock()
				built += count
				s.Progress(built)
			})
			if err != nil {
				fail(err)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// lane builds one range after the other.
type lane struct {
	source *Source
	size   int64
	shelf  string
	fail   context.CancelCauseFunc // says why, and ends the others
	reader Reader
	sink   sink

	product blob.Product // the one at hand, and memory for the next
	blobs   blob.Blobs   // of it
}

func (l *lane) run(ctx context.Context, open func(ctx context.Context) (sink, error), progress func(count int64)) (err error) {
	if l.reader, err = l.source.Reader(ctx); err != nil {
		return err
	}
	defer l.reader.Close()
	if l.sink, err = open(ctx); err != nil {
		return err
	}
	for {
		lo, hi, count, err := l.source.NextRange(ctx, l.size)
		if errors.Is(err, io.EOF) {
			return l.sink.end(nil)
		}
		var built int64
		if err == nil {
			built, err = l.buildRange(ctx, lo, hi)
		}
		if err == nil && built != count {
			err = fmt.Errorf("products %d to %d: built %d of %d", lo, hi, built, count)
		}
		if err != nil {
			l.fail(err)
			return errors.Join(err, l.sink.end(err))
		}
		progress(count)
	}
}
