package http

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp/fasthttputil"
)

// a running server for a test, in memory or on a socket.
type running struct {
	*Server
	t    testing.TB
	dial func() (net.Conn, error)
	logs *bytes.Buffer // read after the requests that write to it
}

// start serves config's server on an in-memory listener until the test ends.
func start(t testing.TB, config Config) *running {
	l := fasthttputil.NewInmemoryListener()
	return startOn(t, config, l, l.Dial, nil)
}

// startTCP is start on a real socket. adjust, which may be nil, changes the
// server before it serves.
func startTCP(t testing.TB, config Config, adjust func(*Server)) *running {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dial := func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
	return startOn(t, config, l, dial, adjust)
}

func startOn(t testing.TB, config Config, l net.Listener, dial func() (net.Conn, error), adjust func(*Server)) *running {
	t.Helper()
	logs := new(bytes.Buffer)
	if config.Logger == nil {
		config.Logger = slog.New(slog.NewTextHandler(logs, nil))
	}
	s := New(config)
	s.fast.NoDefaultDate = true // it would differ from run to run
	if adjust != nil {
		adjust(s)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &running{Server: s, t: t, dial: dial, logs: logs}
}

// raw sends bytes on a connection of their own and returns all that comes back
// until the server closes.
func (r *running) raw(request string) string {
	r.t.Helper()
	c, err := r.dial()
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	// In a goroutine of its own: a server may answer and close before it has
	// read everything.
	go func() { _, _ = io.WriteString(c, request) }()
	response, err := io.ReadAll(c)
	if err != nil && len(response) == 0 {
		r.t.Fatalf("no response to %.200q: %v", request, err)
	}
	return string(response)
}

// reply is a response, read to its end.
type reply struct {
	status int
	header nethttp.Header
	body   string
}

// do sends one request; each header is "Name: value".
func (r *running) do(method, target string, headers ...string) reply {
	r.t.Helper()
	return r.send(method, target, "", headers...)
}

// send sends one request with a body.
func (r *running) send(method, target, body string, headers ...string) reply {
	r.t.Helper()
	request := method + " " + target + " HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n"
	if body != "" {
		request += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	for _, h := range headers {
		request += h + "\r\n"
	}
	replies := parseReplies(r.t, r.raw(request+"\r\n"+body), method)
	if len(replies) != 1 {
		r.t.Fatalf("%s %s: %d responses", method, target, len(replies))
	}
	return replies[0]
}

// parseReplies reads one response per method, and fails on anything behind
// the last one.
func parseReplies(t testing.TB, raw string, methods ...string) (replies []reply) {
	t.Helper()
	in := bufio.NewReader(strings.NewReader(raw))
	for _, method := range methods {
		response, err := nethttp.ReadResponse(in, &nethttp.Request{Method: method})
		if err != nil {
			t.Fatalf("response %d of %q: %v", len(replies), raw, err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			t.Fatalf("body of response %d of %q: %v", len(replies), raw, err)
		}
		replies = append(replies, reply{response.StatusCode, response.Header, string(body)})
	}
	if rest, _ := io.ReadAll(in); len(rest) > 0 {
		t.Fatalf("bytes behind the last response: %q", rest)
	}
	return replies
}

func gunzip(t testing.TB, b string) string {
	t.Helper()
	zip, err := gzip.NewReader(strings.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}
