//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWarmSuite runs the suite from start to end on tiny catalogues: what it
// finds is noise, but it has to be there.
func TestWarmSuite(t *testing.T) {
	if testing.Short() {
		t.Skip("many loads and warms")
	}
	needPsql(t)
	dir := t.TempDir()
	at := places{Work: filepath.Join(dir, "work"), programs: filepath.Join(dir, "programs")}
	for _, d := range []string{at.Work, at.programs} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f := runs(t, at, &warmSuite{Products: 300, Pairs: 1, Large: 400, Work: at.Work, programs: at.programs, calm: time.Millisecond})
	want := []string{contenderWarm, contenderShelf, contenderFrozen, contenderVerify, contenderEdit,
		contenderWarm + oneCPU, contenderShelf + oneCPU, contenderSQL, contenderWarm + ", 400 products"}
	got := f.contenders()
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("without %s: %q", name, got)
		}
	}
	targets := []float64{warmToCopy, 0, warmToCopy1, editToWarm, verifyToWarm, 0}
	for i, r := range f.Ratios {
		if i < len(targets) && (r.AtMost != targets[i] || r.Median <= 0 || len(r.Rounds) != 1) {
			t.Errorf("%+v, want a target of %v and one round", r, targets[i])
		}
	}
	if len(f.Ratios) != len(targets) {
		t.Errorf("%d ratios, want %d", len(f.Ratios), len(targets))
	}
	if wal := f.values(contenderEdit, columnWAL); len(wal) != 1 || wal[0] <= 0 {
		t.Errorf("WAL of the differences: %v", wal)
	}
	for _, name := range got {
		if strings.HasPrefix(name, "in the group") && f.values(name, columnErrors)[0] != 0 {
			t.Errorf("%s: %v errors", name, f.values(name, columnErrors))
		}
	}
}
