package deploy

import (
	"debug/elf"
	"errors"
	"fmt"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func dockerfile(t *testing.T) []instructions.Stage {
	t.Helper()
	parsed, err := parser.Parse(strings.NewReader(readFile(t, "Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range parsed.Warnings {
		t.Errorf("line %d: %s", w.Location.Start.Line, w.Short)
	}
	return stages
}

// imageFaults says what the image should not be.
func imageFaults(stages []instructions.Stage, goMod string) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	last := stages[len(stages)-1]
	names := map[string]bool{"scratch": true}
	for _, stage := range stages {
		_, tag, _ := strings.Cut(stage.BaseName, ":")
		if !names[stage.BaseName] && (tag == "" || tag == "latest") {
			fault("FROM %s: another image every day", stage.BaseName)
		}
		if name, ours := strings.CutPrefix(stage.BaseName, "golang:"); ours {
			has, _, _ := strings.Cut(name, "-")
			needs := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(goMod)[1]
			if version.Compare(version.Lang("go"+has), version.Lang("go"+needs)) < 0 {
				fault("FROM %s: go.mod needs Go %s", stage.BaseName, needs)
			}
		}
		names[stage.Name] = true
	}
	if last.BaseName != "scratch" {
		fault("the image is based on %s", last.BaseName)
	}
	user, cmd, health := "", []string(nil), []string(nil)
	shell := false
	for _, command := range last.Commands {
		switch c := command.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.CmdCommand:
			cmd, shell = c.CmdLine, shell || c.PrependShell
		case *instructions.HealthCheckCommand:
			health = c.Health.Test
		case *instructions.RunCommand:
			shell = true
		case *instructions.EntrypointCommand, *instructions.VolumeCommand:
			fault("%s: the commands are named in full, and volumes by who runs it", c.Name())
		}
	}
	uid, _, _ := strings.Cut(user, ":")
	if n, err := strconv.Atoi(uid); err != nil || n < 1000 {
		fault("USER %q: an ordinary user's number was meant, which no orchestrator has to look up", user)
	}
	if shell || len(health) == 0 || health[0] != "CMD" {
		fault("there is no shell in the image: CMD %q, HEALTHCHECK %q", cmd, health)
	}
	for _, line := range [][]string{cmd, health[min(1, len(health)):]} {
		if len(line) == 0 || !slices.Contains(programs, line[0]) {
			fault("%q is none of the programs", line)
		}
	}
	return faults
}

func TestImage(t *testing.T) {
	for _, fault := range imageFaults(dockerfile(t), readFile(t, "go.mod")) {
		t.Error(fault)
	}
}

func TestImageFaultsAreFound(t *testing.T) {
	for name, text := range map[string]string{
		"as root":                 "FROM scratch\nHEALTHCHECK CMD [\"server\"]\nCMD [\"server\"]\n",
		"as a user by name":       "FROM scratch\nUSER nobody\nHEALTHCHECK CMD [\"server\"]\nCMD [\"server\"]\n",
		"without a tag":           "FROM golang AS a\nFROM scratch\nUSER 65532\nHEALTHCHECK CMD [\"server\"]\nCMD [\"server\"]\n",
		"latest":                  "FROM golang:latest AS a\nFROM scratch\nUSER 65532\nHEALTHCHECK CMD [\"server\"]\nCMD [\"server\"]\n",
		"an old Go":               "FROM golang:1.22 AS a\nFROM scratch\nUSER 65532\nHEALTHCHECK CMD [\"server\"]\nCMD [\"server\"]\n",
		"with a shell":            "FROM scratch\nUSER 65532\nHEALTHCHECK CMD [\"server\"]\nCMD server\n",
		"a health check by shell": "FROM scratch\nUSER 65532\nHEALTHCHECK CMD server --check\nCMD [\"server\"]\n",
		"no health check":         "FROM scratch\nUSER 65532\nCMD [\"server\"]\n",
		"another program":         "FROM scratch\nUSER 65532\nHEALTHCHECK CMD [\"curl\"]\nCMD [\"server\"]\n",
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := parser.Parse(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			stages, _, err := instructions.Parse(parsed.AST, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(imageFaults(stages, "go 1.26.0\n")) == 0 {
				t.Error("passed")
			}
		})
	}
}

// TestImageRuns does by hand what the build stage does, and runs the programs
// in what comes out of it, with nothing else there, as the image's user.
func TestImageRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("links all programs")
	}
	if os.Getuid() != 0 {
		t.Skip("changing the root directory takes root")
	}
	root := t.TempDir()
	for _, command := range dockerfile(t)[0].Commands {
		run, is := command.(*instructions.RunCommand)
		if !is || strings.Contains(run.CmdLine[0], "mod download") {
			continue
		}
		cmd := exec.Command("sh", "-ec", strings.ReplaceAll(strings.Join(run.CmdLine, " "), "/out", root))
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("RUN %s: %v\n%s", run.CmdLine, err, out)
		}
	}
	sources, err := filepath.Glob("../cmd/*/main.go")
	if err != nil || len(sources) == 0 {
		t.Fatal(err, "no commands")
	}
	size := int64(0)
	for _, source := range sources {
		name := filepath.Base(filepath.Dir(source))
		path := filepath.Join(root, "bin", name)
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				t.Errorf("%s needs a dynamic linker", name)
			}
		}
		_ = f.Close()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	t.Logf("%d programs, %d MB", len(sources), size>>20)

	run := func(args ...string) (string, int) {
		cmd := exec.Command(filepath.Join("/bin", args[0]), args[1:]...)
		cmd.Err = nil // the path is of the other root
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		cmd.Dir, cmd.Env = "/reports", []string{"PATH=/bin"}
		out, err := cmd.CombinedOutput()
		if err != nil && !errors.As(err, new(*exec.ExitError)) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	// The directory of tests is only ours.
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, code := run("sample", "/catalogue", "--products", "10"); code != 0 {
		t.Errorf("sample: %d %s", code, out)
	}
	// It reads the files and can write its rejects, and then lacks a database.
	out, code := run("load", "/catalogue", "--database-url", "postgres://nobody@127.0.0.1:1/none")
	if code != 1 || !strings.Contains(out, "127.0.0.1:1") {
		t.Errorf("load: %d %s", code, out)
	}
	if out, code := run("server", "--check", "--admin-addr", "127.0.0.1:1"); code != 1 || !strings.Contains(out, "refused") {
		t.Errorf("server --check: %d %s", code, out)
	}
}

// TestImageContext: the build sees every file of the repository, or the
// programs would call themselves modified.
func TestImageContext(t *testing.T) {
	cmd := exec.Command(need(t, "git"), "ls-files", "--cached", "--ignored", "--exclude-from=.dockerignore")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("not a git checkout: %v", err)
	}
	if len(out) > 0 {
		t.Errorf(".dockerignore leaves out:\n%s", out)
	}
}
