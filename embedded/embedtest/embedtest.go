// Package embedtest gives tests a real PostgreSQL: one ephemeral server a test
// package, a database of its own for each test. Only tests import it: embedded
// itself has no use for package testing.
//
//	var pg embedtest.Server
//
//	func TestMain(m *testing.M) { os.Exit(pg.Run(m)) }
//
//	func TestX(t *testing.T) { url := pg.Database(t) }
//
// CREATE and DROP DATABASE here are about the server, not the catalogue, and
// so are no business of package store.
package embedtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/embedded"
)

// Server is one test package's PostgreSQL. It starts with the first test that
// asks for a database, and stops at the end of Run. The zero value is ready.
type Server struct {
	// Prepare, where set, fills the database that every test's database is a
	// copy of. It must close its connections.
	Prepare func(ctx context.Context, url string) error

	start  sync.Once
	err    error
	server *embedded.Server

	mu    sync.Mutex
	count int
}

const dirPrefix = "hotshelf-test-"

// Run runs the tests and stops the server. Its result is for os.Exit.
func (s *Server) Run(m *testing.M) (code int) {
	defer func() {
		if err := s.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}()
	return m.Run()
}

func (s *Server) stop() error {
	if s.server != nil {
		return s.server.Stop()
	}
	return nil
}

// Database returns the URL of a fresh database, which is dropped after the
// test, connections or not. Tests may run in parallel. A test without a server
// fails; it never skips.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	s.start.Do(func() { s.err = s.begin(t.Context()) })
	if s.err != nil {
		t.Fatalf("no PostgreSQL for the tests: %v", s.err)
	}
	s.mu.Lock()
	s.count++
	name := fmt.Sprintf("test%d", s.count)
	s.mu.Unlock()
	if err := s.exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE hotshelf"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context is cancelled by now.
		if err := s.exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return onDatabase(s.server.URL(), name)
}

func (s *Server) begin(ctx context.Context) error {
	sweep(ctx)
	dir, err := os.MkdirTemp("", dirPrefix)
	if err != nil {
		return err
	}
	s.server, err = embedded.Start(ctx, dir, embedded.Options{Ephemeral: true})
	if err != nil {
		_ = os.RemoveAll(dir)
		return err
	}
	if s.Prepare != nil {
		return s.Prepare(ctx, s.server.URL())
	}
	return nil
}

func (s *Server) exec(ctx context.Context, sql string) error {
	// Not to the template: a database with connections can't be copied.
	conn, err := pgx.Connect(ctx, onDatabase(s.server.URL(), "postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

func onDatabase(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err) // we wrote it
	}
	u.Path = "/" + name
	return u.String()
}

// sweep removes what test processes that were killed have left. Attaching and
// leaving does that, and spares a server that is still in use.
func sweep(ctx context.Context) {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Hour {
			continue
		}
		if s, err := embedded.Start(ctx, dir, embedded.Options{Ephemeral: true}); err == nil {
			_ = s.Stop()
		}
	}
}
