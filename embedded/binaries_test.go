package embedded

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// machine is a made-up one, with programs that only know their version.
func machine(t *testing.T, versions ...string) (finder, *cluster) {
	t.Helper()
	root := t.TempDir()
	for _, v := range versions {
		dir := filepath.Join(root, "lib", strings.Fields(v)[0], "bin")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"postgres", "initdb"} {
			script := "#!/bin/sh\necho '" + name + " (PostgreSQL) " + v + "'\n"
			if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	f := finder{
		places: []string{filepath.Join(root, "lib", "*", "bin")},
		fetch:  func(context.Context, int, string) (string, error) { return "", errors.New("no network") },
	}
	return f, &cluster{dir: filepath.Join(root, "data"), log: func(string) {}}
}

func TestFindBinaries(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for name, c := range map[string]struct {
		machine []string
		want    int // major of the cluster, 0 for none
		got     int
		err     []string
	}{
		"newest":               {machine: []string{"9.6.24", "15.18 (Debian 15.18-0+deb12u1)", "17.2"}, got: 17},
		"a beta":               {machine: []string{"18beta1"}, got: 18},
		"the cluster's":        {machine: []string{"14.1", "15.18", "17.2"}, want: 15, got: 15},
		"an old cluster's":     {machine: []string{"13.9", "17.2"}, want: 13, got: 13},
		"not the cluster's":    {machine: []string{"14.1", "17.2"}, want: 15, err: []string{"made by PostgreSQL 15, but this machine has 17 (", ", 14 (", "install PostgreSQL 15"}},
		"too old":              {machine: []string{"13.9"}, err: []string{"no PostgreSQL 14 or newer was found on this machine (only 13 (", "no network"}},
		"none":                 {err: []string{"no PostgreSQL 14 or newer was found on this machine, and", "no network"}},
		"none for the cluster": {want: 16, err: []string{"no PostgreSQL 16, which made the cluster in", "no network"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, cl := machine(t, c.machine...)
			b, err := f.binaries(t.Context(), cl, c.want, account{})
			if c.err != nil {
				wantError(t, err, c.err...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if b.major != c.got {
				t.Errorf("found %d in %s, want %d", b.major, b.dir, c.got)
			}
		})
	}
}

// What is in PATH comes first, through links; half a set doesn't count.
func TestFindInPath(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	f, c := machine(t, "15.1", "17.2")
	f.path = true
	links := t.TempDir()
	old := filepath.Join(filepath.Dir(filepath.Dir(f.places[0])), "15.1", "bin")
	if err := os.Symlink(filepath.Join(old, "postgres"), filepath.Join(links, "postgres")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", links+":/bin:/usr/bin")
	b, err := f.binaries(t.Context(), c, 0, account{})
	if err != nil || b.major != 15 {
		t.Errorf("found %+v, %v, want 15", b, err)
	}
	if err := os.Remove(filepath.Join(old, "initdb")); err != nil {
		t.Fatal(err)
	}
	found := f.candidates(t.Context(), t.TempDir())
	for _, dir := range found {
		if dir == old {
			t.Errorf("%s has no initdb", dir)
		}
	}
}

// The library is made to download and unpack, and no more. The archive in
// testdata holds shell scripts in place of the programs.
func TestFetch(t *testing.T) {
	txz, err := os.ReadFile("testdata/binaries.txz")
	if err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	z := zip.NewWriter(&jar)
	w, err := z.Create("binaries.txz")
	if err == nil {
		_, err = w.Write(txz)
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	broken := false
	repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.Contains(r.URL.Path, "/17.5.0/"):
			http.NotFound(w, r)
		case strings.HasSuffix(r.URL.Path, ".sha256"):
			_, _ = fmt.Fprintf(w, "%x", sha256.Sum256(jar.Bytes()))
		case broken:
			_, _ = w.Write(jar.Bytes()[:100])
		default:
			_, _ = w.Write(jar.Bytes())
		}
	}))
	defer repository.Close()
	t.Setenv("TMPDIR", t.TempDir()) // the library leaves an empty log there
	config := embeddedpostgres.DefaultConfig().BinaryRepositoryURL(repository.URL)

	cache := filepath.Join(t.TempDir(), "cache")
	dir, err := fetchFrom(t.Context(), config.Version(embeddedpostgres.V17), 17, cache)
	if err != nil {
		t.Fatal(err)
	}
	b, err := probe(t.Context(), dir)
	if err != nil || b.major != 17 {
		t.Errorf("fetched %+v, %v", b, err)
	}
	// The next time they are found.
	f := finder{}
	if found := f.candidates(t.Context(), cache); len(found) != 1 || found[0] != dir {
		t.Errorf("found %v, want %s", found, dir)
	}
	if left, _ := os.ReadDir(cache); len(left) != 1 {
		t.Errorf("the cache holds %v", left)
	}

	cache = filepath.Join(t.TempDir(), "cache")
	if _, err := fetchFrom(t.Context(), config.Version(embeddedpostgres.V16), 16, cache); err == nil {
		t.Error("fetched a version that isn't there")
	}
	broken = true
	if _, err := fetchFrom(t.Context(), config.Version(embeddedpostgres.V17), 17, cache); err == nil {
		t.Error("fetched a broken archive")
	}
	repository.Close()
	_, err = fetchFrom(t.Context(), config.Version(embeddedpostgres.V17), 17, cache)
	wantError(t, err, "unable to connect to")
	if _, err := os.Stat(cache); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cache is still there: %v", err)
	}
	if _, err := fetch(t.Context(), 12, cache); !errors.Is(err, errNoVersion) {
		t.Errorf("PostgreSQL 12: %v", err)
	}
}
