package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The test binary is also the other hotshelf commands: with this variable set
// it holds a share in the server of a directory until its input ends.
const helperVar = "HOTSHELF_TEST_HELPER"

func TestMain(m *testing.M) {
	if what := os.Getenv(helperVar); what != "" {
		dir := os.Getenv(helperVar + "_DIR")
		if err := helper(what, dir); err != nil {
			fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", "\\n"))
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if err := os.RemoveAll(made.root); err != nil {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

// made is a data directory to copy: most tests are not about making one.
var made struct {
	once sync.Once
	root string
	err  error
}

// makeCluster copies a fresh cluster to dir.
func makeCluster(t *testing.T, dir string) {
	t.Helper()
	made.once.Do(func() {
		if made.root, made.err = os.MkdirTemp("", "hotshelf-embedded-made-"); made.err != nil {
			return
		}
		var s *Server
		if s, made.err = Start(context.Background(), filepath.Join(made.root, "data"), Options{}); made.err == nil {
			made.err = s.Stop()
		}
	})
	if made.err != nil {
		t.Fatal(made.err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", filepath.Join(made.root, "data"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// madeDir is a data directory with a cluster in it.
func madeDir(t *testing.T) string {
	t.Helper()
	dir := tempDir(t)
	makeCluster(t, dir)
	return dir
}

func helper(what, dir string) error {
	opts := Options{Log: func(line string) { fmt.Println("log:", line) }}
	switch what {
	case "dial":
		conn, err := net.Dial("unix", dir)
		if err == nil {
			_ = conn.Close()
		}
		return err
	case "no-namespaces":
		// The limit of the namespace that this process was started in.
		if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
			return fmt.Errorf("skip: %w", err)
		}
	case "ephemeral":
		opts.Ephemeral = true
	case "storm":
		for range 12 {
			s, err := Start(context.Background(), dir, Options{})
			if err != nil {
				return err
			}
			if err := query(s.URL(), "SELECT 1"); err != nil {
				return err
			}
			if err := s.Stop(); err != nil {
				return err
			}
		}
		return nil
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	s, err := Start(ctx, dir, opts)
	if err != nil {
		return err
	}
	if err := query(s.URL(), "SELECT 1"); err != nil {
		return errors.Join(err, s.Stop())
	}
	fmt.Println("ready:", s.URL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.Stop()
}

// process is a running helper.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.Closer
	out  *bufio.Scanner
	log  []string
	over bool
}

// spawn starts a helper in a process group of its own.
func spawn(t *testing.T, what, dir string, change ...func(*exec.Cmd)) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVar+"="+what, helperVar+"_DIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	for _, f := range change {
		f(cmd)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, in: in, out: bufio.NewScanner(out)}
	t.Cleanup(func() {
		if !p.over {
			p.kill()
		}
	})
	return p
}

// ready waits for the helper's share and returns its URL, or its error.
func (p *process) ready() (url string, err error) {
	for p.out.Scan() {
		line := p.out.Text()
		p.log = append(p.log, line)
		if url, ok := strings.CutPrefix(line, "ready: "); ok {
			return url, nil
		}
		if text, ok := strings.CutPrefix(line, "error: "); ok {
			err = errors.New(text)
		}
	}
	_ = p.cmd.Wait()
	p.over = true
	if err == nil {
		err = fmt.Errorf("the helper ended without a word: %v", p.cmd.ProcessState)
	}
	return "", err
}

func (p *process) mustReady() string {
	p.t.Helper()
	url, err := p.ready()
	if err != nil {
		p.t.Fatalf("helper: %v\n%s", err, strings.Join(p.log, "\n"))
	}
	return url
}

// stop has the helper give its share back and waits for it.
func (p *process) stop() {
	p.t.Helper()
	_ = p.in.Close()
	for p.out.Scan() {
		p.log = append(p.log, p.out.Text())
	}
	p.over = true
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("helper: %v\n%s", err, strings.Join(p.log, "\n"))
	}
}

// kill ends the helper with its whole process group, as the worst of Ctrl-Cs.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	for p.out.Scan() {
	}
	_ = p.cmd.Wait()
	p.over = true
}

// tempDir is a data directory that doesn't exist yet. At the test's end no
// process may be left in it.
func tempDir(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("", "hotshelf-embedded-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, pid := range processesIn(root) {
			t.Errorf("process %d is left in %s", pid, root)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(root, "data")
}

// processesIn lists the processes that work below dir. It shares no code with
// the package: that one asks locks.
func processesIn(dir string) (pids []int) {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		cwd, err := os.Readlink(filepath.Join("/proc", p.Name(), "cwd"))
		if err == nil && (cwd == dir || strings.HasPrefix(cwd, dir+"/")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// The checker sees a process that was left.
func TestProcessesIn(t *testing.T) {
	if _, err := os.Stat("/proc/self/cwd"); err != nil {
		t.Skip("this system has no /proc")
	}
	dir := t.TempDir()
	cmd := exec.Command("sleep", "60")
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found := processesIn(dir)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if len(found) != 1 || found[0] != cmd.Process.Pid {
		t.Errorf("found %v, want %d", found, cmd.Process.Pid)
	}
	if found := processesIn(dir); len(found) != 0 {
		t.Errorf("found %v after its end", found)
	}
}

func query(url, sql string, dst ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if len(dst) == 0 {
		_, err = conn.Exec(ctx, sql)
		return err
	}
	return conn.QueryRow(ctx, sql).Scan(dst...)
}

func mustQuery(t *testing.T, url, sql string, dst ...any) {
	t.Helper()
	if err := query(url, sql, dst...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func mustStart(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), dir, Options{Log: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

func mustStop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}

func postmasterPID(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// noneLeft fails where a process is left in dir.
func noneLeft(t *testing.T, dir string) {
	t.Helper()
	// A process drops its locks a moment before it is gone.
	for begin := time.Now(); ; {
		pids := processesIn(dir)
		if len(pids) == 0 {
			return
		}
		if time.Since(begin) > time.Second {
			t.Errorf("processes %v are left in %s", pids, dir)
			return
		}
		_ = sleep(t.Context())
	}
}

func asNobody(t *testing.T) func(*exec.Cmd) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	acct, err := lookupUser("nobody")
	if err != nil {
		t.Skipf("no user to become: %v", err)
	}
	// go test's own directory is private.
	dir, err := os.MkdirTemp("/tmp", "hotshelf-embedded-bin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	bin := filepath.Join(dir, "helper")
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(bin, program, 0o755)); err != nil {
		t.Fatal(err)
	}
	return func(cmd *exec.Cmd) {
		cmd.Path = bin
		cmd.Dir = "/"
		cmd.Env = append(cmd.Env, "HOME=/nonexistent", "TMPDIR=/tmp")
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(acct.uid), Gid: uint32(acct.gid)}
	}
}

func lookupUser(name string) (account, error) { return userAccount(name, osuser.Lookup) }
