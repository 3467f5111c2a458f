package http

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// coarse is a clock that is read by a load, a second behind at most while the
// process runs. It counts from began.
type coarse struct {
	began time.Time
	now   atomic.Int64 // nanoseconds
}

func (c *coarse) set() { c.now.Store(int64(time.Since(c.began))) }

// run keeps the clock going until ctx ends.
func (c *coarse) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.set()
		case <-ctx.Done():
			return
		}
	}
}

// in is the moment that lies d ahead.
func (c *coarse) in(d time.Duration) time.Duration { return time.Duration(c.now.Load()) + d }

// deadlineSlack is how much later than the one that is set a deadline must be
// to be set anew.
const deadlineSlack = 5 * time.Second

// timedConn holds its peer to the limits of time: readTimeout to send its first
// request, and any other from its first byte on, writeTimeout to take what is
// written at once, and idleTimeout to begin the next request. It may end them deadlineSlack and a
// second early. fasthttp's own limits read the clock and set a timer three times
// with every request, which together take a fifteenth of a hit.
//
// What is read after a write is the next request. It is for one goroutine.
type timedConn struct {
	net.Conn
	clock    *coarse
	answered bool // since something was read last
	// Moments of the clock: when the request or the answer under way must have
	// come or gone, and the deadlines that are set.
	end, reading, writing time.Duration
}

// timed begins with a connection that was just accepted.
func (c *coarse) timed(conn net.Conn) net.Conn {
	t := &timedConn{Conn: quick(conn), clock: c, end: c.in(readTimeout)}
	if encrypted, ok := conn.(*tls.Conn); ok {
		return &timedTLS{t, encrypted}
	}
	return t
}

func (c *timedConn) Read(b []byte) (int, error) {
	if c.answered {
		c.end = c.clock.in(idleTimeout)
	}
	if c.end < c.reading || c.end > c.reading+deadlineSlack {
		if err := c.SetReadDeadline(c.clock.began.Add(c.end)); err != nil {
			return 0, err //nolint:wrapcheck // fasthttp looks at what it is
		}
		c.reading = c.end
	}
	n, err := c.Conn.Read(b)
	if c.answered && n > 0 {
		c.answered, c.end = false, c.clock.in(readTimeout)
	}
	return n, err //nolint:wrapcheck // the same
}

func (c *timedConn) Write(b []byte) (int, error) {
	c.answered, c.end = true, c.clock.in(writeTimeout)
	if c.end > c.writing+deadlineSlack {
		if err := c.SetWriteDeadline(c.clock.began.Add(c.end)); err != nil {
			return 0, err //nolint:wrapcheck // fasthttp looks at what it is
		}
		c.writing = c.end
	}
	return c.Conn.Write(b) //nolint:wrapcheck // the same
}

// timedTLS is one that speaks TLS, which fasthttp has to see.
type timedTLS struct {
	*timedConn
	tls *tls.Conn
}

// Handshake is called by fasthttp before anything is read.
func (c *timedTLS) Handshake() error {
	if err := c.SetDeadline(c.clock.began.Add(c.end)); err != nil {
		return err //nolint:wrapcheck // fasthttp looks at what it is
	}
	return c.tls.Handshake() //nolint:wrapcheck,noctx // the same; the deadline ends it
}

func (c *timedTLS) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }
