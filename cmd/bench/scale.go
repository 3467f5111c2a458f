package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

type scaleSuite struct {
	kept
	Sizes  []int64 `help:"How many products the catalogues have, the smallest first." default:"10000,100000,1000000" placeholder:"N"`
	Rounds int     `help:"How many times the hits of each are measured." default:"7" placeholder:"N"`
	Out    string  `help:"Where to keep the figures." default:"bench/scale.json" type:"path" placeholder:"FILE"`

	span time.Duration `kong:"-"` // how long each run is
}

// AfterApply is called by kong where the command line names this suite.
func (s *scaleSuite) AfterApply() error {
	s.choose()
	s.span = 2 * time.Second
	if len(s.Sizes) < 2 || slices.Min(s.Sizes) < 1 || s.Rounds < 1 {
		return errors.New("--sizes must be two numbers at least, and they and --rounds at least 1")
	}
	return nil
}

const (
	// scaleBudget is the servers' --memory.
	scaleBudget  = 128 << 20
	scaleMemory  = "128MiB"
	hitAtAnySize = 1.05 // hit of a larger catalogue ÷ of the smallest
)

var scaleColumns = append([]Column{
	{columnRequest, "CPU per request", Time}, {columnRate, "requests/s", Rate}, {columnHits, "hits", Share},
	{columnMissDB, "PostgreSQL's per look-up", Time}, {columnPeak, "peak memory", Bytes},
}, latencyColumns...)

// sized is a server of one catalogue.
type sized struct {
	products int64
	cpus     int
	db       *database
	server   *service
	client   *client
}

func (c *sized) name(kind string) string {
	name := fmt.Sprintf("%s, %s products, %d CPU", kind, grouped(c.products), c.cpus)
	if c.cpus > 1 {
		name += "s"
	}
	return name
}

func (s *scaleSuite) measure(ctx context.Context, io cli.IO) (*Figures, error) {
	f := &Figures{Suite: "scale", Title: "Scale: from ten thousand products to a million, on one CPU and on two", Columns: scaleColumns,
		Command: fmt.Sprintf("go run ./cmd/bench scale --rounds %d", s.Rounds)}
	spans := 2 * float64(len(s.Sizes)) * (float64(s.Rounds)*1.2 + 5)
	return s.serve(ctx, io, f, spans*s.span.Seconds(), func(ctx context.Context, b *serving) error {
		cpus, err := cpusAllowed()
		if err != nil {
			return err
		}
		var all []*sized
		for _, products := range s.Sizes {
			db, err := b.catalogue(ctx, products)
			if err != nil {
				return err
			}
			all = append(all, &sized{products: products, db: db})
		}
		if err := b.stayAside(ctx); err != nil {
			return err
		}
		for n := range min(len(cpus), 2) {
			if err := s.onCPUs(ctx, b, all, cpus[:n+1]); err != nil {
				return err
			}
		}
		s.conclude(b, all, len(cpus))
		return nil
	})
}

// onCPUs measures all sizes with servers on so many CPUs.
func (s *scaleSuite) onCPUs(ctx context.Context, b *serving, all []*sized, cpus []int) (err error) {
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.stop())
		}
	}()
	for _, c := range all {
		if err := c.start(ctx, b, cpus); err != nil {
			return err
		}
	}
	for round := range s.Rounds {
		if err := s.hits(ctx, b, all, round+1, !slices.Contains(cpus, b.load[0])); err != nil {
			return err
		}
	}
	for _, c := range all {
		if err := s.others(ctx, b, c); err != nil {
			return err
		}
	}
	return nil
}

func (c *sized) start(ctx context.Context, b *serving, cpus []int) (err error) {
	c.cpus = len(cpus)
	if err := c.db.pin(cpus); err != nil {
		return err
	}
	if c.server, err = b.server(ctx, cpus, "--database-url", c.db.server.URL(), "--memory", scaleMemory); err != nil {
		return err
	}
	c.client, err = dial(c.server.addr, connections)
	return err
}

// stop undoes start, however far it came.
func (c *sized) stop() (err error) {
	if c.client != nil {
		c.client.close()
	}
	if c.server != nil {
		err = c.server.stop()
	}
	c.client, c.server = nil, nil
	return err
}

// hits asks all of them for some products over and over.
func (s *scaleSuite) hits(ctx context.Context, b *serving, all []*sized, round int, alone bool) error {
	racers := make([]*racer, len(all))
	for i, c := range all {
		hot := min(hotProducts, c.products)
		requests := make([][]byte, hot)
		for k := range hot {
			requests[k] = detailRoute.request(nil, scatter(k, c.products))
		}
		racers[i] = &racer{name: c.name("hit"), server: c.server, client: c.client, next: inTurn(requests)}
	}
	if err := race(ctx, s.span, alone, racers); err != nil {
		return err
	}
	for _, r := range racers {
		run := r.run(round)
		b.f.Runs = append(b.f.Runs, run)
		b.say("%s: %.2f µs", r.name, run.Values[columnRequest]*1e6)
	}
	return nil
}

// others asks for products and pages at random, and reads the memory of it all.
func (s *scaleSuite) others(ctx context.Context, b *serving, c *sized) error {
	random := source(7)
	for _, r := range []route{detailRoute, listRoute} {
		name := c.name(map[route]string{detailRoute: "random", listRoute: "list"}[r])
		next := r.of(c.products, uniform(random))
		if _, err := c.client.run(ctx, plan{duration: s.span / 2, next: next}); err != nil {
			return err
		}
		o, used, err := b.asked(ctx, c.db, c.server, c.client, plan{duration: 2 * s.span, next: next})
		if err == nil {
			err = o.strict()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		values := o.values()
		values[columnRequest] = used.server.Seconds() / float64(o.requests)
		values[columnPeak] = float64(peakMemory(c.server.pid))
		if used.lookups > 0 {
			values[columnMissDB] = used.postgres.Seconds() / float64(used.lookups)
		}
		if r == detailRoute {
			values[columnHits] = 1 - float64(used.lookups)/float64(o.requests)
		}
		b.f.Runs = append(b.f.Runs, Run{name, 0, values})
		b.f.Latencies = append(b.f.Latencies, curve(name, o.latencies))
		b.f.bound(name, columnPeak, scaleBudget)
		b.say("%s: %.0f requests/s", name, values[columnRate])
	}
	return nil
}

func (s *scaleSuite) conclude(b *serving, all []*sized, cpus int) {
	for n := range min(cpus, 2) {
		for _, c := range all {
			c.cpus = n + 1
		}
		for _, c := range all[1:] {
			b.f.compare(c.name("hit"), all[0].name("hit"), columnRequest, hitAtAnySize)
		}
	}
	b.note("A hit is the detail of one of %s products, spread over the catalogue, asked for in turn; random and list are any product and any "+
		"page of %d, evenly. `--memory %s`, closed loops of %d connections. Peak memory is that of the server's process so far.",
		grouped(hotProducts), listCount, scaleMemory, connections)
	b.note("Server and PostgreSQL had the CPUs together. With two CPUs of a machine that has no more, the load generator shared one of them.")
}
