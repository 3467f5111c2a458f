package warm

import (
	"context"
	"sync"
	"sync/atomic"

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

// maxListed is how many products that differ are listed one by one, and written
// into the live shelf, at most. Caches tell products apart by 65,536 counters,
// so with more of them most of what is cached has to be looked up again anyway.
const maxListed = 30_000

// Few says whether so little differs that the differences alone are worth
// writing.
func (s Summary) Few() bool {
	differ := s.Changed + s.New + s.Removed
	return differ*fewShare <= s.Built && differ <= maxListed
}

// Lists are the products that differ: Changed has those that are new too. Where
// there are more than maxListed they are not Complete.
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
	// Many is called once, as soon as so many products differ that Lists will
	// not be complete; its error ends the build.
	Many func(ctx context.Context) error
}

// Build builds the blobs of all products and puts those that differ from what
// is live.
func Build(ctx context.Context, s Source, t Target) (Summary, Lists, error) {
	b := &builder{source: &s, target: &t}
	over := differenceExtent
	if t.All {
		over = allExtent
	}
	err := run(ctx, s, over, "shelf", b.open)
	l := &b.lists
	l.Complete = int64(len(l.Changed)) == b.found.Changed+b.found.New && int64(len(l.Removed)) == b.found.Removed &&
		len(l.Changed)+len(l.Removed) <= maxListed
	return b.found, *l, err
}

// builder has what the lanes of a build share.
type builder struct {
	source *Source
	target *Target

	differ atomic.Int64 // products so far

	mu    sync.Mutex
	found Summary
	lists Lists
}

func (b *builder) open(ctx context.Context) (sink, error) {
	w, err := b.target.Writer(ctx)
	if err != nil {
		return nil, err
	}
	return &differences{of: b, writer: w, many: func() error { return b.target.Many(ctx) }}, nil
}

// differences is the sink of one lane of a build.
type differences struct {
	of     *builder
	writer Writer
	many   func() error
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
	if version == d.of.target.Version {
		list(&d.lists.Changed, id)
		if err := d.differs(); err != nil {
			return err
		}
	}
	return d.writer.Put(id, version, hash, d.of.source.Contract, b)
}

func (d *differences) gone(id int64) error {
	d.found.Removed++
	list(&d.lists.Removed, id)
	return d.differs()
}

// differs counts a product that differs, is new or gone.
func (d *differences) differs() error {
	if d.of.differ.Add(1) == maxListed+1 {
		return d.many()
	}
	return nil
}

// list adds ids to a list, as long as there is room for all of them.
func list(to *[]int64, ids ...int64) {
	if len(*to)+len(ids) <= maxListed {
		*to = append(*to, ids...)
	}
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
	b.found.Removed += d.found.Removed
	list(&b.lists.Changed, d.lists.Changed...)
	list(&b.lists.Removed, d.lists.Removed...)
	return err
}
