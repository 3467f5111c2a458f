// Command warm builds every product's responses and publishes them, together
// with the rows of a load that waits.
package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

type flags struct {
	cli.Database
	Contract contract `help:"Shape the responses for the storefronts of this family: pulsar or atelier. Empty keeps the catalogue's, pulsar at first." placeholder:"NAME"`
	Products []int64  `help:"Rebuild just these live products, such as 1,2,3; a load that waits goes on waiting." placeholder:"ID,..."`
	Full     bool     `help:"Make a new shelf with every product, however little differs."`
	Verify   bool     `help:"Build everything and compare it with what is live, without writing; print each difference."`

	cli.Guard
	Accept        bool `help:"Publish an import although it goes beyond --max-gone or --max-moved."`
	DiscardWrites bool `help:"Publish an import although it takes back what was written through the API since the last one."`

	Report string `help:"Where to write what was done, as JSON." placeholder:"FILE"`
	Quiet  bool   `help:"No progress and no summary."`

	OnlyIfEmpty bool `help:"Do nothing where a catalogue is live already: for setting a database up unattended."`
}

// Validate is called by kong: what does not go together is a wrong command line.
func (f flags) Validate() error {
	publishes := f.Contract != "" || f.Full || f.Accept || f.DiscardWrites
	switch {
	case f.OnlyIfEmpty && (f.Verify || len(f.Products) > 0):
		return errors.New("--only-if-empty is for the first warm: it goes with neither --verify nor --products")
	case f.Verify && (publishes || len(f.Products) > 0):
		return errors.New("--verify changes nothing: it goes with --report and --quiet only")
	case len(f.Products) > 0 && publishes:
		return errors.New("--products rebuilds products that are live, in the catalogue's contract: it goes with --report and --quiet only")
	}
	for _, id := range f.Products {
		if id < 1 {
			return fmt.Errorf("--products: %d is no product id: expected whole numbers from 1 on", id)
		}
	}
	return nil
}

// contract is a contract's name, or empty.
type contract string

// UnmarshalText reads a name that blob knows.
func (c *contract) UnmarshalText(text []byte) error {
	if len(text) > 0 {
		if _, err := blob.ParseContract(string(text)); err != nil {
			return err
		}
	}
	*c = contract(text)
	return nil
}

func main() { cli.Main("warm", "Build the responses of all products and publish them.", run) }

func run(ctx context.Context, f flags, io cli.IO) error {
	say, warn := cli.Lines(io, f.Quiet)
	db, closeDB, err := f.Open(ctx, "warm", 0, say, warn)
	if err != nil {
		return err
	}
	defer closeDB()
	if f.OnlyIfEmpty {
		published, err := cli.Published(ctx, db)
		if err != nil || published {
			return err
		}
	}
	// Not before: a PostgreSQL that was started for this goes on for others.
	giveWay()
	if f.Full {
		// A third of one processor builds faster than the database's COPY takes
		// it. To hand rows over between more would take a tenth of its time.
		runtime.GOMAXPROCS(1)
	}
	if f.Verify {
		return cli.Verify(ctx, db, cli.VerifyJob{Report: f.Report, Quiet: f.Quiet}, io)
	}
	job := cli.WarmJob{
		Contract: string(f.Contract), Full: f.Full, Products: f.Products,
		Guard: f.Guard, Accept: f.Accept, DiscardWrites: f.DiscardWrites,
		Report: f.Report, Quiet: f.Quiet,
	}
	if f.Embedded() {
		job.DataDir = f.DataDir
	}
	return cli.Warm(ctx, db, job, io)
}
