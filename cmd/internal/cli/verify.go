package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/store"
	"github.com/hotshelf/hotshelf/warm"
)

// VerifyJob says how to check the shelf.
type VerifyJob struct {
	Report string // path of the JSON report; "" for none
	Quiet  bool
}

// VerifyReport is what a verification says it found, as JSON.
type VerifyReport struct {
	Compared    int64             `json:"compared"` // products
	Differ      int64             `json:"differ"`   // of them
	Differences []warm.Difference `json:"differences"`
	Seconds     float64           `json:"seconds"`
}

// maxDifferences bounds what is printed and kept of a shelf that is wrong
// throughout.
const maxDifferences = 1000

// Verify builds every live product's blobs from its rows and compares them
// with those that are stored. It writes nothing, and fails where one differs.
func Verify(ctx context.Context, db *store.DB, job VerifyJob, io IO) error {
	if err := writable(job.Report); err != nil {
		return err
	}
	if _, err := db.State(ctx); errors.Is(err, blob.ErrNotReady) {
		return errNothingLoaded
	}
	w, err := db.BeginVerify(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	began := time.Now()
	report := VerifyReport{Differences: []warm.Difference{}}
	told := 0
	progress := NewProgress(io.Stderr, job.Quiet)
	source := warmSource(w, w.State.Contract, progress.Bar("verify", w.Products, "products"))
	report.Compared, report.Differ, err = warm.Verify(ctx, source, func(d warm.Difference) {
		if told++; told > maxDifferences {
			return
		}
		report.Differences = append(report.Differences, d)
		fmt.Fprintln(io.Stdout, d)
	})
	progress.Close()
	if err != nil {
		return err
	}
	report.Seconds = time.Since(began).Seconds()
	if err := keepReport(job.Report, report); err != nil {
		return err
	}
	if report.Differ > 0 {
		return fmt.Errorf("%d of %d products are not as their rows give them; warm --products=%s rebuilds them",
			report.Differ, report.Compared, differing(report.Differences))
	}
	if !job.Quiet {
		fmt.Fprintf(io.Stdout, "%d products compared, all are as their rows give them\n", report.Compared)
	}
	return nil
}

// differing lists the first products that differ, for a command line.
func differing(all []warm.Difference) string {
	const most = 20
	var ids []string
	for _, d := range all {
		id := strconv.FormatInt(d.Product, 10)
		if slices.Contains(ids, id) {
			continue
		}
		if ids = append(ids, id); len(ids) == most {
			return strings.Join(ids, ",") + ",…"
		}
	}
	return strings.Join(ids, ",")
}
