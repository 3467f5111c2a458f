package http

import (
	"net"
	"time"
)

// deadlineSlack is how much earlier a deadline may come than was asked for.
const deadlineSlack = 5 * time.Second

// lazyConn sets its deadlines when it reads or writes, and only if they differ
// from those that are set: earlier by anything, or later by more than
// deadlineSlack. fasthttp asks for three new ones with every request, to idle,
// to read and to write, which as timers would take a twentieth of a hit; most
// are replaced before there is anything to wait for.
//
// It is for one goroutine: a deadline does not end a Read or a Write that is
// under way.
type lazyConn struct {
	net.Conn
	read, write deadline
}

type deadline struct{ asked, set time.Time }

func (c *lazyConn) SetReadDeadline(t time.Time) error  { c.read.asked = t; return nil }
func (c *lazyConn) SetWriteDeadline(t time.Time) error { c.write.asked = t; return nil }
func (c *lazyConn) SetDeadline(t time.Time) error      { c.read.asked, c.write.asked = t, t; return nil }

func (c *lazyConn) Read(b []byte) (int, error) {
	if c.read.differs() {
		if err := c.Conn.SetReadDeadline(c.read.asked); err != nil {
			return 0, err //nolint:wrapcheck // fasthttp looks at what it is
		}
		c.read.set = c.read.asked
	}
	return c.Conn.Read(b) //nolint:wrapcheck // the same
}

func (c *lazyConn) Write(b []byte) (int, error) {
	if c.write.differs() {
		if err := c.Conn.SetWriteDeadline(c.write.asked); err != nil {
			return 0, err //nolint:wrapcheck // fasthttp looks at what it is
		}
		c.write.set = c.write.asked
	}
	return c.Conn.Write(b) //nolint:wrapcheck // the same
}

func (d *deadline) differs() bool {
	if d.asked.IsZero() || d.set.IsZero() {
		return d.asked != d.set
	}
	later := d.asked.Sub(d.set)
	return later < 0 || later > deadlineSlack
}
