package http

import (
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/hotshelf/hotshelf/blob"
)

var drawn = regexp.MustCompile(`^[0-9a-f]{16}$`)

func TestRequestID(t *testing.T) {
	server := startTCP(t, Config{Catalogue: newShelf(t, blob.Pulsar)}, nil)
	long := strings.Repeat("x", maxRequestID)
	for _, c := range []struct {
		request, id string
		own         bool // the server's own id is expected, else the request's
	}{
		{"GET /products/1", "a-1_B.2:/+=@", false},
		{"HEAD /products/1/styles", long, false},
		{"GET /products/4", "edge", false},
		{"GET /products/x", "edge", false},
		{"OPTIONS /products/1", "edge", false},
		{"POST /products", "edge", false},
		{"GET /products/4", "", true},
		{"GET /nowhere", long + "x", true},
		{"GET /nowhere", "a b", true},
		{"GET /nowhere", "caf\xc3\xa9", true},
		{"GET /nowhere", "a\"b", true},
		{"POST /products", "a\tb", true},
	} {
		method, target, _ := strings.Cut(c.request, " ")
		got := server.do(method, target, "X-Request-Id: "+c.id).header.Get("X-Request-Id")
		if c.own && !drawn.MatchString(got) || !c.own && got != c.id {
			t.Errorf("%s with %q: %q", c.request, c.id, got)
		}
	}
	// Where nobody will ask, none is drawn, and one that is not valid is left out.
	for _, id := range []string{"", "a b"} {
		if got := server.do("GET", "/products/1", "X-Request-Id: "+id).header; got.Get("X-Request-Id") != "" {
			t.Errorf("a read with %q: %v", id, got)
		}
	}
	// What could not be read as a request has one too.
	for _, raw := range []string{"nonsense\r\n\r\n", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", maxHeader) + "\r\n\r\n"} {
		if got := parseReplies(t, server.raw(raw), "GET")[0]; !drawn.MatchString(got.header.Get("X-Request-Id")) {
			t.Errorf("%.20q: %v", raw, got)
		}
	}
}

// TestRequestIDIsLogged: the log and the answer name the same one.
func TestRequestIDIsLogged(t *testing.T) {
	for name, s := range map[string]*shelf{"a panic": {panics: true}, "an unforeseen error": {err: io.ErrNoProgress}} {
		server := start(t, Config{Catalogue: s})
		first := server.do("GET", "/products/1").header.Get("X-Request-Id")
		server.do("GET", "/products/1", "X-Request-Id: edge-7")
		lines := strings.Split(strings.TrimSpace(server.logs.String()), "\n")
		if len(lines) != 2 || !drawn.MatchString(first) || !strings.Contains(lines[0], "request_id="+first+" ") || !strings.Contains(lines[1], "request_id=edge-7 ") {
			t.Errorf("%s: %s, log:\n%s", name, first, server.logs.String())
		}
	}
}

// TestAccessLog: all requests or none, and no query.
func TestAccessLog(t *testing.T) {
	server := startTCP(t, Config{Catalogue: newShelf(t, blob.Pulsar), AccessLog: 1}, nil)
	got := server.do("GET", "/products/list?page=1&token=hunter2")
	server.do("GET", "/products/4", "X-Request-Id: edge-7")
	log := server.logs.String()
	lines := strings.Split(strings.TrimSpace(log), "\n")
	if len(lines) != 2 || strings.Contains(log, "hunter2") {
		t.Fatalf("log:\n%s", log)
	}
	if id := got.header.Get("X-Request-Id"); !drawn.MatchString(id) || !strings.Contains(lines[0], "request_id="+id) {
		t.Errorf("%q is not in %s", id, lines[0])
	}
	for i, parts := range [][]string{
		{"msg=request method=GET path=/products/list status=200 ", " took=", " remote=127.0.0.1 "},
		{"msg=request method=GET path=/products/4 status=404 ", " request_id=edge-7"},
	} {
		for _, part := range parts {
			if !strings.Contains(lines[i], part) {
				t.Errorf("no %q in %s", part, lines[i])
			}
		}
	}
	quiet := startTCP(t, Config{Catalogue: newShelf(t, blob.Pulsar)}, nil)
	quiet.do("GET", "/products/1")
	if quiet.logs.Len() > 0 {
		t.Errorf("log:\n%s", quiet.logs.String())
	}
	half := New(Config{AccessLog: 0.5})
	n := 0
	for range 10_000 {
		if half.sampled() {
			n++
		}
	}
	if n < 4_000 || n > 6_000 { // twenty standard deviations
		t.Errorf("%d of 10,000 sampled, want about half", n)
	}
}
