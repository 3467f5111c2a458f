package e2e

import (
	"encoding/json"
	"io"
	nethttp "net/http"
	"regexp"
	"strings"
	"testing"
)

var adminLine = regexp.MustCompile(`url=(http://127\.0\.0\.1:\d+)`)

// admin is the URL of the server's admin listener.
func (s *server) admin(t *testing.T) string {
	t.Helper()
	found := adminLine.FindStringSubmatch(s.printed())
	if found == nil {
		t.Fatalf("no admin listener in:\n%s", s.printed())
	}
	return found[1]
}

// fetch returns the status and the body of any URL.
func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := nethttp.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// TestCheck: a server can be asked from its own binary, at either listener.
func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := "--database-url=" + pg.Database(t)
	s := serve(t, dir, url)
	admin := strings.TrimPrefix(s.admin(t), "http://")
	for _, at := range []string{"--admin-addr=" + admin, "--admin-addr=off --addr=" + strings.TrimPrefix(s.url, "http://")} {
		r := program(t, dir, "server", append(strings.Fields(at), "--check")...)
		if r.code != 1 || !strings.Contains(r.stderr, "not ready: ") || !strings.Contains(r.stderr, "run load, then warm") {
			t.Errorf("without a catalogue, %s: exit code %d\n%s%s", at, r.code, r.stdout, r.stderr)
		}
	}
	writeSmall(t, dir+"/csv", nil)
	must(t, dir, "load", url, "csv", "--quiet")
	must(t, dir, "warm", url, "--quiet")
	until(t, "the server is ready", func() bool { status, _, _ := s.get(t, "/readyz"); return status == 200 })
	for _, at := range []string{"--admin-addr=" + admin, "--admin-addr=off --addr=" + strings.TrimPrefix(s.url, "http://")} {
		if out := must(t, dir, "server", append(strings.Fields(at), "--check")...); out != "ready\n" {
			t.Errorf("%s: %s", at, out)
		}
	}
	if status, body := fetch(t, s.admin(t)+"/debug/pprof/heap?debug=1"); status != 200 || !strings.HasPrefix(body, "heap profile") {
		t.Errorf("heap profile: %d %.100s", status, body)
	}
	off := serve(t, dir, url, "--admin-addr=")
	if strings.Contains(off.printed(), "profiles") {
		t.Errorf("an empty address does not turn the admin listener off:\n%s", off.printed())
	}
}

// TestLog: the settings once, without secrets; nothing for a hit; each request
// where that is asked for.
func TestLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := strings.Replace(pg.Database(t), "hotshelf@", "hotshelf:hunter2@", 1)
	writeSmall(t, dir+"/csv", nil)
	must(t, dir, "load", "--database-url="+url, "csv", "--quiet")
	must(t, dir, "warm", "--database-url="+url, "--quiet")
	quiet := serve(t, dir, "--database-url="+url)
	quiet.get(t, "/products/1")
	settings := quiet.printed()
	quiet.get(t, "/products/1")
	if quiet.printed() != settings || strings.Count(settings, "msg=settings ") != 1 || strings.Contains(settings, "hunter2") || !strings.Contains(settings, "database=hotshelf@") {
		t.Errorf("log:\n%s", quiet.printed())
	}
	loud := serve(t, dir, "--database-url="+url, "--log-format=json", "--access-log=1")
	loud.get(t, "/products/1/styles?token=hunter2")
	until(t, "the request is logged", func() bool { return strings.Contains(loud.printed(), `"msg":"request"`) })
	for line := range strings.Lines(loud.printed()) {
		if strings.HasPrefix(line, "{") && !json.Valid([]byte(line)) || strings.Contains(line, "hunter2") {
			t.Errorf("log line %s", line)
		}
	}
	if !strings.Contains(loud.printed(), `"path":"/products/1/styles","status":200`) {
		t.Errorf("log:\n%s", loud.printed())
	}
	mute := serve(t, dir, "--database-url="+url, "--log-level=error")
	if strings.Contains(mute.printed(), "level=") {
		t.Errorf("log:\n%s", mute.printed())
	}
}
