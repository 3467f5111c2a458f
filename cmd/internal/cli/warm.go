package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/store"
	"github.com/hotshelf/hotshelf/warm"
)

var errNothingLoaded = errors.New("there is nothing to warm: run load first")

// WarmJob says how to build the shelf.
type WarmJob struct {
	Contract string // "" keeps the catalogue's
	Quiet    bool
}

// Warm builds the blobs of the load that waits, else of the live rows, and
// publishes rows and blobs together.
func Warm(ctx context.Context, db *store.DB, job WarmJob, io IO) error {
	// A database that was never loaded is left as it is.
	if _, err := db.State(ctx); errors.Is(err, blob.ErrNotReady) {
		return errNothingLoaded
	}
	w, err := db.BeginWarm(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	contract := w.State.Contract
	if job.Contract != "" {
		if contract, err = blob.ParseContract(job.Contract); err != nil {
			return err
		}
	}
	progress := NewProgress(io.Stderr, job.Quiet)
	bar := progress.Bar("warm", w.Products, "products")
	summary, err := warm.Build(ctx, warm.Job{
		Contract:  contract,
		Version:   w.Version,
		Live:      w.Live,
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
		Writer:   func(ctx context.Context) (warm.Writer, error) { return w.Writer(ctx) },
		Progress: bar.Set,
	})
	progress.Close()
	if err != nil {
		return err
	}
	generation, err := w.Publish(ctx, contract, summary.Built)
	if err != nil {
		return err
	}
	if !job.Quiet {
		fmt.Fprintf(io.Stdout, "generation %d is live (%s): %d products built, %d unchanged, %d changed or new, %d removed\n",
			generation, contract, summary.Built, summary.Unchanged, summary.Changed, summary.Removed)
	}
	return nil
}
