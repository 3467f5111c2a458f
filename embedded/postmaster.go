package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// errGone: no process of the server is left.
var errGone = errors.New("PostgreSQL has ended")

// launch starts the server in a session of its own, so that neither a
// terminal's Ctrl-C nor the end of this process reaches it, and waits until it
// takes connections.
func (c *cluster) launch(ctx context.Context, bin binaries, acct account, alive *os.File) error {
	cutLog(c.path("postgres.log"), 1<<20)
	log, err := os.OpenFile(c.path("postgres.log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}

	cmd := exec.Command(filepath.Join(bin.dir, "postgres"), "-D", c.data())
	cmd.SysProcAttr = acct.attr()
	if c.ephemeral {
		dieWithParent(cmd.SysProcAttr)
	}
	cmd.Env = environ()
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{alive}
	started, exited := make(chan error, 1), make(chan error, 1)
	go func() {
		// dieWithParent means the thread, so the thread has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			exited <- cmd.Wait()
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		return err
	}
	c.exited = exited
	// From here on the lock is the server's alone.
	_ = alive.Close()

	err = c.awaitReady(ctx)
	if err == nil {
		return nil
	}
	if errors.Is(err, errGone) {
		why := <-exited
		said, _ := io.ReadAll(io.NewSectionReader(log, before, 1<<20))
		err = fmt.Errorf("PostgreSQL ended at its start (%w) and said:\n%s", why, lastLines(string(said)))
	}
	err = errors.Join(err, c.halt(cmd.Process))
	c.removeSocket()
	return err
}

// awaitReady returns when the server takes connections, or errGone when none
// of its processes is left. After a crash that can take as long as replaying
// the log does; only ctx limits it.
func (c *cluster) awaitReady(ctx context.Context) error {
	begin, told := time.Now(), false
	for {
		// What the pid file says may be about the server before this one; only
		// a live one answers.
		if readPidFile(c.data()).ready && c.answers(ctx) {
			return nil
		}
		if left, err := c.processesLeft(); err != nil {
			return err
		} else if !left {
			return errGone
		}
		if !told && time.Since(begin) > 2*time.Second {
			c.log("waiting for PostgreSQL to be ready (after a crash it reads its log first)")
			told = true
		}
		if err := sleep(ctx); err != nil {
			return err
		}
	}
}

// answers says whether the server greets us. A socket that can be opened isn't
// enough: that of a server which is just being killed can.
func (c *cluster) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, c.url())
	if err == nil {
		_ = conn.Close(ctx)
		return true
	}
	// Refusals of a server that is up are the caller's to see: too many
	// connections, say.
	var refused *pgconn.PgError
	return errors.As(err, &refused) && !strings.HasPrefix(refused.Code, "57P")
}

// processesLeft says whether PostgreSQL's processes hold their lock.
func (c *cluster) processesLeft() (bool, error) {
	f, err := openLock(c.path("processes.lock"))
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	free, err := tryLock(f)
	return !free, err
}

// halt stops the server, if one runs, and returns when none of its processes
// is left. First the fast way, which writes everything out; a server that
// can't is ended harder, which costs a recovery at the next start but no
// committed data. started is the postmaster where the caller has just started it;
// it may not have written its process id down yet.
func (c *cluster) halt(started *os.Process) error {
	steps := []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, time.Minute}, {syscall.SIGQUIT, 10 * time.Second}, {syscall.SIGKILL, 10 * time.Second}}
	if c.ephemeral {
		steps = steps[1:]
	}
	for _, step := range steps {
		signalled := false
		for begin := time.Now(); time.Since(begin) < step.wait; {
			left, err := c.processesLeft()
			if err != nil {
				return err
			}
			if !left {
				if c.exited != nil {
					<-c.exited // until it is reaped
				}
				return nil
			}
			if !signalled {
				signalled, err = c.signal(started, step.signal)
				if err != nil {
					return err
				}
			}
			_ = sleep(context.Background())
		}
	}
	return fmt.Errorf("processes of the server (%d) did not end", readPidFile(c.data()).pid)
}

// signal sends to the postmaster. False: there is none to be seen, because it
// is just ending.
func (c *cluster) signal(started *os.Process, signal syscall.Signal) (bool, error) {
	var err error
	var pid int
	if started != nil {
		pid, err = started.Pid, started.Signal(signal)
	} else {
		pid = readPidFile(c.data()).pid
		if pid <= 1 || !runsCluster(pid, c.data()) {
			return false, nil
		}
		err = syscall.Kill(pid, signal)
	}
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrProcessDone) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("stopping PostgreSQL (process %d): %w", pid, err)
	}
	return true, nil
}

// pidFile is what we use of postmaster.pid: the first line is the
// postmaster's process id, the eighth its state (PostgreSQL's pidfile.h).
type pidFile struct {
	pid   int
	ready bool
}

func readPidFile(data string) pidFile {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return pidFile{}
	}
	lines := strings.Split(string(text), "\n")
	// A single-user server writes its pid negated.
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return pidFile{}
	}
	return pidFile{
		pid:   max(pid, -pid),
		ready: pid > 0 && len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready",
	}
}
