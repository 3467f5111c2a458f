package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// wantSentence checks that a program has failed with one line on standard
// error that has all parts, after nothing else. A wrong command line gets the
// usage as a second line.
func wantSentence(t *testing.T, r result, code int, parts ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
	if code == 2 && len(lines) == 2 && strings.HasPrefix(lines[1], "Usage: ") {
		lines = lines[:1]
	}
	if r.code != code || len(lines) != 1 || r.stdout != "" {
		t.Errorf("exit code %d, want %d, and one sentence:\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	for _, part := range parts {
		if !strings.Contains(lines[len(lines)-1], part) {
			t.Errorf("no %q in: %s", part, r.stderr)
		}
	}
	for _, part := range []string{"hunter2", "goroutine ", "panic", "pgconn", "failed to connect to"} {
		if strings.Contains(r.stderr, part) {
			t.Errorf("%q in: %s", part, r.stderr)
		}
	}
}

// TestWrongVariables: a variable is checked like its flag and named when it is
// wrong; an empty one counts as not set.
func TestWrongVariables(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ command, variable, value, part string }{
		{"server", "HOTSHELF_ADDR", "here", "HOST:PORT"},
		{"server", "HOTSHELF_ADDR", ":99999", "HOST:PORT"},
		{"server", "HOTSHELF_MEMORY", "12", "64MiB"},
		{"server", "HOTSHELF_MEMORY", "-1GiB", "too little"},
		{"load csv", "HOTSHELF_QUIET", "maybe", "true"},
		{"load csv", "HOTSHELF_MAX_REJECTS", "101%", "percentage"},
		{"warm", "HOTSHELF_CONTRACT", "nova", "pulsar"},
		{"sample new", "HOTSHELF_PRODUCTS", "many", "many"},
		{"sample new", "HOTSHELF_PRODUCTS", "-1", "expected 1 to 100000000"},
		{"sample new", "HOTSHELF_SEED", "-1", "-1"},
		{"sample new", "HOTSHELF_EDITION", "dirty", "clean or messy"},
	} {
		t.Run(c.variable+"="+c.value, func(t *testing.T) {
			t.Setenv(c.variable, c.value)
			command := strings.Fields(c.command)
			wantSentence(t, program(t, dir, command[0], command[1:]...), 2, c.part, c.variable)
		})
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("something was made: %v", left)
	}
	t.Run("empty", func(t *testing.T) {
		for _, name := range []string{"DATABASE_URL", "HOTSHELF_DATA_DIR", "HOTSHELF_QUIET", "HOTSHELF_PRODUCTS", "HOTSHELF_SEED", "HOTSHELF_EDITION", "HOTSHELF_MAX_REJECTS", "HOTSHELF_REPORT"} {
			t.Setenv(name, "")
		}
		if out := must(t, dir, "sample", "csv"); !strings.Contains(out, `"products": 1000`) {
			t.Errorf("sample: %s", out)
		}
		wantSentence(t, program(t, dir, "load", "nowhere"), 1, "nowhere does not exist")
	})
}

// TestWrongDatabase: a database that can't be used is named without its
// secrets, and left as it is.
func TestWrongDatabase(t *testing.T) {
	dir := t.TempDir()
	writeSmall(t, filepath.Join(dir, "csv"), nil)
	url := pg.Database(t)
	for name, c := range map[string]struct{ url, part string }{
		"down":             {"postgres://shop:hunter2@127.0.0.1:1/shop", "127.0.0.1:1: connection refused"},
		"an unknown host":  {"postgres://shop:hunter2@nowhere.invalid/shop", "nowhere.invalid"},
		"no socket":        {"host=/nowhere password=hunter2 user=shop", "/nowhere"},
		"another scheme":   {"mysql://shop:hunter2@127.0.0.1/shop", "database URL"},
		"a broken escape":  {"postgres://shop:hunter2%zz@127.0.0.1/shop", "database URL"},
		"no such database": {strings.Replace(url, "/test", "/hunter3test", 1), "does not exist"},
		"no such user":     {strings.Replace(url, "hotshelf@", "nobody:hunter2@", 1), `"nobody"`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, command := range [][]string{{"server", "--addr=127.0.0.1:0"}, {"load", "csv"}, {"warm"}} {
				t.Setenv("DATABASE_URL", c.url)
				wantSentence(t, program(t, dir, command[0], command[1:]...), 1, c.part)
			}
		})
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("something was made: %v", left)
	}

	// Nothing is set up in a database that there is no catalogue for.
	flag := "--database-url=" + url
	wantSentence(t, program(t, dir, "warm", flag), 1, "run load first")
	s := serve(t, dir, flag)
	if !strings.Contains(s.printed(), "run load, then warm") {
		t.Errorf("the server says:\n%s", s.printed())
	}
	s.stop(t, syscall.SIGKILL)
	if found := psql(t, url, `select count(*) from pg_namespace where nspname ~ 'hotshelf|catalog_|^catalog$|shelf'`); found != "0" {
		t.Errorf("%s schemas were made", found)
	}

	// Files that can't be written are found before the load that waits is
	// dropped.
	must(t, dir, "load", flag, "csv", "--quiet")
	for _, option := range []string{"--rejects", "--report"} {
		wantSentence(t, program(t, dir, "load", flag, "csv", option, "nowhere/file"), 1, "nowhere/file")
	}
	must(t, dir, "warm", flag, "--quiet")

	// Blobs of another builder are served; those of a newer schema are not.
	psql(t, url, `update hotshelf.catalogue set builder_version = 0`)
	s = serve(t, dir, flag)
	if status, _, _ := s.get(t, "/products/1"); status != 200 || !strings.Contains(s.printed(), "run warm") {
		t.Errorf("blobs of another builder: %d\n%s", status, s.printed())
	}
	s.stop(t, syscall.SIGTERM)
	psql(t, url, `update hotshelf.catalogue set schema_version = 1000000`)
	for _, command := range [][]string{{"server", "--addr=127.0.0.1:0", flag}, {"load", "csv", flag}, {"warm", flag}} {
		wantSentence(t, program(t, dir, command[0], command[1:]...), 1, "schema version 1000000", "use a newer hotshelf")
	}
}

// asNobody runs a program as an ordinary user, who has dir for a home.
func asNobody(t *testing.T, dir, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

const nobody = 65534

// TestWrongDataDirectory: one that can't be used ends each program that needs
// it in a sentence, and stays as it is.
func TestWrongDataDirectory(t *testing.T) {
	dir := t.TempDir()
	writeSmall(t, filepath.Join(dir, "csv"), nil)
	commands := [][]string{{"server", "--addr=127.0.0.1:0"}, {"load", "csv"}, {"warm"}}

	t.Run("of another version", func(t *testing.T) {
		version := filepath.Join(dir, ".hotshelf", "postgres", "PG_VERSION")
		if err := os.MkdirAll(filepath.Dir(version), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(version, []byte("99\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range commands {
			wantSentence(t, program(t, dir, command[0], command[1:]...), 1, "made by PostgreSQL 99", "install PostgreSQL 99")
		}
		if left, _ := os.ReadDir(filepath.Dir(version)); len(left) != 1 {
			t.Errorf("something was made: %v", left)
		}
	})
	t.Run("without a cluster in it", func(t *testing.T) {
		if err := os.MkdirAll(filepath.Join(dir, "other", "postgres", "mine"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, command := range commands {
			wantSentence(t, program(t, dir, command[0], append(command[1:], "--data-dir=other")...), 1, "isn't a PostgreSQL data directory")
		}
	})
	t.Run("that can't be written", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("takes root, to run the programs as somebody else")
		}
		reachable(t, dir)
		for _, command := range commands {
			wantSentence(t, asNobody(t, dir, command[0], append(command[1:], "--data-dir=theirs")...), 1, filepath.Join(dir, "theirs"), "permission denied")
		}
		if _, err := os.Stat(filepath.Join(dir, "theirs")); err == nil {
			t.Error("it was made")
		}
	})
}

// TestNoRoom: where the private database's disk is too small, nothing begins.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeSmall(t, filepath.Join(dir, "csv"), nil)
	must(t, dir, "load", "csv", "--quiet")
	// A file without end, of which the disk has the beginning.
	if err := os.Truncate(filepath.Join(dir, "csv", "photos.csv"), 1<<42); err != nil {
		t.Skip("this disk has no files with holes:", err)
	}
	wantSentence(t, program(t, dir, "load", "csv", "--quiet"), 1, "needs about 62", "of disk", filepath.Join(dir, ".hotshelf"))
	must(t, dir, "warm", "--quiet") // the load that waited
}

// reachable lets everybody in where the programs and the test's files are.
func reachable(t *testing.T, dir string) {
	t.Helper()
	for _, path := range []string{bin, dir} {
		for ; path != filepath.Clean(os.TempDir()) && path != "/"; path = filepath.Dir(path) {
			if err := os.Chmod(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestOrdinaryUser: everything works for a user below a home of mode 0700.
// (TestFirstStart does that as whoever runs the tests.)
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("the other tests run as an ordinary user already")
	}
	home := filepath.Join(t.TempDir(), "home")
	writeSmall(t, home, nil)
	reachable(t, home)
	if err := os.Chmod(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"load", ".", "--quiet"}, {"warm", "--quiet"}} {
		if r := asNobody(t, home, command[0], command[1:]...); r != (result{}) {
			t.Fatalf("%s as nobody: %+v", command[0], r)
		}
	}
	if left := postgresOf(t, filepath.Join(home, ".hotshelf")); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
}
