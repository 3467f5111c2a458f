package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// client is a set of connections to one server, served by one thread that
// waits in epoll. A goroutine per connection would cost as much per request as
// the servers that are measured.
type client struct {
	epoll int
	to    unix.SockaddrInet4
	conns []conn
	free  []int // connections without a request under way
	out   []byte
}

type conn struct {
	fd   int
	in   []byte        // what has come of the response
	need int           // bytes of the whole response; 0 while unknown
	due  time.Duration // when the request under way fell due
	busy bool
}

// dial opens the connections. The address is one of IPv4.
func dial(addr string, conns int) (*client, error) {
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	c := &client{conns: make([]conn, conns)}
	c.to.Port = tcp.Port
	copy(c.to.Addr[:], tcp.IP.To4())
	if c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	for i := range c.conns {
		c.conns[i].fd = -1
		c.conns[i].in = make([]byte, 0, 32<<10)
	}
	for i := range c.conns {
		if err := c.connect(i); err != nil {
			c.close()
			return nil, fmt.Errorf("connect to %s: %w", addr, err)
		}
	}
	return c, nil
}

func (c *client) connect(i int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = unix.Connect(fd, &c.to)
	for errors.Is(err, unix.EINTR) {
		err = unix.Connect(fd, &c.to)
	}
	err = errors.Join(err,
		unix.SetNonblock(fd, true),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}))
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	cn := &c.conns[i]
	cn.fd, cn.in, cn.need, cn.busy = fd, cn.in[:0], 0, false
	c.free = append(c.free, i)
	return nil
}

func (c *client) close() {
	for i := range c.conns {
		if c.conns[i].fd >= 0 {
			_ = unix.Close(c.conns[i].fd)
		}
	}
	_ = unix.Close(c.epoll)
}

// run puts the connections under load until the plan's time is over and what
// was sent is answered.
func (c *client) run(ctx context.Context, p plan) (*outcome, error) {
	o := &outcome{latencies: make([]time.Duration, 0, 1<<20)}
	events := make([]unix.EpollEvent, len(c.conns))
	total := int64(p.rate * p.duration.Seconds())
	start := time.Now()
	for sent, now := int64(0), time.Duration(0); ; now = time.Since(start) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for len(c.free) > 0 {
			due := now
			if p.rate > 0 {
				due = time.Duration(float64(sent) / p.rate * float64(time.Second))
				if sent >= total || due > now {
					break
				}
			} else if now >= p.duration {
				break
			}
			at := len(c.free) - 1
			if p.inTurn {
				at = 0
			}
			i := c.free[at]
			c.free = slices.Delete(c.free, at, at+1)
			sent++
			if err := c.send(i, due, p.next, o); err != nil {
				return nil, err
			}
		}
		if now >= p.duration && len(c.free) == len(c.conns) && (p.rate == 0 || sent >= total) {
			break
		}
		if now > p.duration+grace {
			if err := c.abandon(max(total-sent, 0), o); err != nil {
				return nil, err
			}
			break
		}
		n, err := unix.EpollWait(c.epoll, events, c.patience(p, sent, total, now))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("wait for answers: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			if err := c.receive(int(e.Fd), start, o); err != nil {
				return nil, err
			}
		}
	}
	o.took = time.Since(start)
	o.latencies = sorted(o.latencies)
	return o, nil
}

// patience is how many milliseconds may be slept for answers: less than until
// the next request falls due. The last one is spent looking, as a sleep of
// less can't be asked for.
func (c *client) patience(p plan, sent, total int64, now time.Duration) int {
	if p.spin {
		return 0
	}
	if p.rate == 0 || len(c.free) == 0 || sent >= total {
		return 20
	}
	due := time.Duration(float64(sent) / p.rate * float64(time.Second))
	return int(min(max((due-now)/time.Millisecond-1, 0), 20))
}

func (c *client) send(i int, due time.Duration, next requestMaker, o *outcome) error {
	cn := &c.conns[i]
	cn.due, cn.busy, cn.need, cn.in = due, true, 0, cn.in[:0]
	c.out = next(c.out[:0])
	if n, err := unix.Write(cn.fd, c.out); err != nil || n < len(c.out) {
		o.fail("sending a request: %d bytes sent, %v", n, err)
		return c.reconnect(i)
	}
	return nil
}

func (c *client) reconnect(i int) error {
	_ = unix.Close(c.conns[i].fd)
	c.conns[i].fd = -1
	if err := c.connect(i); err != nil {
		return fmt.Errorf("connect again: %w", err)
	}
	return nil
}

// receive reads what has come on a connection, and counts a response that is
// complete.
func (c *client) receive(i int, start time.Time, o *outcome) error {
	cn := &c.conns[i]
	if len(cn.in) == cap(cn.in) {
		cn.in = append(cn.in, make([]byte, cap(cn.in))...)[:len(cn.in)]
	}
	n, err := unix.Read(cn.fd, cn.in[len(cn.in):cap(cn.in)])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil || n == 0:
		if cn.busy {
			o.fail("the connection ended before the answer: %v", err)
		}
		c.free = without(c.free, i)
		return c.reconnect(i)
	}
	cn.in = cn.in[:len(cn.in)+n]
	if cn.need == 0 {
		if cn.need, err = wholeLength(cn.in); err != nil {
			o.fail("%v", err)
			return c.reconnect(i)
		}
	}
	if cn.need == 0 || len(cn.in) < cn.need {
		return nil
	}
	if len(cn.in) > cn.need || !cn.busy {
		o.fail("more than the answer came: %q", cn.in[:min(len(cn.in), 200)])
		c.free = without(c.free, i)
		return c.reconnect(i)
	}
	o.bytes += int64(cn.need)
	if status := string(cn.in[9:12]); status == "200" || status == "304" {
		o.requests++
		o.latencies = append(o.latencies, time.Since(start)-cn.due)
	} else {
		o.fail("%.200s", cn.in)
	}
	cn.busy = false
	c.free = append(c.free, i)
	return nil
}

func without(free []int, i int) []int {
	for k, j := range free {
		if j == i {
			return append(free[:k], free[k+1:]...)
		}
	}
	return free
}

// wholeLength is the length of a response with its headers, from its
// beginning; 0 while they aren't complete.
func wholeLength(b []byte) (int, error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	if end < 12 || string(b[:5]) != "HTTP/" {
		return 0, fmt.Errorf("no response: %.200q", b)
	}
	if string(b[9:12]) == "304" {
		return end + 4, nil
	}
	const field = "\r\nContent-Length: "
	at := bytes.Index(b[:end+2], []byte(field))
	if at < 0 {
		return 0, fmt.Errorf("a response without its length: %.200q", b)
	}
	text := b[at+len(field):]
	n, err := strconv.Atoi(string(text[:bytes.IndexByte(text, '\r')]))
	if err != nil {
		return 0, fmt.Errorf("the length of a response: %w", err)
	}
	return end + 4 + n, nil
}

// abandon counts what is still not answered, and what was not even sent.
func (c *client) abandon(unsent int64, o *outcome) error {
	for range unsent {
		o.fail("not sent in time: all connections were busy")
	}
	for i := range c.conns {
		if c.conns[i].busy {
			o.fail("not answered in time")
			if err := c.reconnect(i); err != nil {
				return err
			}
		}
	}
	return nil
}
