package embedded

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// poll is how often a lock or the server's state is looked at: the wait of a
// second start is a few of these.
const poll = 2 * time.Millisecond

// enter makes the data directory where it is missing and takes its gate.
func (c *cluster) enter(ctx context.Context) (*os.File, error) {
	for {
		if err := os.MkdirAll(c.dir, 0o700); err != nil {
			return nil, err
		}
		gate, err := lockGate(ctx, c.path("start.lock"), func() {
			c.log("waiting for another hotshelf command to start or stop PostgreSQL")
		})
		if errors.Is(err, os.ErrNotExist) {
			continue // the last user of an ephemeral server removed it all
		}
		return gate, err
	}
}

// lockGate locks the file at path exclusively. os.ErrNotExist: the file or its
// directory is gone.
func lockGate(ctx context.Context, path string, waiting func()) (*os.File, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	for begin := time.Now(); ; {
		ok, err := tryLock(f)
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		if ok {
			break
		}
		if waiting != nil && time.Since(begin) > time.Second {
			waiting()
			waiting = nil
		}
		if err := sleep(ctx); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	// The holder before us may have removed the file: then we have locked
	// nothing that anybody else will find.
	ours, err := f.Stat()
	if err == nil {
		var there os.FileInfo
		there, err = os.Stat(path)
		if err == nil && !os.SameFile(ours, there) {
			err = os.ErrNotExist
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func openLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

// tryLock locks f exclusively; false: somebody else has it.
func tryLock(f *os.File) (bool, error) {
	err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return true, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return false, err
}

// lockShared never waits where it is used: an exclusive lock on that file is
// only tried under the gate.
func lockShared(f *os.File) error { return flock(f, syscall.LOCK_SH) }

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return &os.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}

func sleep(ctx context.Context) error {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
