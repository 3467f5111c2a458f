package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

type publishSuite struct {
	places
	Products int64  `help:"How many products the catalogue has." default:"100000" placeholder:"N"`
	Rounds   int    `help:"How many publishes there are of each kind." default:"10" placeholder:"N"`
	Out      string `help:"Where to keep the figures." default:"bench/publish.json" type:"path" placeholder:"FILE"`

	slice time.Duration `kong:"-"` // how finely the time around a publish is told apart
}

// AfterApply is called by kong where the command line names this suite.
func (s *publishSuite) AfterApply() error {
	s.choose()
	s.slice = 500 * time.Millisecond
	if s.Products < 1 || s.Rounds < 1 {
		return errors.New("--products and --rounds must be at least 1")
	}
	return nil
}

const (
	publishRate = 1000 // reads a second
	// publishToBeside is the target: p99.9 around the publish ÷ beside the same
	// warm while it builds.
	publishToBeside = 2.0
	columnAround    = "slices" // how many slices a row has
)

// publishKinds are the ways to publish, as what changes and how warm is called.
var publishKinds = []struct {
	name string
	sql  string
	args func(round int) []string
}{
	{"differences of 1 %", `update catalog.products set default_price = default_price + 1 where id % 100 = 0`, func(int) []string { return nil }},
	{"a new shelf, nothing differs", "", func(int) []string { return []string{"--full"} }},
	{"a new shelf, all differs", "", func(round int) []string {
		return []string{"--contract", []string{"atelier", "pulsar"}[round%2]}
	}},
}

const selectPublished = `select extract(epoch from published_at)::text from hotshelf.catalogue`

func (s *publishSuite) measure(ctx context.Context, io cli.IO) (*Figures, error) {
	f := &Figures{
		Suite: "publish", Title: "Publish: reads while a warm goes live", Columns: append([]Column{{columnAround, "slices", Count}}, latencyColumns...),
		Command: fmt.Sprintf("go run ./cmd/bench publish --products %d --rounds %d", s.Products, s.Rounds),
	}
	planned := float64(len(publishKinds)*s.Rounds)*float64(s.Products)/8000 + 20*s.slice.Seconds()
	return s.serve(ctx, io, f, planned, func(ctx context.Context, b *serving) error {
		db, err := b.catalogue(ctx, s.Products)
		if err != nil {
			return err
		}
		if _, err := build(ctx, "warm", b.programs); err != nil {
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
		c, err := dial(server.addr, connections)
		if err != nil {
			return err
		}
		defer c.close()
		random := source(5)
		w := &publishWatch{db: db, client: c, plan: plan{rate: publishRate, duration: s.slice, next: mix(s.Products, random, zipf(random, s.Products))}}
		return s.rounds(ctx, b, w)
	})
}

func (s *publishSuite) rounds(ctx context.Context, b *serving, w *publishWatch) error {
	if err := w.wake(ctx); err != nil {
		return err
	}
	alone := new(stretch)
	for range 20 {
		if err := w.take(ctx, alone); err != nil {
			return err
		}
	}
	b.keepSlices("nothing else", alone)
	for _, kind := range publishKinds {
		beside, around := new(stretch), new(stretch)
		for round := range s.Rounds {
			if kind.sql != "" {
				if err := w.db.exec(ctx, kind.sql); err != nil {
					return err
				}
			}
			args := append([]string{"--database-url", w.db.server.URL(), "--quiet"}, kind.args(round)...)
			if err := w.publish(ctx, b, args, beside, around); err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
		}
		b.keepSlices("beside a warm: "+kind.name, beside)
		b.keepSlices("around its publish: "+kind.name, around)
	}
	for _, kind := range publishKinds {
		b.f.compare("around its publish: "+kind.name, "beside a warm: "+kind.name, columnP999, publishToBeside)
		b.f.bound("around its publish: "+kind.name, columnErrors, 1)
	}
	b.note("%d reads a second at a constant rate, detail, styles, related and list 40/30/20/10 by Zipf's law, from a server that shares one CPU with "+
		"PostgreSQL and the warm; the load comes from the other. Latencies count from when a request fell due. The time is cut into slices "+
		"of %v: those around a publish are the one in which it commits and the next, those beside a warm all before.", publishRate, s.slice)
	return nil
}

// stretch is the requests of slices of time that are alike.
type stretch struct {
	outcome
	count int
}

// keepSlices makes a row of a stretch.
func (b *serving) keepSlices(name string, s *stretch) {
	s.latencies = sorted(s.latencies)
	values := s.values()
	delete(values, columnRate)
	values[columnAround] = float64(s.count)
	b.f.Runs = append(b.f.Runs, Run{name, 1, values})
	b.f.Latencies = append(b.f.Latencies, curve(name, s.latencies))
	if s.errors > 0 {
		b.note("%s, the first error: %s", name, s.first)
	}
	b.say("%s: p50 %.2f ms, p99.9 %.2f ms, %d errors", name, values[columnP50]*1e3, values[columnP999]*1e3, s.errors)
}

// publishWatch reads all the time and sees when something was published.
type publishWatch struct {
	db     *database
	client *client
	plan   plan
}

// take reads for one slice.
func (w *publishWatch) take(ctx context.Context, into *stretch) error {
	o, err := w.client.run(ctx, w.plan)
	if err != nil {
		return err
	}
	into.add(o)
	into.count++
	return nil
}

// wake uses every connection once: the server ends those that are never used.
func (w *publishWatch) wake(ctx context.Context) error {
	o, err := w.client.run(ctx, plan{duration: w.plan.duration / 5, next: w.plan.next})
	if err != nil {
		return err
	}
	return o.strict()
}

// publish runs one warm and sorts the slices until a little after its end.
func (w *publishWatch) publish(ctx context.Context, b *serving, args []string, beside, around *stretch) error {
	if err := w.wake(ctx); err != nil {
		return err
	}
	before, err := w.db.text(ctx, selectPublished)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.programs, "warm"), args...)
	cmd.Env = plainEnvironment()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := startOn(cmd, b.servers); err != nil {
		return fmt.Errorf("start warm: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		one := new(stretch)
		if err := w.take(ctx, one); err != nil {
			return err
		}
		now, err := w.db.text(ctx, selectPublished)
		if err != nil {
			return err
		}
		if now[0] == before[0] {
			beside.add(&one.outcome)
			beside.count++
			select {
			case err := <-ended:
				return fmt.Errorf("warm ended before anything was published: %w\n%s", err, said.Bytes())
			default:
			}
			continue
		}
		around.add(&one.outcome)
		around.count++
		if err := w.take(ctx, around); err != nil {
			return err
		}
		if err := <-ended; err != nil {
			return fmt.Errorf("warm: %w\n%s", err, said.Bytes())
		}
		return nil
	}
}
