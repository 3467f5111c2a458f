// Command sample makes a synthetic catalogue in the format of the real files.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
	"github.com/hotshelf/hotshelf/etl"
	"github.com/hotshelf/hotshelf/sample"
)

type flags struct {
	Dir      string         `arg:"" help:"Where to write the six CSV files; made where it does not exist."`
	Products count          `help:"How many products to make." default:"1000" placeholder:"N"`
	Seed     uint64         `help:"Another seed gives another catalogue; the same seed always the same." default:"1" placeholder:"S"`
	Edition  sample.Edition `help:"clean, or messy: with every known defect planted." default:"clean" placeholder:"NAME"`

	OnlyIfEmpty bool `help:"Do nothing where the directory has the six files of a catalogue already: for setting up unattended."`
}

// mostProducts is the largest catalogue that sample makes.
const mostProducts = 100_000_000

// count is a number of products.
type count int64

// UnmarshalText reads a number that sample can make.
func (c *count) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 1 || n > mostProducts {
		return fmt.Errorf("%q products can't be made: expected 1 to %d", text, int64(mostProducts))
	}
	*c = count(n)
	return nil
}

func main() {
	cli.Main("sample", "Make a synthetic catalogue, and print as JSON what is in it.", run)
}

func run(ctx context.Context, f flags, io cli.IO) error {
	if f.OnlyIfEmpty && etl.Check(f.Dir) == nil {
		return nil
	}
	summary, err := sample.Write(ctx, sample.Options{Dir: f.Dir, Products: int64(f.Products), Seed: f.Seed, Edition: f.Edition})
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(summary, "", "  ")
	if err != nil {
		return fmt.Errorf("print the summary: %w", err)
	}
	_, err = fmt.Fprintf(io.Stdout, "%s\n", text)
	return err
}
