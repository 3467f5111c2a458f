package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// bulkBuffer is what a read can take at once: most of what a Unix socket
	// holds on Linux, 208 KiB.
	bulkBuffer = 128 << 10
	// bulkPause is how long more is waited for where a read has found less than
	// half of that: PostgreSQL makes 100 to 170 KB a millisecond of rows, and waits
	// where its socket is full.
	bulkPause = 2 * time.Millisecond
	// bulkWritten is what a Unix socket shall hold of what is written: all of it is
	// 20 ms for a COPY of blobs, so that whoever writes may take turns with
	// others. Linux gives as much as net.core.wmem_max, and twice that for its own
	// accounts.
	bulkWritten = 1 << 20
)

// writeInBulk gives the Unix sockets of a dialer room for what is written. TCP
// finds out by itself how much it needs.
func writeInBulk(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if socket, ok := conn.(*net.UnixConn); ok {
			_ = socket.SetWriteBuffer(bulkWritten) // what there is does, more slowly
		}
		return conn, err
	}
}

// bulkConn reads a stream of rows in large pieces. PostgreSQL sends 8 KB at a
// time. To be woken up for each costs both sides more than its rows do, and takes
// the processor from the COPY that a warm waits for.
type bulkConn struct {
	net.Conn
	buf  []byte
	left []byte      // of buf
	dry  bool        // the last read found little
	busy func() bool // whether there is time to wait for more

	// A Unix socket carries PostgreSQL's messages as they are: a byte for the
	// kind, and how long they are, of which the driver need not see those that
	// hold the rows of a COPY, fifty million of them.
	rows *bytes.Buffer // takes what is in them, unless it is nil
	row  int           // bytes of such a message that are still to come
	rest int           // bytes that are the driver's; over TCP all
}

// readInBulk makes the connections of a dialer read in bulk, and wait for more
// where busy says that nobody waits for them. They lie below TLS, whose records
// are small.
func readInBulk(dial pgconn.DialFunc, busy func() bool) pgconn.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &bulkConn{Conn: conn, buf: make([]byte, bulkBuffer), busy: busy}
		if _, local := conn.(*net.UnixConn); !local {
			c.rest = math.MaxInt
		}
		return c, nil
	}
}

func (c *bulkConn) Read(p []byte) (int, error) {
	const head = 5
	for {
		switch {
		case c.rest > 0 && len(c.left) > 0:
			n := copy(p[:min(len(p), c.rest)], c.left)
			c.left, c.rest = c.left[n:], c.rest-n
			return n, nil
		case c.row > 0 && len(c.left) > 0:
			n := min(c.row, len(c.left))
			c.rows.Write(c.left[:n])
			c.left, c.row = c.left[n:], c.row-n
		case c.rest == 0 && c.row == 0 && len(c.left) >= head:
			// The length counts itself, not the kind.
			length := int(binary.BigEndian.Uint32(c.left[1:]))
			if c.left[0] == 'd' && c.rows != nil && length > 4 {
				c.left, c.row = c.left[head:], length-4
			} else {
				c.rest = max(length+1, head)
			}
		default:
			if err := c.fill(); err != nil {
				return 0, err
			}
		}
	}
}

// fill reads more behind what is left.
func (c *bulkConn) fill() error {
	if c.dry && c.busy() {
		time.Sleep(bulkPause)
	}
	held := copy(c.buf, c.left)
	n, err := c.Conn.Read(c.buf[held:])
	if n == 0 {
		return err
	}
	c.left, c.dry = c.buf[:held+n], n < bulkBuffer/2
	return nil
}
