package http

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

// startAdmin serves the admin side of a server until the test ends; the
// running that it returns asks there.
func startAdmin(t testing.TB, server *Server) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := NewAdmin(server)
	admin.fast.NoDefaultDate = true
	served := make(chan error, 1)
	go func() { served <- admin.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := admin.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return &running{Server: server, t: t, dial: func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }}
}

// TestAdmin: what there is, and that nothing of it is public.
func TestAdmin(t *testing.T) {
	var reasons []string
	server := start(t, Config{Catalogue: newShelf(t, blob.Pulsar), Ready: func() []string { return reasons }})
	admin := startAdmin(t, server.Server)
	for _, c := range []struct {
		method, target string
		status         int
		body           string
	}{
		{"GET", "/healthz", 200, `"ok"`},
		{"GET", "/readyz", 200, `"ready"`},
		{"HEAD", "/readyz", 200, ""},
		{"GET", "/debug/pprof/", 200, "goroutine"},
		{"GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile:"},
		{"GET", "/debug/pprof/nothing", 404, ""},
		{"POST", "/debug/pprof/symbol", 200, "num_symbols"},
		{"POST", "/readyz", 405, "about:blank"},
		{"GET", "/products/1", 404, "about:blank"},
		{"GET", "/", 404, "about:blank"},
	} {
		got := admin.do(c.method, c.target)
		if got.status != c.status || !strings.Contains(got.body, c.body) {
			t.Errorf("%s %s: %d %.200s", c.method, c.target, got.status, got.body)
		}
	}
	reasons = []string{"no catalogue"}
	if got := admin.do("GET", "/readyz"); got.status != 503 || !strings.Contains(got.body, "no catalogue") {
		t.Errorf("not ready: %d %s", got.status, got.body)
	}
	for _, target := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap"} {
		if got := server.do("GET", target); got.status != 404 {
			t.Errorf("%s is public: %d", target, got.status)
		}
	}
}
