package embedded

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func socketOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(u.Query().Get("host"), socketName)
}

func TestBadDirectories(t *testing.T) {
	t.Parallel()
	root := filepath.Dir(tempDir(t))
	write := func(path, text string) string {
		t.Helper()
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		dir  string
		want []string
	}{
		"a file":            {write("file", "x"), []string{"not a directory"}},
		"below a file":      {filepath.Join(write("file2", "x"), "data"), []string{"not a directory"}},
		"a foreign cluster": {filepath.Dir(filepath.Dir(write("foreign/postgres/notes.txt", "x"))), []string{"isn't a PostgreSQL data directory"}},
		"a bad version":     {filepath.Dir(filepath.Dir(write("bad/postgres/PG_VERSION", "banana\n"))), []string{"banana", "version number"}},
		"an older version":  {filepath.Dir(filepath.Dir(write("old/postgres/PG_VERSION", "13\n"))), []string{"made by PostgreSQL 13", "install PostgreSQL 13"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Start(t.Context(), c.dir, Options{})
			wantError(t, err, append(c.want, c.dir)...)
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
		})
	}
}

// The cluster of another major version isn't touched.
func TestOtherMajorVersion(t *testing.T) {
	t.Parallel()
	dir := madeDir(t)
	data := filepath.Join(dir, "postgres")
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("13\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := listing(t, data)
	_, err := Start(t.Context(), dir, Options{})
	wantError(t, err, "made by PostgreSQL 13, but this machine has")
	if after := listing(t, data); after != before {
		t.Errorf("changed:\n%s\nbefore:\n%s", after, before)
	}
	noneLeft(t, dir)
}

// listing is all files with their sizes and times.
func listing(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b.WriteString(path + " " + info.Mode().String() + " " + info.ModTime().String() + "\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What PostgreSQL says when it doesn't start reaches the user.
func TestExitsAtStart(t *testing.T) {
	t.Parallel()
	dir := madeDir(t)
	auto := filepath.Join(dir, "postgres", "postgresql.auto.conf")
	if err := os.WriteFile(auto, []byte("no_such_setting = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), dir, Options{})
	wantError(t, err, "ended at its start", `unrecognized configuration parameter "no_such_setting"`, dir)
	noneLeft(t, dir)
	if err := os.WriteFile(auto, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mustStop(t, mustStart(t, dir))
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mount, err := exec.LookPath("mount")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	if out, err := exec.Command(mount, "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("can't mount a small disk: %s", out)
	}
	t.Cleanup(func() {
		// A process that another test has forked holds all files of this one
		// until it executes its program, so the disk may be busy for a moment.
		var out []byte
		var err error
		for range 100 {
			if out, err = exec.Command("umount", dir).CombinedOutput(); err == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Errorf("%v: %s", err, out)
	})
	_, err = Start(t.Context(), dir, Options{})
	wantError(t, err, "No space left on device", dir)
	if found, _ := filepath.Glob(filepath.Join(dir, "postgres*")); len(found) > 0 {
		t.Errorf("left: %v", found)
	}
}

// A failed first start takes back the directory that it made.
func TestNothingMade(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	none := finder{fetch: func(context.Context, int, string) (string, error) { return "", errors.New("no network") }}
	_, err := start(t.Context(), dir, Options{}, none)
	wantError(t, err, "no PostgreSQL 14 or newer", "no network", "apt-get install postgresql", "brew install postgresql@17", "DATABASE_URL")
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	nobody := asNobody(t)
	dir := tempDir(t)
	acct, err := lookupUser("nobody")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}

	// Not theirs yet.
	_, err = spawn(t, "hold", filepath.Join(dir, "below"), nobody).ready()
	wantError(t, err, "permission denied", dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = spawn(t, "hold", dir, nobody).ready()
	wantError(t, err, "permission denied", dir)

	if err := os.Chown(dir, acct.uid, acct.gid); err != nil {
		t.Fatal(err)
	}
	p := spawn(t, "hold", dir, nobody)
	p.mustReady()
	// Root joins them, and as the last one out ends what isn't root's.
	s := mustStart(t, dir)
	p.stop()
	mustQuery(t, s.URL(), "CREATE TABLE kept AS SELECT 7 AS n")
	mustStop(t, s)
	noneLeft(t, dir)
	// Root starts it for them, as them; then they are back.
	s = mustStart(t, dir)
	mustQuery(t, s.URL(), "SELECT n FROM kept", new(int))
	p = spawn(t, "hold", dir, nobody)
	p.mustReady()
	mustStop(t, s)
	p.stop()
	p = spawn(t, "hold", dir, nobody)
	mustQuery(t, p.mustReady(), "SELECT n FROM kept", new(int))
	p.stop()
	noneLeft(t, dir)
}

// Nobody but us gets to the socket, wherever it is.
func TestOthersCantConnect(t *testing.T) {
	t.Parallel()
	nobody := asNobody(t)
	for name, below := range map[string]string{"in the cluster": "", "apart": strings.Repeat("deep/", 30)} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(tempDir(t), below)
			makeCluster(t, dir)
			s := mustStart(t, dir)
			// Even below a directory that everybody passes.
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			_, err := spawn(t, "dial", socketOf(t, s.URL()), nobody).ready()
			wantError(t, err, "permission denied")
			if err := helper("dial", socketOf(t, s.URL())); err != nil {
				t.Errorf("we can't connect either: %v", err)
			}
			mustStop(t, s)
		})
	}
}

func TestLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for i, want := range []int64{10, 20, 10} {
		if _, err := f.WriteString("0123456789"); err != nil {
			t.Fatal(err)
		}
		if info, _ := f.Stat(); info.Size() != want {
			t.Errorf("write %d: %d bytes, want %d", i, info.Size(), want)
		}
		cutLog(path, 15)
	}
}
