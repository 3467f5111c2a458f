package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// program is a run of a program that ends by itself.
type program struct {
	path  string
	args  []string
	input string // what it reads from standard input
	dir   string // where it runs
	cpus  []int  // that it may run on; nil for all
}

// usage is what a program's process took. peak is in bytes; 0 where the system
// does not tell.
type usage struct {
	cpu  time.Duration
	peak int64
}

// peakEvery is how often a process's peak is read: what it grew since the last
// look is missed.
const peakEvery = 20 * time.Millisecond

// run runs the program to its end. An error has what it printed.
func (p program) run(ctx context.Context) (usage, error) {
	cmd := exec.CommandContext(ctx, p.path, p.args...)
	cmd.Dir = p.dir
	cmd.Env = plainEnvironment()
	cmd.Stdin = strings.NewReader(p.input)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	begin := cmd.Start
	if p.cpus != nil {
		begin = func() error { return startOn(cmd, p.cpus) }
	}
	if err := begin(); err != nil {
		return usage{}, fmt.Errorf("start %s: %w", filepath.Base(p.path), err)
	}
	var u usage
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		look := time.NewTicker(peakEvery)
		defer look.Stop()
		for {
			select {
			case <-ended:
				return
			case <-look.C:
				u.peak = max(u.peak, peakMemory(cmd.Process.Pid))
			}
		}
	}()
	err := cmd.Wait()
	close(ended)
	<-watched
	if err != nil {
		return usage{}, fmt.Errorf("%s: %w\n%s", filepath.Base(p.path), err, bytes.TrimSpace(output.Bytes()))
	}
	u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return u, nil
}

// plainEnvironment is ours without what would change the programs: the settings
// of hotshelf's commands, of libpq, and of Go's runtime.
func plainEnvironment() []string {
	var env []string
	for _, setting := range os.Environ() {
		switch name, _, _ := strings.Cut(setting, "="); {
		case name == "DATABASE_URL", strings.HasPrefix(name, "HOTSHELF_"), strings.HasPrefix(name, "PG"),
			name == "GOGC", name == "GOMEMLIMIT", name == "GODEBUG", name == "GOMAXPROCS":
		default:
			env = append(env, setting)
		}
	}
	return append(env, "PGCLIENTENCODING=UTF8")
}

// build builds one of hotshelf's commands into dir and returns its path.
func build(ctx context.Context, command, dir string) (string, error) {
	path := filepath.Join(dir, command)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/hotshelf/hotshelf/cmd/"+command)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the command %s: %w\n%s", command, err, bytes.TrimSpace(out))
	}
	return path, nil
}
