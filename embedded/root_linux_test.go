package embedded

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// withoutNamespaces starts the helper as a root who may not make user
// namespaces: in one, with all ids as they are outside, whose limit of further
// ones the helper sets to zero.
func withoutNamespaces(cmd *exec.Cmd) {
	same := []syscall.SysProcIDMap{{Size: 65536}}
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = same
	cmd.SysProcAttr.GidMappings = same
	cmd.SysProcAttr.GidMappingsEnableSetgroups = true
}

// cleanLib removes /var/lib/hotshelf where a test has made it.
func cleanLib(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { _ = os.Remove("/var/lib/hotshelf") })
}

func TestRootWithoutNamespaces(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root needs another user")
	}
	cleanLib(t)
	for _, c := range []struct {
		name   string
		closed bool // nobody else gets to the directory
		made   bool // by root in a namespace
	}{{name: "fresh"}, {name: "below a private home", closed: true}, {name: "existing cluster", made: true}} {
		t.Run(c.name, func(t *testing.T) {
			dir := tempDir(t)
			if c.closed {
				if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if c.made {
				makeCluster(t, dir)
			}
			p := spawn(t, "no-namespaces", dir, withoutNamespaces)
			url, err := p.ready()
			if err != nil {
				if strings.Contains(err.Error(), "skip: ") {
					t.Skip(err)
				}
				t.Fatalf("%v\n%s", err, strings.Join(p.log, "\n"))
			}
			if log := strings.Join(p.log, "\n"); !strings.Contains(log, "running it as the user") {
				t.Errorf("it doesn't say as whom it runs:\n%s", log)
			}
			data, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if !strings.HasPrefix(data, dir) {
					_ = os.RemoveAll(data)
				}
			}()
			info, err := os.Stat(data)
			if err != nil {
				t.Fatal(err)
			}
			if st := info.Sys().(*syscall.Stat_t); st.Uid == 0 || info.Mode().Perm() != 0o700 {
				t.Errorf("%s is of user %d, mode %v", data, st.Uid, info.Mode())
			}
			if outside := !strings.HasPrefix(data, dir); outside != c.closed {
				t.Errorf("the cluster lies in %s", data)
			}
			mustQuery(t, url, "CREATE TABLE kept AS SELECT 7 AS n")
			p.stop()
			noneLeft(t, data)
			// Later, with namespaces: it stays that user's.
			s := mustStart(t, dir)
			mustQuery(t, s.URL(), "SELECT n FROM kept", new(int))
			mustStop(t, s)
			noneLeft(t, data)
		})
	}
}

// In a namespace root is an ordinary user, whom other users' private
// directories keep out.
func TestRootBelowAnotherHome(t *testing.T) {
	t.Parallel()
	acct, err := lookupUser("nobody")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("only root can go below another user's home")
	}
	cleanLib(t)
	dir := tempDir(t)
	home := filepath.Dir(dir)
	if err := os.Chown(home, acct.uid, acct.gid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(home, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), dir, Options{Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	mustQuery(t, s.URL(), "SELECT 1")
	data := s.cluster.data()
	mustStop(t, s)
	noneLeft(t, data)
	for _, d := range []string{dir, data} {
		if _, err := os.Stat(d); err == nil {
			t.Errorf("%s is left", d)
		}
	}
}

func TestRootBelowItsPrivateHome(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	dir := madeDir(t)
	if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, dir)
	mustQuery(t, s.URL(), "SELECT 1")
	info, err := os.Stat(filepath.Join(dir, "postgres", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 0 {
		t.Errorf("files are of user %d", uid)
	}
	mustStop(t, s)
}
