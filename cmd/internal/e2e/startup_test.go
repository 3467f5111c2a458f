package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hotshelf/hotshelf/embedded/embedtest"
)

var pg embedtest.Server

// postgresOf lists the PostgreSQL processes of a data directory.
func postgresOf(t *testing.T, data string) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("this system has no /proc to find processes in")
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd")); err == nil && strings.HasPrefix(cwd, data) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestFirstStart goes through the life of a private database: made on the
// first start, stopped with the server, reused, killed, and reused again.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, ".hotshelf")
	first := serve(t, dir)
	until(t, "the greeting is complete", func() bool { return strings.Contains(first.printed(), "/related'\n") })
	tries := regexp.MustCompile(`curl '?(http[^'\s]+)`).FindAllStringSubmatch(first.printed(), -1)
	if len(tries) != 4 {
		t.Fatalf("%d curl lines in:\n%s", len(tries), first.printed())
	}
	var etag string
	for _, try := range tries {
		status, header, body := first.get(t, strings.TrimPrefix(try[1], first.url))
		if status != 200 || !json.Valid(body) {
			t.Errorf("%s: %d %s", try[1], status, body)
		}
		etag = header.Get("ETag")
	}
	if !strings.Contains(first.printed(), "making a sample catalogue") {
		t.Errorf("the first start does not say what it makes:\n%s", first.printed())
	}
	if len(postgresOf(t, data)) == 0 {
		t.Fatal("no process found: the next checks could not fail")
	}
	if code := first.stop(t, syscall.SIGINT); code != 0 {
		t.Errorf("Ctrl-C: exit code %d\n%s", code, first.printed())
	}
	if left := postgresOf(t, data); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}

	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		again := serve(t, dir)
		status, header, _ := again.get(t, "/products/1/related")
		if status != 200 || header.Get("ETag") != etag {
			t.Errorf("second start: %d, ETag %s, was %s", status, header.Get("ETag"), etag)
		}
		if strings.Contains(again.printed(), "sample") {
			t.Errorf("a later start makes a sample:\n%s", again.printed())
		}
		again.stop(t, signal)
	}
	if left := postgresOf(t, data); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(data, "sample-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestGivenDatabase: a database without a catalogue is left as it is; load
// and warm make the running server ready.
func TestGivenDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := "--database-url=" + pg.Database(t)
	s := serve(t, dir, url)
	ready := func() (int, string) {
		status, _, body := s.get(t, "/readyz")
		return status, string(body)
	}
	if status, body := ready(); status != 503 || !strings.Contains(body, "run load, then warm") {
		t.Errorf("/readyz without a catalogue: %d %s", status, body)
	}
	if status, header, body := s.get(t, "/products/1"); status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("a read without a catalogue: %d %s", status, body)
	}
	must(t, dir, "sample", "csv", "--products", "50", "--seed", "3")
	must(t, dir, "load", url, "csv", "--quiet")
	until(t, "the server asks for a warm", func() bool {
		status, body := ready()
		return status == 503 && strings.Contains(body, "run warm")
	})
	must(t, dir, "warm", url, "--quiet")
	until(t, "the server is ready", func() bool { status, _ := ready(); return status == 200 })
	if status, _, body := s.get(t, "/products/50"); status != 200 {
		t.Errorf("the last product: %d %s", status, body)
	}

	// The next catalogue replaces this one under the running server.
	must(t, dir, "sample", "larger", "--products", "80", "--seed", "4")
	must(t, dir, "load", url, "larger", "--quiet")
	if status, _, _ := s.get(t, "/products/80"); status != 404 {
		t.Errorf("a product that is only loaded: %d", status)
	}
	must(t, dir, "warm", url, "--quiet", "--accept")
	until(t, "the server shows the new catalogue", func() bool {
		status, _, _ := s.get(t, "/products/80")
		_, header, _ := s.get(t, "/products/list")
		return status == 200 && header.Get("X-Total-Count") == "80"
	})
	if code := s.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("SIGTERM: exit code %d\n%s", code, s.printed())
	}
}

// TestMessySample: the account of a load agrees with what the sample planted,
// kind by kind.
func TestMessySample(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := "--database-url=" + pg.Database(t)
	checkMessy(t, dir, url, 5_000)
	must(t, dir, "warm", url, "--quiet")
	s := serve(t, dir, url)
	if status, _, body := s.get(t, "/products/list?count=500"); status != 200 || !json.Valid(body) {
		t.Errorf("the list: %d %s", status, body)
	}
}

func checkMessy(t *testing.T, dir, url string, products int) {
	t.Helper()
	var planted struct {
		Files map[string]struct {
			Rows                       int64
			Repairs, Rejects, Warnings map[string]int64
		}
	}
	var report struct {
		Files map[string]struct {
			LinesRead                  int64 `json:"lines_read"`
			Loaded, Rejected           int64
			Repairs, Rejects, Warnings map[string]int64
		}
	}
	decodeInto(t, []byte(must(t, dir, "sample", "messy", "--products", strconv.Itoa(products), "--edition", "messy")), &planted)
	must(t, dir, "load", url, "messy", "--quiet", "--report", "report.json")
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	decodeInto(t, text, &report)
	if len(planted.Files) != 6 || len(report.Files) != 6 {
		t.Fatalf("%d and %d files", len(planted.Files), len(report.Files))
	}
	rejected := int64(0)
	for name, p := range planted.Files {
		r := report.Files[name]
		if r.LinesRead != p.Rows || r.Loaded+r.Rejected != r.LinesRead {
			t.Errorf("%s: %d rows planted, %d lines read, %d loaded, %d rejected", name, p.Rows, r.LinesRead, r.Loaded, r.Rejected)
		}
		for what, pair := range map[string][2]map[string]int64{
			"repairs": {p.Repairs, r.Repairs}, "rejects": {p.Rejects, r.Rejects}, "warnings": {p.Warnings, r.Warnings},
		} {
			kinds := map[string]bool{}
			for k := range pair[0] {
				kinds[k] = true
			}
			for k := range pair[1] {
				kinds[k] = true
			}
			for k := range kinds {
				if pair[0][k] != pair[1][k] {
					t.Errorf("%s, %s %s: %d planted, %d found", name, what, k, pair[0][k], pair[1][k])
				}
			}
		}
		rejected += r.Rejected
	}
	rejects, err := os.ReadFile(filepath.Join(dir, "rejects.csv"))
	if err != nil || rejected == 0 || !bytes.HasPrefix(rejects, []byte("file,line,reason,text\n")) {
		t.Errorf("the reject file of %d lines begins with %.60q, %v", rejected, rejects, err)
	}
	if lines := int64(bytes.Count(rejects, []byte("\n"))) - 1; lines < rejected {
		t.Errorf("the reject file has %d lines for %d rejects", lines, rejected)
	}
}

func decodeInto(t *testing.T, text []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
}
