package http

import (
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// lingerers bounds how many refused connections are held open at a time.
	lingerers = 64
	// linger is how long a refused client may take to read why.
	linger = time.Second
)

// limitedListener refuses connections beyond the limit with a problem body.
// fasthttp would refuse them as well, but in plain text and without
// Retry-After.
type limitedListener struct {
	net.Listener
	full    func() bool
	refused *atomic.Int64
	refusal []byte
	slots   chan struct{}
	clock   *coarse
}

func (s *Server) limit(l net.Listener) net.Listener {
	return &limitedListener{
		Listener: l,
		full:     func() bool { return int(s.fast.GetOpenConnectionsCount()) >= s.maxConns },
		refused:  &s.refused,
		refusal:  s.refusal(),
		slots:    make(chan struct{}, lingerers),
		clock:    &s.clock,
	}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // fasthttp looks at what it is
		}
		if !l.full() {
			return l.clock.timed(c), nil
		}
		l.refused.Add(1)
		select {
		case l.slots <- struct{}{}:
			go l.refuse(c)
		default:
			_ = c.Close()
		}
	}
}

// refuse sends the refusal and waits until the client has closed: closing
// first, with its request still unread, would reset the connection and could
// take the answer with it.
func (l *limitedListener) refuse(c net.Conn) {
	defer func() {
		_ = c.Close()
		<-l.slots
	}()
	_ = c.SetDeadline(time.Now().Add(linger))
	if _, err := c.Write(l.refusal); err != nil {
		return
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(c, maxHeader))
}

// refusal is the whole response to a connection that is one too many. What it
// asks for is never read, so it has no instance, and names no origin.
func (s *Server) refusal() []byte {
	const status = fasthttp.StatusServiceUnavailable
	body := encode(problem{Status: status, Detail: "This server has as many connections open as it can take."})
	b := []byte("HTTP/1.1 503 " + fasthttp.StatusMessage(status) + "\r\n")
	field := func(name []byte, value string) {
		b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
	}
	field(headerContentType, string(valueProblem))
	field(headerContentLength, strconv.Itoa(len(body)))
	field(headerCacheControl, string(valueNoStore))
	field(headerRetryAfter, "1")
	if s.cors.origins == nil {
		field(headerAllowOrigin, "*")
		field(headerExpose, string(valueExpose))
	}
	field(headerConnection, "close")
	return append(append(b, "\r\n"...), body...)
}
