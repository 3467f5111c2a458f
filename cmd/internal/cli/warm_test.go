package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/sample"
	"github.com/hotshelf/hotshelf/store"
)

var quiet = IO{Stdout: io.Discard, Stderr: io.Discard}

// live loads and publishes a sample catalogue as an import.
func live(t *testing.T, products int64) (db *store.DB, dir, url string) {
	t.Helper()
	url = pg.Database(t)
	db, err := store.Open(t.Context(), url, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	dir = filepath.Join(t.TempDir(), "csv")
	if _, err := sample.Write(t.Context(), sample.Options{Dir: dir, Products: products, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	load(t, db, dir)
	warmed(t, db, WarmJob{})
	return db, dir, url
}

func load(t *testing.T, db *store.DB, dir string) {
	t.Helper()
	if err := Load(t.Context(), db, LoadJob{Dir: dir, Source: "import", Quiet: true}, quiet); err != nil {
		t.Fatal(err)
	}
}

// warmed runs a warm that has to succeed, and returns its report.
func warmed(t *testing.T, db *store.DB, job WarmJob) (r WarmReport) {
	t.Helper()
	if job.Guard == (Guard{}) {
		job.Guard = Guard{MaxGone: 10, MaxMoved: 10}
	}
	job.Quiet, job.Report = true, filepath.Join(t.TempDir(), "report.json")
	if err := Warm(t.Context(), db, job, quiet); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(job.Report)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// verified fails where a stored blob is not what its rows give.
func verified(t *testing.T, db *store.DB) {
	t.Helper()
	var said bytes.Buffer
	if err := Verify(t.Context(), db, VerifyJob{Quiet: true}, IO{Stdout: &said, Stderr: io.Discard}); err != nil {
		t.Errorf("%v\n%.2000s", err, said.String())
	}
}

// writers write at random until they are stopped, and watch that no product's
// version goes back.
type writers struct {
	stop func()
	all  sync.WaitGroup
	done atomic.Int64
}

func startWriters(t *testing.T, db *store.DB, products int64) *writers {
	ctx, cancel := context.WithCancel(t.Context())
	w := &writers{stop: cancel}
	fail := func(err error) {
		if ctx.Err() == nil {
			t.Error(err)
		}
	}
	for seed := range uint64(2) {
		w.all.Go(func() {
			random := rand.New(rand.NewPCG(seed, 7))
			for ctx.Err() == nil {
				id := 1 + random.Int64N(products)
				var err error
				switch random.IntN(10) {
				case 0:
					_, err = db.Delete(ctx, id, nil)
				case 1:
					_, err = db.Create(ctx, parsed(t, `{"name":"new","category":"c","default_price":1,"styles":[{"name":"s","original_price":"1.50","skus":[{"size":"XS","quantity":8}]}]}`, false))
				default:
					_, err = db.Update(ctx, id, parsed(t, fmt.Sprintf(`{"slogan":"%d","default_price":%d}`, random.Int64(), random.IntN(1000)), true), nil)
				}
				if err != nil && !strings.Contains(err.Error(), blob.ErrNotFound.Error()) {
					fail(err)
					return
				}
				w.done.Add(1)
			}
		})
	}
	w.all.Go(func() {
		newest := map[int64]int64{}
		for ctx.Err() == nil {
			ids := make([]int64, 0, 50)
			for range cap(ids) {
				ids = append(ids, 1+rand.Int64N(products))
			}
			rows, err := db.Lookup(ctx, ids)
			if err != nil {
				fail(err)
				return
			}
			for _, r := range rows {
				if r.Version < newest[r.ProductID] {
					t.Errorf("product %d went from version %d to %d", r.ProductID, newest[r.ProductID], r.Version)
				}
				newest[r.ProductID] = r.Version
			}
		}
	})
	return w
}

func parsed(t *testing.T, body string, update bool) *blob.Input {
	in, err := blob.ParseInput([]byte(body), update)
	if err != nil {
		t.Error(err)
	}
	return in
}

// TestWarmBesideWrites: writes that come while a warm runs are in what goes
// live, whichever way it is published.
func TestWarmBesideWrites(t *testing.T) {
	const products = 600
	for name, job := range map[string]WarmJob{
		"differences":        {},
		"a new shelf":        {Full: true},
		"the other contract": {Contract: "atelier"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, _, _ := live(t, products)
			w := startWriters(t, db, products)
			var rebuilt int64
			for n := 0; n < 10 && (n < 3 || rebuilt == 0); n++ {
				rebuilt += warmed(t, db, job).Rebuilt.Built
				if job.Contract != "" {
					job.Contract = []string{"pulsar", "atelier"}[n%2]
				}
			}
			w.stop()
			w.all.Wait()
			if rebuilt == 0 || w.done.Load() == 0 {
				t.Errorf("%d writes, %d products built again: nothing was tested", w.done.Load(), rebuilt)
			}
			verified(t, db)
		})
	}
}

// TestSameImportTwice: no version, no ETag and no cache entry changes.
func TestSameImportTwice(t *testing.T) {
	t.Parallel()
	db, dir, _ := live(t, 50)
	before, head := shelf(t, db), state(t, db).Head
	load(t, db, dir)
	if r := warmed(t, db, WarmJob{}); r.Published != "nothing" || r.Found.Unchanged != 50 || r.Impact == nil {
		t.Errorf("%+v", r)
	}
	after := state(t, db)
	if after.LoadWaits || after.Head != head {
		t.Errorf("feed's head %d, then %+v", head, after)
	}
	for id, was := range before {
		if now := shelf(t, db)[id]; now != was {
			t.Fatalf("product %d: %s, then %s", id, was, now)
		}
	}
}

// psql looks into the database, or changes it, behind hotshelf's back: SQL of
// ours is in store alone.
func psql(t *testing.T, url, sql string) string {
	t.Helper()
	path, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql isn't installed")
	}
	out, err := exec.Command(path, "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql).CombinedOutput()
	if err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	return string(out)
}

func state(t *testing.T, db *store.DB) store.State {
	t.Helper()
	s, err := db.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// edit replaces one file of a catalogue by what change makes of its lines, the
// header left out.
func edit(t *testing.T, dir, file string, change func(lines []string) []string) {
	t.Helper()
	path := filepath.Join(dir, file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header, rest, _ := strings.Cut(strings.TrimRight(string(text), "\n"), "\n")
	lines := append([]string{header}, change(strings.Split(rest, "\n"))...)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// price replaces the price of a line of product.csv.
func price(line, price string) string { return line[:strings.LastIndexByte(line, ',')+1] + price }

// TestImportOfDifferences: little that differs is written into the shelf that
// is live, much makes a new one; both give what the rows give.
func TestImportOfDifferences(t *testing.T) {
	t.Parallel()
	db, dir, _ := live(t, 200)
	before := shelf(t, db)
	edit(t, dir, "product.csv", func(lines []string) []string {
		lines[5] = price(lines[5], "12.34")
		return lines[:len(lines)-1] // the last one goes
	})
	load(t, db, dir)
	r := warmed(t, db, WarmJob{})
	// The products that listed the one that is gone have changed too.
	if r.Published != "differences" || r.Generation != 1 || r.Found.Removed != 1 || r.Found.Changed < 1 || r.Found.Changed > 9 {
		t.Errorf("%+v", r)
	}
	kept := int64(0)
	for id, now := range shelf(t, db) {
		if now == before[id] {
			kept++
		}
	}
	if kept != r.Found.Unchanged {
		t.Errorf("%d products are as they were, the report says %d", kept, r.Found.Unchanged)
	}
	verified(t, db)

	edit(t, dir, "product.csv", func(lines []string) []string {
		for i := range lines[:100] {
			lines[i] = price(lines[i], "1.23")
		}
		return lines
	})
	load(t, db, dir)
	if r := warmed(t, db, WarmJob{Accept: true}); r.Published != "a new shelf" || r.Generation != 2 || r.Found.Unchanged == 0 {
		t.Errorf("%+v", r)
	}
	verified(t, db)
}

// TestGuard: what looks like a broken export waits for somebody to say that it
// is meant, and nothing changes until then.
func TestGuard(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file    string
		spoil   func(lines []string) []string
		want    string
		allowed WarmJob
	}{
		"cut short": {
			"product.csv", func(lines []string) []string { return lines[:len(lines)*8/10] },
			"20 of the 100 live products would be gone (--max-gone 10%)",
			WarmJob{Guard: Guard{MaxGone: 60, MaxMoved: 10}},
		},
		"skus cut short": {
			"skus.csv", func(lines []string) []string { return lines[:len(lines)/2] },
			"rows of skus would be gone (--max-gone 10%)",
			WarmJob{Accept: true},
		},
		"styles cut short": {
			"styles.csv", func(lines []string) []string { return lines[:len(lines)/2] },
			"rows of styles would be gone (--max-gone 10%)",
			WarmJob{Accept: true},
		},
		"sale prices in cents": {
			"styles.csv", func(lines []string) []string {
				for i, line := range lines {
					f := strings.Split(line, ",")
					// From the end, for a name may hold commas.
					if n := len(f); f[n-3] != "null" && f[n-3] != "0" {
						f[n-3] += "00"
						f[n-3] = strings.Replace(f[n-3], ".", "", 1)
					}
					lines[i] = strings.Join(f, ",")
				}
				return lines
			},
			"prices of styles would change by more than half (--max-moved 10%)",
			WarmJob{Accept: true},
		},
		"prices in cents": {
			"product.csv", func(lines []string) []string {
				for i := range lines {
					lines[i] = price(lines[i], "999999")
				}
				return lines
			},
			"100 of the 100 prices of products would change by more than half (--max-moved 10%)",
			WarmJob{Accept: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, dir, _ := live(t, 100)
			before := shelf(t, db)
			edit(t, dir, c.file, c.spoil)
			load(t, db, dir)
			err := Warm(t.Context(), db, WarmJob{Guard: Guard{MaxGone: 10, MaxMoved: 10}, Quiet: true}, quiet)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "--accept") {
				t.Errorf("Warm: %v", err)
			}
			if s := state(t, db); !s.LoadWaits || fmt.Sprint(shelf(t, db)) != fmt.Sprint(before) {
				t.Errorf("something has changed: %+v", s)
			}
			warmed(t, db, c.allowed)
			verified(t, db)
		})
	}
}

// TestImpactOfDifferences: what an import would do is the same whether all
// products are compared or those that differ.
func TestImpactOfDifferences(t *testing.T) {
	t.Parallel()
	db, dir, _ := live(t, 100)
	edit(t, dir, "product.csv", func(lines []string) []string {
		lines[3], lines[7] = price(lines[3], "0.01"), price(lines[7], "9999")
		// Product 100 goes, and its id comes back as another one's.
		lines[99] = "1" + lines[99]
		return lines
	})
	edit(t, dir, "styles.csv", func(lines []string) []string {
		for i, line := range lines[:20] {
			f := strings.Split(line, ",")
			switch n := len(f); i % 4 {
			case 0:
				f[n-2] = "7.5" // the original price
			case 1:
				f[n-3] = "3" // on sale
			case 2:
				f[1] = "50" // another product's
			}
			lines[i] = strings.Join(f, ",")
		}
		return append(lines[:30], lines[33:]...)
	})
	load(t, db, dir)
	w, err := db.BeginWarm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := w.Impact(t.Context())
	w.Close()
	if err != nil || all.Gone != 1 || all.New != 1 || all.Prices.Moved < 2 || all.Styles.Up+all.Styles.Down < 5 || all.Rows[0].Gone < 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	got := warmed(t, db, WarmJob{Accept: true})
	if got.Impact == nil || !reflect.DeepEqual(*got.Impact, all) {
		t.Errorf("of the differences %+v\nof all %+v", got.Impact, all)
	}
	verified(t, db)
}

// TestVerifyFindsWhatIsWrong: a blob that was changed behind hotshelf's back is
// found, and --products mends it with a new version.
func TestVerifyFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	db, _, url := live(t, 30)
	before := shelf(t, db)
	psql(t, url, `update shelf.blobs set related = '[77]' where product_id = 7`)
	var said bytes.Buffer
	err := Verify(t.Context(), db, VerifyJob{}, IO{Stdout: &said, Stderr: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "1 of 30 products") || !strings.Contains(err.Error(), "--products=7") ||
		!strings.Contains(said.String(), "product 7, related: at byte 1") {
		t.Errorf("Verify: %v\n%s", err, said.String())
	}
	r := warmed(t, db, WarmJob{Products: []int64{7, 8, 99}})
	if want := (store.Rebuilt{Built: 2, Unchanged: 1, Changed: 1, Unknown: 1}); r.Rebuilt != want || r.Published != "differences" {
		t.Errorf("%+v", r)
	}
	verified(t, db)
	after := shelf(t, db)
	for id, was := range before {
		if changed := after[id] != was; changed != (id == 7) {
			t.Errorf("product %d: %s, then %s", id, was, after[id])
		}
	}
}

// TestWrittenSince: an import that would take back what was written through
// the API since the last one waits for somebody to say that it is meant, also
// where the write comes while the warm runs. A sample gives way.
func TestWrittenSince(t *testing.T) {
	t.Parallel()
	db, dir, _ := live(t, 60)
	update := func(id int64) {
		t.Helper()
		if _, err := db.Update(t.Context(), id, parsed(t, `{"slogan":"written"}`, true), nil); err != nil {
			t.Fatal(err)
		}
	}
	slogans := func() (written int) {
		for _, stored := range shelf(t, db) {
			written += strings.Count(stored, `"slogan": "written"`)
		}
		return written
	}
	refused := func(job WarmJob, want string) {
		t.Helper()
		job.Quiet, job.Guard = true, Guard{MaxGone: 10, MaxMoved: 10}
		err := Warm(t.Context(), db, job, quiet)
		if !errors.Is(err, store.ErrWritten) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--discard-writes") {
			t.Errorf("Warm: %v, want %q", err, want)
		}
		if !state(t, db).LoadWaits {
			t.Error("the load waits no longer")
		}
	}
	for id := range int64(12) {
		update(id + 1)
	}
	if _, err := db.Delete(t.Context(), 3, nil); err != nil {
		t.Fatal(err)
	}
	// Without a load, a warm takes nothing back.
	warmed(t, db, WarmJob{})
	load(t, db, dir)
	refused(WarmJob{}, "12 of them: 1, 2, 3 (deleted), 4, 5, 6, 7, 8, 9, 10, …")
	refused(WarmJob{Accept: true, Full: true}, "12 of them")
	if n := slogans(); n != 11 {
		t.Errorf("%d products are as they were written", n)
	}
	warmed(t, db, WarmJob{DiscardWrites: true})
	if n := slogans(); n != 0 || len(shelf(t, db)) != 60 {
		t.Errorf("%d of %d products are as they were written", n, len(shelf(t, db)))
	}
	verified(t, db)

	// The import that is live now has not been written to.
	load(t, db, dir)
	warmed(t, db, WarmJob{})

	load(t, db, dir)
	w, err := db.BeginWarm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.RefuseWritten(t.Context()); err != nil {
		t.Fatal(err)
	}
	update(60)
	if _, err := w.Publish(t.Context(), store.Publication{}); !errors.Is(err, store.ErrWritten) {
		t.Errorf("Publish after a write: %v", err)
	}
	w.Close()
	if slogans() != 1 {
		t.Error("the write is gone")
	}
}

func TestSampleGivesWay(t *testing.T) {
	t.Parallel()
	db, dir, url := live(t, 60)
	psql(t, url, `update hotshelf.catalogue set source = 'sample'`)
	if _, err := db.Update(t.Context(), 1, parsed(t, `{"slogan":"written"}`, true), nil); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, "product.csv", func(lines []string) []string { return lines[:30] })
	load(t, db, dir)
	if r := warmed(t, db, WarmJob{}); r.Found.Removed != 30 {
		t.Errorf("%+v", r)
	}
	verified(t, db)
}

// TestShelfSize holds the estimate against what a new shelf really takes.
func TestShelfSize(t *testing.T) {
	t.Parallel()
	db, _, url := live(t, 2000)
	w, err := db.BeginVerify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	guess, err := w.ShelfSize(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	taken, err := strconv.ParseInt(strings.TrimSpace(psql(t, url, `select pg_total_relation_size('shelf.blobs')`)), 10, 64)
	if err != nil || guess < taken-taken/10 || guess > taken+taken/2 {
		t.Errorf("a shelf is thought to take %d bytes, and takes %d: %v", guess, taken, err)
	}
}

// TestDumpIsNotMixed: while pg_dump reads the database nothing is published, or
// the dump would have tables of two catalogues.
func TestDumpIsNotMixed(t *testing.T) {
	t.Parallel()
	db, _, url := live(t, 20)
	path, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql isn't installed")
	}
	dump := exec.Command(path, "--no-psqlrc", "-qAt", "-d", url)
	dump.Env = append(os.Environ(), "PGAPPNAME=pg_dump")
	in, err := dump.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := dump.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := dump.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = dump.Wait() }()
	fmt.Fprintln(in, "begin isolation level repeatable read; select 'reading';")
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "reading\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := Warm(t.Context(), db, WarmJob{Full: true, Quiet: true}, quiet); err == nil || !strings.Contains(err.Error(), "pg_dump is reading") {
		t.Errorf("Warm: %v", err)
	}
	fmt.Fprintln(in, "commit;")
	_ = in.Close()
	if err := dump.Wait(); err != nil {
		t.Fatal(err)
	}
	warmed(t, db, WarmJob{Full: true})
}

// TestRemovedByGaps: products that are on the shelf between those of an import,
// and behind them, are found in whatever ranges they come.
func TestRemovedByGaps(t *testing.T) {
	t.Parallel()
	db, dir, _ := live(t, 5000)
	edit(t, dir, "product.csv", func(lines []string) (kept []string) {
		for _, line := range lines {
			id, _, _ := strings.Cut(line, ",")
			if n, err := strconv.Atoi(id); err == nil && (n == 1 || n == 4200) {
				kept = append(kept, line)
			}
		}
		return kept
	})
	load(t, db, dir)
	if r := warmed(t, db, WarmJob{Accept: true}); r.Found.Built != 2 || r.Found.Removed != 4998 {
		t.Errorf("%+v", r.Found)
	}
	verified(t, db)
}
