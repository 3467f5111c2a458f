//go:build linux && !race

package http

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

// tcpPair is both ends of a connection, the first one quick.
func tcpPair(t *testing.T) (net.Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := quick(near)
	t.Cleanup(func() { _, _ = c.Close(), far.Close() })
	if _, ok := c.(*quickConn); !ok {
		t.Fatalf("a TCP connection became a %T", c)
	}
	return c, far.(*net.TCPConn)
}

// TestQuickConnIsUsed: connections of the server are quick.
func TestQuickConnIsUsed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limited := New(Config{Catalogue: newShelf(t, blob.Pulsar)}).limit(l)
	defer func() { _ = limited.Close() }()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	near, err := limited.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = near.Close() }()
	if _, ok := near.(*timedConn).Conn.(*quickConn); !ok {
		t.Errorf("the server has a %T", near.(*timedConn).Conn)
	}
}

// TestQuickConnCarriesAll: more than the socket takes at once, both ways, and
// the end.
func TestQuickConnCarriesAll(t *testing.T) {
	c, far := tcpPair(t)
	sent := bytes.Repeat([]byte("0123456789abcde\n"), 1<<20)
	go func() {
		time.Sleep(20 * time.Millisecond) // so that the writer has to wait
		echo, _ := io.ReadAll(io.LimitReader(far, int64(len(sent))))
		_, _ = far.Write(echo)
		_ = far.CloseWrite()
	}()
	if n, err := c.Write(sent); n != len(sent) || err != nil {
		t.Fatalf("%d of %d bytes written: %v", n, len(sent), err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back of %d, the same: %v, error %v", len(got), len(sent), bytes.Equal(got, sent), err)
	}
	if n, err := c.Read(make([]byte, 0)); n != 0 || err != nil {
		t.Errorf("a read of nothing: %d, %v", n, err)
	}
	if n, err := c.Write(nil); n != 0 || err != nil {
		t.Errorf("a write of nothing: %d, %v", n, err)
	}
}

// TestQuickConnFails: its errors are those of a plain connection, in all that
// fasthttp and we look at.
func TestQuickConnFails(t *testing.T) {
	b := make([]byte, 1<<20)
	fillUp := func(c net.Conn) error {
		for {
			if _, err := c.Write(b); err != nil {
				return err
			}
		}
	}
	for _, at := range []struct {
		name string
		do   func(c net.Conn, far *net.TCPConn) error
		want error
	}{
		{"a read past its deadline", func(c net.Conn, _ *net.TCPConn) error {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := c.Read(b)
			return err
		}, os.ErrDeadlineExceeded},
		{"a write past its deadline", func(c net.Conn, _ *net.TCPConn) error {
			_ = c.SetWriteDeadline(time.Now().Add(time.Millisecond))
			return fillUp(c)
		}, os.ErrDeadlineExceeded},
		{"a read of what is closed", func(c net.Conn, _ *net.TCPConn) error {
			time.AfterFunc(time.Millisecond, func() { _ = c.Close() })
			_, err := c.Read(b)
			return err
		}, net.ErrClosed},
		{"a write to what is closed", func(c net.Conn, _ *net.TCPConn) error {
			_ = c.Close()
			return fillUp(c)
		}, net.ErrClosed},
		{"a read after a reset", func(c net.Conn, far *net.TCPConn) error {
			_ = far.SetLinger(0)
			_ = far.Close()
			_, err := c.Read(b)
			return err
		}, syscall.ECONNRESET},
		{"a write that nobody can take", func(c net.Conn, far *net.TCPConn) error {
			_ = far.SetLinger(0)
			_ = far.Close()
			_, _ = c.Read(b)
			return fillUp(c)
		}, syscall.EPIPE},
		{"a read at the end", func(c net.Conn, far *net.TCPConn) error {
			_ = far.Close()
			_, err := c.Read(b)
			return err
		}, io.EOF},
	} {
		c, far := tcpPair(t)
		quickly := at.do(c, far)
		c, far = tcpPair(t)
		plainly := at.do(c.(*quickConn).Conn, far)
		if !errors.Is(quickly, at.want) || !errors.Is(plainly, at.want) {
			t.Errorf("%s: %v; of a plain connection: %v; want %v", at.name, quickly, plainly, at.want)
			continue
		}
		var a, b *net.OpError
		if errors.As(quickly, &a) != errors.As(plainly, &b) || a != nil && (a.Op != b.Op || a.Net != b.Net || a.Timeout() != b.Timeout()) {
			t.Errorf("%s: %#v; of a plain connection: %#v", at.name, quickly, plainly)
		}
	}
}

// TestQuickConnAllocatesNothing: neither reads nor writes.
func TestQuickConnAllocatesNothing(t *testing.T) {
	c, far := tcpPair(t)
	go func() { _, _ = io.Copy(far, far) }()
	b := make([]byte, 100)
	if got := testing.AllocsPerRun(100, func() {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
