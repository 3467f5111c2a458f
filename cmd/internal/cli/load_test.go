package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hotshelf/hotshelf/sample"
	"github.com/hotshelf/hotshelf/store"
)

// TestLoadSparesItsFiles: what a load writes must not replace what it reads,
// under whatever name.
func TestLoadSparesItsFiles(t *testing.T) {
	db, err := store.Open(t.Context(), pg.Database(t), "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	dir := t.TempDir()
	csv, link := filepath.Join(dir, "csv"), filepath.Join(dir, "link")
	if _, err := sample.Write(t.Context(), sample.Options{Dir: csv, Products: 10, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(csv, "photos.csv"), link); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(link)
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range []LoadJob{{Rejects: filepath.Join(csv, "photos.csv")}, {Rejects: link}, {Report: link}} {
		job.Dir, job.Source, job.Quiet = csv, "import", true
		err := Load(t.Context(), db, job, IO{Stdout: io.Discard, Stderr: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "is one of the files to load") {
			t.Errorf("%+v: %v", job, err)
		}
	}
	after, err := os.ReadFile(link)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("photos.csv has %d bytes, had %d (%v)", len(after), len(before), err)
	}
}
