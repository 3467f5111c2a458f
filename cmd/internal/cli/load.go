package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/etl"
	"github.com/hotshelf/hotshelf/store"
)

// LoadJob says what to load and what to leave behind.
type LoadJob struct {
	Dir        string
	Source     string // "sample" or "import"
	DataDir    string // of the private PostgreSQL; "" where the database is another
	Rejects    string // path of the reject file; "" for none
	Report     string // path of the JSON report; "" for none
	MaxRejects etl.Limit
	Quiet      bool
}

// tableFiles names the file that each table is filled from.
var tableFiles = map[string]string{
	"products": "product.csv", "features": "features.csv", "styles": "styles.csv",
	"related": "related.csv", "photos": "photos.csv", "skus": "skus.csv",
}

// Load fills catalog_next from the six files of a directory and prints the
// account. Nothing that is live changes.
func Load(ctx context.Context, db *store.DB, job LoadJob, io IO) error {
	// BeginLoad drops what an earlier load left, so what can be known to fail
	// fails before.
	need, err := roomForLoad(job.Dir)
	if err != nil {
		return err
	}
	for _, path := range []string{job.Rejects, job.Report} {
		if err := errors.Join(writable(path), noInput(path, job.Dir)); err != nil {
			return err
		}
	}
	load, err := db.BeginLoad(ctx, func(givenBack int64) error {
		if job.DataDir != "" {
			return checkRoom("the load", job.DataDir, need, givenBack)
		}
		if !job.Quiet {
			fmt.Fprintf(io.Stderr, "this takes about %s of disk where the database is, besides its write-ahead log\n", size(need))
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer load.Close()

	progress := NewProgress(io.Stderr, job.Quiet)
	bars := make(map[string]*Bar)
	report, err := etl.Run(ctx, etl.Options{
		Dir:        job.Dir,
		Open:       func(ctx context.Context, table string) (etl.Writer, error) { return load.Table(ctx, table) },
		Rejects:    job.Rejects,
		MaxRejects: job.MaxRejects,
		Progress: func(p etl.Progress) {
			for _, f := range p.Files {
				if f.Bytes == 0 {
					continue
				}
				if bars[f.File] == nil {
					bars[f.File] = progress.Bar(f.File, f.Size, "bytes")
				}
				bars[f.File].Set(f.Bytes)
			}
		},
	})
	progress.Close()
	// What a load has counted that was interrupted, or lost its database, says
	// nothing about the files.
	if report != nil && ctx.Err() == nil && !errors.Is(err, blob.ErrUnavailable) {
		if err := writeReport(job, report, io); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if !job.Quiet {
		fmt.Fprintln(io.Stderr, "adding keys, indexes and statistics")
	}
	counts := make(map[string]int64)
	for table, file := range tableFiles {
		counts[table] = report.Files[file].Loaded
	}
	return load.Finish(ctx, job.Source, counts)
}

// writable fails where a file that is written later can't be. It leaves what
// is there as it is.
func writable(path string) error {
	if path == "" {
		return nil
	}
	_, missing := os.Lstat(path)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if missing != nil {
		_ = os.Remove(path)
	}
	return f.Close()
}

// noInput fails where a file that is written later is one of those that are
// read from dir.
func noInput(path, dir string) error {
	out, err := os.Stat(path)
	if err != nil {
		return nil //nolint:nilerr // a file that isn't there is none of those
	}
	for _, name := range tableFiles {
		for _, suffix := range []string{"", ".gz"} {
			if in, err := os.Stat(filepath.Join(dir, name+suffix)); err == nil && os.SameFile(in, out) {
				return fmt.Errorf("%s is one of the files to load: choose another for what is written", path)
			}
		}
	}
	return nil
}

func writeReport(job LoadJob, report *etl.Report, io IO) error {
	if !job.Quiet {
		if err := report.WriteTable(io.Stdout); err != nil {
			return fmt.Errorf("print the report: %w", err)
		}
	}
	return keepReport(job.Report, report)
}

// keepReport writes a report as JSON; nothing where path is "".
func keepReport(path string, report any) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
