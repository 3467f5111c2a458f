package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOnlyIfEmpty: the commands that set a database up unattended do so once.
func TestOnlyIfEmpty(t *testing.T) {
	env := []string{"DATABASE_URL=" + pg.Database(t)}
	dir := t.TempDir()
	other := t.TempDir()
	must(t, nil, "sample", dir, "--products", "20")
	must(t, nil, "sample", other, "--only-if-empty", "--products", "30", "--seed", "2")

	if out := must(t, nil, "sample", dir, "--only-if-empty", "--products", "30"); out != "" {
		t.Errorf("a sample where there are files: %s", out)
	}
	if err := os.Remove(filepath.Join(other, "skus.csv")); err != nil {
		t.Fatal(err)
	}
	if out, err := program(t, nil, "sample", other, "--only-if-empty"); err == nil || !strings.Contains(out, "exists already") {
		t.Errorf("a sample where there are some files: %v, %s", err, out)
	}

	if out, err := program(t, env, "warm", "--only-if-empty"); err == nil || !strings.Contains(out, "run load first") {
		t.Errorf("a warm without a load: %v, %s", err, out)
	}
	if out, err := program(t, env, "load", filepath.Join(dir, "none"), "--only-if-empty"); err == nil {
		t.Errorf("a load of nothing into an empty database succeeded: %s", out)
	}
	if out := must(t, env, "load", dir, "--only-if-empty"); !strings.Contains(out, "run warm") {
		t.Errorf("the first load: %s", out)
	}
	// As after a start that was interrupted between the two.
	if out := must(t, env, "load", other, "--only-if-empty"); out != "" {
		t.Errorf("a load where one waits: %s", out)
	}
	if out := must(t, env, "warm", "--only-if-empty"); !strings.Contains(out, "generation 1") {
		t.Errorf("the first warm: %s", out)
	}
	if out := must(t, env, "load", filepath.Join(dir, "none"), "--only-if-empty"); out != "" {
		t.Errorf("a load where a catalogue is live: %s", out)
	}
	if out := must(t, env, "warm", "--only-if-empty"); out != "" {
		t.Errorf("a warm where a catalogue is live: %s", out)
	}
	// An import that somebody has loaded is published by whoever asks for that.
	must(t, env, "load", dir, "--quiet")
	if out := must(t, env, "warm", "--only-if-empty"); out != "" {
		t.Errorf("a warm where a catalogue is live and a load waits: %s", out)
	}
}
