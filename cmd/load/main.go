// Command load reads the six CSV files of a catalogue into rows that warm can
// publish. Nothing that is live changes.
package main

import (
	"context"
	"fmt"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
	"github.com/hotshelf/hotshelf/etl"
)

type flags struct {
	Dir string `arg:"" help:"The directory with product.csv, features.csv, styles.csv, related.csv, photos.csv and skus.csv, each possibly gzipped (.csv.gz)."`
	cli.Database
	Rejects    string    `help:"Where to write the lines that could not be loaded, with their file, line number and reason." default:"rejects.csv" placeholder:"FILE"`
	Report     string    `help:"Where to write the account of every file as JSON." placeholder:"FILE"`
	MaxRejects etl.Limit `help:"How many lines may be rejected before the load fails: a number, or a percentage such as 0.5%." placeholder:"LIMIT"`
	Quiet      bool      `help:"No progress and no table."`

	OnlyIfEmpty bool `help:"Do nothing where a catalogue is live or a load waits: for setting a database up unattended."`
}

func main() {
	cli.Main("load", "Load the CSV files of a catalogue. Run warm afterwards to publish it.", run)
}

func run(ctx context.Context, f flags, io cli.IO) error {
	// A directory that can't be loaded needs no database to say so; one that may
	// not be needed can be missing.
	if !f.OnlyIfEmpty {
		if err := etl.Check(f.Dir); err != nil {
			return err
		}
	}
	say, warn := cli.Lines(io, f.Quiet)
	db, closeDB, err := f.Open(ctx, "load", 0, say, warn)
	if err != nil {
		return err
	}
	defer closeDB()
	if f.OnlyIfEmpty {
		empty, err := cli.Empty(ctx, db)
		if err != nil || !empty {
			return err
		}
	}
	job := cli.LoadJob{
		Dir: f.Dir, Source: "import", Rejects: f.Rejects, Report: f.Report, MaxRejects: f.MaxRejects, Quiet: f.Quiet,
	}
	if f.Embedded() {
		job.DataDir = f.DataDir
	}
	err = cli.Load(ctx, db, job, io)
	if err == nil && !f.Quiet {
		fmt.Fprintln(io.Stdout, "loaded, and not live yet: run warm to publish it")
	}
	return err
}
