package http

import (
	"context"
	"fmt"
	"net"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

// TestMalformed sends what no request should look like over a real socket.
// Whatever it is, there is one answer, it is a problem, and the connection is
// closed: nothing behind it may be taken for a request.
func TestMalformed(t *testing.T) {
	server := startTCP(t, Config{Catalogue: newShelf(t, blob.Pulsar)}, nil)
	const smuggled = "GET /products/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	tests := []struct {
		name    string
		request string
		want    int
	}{
		{"no HTTP", "hello there\r\n\r\n", 400},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
		{"no version", "GET /products/1\r\nHost: x\r\n\r\n", 400},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		{"a blank in the target", "GET /products/ 1 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"a control character in the target", "GET /products/\x011 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"no host", "GET /products/1 HTTP/1.1\r\n\r\n", 400},
		{"two hosts", "GET /products/1 HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
		{"a blank before a colon", "GET /products/1 HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\n", 400},
		{"a NUL in a header", "GET /products/1 HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", 400},
		{"a bare CR in a header", "GET /products/1 HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400},
		{"a length that is no number", "POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\n", 400},
		{"a negative length", "POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400},
		{"a signed length", "POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n", 400},
		{"a length that wraps", "POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551617\r\n\r\n", 400},
		{"two lengths", "POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 57\r\n\r\n", 400},
		{"a list of lengths", "POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 57\r\n\r\n", 400},
		// The chunks count then, and the connection is closed (RFC 9112, 6.3).
		{"length and chunks", "POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 403},
		{"chunks, then not", "POST /products HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400},
		{"chunks twice", "POST /products HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"chunks disguised", "POST /products HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400},
		{"a chunk size that is none", "POST /products HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400},
		{"a chunk longer than said", "POST /products HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", 400},
		{"a chunk size that wraps", "POST /products HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\na\r\n0\r\n\r\n", 400},
		{"one long header", "GET /products/1 HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", maxHeader) + "\r\n\r\n", 431},
		{"many headers", "GET /products/1 HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", maxHeader/4) + "\r\n", 431},
		{"a long target", "GET /products/" + strings.Repeat("1", maxHeader) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431},
		{"a body over the limit", fmt.Sprintf("POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", maxBody+1), 413},
		{"chunks over the limit", fmt.Sprintf("POST /products HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", maxBody+1), 413},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := parseReplies(t, server.raw(test.request+smuggled), "GET")[0]
			if got.status != test.want || got.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(got.body, fmt.Sprintf(`"status":%d`, test.want)) {
				t.Errorf("%+v, want status %d", got, test.want)
			}
			if got.header.Get("Access-Control-Allow-Origin") != "*" {
				t.Error("no CORS headers")
			}
		})
	}
	if server.Panics() > 0 {
		t.Errorf("%d panics", server.Panics())
	}
}

// TestAccepted sends unusual requests that are all right.
func TestAccepted(t *testing.T) {
	server := startTCP(t, Config{Catalogue: newShelf(t, blob.Pulsar)}, nil)
	const end = "Connection: close\r\n\r\n"
	for name, request := range map[string]string{
		"HTTP/1.0":                "GET /products/1 HTTP/1.0\r\n\r\n",
		"an absolute target":      "GET http://other.test/products/1 HTTP/1.1\r\nHost: x\r\n" + end,
		"a body on GET":           "GET /products/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n" + end + "abc",
		"an Authorization on GET": "GET /products/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer nonsense\r\n" + end,
		"a header near the limit": "GET /products/1 HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("c", maxHeader-200) + "\r\n" + end,
		"a folded header":         "GET /products/1 HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n" + end,
		"empty lines first":       "\r\n\r\nGET /products/1 HTTP/1.1\r\nHost: x\r\n" + end,
	} {
		t.Run(name, func(t *testing.T) {
			if got := parseReplies(t, server.raw(request), "GET")[0]; got.status != 200 || !strings.HasPrefix(got.body, `{"id":1,`) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestPipelining: many requests at once on one connection, answers in order,
// HEAD and 304 without bodies between them, in the framing that each announces.
func TestPipelining(t *testing.T) {
	server := startTCP(t, Config{Catalogue: newShelf(t, blob.Pulsar)}, nil)
	requests := []struct {
		line string
		want int
	}{
		{"GET /products/1", 200}, {"HEAD /products/1/styles", 200}, {"GET /products/2", 200}, {"HEAD /products/4", 404},
		{"GET /products/x", 400}, {"POST /products", 403}, {"HEAD /products/list", 200}, {"OPTIONS /products/1", 204},
		{"GET /products/1/related\r\nIf-None-Match: *", 304}, {"HEAD /nowhere", 404}, {"PATCH /products", 405}, {"GET /products?ids=2", 200},
	}
	var raw strings.Builder
	var methods []string
	for range 5 {
		for _, r := range requests {
			line, header, _ := strings.Cut(r.line, "\r\n")
			raw.WriteString(line + " HTTP/1.1\r\nHost: x\r\n")
			if header != "" {
				raw.WriteString(header + "\r\n")
			}
			raw.WriteString("\r\n")
			method, _, _ := strings.Cut(line, " ")
			methods = append(methods, method)
		}
	}
	raw.WriteString("GET /products/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	replies := parseReplies(t, server.raw(raw.String()), append(methods, "GET")...)
	for i := range methods {
		if want := requests[i%len(requests)]; replies[i].status != want.want {
			t.Errorf("%d, %s: status %d, want %d", i, want.line, replies[i].status, want.want)
		}
	}
}

// TestHeadThenGet uses a keep-alive connection of the standard library's
// client, which breaks if a HEAD is followed by a body.
func TestHeadThenGet(t *testing.T) {
	dials := 0
	server := startTCP(t, Config{Catalogue: newShelf(t, blob.Pulsar)}, nil)
	transport := &nethttp.Transport{MaxConnsPerHost: 1, DialContext: func(context.Context, string, string) (net.Conn, error) { dials++; return server.dial() }}
	defer transport.CloseIdleConnections()
	client := &nethttp.Client{Transport: transport}
	for _, target := range []string{"/products/1", "/products/1/styles", "/products/list", "/products?ids=1", "/products/4", "/products/x", "/healthz", "/openapi.yaml", "/nowhere"} {
		var lengths [2]string
		for i, method := range []string{"HEAD", "GET"} {
			request, err := nethttp.NewRequest(method, "http://shop.test"+target, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Accept-Encoding", "gzip")
			response, err := client.Do(request)
			if err != nil {
				t.Fatalf("%s %s: %v", method, target, err)
			}
			var body strings.Builder
			if err := response.Write(&body); err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			response.Header.Del("Content-Length")
			response.Header.Del("X-Request-Id")
			lengths[i] = fmt.Sprint(response.StatusCode, response.ContentLength, response.Header)
		}
		if lengths[0] != lengths[1] {
			t.Errorf("%s: HEAD gives\n%s, GET\n%s", target, lengths[0], lengths[1])
		}
	}
	if dials != 1 {
		t.Errorf("%d connections, want one that is kept", dials)
	}
}

// TestSlowSender: what TestSlowClients shows in memory holds on a socket too.
func TestSlowSender(t *testing.T) {
	server := startTCP(t, Config{Catalogue: newShelf(t, blob.Pulsar)}, func(s *Server) { s.fast.ReadTimeout = 50 * time.Millisecond })
	for _, request := range []string{"GET /products/1 HTTP/1.1\r\nHost: x\r\nA: b", "POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"} {
		if got := parseReplies(t, server.raw(request), "GET")[0]; got.status != 408 {
			t.Errorf("%q: %+v", request, got)
		}
	}
}

// TestLargeUpload: a client that is still sending gets to read the 413.
func TestLargeUpload(t *testing.T) {
	server := startTCP(t, Config{Catalogue: newShelf(t, blob.Pulsar)}, nil)
	body := strings.Repeat(" ", 4*maxBody)
	got := parseReplies(t, server.raw(fmt.Sprintf("POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)), "POST")[0]
	if got.status != 413 {
		t.Errorf("status %d", got.status)
	}
}
