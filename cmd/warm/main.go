// Command warm builds every product's responses and publishes them, together
// with the rows of a load that waits.
package main

import (
	"context"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

type flags struct {
	cli.Database
	Contract contract `help:"Shape the responses for the storefronts of this family: pulsar or atelier. Empty keeps the catalogue's, pulsar at first." placeholder:"NAME"`
	Quiet    bool     `help:"No progress and no summary."`
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
	db, closeDB, err := f.Open(ctx, "warm", say, warn)
	if err != nil {
		return err
	}
	defer closeDB()
	return cli.Warm(ctx, db, cli.WarmJob{Contract: string(f.Contract), Quiet: f.Quiet}, io)
}
