package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// baseBackup makes a base copy of a running PostgreSQL's files, by the book:
// between the start and the end of a backup, with the log that was written
// meanwhile. It takes one session, so psql copies.
func baseBackup(t *testing.T, url, data, backup string) {
	t.Helper()
	path, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql isn't installed: no backup can be made")
	}
	script := fmt.Sprintf(`\set ON_ERROR_STOP on
select pg_backup_start('test', true);
\! cp -a %[1]s %[2]s && rm -f %[2]s/postmaster.pid %[2]s/.s.PGSQL*
\t \a
\o %[2]s/backup_label
select labelfile from pg_backup_stop(false);
\o
\! cp -a %[1]s/pg_wal/. %[2]s/pg_wal/
`, data, backup)
	psql := exec.Command(path, "--no-psqlrc", "-q", "-d", url)
	psql.Stdin = strings.NewReader(script)
	if out, err := psql.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	if label, err := os.ReadFile(filepath.Join(backup, "backup_label")); err != nil || !strings.Contains(string(label), "START WAL LOCATION") {
		t.Fatalf("backup_label: %s, %v", label, err)
	}
}

// TestRestore: a base copy of the database is put back under two servers that
// have seen, cached and handed out what came after it; then it is written to in
// another way, so that versions come again with other contents. Neither shows
// what is gone, and no client that holds it is told that it is current.
func TestRestore(t *testing.T) {
	t.Parallel()
	dir, data, url := breakable(t, 40)
	// A backup needs more of the log than a private PostgreSQL writes.
	psql(t, url, `alter system set wal_level = replica`)
	killPostgres(t, data)
	ownPostgres(t, data)
	cluster, err := filepath.EvalSymlinks(filepath.Join(data, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	tokensFile(t, filepath.Join(dir, "tokens"), writeToken)
	start := func() *server {
		return serve(t, dir, "--database-url="+url, "--admin-addr=off", "--write-tokens-file", filepath.Join(dir, "tokens"))
	}
	a, b := start(), start()
	rename := func(s *server, id int, name string) {
		t.Helper()
		body, _ := json.Marshal(map[string]string{"name": name})
		if got := newWriter(t, s).send("PUT", productPath, fmt.Sprintf("/products/%d", id), string(body)); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	rename(a, 1, "before the backup")
	backup := filepath.Join(dir, "backup")
	baseBackup(t, url, cluster, backup)

	for id := 1; id <= 20; id++ {
		rename(a, id, fmt.Sprintf("lost %d", id))
	}
	created := newWriter(t, a).send("POST", productsPath, productsPath, `{"name":"lost","category":"c","default_price":1}`)
	if created.status != 201 {
		t.Fatal(created)
	}
	if got := newWriter(t, a).send("DELETE", productPath, "/products/30", ""); got.status != 200 {
		t.Fatal(got)
	}
	paths := []string{"/products/list?page=1&count=100", "/products?ids=1,2,3,30", created.header.Get("Location"), "/products/30"}
	for id := 1; id <= 25; id++ {
		paths = append(paths, fmt.Sprintf("/products/%d", id), fmt.Sprintf("/products/%d/related", id))
	}
	// What both servers, and a client, hold of the state that will be gone.
	lost := map[string]response{}
	for _, path := range paths {
		until(t, "both servers show the same for "+path, func() bool {
			_, header, body, err := getTagged(a.url+path, "")
			if err != nil {
				t.Fatal(err)
			}
			_, other, _, err := getTagged(b.url+path, "")
			lost[path] = response{0, header, []byte(body)}
			return err == nil && header.Get("ETag") == other.Get("ETag")
		})
	}
	if !strings.Contains(string(lost["/products/2"].body), "lost 2") || lost["/products/30"].header.Get("ETag") != "" {
		t.Fatalf("%s", lost["/products/2"].body)
	}

	killPostgres(t, data)
	if err := os.RemoveAll(cluster); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(backup, cluster); err != nil {
		t.Fatal(err)
	}
	ownPostgres(t, data)

	// Another history, of more entries, through a server that has seen the first.
	until(t, "the server writes again", func() bool {
		return newWriter(t, b).send("PUT", productPath, "/products/1", `{"name":"other 1"}`).status == 200
	})
	for round := range 3 {
		for id := 2; id <= 10; id++ {
			rename(b, id, fmt.Sprintf("other %d in round %d", id, round))
		}
	}
	// Changes come in order: who knows the last one knows all.
	until(t, "the other server shows the last write", func() bool {
		_, _, body, err := getTagged(a.url+"/products/10", "")
		return err == nil && strings.Contains(body, "other 10 in round 2")
	})
	until(t, "and goes by the feed again", func() bool { return strings.Contains(a.printed(), "followed again") })
	// What is true is what a server says that has seen nothing else.
	truth := start()
	for _, path := range paths {
		wantStatus, wantHeader, want, err := getTagged(truth.url+path, "")
		if err != nil || strings.Contains(want, "lost") {
			t.Fatalf("%s: %d %s, %v", path, wantStatus, want, err)
		}
		old := lost[path]
		for name, s := range map[string]*server{"a": a, "b": b} {
			if status, _, body, err := getTagged(s.url+path, ""); err != nil || status != wantStatus || status == 200 && body != want {
				t.Errorf("%s, %s: %d %s, %v; want %d %s", name, path, status, body, err, wantStatus, want)
			}
			status, header, body, err := getTagged(s.url+path, old.header.Get("ETag"))
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case string(old.body) == want && old.header.Get("ETag") == wantHeader.Get("ETag"):
				if old.header.Get("ETag") != "" && status != 304 {
					t.Errorf("%s, %s: what is still true is sent again: %d", name, path, status)
				}
			case status != wantStatus || status == 200 && body != want || header.Get("Hotshelf-Stale") != "":
				t.Errorf("%s, %s for a client that holds what is gone: %d %v %s; want %d %s", name, path, status, header, body, wantStatus, want)
			}
		}
	}
	for _, s := range []*server{a, b} {
		if !strings.Contains(s.printed(), "may not hold any longer") {
			t.Errorf("the log does not tell:\n%s", s.printed())
		}
	}
}
