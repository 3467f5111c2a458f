package sample

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRefuses(t *testing.T) {
	blocked := t.TempDir()
	file := filepath.Join(blocked, "styles.csv")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		o     Options
		wants string
	}{
		{"no products", Options{Dir: t.TempDir()}, "0 products"},
		{"too many products", Options{Dir: t.TempDir(), Products: maxProducts + 1}, "100000001 products"},
		{"no directory", Options{Products: 1}, "no directory"},
		{"a file is there", Options{Dir: blocked, Products: 1}, file + " exists"},
		{"below a file", Options{Dir: filepath.Join(file, "sub"), Products: 1}, file},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Write(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.wants) {
				t.Errorf("error %v, want one with %q", err, c.wants)
			}
		})
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file was touched: %q, %v", b, err)
	}
}

func TestKeepsOtherFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), Options{Dir: dir, Products: 1}); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != numFiles+1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestCancelLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calls := 0
	_, err := Write(ctx, Options{Dir: filepath.Join(parent, "a", "b"), Products: 100_000, Progress: func(products int64) {
		if calls++; products >= 1000 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if calls == 0 {
		t.Error("no progress")
	}
	if entries, _ := os.ReadDir(parent); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// A file that appears at the last moment is not replaced, and those already in
// place are taken away again.
func TestPublishReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	_, err := Write(t.Context(), Options{Dir: dir, Products: 300, Progress: func(int64) {
		if err := os.WriteFile(filepath.Join(dir, "photos.csv"), []byte("mine"), 0o600); err != nil {
			t.Error(err)
		}
	}})
	if !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v", err)
	}
	entries, _ := os.ReadDir(dir)
	if b, _ := os.ReadFile(filepath.Join(dir, "photos.csv")); len(entries) != 1 || string(b) != "mine" {
		t.Errorf("left behind: %v, photos.csv %q", entries, b)
	}
}
