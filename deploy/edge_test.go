package deploy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// edgeNames are the names that nginx's template leaves to whoever renders it.
var edgeNames = []string{"LEGACY_UPSTREAM", "LISTEN", "RESOLVER", "SERVERS", "SERVERS_ANYWAY"}

var edgeName = regexp.MustCompile(`\$\{([A-Z_]+)\}`)

// What the lines of the two lists end in.
const (
	failing = "max_fails=3 fail_timeout=3s"
	anyway  = "max_fails=0"
)

// upstream lists servers as the template says.
func upstream(parameters string, addresses ...string) string {
	var lines []string
	for _, a := range addresses {
		lines = append(lines, "server "+a+" "+parameters+";")
	}
	return strings.Join(lines, "\n    ")
}

// edge starts an nginx of the test's own with the shipped configuration, and
// returns its URL.
func edge(t *testing.T, legacy string, servers ...string) string {
	t.Helper()
	nginx := need(t, "nginx")
	dir, address := t.TempDir(), freeAddress(t)
	values := map[string]string{
		"LISTEN": address, "RESOLVER": "127.0.0.1", "LEGACY_UPSTREAM": legacy,
		"SERVERS":        upstream(failing, servers...),
		"SERVERS_ANYWAY": upstream(anyway, servers...),
	}
	conf := edgeName.ReplaceAllStringFunc(readFile(t, "deploy/nginx/hotshelf.conf.template"), func(name string) string {
		return values[edgeName.FindStringSubmatch(name)[1]]
	})
	frame := readFile(t, "deploy/nginx/nginx.conf")
	for old, replacement := range map[string]string{
		"/etc/nginx/conf.d/*.conf": filepath.Join(dir, "hotshelf.conf"),
		// What an ordinary user may not write to.
		"http {\n": "http {\n    client_body_temp_path " + dir + "/body;\n    proxy_temp_path " + dir + "/proxy;\n" +
			"    fastcgi_temp_path " + dir + "/fastcgi;\n    uwsgi_temp_path " + dir + "/uwsgi;\n    scgi_temp_path " + dir + "/scgi;\n",
	} {
		if !strings.Contains(frame, old) {
			t.Fatalf("nginx.conf has no %q", old)
		}
		frame = strings.Replace(frame, old, replacement, 1)
	}
	for name, text := range map[string]string{"hotshelf.conf": conf, "nginx.conf": frame} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := background(t, exec.Command(nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"),
		"-g", "daemon off; pid "+filepath.Join(dir, "nginx.pid")+";"))
	// The master has to end its workers itself.
	t.Cleanup(func() { p.stop(syscall.SIGTERM) })
	until(t, "nginx answers", p, func() bool { return status("http://"+address+"/metrics") == http.StatusNotFound })
	return "http://" + address
}

func TestEdgeTemplateNames(t *testing.T) {
	names := map[string]bool{}
	for _, match := range edgeName.FindAllStringSubmatch(readFile(t, "deploy/nginx/hotshelf.conf.template"), -1) {
		names[match[1]] = true
	}
	if got := slices.Sorted(maps.Keys(names)); !slices.Equal(got, edgeNames) {
		t.Errorf("the template asks for %q, its users give %q", got, edgeNames)
	}
}

// TestEdgeReadsSurvive: of two servers, one is stopped and one is killed while
// clients read, and no read fails.
func TestEdgeReadsSurvive(t *testing.T) {
	need(t, "nginx")
	database := catalogue(t)
	addresses := []string{freeAddress(t), freeAddress(t)}
	servers := []*process{serve(t, addresses[0], database), serve(t, addresses[1], database)}
	url := edge(t, "", addresses...)

	paths := []string{"/products/1", "/products/2/styles", "/products/3/related", "/products/list?count=5", "/products?ids=5,4"}
	want := map[string]string{}
	for _, path := range paths {
		want[path] = body(t, "http://"+addresses[0]+path)
	}
	var (
		done   atomic.Int64
		faults = make(chan string, 1)
		quit   = make(chan struct{})
		all    sync.WaitGroup
	)
	for reader := range 4 {
		all.Go(func() {
			for i := reader; ; i++ {
				select {
				case <-quit:
					return
				case <-time.After(5 * time.Millisecond): // together well below the edge's limit
				}
				path := paths[i%len(paths)]
				response, err := http.Get(url + path)
				fault := fmt.Sprint(err)
				if err == nil {
					text, err := io.ReadAll(response.Body)
					_ = response.Body.Close()
					fault = fmt.Sprintf("%s, %v: %s", response.Status, err, text)
					if err == nil && response.StatusCode == http.StatusOK && string(text) == want[path] {
						done.Add(1)
						continue
					}
				}
				select {
				case faults <- "GET " + path + ": " + fault:
				default:
				}
			}
		})
	}
	// more waits for so many more reads.
	more := func(p *process, n int64) {
		t.Helper()
		from := done.Load()
		until(t, "the reads go on", p, func() bool { return done.Load() >= from+n || len(faults) > 0 })
	}
	more(servers[0], 100)
	for round, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM} {
		i := round % 2
		servers[i].stop(signal)
		more(servers[1-i], 150)
		servers[i] = serve(t, addresses[i], database)
		more(servers[i], 100)
	}
	close(quit)
	all.Wait()
	if len(faults) > 0 {
		t.Errorf("a read failed: %s", <-faults)
	}
	t.Logf("%d reads", done.Load())
}

// backend is a server whose behaviour a test decides.
type backend struct {
	*httptest.Server
	handle atomic.Pointer[http.HandlerFunc]
	seen   atomic.Int64
}

func newBackend(t *testing.T, handle http.HandlerFunc) *backend {
	b := &backend{}
	b.handle.Store(&handle)
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.seen.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		(*b.handle.Load())(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) address() string { return b.Listener.Addr().String() }

// breakOff ends the connection without an answer.
func breakOff(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func unavailable(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, `{"status":503}`)
}

func fine(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") }

// TestEdgeRetriesReadsOnly: a failing server costs a read nothing, and nothing
// else is ever sent twice, whatever became of it.
func TestEdgeRetriesReadsOnly(t *testing.T) {
	for name, fault := range map[string]http.HandlerFunc{"breaks off": breakOff, "answers 503": unavailable} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			t.Run(method+" "+name, func(t *testing.T) {
				t.Parallel()
				bad, good := newBackend(t, fault), newBackend(t, fine)
				url := edge(t, "", bad.address(), good.address())
				read := method == "GET" || method == "HEAD"
				const requests = 4 // both servers take their turn
				failed := int64(0)
				for range requests {
					request, err := http.NewRequest(method, url+"/products/1", strings.NewReader(""))
					if err != nil {
						t.Fatal(err)
					}
					response, err := http.DefaultClient.Do(request)
					if err != nil {
						t.Fatal(err)
					}
					_ = response.Body.Close()
					if response.StatusCode != http.StatusOK {
						failed++
					}
				}
				switch {
				case bad.seen.Load() == 0:
					t.Fatal("the faulty server was never asked")
				case read && failed > 0:
					t.Errorf("%d of %d reads failed", failed, requests)
				case !read && (failed != bad.seen.Load() || bad.seen.Load()+good.seen.Load() != requests):
					t.Errorf("%d requests, %d failed, the servers saw %d and %d", requests, failed, bad.seen.Load(), good.seen.Load())
				}
			})
		}
	}
}

// TestEdgeWithoutDatabase: that every server refuses what it does not have in
// memory does not keep the edge from asking for what they have.
func TestEdgeWithoutDatabase(t *testing.T) {
	t.Parallel()
	cached := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/products/1" {
			fine(w, r)
		} else {
			unavailable(w, r)
		}
	}
	url := edge(t, "", newBackend(t, cached).address(), newBackend(t, cached).address())
	for range 30 {
		if got := status(url + "/products/2"); got != http.StatusServiceUnavailable {
			t.Fatalf("what the servers refuse: status %d, want their 503", got)
		}
		if got := status(url + "/products/1"); got != http.StatusOK {
			t.Fatalf("what they have in memory: status %d", got)
		}
	}
}

func TestEdgeLegacy(t *testing.T) {
	t.Parallel()
	ours := newBackend(t, fine)
	legacy := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s", r.Method, r.RequestURI)
	})
	url := edge(t, legacy.URL, ours.address())
	for _, c := range []struct {
		method, path string
		legacy       bool
	}{
		{"GET", "/", true},
		{"GET", "/cart?item=1", true},
		{"POST", "/checkout", true},
		{"GET", "/productsheet", true},
		{"GET", "/a/products/1", true},
		{"GET", "/products", false},
		{"GET", "/products?page=2", false},
		{"PUT", "/products/1", false},
		{"GET", "/products/1/styles/", false},
		{"GET", "/openapi.yaml", false},
		{"GET", "/readyz", false},
	} {
		before := ours.seen.Load()
		request, err := http.NewRequest(c.method, url+c.path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		toLegacy := response.StatusCode == http.StatusTeapot && string(text) == c.method+" "+c.path
		if toLegacy != c.legacy || (ours.seen.Load() > before) == c.legacy {
			t.Errorf("%s %s: %s %s", c.method, c.path, response.Status, text)
		}
	}
}

// TestEdgeErrors: what the edge refuses itself looks like a server's refusal.
func TestEdgeErrors(t *testing.T) {
	t.Parallel()
	up := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1-00000000"`)
		fmt.Fprint(w, r.Header.Get("X-Request-Id"))
	})
	url := edge(t, "", up.address())
	down := edge(t, "", freeAddress(t))
	large := strings.Repeat("x", 1<<20+1)
	for _, c := range []struct {
		name, method, url, body string
		status                  int
		retry                   string
	}{
		{"a path of nobody", "GET", url + "/cart", "", 404, ""},
		{"the metrics", "GET", url + "/metrics", "", 404, ""},
		{"the metrics, spelt in another way", "GET", url + "/products/..//%6detrics", "", 404, ""},
		{"a body over the limit", "POST", url + "/products", large, 413, ""},
		{"no server, a read", "GET", down + "/products/1", "", 502, "1"},
		{"no server, a write", "PUT", down + "/products/1", "{}", 502, "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			request, err := http.NewRequest(c.method, c.url, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Request-Id", "abc-1")
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			var problem struct {
				Type, Title, Detail string
				Status              int
			}
			text, _ := io.ReadAll(response.Body)
			if err := json.Unmarshal(text, &problem); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			h := response.Header
			if response.StatusCode != c.status || problem.Status != c.status || problem.Title != http.StatusText(c.status) ||
				problem.Type != "about:blank" || problem.Detail == "" {
				t.Errorf("%s %s", response.Status, text)
			}
			if h.Get("Content-Type") != "application/problem+json" || h.Get("Cache-Control") != "no-store" ||
				h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Retry-After") != c.retry {
				t.Errorf("header %v", h)
			}
			if h.Get("X-Request-Id") != "abc-1" {
				t.Errorf("X-Request-Id %q", h.Get("X-Request-Id"))
			}
		})
	}

	// What is wrong before nginx knows the path.
	for name, c := range map[string]struct {
		head   string
		status int
	}{
		"a request line over the limit": {"GET /products/" + strings.Repeat("1", 9000) + " HTTP/1.1\r\nHost: x\r\n", 414},
		"headers over the limit":        {"GET /products/1 HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("x", 9000) + "\r\n", 400},
		"no HTTP":                       {"GET /products/1 HTTP/1.1\r\nHost: x\r\nHost: y\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, c.head, "\r\n")
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			text, _ := io.ReadAll(response.Body)
			var problem struct{ Status int }
			if err := json.Unmarshal(text, &problem); err != nil || response.StatusCode != c.status || problem.Status != c.status ||
				response.Header.Get("Content-Type") != "application/problem+json" || response.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %v %s, %v", response.Status, response.Header, text, err)
			}
		})
	}

	t.Run("nothing is added to a server's answer", func(t *testing.T) {
		response, err := http.Get(url + "/products/1")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		id, _ := io.ReadAll(response.Body)
		if response.Header.Get("Etag") != `"1-00000000"` || len(id) != 32 {
			t.Errorf("ETag %q, a request id %q was made", response.Header.Get("Etag"), id)
		}
		for _, name := range []string{"Cache-Control", "Access-Control-Allow-Origin", "Retry-After", "X-Request-Id"} {
			if response.Header.Get(name) != "" {
				t.Errorf("%s: %s", name, response.Header.Get(name))
			}
		}
	})
}

// TestEdgeLimits: one client's requests beyond the rate and the burst are
// refused, and asked to come again.
func TestEdgeLimits(t *testing.T) {
	t.Parallel()
	url := edge(t, "", newBackend(t, fine).address())
	var refused atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 300 {
				response, err := http.Get(url + "/products/1")
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if response.StatusCode == http.StatusTooManyRequests && response.Header.Get("Retry-After") == "1" {
					refused.Add(1)
				} else if response.StatusCode != http.StatusOK {
					t.Error(response.Status)
				}
			}
		})
	}
	all.Wait()
	if refused.Load() == 0 {
		t.Error("nothing was refused")
	}
}

func body(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", url, response.Status, err)
	}
	return string(text)
}
