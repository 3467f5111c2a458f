package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
	"github.com/hotshelf/hotshelf/sample"
)

type warmSuite struct {
	Products int64  `help:"How many products the compared catalogue has." default:"1000000" placeholder:"N"`
	Pairs    int    `help:"How many times warm and psql's copy run in turn." default:"7" placeholder:"N"`
	Large    int64  `help:"How many products the catalogue has that is warmed once, for its memory; 0 for none." default:"2000000" placeholder:"N"`
	Work     string `help:"Where a directory is made for files and database, removed at the end: about 25 GB for each million products. Empty: the system's place for such." type:"path" placeholder:"DIR"`
	Out      string `help:"Where to keep the figures." default:"bench/warm.json" type:"path" placeholder:"FILE"`

	chosen bool          `kong:"-"`
	calm   time.Duration `kong:"-"` // how long a run waits at most for a calm machine
	// programs is where the programs are built; "" stands for the work directory.
	programs string `kong:"-"`
}

// AfterApply is called by kong where the command line names this suite.
func (s *warmSuite) AfterApply() error {
	s.chosen, s.calm = true, 15*time.Second
	if s.Products < 100 || s.Pairs < 1 || s.Large < 0 {
		return errors.New("--products must be at least 100, --pairs at least 1, --large at least 0")
	}
	return nil
}

// The targets of the suite.
const (
	warmToCopy   = 1.0      // a full warm ÷ psql \copy of the same blobs
	warmToCopy1  = 2.2      // the same, all on one CPU
	editToWarm   = 0.5      // a warm after a load that changed one product in editEvery ÷ a full warm
	verifyToWarm = 1.0      // --verify ÷ a full warm
	warmMemory   = 64 << 20 // peak of the warm process
	editEvery    = 100
	fewRounds    = 3 // of what is slow, or not compared closely

	contenderWarm   = "warm --full"
	contenderVerify = "warm --verify"
	contenderEdit   = "warm, 1 % changed"
	oneCPU          = ", one CPU"
	contenderShelf  = `psql \copy`
	contenderFrozen = `psql \copy, frozen`
	contenderSQL    = "one SQL statement"
)

// warmBench is a run of the suite under way.
type warmBench struct {
	*warmSuite
	*serving
	watch *stopwatch
	psql  string // "" without one
	csv   string // the files of the catalogue
	blobs string // the exported blobs; "" without psql
	as    format // which they are in
	want  digest // of the exported blobs
	edits int
}

func (s *warmSuite) measure(ctx context.Context, io cli.IO) (*Figures, error) {
	f := &Figures{Suite: "warm", Title: "Warm: rows to blobs", Columns: warmColumns,
		Command: fmt.Sprintf("go run ./cmd/bench warm --products %d --pairs %d --large %d", s.Products, s.Pairs, s.Large)}
	// In seconds, on two slow CPUs.
	millions, large := float64(s.Products)/1e6, float64(s.Large)/1e6
	planned := 20 + millions*(90*float64(s.Pairs)+1200) + large*300
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute+4*time.Duration(planned)*time.Second)
	defer cancel()
	at := places{Work: s.Work, calm: s.calm, programs: s.programs}
	return at.serve(ctx, io, f, planned, func(ctx context.Context, b *serving) error {
		w := &warmBench{warmSuite: s, serving: b, csv: filepath.Join(b.work, "csv")}
		return w.all(ctx)
	})
}

func (b *warmBench) all(ctx context.Context) error {
	for _, command := range []string{"load", "warm"} {
		if _, err := build(ctx, command, b.serving.programs); err != nil {
			return err
		}
	}
	db, err := startDatabase(ctx, filepath.Join(b.work, "data"))
	if err != nil {
		return err
	}
	b.atEnd(db.stop)
	version, settings, err := db.about(ctx)
	if err != nil {
		return err
	}
	b.f.Machine, b.f.Settings = thisMachine(version), settings
	b.watch = &stopwatch{io: b.io, db: db, f: b.f, calm: b.warmSuite.calm, before: dropShelf}
	for _, step := range []func(context.Context) error{b.prepare, b.compareAll, b.onOneCPU, b.plainSQL, b.inGroup, b.large} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	b.conclude()
	return nil
}

// command is one of hotshelf's commands on the bench's database.
func (b *warmBench) command(name string, args ...string) program {
	return program{path: filepath.Join(b.serving.programs, name), dir: b.work,
		args: append(args, "--quiet", "--database-url", b.watch.db.server.URL())}
}

// publish loads the files and makes them live.
func (b *warmBench) publish(ctx context.Context, products int64) error {
	b.say("making a catalogue of %s products", grouped(products))
	if err := os.RemoveAll(b.csv); err != nil {
		return fmt.Errorf("remove the files of the catalogue before: %w", err)
	}
	if _, err := sample.Write(ctx, sample.Options{Dir: b.csv, Products: products, Seed: seed}); err != nil {
		return err
	}
	if _, err := b.command("load", b.csv).run(ctx); err != nil {
		return err
	}
	_, err := b.command("warm", "--accept").run(ctx)
	return err
}

// prepare makes the catalogue, and the file that psql copies from.
func (b *warmBench) prepare(ctx context.Context) error {
	if err := b.publish(ctx, b.Products); err != nil {
		return err
	}
	b.psql = find("psql")
	if b.psql == "" {
		b.note("psql is missing (not in PATH), and with it the comparisons to its \\copy and to one SQL statement.")
		b.say("psql is missing: no comparison to its \\copy")
		return nil
	}
	var err error
	if b.want, err = b.watch.db.digest(ctx, "shelf"); err != nil {
		return err
	}
	return b.chooseFormat(ctx)
}

// chooseFormat exports the blobs in the format that psql copies them in the
// quicker: the better of two, each after the other format's.
func (b *warmBench) chooseFormat(ctx context.Context) error {
	took := make(map[format]time.Duration)
	for trial := range 4 {
		b.as = [...]format{textFormat, binaryFormat}[trial%2]
		b.blobs = filepath.Join(b.work, "blobs."+string(b.as))
		if trial < 2 {
			if _, err := runPsql(ctx, b.psql, b.watch.db.server.URL(), exportShelf(b.blobs, b.as), nil); err != nil {
				return err
			}
		}
		if err := b.watch.db.exec(ctx, dropShelf); err != nil {
			return err
		}
		began := time.Now()
		if _, err := b.copyOf(contenderShelf, false, nil).run(ctx); err != nil {
			return err
		}
		if t := time.Since(began); trial < 2 || t < took[b.as] {
			took[b.as] = t
		}
		if trial < 2 {
			if err := b.watch.db.sameBlobs(ctx); err != nil {
				return fmt.Errorf("%s of %s: %w", contenderShelf, b.as, err)
			}
		}
	}
	slower := binaryFormat
	if took[binaryFormat] < took[textFormat] {
		slower = textFormat
	}
	if slower == b.as {
		b.blobs, b.as = filepath.Join(b.work, "blobs."+string(textFormat)), textFormat
	}
	info, err := os.Stat(b.blobs)
	if err != nil {
		return fmt.Errorf("measure the exported blobs: %w", err)
	}
	b.note("%s products, %s of blobs in psql's %s format, which it was quicker with: %.1f s against %.1f s, the better of two.", grouped(b.Products),
		Bytes.format(float64(info.Size())), b.as, took[b.as].Seconds(), took[slower].Seconds())
	return os.Remove(filepath.Join(b.work, "blobs."+string(slower)))
}

// compareAll runs the contenders in turn, the one or the other first.
func (b *warmBench) compareAll(ctx context.Context) error {
	for round := 1; round <= b.Pairs; round++ {
		pair := []contender{b.full(contenderWarm, nil)}
		if b.psql != "" {
			pair = append(pair, b.copyOf(contenderShelf, false, nil))
			if round%2 == 0 {
				pair[0], pair[1] = pair[1], pair[0]
			}
			if round <= fewRounds {
				pair = append(pair, b.copyOf(contenderFrozen, true, nil))
			}
		}
		pair = append(pair, b.verify())
		for _, c := range pair {
			if err := b.watch.time(ctx, c, round); err != nil {
				return err
			}
		}
		if round > fewRounds {
			continue
		}
		if err := b.edit(); err != nil {
			return err
		}
		if _, err := b.command("load", b.csv).run(ctx); err != nil {
			return err
		}
		if err := b.watch.time(ctx, b.edited(), round); err != nil {
			return err
		}
	}
	return nil
}

// onOneCPU runs both sides, and PostgreSQL, on one CPU.
func (b *warmBench) onOneCPU(ctx context.Context) error {
	all, err := cpusAllowed()
	if err != nil {
		return err
	}
	if err := b.watch.db.pin(b.servers); err != nil {
		return err
	}
	for round := 1; round <= min(fewRounds, b.Pairs); round++ {
		pair := []contender{b.full(contenderWarm+oneCPU, b.servers)}
		if b.psql != "" {
			pair = append(pair, b.copyOf(contenderShelf+oneCPU, false, b.servers))
		}
		for _, c := range pair {
			if err := b.watch.time(ctx, c, round); err != nil {
				return err
			}
		}
	}
	return b.watch.db.pin(all)
}

// plainSQL makes the blobs once in the way that needs no program.
func (b *warmBench) plainSQL(ctx context.Context) error {
	if b.psql == "" {
		return nil
	}
	return b.watch.time(ctx, contender{
		name: contenderSQL, products: 4 * b.Products, // for the time limit
		run: func(ctx context.Context) (usage, error) {
			return runPsql(ctx, b.psql, b.watch.db.server.URL(), sqlShelf, nil)
		},
		check: b.watch.db.sameBlobs,
	}, 0)
}

// large warms a larger catalogue once.
func (b *warmBench) large(ctx context.Context) error {
	if b.Large == 0 {
		return nil
	}
	if err := errors.Join(b.watch.db.exec(ctx, dropShelf), os.RemoveAll(b.blobs)); err != nil {
		return err
	}
	if err := b.publish(ctx, b.Large); err != nil {
		return err
	}
	c := b.full(b.largeName(), nil)
	c.products = b.Large
	return b.watch.time(ctx, c, 0)
}

func (b *warmBench) largeName() string {
	return contenderWarm + ", " + grouped(b.Large) + " products"
}

// full is a full warm. Names tell its variants apart.
func (b *warmBench) full(name string, cpus []int) contender {
	return contender{
		name: name, products: b.Products,
		run: func(ctx context.Context) (usage, error) {
			p := b.command("warm", "--full", "--report", b.reportPath())
			p.cpus = cpus
			return p.run(ctx)
		},
		check: func(ctx context.Context) error {
			shelf, err := b.watch.db.digest(ctx, "shelf")
			if err != nil {
				return err
			}
			return reportedIn(b.reportPath(), func(r *cli.WarmReport) bool { return r.Published == "a new shelf" && r.Found.Built == shelf.products })
		},
	}
}

func (b *warmBench) verify() contender {
	return contender{
		name: contenderVerify, products: b.Products,
		run: b.command("warm", "--verify", "--report", b.reportPath()).run,
		check: func(context.Context) error {
			return reportedIn(b.reportPath(), func(r *cli.VerifyReport) bool { return r.Compared == b.Products && r.Differ == 0 })
		},
	}
}

func (b *warmBench) edited() contender {
	return contender{
		name: contenderEdit, products: b.Products,
		run: b.command("warm", "--report", b.reportPath()).run,
		check: func(context.Context) error {
			return reportedIn(b.reportPath(), func(r *cli.WarmReport) bool {
				return r.Published == "differences" && r.Found.Changed == b.Products/editEvery && r.Found.New+r.Found.Removed == 0
			})
		},
	}
}

func (b *warmBench) copyOf(name string, frozen bool, cpus []int) contender {
	return contender{
		name: name, products: b.Products,
		run: func(ctx context.Context) (usage, error) {
			return runPsql(ctx, b.psql, b.watch.db.server.URL(), copyShelf(b.blobs, b.as, frozen), cpus)
		},
		check: func(ctx context.Context) error {
			got, err := b.watch.db.digest(ctx, shelfSchema)
			if err == nil && got != b.want {
				err = fmt.Errorf("the copy has %d products, the shelf %d, or their hashes differ", got.products, b.want.products)
			}
			return errors.Join(err, b.watch.db.sameAs(ctx, "shelf", shelfSchema))
		},
	}
}

func (b *warmBench) reportPath() string { return filepath.Join(b.work, "report.json") }

// reportedIn fails unless a report says what is expected.
func reportedIn[Report any](path string, expected func(*Report) bool) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the report: %w", err)
	}
	r := new(Report)
	if err := json.Unmarshal(text, r); err != nil {
		return fmt.Errorf("read the report: %w", err)
	}
	if !expected(r) {
		return fmt.Errorf("it did something else: %s", text)
	}
	return nil
}
