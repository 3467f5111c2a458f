package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
)

// relay stands between a server and its PostgreSQL, and can keep its
// notifications back, as a pooler does.
type relay struct {
	listener net.Listener
	socket   string // of PostgreSQL
	deaf     bool
	wg       sync.WaitGroup
}

// newRelay listens for a database that has a Unix socket.
func newRelay(ctx context.Context, database string, deaf bool) (*relay, error) {
	u, err := url.Parse(database)
	if err != nil {
		return nil, fmt.Errorf("the database's URL: %w", err)
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the database: %w", err)
	}
	r := &relay{listener: l, socket: u.Query().Get("host") + "/.s.PGSQL." + u.Query().Get("port"), deaf: deaf}
	r.wg.Go(r.accept)
	return r, nil
}

// url is the database's, by way of the relay.
func (r *relay) url() string {
	return "postgres://hotshelf@" + r.listener.Addr().String() + "/hotshelf?sslmode=disable"
}

// close ends it; connections end with their clients.
func (r *relay) close() error {
	err := r.listener.Close()
	r.wg.Wait()
	return err
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.wg.Go(func() {
			defer func() { _ = client.Close() }()
			var dialer net.Dialer
			server, err := dialer.DialContext(context.Background(), "unix", r.socket)
			if err != nil {
				return // the client sees its connection end
			}
			r.wg.Go(func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			})
			_ = r.pass(client, server)
		})
	}
}

// pass hands the server's messages on, each of which is a letter, its length
// with that of the length itself, and a content. Notifications have an A.
func (r *relay) pass(to io.Writer, from io.Reader) error {
	if !r.deaf {
		_, err := io.Copy(to, from)
		return err
	}
	var head [5]byte
	for {
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return err
		}
		content := io.LimitReader(from, int64(binary.BigEndian.Uint32(head[1:]))-4)
		if head[0] == 'A' {
			if _, err := io.Copy(io.Discard, content); err != nil {
				return err
			}
			continue
		}
		if _, err := to.Write(head[:]); err != nil {
			return err
		}
		if _, err := io.Copy(to, content); err != nil {
			return err
		}
	}
}
