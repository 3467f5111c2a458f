package embedtest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Link is a way to a database that can break as networks do: a TCP proxy on
// the loopback interface. It knows enough of the protocol to tell connections
// that listen for notifications from others.
type Link struct {
	listener net.Listener
	url      string
	network  string // of the database
	address  string

	mu     sync.Mutex
	change *sync.Cond
	links  []*connection
	state  linkState
	pumps  sync.WaitGroup
}

type linkState struct {
	cut, cutListening, frozen, deaf, closed bool
}

type connection struct {
	client, server net.Conn
	listens        bool
	broken         bool
}

// NewLink makes a link to the database of an address, without TLS, that works
// until it is told otherwise. It ends with the test.
func NewLink(t testing.TB, address string) *Link {
	t.Helper()
	config, err := pgconn.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	l := new(Link)
	l.change = sync.NewCond(&l.mu)
	l.network, l.address = pgconn.NetworkAddress(config.Host, config.Port)
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	through := url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password),
		Host: l.listener.Addr().String(), Path: "/" + config.Database, RawQuery: "sslmode=disable",
	}
	l.url = through.String()
	l.pumps.Go(l.accept)
	t.Cleanup(l.close)
	return l
}

// URL is the database's address by way of the link.
func (l *Link) URL() string { return l.url }

// Cut ends all connections and lets none in.
func (l *Link) Cut() { l.set(func(s *linkState) { s.cut = true }) }

// CutListening does so to connections that listen for notifications only.
func (l *Link) CutListening() { l.set(func(s *linkState) { s.cutListening = true }) }

// Freeze keeps all connections open, also new ones, but passes nothing on.
func (l *Link) Freeze() { l.set(func(s *linkState) { s.frozen = true }) }

// Deafen swallows notifications.
func (l *Link) Deafen() { l.set(func(s *linkState) { s.deaf = true }) }

// Heal makes the link work. What was frozen goes on.
func (l *Link) Heal() { l.set(func(s *linkState) { *s = linkState{} }) }

func (l *Link) set(change func(*linkState)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.state)
	for _, c := range l.links {
		l.check(c)
	}
	l.change.Broadcast()
}

// check ends a connection that the state forbids. The mutex is held.
func (l *Link) check(c *connection) {
	if l.state.closed || l.state.cut || l.state.cutListening && c.listens {
		c.broken = true
		_ = c.client.Close()
		_ = c.server.Close()
	}
}

func (l *Link) close() {
	_ = l.listener.Close()
	l.set(func(s *linkState) { *s = linkState{closed: true} })
	l.pumps.Wait()
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial(l.network, l.address)
		if err != nil {
			_ = client.Close()
			continue
		}
		c := &connection{client: client, server: server}
		l.mu.Lock()
		l.links = append(l.links, c)
		l.check(c)
		l.mu.Unlock()
		l.pumps.Go(func() { l.pump(c, l.fromClient) })
		l.pumps.Go(func() { l.pump(c, l.fromServer) })
	}
}

// pump passes one direction on until either end closes.
func (l *Link) pump(c *connection, pass func(*connection) error) {
	_ = pass(c)
	_ = c.client.Close()
	_ = c.server.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.links = slices.DeleteFunc(l.links, func(x *connection) bool { return x == c })
}

func (l *Link) fromClient(c *connection) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.client.Read(buf)
		if err != nil {
			return err
		}
		if bytes.Contains(buf[:n], []byte("listen hotshelf_feed")) {
			l.mu.Lock()
			c.listens = true
			l.check(c)
			l.mu.Unlock()
		}
		if err := l.send(c, c.server, buf[:n]); err != nil {
			return err
		}
	}
}

func (l *Link) fromServer(c *connection) error {
	r := bufio.NewReader(c.server)
	for {
		// A message is its type, its length without the type, and the rest.
		head := make([]byte, 5)
		if _, err := io.ReadFull(r, head); err != nil {
			return err
		}
		message := make([]byte, 1+binary.BigEndian.Uint32(head[1:]))
		copy(message, head)
		if _, err := io.ReadFull(r, message[len(head):]); err != nil {
			return err
		}
		const notification = 'A'
		l.mu.Lock()
		swallow := l.state.deaf && head[0] == notification
		l.mu.Unlock()
		if swallow {
			continue
		}
		if err := l.send(c, c.client, message); err != nil {
			return err
		}
	}
}

// send passes bytes on, when nothing is frozen.
func (l *Link) send(c *connection, to net.Conn, data []byte) error {
	l.mu.Lock()
	for l.state.frozen && !c.broken {
		l.change.Wait()
	}
	l.mu.Unlock()
	_, err := to.Write(data)
	return err
}
