package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cmd/internal/cli"
	"github.com/hotshelf/hotshelf/sample"
)

// places says where a suite that serves works.
type places struct {
	Work string `help:"Where a directory is made to work in, removed at the end. Empty: the system's place for such." type:"path" placeholder:"DIR"`

	chosen bool          `kong:"-"`
	calm   time.Duration `kong:"-"` // how long a suite waits at most for a calm machine
	// programs is where the programs are built; "" stands for the work directory.
	programs string `kong:"-"`
	// data is where the catalogues are; "" stands for the work directory.
	data string `kong:"-"`
}

// kept is places for suites that only read, and so can use a catalogue again.
type kept struct {
	places
	Data string `help:"Where the catalogues are kept for the next run, 6 GB for a million products. Empty: they are made anew and removed." type:"path" placeholder:"DIR"`
}

func (k kept) serve(ctx context.Context, io cli.IO, f *Figures, planned float64,
	body func(ctx context.Context, b *serving) error,
) (*Figures, error) {
	k.data = k.Data
	return k.places.serve(ctx, io, f, planned, body)
}

// choose is what a suite's AfterApply has to do for its places.
func (p *places) choose() { p.chosen, p.calm = true, 15*time.Second }

// serving is a run of a suite under way that measures servers.
type serving struct {
	places
	io      cli.IO
	f       *Figures
	work    string
	env     []string // of the servers, besides the plain environment
	servers []int    // the CPU of what is measured
	load    []int    // the CPU of the load generator, which is this process
	stops   []func() error
}

// connections is how many the peak is measured with.
const connections = 64

// serve runs a suite's body with what it needs, and takes all down again.
// planned is how many seconds the body will take once there is a catalogue.
func (p places) serve(ctx context.Context, io cli.IO, f *Figures, planned float64,
	body func(ctx context.Context, b *serving) error,
) (_ *Figures, err error) {
	f.Began = time.Now()
	b := &serving{places: p, io: io, f: f}
	if b.work, err = os.MkdirTemp(p.Work, "hotshelf-bench-"); err != nil {
		return nil, fmt.Errorf("make a directory to work in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	if b.data == "" {
		b.data = filepath.Join(b.work, "data")
	}
	if b.programs == "" {
		b.programs = b.work
	}
	if err := b.apportion(); err != nil {
		return nil, err
	}
	b.say("measuring takes about %v, once the programs are built and a catalogue is made", time.Duration(planned)*time.Second)
	if _, err := build(ctx, "server", b.programs); err != nil {
		return nil, err
	}
	defer func() {
		for _, stop := range slices.Backward(b.stops) {
			err = errors.Join(err, stop())
		}
	}()
	if err := body(ctx, b); err != nil {
		return nil, err
	}
	f.Seconds = time.Since(f.Began).Seconds()
	return f, nil
}

// apportion gives the servers one CPU and the load generator another.
func (b *serving) apportion() error {
	cpus, err := cpusAllowed()
	if err != nil {
		return err
	}
	b.servers, b.load = cpus[:1], cpus[len(cpus)-1:]
	if len(cpus) == 1 {
		b.note("There is one CPU only: servers and load generator shared it.")
	}
	return nil
}

func (b *serving) say(format string, args ...any) { fmt.Fprintf(b.io.Stderr, format+"\n", args...) }

func (b *serving) note(format string, args ...any) {
	b.f.Notes = append(b.f.Notes, fmt.Sprintf(format, args...))
}

// atEnd has something stopped when the suite ends, the last first.
func (b *serving) atEnd(stop func() error) { b.stops = append(b.stops, stop) }

// stayAside moves this process, with the load generator, to its own CPU. What
// takes long before, such as a catalogue, may use all.
func (b *serving) stayAside(ctx context.Context) error {
	waitForCalm(ctx, b.calm)
	cpus, err := cpusAllowed()
	if err != nil {
		return err
	}
	b.atEnd(func() error { return pin(os.Getpid(), cpus) })
	return pin(os.Getpid(), b.load)
}

// catalogue returns a running private PostgreSQL with a catalogue of so many
// products, which it makes where it isn't there.
func (b *serving) catalogue(ctx context.Context, products int64) (*database, error) {
	db, err := b.makeCatalogue(ctx, products)
	if err != nil {
		return nil, err
	}
	b.atEnd(db.stop)
	version, settings, err := db.about(ctx)
	if err != nil {
		return nil, err
	}
	b.f.Machine, b.f.Settings = thisMachine(version), settings
	return db, nil
}

func (b *serving) catalogueDir(products int64) string {
	return filepath.Join(b.data, strconv.FormatInt(products, 10))
}

const (
	selectBuilder = `select builder_version from hotshelf.catalogue where generation > 0`
	countBlobs    = `select count(*) from shelf.blobs`
)

func (b *serving) makeCatalogue(ctx context.Context, products int64) (_ *database, err error) {
	dir := b.catalogueDir(products)
	if err := os.MkdirAll(b.data, 0o755); err != nil {
		return nil, fmt.Errorf("make a directory for the catalogues: %w", err)
	}
	db, err := startDatabase(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.stop())
		}
	}()
	if err := db.exec(ctx, resetSettings); err != nil { // a run that was killed may have left some
		return nil, err
	}
	var n int64
	builder := -1
	_ = db.conn.QueryRow(ctx, selectBuilder).Scan(&builder) // no row: none was published
	if err := db.conn.QueryRow(ctx, countBlobs).Scan(&n); err != nil {
		return nil, fmt.Errorf("count the products: %w", err)
	}
	if n == products && builder == blob.BuilderVersion {
		return db, nil
	}
	b.say("making a catalogue of %s products", grouped(products))
	csv := filepath.Join(b.work, "csv")
	if _, err := sample.Write(ctx, sample.Options{Dir: csv, Products: products, Seed: seed}); err != nil {
		return nil, err
	}
	for _, command := range []string{"load", "warm"} {
		path, err := build(ctx, command, b.programs)
		if err != nil {
			return nil, err
		}
		args := []string{"--database-url", db.server.URL(), "--quiet"}
		if command == "load" {
			args = append(args, csv)
		}
		if _, err := (program{path: path, dir: b.work, args: args}).run(ctx); err != nil {
			return nil, err
		}
	}
	if err := os.RemoveAll(csv); err != nil {
		return nil, fmt.Errorf("remove the files of the catalogue: %w", err)
	}
	// What a real catalogue has behind it before anyone asks much of it.
	if err := db.exec(ctx, `vacuum analyze`); err != nil {
		return nil, err
	}
	err = db.exec(ctx, `checkpoint`)
	return db, err
}

// server starts a server on some CPUs and returns when it is ready.
func (b *serving) server(ctx context.Context, cpus []int, args ...string) (*service, error) {
	return b.serverAs(ctx, cpus, nil, args...)
}

// serverAs starts a server as the arguments of another program, such as a
// shell that enters a control group; none for the server itself.
func (b *serving) serverAs(ctx context.Context, cpus []int, as []string, args ...string) (*service, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	admin := "127.0.0.1:" + strconv.Itoa(port)
	line := slices.Concat(as, []string{filepath.Join(b.programs, "server"), "--addr", "127.0.0.1:0", "--admin-addr", admin}, args)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append(plainEnvironment(), b.env...)
	s, err := serve(cpus, cmd)
	if err != nil {
		return nil, err
	}
	s.name, s.admin = "server", admin
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// ready waits until a server says that it can answer.
func (s *service) ready(ctx context.Context) error {
	last := "no answer"
	for end := time.Now().Add(startLimit); time.Now().Before(end); {
		a, err := fetch(ctx, s.addr, "/readyz")
		switch {
		case err != nil:
			last = err.Error()
		case a.status == http.StatusOK:
			return nil
		default:
			last = string(a.Body)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return fmt.Errorf("%s ended: %w\n%s", s.name, s.err, s.log)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s is not ready after %v: %s\n%s", s.name, startLimit, last, s.log)
}

// measured puts a server under load and returns its share of the work.
func measured(ctx context.Context, c *client, pid int, p plan) (o *outcome, cpu time.Duration, err error) {
	before, err := cpuOf(pid)
	if err != nil {
		return nil, 0, err
	}
	if o, err = c.run(ctx, p); err != nil {
		return nil, 0, err
	}
	after, err := cpuOf(pid)
	return o, after - before, err
}
