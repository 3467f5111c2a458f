// Package etl is the CSV side of a load: it reads the six files of a catalogue,
// repairs or rejects every line that is not as it should be, hands clean rows to
// a Writer per table, and keeps the account of what happened to each line.
//
// The load command uses it and connects its Writers to the database. What must
// always hold: a record never spans lines, so one bad line costs one line; for
// every file, rows loaded plus lines rejected is the number of data lines read;
// and memory does not grow with the files, beyond the sets of ids.
package etl

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hotshelf/hotshelf/blob"
)

// Writer takes the rows of one table: for each row a value per column, in the
// table's order, then EndRow. It ends with exactly one call of Close, which
// returns the number of rows that the table took, or of Abort.
//
//	products  Int id, Text name, Text slogan, Text description, Text category, Price default_price
//	features  Int id, Int product_id, Text feature, Text or Null value
//	styles    Int id, Int product_id, Text name, Price or Null sale_price, Price original_price, Bool default_style
//	related   Int id, Int product_id, Int related_id
//	photos    Int id, Int style_id, Text url, Text thumbnail_url
//	skus      Int id, Int style_id, Text size, Int quantity (fits 32 bits)
//
// The bytes given to Text are valid UTF-8 without NUL, and only valid during
// the call.
type Writer interface {
	Int(int64)
	Text([]byte)
	Null()
	Price(blob.Price)
	Bool(bool)
	EndRow() error
	Close() (rows int64, err error)
	Abort()
}

// Options say what to load and where to.
type Options struct {
	// Dir holds the six files.
	Dir string
	// Open is called once for each table, when its file is about to be read:
	// products, then features, styles and related side by side, then photos
	// and skus as soon as the styles are complete. The Writers of up to four
	// tables are in use at a time, each by one goroutine.
	Open func(ctx context.Context, table string) (Writer, error)
	// Rejects is the path of the reject file; "" writes none. An existing file
	// is replaced.
	Rejects string
	// MaxRejects is how many rejected lines make the load fail.
	MaxRejects Limit
	// Progress, where given, is called a few times per second and once at the
	// end, never twice at the same time.
	Progress func(Progress)
}

// Run loads the six files. It changes nothing, and opens no Writer, unless
// Check passes and the reject file can be written.
//
// The report is nil only where Run stopped before it read a line. With an
// error it tells how far the load came; then the tables are not to be used,
// also where some Writers were closed already.
func Run(ctx context.Context, o Options) (*Report, error) {
	inputs, err := survey(o.Dir)
	if err != nil {
		return nil, err
	}
	rejects, err := createRejects(o.Rejects)
	if err != nil {
		return nil, err
	}
	r := newRun(o, inputs, rejects)
	stop := r.progress.start(o.Progress)
	err = r.load(ctx)
	stop()
	if e := rejects.close(); err == nil {
		err = e
	}
	report := r.report()
	if err == nil {
		err = report.check()
	}
	if err == nil {
		err = o.MaxRejects.check(report.Total.Rejected, report.Total.LinesRead)
	}
	return report, err
}

// run is one load under way.
type run struct {
	options  Options
	rejects  *rejectFile
	rejected atomic.Int64 // in all files
	progress *progress
	loaders  map[string]*loader // by table
}

func newRun(o Options, inputs map[string]*input, rejects *rejectFile) *run {
	tables := catalogue()
	r := &run{options: o, rejects: rejects, progress: newProgress(tables), loaders: map[string]*loader{}}
	for i, t := range tables {
		l := newLoader(r, t, &r.progress.files[i])
		l.input = inputs[t.name]
		l.progress.size = l.input.size
		r.loaders[t.name] = l
	}
	products, styles := r.loaders["products"], r.loaders["styles"]
	products.failed = newIDSet()
	styles.failed = newIDSet()
	for _, child := range []string{"features", "styles", "related"} {
		r.loaders[child].parent = products
	}
	for _, child := range []string{"photos", "skus"} {
		r.loaders[child].parent = styles
	}
	return r
}

// load reads parents before what depends on them. A child is only ever started
// behind its parent, so the parent's id sets no longer change.
func (r *run) load(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	start := func(table string, then func()) {
		group.Go(func() error {
			l := r.loaders[table]
			if err := l.load(ctx); err != nil {
				return fmt.Errorf("%s: %w", l.where(), err)
			}
			then()
			return nil
		})
	}
	none := func() {}
	start("products", func() {
		start("styles", func() {
			start("photos", none)
			start("skus", none)
		})
		start("features", none)
		start("related", none)
	})
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("the load was stopped: %w", err)
	}
	return err
}

// countReject stops the load where a fixed number of rejects is passed; a
// percentage can only be judged at the end.
func (r *run) countReject() error {
	return r.options.MaxRejects.checkCount(r.rejected.Add(1))
}
