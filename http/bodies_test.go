package http

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

// longShelf has as many products as anybody asks for, all alike.
type longShelf struct {
	*shelf
	detail []byte
}

func (s longShelf) Page(_ context.Context, dst []*blob.Answers, _, count int64) ([]*blob.Answers, int64, time.Duration, error) {
	for range count {
		dst = append(dst, &blob.Answers{ProductID: 1, Tags: []byte(`"1-0""1-0-gzip"`), Detail: blob.Answer{Body: s.detail}})
	}
	return dst, 1_000_000, 0, nil
}

// pipes is a listener whose connections have no buffer: what a client does not
// read stays with the server.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, io.EOF
	}
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) Close() error {
	close(p.done)
	return nil
}

// TestListsAreBounded: clients that don't read hold so much memory and no more.
// Who comes then gets 503, other answers go on, and a list that has been sent,
// or whose client has gone, makes room.
func TestListsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room = leastLists + 3<<20
		s := longShelf{newShelf(t, blob.Pulsar), []byte(`{"id":1,"name":"` + strings.Repeat("x", 2000) + `"}`)}
		server := inBubble(Config{Catalogue: s, Lists: room})
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		go func() { _ = server.Serve(l) }()

		ask := func(target string) (net.Conn, *bufio.Reader, int) {
			t.Helper()
			client, end := net.Pipe()
			l.conns <- end
			if _, err := io.WriteString(client, "GET "+target+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReaderSize(client, 16)
			line, err := in.ReadString(' ')
			if err != nil {
				t.Fatal(err)
			}
			code := make([]byte, 3)
			if _, err := io.ReadFull(in, code); err != nil {
				t.Fatal(line, err)
			}
			return client, in, int(code[0]-'0') * 100
		}
		const long = "/products/list?count=500"
		var slow []net.Conn
		var ins []*bufio.Reader
		for {
			c, in, status := ask(long)
			if status != 200 {
				_ = c.Close()
				break
			}
			slow, ins = append(slow, c), append(ins, in)
		}
		// Each holds about a megabyte; the one that came last wanted two.
		if most, least := room/(500*2000), (room-500*perProduct)/(500*2100); len(slow) < least || len(slow) > most {
			t.Errorf("%d lists of about a megabyte in %d bytes, want %d to %d", len(slow), room, least, most)
		}
		for _, target := range []string{"/products/list", "/products/1"} {
			c, _, status := ask(target)
			if status != 200 {
				t.Errorf("%s: status %d", target, status)
			}
			_ = c.Close()
		}
		// One reads on, another one goes.
		_ = slow[0].Close()
		rest, err := nethttp.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 200"), ins[1])), nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, rest.Body); err != nil || n < 500*2000 {
			t.Error(n, err)
		}
		_ = rest.Body.Close()
		synctest.Wait()
		for range 2 {
			c, _, status := ask(long)
			if status != 200 {
				t.Errorf("with room again: status %d", status)
			}
			slow = append(slow, c)
		}
		for _, c := range slow {
			_ = c.Close()
		}
		synctest.Wait()
		if !server.lists.TryAcquire(room) {
			t.Error("not all memory has come back")
		}
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Second) // fasthttp's workers end
	})
}

// TestListsOfLargeProducts: the larger products are, the fewer lists of them
// are put together at a time.
func TestListsOfLargeProducts(t *testing.T) {
	server := New(Config{Catalogue: newShelf(t, blob.Pulsar), Lists: 64 << 20})
	weight := func() int64 {
		p, err := server.place(maxCount)
		if err != nil {
			t.Fatal(err)
		}
		defer p.leave()
		return p.bytes
	}
	if got := weight(); got != maxCount*perProduct {
		t.Errorf("at first %d bytes", got)
	}
	large := make([]*blob.Answers, maxCount)
	for i := range large {
		large[i] = &blob.Answers{Styles: blob.Answer{Body: make([]byte, 50_000), Zip: func([]byte) []byte { return make([]byte, 10_000) }}}
		large[i].Styles.Gzip()
	}
	server.weigh(large)
	if got := weight(); got != maxCount*60_000 {
		t.Errorf("then %d bytes, want %d", got, maxCount*60_000)
	}
	for i := range large {
		large[i].Styles.Body = make([]byte, 200_000)
	}
	server.weigh(large)
	if got := weight(); got != 64<<20 {
		t.Errorf("at last %d bytes, want all there are", got)
	}
}

// TestLongBodies: only a write token entitles to a long body.
func TestLongBodies(t *testing.T) {
	tokens := new(Tokens)
	tokens.Set([]Token{NewToken("a", "0123456789abcdef")})
	server := start(t, Config{Catalogue: newShelf(t, blob.Pulsar), Tokens: tokens})
	body := strings.Repeat("x", 100_000)
	for _, test := range []struct {
		method, token string
		want          int
	}{
		{"POST", "", 413},
		{"POST", "fedcba9876543210", 413},
		{"POST", "0123456789abcdef", 415}, // read, and looked at
		{"GET", "0123456789abcdef", 413},
	} {
		header := ""
		if test.token != "" {
			header = "Authorization: Bearer " + test.token + "\r\n"
		}
		raw := server.raw(test.method + " /products HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + "Content-Length: 100000\r\n\r\n" + body)
		if got := parseReplies(t, raw, test.method)[0]; got.status != test.want {
			t.Errorf("%s with token %q: status %d, want %d", test.method, test.token, got.status, test.want)
		}
	}
}

// TestAccessLogLeavesLists: a line about a long list does not read its body,
// which would give its place back before it is sent.
func TestAccessLogLeavesLists(t *testing.T) {
	s := longShelf{newShelf(t, blob.Pulsar), []byte(`{"id":1,"name":"` + strings.Repeat("x", 2000) + `"}`)}
	var log bytes.Buffer
	server := New(Config{Catalogue: s, AccessLog: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	ctx := prepared("GET", "/products/list?count=500")
	server.handle(ctx)
	if !ctx.Response.IsBodyStream() || !strings.Contains(log.String(), "bytes=10") {
		t.Errorf("a stream: %v, log: %s", ctx.Response.IsBodyStream(), log.String())
	}
	server.handle(prepared("GET", "/products/1"))
	if strings.Contains(log.String(), "bytes=-") {
		t.Errorf("log: %s", log.String())
	}
}
