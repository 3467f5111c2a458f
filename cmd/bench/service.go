package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// service is a program that runs until it is stopped.
type service struct {
	name string
	addr string // where it listens, as 127.0.0.1:8080
	// admin is where a server's metrics are; "" for other programs.
	admin string
	pid   int
	cmd   *exec.Cmd
	log   *tail
	done  chan struct{}
	err   error // why it ended; for who has seen done closed
}

// startLimit bounds how long a server may take until it can be asked.
const startLimit = 2 * time.Minute

// start starts a program on some CPUs. Its watch has to be called then.
func start(cpus []int, cmd *exec.Cmd) (*service, error) {
	s := &service{name: filepath.Base(cmd.Path), cmd: cmd, log: new(tail), done: make(chan struct{})}
	cmd.Stderr = s.log
	if cmd.Env == nil {
		cmd.Env = plainEnvironment()
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	if err := startOn(cmd, cpus); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	s.pid = cmd.Process.Pid
	return s, nil
}

// watch is called once all output is taken care of.
func (s *service) watch() {
	go func() {
		defer close(s.done)
		s.err = s.cmd.Wait()
	}()
}

// stop ends it, and fails where it had ended before.
func (s *service) stop() error {
	select {
	case <-s.done:
		return fmt.Errorf("%s ended by itself: %w\n%s", s.name, s.err, s.log)
	default:
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
		return fmt.Errorf("%s did not stop when it was told to, and was killed\n%s", s.name, s.log)
	}
	return nil
}

// listens is what the server and the bare one print.
var listens = regexp.MustCompile(`listens on http://([0-9.]+:[0-9]+)`)

// serve starts a program that prints where it listens.
func serve(cpus []int, cmd *exec.Cmd) (*service, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	s, err := start(cpus, cmd)
	if err != nil {
		return nil, err
	}
	found := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if m := listens.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
		}
		s.watch()
	}()
	select {
	case s.addr = <-found:
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("%s ended before it listened: %w\n%s", s.name, s.err, s.log)
	case <-time.After(startLimit):
		return nil, errors.Join(fmt.Errorf("%s does not listen after %v\n%s", s.name, startLimit, s.log), s.stop())
	}
}

// tail keeps the end of what a program prints.
type tail struct {
	mu  sync.Mutex
	end []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, b...)
	if most := 4 << 10; len(t.end) > most {
		t.end = t.end[len(t.end)-most:]
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.end))
}

// find looks for a program in PATH and where systems keep servers' programs,
// which an ordinary user's PATH may lack; "" where there is none.
func find(program string, dirs ...string) string {
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	for _, pattern := range dirs {
		found, _ := filepath.Glob(filepath.Join(pattern, program))
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
				return path
			}
		}
	}
	return ""
}
