package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
	"github.com/hotshelf/hotshelf/store"
)

type missSuite struct {
	kept
	Products int64  `help:"How many products the catalogue has." default:"1000000" placeholder:"N"`
	Pairs    int    `help:"How many times each contender runs." default:"7" placeholder:"N"`
	Out      string `help:"Where to keep the figures." default:"bench/miss.json" type:"path" placeholder:"FILE"`

	span    time.Duration `kong:"-"` // how long each run is
	lookups int           `kong:"-"` // how many look-ups are timed for each route
}

// AfterApply is called by kong where the command line names this suite.
func (s *missSuite) AfterApply() error {
	s.choose()
	s.span, s.lookups = 8*time.Second, 10000
	if s.Products < 1 || s.Pairs < 1 {
		return errors.New("--products and --pairs must be at least 1")
	}
	return nil
}

const (
	// missToPgbench is the target for misses/s ÷ pgbench's look-ups/s.
	missToPgbench = 0.8
	// leastMemory is the smallest --memory that a server takes.
	leastMemory = "64MiB"

	columnMisses      = "misses"
	columnHits        = "hits"
	columnMissServer  = "miss_server_cpu"
	columnMissDB      = "miss_postgres_cpu"
	contenderMiss     = "hotshelf, misses"
	contenderPgbench  = "pgbench, look-ups"
	queryGood         = 10 * time.Millisecond
	queryMost         = 50 * time.Millisecond
	databaseRouteName = "database time of "
)

var missColumns = append([]Column{
	{columnMisses, "look-ups/s", Rate}, {columnRate, "requests/s", Rate}, {columnHits, "hits", Share},
	{columnMissServer, "client's CPU per look-up", Time}, {columnMissDB, "PostgreSQL's", Time},
}, latencyColumns...)

func (s *missSuite) measure(ctx context.Context, io cli.IO) (*Figures, error) {
	f := &Figures{Suite: "miss", Title: "Miss: what an answer costs that is not in memory", Columns: missColumns,
		Command: fmt.Sprintf("go run ./cmd/bench miss --products %d --pairs %d", s.Products, s.Pairs)}
	return s.serve(ctx, io, f, float64(s.Pairs)*2.2*s.span.Seconds()+30, func(ctx context.Context, b *serving) error {
		db, err := b.catalogue(ctx, s.Products)
		if err != nil {
			return err
		}
		if err := b.admit(ctx, db, 2*connections); err != nil {
			return err
		}
		server, err := b.server(ctx, b.servers, "--database-url", db.server.URL(), "--memory", leastMemory)
		if err != nil {
			return err
		}
		b.atEnd(server.stop)
		client, err := dial(server.addr, connections)
		if err != nil {
			return err
		}
		b.atEnd(func() error { client.close(); return nil })
		pgbench := b.findPgbench()
		if err := b.stayAside(ctx); err != nil {
			return err
		}
		if err := db.pin(b.servers); err != nil {
			return err
		}
		if err := s.databaseTime(ctx, b, db); err != nil {
			return err
		}
		next := detailRoute.of(s.Products, uniform(source(2)))
		for round := range s.Pairs {
			if err := s.misses(ctx, b, db, server, client, next, round+1); err != nil {
				return err
			}
			if pgbench != "" {
				if err := s.pgbench(ctx, b, db, pgbench, round+1); err != nil {
					return err
				}
			}
		}
		s.conclude(b)
		return nil
	})
}

// lookups returns how many products the server has looked up so far: those that
// it missed, less those whose look-up was under way for another request.
func (s *service) lookups(ctx context.Context) (int64, error) {
	metrics, err := fetch(ctx, s.admin, "/metrics")
	if err != nil {
		return 0, fmt.Errorf("ask the server for its metrics: %w", err)
	}
	misses := valueOf(string(metrics.Body), "hotshelf_cache_misses_total")
	coalesced := valueOf(string(metrics.Body), "hotshelf_cache_coalesced_total")
	if misses < 0 || coalesced < 0 {
		return 0, errors.New("the server's metrics don't tell its misses")
	}
	return misses - coalesced, nil
}

// misses asks for products at random, of which next to none is in memory.
func (s *missSuite) misses(ctx context.Context, b *serving, db *database, server *service, client *client, next requestMaker, round int) error {
	if _, err := client.run(ctx, plan{duration: s.span / 8, next: next}); err != nil {
		return err
	}
	o, used, err := b.asked(ctx, db, server, client, plan{duration: s.span, next: next})
	if err == nil {
		err = o.strict()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", contenderMiss, err)
	}
	values := o.values()
	used.addTo(values)
	b.f.Runs = append(b.f.Runs, Run{contenderMiss, round, values})
	if round == 1 {
		b.f.Latencies = append(b.f.Latencies, curve(contenderMiss+fmt.Sprintf(", %d connections", connections), o.latencies))
	}
	b.say("%s: %.0f/s, %.1f %% hits", contenderMiss, values[columnMisses], values[columnHits]*100)
	return nil
}

// missing is what a run took of server and database.
type missing struct {
	lookups, requests int64
	took              time.Duration
	server, postgres  time.Duration
}

func (m missing) addTo(values map[string]float64) {
	values[columnHits] = 1 - float64(m.lookups)/float64(max(m.requests, 1))
	values[columnMisses] = float64(m.lookups) / m.took.Seconds()
	if m.lookups > 0 {
		values[columnMissServer] = m.server.Seconds() / float64(m.lookups)
		values[columnMissDB] = m.postgres.Seconds() / float64(m.lookups)
	}
}

// asked puts a server under load and finds out how much of it reached the
// database.
func (b *serving) asked(ctx context.Context, db *database, server *service, client *client, p plan) (*outcome, missing, error) {
	var m missing
	before, err := server.lookups(ctx)
	if err != nil {
		return nil, m, err
	}
	postgres := db.cpu()
	o, cpu, err := measured(ctx, client, server.pid, p)
	if err != nil {
		return nil, m, err
	}
	m.server, m.postgres, m.requests, m.took = cpu, db.cpu()-postgres, o.requests, o.took
	after, err := server.lookups(ctx)
	m.lookups = after - before
	return o, m, err
}

// pgbenchScript has the row of a product, as a server looks it up.
const pgbenchScript = `\set id random(1, %d)
select * from shelf.blobs where product_id = :id;
`

// pgbench looks up the same rows, from the CPU that the server had.
func (s *missSuite) pgbench(ctx context.Context, b *serving, db *database, path string, round int) error {
	r, err := b.pgbench(ctx, db, path, fmt.Sprintf(pgbenchScript, s.Products), connections, s.span)
	if err != nil {
		return err
	}
	b.f.Runs = append(b.f.Runs, Run{contenderPgbench, round, map[string]float64{
		columnMisses: r.perSecond, columnMissServer: r.client, columnMissDB: r.postgres,
	}})
	b.say("%s: %.0f/s", contenderPgbench, r.perSecond)
	return nil
}

// databaseTime times what each route asks the database on a miss, one after
// the other, with the server's own code.
func (s *missSuite) databaseTime(ctx context.Context, b *serving, db *database) error {
	st, err := store.Open(ctx, db.server.URL(), "bench", 0)
	if err != nil {
		return err
	}
	defer st.Close()
	random := rand.New(rand.NewPCG(3, 17))
	for _, r := range routes {
		latencies := make([]time.Duration, 0, s.lookups)
		ids := make([]int64, 1)
		if r == listRoute {
			ids = make([]int64, listCount)
		}
		for range s.lookups {
			first := random.Int64N(max(s.Products-int64(len(ids)), 1)) + 1
			for i := range ids {
				ids[i] = first + int64(i)
			}
			began := time.Now()
			if _, err := st.Lookup(ctx, ids); err != nil {
				return err
			}
			latencies = append(latencies, time.Since(began))
		}
		o := outcome{latencies: sorted(latencies)}
		name := databaseRouteName + r.String()
		values := o.values()
		delete(values, columnRate)
		b.f.Runs = append(b.f.Runs, Run{name, 0, values})
		b.f.Latencies = append(b.f.Latencies, curve(name, o.latencies))
		b.f.Bounds = append(b.f.Bounds, Bound{Contender: name, Column: columnP99, Largest: values[columnP99], Below: queryGood.Seconds()},
			Bound{Contender: name, Column: columnMax, Largest: values[columnMax], Below: queryMost.Seconds()})
	}
	return nil
}

func (s *missSuite) conclude(b *serving) {
	b.f.compareAtLeast(contenderMiss, contenderPgbench, columnMisses, missToPgbench)
	b.note("The server (with `--memory %s`) and pgbench had the same CPU in turn, together with PostgreSQL; the load generator, with "+
		"%d connections, had another. Look-ups and hits are by the server's metrics.",
		leastMemory, connections)
	b.note("pgbench ran the look-up of the whole row as a prepared statement, with %d clients.", connections)
	b.note("Database time is that of the server's own look-up, one after the other at a time without load: one row for detail, styles " +
		"and related, whichever is asked for, and five for a page of the list.")
}
