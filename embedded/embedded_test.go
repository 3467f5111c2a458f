package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFirstAndSecondStart(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	s := mustStart(t, dir)
	mustQuery(t, s.URL(), "CREATE TABLE kept AS SELECT 7 AS n")

	for name, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "on", "autovacuum_naptime": "5min",
		"listen_addresses": "", "unix_socket_permissions": "0700", "server_encoding": "UTF8",
		"lc_collate": "C", "lc_messages": "C", "TimeZone": "UTC", "wal_level": "minimal",
	} {
		var got string
		mustQuery(t, s.URL(), "SHOW "+name, &got)
		if got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"", "postgres"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s/%s has mode %v", dir, name, info.Mode())
		}
	}
	if psql, err := exec.LookPath("psql"); err == nil {
		out, err := exec.Command(psql, "-X", "-At", "-c", "SELECT n FROM kept", s.URL()).CombinedOutput()
		if err != nil || string(out) != "7\n" {
			t.Errorf("psql with the same URL: %q, %v", out, err)
		}
	}
	mustStop(t, s)
	mustStop(t, s)
	noneLeft(t, dir)

	s = mustStart(t, dir)
	var n int
	mustQuery(t, s.URL(), "SELECT n FROM kept", &n)
	mustStop(t, s)
	noneLeft(t, dir)
}

func TestEphemeral(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	s, err := Start(t.Context(), dir, Options{Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	var fsync string
	mustQuery(t, s.URL(), "SHOW fsync", &fsync)
	if fsync != "off" {
		t.Errorf("fsync is %s", fsync)
	}
	mustStop(t, s)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}

// The kernel ends an ephemeral server with the process that started it.
func TestEphemeralKilled(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/cwd"); err != nil {
		t.Skip("this system has no parent death signal")
	}
	dir := tempDir(t)
	p := spawn(t, "ephemeral", dir)
	p.mustReady()
	p.kill()
	for len(processesIn(dir)) > 0 {
		if sleep(t.Context()) != nil {
			t.Fatal("the server outlived its process")
		}
	}
}

// Whoever started the server may leave: it stays for the others, and goes with
// the last one, whether in this process or another.
func TestSharedByProcesses(t *testing.T) {
	t.Parallel()
	dir := madeDir(t)
	starter := spawn(t, "hold", dir)
	url := starter.mustReady()
	other := spawn(t, "hold", dir)
	if got := other.mustReady(); got != url {
		t.Errorf("the second URL is %s, the first %s", got, url)
	}
	pid := postmasterPID(t, dir)
	starter.stop()
	here := mustStart(t, dir)
	other.stop()
	again := mustStart(t, dir)
	mustStop(t, here)
	mustQuery(t, again.URL(), "SELECT 1")
	if got := postmasterPID(t, dir); got != pid {
		t.Errorf("process %d serves now, %d did before", got, pid)
	}
	mustStop(t, again)
	noneLeft(t, dir)
}

// Killed holders, with their whole process group, leave a running server: the
// next command takes it over, and ends it.
func TestHoldersKilled(t *testing.T) {
	t.Parallel()
	dir := madeDir(t)
	one, two := spawn(t, "hold", dir), spawn(t, "hold", dir)
	one.mustReady()
	two.mustReady()
	pid := postmasterPID(t, dir)
	one.kill()
	two.kill()
	s := mustStart(t, dir)
	if got := postmasterPID(t, dir); got != pid {
		t.Errorf("process %d serves now, %d did before", got, pid)
	}
	mustStop(t, s)
	noneLeft(t, dir)
}

// A killed server loses nothing that was committed; those who still hold a
// share in it keep the next one alive.
func TestPostmasterKilled(t *testing.T) {
	t.Parallel()
	dir := madeDir(t)
	holder := spawn(t, "hold", dir)
	mustQuery(t, holder.mustReady(), "CREATE TABLE kept AS SELECT 7 AS n")
	if err := syscall.Kill(postmasterPID(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, dir)
	var n int
	mustQuery(t, s.URL(), "SELECT n FROM kept", &n)
	mustStop(t, s)
	url := spawn(t, "hold", dir)
	mustQuery(t, url.mustReady(), "SELECT n FROM kept", &n)
	holder.stop()
	url.stop()
	noneLeft(t, dir)

	// And with nobody left to stop it properly.
	holder = spawn(t, "hold", dir)
	holder.mustReady()
	pid := postmasterPID(t, dir)
	holder.kill()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s = mustStart(t, dir)
	mustQuery(t, s.URL(), "SELECT n FROM kept", &n)
	mustStop(t, s)
}

// The process id in a stale file belongs to somebody else by now: here to us,
// and to a program that is called postgres but serves another directory.
func TestStalePIDFile(t *testing.T) {
	t.Parallel()
	dir := madeDir(t)
	data := filepath.Join(dir, "postgres")

	foreign := filepath.Join(t.TempDir(), "postgres")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(foreign, program, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(foreign, "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()

	for _, pid := range []int{os.Getpid(), cmd.Process.Pid} {
		text := fmt.Sprintf("%d\n%s\n1700000000\n5432\n%s\n\n  1234 0\nready   \n", pid, data, data)
		for _, name := range []string{"postmaster.pid", socketName + ".lock"} {
			if err := os.WriteFile(filepath.Join(data, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := mustStart(t, dir)
		mustQuery(t, s.URL(), "SELECT 1")
		mustStop(t, s)
		noneLeft(t, dir)
		if err := syscall.Kill(pid, 0); err != nil {
			t.Fatalf("process %d is gone: %v", pid, err)
		}
	}
}

// A server of this directory that was started by hand is neither joined nor
// disturbed.
func TestForeignServer(t *testing.T) {
	t.Parallel()
	dir := madeDir(t)
	s := mustStart(t, dir)
	// As if by hand: without the lock that our servers hold.
	if err := os.Remove(filepath.Join(dir, "processes.lock")); err != nil {
		t.Fatal(err)
	}
	pid := postmasterPID(t, dir)
	_, err := Start(t.Context(), dir, Options{})
	wantError(t, err, "no hotshelf command has started", fmt.Sprint(pid))
	mustQuery(t, s.URL(), "SELECT 1")
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-s.cluster.exited
	mustStop(t, s)
}

// Killed while the cluster is being made, a command leaves what the next one
// removes; its orphaned initdb is waited for.
func TestKilledWhileCreating(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	halves := filepath.Join(dir, "postgres.new-*")
	p := spawn(t, "hold", dir)
	for {
		if found, _ := filepath.Glob(filepath.Join(halves, "PG_VERSION")); len(found) > 0 {
			break
		}
		if sleep(t.Context()) != nil {
			t.Fatal("no cluster was made")
		}
	}
	// Only the command: its initdb goes on.
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, dir)
	mustQuery(t, s.URL(), "SELECT 1")
	if found, _ := filepath.Glob(halves); len(found) > 0 {
		t.Errorf("left: %v", found)
	}
	mustStop(t, s)
}

func TestParallelStart(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	var all []*process
	for range 8 {
		all = append(all, spawn(t, "hold", dir))
	}
	for _, p := range all {
		p.mustReady()
	}
	for _, p := range all {
		_ = p.in.Close()
	}
	for _, p := range all {
		p.stop()
	}
	noneLeft(t, dir)
}

// Commands that come and go never find the server of one that is just leaving.
func TestComeAndGo(t *testing.T) {
	if testing.Short() {
		t.Skip("many processes for a few seconds")
	}
	t.Parallel()
	dir := madeDir(t)
	var all []*process
	for range 4 {
		all = append(all, spawn(t, "storm", dir))
	}
	for _, p := range all {
		p.stop()
	}
	noneLeft(t, dir)
}

// Cancelled at any moment, Start leaves nothing running and nothing half-made.
func TestCancel(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a cluster many times")
	}
	t.Parallel()
	dir := tempDir(t)
	// Long enough to fall into every step; the last ones find a whole cluster.
	for _, after := range []int{0, 20, 100, 300, 600, 900, 1200, 30, 60} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(after)*time.Millisecond+rand.N(20*time.Millisecond))
		s, err := Start(ctx, dir, Options{})
		cancel()
		if err == nil {
			mustStop(t, s)
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %d ms: %v", after, err)
		}
		noneLeft(t, dir)
		if found, _ := filepath.Glob(filepath.Join(dir, "postgres.new-*")); len(found) > 0 {
			t.Errorf("after %d ms: left %v", after, found)
		}
	}
	s := mustStart(t, dir)
	mustQuery(t, s.URL(), "SELECT 1")
	mustStop(t, s)
}

// A path too long for a socket, or with what separates or quotes something
// somewhere on the way, works like any other, and leaves nothing in the
// directory of temporary files.
func TestOddPaths(t *testing.T) {
	t.Parallel()
	for name, below := range map[string]string{
		"long":  strings.Repeat("deep/", 40),
		"comma": "a,b",
		"odd":   `it's 100% "odd" +&=?#\[*] ü`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(tempDir(t), below)
			makeCluster(t, dir)
			p := spawn(t, "hold", dir)
			socket := filepath.Dir(socketOf(t, p.mustReady()))
			s := mustStart(t, dir)
			mustQuery(t, s.URL(), "CREATE TABLE kept AS SELECT 7 AS n")
			info, err := os.Stat(socket)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o700 {
				t.Errorf("the socket's directory has mode %v", info.Mode())
			}
			// The next one comes after a crash of everything.
			pid := postmasterPID(t, dir)
			p.kill()
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			after := mustStart(t, dir)
			mustQuery(t, after.URL(), "SELECT n FROM kept", new(int))
			last := filepath.Dir(socketOf(t, after.URL()))
			mustStop(t, s)
			mustStop(t, after)
			data := filepath.Join(dir, "postgres")
			for _, d := range []string{socket, last} {
				if _, err := os.Stat(d); d != data && !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is left: %v", d, err)
				}
			}
			noneLeft(t, dir)
		})
	}
}

// wantError checks for the words of an error.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error %q doesn't say %q", err, w)
		}
	}
}
