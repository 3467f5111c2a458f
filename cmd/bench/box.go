package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

type boxSuite struct {
	kept
	Products int64  `help:"How many products the catalogue has." default:"1000000" placeholder:"N"`
	Out      string `help:"Where to keep the figures." default:"bench/box.json" type:"path" placeholder:"FILE"`

	span time.Duration `kong:"-"` // how long each run is
}

// AfterApply is called by kong where the command line names this suite.
func (s *boxSuite) AfterApply() error {
	s.choose()
	s.span = 30 * time.Second
	if s.Products < 1 {
		return errors.New("--products must be at least 1")
	}
	return nil
}

// The box, and what it has to carry.
const (
	boxMemory   = 1 << 30
	boxBudget   = "640MiB" // of it, for the server
	boxUniform  = 10000    // requests/s
	boxZipf     = 25000
	boxSlow     = 0.1  // of a CPU
	boxSlowRate = 1000 // requests/s
	// boxSlowSpans: the box may use so little for ever, and what comes once in
	// minutes, as a collection, holds everybody up there.
	boxSlowSpans = 10
	boxP99       = 25 * time.Millisecond
	boxSlowP99   = 50 * time.Millisecond

	columnReads     = "reads"
	columnThrottled = "throttled"
	columnStopped   = "stopped"
	columnPeakBox   = "box_peak"
	columnResident  = "resident"
	columnKills     = "kills"

	contenderBox = "the box"

	// fillLimit bounds how long a start may take to fill its cache.
	fillLimit = 15 * time.Minute
)

var boxColumns = append(append([]Column{{columnRate, "requests/s", Rate}}, latencyColumns...),
	Column{columnMisses, "look-ups/s", Rate}, Column{columnReads, "read from disk", Bytes}, Column{columnThrottled, "throttled periods", Count},
	Column{columnStopped, "stopped for", Time}, Column{columnPeakBox, "peak, page cache included", Bytes},
	Column{columnResident, "without page cache", Bytes}, Column{columnKills, "killed for memory", Count})

// boxed is the box with what runs in it, under load.
type boxed struct {
	*serving
	box    *box
	server *service
	client *client
}

func (s *boxSuite) measure(ctx context.Context, io cli.IO) (*Figures, error) {
	f := &Figures{Suite: "box", Title: "Box: server and PostgreSQL on 1 CPU and 1 GiB together", Columns: boxColumns,
		Command: fmt.Sprintf("go run ./cmd/bench box --products %d", s.Products)}
	return s.serve(ctx, io, f, (4.4+boxSlowSpans)*s.span.Seconds(), func(ctx context.Context, b *serving) error {
		group, err := newBox(cgroupRoot)
		if err != nil {
			return err
		}
		b.atEnd(group.remove)
		if err := errors.Join(group.bytes(boxMemory), group.share(1)); err != nil {
			return err
		}
		if err := s.prepare(ctx, b); err != nil {
			return err
		}
		began := time.Now()
		server, err := b.serverAs(ctx, b.servers, []string{"/bin/sh", "-c", group.entrance(), "sh"}, "--data-dir", b.catalogueDir(s.Products), "--memory", boxBudget)
		if err != nil {
			return err
		}
		b.atEnd(server.stop)
		if err := b.filled(ctx, server, began); err != nil {
			return err
		}
		if err := b.stayAside(ctx); err != nil {
			return err
		}
		client, err := dial(server.addr, connections)
		if err != nil {
			return err
		}
		b.atEnd(func() error { client.close(); return nil })
		return s.load(ctx, &boxed{b, group, server, client})
	})
}

// prepare makes the catalogue, outside of the box, and stops its PostgreSQL.
func (s *boxSuite) prepare(ctx context.Context, b *serving) error {
	db, err := b.makeCatalogue(ctx, s.Products)
	if err != nil {
		return err
	}
	version, settings, err := db.about(ctx)
	if err != nil {
		return errors.Join(err, db.stop())
	}
	b.f.Machine, b.f.Settings = thisMachine(version), settings
	if err := db.stop(); err != nil {
		return err
	}
	return evict(b.catalogueDir(s.Products))
}

// filled waits until a server that was started cold has read in what it can
// keep in memory.
func (b *serving) filled(ctx context.Context, server *service, began time.Time) error {
	for {
		metrics, err := fetch(ctx, server.admin, "/metrics")
		if err != nil {
			return fmt.Errorf("ask the server for its metrics: %w", err)
		}
		text := string(metrics.Body)
		if valueOf(text, "hotshelf_cache_filling") == 0 {
			filled, took := valueOf(text, "hotshelf_cache_filled_total"), time.Since(began).Round(time.Second)
			b.say("%s products were read in within %v", grouped(filled), took)
			b.note("The load came when the server, with `--memory %s`, had read in %s products by itself, %v after its start.",
				boxBudget, grouped(filled), took)
			return nil
		}
		if time.Since(began) > fillLimit {
			return fmt.Errorf("the server has not read in its catalogue after %v", fillLimit)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-server.done:
			return fmt.Errorf("the server ended: %w\n%s", server.err, server.log)
		case <-time.After(time.Second):
		}
	}
}

// evict takes files out of the page cache. What others have read would be
// memory that the box has for nothing.
func evict(dir string) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		return dropCache(f)
	})
	if err != nil {
		return fmt.Errorf("take the catalogue out of the page cache: %w", err)
	}
	return nil
}

func (s *boxSuite) load(ctx context.Context, b *boxed) error {
	for _, kind := range []struct {
		name   string
		next   requestMaker
		target float64
	}{{"uniform", uniformOf(s.Products), boxUniform}, {"Zipf 1.0", zipfOf(s.Products), boxZipf}} {
		if _, err := b.client.run(ctx, plan{duration: s.span / 2, next: kind.next}); err != nil {
			return err
		}
		peak := fmt.Sprintf("%s, %d connections", kind.name, connections)
		if err := b.run(ctx, peak, plan{duration: s.span, next: kind.next}); err != nil {
			return err
		}
		steady := fmt.Sprintf("%s at %s/s", kind.name, grouped(int64(kind.target)))
		if err := b.run(ctx, steady, plan{rate: kind.target, duration: s.span / 2, next: kind.next}); err != nil {
			return err
		}
		b.f.reach(peak, columnRate, kind.target)
		for _, name := range []string{peak, steady} {
			b.f.bound(name, columnP99, boxP99.Seconds())
			b.f.bound(name, columnErrors, 1)
		}
	}
	if err := b.box.share(boxSlow); err != nil {
		return err
	}
	next := zipfOf(s.Products)
	if _, err := b.client.run(ctx, plan{rate: boxSlowRate, duration: s.span / 3, next: next}); err != nil {
		return err
	}
	slow := fmt.Sprintf("10 %% of a CPU, Zipf 1.0 at %s/s", grouped(boxSlowRate))
	if err := b.run(ctx, slow, plan{rate: boxSlowRate, duration: boxSlowSpans * s.span, next: next, inTurn: true}); err != nil {
		return err
	}
	b.f.bound(slow, columnP99, boxSlowP99.Seconds())
	b.f.bound(slow, columnErrors, 1)
	// What follows, the stop of server and PostgreSQL, measures nothing.
	if err := b.box.share(1); err != nil {
		return err
	}
	b.conclude(s.span)
	return nil
}

// run puts the box under load, and keeps what the kernel says of it.
func (b *boxed) run(ctx context.Context, name string, p plan) error {
	looked, err := b.server.lookups(ctx)
	if err != nil {
		return err
	}
	before := b.box.account()
	o, err := b.client.run(ctx, p)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	after := b.box.account()
	lookups, err := b.server.lookups(ctx)
	if err != nil {
		return err
	}
	values := o.values()
	values[columnMisses] = float64(lookups-looked) / o.took.Seconds()
	if after.reads >= 0 && before.reads >= 0 {
		values[columnReads] = float64(after.reads - before.reads)
	}
	if after.throttled >= 0 {
		values[columnThrottled] = float64(after.throttled - before.throttled)
		values[columnStopped] = (after.stopped - before.stopped).Seconds()
	}
	b.f.Runs = append(b.f.Runs, Run{name, 0, values})
	b.f.Latencies = append(b.f.Latencies, curve(name, o.latencies))
	if o.errors > 0 {
		b.note("%s, the first error: %s", name, o.first)
	}
	b.say("%s: %.0f requests/s, p99 %.2f ms, %d errors", name, values[columnRate], values[columnP99]*1e3, o.errors)
	return nil
}

func (b *boxed) conclude(span time.Duration) {
	a := b.box.account()
	values := make(map[string]float64)
	for column, n := range map[string]int64{columnPeakBox: a.peak, columnResident: a.resident, columnKills: a.kills} {
		if n >= 0 {
			values[column] = float64(n)
		}
	}
	b.f.Runs = append(b.f.Runs, Run{contenderBox, 0, values})
	b.f.bound(contenderBox, columnKills, 1)
	b.note("The box is a control group of version %s: its CPU time is given out every %v, its memory counts the page cache of what it "+
		"reads, and there is no swap. It was started with none of the catalogue in memory. The load, 40/30/20/10 detail, styles, related and pages "+
		"of the list, comes from another CPU outside. The run on a part of the CPU takes %v, each other %v at most.", b.box.name("1", "2"), boxPeriod, boxSlowSpans*span, span)
	b.note("With Zipf 1.0 the k-th most popular id is asked for 1/k as often as the first; popularity is scattered over the ids.")
	b.note("For scale, from the project's own history: a former Node and Redis service gave 325 (styles) to 1,440 (list) requests/s in such a box with 200,000 " +
		"products, with a p99 of 110 ms to 1 s.")
}
