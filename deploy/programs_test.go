// Package deploy tests what ships hotshelf: the image, the compose file, the
// edge and the cloud configuration, as far as one machine can run them. It has
// no code of its own.
package deploy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hotshelf/hotshelf/embedded/embedtest"
)

var (
	// bin is the directory of the built programs.
	bin string
	pg  embedtest.Server
)

// programs are those that a user of the image or of a cloud machine runs.
var programs = []string{"load", "sample", "server", "warm"}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if bin, err = os.MkdirTemp("", "hotshelf-deploy-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(bin)
		args := []string{"build", "-trimpath", "-o", bin}
		for _, name := range programs {
			args = append(args, "../cmd/"+name)
		}
		build := exec.Command("go", args...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
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
		return pg.Run(m)
	}())
}

// need skips a test where a tool is missing. In CI it fails instead.
func need(t *testing.T, tool string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	for _, dir := range []string{"/usr/sbin", "/sbin"} { // not in everybody's PATH
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, tool))
		}
	}
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is not installed", tool)
	default:
		t.Skipf("%s is not installed", tool)
	}
	return path
}

// readFile returns a file of the project, by its path from the top.
func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// program runs one of the programs to its end and returns what it printed.
func program(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must runs a program that has to succeed.
func must(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, err := program(t, env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// catalogue returns the URL of a database with a published sample.
func catalogue(t *testing.T) string {
	t.Helper()
	url, dir := pg.Database(t), t.TempDir()
	env := []string{"DATABASE_URL=" + url}
	must(t, nil, "sample", dir, "--products", "60")
	must(t, env, "load", dir, "--quiet")
	must(t, env, "warm", "--quiet")
	return url
}

// process is a program that runs beside the test.
type process struct {
	cmd *exec.Cmd

	mu     sync.Mutex
	output bytes.Buffer
	ended  chan struct{}
}

// background starts a program; when the test ends, so does it.
func background(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, ended: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer r.Close()
		for lines := bufio.NewScanner(r); lines.Scan(); {
			p.mu.Lock()
			p.output.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
		}
	}()
	go func() {
		_ = cmd.Wait()
		<-read
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(cmd.Path), p.printed())
		}
	})
	return p
}

func (p *process) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// stop sends a signal and waits for the end.
func (p *process) stop(signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal)
	<-p.ended
}

// serve starts a server at an address and returns when it is ready.
func serve(t *testing.T, address, databaseURL string) *process {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "server"), "--addr", address, "--memory", "64MiB")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+databaseURL, "HOTSHELF_ADMIN_ADDR=off")
	p := background(t, cmd)
	until(t, "the server is ready", p, func() bool { return status("http://"+address+"/readyz") == http.StatusOK })
	return p
}

// freeAddress is one that nobody listens at just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// status is what a GET is answered with; 0 for no answer.
func status(url string) int {
	response, err := http.Get(url)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// until waits for a condition that a process brings about.
func until(t *testing.T, what string, p *process, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
		select {
		case <-p.ended:
			t.Fatalf("ended before %s:\n%s", what, p.printed())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s\n%s", what, p.printed())
		}
	}
}
