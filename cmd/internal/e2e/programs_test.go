// Package e2e tests the programs as their users have them: built, started as
// processes, talked to over HTTP, and stopped. It has no code of its own.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bin is the directory of the built programs.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if bin, err = os.MkdirTemp("", "hotshelf-e2e-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(bin)
		build := exec.Command("go", "build", "-o", bin, "../../load", "../../sample", "../../server", "../../warm")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		// What is set where the tests run is no part of them.
		for _, name := range os.Environ() {
			name, _, _ = strings.Cut(name, "=")
			if name == "DATABASE_URL" || strings.HasPrefix(name, "HOTSHELF_") || strings.HasPrefix(name, "PG") {
				_ = os.Unsetenv(name)
			}
		}
		// Many servers run at a time, and each wants a port for it.
		_ = os.Setenv("HOTSHELF_ADMIN_ADDR", "127.0.0.1:0")
		defer stopChromium()
		return pg.Run(m)
	}())
}

// result is what a program left behind.
type result struct {
	code           int
	stdout, stderr string
}

// program runs one of the programs to its end in dir.
func program(t *testing.T, dir, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must runs a program that has to succeed.
func must(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	r := program(t, dir, name, args...)
	if r.code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", name, strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// server is a running server.
type server struct {
	cmd *exec.Cmd
	url string

	mu     sync.Mutex
	output bytes.Buffer // what it printed
	ended  chan struct{}
}

// serve starts a server on a free port and returns when it listens.
func serve(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	s := &server{ended: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(bin, "server"), append([]string{"--addr", "127.0.0.1:0"}, args...)...)
	s.cmd.Dir = dir
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = w, w
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	listening := make(chan string, 1)
	go func() {
		defer close(s.ended)
		defer r.Close()
		for lines := bufio.NewScanner(r); lines.Scan(); {
			s.mu.Lock()
			s.output.WriteString(lines.Text() + "\n")
			s.mu.Unlock()
			if rest, found := strings.CutPrefix(lines.Text(), "hotshelf listens on "); found {
				url := strings.TrimRight(strings.Fields(rest)[0], ".,")
				listening <- url
			}
		}
	}()
	t.Cleanup(func() { s.stop(t, syscall.SIGKILL) })
	select {
	case s.url = <-listening:
	case <-s.ended:
		t.Fatalf("the server ended:\n%s", s.printed())
	case <-time.After(time.Minute):
		t.Fatalf("the server does not listen:\n%s", s.printed())
	}
	return s
}

func (s *server) printed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.String()
}

// stop sends a signal, waits for the end and returns the exit code.
func (s *server) stop(t *testing.T, signal syscall.Signal) int {
	t.Helper()
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Signal(signal)
		_ = s.cmd.Wait()
	}
	return s.cmd.ProcessState.ExitCode()
}

// get returns a response's status, header and body.
func (s *server) get(t *testing.T, path string) (int, nethttp.Header, []byte) {
	t.Helper()
	response, err := nethttp.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, body
}

// until waits for a condition that other processes bring about.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
