package e2e

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKilled: three kills and two polite stops.
func TestKilled(t *testing.T) {
	t.Parallel()
	killed(t, 1, 8_000)
}

// killed ends loads and warms in the middle, asked and unasked, while a server
// answers: nobody notices, and the next load and warm succeed, account for
// every line and leave nothing behind. Each round does that to a catalogue of
// its own, of so many products.
func killed(t *testing.T, rounds, products int) {
	dir := t.TempDir()
	url := pg.Database(t)
	flag := "--database-url=" + url
	must(t, dir, "sample", "old", "--products", "200", "--seed", "21")
	must(t, dir, "load", flag, "old", "--quiet")
	must(t, dir, "warm", flag, "--quiet")
	live := catalogueIn(t, filepath.Join(dir, "old"), "pulsar")
	s := serve(t, dir, flag)
	k := killing{t, dir, map[string]time.Duration{"load": time.Second / 2, "warm": time.Second / 2}}
	for round := range rounds {
		name := "new" + strconv.Itoa(round)
		must(t, dir, "sample", name, "--products", strconv.Itoa(products), "--seed", strconv.Itoa(22+round))
		next := catalogueIn(t, filepath.Join(dir, name), "pulsar")[:200]
		spoil(t, filepath.Join(dir, name, "photos.csv"), round+1)

		r := read(t, s.url, live)
		load := []string{"load", flag, name, "--quiet", "--report=report.json"}
		for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
			k.end(signal, load...)
		}
		k.again(load...)
		r.stop()
		accountCloses(t, filepath.Join(dir, "report.json"), url, "catalog_next", int64(round+1))

		// A warm may be through before the signal comes.
		r = read(t, s.url, live, next)
		warm := []string{"warm", flag, "--quiet", "--accept"}
		for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
			k.end(signal, append(warm, "--full")...)
		}
		k.again(warm...)
		showsAll(t, s, next)
		r.stop()
		accountCloses(t, filepath.Join(dir, "report.json"), url, "catalog", int64(round+1))
		must(t, dir, "warm", flag, "--quiet", "--verify")
		live = next
	}
	schemas := psql(t, url, `select string_agg(nspname, ' ' order by nspname) from pg_namespace where nspname !~ '^(pg_|information|public)'`)
	if schemas != "catalog hotshelf shelf" {
		t.Errorf("schemas: %s", schemas)
	}
	if busy := psql(t, url, `select count(*) from pg_stat_activity where application_name ~ '^hotshelf (load|warm)' and datname = current_database()`); busy != "0" {
		t.Errorf("%s connections of killed programs are left", busy)
	}
}

// spoil adds lines to a file that a load has to reject, ahead of the others so
// that a load which is cut short has met them too.
func spoil(t *testing.T, path string, lines int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rows, _ := strings.Cut(string(text), "\n")
	if err := os.WriteFile(path, []byte(head+"\n"+strings.Repeat("x,1,\"https://a\",\"https://b\"\n", lines)+rows), 0o644); err != nil {
		t.Fatal(err)
	}
}

// accountCloses holds a report against the files and against what the tables
// hold: so many lines are rejected, and every other one is a row.
func accountCloses(t *testing.T, path, url, schema string, rejected int64) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Files map[string]struct {
			LinesRead        int64 `json:"lines_read"`
			Loaded, Rejected int64
		}
		Total struct{ Rejected int64 }
	}
	decodeInto(t, text, &report)
	if len(report.Files) != 6 || report.Total.Rejected != rejected {
		t.Errorf("%d files, %d lines rejected, want %d", len(report.Files), report.Total.Rejected, rejected)
	}
	for name, f := range report.Files {
		table := strings.TrimSuffix(name, ".csv")
		if table == "product" {
			table = "products"
		}
		rows := psql(t, url, `select count(*) from `+schema+`.`+table)
		if f.LinesRead == 0 || f.Loaded+f.Rejected != f.LinesRead || strconv.FormatInt(f.Loaded, 10) != rows {
			t.Errorf("%s: %d lines read, %d loaded, %d rejected, and %s rows", name, f.LinesRead, f.Loaded, f.Rejected, rows)
		}
	}
}

// killing ends programs in the middle.
type killing struct {
	t     *testing.T
	dir   string
	takes map[string]time.Duration // how long a program's last whole run took
}

// end starts a program and ends it at a random moment of the time that it
// takes. One that had not begun, because the one before was not quite gone, or
// that was through already is started once more.
func (k *killing) end(signal syscall.Signal, command ...string) {
	k.t.Helper()
	for range 50 {
		cmd := exec.Command(filepath.Join(bin, command[0]), command[1:]...)
		cmd.Dir = k.dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			k.t.Fatal(err)
		}
		began, through := time.Now(), make(chan struct{})
		go func() {
			defer close(through)
			_ = cmd.Wait()
		}()
		pause := time.Duration(rand.Int64N(int64(k.takes[command[0]])))
		select {
		case <-time.After(pause):
			_ = cmd.Process.Signal(signal)
			<-through
		case <-through:
		}
		code := cmd.ProcessState.ExitCode()
		if code == 0 {
			k.takes[command[0]] = min(k.takes[command[0]], time.Since(began))
		}
		k.t.Logf("%s: %v after %v, exit code %d", command[0], signal, pause, code)
		switch {
		case code == 0 || strings.Contains(stderr.String(), "run one at a time"):
		case signal == syscall.SIGKILL && code == -1:
			return
		case signal != syscall.SIGKILL && (code == 1 && strings.Contains(stderr.String(), "stopped before it was done") || code == -1):
			return // -1 before it has asked to be told of signals
		default:
			k.t.Fatalf("%s: %v after %v: exit code %d, %s", command[0], signal, pause, code, stderr.String())
		}
	}
	k.t.Fatalf("%s was never in the middle", command[0])
}

// again runs a program as somebody does who has seen another one killed: a
// server may take a moment to see that its client is gone.
func (k *killing) again(command ...string) {
	k.t.Helper()
	var r result
	until(k.t, strings.Join(command, " "), func() bool {
		began := time.Now()
		r = program(k.t, k.dir, command[0], command[1:]...)
		k.takes[command[0]] = time.Since(began)
		return r.code == 0 || !strings.Contains(r.stderr, "run one at a time")
	})
	if r.code != 0 {
		k.t.Fatalf("%s: %d %s", command[0], r.code, r.stderr)
	}
}

// TestDatabaseKilled: PostgreSQL goes in the middle of a load. What was live is
// there when it comes back, and the next load and warm succeed.
func TestDatabaseKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, ".hotshelf")
	must(t, dir, "sample", "old", "--products", "200", "--seed", "31")
	must(t, dir, "sample", "new", "--products", "20000", "--seed", "32")
	must(t, dir, "load", "old", "--quiet")
	must(t, dir, "warm", "--quiet")

	rejects := filepath.Join(dir, "rejects.csv")
	if err := os.Remove(rejects); err != nil {
		t.Fatal(err)
	}
	ended := make(chan result)
	go func() { ended <- program(t, dir, "load", "new", "--report=report.json") }()
	until(t, "the load begins", func() bool { _, err := os.Stat(rejects); return err == nil })
	time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	text, err := os.ReadFile(filepath.Join(data, "postgres", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	postmaster, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(postmaster, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r := <-ended
	if r.code != 1 || !strings.Contains(r.stderr, "the database is unavailable") || r.stdout != "" {
		t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "report.json")); err == nil {
		t.Error("a load that has lost its database reports on the files")
	}
	s := serve(t, dir)
	showsAll(t, s, catalogueIn(t, filepath.Join(dir, "old"), "pulsar"))
	must(t, dir, "load", "new", "--quiet")
	must(t, dir, "warm", "--quiet", "--accept")
	showsAll(t, s, catalogueIn(t, filepath.Join(dir, "new"), "pulsar")[:200])
}
