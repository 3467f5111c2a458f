package e2e

import (
	"context"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hotshelf/hotshelf/embedded"
	"github.com/hotshelf/hotshelf/embedded/embedtest"
)

// ownPostgres starts a PostgreSQL that the test may do with as it likes.
func ownPostgres(t *testing.T, dir string) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(context.Background(), dir, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// killPostgres ends the PostgreSQL of a data directory as a crash does, and
// returns when nothing of it is left.
func killPostgres(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil || pid < 2 {
		t.Fatalf("postmaster.pid: %s", text)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "PostgreSQL is gone", func() bool { return len(postgresOf(t, dir)) == 0 })
}

// breakable publishes a sample in a PostgreSQL of its own.
func breakable(t *testing.T, products int) (dir, data, url string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hotshelf-") // of a short name, for the socket in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data = filepath.Join(dir, "data")
	url = ownPostgres(t, data).URL()
	must(t, dir, "sample", "csv", "--products", strconv.Itoa(products), "--seed", "7")
	must(t, dir, "load", "--database-url="+url, "csv", "--quiet")
	must(t, dir, "warm", "--database-url="+url, "--quiet")
	return dir, data, url
}

// readers read cached products without pause until stop. Every answer has to be
// there, whole, and right; it may say that it is stale.
type readers struct {
	mu           sync.Mutex
	fresh, stale int
	fault        error
	quit         chan struct{}
	all          sync.WaitGroup
}

func readCached(t *testing.T, s *server, paths []string) *readers {
	t.Helper()
	want := map[string]string{}
	for _, path := range paths {
		status, _, body := s.get(t, path)
		if status != 200 {
			t.Fatalf("%s: %d", path, status)
		}
		want[path] = string(body)
	}
	r := &readers{quit: make(chan struct{})}
	for range 2 {
		r.all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-r.quit:
					return
				case <-time.After(2 * time.Millisecond):
				}
				path := paths[n%len(paths)]
				err := func() error {
					status, header, body, err := getTagged(s.url+path, "")
					if err != nil {
						return err
					}
					stale := header.Get("Hotshelf-Stale")
					if status != 200 || body != want[path] || (stale != "") != (header.Get("Cache-Control") == "no-store") {
						return fmt.Errorf("%s: %d %v %s", path, status, header, body)
					}
					r.mu.Lock()
					defer r.mu.Unlock()
					if stale == "" {
						r.fresh++
					} else {
						r.stale++
					}
					return nil
				}()
				if err != nil {
					r.mu.Lock()
					r.fault = err
					r.mu.Unlock()
					return
				}
			}
		})
	}
	return r
}

func (r *readers) stop(t *testing.T) {
	t.Helper()
	close(r.quit)
	r.all.Wait()
	t.Logf("%d answers were fresh, %d said that they are stale", r.fresh, r.stale)
	if r.fault != nil || r.fresh == 0 || r.stale == 0 {
		t.Errorf("%d fresh, %d stale, %v", r.fresh, r.stale, r.fault)
	}
}

// TestOutage: a server whose PostgreSQL is killed goes on with what it
// has, says so, refuses the rest at once, and recovers by itself; and so does a
// server that starts meanwhile, once there is a database.
func TestOutage(t *testing.T) {
	t.Parallel()
	dir, data, url := breakable(t, 100)
	s := serve(t, dir, "--database-url="+url, "--admin-addr=off")
	cached := []string{"/products/1", "/products/2/styles", "/products/3/related", "/products/list?page=1&count=5", "/products?ids=1,2,3"}
	r := readCached(t, s, cached)

	const rounds = 2
	for round := range rounds {
		// What was not looked up since the database started is not known to be
		// of its present state, and so no longer there.
		for _, path := range cached {
			if status, _, body := s.get(t, path); status != 200 {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
		killPostgres(t, data)
		missed := fmt.Sprintf("/products/%d", 50+round)
		until(t, "answers say that they are stale", func() bool {
			_, header, _ := s.get(t, "/products/1")
			return header.Get("Hotshelf-Stale") != ""
		})
		if status, header, body := s.get(t, missed); status != 503 || header.Get("Retry-After") == "" || header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("a miss: %d %v %s", status, header, body)
		}
		_, header, _ := s.get(t, "/products/1")
		if status, header, _, err := getTagged(s.url+"/products/1", header.Get("ETag")); err != nil || status != 304 || header.Get("Hotshelf-Stale") == "" {
			t.Errorf("a stale 304: %d %v, %v", status, header, err)
		}
		if status, _, body := s.get(t, "/healthz"); status != 200 {
			t.Errorf("/healthz: %d %s", status, body)
		}

		ownPostgres(t, data)
		ready := time.Now()
		until(t, "what was missing is there", func() bool { status, _, _ := s.get(t, missed); return status == 200 })
		until(t, "no answer says that it is stale", func() bool {
			_, header, _ := s.get(t, "/products/1")
			return header.Get("Hotshelf-Stale") == ""
		})
		until(t, "the change feed is followed", func() bool { return strings.Count(s.printed(), "followed again") > round })
		t.Logf("recovered %v after PostgreSQL was ready", time.Since(ready))
	}
	r.stop(t)
	if log := s.printed(); strings.Count(log, "can't be followed") != rounds || strings.Count(log, "followed again") != rounds {
		t.Errorf("the log of %d outages:\n%s", rounds, log)
	}
}

// TestSilentOutage is TestOutage where nobody says that the database
// is gone: packets vanish.
func TestSilentOutage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database, _ := shop(t, dir, 100, "pulsar")
	link := embedtest.NewLink(t, strings.TrimPrefix(database, "--database-url="))
	s := serve(t, dir, "--database-url="+link.URL(), "--admin-addr=off")
	r := readCached(t, s, []string{"/products/1", "/products/2/styles", "/products/list?page=1&count=5"})
	link.Freeze()
	until(t, "answers say that they are stale", func() bool {
		_, header, _ := s.get(t, "/products/1")
		return header.Get("Hotshelf-Stale") != ""
	})
	if status, header, body := s.get(t, "/products/50"); status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("a miss: %d %v %s", status, header, body)
	}
	link.Cut() // what was on its way is lost
	link.Heal()
	healed := time.Now()
	until(t, "what was missing is there", func() bool { status, _, _ := s.get(t, "/products/50"); return status == 200 })
	until(t, "no answer says that it is stale", func() bool {
		_, header, _ := s.get(t, "/products/1")
		return header.Get("Hotshelf-Stale") == ""
	})
	t.Logf("recovered %v after the link was", time.Since(healed))
	r.stop(t)
}

// getTagged is get for goroutines. etag goes into If-None-Match.
func getTagged(url, etag string) (status int, header nethttp.Header, body string, err error) {
	request, err := nethttp.NewRequest(nethttp.MethodGet, url, nil)
	if err != nil {
		return 0, nil, "", err
	}
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	response, err := nethttp.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, response.Header, string(text), err
}
