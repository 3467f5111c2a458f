package e2e

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	nethttp "net/http"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// background starts a program that the test does not wait for.
func background(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

// expected is what follows from a catalogue for the routes of a product.
func expected(p *product, contract string) map[string]any {
	path := fmt.Sprintf("/products/%d", p.id)
	return map[string]any{
		path: p.detail(contract), path + "/styles": p.allStyles(contract), path + "/related": p.relatedIDs(),
	}
}

// reading asks for products without pause until stop. Every answer has to be
// one that a catalogue of before gives, or, but then for good, one of after.
type reading struct {
	t   *testing.T
	url string

	mu       sync.Mutex
	reached  map[int]int // by product: the catalogue that it was last seen in
	requests int
	fault    error
	quit     chan struct{}
	readers  sync.WaitGroup
}

// read starts the readers. wants[c][i] are the routes of product i in the
// catalogue c.
func read(t *testing.T, url string, wants ...[]map[string]any) *reading {
	r := &reading{t: t, url: url, reached: map[int]int{}, quit: make(chan struct{})}
	client := &nethttp.Client{Transport: &nethttp.Transport{}}
	for range 2 {
		r.readers.Go(func() {
			for {
				select {
				case <-r.quit:
					return
				case <-time.After(time.Millisecond): // the programs want the processors too
				}
				if err := r.one(client, wants); err != nil {
					r.mu.Lock()
					r.fault = errors.Join(r.fault, err)
					r.mu.Unlock()
					return
				}
			}
		})
	}
	t.Cleanup(client.CloseIdleConnections)
	return r
}

func (r *reading) one(client *nethttp.Client, wants [][]map[string]any) error {
	i := rand.IntN(len(wants[0]))
	for path := range wants[0][i] { // in any order
		r.mu.Lock()
		from := r.reached[i]
		r.mu.Unlock()
		response, err := client.Get(r.url + path)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != nethttp.StatusOK {
			return fmt.Errorf("GET %s: %s, %w, %s", path, response.Status, err, body)
		}
		got := decode(r.t, body)
		for from < len(wants) && !reflect.DeepEqual(got, wants[from][i][path]) {
			from++
		}
		if from == len(wants) {
			return fmt.Errorf("GET %s: of no catalogue, or of one that was replaced: %s", path, body)
		}
		r.mu.Lock()
		r.requests++
		r.reached[i] = max(r.reached[i], from)
		r.mu.Unlock()
	}
	return nil
}

func (r *reading) stop() {
	r.t.Helper()
	close(r.quit)
	r.readers.Wait()
	if r.fault != nil {
		r.t.Error(r.fault)
	}
	if r.requests == 0 {
		r.t.Error("nothing was read")
	}
}

// catalogueIn computes the answers of the products of a directory.
func catalogueIn(t *testing.T, dir, contract string) (routes []map[string]any) {
	t.Helper()
	for _, p := range readCatalogue(t, dir).products {
		routes = append(routes, expected(p, contract))
	}
	return routes
}

// TestChangeUnderReaders: server, load and warm on one private database. The
// readers of the server see neither an error nor a product that is of both
// catalogues, and the last program to leave stops PostgreSQL.
func TestChangeUnderReaders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, ".hotshelf")
	must(t, dir, "sample", "old", "--products", "300", "--seed", "11")
	must(t, dir, "sample", "new", "--products", "300", "--seed", "12")
	for _, command := range [][]string{{"load", "old", "--quiet"}, {"warm", "--quiet"}} {
		if out := program(t, dir, command[0], command[1:]...); out != (result{}) {
			t.Errorf("%s: %+v", strings.Join(command, " "), out)
		}
	}
	if left := postgresOf(t, data); len(left) > 0 {
		t.Errorf("load and warm leave processes: %v", left)
	}
	before := catalogueIn(t, filepath.Join(dir, "old"), "pulsar")
	after := catalogueIn(t, filepath.Join(dir, "new"), "pulsar")
	atelier := catalogueIn(t, filepath.Join(dir, "new"), "atelier")

	s := serve(t, dir)
	r := read(t, s.url, before, after, atelier)
	must(t, dir, "load", "new", "--quiet")
	must(t, dir, "warm", "--quiet", "--accept")
	must(t, dir, "warm", "--quiet", "--contract", "atelier")
	showsAll(t, s, atelier)
	r.stop()
	if strings.Contains(s.printed(), "WARN") {
		t.Errorf("the server warns:\n%s", s.printed())
	}

	warm := background(t, dir, "warm", "--quiet", "--contract", "pulsar")
	until(t, "the warm uses PostgreSQL", func() bool { return warm.ProcessState != nil || usersOf(data) > 1 || ended(warm) })
	if code := s.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("SIGTERM: exit code %d\n%s", code, s.printed())
	}
	if err := warm.Wait(); err != nil {
		t.Errorf("the warm that outlived the server: %v", err)
	}
	if left := postgresOf(t, data); len(left) > 0 {
		t.Errorf("the last one out leaves processes: %v", left)
	}
}

// usersOf counts the programs that have a share in the data directory's
// PostgreSQL.
func usersOf(data string) (users int) {
	locks, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range locks {
		if target, err := os.Readlink(link); err == nil && target == filepath.Join(data, "users.lock") {
			users++
		}
	}
	return users
}

// ended says that a program is a zombie that waits for our Wait.
func ended(cmd *exec.Cmd) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	return err != nil || strings.Contains(string(text), ") Z ")
}

// showsAll waits until the server gives all of a catalogue's answers.
func showsAll(t *testing.T, s *server, routes []map[string]any) {
	t.Helper()
	for _, product := range routes {
		for path, want := range product {
			// What is looked up may be new before the feed has told of the rest.
			until(t, "the server shows "+path, func() bool {
				_, _, body := s.get(t, path)
				return reflect.DeepEqual(decode(t, body), want)
			})
		}
	}
}

// psql runs a statement; SQL of ours is in store alone, so the test looks from
// outside.
func psql(t *testing.T, url, sql string) string {
	t.Helper()
	path, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql isn't installed: what the database holds is not looked at")
	}
	out, err := exec.Command(path, "--no-psqlrc", "-qAt", "-d", url, "-c", sql).CombinedOutput()
	if err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestStartTogether: a first start that is broken off leaves nothing that runs;
// of two servers that then start together, one makes the sample, and both
// answer. A terminal that closes ends a server like Ctrl-C.
func TestStartTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, ".hotshelf")
	early := background(t, dir, "server", "--addr", "127.0.0.1:0")
	time.Sleep(time.Duration(100+rand.IntN(1500)) * time.Millisecond)
	_ = early.Process.Signal(syscall.SIGTERM)
	if err := early.Wait(); err != nil {
		t.Errorf("stopped while it starts: %v", err)
	}
	if left := postgresOf(t, data); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}

	var servers [2]*server
	var both sync.WaitGroup
	for i := range servers {
		both.Go(func() { servers[i] = serve(t, dir) })
	}
	both.Wait()
	if t.Failed() {
		return
	}
	_, one, _ := servers[0].get(t, "/products/1")
	status, other, _ := servers[1].get(t, "/products/1")
	if status != 200 || one.Get("ETag") != other.Get("ETag") {
		t.Errorf("two servers: %d, ETags %s and %s", status, one.Get("ETag"), other.Get("ETag"))
	}
	if made := strings.Count(servers[0].printed()+servers[1].printed(), "making a sample"); made > 1 {
		t.Errorf("%d samples were made", made)
	}
	for i, sent := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if ossignal.Ignored(sent) {
			sent = syscall.SIGTERM // the tests run under nohup, and so do the servers
		}
		if code := servers[i].stop(t, sent); code != 0 {
			t.Errorf("%v: exit code %d\n%s", sent, code, servers[i].printed())
		}
	}
	if left := postgresOf(t, data); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(data, "sample*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestGreeting: the address that the server names is one that a client can use.
func TestGreeting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	flag := "--database-url=" + pg.Database(t)
	for addr, host := range map[string]string{":0": "localhost", "0.0.0.0:0": "localhost", "[::1]:0": "[::1]"} {
		s := serve(t, dir, flag, "--addr", addr)
		if !strings.HasPrefix(s.url, "http://"+host+":") {
			t.Errorf("--addr %s: %s", addr, s.url)
		}
		if port, err := strconv.Atoi(s.url[strings.LastIndex(s.url, ":")+1:]); err != nil || port == 0 {
			t.Errorf("--addr %s: %s", addr, s.url)
		}
		if status, _, _ := s.get(t, "/healthz"); status != 200 {
			t.Errorf("--addr %s: /healthz answers %d", addr, status)
		}
		s.stop(t, syscall.SIGKILL)
	}
}
