// Package sample makes a catalogue of any size in the format of the real
// files: the six CSV files that a load reads, in a clean edition or in a messy
// one that has every defect known of the real data. The sample command and the
// server's first run use it; tests use it as an oracle, because it knows what
// it planted.
//
// What must always hold: the same Options give the same bytes on every machine,
// whatever the number of processors; a clean catalogue has no dangling
// reference; a Summary counts exactly what a load must find; memory does not
// grow with the catalogue, but for 48 bytes per 256 products; and a run that
// fails leaves no file behind.
//
// # What the messy edition is
//
// It is the clean catalogue of the same seed and size with defects added.
// Repairs and warnings are planted on the catalogue's own rows and keep their
// meaning (a malformed URL and a stray quote change the field they are in).
// Most rejects are rows of their own, with ids beyond the catalogue's. A few
// of the catalogue's own products and styles are rejected as well, and with
// them their children.
//
// # How defects are counted
//
// A load's report can be held against the Summary kind by kind, under these
// rules.
//
//   - A data line is a line below the header that isn't empty. Each is either
//     loaded or rejected: Rows = loaded + rejected.
//   - A rejected line counts for one kind of reject and for nothing else: its
//     repairs and warnings are not counted. The first reason in this order
//     is the one: line_too_long (over 1 MiB), nul_byte, invalid_utf8, then the
//     number of fields (missing_field, extra_field), then the columns from left
//     to right (bad_id, bad_price, ambiguous_price, bad_default_style,
//     bad_quantity), then duplicate_id, then the references from left to right
//     (orphan, orphan_of_rejected, dangling_related).
//   - A line that is loaded counts once for each kind of repair or warning on
//     it, however often the kind occurs there.
//   - header is counted once for a file whose header has blanks, another case
//     or other names; bom once for a file that begins with a byte-order mark;
//     empty_line for each empty line; crlf for each data line that ends in
//     CRLF. Header and empty lines never do. A missing last line end and a
//     bare null are nothing to repair, nor is a text without quotes.
//   - blank_padding is blanks beside a comma outside quotes, or at either end
//     inside the quotes of a text or URL. price_decoration is "$", blanks or
//     "default_price: " inside a price field; blanks outside its quotes are
//     never planted. thousands_comma is a price such as "1,040.00".
//   - quoted_null is "null" as a feature's value, zero_sale_price a sale price
//     of 0: both are NULL. unclosed_quote is a last field whose quote never
//     closes; stray_quote is single quotes or backslashes inside a text.
//   - missing_field is a repair where features have three fields (the value is
//     NULL) and where styles have five that read id, productId, name, price, 0
//     or 1 (the sale price is NULL); elsewhere it is a reject. extra_field is a
//     repair where an unquoted comma is in styles.name or skus.size and the
//     other columns read as they must; elsewhere it is a reject.
//   - bad_id is an own id, or an id in a reference, that is no positive integer.
//     But 0 in related_product_id is dangling_related (never planted beside
//     another fault), as is a related product that isn't loaded, for whatever
//     reason.
//   - duplicate_id is an id of an earlier row of the file. The earlier row
//     stays.
//   - orphan is a row whose product or style isn't loaded. It is
//     orphan_of_rejected where a rejected line of the parent's file has that id
//     as its first field; this is so for all rejects but bad_id in that field
//     and line_too_long, of which no id is known.
//   - malformed_url is a URL that begins with neither http:// nor https://; it
//     is kept as it is.
package sample

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// Options say what to make.
type Options struct {
	// Dir gets the six files. It is made where it doesn't exist; files of other
	// names in it stay.
	Dir      string
	Products int64 // 1 to 100,000,000
	Seed     uint64
	Edition  Edition
	// Progress, if not nil, is told the number of products written so far. Calls
	// come one after the other, every few hundred products.
	Progress func(products int64)
}

const maxProducts = 100_000_000

// Write makes the catalogue. It refuses to replace one of the six files, and
// leaves nothing behind where it returns an error.
func Write(ctx context.Context, o Options) (*Summary, error) {
	if o.Products < 1 || o.Products > maxProducts {
		return nil, fmt.Errorf("make a sample: %d products: expected 1 to %d", o.Products, maxProducts)
	}
	d, err := openTarget(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("make a sample: %w", err)
	}
	summary, err := write(ctx, o, d.work)
	if err == nil {
		err = d.publish()
	}
	if err != nil {
		return nil, fmt.Errorf("make a sample: %w", errors.Join(err, d.discard()))
	}
	return summary, nil
}

func write(ctx context.Context, o Options, dir string) (_ *Summary, err error) {
	m := maker{seed: o.Seed, count: o.Products, words: newVocabulary(), spreads: newSpreads()}
	if m.layout, err = newLayout(o.Seed, o.Products, m.spreads, ctx.Err); err != nil {
		return nil, err
	}
	if o.Edition == Messy {
		m.fates = newFates(o.Seed, m.layout.total)
	}
	sheets, err := openSheets(dir, o, m.layout.total)
	if err != nil {
		return nil, err
	}
	err = writeChunks(ctx, &m, sheets, o.Progress)
	summary := &Summary{Products: o.Products, Seed: o.Seed, Edition: o.Edition, Files: make(map[string]Planted)}
	for f, s := range sheets {
		if e := s.close(); err == nil {
			err = e
		}
		summary.Files[fileName(f)] = s.planted
	}
	if err != nil {
		return nil, err
	}
	return summary, nil
}

func openSheets(dir string, o Options, total rowCounts) (sheets []*sheet, err error) {
	for f := range numFiles {
		s, err := newSheet(dir, f)
		if err == nil {
			sheets = append(sheets, s)
			if o.Edition == Messy {
				s.plants = newPlanter(o.Seed, f, total)
			}
			err = s.writeHeader(o.Seed)
		}
		if err != nil {
			for _, s := range sheets {
				_ = s.close() // the first error says what is wrong
			}
			return nil, err
		}
	}
	return sheets, nil
}

// job is a chunk in the making; done gets it once.
type job struct {
	index int
	done  chan *chunk
}

// writeChunks makes chunks side by side and writes them in order. At most a
// few are made ahead.
func writeChunks(ctx context.Context, m *maker, sheets []*sheet, progress func(int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	makers := runtime.GOMAXPROCS(0)
	jobs := make(chan job)
	ordered := make(chan job, 2*makers)
	spare := make(chan *chunk, 4*makers)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	running.Go(func() {
		defer close(jobs)
		defer close(ordered)
		for i := range m.layout.before {
			j := job{i, make(chan *chunk, 1)}
			select {
			case ordered <- j:
			case <-ctx.Done():
				return
			}
			jobs <- j // a maker always comes round
		}
	})
	for range makers {
		running.Go(func() {
			own := *m // with its own scratch memory
			for j := range jobs {
				var c *chunk
				select {
				case c = <-spare:
				default:
					c = new(chunk)
				}
				own.make(c, j.index)
				j.done <- c
			}
		})
	}

	for j := range ordered {
		if err := ctx.Err(); err != nil {
			return err
		}
		c := <-j.done
		for f, s := range sheets {
			if err := s.append(c, m.layout.last[f] == j.index); err != nil {
				return err
			}
		}
		spare <- c // has room for all there are
		if progress != nil {
			progress(min(int64(j.index+1)*chunkProducts, m.count))
		}
	}
	return ctx.Err()
}
