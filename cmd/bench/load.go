package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
	"github.com/hotshelf/hotshelf/etl"
	"github.com/hotshelf/hotshelf/sample"
)

type loadSuite struct {
	Products int64  `help:"How many products the compared catalogues have." default:"1000000" placeholder:"N"`
	Pairs    int    `help:"How many times each contender runs." default:"3" placeholder:"N"`
	Large    int64  `help:"How many products the messy catalogue has that is loaded once, for its memory and its account; 0 for none." default:"2000000" placeholder:"N"`
	Work     string `help:"Where a directory is made for files and database, removed at the end: about 15 GB for each million products. Empty: the system's place for such." type:"path" placeholder:"DIR"`
	Out      string `help:"Where to keep the figures." default:"bench/load.json" type:"path" placeholder:"FILE"`

	chosen bool          `kong:"-"`
	calm   time.Duration `kong:"-"` // how long a run waits at most for a calm machine
}

// AfterApply is called by kong where the command line names this suite.
func (s *loadSuite) AfterApply() error {
	s.chosen, s.calm = true, 15*time.Second
	if s.Products < 1 || s.Pairs < 1 || s.Large < 0 {
		return errors.New("--products and --pairs must be at least 1, --large at least 0")
	}
	return nil
}

// The targets of the suite.
const (
	loadToCopy    = 1.25      // load of the clean files ÷ psql \copy of the same
	messyToClean  = 1.1       // load of the messy edition ÷ load of the clean one
	loadMemory    = 128 << 20 // peak of the load process
	seed          = 1
	contenderLoad = "load, clean"
)

// loadBench is a run of the suite under way.
type loadBench struct {
	*loadSuite
	*stopwatch
	work string
	load string // the built program
	psql string // "" without one
}

func (s *loadSuite) measure(ctx context.Context, io cli.IO) (_ *Figures, err error) {
	b := &loadBench{loadSuite: s, stopwatch: &stopwatch{io: io, calm: s.calm, before: `drop schema if exists catalog_next, ` + copySchema + ` cascade`}}
	b.f = &Figures{
		Suite: "load", Title: "Load: CSV files to rows", Began: time.Now(), Columns: runColumns,
		Command: fmt.Sprintf("go run ./cmd/bench load --products %d --pairs %d --large %d", s.Products, s.Pairs, s.Large),
	}
	if b.psql, err = exec.LookPath("psql"); err != nil {
		b.psql = ""
		b.note("psql is missing (not in PATH), and with it the comparison to its \\copy.")
		b.say("psql is missing: no comparison to its \\copy")
	}
	if b.work, err = os.MkdirTemp(s.Work, "hotshelf-bench-"); err != nil {
		return nil, fmt.Errorf("make a directory to work in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	if b.load, err = build(ctx, "load", b.work); err != nil {
		return nil, err
	}
	if b.db, err = startDatabase(ctx, filepath.Join(b.work, "data")); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.db.stop()) }()

	version, settings, err := b.db.about(ctx)
	if err != nil {
		return nil, err
	}
	b.f.Machine, b.f.Settings = thisMachine(version), settings
	if err := b.compareAll(ctx); err != nil {
		return nil, err
	}
	if s.Large > 0 {
		if err := b.loadLarge(ctx); err != nil {
			return nil, err
		}
	}
	b.conclude()
	return b.f, nil
}

// compareAll runs the contenders in turn, once in each round.
func (b *loadBench) compareAll(ctx context.Context) error {
	clean, err := b.sample(ctx, b.Products, sample.Clean)
	if err != nil {
		return err
	}
	messy, err := b.sample(ctx, b.Products, sample.Messy)
	if err != nil {
		return err
	}
	defs, err := b.db.definitions(ctx)
	if err != nil {
		return err
	}
	contenders := []contender{b.loadOf(contenderLoad, clean)}
	if b.psql != "" {
		for _, style := range []copyStyle{plainCopy, frozenCopy, besideCopy} {
			contenders = append(contenders, b.copyOf(style, defs, clean))
		}
	}
	contenders = append(contenders, b.loadOf("load, messy", messy))
	for round := range b.Pairs {
		for _, c := range contenders {
			if err := b.time(ctx, c, round+1); err != nil {
				return err
			}
		}
	}
	return errors.Join(os.RemoveAll(clean.dir), os.RemoveAll(messy.dir))
}

// files is a catalogue on disk, and what is in it.
type files struct {
	dir     string
	summary *sample.Summary
}

func (b *loadBench) sample(ctx context.Context, products int64, edition sample.Edition) (files, error) {
	b.say("making the %s sample of %s products", edition, grouped(products))
	dir := filepath.Join(b.work, fmt.Sprintf("%s-%d", edition, products))
	summary, err := sample.Write(ctx, sample.Options{Dir: dir, Products: products, Seed: seed, Edition: edition})
	if err != nil {
		return files{}, err
	}
	var rows, bytes int64
	for _, p := range summary.Files {
		rows, bytes = rows+p.Rows, bytes+p.Bytes
	}
	b.note("%s sample of %s products: %s data lines, %s.", edition, grouped(products), grouped(rows), Bytes.format(float64(bytes)))
	return files{dir, summary}, nil
}

// rows is how many rows a load of the files gives, by file.
func (f files) rows() map[string]int64 {
	rows := make(map[string]int64)
	for file, planted := range f.summary.Files {
		rows[file] = planted.Rows
		for _, n := range planted.Rejects {
			rows[file] -= n
		}
	}
	return rows
}

func (b *loadBench) loadOf(name string, of files) contender {
	return contender{
		name:     name,
		products: of.summary.Products,
		run: func(ctx context.Context) (usage, error) {
			return program{path: b.load, dir: b.work, args: []string{of.dir, "--database-url", b.db.server.URL(),
				"--quiet", "--report", b.reportPath()}}.run(ctx)
		},
		check: func(ctx context.Context) error { return b.checkTables(ctx, "catalog_next", of) },
	}
}

func (b *loadBench) reportPath() string { return filepath.Join(b.work, "report.json") }

func (b *loadBench) copyOf(style copyStyle, defs []definition, of files) contender {
	return contender{
		name:     style.String(),
		products: of.summary.Products,
		run: func(ctx context.Context) (usage, error) {
			return runSteps(ctx, b.psql, b.db.server.URL(), copySteps(style, defs, of.dir))
		},
		check: func(ctx context.Context) error { return b.checkTables(ctx, copySchema, of) },
	}
}

// checkTables fails where a schema doesn't have every row of the files, or not
// every key, index and statistic.
func (b *loadBench) checkTables(ctx context.Context, schema string, of files) error {
	counts, err := b.db.counts(ctx, schema)
	if err != nil {
		return err
	}
	for file, want := range of.rows() {
		if counts[file] != want {
			return fmt.Errorf("%s gave %d rows in %s, expected %d", file, counts[file], schema, want)
		}
	}
	return b.db.sameAs(ctx, "catalog", schema)
}

// loadLarge loads one large catalogue from start to end and keeps the account.
func (b *loadBench) loadLarge(ctx context.Context) error {
	large, err := b.sample(ctx, b.Large, sample.Messy)
	if err != nil {
		return err
	}
	c := b.loadOf(b.largeName(), large)
	if err := b.time(ctx, c, 0); err != nil {
		return err
	}
	text, err := os.ReadFile(b.reportPath())
	if err != nil {
		return fmt.Errorf("read the account of the load: %w", err)
	}
	var report etl.Report
	if err := json.Unmarshal(text, &report); err != nil {
		return fmt.Errorf("read the account of the load: %w", err)
	}
	if err := os.WriteFile(b.keptReport(), text, 0o644); err != nil {
		return fmt.Errorf("keep the account of the load: %w", err)
	}
	run := b.f.Runs[len(b.f.Runs)-1]
	b.note("%s, from start to end: %s lines read, %s loaded, %s rejected, %s rows a second; the account is in `%s`.",
		c.name, grouped(report.Total.LinesRead), grouped(report.Total.Loaded), grouped(report.Total.Rejected),
		grouped(int64(float64(report.Total.LinesRead)/run.Values[columnWall])), filepath.Base(b.keptReport()))
	return nil
}

func (b *loadBench) largeName() string { return "load, messy, " + grouped(b.Large) + " products" }

// keptReport is where the account of the large load is kept: beside the
// figures, under a name of its own.
func (b *loadBench) keptReport() string {
	return filepath.Join(filepath.Dir(b.Out), "load-50m-report.json")
}

// conclude holds the figures against the targets.
func (b *loadBench) conclude() {
	b.f.compare(contenderLoad, plainCopy.String(), columnWall, loadToCopy)
	b.f.compare(contenderLoad, frozenCopy.String(), columnWall, loadToCopy)
	b.f.compare(contenderLoad, besideCopy.String(), columnWall, 0)
	b.f.compare("load, messy", contenderLoad, columnWall, messyToClean)
	b.f.compare(contenderLoad, plainCopy.String(), columnBoth, 0)
	b.f.compare(contenderLoad, frozenCopy.String(), columnBoth, 0)
	for _, name := range b.f.contenders() {
		if name == contenderLoad || name == "load, messy" || name == b.largeName() {
			b.f.bound(name, columnPeak, loadMemory)
		}
	}
	if b.psql != "" {
		b.note("`%s` is the comparison that the target means: one psql, file by file into logged tables, then the keys, foreign "+
			"keys, indexes and ANALYZE of the same tables, with load's own maintenance_work_mem. `%s` saves the write-ahead log "+
			"in the way that load does, so both write as little of it; `%s` also uses several connections as load does.",
			plainCopy, frozenCopy, besideCopy)
	}
	b.note("Before each run the tables of the one before were dropped and a checkpoint made. After each, the rows of all six " +
		"tables were counted, and their columns, keys, indexes and statistics held against the schema's.")
	b.note("Peak memory is VmHWM of the process, the largest where there are several. CPU of all else is what the machine's " +
		"CPUs did besides the contender, PostgreSQL and the bench, the kernel's own work included: the noise.")
	b.f.Seconds = time.Since(b.f.Began).Seconds()
}
