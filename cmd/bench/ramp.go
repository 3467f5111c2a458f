package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

type rampSuite struct {
	kept
	Products int64         `help:"How many products the catalogue has." default:"1000000" placeholder:"N"`
	Phase    time.Duration `help:"How long each rate is held." default:"30s" placeholder:"TIME"`
	Out      string        `help:"Where to keep the figures." default:"bench/ramp.json" type:"path" placeholder:"FILE"`
}

// AfterApply is called by kong where the command line names this suite.
func (s *rampSuite) AfterApply() error {
	s.choose()
	if s.Products < 1 || s.Phase < time.Second {
		return errors.New("--products must be at least 1, --phase at least a second")
	}
	return nil
}

// rampRates are the requests a second of the phases, and the test that the
// former service was held to.
var rampRates = []float64{1, 10, 100, 200, 1000}

const rampMost = 2 * time.Second // of any answer

var rampColumns = append([]Column{{columnRate, "requests/s", Rate}}, latencyColumns...)

func (s *rampSuite) measure(ctx context.Context, io cli.IO) (*Figures, error) {
	f := &Figures{Suite: "ramp", Title: "Ramp: latency from 1 to 1,000 requests a second", Columns: rampColumns,
		Command: fmt.Sprintf("go run ./cmd/bench ramp --products %d --phase %v", s.Products, s.Phase)}
	return s.serve(ctx, io, f, float64(len(rampRates)*len(routes))*s.Phase.Seconds(), func(ctx context.Context, b *serving) error {
		db, err := b.catalogue(ctx, s.Products)
		if err != nil {
			return err
		}
		server, err := b.server(ctx, b.servers, "--database-url", db.server.URL())
		if err != nil {
			return err
		}
		b.atEnd(server.stop)
		if err := errors.Join(b.stayAside(ctx), db.pin(b.servers)); err != nil {
			return err
		}
		random := source(4)
		for _, r := range routes {
			next := r.of(s.Products, uniform(random))
			for _, rate := range rampRates {
				// No more than are used: a server closes those that say nothing at first.
				client, err := dial(server.addr, min(connections, int(rate)))
				if err != nil {
					return err
				}
				o, err := client.run(ctx, plan{rate: rate, duration: s.Phase, next: next, inTurn: true})
				client.close()
				if err != nil {
					return err
				}
				s.phase(b, fmt.Sprintf("%s at %s/s", r, grouped(int64(rate))), o)
			}
		}
		b.note("Open loop: requests fall due at equal distances, and latencies count from then. Ids and pages are drawn at random from "+
			"all, so that most were not asked for before. Up to %d connections; server and PostgreSQL on one CPU, the load generator on another.", connections)
		b.note("The test that the former service was held to: below 2 s and below 1 %% errors. An error is any answer but a 200, or none " +
			"within 10 s of the end of the phase.")
		return nil
	})
}

func (s *rampSuite) phase(b *serving, name string, o *outcome) {
	values := o.values()
	b.f.Runs = append(b.f.Runs, Run{name, 0, values})
	b.f.Latencies = append(b.f.Latencies, curve(name, o.latencies))
	b.f.bound(name, columnMax, rampMost.Seconds())
	b.f.bound(name, columnErrors, 1) // stricter than 1 %, and the same for every rate
	b.say("%s: p99 %.2f ms, %d errors", name, values[columnP99]*1e3, o.errors)
	if o.errors > 0 {
		b.note("%s, the first error: %s", name, o.first)
	}
}

// zipfOf is a mix of all routes whose ids follow Zipf's law.
func zipfOf(products int64) requestMaker {
	random := source(5)
	return mix(products, random, zipf(random, products))
}

// uniformOf is a mix of all routes whose ids are drawn evenly.
func uniformOf(products int64) requestMaker {
	random := source(6)
	return mix(products, random, uniform(random))
}
