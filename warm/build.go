package warm

import (
	"context"
	"sync"

	"github.com/hotshelf/hotshelf/blob"
)

// Writer takes the blobs of products that differ from what is live, or of all.
// Abort gives up what all writers have taken.
type Writer interface {
	Put(id, version, hash int64, contract blob.Contract, b *blob.Blobs) error
	Close() error
	Abort()
}

// Summary says what a warm found, in products. Built is the sum of the next
// three.
type Summary struct {
	Built     int64 `json:"built"`
	Unchanged int64 `json:"unchanged"`
	Changed   int64 `json:"changed"` // their blobs differ
	New       int64 `json:"new"`     // were not live
	Removed   int64 `json:"removed"` // were live, and have no rows any more
}

// fewShare is the share of products up to which differences are written into
// the live shelf, as a fraction 1/fewShare. They are written under the write
// lock, about 20,000 a second; a new shelf holds writes up for milliseconds,
// but takes the blobs of all products.
const fewShare = 20

// Few says whether so little differs that the differences alone are worth
// writing.
func (s Summary) Few() bool {
	return (s.Changed+s.New+s.Removed)*fewShare <= s.Built
}

// maxListed is how many products that differ are listed one by one. Caches tell
// products apart by 65,536 counters, so with more of them most of what is cached
// has to be looked up again anyway.
const maxListed = 30_000

// Lists are the products that differ: Changed has those that are new too. Beyond
// maxListed of them, Changed is not Complete.
type Lists struct {
	Changed  []int64
	Removed  []int64
	Complete bool
}

// Target is where Build puts the blobs.
type Target struct {
	Version int64 // for products that are new or differ
	All     bool  // also put those that are as they were, with their version
	Writer  func(ctx context.Context) (Writer, error)
}

// Build builds the blobs of all products and puts those that differ from what
// is live.
func Build(ctx context.Context, s Source, t Target) (Summary, Lists, error) {
	b := &builder{source: &s, target: &t}
	err := run(ctx, s, rangeSize, "shelf", b.open)
	b.found.Removed = int64(len(b.lists.Removed))
	b.lists.Complete = int64(len(b.lists.Changed)) == b.found.Changed+b.found.New
	return b.found, b.lists, err
}

// builder has what the lanes of a build share.
type builder struct {
	source *Source
	target *Target

	mu    sync.Mutex
	found Summary
	lists Lists
}

func (b *builder) open(ctx context.Context) (sink, error) {
	w, err := b.target.Writer(ctx)
	if err != nil {
		return nil, err
	}
	return &differences{of: b, writer: w}, nil
}

// differences is the sink of one lane of a build.
type differences struct {
	of     *builder
	writer Writer
	found  Summary
	lists  Lists
}

func (d *differences) product(id int64, b *blob.Blobs, live Rows) error {
	version, hash := d.of.target.Version, b.Hash()
	d.found.Built++
	switch {
	case live == nil:
		d.found.New++
	case live.Int(2) != hash:
		d.found.Changed++
	default:
		d.found.Unchanged++
		if !d.of.target.All {
			return nil
		}
		version = live.Int(1)
	}
	if version == d.of.target.Version && len(d.lists.Changed) < maxListed {
		d.lists.Changed = append(d.lists.Changed, id)
	}
	return d.writer.Put(id, version, hash, d.of.source.Contract, b)
}

func (d *differences) gone(id int64) error {
	d.lists.Removed = append(d.lists.Removed, id)
	return nil
}

func (d *differences) end(failure error) error {
	if failure != nil {
		d.writer.Abort()
		return nil
	}
	err := d.writer.Close()
	b := d.of
	b.mu.Lock()
	defer b.mu.Unlock()
	b.found.Built += d.found.Built
	b.found.Unchanged += d.found.Unchanged
	b.found.Changed += d.found.Changed
	b.found.New += d.found.New
	b.lists.Removed = append(b.lists.Removed, d.lists.Removed...)
	if len(b.lists.Changed)+len(d.lists.Changed) <= maxListed {
		b.lists.Changed = append(b.lists.Changed, d.lists.Changed...)
	}
	return err
}
