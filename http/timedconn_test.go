package http

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/hotshelf/hotshelf/blob"
)

// timed counts the deadlines that are set.
type timed struct {
	net.Conn
	reads, writes []time.Time
}

func (c *timed) SetReadDeadline(t time.Time) error {
	c.reads = append(c.reads, t)
	return c.Conn.SetReadDeadline(t)
}

func (c *timed) SetWriteDeadline(t time.Time) error {
	c.writes = append(c.writes, t)
	return c.Conn.SetWriteDeadline(t)
}

// TestDeadlinesAreSparse: they are set where a peer's time would else be longer,
// or shorter by more than the slack, and not with every request.
func TestDeadlinesAreSparse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &coarse{began: time.Now()}
		go clock.run(t.Context())
		near, far := net.Pipe()
		defer func() { _, _ = near.Close(), far.Close() }()
		under := &timed{Conn: near}
		c := clock.timed(under)
		b := make([]byte, 4)
		step := func(what string, do func() (int, error), of *[]time.Time, want ...time.Duration) {
			t.Helper()
			before := len(*of)
			if _, err := do(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			got := (*of)[before:]
			if len(got) != len(want) || len(got) == 1 && time.Until(got[0]) != want[0] {
				t.Errorf("%s: deadlines %v, want in %v", what, got, want)
			}
		}
		read := func() (int, error) { go func() { _, _ = far.Write(b) }(); return c.Read(b) }
		write := func() (int, error) { go func() { _, _ = far.Read(b) }(); return c.Write(b) }
		later := func(d time.Duration) { time.Sleep(d); synctest.Wait() }

		step("the first request", read, &under.reads, readTimeout)
		later(4 * time.Second)
		step("more of it", read, &under.reads)
		step("its answer", write, &under.writes, writeTimeout)
		step("more of it", write, &under.writes)
		step("the next request", read, &under.reads, idleTimeout)
		for range 5 {
			later(time.Second)
			step("an answer soon after", write, &under.writes)
			step("a request soon after", read, &under.reads)
		}
		later(time.Second)
		step("an answer later", write, &under.writes, writeTimeout)
		step("a request later", read, &under.reads, idleTimeout)
		later(time.Second)
		step("a request in parts", read, &under.reads, readTimeout-time.Second)
		later(readTimeout - 2*time.Second)
		step("its last part", read, &under.reads)
		later(time.Minute) // the handler's
		step("its answer", write, &under.writes, writeTimeout)

		began := time.Now()
		if _, err := c.Write(b); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != writeTimeout {
			t.Errorf("a write that nobody reads: %v after %v", err, time.Since(began))
		}
		began = time.Now()
		if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > idleTimeout || time.Since(began) < idleTimeout-time.Second {
			t.Errorf("a read with nothing to come: %v after %v", err, time.Since(began))
		}
	})
}

// An idle connection may go as early as the slack and the clock allow, and not earlier.
func TestIdleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fasthttputil.NewInmemoryListener()
		server := inBubble(Config{Catalogue: newShelf(t, blob.Pulsar)})
		go func() { _ = server.Serve(l) }()
		began := time.Now()
		const requests = 10
		reply := ask(t, l, strings.Split(strings.Repeat("GET /products/1 HTTP/1.1\r\nHost: x\r\n\r\n|", requests), "|")[:requests]...)
		if got := strings.Count(<-reply, "HTTP/1.1 200 OK"); got != requests {
			t.Errorf("%d replies to %d requests", got, requests)
		}
		idle := time.Since(began) - (requests-1)*time.Second
		if idle > idleTimeout || idle < idleTimeout-deadlineSlack-time.Second {
			t.Errorf("closed after %v", idle)
		}
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Second)
	})
}

// TestSilentHandshake: whoever connects to a listener that speaks TLS and says
// nothing is let go as without TLS.
func TestSilentHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fasthttputil.NewInmemoryListener()
		server := inBubble(Config{Catalogue: newShelf(t, blob.Pulsar)})
		go func() { _ = server.Serve(tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS13})) }()
		began := time.Now()
		<-ask(t, l)
		if took := time.Since(began); took != readTimeout {
			t.Errorf("closed after %v, want %v", took, readTimeout)
		}
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Second)
	})
}

// TestPipelinedAnswers: each answer has its time to be taken, also where all
// requests came at once.
func TestPipelinedAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := longShelf{newShelf(t, blob.Pulsar), []byte(`{"id":1,"name":"` + strings.Repeat("x", 2000) + `"}`)}
		server := inBubble(Config{Catalogue: s})
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		go func() { _ = server.Serve(l) }()
		client, end := net.Pipe()
		l.conns <- end
		const answers = 12
		go func() {
			_, _ = io.WriteString(client, strings.Repeat("GET /products/list?count=500 HTTP/1.1\r\nHost: x\r\n\r\n", answers))
		}()
		in := bufio.NewReader(client)
		for n := range answers {
			time.Sleep(4 * time.Second)
			reply, err := nethttp.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("answer %d: %v", n+1, err)
			}
			if _, err := io.Copy(io.Discard, reply.Body); err != nil {
				t.Fatalf("answer %d: %v", n+1, err)
			}
			_ = reply.Body.Close()
		}
		_ = client.Close()
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Second)
	})
}
