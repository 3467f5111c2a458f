package http

import (
	"errors"
	"net"
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

func TestDeadlinesAreLazy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _, _ = near.Close(), far.Close() }()
		under := &timed{Conn: near}
		c := &lazyConn{Conn: under}
		go func() {
			for {
				if _, err := far.Write([]byte{1}); err != nil {
					return
				}
			}
		}()
		var b [1]byte
		read := func(in time.Duration, sets int) {
			t.Helper()
			before := len(under.reads)
			_ = c.SetReadDeadline(time.Now().Add(in))
			if _, err := c.Read(b[:]); err != nil {
				t.Fatal(err)
			}
			if got := len(under.reads) - before; got != sets {
				t.Errorf("%d deadlines were set, want %d", got, sets)
			}
			time.Sleep(time.Second)
		}
		read(90*time.Second, 1)
		for range int(deadlineSlack / time.Second) {
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second)) // replaced before it matters
			read(90*time.Second, 0)
		}
		read(90*time.Second, 1)
		read(10*time.Second, 1)
		read(9*time.Second, 0)
		read(7*time.Second, 1)

		_ = c.SetDeadline(time.Time{})
		if _, err := c.Read(b[:]); err != nil || !under.reads[len(under.reads)-1].IsZero() {
			t.Errorf("%v, deadlines %v", err, under.reads)
		}
		if len(under.writes) > 0 {
			t.Errorf("%d deadlines for writes", len(under.writes))
		}
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := c.Write(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a write that nobody reads: %v", err)
		}
	})
}

// An idle connection may go as early as the slack allows, and not earlier.
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
		if idle > idleTimeout || idle < idleTimeout-deadlineSlack {
			t.Errorf("closed after %v", idle)
		}
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Second)
	})
}
