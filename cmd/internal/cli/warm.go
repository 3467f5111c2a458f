package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/store"
	"github.com/hotshelf/hotshelf/warm"
)

// WarmJob says how to build the shelf.
type WarmJob struct {
	Contract string // "" keeps the catalogue's
	Full     bool   // a new shelf with every product, however little differs
	// Products are rebuilt in place, and nothing else is done. Empty: all.
	Products []int64

	// What an import may do without being asked about: see Guard.
	Guard         Guard
	Accept        bool // let the import do more than Guard allows
	DiscardWrites bool // let the import take writes back

	Report  string // path of the JSON report; "" for none
	DataDir string // of the private PostgreSQL; "" for a given database
	Quiet   bool
}

// WarmReport is what a warm says it did, as JSON.
type WarmReport struct {
	Generation int64  `json:"generation"`
	Contract   string `json:"contract"`
	// Published is "a new shelf", "differences" or "nothing".
	Published string        `json:"published"`
	Found     warm.Summary  `json:"found"`
	Rebuilt   store.Rebuilt `json:"rebuilt"` // under the write lock: asked for, or written meanwhile
	Impact    *store.Impact `json:"impact,omitempty"`
	Seconds   float64       `json:"seconds"`
}

// Warm builds the blobs of the load that waits, else of the live rows, and
// publishes what differs, together with the rows of the load.
func Warm(ctx context.Context, db *store.DB, job WarmJob, io IO) error {
	if err := writable(job.Report); err != nil {
		return err
	}
	// A database that was never loaded is left as it is.
	if _, err := db.State(ctx); errors.Is(err, blob.ErrNotReady) {
		return errNothingLoaded
	}
	begin := db.BeginWarm
	if len(job.Products) > 0 {
		begin = db.BeginRebuild
	}
	w, err := begin(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	r := &warmRun{job: job, warm: w, io: io, began: time.Now()}
	if r.contract, err = contractOf(job.Contract, w.State); err != nil {
		return err
	}
	if len(job.Products) > 0 {
		err = r.publish(ctx, store.Publication{Rebuild: job.Products})
	} else {
		err = r.all(ctx)
	}
	if err != nil {
		return err
	}
	return r.tell()
}

var errNothingLoaded = errors.New("there is nothing to warm: run load first")

func contractOf(name string, s store.State) (blob.Contract, error) {
	if name == "" {
		return s.Contract, nil
	}
	return blob.ParseContract(name)
}

// warmRun is one warm under way.
type warmRun struct {
	job      WarmJob
	warm     *store.Warm
	contract blob.Contract
	io       IO
	began    time.Time
	report   WarmReport
}

// all builds every product.
func (r *warmRun) all(ctx context.Context) error {
	if err := r.refuseWritten(ctx); err != nil {
		return err
	}
	if err := r.guardEarly(ctx); err != nil {
		r.tellImpact()
		return err
	}
	// What is in a shelf is in one contract, and a first one has nothing to
	// differ from.
	all := r.job.Full || r.contract != r.warm.State.Contract || r.warm.State.Generation == 0
	if all {
		if err := r.room(ctx, 1); err != nil {
			return err
		}
	}
	progress := NewProgress(r.io.Stderr, r.job.Quiet)
	source := warmSource(r.warm, r.contract, progress.Bar("warm", r.warm.Products, "products"))
	found, lists, err := warm.Build(ctx, source, warm.Target{
		Version: r.warm.Version,
		All:     all,
		Writer:  func(ctx context.Context) (warm.Writer, error) { return r.warm.Writer(ctx) },
		Many:    func(ctx context.Context) error { return r.guard(ctx, r.warm.Impact) },
	})
	if err == nil && lists.Complete {
		err = r.guard(ctx, func(ctx context.Context) (store.Impact, error) {
			return r.warm.ImpactOf(ctx, slices.Concat(lists.Changed, lists.Removed))
		})
	}
	progress.Close()
	r.tellImpact()
	if err != nil {
		return err
	}
	r.report.Found = found
	whole := all || !found.Few()
	if whole && !all {
		if err := r.room(ctx, float64(found.Unchanged)/float64(max(found.Built, 1))); err != nil {
			return err
		}
	}
	p := store.Publication{
		Whole:         whole,
		Put:           found.New + found.Changed,
		Changed:       lists.Changed,
		Removed:       lists.Removed,
		Everything:    !lists.Complete || r.warm.State.Generation == 0,
		DiscardWrites: r.job.DiscardWrites,
	}
	if all {
		p.Put = found.Built
	}
	return r.publish(ctx, p)
}

// room fails where the private database's disk has no room for a share of a new
// shelf; of another database it says how much that is.
func (r *warmRun) room(ctx context.Context, share float64) error {
	shelf, err := r.warm.ShelfSize(ctx)
	if err != nil {
		return err
	}
	need := roomForShelf(shelf, share)
	if r.job.DataDir != "" {
		return checkRoom("the new shelf", r.job.DataDir, need, 0)
	}
	if !r.job.Quiet {
		need += min(need, keptLog)
		fmt.Fprintf(r.io.Stderr, "this takes about %s of disk where the database is, its write-ahead log included\n", size(need))
	}
	return nil
}

func (r *warmRun) publish(ctx context.Context, p store.Publication) error {
	p.Contract = r.contract
	done, err := r.warm.Publish(ctx, p)
	if errors.Is(err, store.ErrWritten) {
		return fmt.Errorf("%w; --discard-writes says that this is meant", err)
	}
	if err != nil {
		return err
	}
	r.report.Generation, r.report.Contract, r.report.Rebuilt = done.Generation, r.contract.String(), done.Rebuilt
	switch {
	case p.Whole:
		r.report.Published = "a new shelf"
	case done.Differs:
		r.report.Published = "differences"
	default:
		r.report.Published = "nothing"
	}
	return nil
}

// tell says what was done.
func (r *warmRun) tell() error {
	r.report.Seconds = time.Since(r.began).Seconds()
	if !r.job.Quiet {
		fmt.Fprintln(r.io.Stdout, r.report.String())
	}
	return keepReport(r.job.Report, r.report)
}

// String is the summary for people.
func (r *WarmReport) String() string {
	var b strings.Builder
	switch r.Published {
	case "a new shelf":
		fmt.Fprintf(&b, "generation %d is live (%s)", r.Generation, r.Contract)
	case "differences":
		fmt.Fprintf(&b, "the differences are live (%s)", r.Contract)
	default:
		fmt.Fprintf(&b, "nothing differs from what is live (%s)", r.Contract)
	}
	if f := r.Found; f != (warm.Summary{}) {
		fmt.Fprintf(&b, ": %d products built, %d unchanged, %d changed, %d new, %d removed", f.Built, f.Unchanged, f.Changed, f.New, f.Removed)
	}
	if n := r.Rebuilt; n != (store.Rebuilt{}) {
		fmt.Fprintf(&b, "; %d rebuilt at the end, %d unchanged, %d changed or new, %d removed", n.Built, n.Unchanged, n.Changed, n.Removed)
		if n.Unknown > 0 {
			fmt.Fprintf(&b, ", %d unknown", n.Unknown)
		}
	}
	return b.String()
}

// warmSource makes a store's warm a source of products.
func warmSource(w *store.Warm, contract blob.Contract, bar *Bar) warm.Source {
	return warm.Source{
		Contract:  contract,
		NextRange: w.NextRange,
		Reader: func(ctx context.Context) (warm.Reader, error) {
			r, err := w.Reader(ctx)
			if err != nil {
				return warm.Reader{}, err
			}
			rows := func(ctx context.Context, stream string, lo, hi int64) (warm.Rows, error) {
				return r.Rows(ctx, stream, lo, hi)
			}
			return warm.Reader{Rows: rows, Close: r.Close}, nil
		},
		Progress: bar.Set,
	}
}
