package cli

import (
	"errors"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hotshelf/hotshelf/sample"
	"github.com/hotshelf/hotshelf/store"
)

// TestRoomForLoad holds the estimate against what a load really takes, which
// the next load is told, for it gives that back.
func TestRoomForLoad(t *testing.T) {
	db, err := store.Open(t.Context(), pg.Database(t), "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	dir := filepath.Join(t.TempDir(), "csv")
	if _, err := sample.Write(t.Context(), sample.Options{Dir: dir, Products: 2000, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	need, err := roomForLoad(dir)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	job := LoadJob{Dir: dir, Source: "sample"}
	if err := Load(t.Context(), db, job, IO{Stdout: io.Discard, Stderr: &said}); err != nil {
		t.Fatal(err)
	}
	if want := "this takes about " + size(need) + " of disk"; !strings.Contains(said.String(), want) {
		t.Errorf("no %q in %q", want, said.String())
	}
	taken := int64(0)
	stop := errors.New("measured")
	if _, err := db.BeginLoad(t.Context(), func(n int64) error { taken = n; return stop }); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	// A table of next to nothing takes some pages too.
	if rows := need - roomBesides; rows < taken-taken/10 || rows > taken+taken/3 {
		t.Errorf("the rows are thought to take %d bytes, and take %d", rows, taken)
	}

	if state, err := db.State(t.Context()); err != nil || !state.LoadWaits {
		t.Errorf("the load that waited, after one that had no room: %+v, %v", state, err)
	}
}

func TestCheckRoom(t *testing.T) {
	dir := t.TempDir()
	const huge = math.MaxInt64 / 2
	err := checkRoom("the load", dir, huge, 1)
	if err == nil || !strings.Contains(err.Error(), "the load needs about 4611686018.4 GB of disk, and "+dir+" has ") {
		t.Errorf("no room: %v", err)
	}
	if err := checkRoom("the load", dir, huge, huge); err != nil {
		t.Errorf("as much given back as needed: %v", err)
	}
	if err := checkRoom("the load", filepath.Join(dir, "none"), 1, 0); err == nil {
		t.Error("a directory that isn't there")
	}
}
