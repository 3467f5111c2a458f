package http

import (
	"fmt"
	"io"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/hotshelf/hotshelf/blob"
)

// prepared returns a request as fasthttp hands it to the handler.
func prepared(method, target string, headers ...string) *fasthttp.RequestCtx {
	var request fasthttp.Request
	request.Header.SetMethod(method)
	request.SetRequestURI(target)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(&request, nil, nil)
	return ctx
}

type hit struct {
	name   string
	target string
	origin string
	header []string
	status int
	limit  float64 // allocations
}

func hits(t testing.TB, s *shelf) []hit {
	tag := string(s.answers[0].ETag())
	gzip := []string{"Accept-Encoding", "gzip, deflate, br, zstd"}
	return []hit{
		{"detail", "/products/1", "", nil, 200, 0},
		{"styles", "/products/1/styles", "", nil, 200, 0},
		{"styles, gzip", "/products/1/styles", "", gzip, 200, 0},
		{"styles, weighed gzip", "/products/1/styles", "", []string{"Accept-Encoding", "br;q=1.0, gzip;q=0.8, *;q=0.1"}, 200, 0},
		{"related", "/products/1/related", "", gzip, 200, 0},
		{"304", "/products/1", "", []string{"If-None-Match", tag}, 304, 0},
		{"304 among many", "/products/1/styles", "", []string{"If-None-Match", `"1-00000000", W/"2-00000000", W/` + tag, "Accept-Encoding", "gzip"}, 304, 0},
		{"a request id", "/products/1", "", []string{"X-Request-Id", "9f3c2a100d54c1ae"}, 200, 0},
		{"listed origin", "/products/1", "https://a.test", []string{"Origin", "https://a.test"}, 200, 0},
		{"list page", "/products/list?page=1&count=5", "", nil, 200, 0},
		{"list page, the longest without a place", "/products/list?count=10", "", gzip, 200, 0},
		{"304 of a page", "/products?count=2", "", []string{"If-None-Match", "*"}, 304, 0},
		{"ids", "/products?ids=3,1,2", "", nil, 200, 0},
		{"ids, one missing", "/products?ids=3,7,2", "", nil, 200, 1}, // the header's text
		// The planted fault: a 404 is no hit, and the test has to see what it costs.
		{"no hit", "/products/4", "", nil, 404, -1},
	}
}

// TestAllocations is the budget of the hot path: nothing of ours.
func TestAllocations(t *testing.T) {
	s := newShelf(t, blob.Pulsar)
	for i, h := range append(hits(t, s), hits(t, s)...) {
		method := "GET"
		if i >= len(hits(t, s)) {
			method = "HEAD"
		}
		t.Run(method+" "+h.name, func(t *testing.T) {
			config := Config{Catalogue: s}
			if h.origin != "" {
				config.CORSOrigins = []string{h.origin}
			}
			server := New(config)
			ctx := prepared(method, h.target, h.header...)
			ctx.URI() // parsed by fasthttp before the handler runs
			got := testing.AllocsPerRun(200, func() {
				// As fasthttp does between two requests of a connection.
				ctx.Response.Header.Reset()
				ctx.Response.ResetBody()
				server.handle(ctx)
				_ = ctx.Response.BodyWriteTo(io.Discard)
			})
			if status := ctx.Response.StatusCode(); status != h.status {
				t.Fatalf("status %d, want %d", status, h.status)
			}
			if h.limit < 0 {
				if got == 0 {
					t.Error("no allocations counted where there must be some: the count does not work")
				}
			} else if got > h.limit && !raceDetector {
				t.Errorf("%v allocations, want at most %v", got, h.limit)
			}
		})
	}
}

func BenchmarkHandle(b *testing.B) {
	s := newShelf(b, blob.Pulsar)
	for _, h := range hits(b, s) {
		b.Run(h.name, func(b *testing.B) {
			server := New(Config{Catalogue: s})
			ctx := prepared("GET", h.target, h.header...)
			ctx.URI()
			b.ReportAllocs()
			for b.Loop() {
				ctx.Response.Header.Reset()
				ctx.Response.ResetBody()
				server.handle(ctx)
				_ = ctx.Response.BodyWriteTo(io.Discard)
			}
		})
	}
}

// TestSharedBytes checks that a hit sends the catalogue's own bytes, and that
// no request changes them.
func TestSharedBytes(t *testing.T) {
	s := newShelf(t, blob.Atelier)
	before := fmt.Sprint(s.answers[0].Styles.Body, s.answers[0].Styles.Gzip(), s.answers[0].Detail.Body)
	server := New(Config{Catalogue: s})
	for _, encoding := range []string{"", "gzip"} {
		ctx := prepared("GET", "/products/1/styles", "Accept-Encoding", encoding)
		server.handle(ctx)
		want := s.answers[0].Styles.Body
		if encoding != "" {
			want = s.answers[0].Styles.Gzip()
		}
		if got := ctx.Response.Body(); &got[0] != &want[0] {
			t.Errorf("Accept-Encoding %q: the body is a copy", encoding)
		}
	}
	ctx := prepared("GET", "/products?ids=1,2,1")
	server.handle(ctx)
	l := ctx.Response.BodyStream().(*list)
	l.join()
	clear(l.body)
	if fmt.Sprint(s.answers[0].Styles.Body, s.answers[0].Styles.Gzip(), s.answers[0].Detail.Body) != before {
		t.Error("the catalogue's bytes have changed")
	}
}

// TestListForgets checks that what is kept for the next list does not keep
// products alive that the cache has dropped, whatever way a list ended.
func TestListForgets(t *testing.T) {
	s := newShelf(t, blob.Pulsar)
	server := New(Config{Catalogue: s})
	l := server.newList()
	l.answers = append(l.answers, s.answers...)
	l.answers = l.answers[:1] // as after an error that came with a part
	l.unlessSent()
	for i, a := range l.answers[:cap(l.answers)] {
		if a != nil {
			t.Errorf("product %d is still held at %d", a.ProductID, i)
		}
	}
}
