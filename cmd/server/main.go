// Command server answers the storefront from the published catalogue.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"github.com/hotshelf/hotshelf/cache"
	"github.com/hotshelf/hotshelf/cmd/internal/cli"
	httpd "github.com/hotshelf/hotshelf/http"
)

type flags struct {
	cli.Database
	Addr            address      `help:"Where to listen." default:":8080" placeholder:"HOST:PORT"`
	AdminAddr       adminAddress `help:"Where metrics, health and profiles are; off for nowhere." default:"127.0.0.1:8081" placeholder:"HOST:PORT"`
	Memory          memory       `help:"What the server may use, such as 256MiB; auto is a quarter of the container's or machine's memory." default:"auto" placeholder:"SIZE"`
	MaxStaleness    staleness    `help:"How old an answer may be after a write through another server." default:"1s" placeholder:"DURATION"`
	StaleIfError    duration     `help:"How old an answer may be while the database can't be reached." default:"5m" placeholder:"DURATION"`
	CORSOrigin      []string     `help:"Origins whose pages may read the answers; may be given several times." default:"*" placeholder:"ORIGIN"`
	WriteTokensFile string       `help:"A file with a name and the SHA-256 of a write token on each line, read again on SIGHUP. Besides, or instead, $$HOTSHELF_WRITE_TOKEN may hold a token. With neither, writes are off." placeholder:"FILE"`
	secure
	logging
	Storefront bool `help:"Have a small storefront at /; --storefront=false turns it off." default:"true"`
	Check      bool `help:"Serve nothing, but ask the server that runs with these settings whether it is ready: exit code 0 when it is."`
}

const (
	// missTimeout is how long a read waits for the database.
	missTimeout = 2 * time.Second
	// readyConnections to the database are those that a publish needs at once, for
	// look-ups and the ids: until then reads may have needed one. To open the others
	// then made all reads wait longer.
	readyConnections = 4
	// drainTimeout is how long a stopping server waits for requests under way:
	// longer than a read may take, and short enough that PostgreSQL can still be
	// stopped within the ten seconds that containers are given. A client that
	// never ends its request must not take them all.
	drainTimeout = 2 * missTimeout
)

func main() { cli.Main("server", "Serve the catalogue.", run) }

// run builds from the bottom up, serves until ctx ends, and takes down in
// reverse order.
func run(ctx context.Context, f flags, io cli.IO) (err error) {
	if f.Check {
		return check(ctx, f, io.Stdout)
	}
	log := f.logger(io.Stderr)
	memory := f.Memory.divide(f.on())
	debug.SetMemoryLimit(memory.goes)

	socket, err := net.Listen("tcp", string(f.Addr))
	if err != nil {
		return fmt.Errorf("can't listen on %s: %w", f.Addr, cause(err))
	}
	defer func() { _ = socket.Close() }()
	listener, stopRenewing, err := f.wrap(socket, log, renewal)
	if err != nil {
		return err
	}
	defer stopRenewing()
	adminListener, err := f.AdminAddr.listen()
	if err != nil {
		return err
	}
	if adminListener != nil {
		defer func() { _ = adminListener.Close() }()
	}

	tokens, reload, err := writeTokens(f.WriteTokensFile, log)
	if err != nil {
		return err
	}
	defer onHangup(reload)()

	// A server that is told to stop has done its work, however far its start is.
	defer func() {
		if ctx.Err() != nil {
			err = nil
		}
	}()
	db, closeDB, err := f.Open(ctx, "server", readyConnections,
		func(line string) { log.Info(line) }, func(line string) { log.Warn(line) })
	if err != nil {
		return err
	}
	defer closeDB()
	log.Info("settings", f.settings(db.Where())...)
	if f.Embedded() {
		if err := firstCatalogue(ctx, db, f.DataDir, io, log); err != nil {
			return err
		}
	}

	blobs, err := cache.New(cache.Config{
		Bytes: memory.cache, MissTimeout: missTimeout, Source: db,
		MaxStaleness: time.Duration(f.MaxStaleness), StaleIfError: time.Duration(f.StaleIfError),
	})
	if err != nil {
		return fmt.Errorf("make the cache: %w", err)
	}
	defer blobs.Close()
	node := newNode(blobs, log)
	stopFollowing := node.follow(ctx, db, time.Duration(f.MaxStaleness))
	defer stopFollowing()

	server := httpd.New(httpd.Config{
		Catalogue: blobs, MaxConns: memory.connections, Lists: memory.lists,
		Ready: node.ready, CORSOrigins: f.CORSOrigin, Storefront: f.Storefront, Logger: log, AccessLog: float64(f.AccessLog),
		Writer: db, Tokens: tokens, Wrote: blobs.Wrote,
		Observe: func() httpd.Reading { return observe(blobs, db, node, f.Memory) },
	})
	stopAdmin := serveAdmin(adminListener, server, log)
	defer stopAdmin()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	greet(io.Stdout, f.scheme(), listener.Addr(), f.Storefront, node.ready())

	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		log.Warn("requests were cut off", "error", err)
	}
	return nil
}

// address is where to listen, as net.Listen takes it.
type address string

// UnmarshalText reads HOST:PORT; an empty host stands for all addresses.
func (a *address) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(string(text))
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%q is no address: expected HOST:PORT, such as :8080 or 127.0.0.1:8080", text)
	}
	*a = address(text)
	return nil
}

// cause is the innermost error: "address already in use" without the rest.
func cause(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err
}
