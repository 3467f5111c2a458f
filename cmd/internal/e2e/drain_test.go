package e2e

import (
	"io"
	"net"
	nethttp "net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestDrain: told to stop, a server says that it is not ready, takes no new
// connections, answers what has been asked, and ends well.
func TestDrain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := pg.Database(t)
	flag := "--database-url=" + url
	must(t, dir, "sample", "csv", "--products", "100", "--seed", "3")
	must(t, dir, "load", flag, "csv", "--quiet")
	must(t, dir, "warm", flag, "--quiet")
	s := serve(t, dir, flag)
	until(t, "the server is ready", func() bool { status, _, _ := s.get(t, "/readyz"); return status == 200 })

	// A look-up that takes as long as the test likes.
	path, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql isn't installed: no look-up can be held up")
	}
	locker := exec.Command(path, "--no-psqlrc", "-q", "-d", url)
	in, err := locker.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := locker.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = locker.Wait() }()
	defer in.Close()
	_, _ = io.WriteString(in, "begin; lock table shelf.blobs;\n")
	waiting := func(granted string) bool {
		return psql(t, url, `select count(*) > 0 from pg_locks where relation = 'shelf.blobs'::regclass
			and mode = `+granted) == "t"
	}
	until(t, "the table is locked", func() bool { return waiting(`'AccessExclusiveLock' and granted`) })
	status := make(chan int, 1)
	go func() {
		response, err := nethttp.Get(s.url + "/products/77")
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		status <- response.StatusCode
	}()
	until(t, "a look-up waits", func() bool { return waiting(`'AccessShareLock' and not granted`) })

	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, "the server says that it stops", func() bool {
		ready, _ := fetch(t, s.admin(t)+"/readyz")
		return ready == nethttp.StatusServiceUnavailable
	})
	until(t, "it takes no new connections", func() bool {
		late, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err == nil {
			_ = late.Close()
		}
		return err != nil
	})
	_, _ = io.WriteString(in, "commit;\n")
	if got := <-status; got != 200 {
		t.Errorf("the request under way got %d", got)
	}
	if code := s.stop(t, syscall.Signal(0)); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.printed())
	}
	if strings.Contains(s.printed(), "cut off") {
		t.Errorf("requests were cut off:\n%s", s.printed())
	}
}
