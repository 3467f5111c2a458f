package http

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/goleak"

	"github.com/hotshelf/hotshelf/blob"
)

// TestPanic: a panic is one 500, in our own words, and the connection goes on.
func TestPanic(t *testing.T) {
	s := newShelf(t, blob.Pulsar)
	s.enter = func(context.Context) error { s.panics = !s.panics; return nil }
	server := startTCP(t, Config{Catalogue: s}, nil)
	raw := server.raw("GET /products/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /products/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	replies := parseReplies(t, raw, "GET", "GET")
	if replies[0].status != 500 || replies[1].status != 200 {
		t.Errorf("statuses %d and %d, want 500 and 200", replies[0].status, replies[1].status)
	}
	if strings.Contains(replies[0].body, "secret") || replies[0].header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("the 500 is %+v", replies[0])
	}
	if server.Panics() != 1 {
		t.Errorf("%d panics counted, want 1", server.Panics())
	}
	if log := server.logs.String(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "secret-dsn") || !strings.Contains(log, "fake_test.go") {
		t.Errorf("not logged once, with cause and stack:\n%s", log)
	}
}

// TestUnforeseenIsLogged: the cause of a 500 is in the log, once; what is
// foreseen is not logged per request.
func TestUnforeseenIsLogged(t *testing.T) {
	server := start(t, Config{Catalogue: &shelf{err: io.ErrNoProgress}})
	server.do("GET", "/products/1?token=secret")
	if log := server.logs.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, io.ErrNoProgress.Error()) || strings.Contains(log, "secret") {
		t.Errorf("log:\n%s", log)
	}
	server = start(t, Config{Catalogue: &shelf{err: blob.ErrOverloaded}})
	server.do("GET", "/products/1")
	server.do("GET", "/products/x")
	if server.logs.Len() > 0 {
		t.Errorf("log:\n%s", server.logs.String())
	}
}

// TestShutdown: readiness goes off, what has been asked is answered, and
// nothing is left behind.
func TestShutdown(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),    // keeps the date, for good
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2")) // ends after 10 s
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	s := newShelf(t, blob.Pulsar)
	s.enter = func(context.Context) error { close(entered); <-leave; return nil }
	server := New(Config{Catalogue: s})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /products/1 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	if reasons := server.notReady(); len(reasons) != 0 {
		t.Errorf("not ready: %v", reasons)
	}
	down := make(chan error, 1)
	go func() { down <- server.Shutdown(context.Background()) }()
	if err := <-served; err != nil { // the listener is closed
		t.Error(err)
	}
	if reasons := server.notReady(); len(reasons) != 1 {
		t.Errorf("ready while shutting down: %v", reasons)
	}
	close(leave)
	raw, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	got := parseReplies(t, string(raw), "GET")[0]
	if got.status != 200 || !strings.Contains(string(raw), "Connection: close") {
		t.Errorf("the request under way got %s", raw)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	if server.base.Err() == nil {
		t.Error("the catalogue's context goes on")
	}
}

// TestShutdownGivesUp: when its time is over, Shutdown ends what still waits
// for the catalogue.
func TestShutdownGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t, blob.Pulsar)
		s.enter = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		l := fasthttputil.NewInmemoryListener()
		server := inBubble(Config{Catalogue: s})
		go func() { _ = server.Serve(l) }()
		reply := ask(t, l, "GET /products/1 HTTP/1.1\r\nHost: x\r\n\r\n")
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		if err := server.Shutdown(ctx); err == nil {
			t.Error("no error, though a request was given up")
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("gave up after %v", took)
		}
		if got := parseReplies(t, <-reply, "GET")[0]; got.status != 503 || got.header.Get("Retry-After") == "" {
			t.Errorf("the request that was given up got %+v", got)
		}
		time.Sleep(30 * time.Second) // fasthttp's workers end
	})
}

// TestSlowClients: who takes too long is answered and let go, at the
// boundary and not before.
func TestSlowClients(t *testing.T) {
	for _, test := range []struct {
		name  string
		write []string // one a second
		after time.Duration
		want  int // 0: closed without a word
	}{
		{"nothing at all", nil, readTimeout, 408},
		{"a header that never ends", strings.Split("GET /products/1 HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaa", ""), readTimeout, 408},
		{"a body that never comes", []string{"POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"}, readTimeout, 408},
		{"an idle connection", []string{"GET /products/1 HTTP/1.1\r\nHost: x\r\n\r\n"}, idleTimeout, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := fasthttputil.NewInmemoryListener()
				server := inBubble(Config{Catalogue: newShelf(t, blob.Pulsar)})
				go func() { _ = server.Serve(l) }()
				began := time.Now()
				reply := ask(t, l, test.write...)
				got := <-reply
				if took := time.Since(began); took != test.after {
					t.Errorf("closed after %v, want %v", took, test.after)
				}
				if status := parseReplies(t, got, "GET")[0].status; status != test.want {
					t.Errorf("status %d, want %d", status, test.want)
				}
				if err := server.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				time.Sleep(30 * time.Second)
			})
		})
	}
}

// inBubble makes a server that starts none of the goroutines that fasthttp
// never ends: those that keep the date.
func inBubble(config Config) *Server {
	server := New(config)
	server.fast.NoDefaultDate = true
	server.fast.LazyRequestTime = false
	return server
}

// ask writes the parts, one a second, and hands on what has come back when
// the server has closed.
func ask(t *testing.T, l *fasthttputil.InmemoryListener, parts ...string) <-chan string {
	c, err := l.Dial()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		for _, part := range parts {
			if _, err := io.WriteString(c, part); err != nil {
				return
			}
			select {
			case <-time.After(time.Second):
			case <-ended:
				return
			}
		}
	}()
	reply := make(chan string, 1)
	go func() {
		raw, _ := io.ReadAll(c)
		close(ended)
		_ = c.Close()
		reply <- string(raw)
	}()
	return reply
}

// TestTooManyConnections: the one too many gets a problem, those before it
// go on, and a place that becomes free is given away.
func TestTooManyConnections(t *testing.T) {
	server := startTCP(t, Config{Catalogue: newShelf(t, blob.Pulsar), MaxConns: 3}, nil)
	const request = "GET /products/1 HTTP/1.1\r\nHost: x\r\n\r\n"
	held := make([]net.Conn, 3)
	answered := func(c net.Conn) int {
		t.Helper()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return parseReplies(t, string(b[:n]), "GET")[0].status
	}
	for i := range held {
		c, err := server.dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		held[i] = c
		if status := answered(c); status != 200 {
			t.Fatalf("connection %d: status %d", i, status)
		}
	}
	for range 100 { // more than the lingering ones, one after the other
		got := parseReplies(t, server.raw(request), "GET")[0]
		if got.status != 503 || got.header.Get("Content-Type") != "application/problem+json" || got.header.Get("Retry-After") != "1" ||
			got.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(got.body, `"status":503`) {
			t.Fatalf("one too many got %+v", got)
		}
	}
	for i, c := range held {
		if status := answered(c); status != 200 {
			t.Errorf("connection %d, later: status %d", i, status)
		}
	}
	_ = held[0].Close()
	for {
		// The server notices the close when it reads.
		if strings.HasPrefix(server.raw("GET /products/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200") {
			break
		}
	}
}

// TestConcurrently lets many clients use shared entries at once, for the race
// detector.
func TestConcurrently(t *testing.T) {
	server := startTCP(t, Config{Catalogue: newShelf(t, blob.Pulsar)}, nil)
	targets := []string{"/products/1", "/products/1/styles", "/products/list", "/products?ids=1,7,2", "/products/4", "/readyz", "/nowhere"}
	want := map[string]string{}
	for _, target := range targets {
		want[target] = server.do("GET", target).body
	}
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for i := range 40 {
				target := targets[(worker+i)%len(targets)]
				if got := server.do("GET", target); got.body != want[target] {
					t.Errorf("%s: %s", target, got.body)
				}
			}
		})
	}
	wait.Wait()
}
