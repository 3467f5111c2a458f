// Package embedded owns a private PostgreSQL, for a first run and for tests:
// finding the binaries, making the cluster, starting, sharing and stopping the
// server. The commands use it where no database URL is given; the tests of
// other packages use it through embedtest.
//
// What must always hold:
//   - Every command that uses a data directory has a share in its server. The
//     first one starts it, the last one out stops it, whoever started it.
//   - Whatever was killed, and when: the next Start finds out and goes on.
//   - Only this user (and root) can connect: the server listens on a Unix
//     socket in a directory of mode 0700, and nowhere else.
//   - No process is signalled that isn't the server of this data directory.
//
// A data directory holds:
//
//	postgres/        the cluster
//	postgres.log     what the server says
//	start.lock       held exclusively while starting, attaching or stopping
//	users.lock       held shared by everyone who uses the server
//	processes.lock   held by PostgreSQL's own processes, and so by nobody
//	                 exactly when none of them is left
//	socket           where the socket is, if not in postgres/
//
// The locks are flock locks: the kernel drops them with their holder, so that
// none of them can be stale as a process id in a file can.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Options say how Start differs from a quiet, durable server.
type Options struct {
	// Log gets a line where Start does something that takes long or that the
	// user has to know; nil for silence.
	Log func(line string)
	// Ephemeral is for tests: no fsync, stopped without a checkpoint, ended by
	// the kernel with the process that started it (on Linux), and the data
	// directory is removed with the server.
	Ephemeral bool
}

// Server is a share in a running PostgreSQL.
type Server struct {
	cluster *cluster
	share   *os.File
	url     string
	done    chan struct{}
	stop    sync.Once
	err     error
}

// Start attaches to the PostgreSQL of the data directory dir. It starts it
// where no other command has, and creates directory and cluster where there
// are none. A cancelled ctx leaves nothing running that Start has started;
// after Start it has no effect.
func Start(ctx context.Context, dir string, opts Options) (*Server, error) {
	return start(ctx, dir, opts, newFinder())
}

func start(ctx context.Context, dir string, opts Options, find finder) (_ *Server, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	c := &cluster{dir: dir, log: opts.Log, ephemeral: opts.Ephemeral, find: find}
	if c.log == nil {
		c.log = func(string) {}
	}
	_, missing := os.Lstat(dir)
	gate, err := c.enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	defer func() { _ = gate.Close() }()
	defer func() {
		if err != nil && missing != nil {
			c.removeEmptyDir()
		}
	}()

	if err := c.run(ctx); err != nil {
		return nil, fmt.Errorf("embedded PostgreSQL in %s: %w", dir, err)
	}
	share, err := openLock(c.path("users.lock"))
	if err == nil {
		err = lockShared(share)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", dir, err), c.leave())
	}
	s := &Server{cluster: c, share: share, url: c.url(), done: make(chan struct{})}
	go s.boundLog()
	return s, nil
}

// URL is the address of the database "hotshelf" for pgx, psql and libpq. It
// stays the same until the server stops.
func (s *Server) URL() string { return s.url }

// Stop gives the share back. The last one out stops the server and returns
// when no process of it is left. Further calls do nothing and return the same
// error.
func (s *Server) Stop() error {
	s.stop.Do(func() {
		close(s.done)
		// Whoever holds the gate in the meantime either becomes a user or
		// sees, like us, that there is none.
		//
		// Unlocked and not only closed: a child that is being forked at this
		// moment has a copy of the file, and would keep the lock until its exec.
		_ = flock(s.share, syscall.LOCK_UN)
		_ = s.share.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		gate, err := lockGate(ctx, s.cluster.path("start.lock"), nil)
		if errors.Is(err, os.ErrNotExist) {
			return // removed together with the server by another one
		}
		if err == nil {
			err = s.cluster.leave()
			_ = gate.Close()
		}
		if err != nil {
			s.err = fmt.Errorf("stopping the PostgreSQL in %s: %w", s.cluster.dir, err)
		}
	})
	return s.err
}

// boundLog keeps the server's log from filling the disk. The server appends,
// so cutting the file under it is safe.
func (s *Server) boundLog() {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-tick.C:
			cutLog(s.cluster.path("postgres.log"), 8<<20)
		}
	}
}

func cutLog(path string, limit int64) {
	if info, err := os.Stat(path); err == nil && info.Size() > limit {
		_ = os.Truncate(path, 0)
	}
}
