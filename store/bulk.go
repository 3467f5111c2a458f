package store

import (
	"context"
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
	left []byte // of buf
	dry  bool   // the last read found little
}

// readInBulk makes the connections of a dialer read in bulk. They lie below
// TLS, whose records are small.
func readInBulk(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &bulkConn{Conn: conn, buf: make([]byte, bulkBuffer)}, nil
	}
}

func (c *bulkConn) Read(p []byte) (int, error) {
	if len(c.left) == 0 {
		if c.dry {
			time.Sleep(bulkPause)
		}
		n, err := c.Conn.Read(c.buf)
		if n == 0 {
			return 0, err
		}
		c.left, c.dry = c.buf[:n], n < bulkBuffer/2
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}
