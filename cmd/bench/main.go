// Command bench measures hotshelf against what a reader can check it with, such
// as psql's \copy, side by side in one run, and keeps the figures: a JSON file
// per suite, and a page made of all of them.
//
// What must always hold: both sides of a ratio come from the same run on the
// same machine, in turn; both do the same work, which is checked; and what
// could not be measured is named, never guessed.
package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

type flags struct {
	Load      loadSuite      `cmd:"" help:"Load a clean and a messy catalogue; time against psql's copy, memory."`
	Warm      warmSuite      `cmd:"" help:"Build all blobs; time against psql's copy of them, memory, a server beside it."`
	Hit       hitSuite       `cmd:"" help:"CPU per cached answer against a bare fasthttp handler and nginx; latency."`
	Miss      missSuite      `cmd:"" help:"Look-ups a second against pgbench's, CPU per miss, database time."`
	Ramp      rampSuite      `cmd:"" help:"Latency and errors at 1 to 1,000 requests a second, per route."`
	Box       boxSuite       `cmd:"" help:"Server and PostgreSQL confined to 1 CPU and 1 GiB by a control group."`
	Scale     scaleSuite     `cmd:"" help:"Hit, miss, list and memory at three sizes of the catalogue."`
	Write     writeSuite     `cmd:"" help:"Writes a second against the bare transaction."`
	Coherence coherenceSuite `cmd:"" help:"From a write's answer to its sight on another node, with and without NOTIFY."`
	Publish   publishSuite   `cmd:"" help:"Latency of reads while a warm builds, and while it goes live."`
	Results   resultsPage    `cmd:"" help:"Make the page of results anew from the figures that are kept."`
	Bare      bareServer     `cmd:"" hidden:""`
}

func main() {
	cli.Main("bench", "Measure hotshelf side by side with something to compare it to.", run)
}

func run(ctx context.Context, f flags, io cli.IO) error {
	switch {
	case f.Load.chosen:
		return keep(ctx, &f.Load, f.Load.Out, io)
	case f.Warm.chosen:
		return keep(ctx, &f.Warm, f.Warm.Out, io)
	case f.Hit.chosen:
		return keep(ctx, &f.Hit, f.Hit.Out, io)
	case f.Miss.chosen:
		return keep(ctx, &f.Miss, f.Miss.Out, io)
	case f.Ramp.chosen:
		return keep(ctx, &f.Ramp, f.Ramp.Out, io)
	case f.Box.chosen:
		return keep(ctx, &f.Box, f.Box.Out, io)
	case f.Scale.chosen:
		return keep(ctx, &f.Scale, f.Scale.Out, io)
	case f.Write.chosen:
		return keep(ctx, &f.Write, f.Write.Out, io)
	case f.Coherence.chosen:
		return keep(ctx, &f.Coherence, f.Coherence.Out, io)
	case f.Publish.chosen:
		return keep(ctx, &f.Publish, f.Publish.Out, io)
	case f.Bare.chosen:
		return f.Bare.run(ctx, io)
	case f.Results.chosen:
		return writeResults(f.Results.Dir)
	}
	return errors.New("which suite? see --help")
}

// suite is a set of measurements that belong together.
type suite interface {
	measure(ctx context.Context, io cli.IO) (*Figures, error)
}

// keep runs a suite, prints its tables and keeps its figures in the file out,
// and in the page of results beside it.
func keep(ctx context.Context, s suite, out string, io cli.IO) error {
	if err := checkOut(out); err != nil {
		return err
	}
	f, err := s.measure(ctx, io)
	if err != nil {
		return err
	}
	if err := f.write(out); err != nil {
		return err
	}
	if err := f.print(io.Stdout); err != nil {
		return fmt.Errorf("print the figures: %w", err)
	}
	return writeResultsBeside(out)
}
