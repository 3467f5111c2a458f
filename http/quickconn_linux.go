//go:build !race

package http

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// quickConn is a TCP connection that is read and written without telling Go's
// scheduler, which need not know of calls that never block: its socket is
// non-blocking. When it is told of one after a pause, it wakes up its monitor, a
// thread that then looks every 20 µs whether the call takes long, until all is
// idle again. Of a request that comes alone that was a third of the CPU time.
//
// Not with the race detector, which learns from package syscall who has waited
// for whom.
type quickConn struct {
	net.Conn
	raw     syscall.RawConn
	in, out transfer
}

// transfer is a read or a write under way. Only one of each may be.
type transfer struct {
	call uintptr
	b    []byte
	n    int // bytes, of the last call
	err  syscall.Errno
	try  func(fd uintptr) bool // made once, for it is on the heap
}

// quick makes a connection quick, where it is one that can be.
func quick(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	c := &quickConn{Conn: conn, raw: raw}
	c.in.call, c.in.try = syscall.SYS_READ, c.in.attempt
	c.out.call, c.out.try = syscall.SYS_WRITE, c.out.attempt
	return c
}

// attempt is false where nothing can be moved yet: the caller then waits, as
// far as a deadline lets it, and tries again.
func (t *transfer) attempt(fd uintptr) bool {
	for {
		n, _, err := syscall.RawSyscall(t.call, fd, uintptr(unsafe.Pointer(&t.b[0])), uintptr(len(t.b)))
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		}
		t.n, t.err = int(n), err
		return true
	}
}

func (c *quickConn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.in.b = b
	err := c.raw.Read(c.in.try)
	c.in.b = nil
	switch {
	case err != nil:
		return 0, c.failed("read", err)
	case c.in.err != 0:
		return 0, c.failed("read", os.NewSyscallError("read", c.in.err))
	case c.in.n == 0:
		return 0, io.EOF
	}
	return c.in.n, nil
}

func (c *quickConn) Write(b []byte) (int, error) {
	written := 0
	for written < len(b) {
		c.out.b = b[written:]
		err := c.raw.Write(c.out.try)
		c.out.b = nil
		switch {
		case err != nil:
			return written, c.failed("write", err)
		case c.out.err != 0:
			return written, c.failed("write", os.NewSyscallError("write", c.out.err))
		case c.out.n == 0:
			return written, c.failed("write", io.ErrUnexpectedEOF)
		}
		written += c.out.n
	}
	return written, nil
}

// failed is the error that package net has for the same.
func (c *quickConn) failed(what string, err error) error {
	if raw := (*net.OpError)(nil); errors.As(err, &raw) {
		err = raw.Err
	}
	return &net.OpError{Op: what, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
