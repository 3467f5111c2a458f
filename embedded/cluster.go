package embedded

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cluster is one data directory. Its methods are called with the gate held.
type cluster struct {
	dir       string // absolute
	log       func(string)
	ephemeral bool
	find      finder
	exited    chan error // of the postmaster, where we started it
}

func (c *cluster) path(name string) string { return filepath.Join(c.dir, name) }

// data is the cluster's directory. It lies elsewhere where PostgreSQL has to
// run as a user who can't reach dir: postgres is a symbolic link then.
func (c *cluster) data() string {
	data := c.path("postgres")
	if real, err := filepath.EvalSymlinks(data); err == nil {
		return real
	}
	return data
}

// run returns once the server takes connections. On an error it has stopped
// what it started.
func (c *cluster) run(ctx context.Context) error {
	for {
		alive, err := openLock(c.path("processes.lock"))
		if err != nil {
			return err
		}
		free, err := tryLock(alive)
		if err == nil && free {
			err = c.boot(ctx, alive)
			_ = alive.Close()
			return err
		}
		_ = alive.Close()
		if err != nil {
			return err
		}
		// Somebody's server: running, on its way up or down, or what is left
		// of one whose postmaster was killed. (An initdb, too, whose command
		// was killed.)
		if err := c.awaitReady(ctx); !errors.Is(err, errGone) {
			return err
		}
	}
}

// boot starts the server, first making the cluster where there is none. The
// processes it starts inherit the lock alive.
func (c *cluster) boot(ctx context.Context, alive *os.File) error {
	major, err := c.version()
	if err != nil {
		return err
	}
	acct, err := c.account(major != 0)
	if err != nil {
		return err
	}
	bin, err := c.find.binaries(ctx, c, major, acct)
	if err != nil {
		return err
	}
	if major == 0 {
		if err := c.create(ctx, bin, acct, alive); err != nil {
			return err
		}
	} else if err := c.removeStale(); err != nil {
		return err
	}
	if err := c.writeSettings(acct); err != nil {
		return err
	}
	return c.launch(ctx, bin, acct, alive)
}

// version is the major version of the cluster, 0 where there is none yet.
func (c *cluster) version() (int, error) {
	data := c.path("postgres")
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	switch {
	case err == nil:
		major, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || major <= 0 {
			return 0, fmt.Errorf("%s holds %.20q where a version number was expected", filepath.Join(data, "PG_VERSION"), text)
		}
		return major, nil
	case !errors.Is(err, os.ErrNotExist):
		return 0, err
	}
	// A cluster gets its name when it is complete, so whatever is here isn't
	// ours to remove. An empty directory is nobody's loss.
	err = syscall.Rmdir(data)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	return 0, fmt.Errorf("%s is there, but isn't a PostgreSQL data directory (no PG_VERSION in it)", data)
}

// create makes the cluster with its database under another name and renames
// it when it is complete: killed at any moment, it leaves either no cluster or
// a whole one.
func (c *cluster) create(ctx context.Context, bin binaries, acct account, alive *os.File) (err error) {
	base, name := c.dir, "postgres"
	if acct.other() || acct.namespaced {
		if base, name, err = c.reachableBase(acct); err != nil {
			return err
		}
	}
	// Half-made ones of killed commands. Nobody writes to them any more: that
	// process would hold the lock which we have.
	halves, err := filepath.Glob(globQuote(filepath.Join(base, name)) + ".new-*")
	if err != nil {
		return err
	}
	for _, half := range halves {
		if err := os.RemoveAll(half); err != nil {
			return fmt.Errorf("removing a half-made cluster: %w", err)
		}
	}

	c.log(fmt.Sprintf("creating a PostgreSQL %d database in %s", bin.major, filepath.Join(base, name)))
	tmp, err := os.MkdirTemp(base, name+".new-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(tmp)
		}
	}()
	if err := acct.own(tmp); err != nil {
		return err
	}
	args := []string{"-D", tmp, "-U", user, "-A", "trust", "--locale=C", "--encoding=UTF8", "--no-instructions"}
	if c.ephemeral {
		args = append(args, "--no-sync")
	}
	if _, err := tool(ctx, bin, acct, alive, "", "initdb", args...); err != nil {
		return err
	}
	// The single-user server needs no connection and no SQL of ours beyond
	// this. It goes on after an error, so the error has to be looked for.
	out, err := tool(ctx, bin, acct, alive, "CREATE DATABASE "+database+"\n",
		"postgres", "--single", "-D", tmp, "-c", "log_checkpoints=off", "-c", "fsync="+onOff(!c.ephemeral), "postgres")
	if err != nil {
		return err
	}
	for _, bad := range []string{"ERROR:", "FATAL:", "PANIC:"} {
		if strings.Contains(out, bad) {
			return fmt.Errorf("creating the database failed:\n%s", lastLines(out))
		}
	}
	final := filepath.Join(base, name)
	if err := os.Rename(tmp, final); err != nil {
		return err
	}
	if final != c.path("postgres") {
		if err := os.Symlink(final, c.path("postgres")); err != nil {
			return err
		}
	}
	return syncDir(base)
}

// reachableBase is where root's cluster can lie: in dir if PostgreSQL's account
// gets there, else under /var/lib. (In a namespace, root can't pass another
// user's private directories either.) Only the way through dir is opened; what
// is in it stays private by its own modes.
func (c *cluster) reachableBase(acct account) (base, name string, err error) {
	if acct.reaches(c.dir) {
		return c.dir, "postgres", nil
	}
	if acct.other() {
		if err := os.Chmod(c.dir, 0o711); err != nil {
			return "", "", err
		}
		if acct.reaches(c.dir) {
			return c.dir, "postgres", nil
		}
		if err := os.Chmod(c.dir, 0o700); err != nil {
			return "", "", err
		}
	}
	base = "/var/lib/hotshelf"
	if err := os.MkdirAll(base, 0o711); err != nil {
		return "", "", err
	}
	if !acct.reaches(base) {
		return "", "", fmt.Errorf("PostgreSQL has to run as %s here, which can reach neither %s nor %s", acct, c.dir, base)
	}
	sum := sha256.Sum256([]byte(c.dir))
	name = fmt.Sprintf("postgres-%x", sum[:6])
	final := filepath.Join(base, name)
	if _, err := os.Lstat(final); err == nil {
		// dir was removed and its cluster left over, or dir's link to it was.
		return "", "", fmt.Errorf("the cluster %s of this data directory is there, but the link %s to it is not: restore the link, or remove the cluster",
			final, c.path("postgres"))
	}
	c.log(fmt.Sprintf("%s can't reach %s, so the cluster lies in %s", acct, c.dir, final))
	return base, name, nil
}

// removeStale clears what a killed server left: files with process ids which
// by now may belong to anybody, and its socket. The caller holds the lock of
// the server's processes, so none is left.
func (c *cluster) removeStale() error {
	data := c.data()
	pidFile := filepath.Join(data, "postmaster.pid")
	if pid := readPidFile(data).pid; pid > 0 && runsCluster(pid, data) {
		return fmt.Errorf("a PostgreSQL that no hotshelf command has started (process %d) runs in %s: stop it first", pid, data)
	}
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	c.removeSocket()
	return nil
}

// leave stops the server where it has no users left.
func (c *cluster) leave() error {
	users, err := openLock(c.path("users.lock"))
	if err != nil {
		return err
	}
	defer func() { _ = users.Close() }()
	if last, err := tryLock(users); err != nil || !last {
		return err
	}
	if err := c.halt(nil); err != nil {
		return err
	}
	c.removeSocket()
	if c.ephemeral {
		if err := os.RemoveAll(c.data()); err != nil {
			return err
		}
		return os.RemoveAll(c.dir)
	}
	return nil
}

// removeEmptyDir takes back what a failed Start has made in a directory that
// wasn't there before.
func (c *cluster) removeEmptyDir() {
	for _, name := range []string{"postgres.log", "users.lock", "processes.lock", "start.lock"} {
		_ = os.Remove(c.path(name))
	}
	_ = os.Remove(c.dir)
}

// tool runs one of PostgreSQL's programs to its end and returns what it said.
func tool(ctx context.Context, bin binaries, acct account, alive *os.File, input, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(bin.dir, name), args...)
	cmd.SysProcAttr = acct.attr()
	cmd.Env = environ()
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(input)
	cmd.ExtraFiles = []*os.File{alive}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// initdb has children; the pipe ends when the last of them has.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("%s failed: %w\n%s", name, err, lastLines(out.String()))
	}
	return out.String(), nil
}

// lastLines quotes the end of a program's output.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > 8 {
		lines = lines[len(lines)-8:]
	}
	return "    " + strings.Join(lines, "\n    ")
}

// environ is ours without what would change PostgreSQL's ways: its own
// variables and the language of its messages.
func environ() []string {
	env := []string{"LC_ALL=C"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "LC_") && !strings.HasPrefix(v, "LANG") {
			env = append(env, v)
		}
	}
	return env
}

func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
