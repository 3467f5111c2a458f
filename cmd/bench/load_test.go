package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

// needPsql skips a test where there is no psql, and fails it in CI.
func needPsql(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("psql")
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") == "true":
		t.Fatal("psql is missing, and CI has to have it")
	default:
		t.Skip("psql is missing")
	}
	return ""
}

// smoke runs a small suite and returns its figures and what it printed.
func smoke(t *testing.T, s *loadSuite) (f *Figures, dir, output string) {
	t.Helper()
	dir, work := t.TempDir(), t.TempDir()
	var stdout, stderr bytes.Buffer
	s.Pairs, s.Work, s.Out = 1, work, filepath.Join(dir, "load.json")
	if err := keep(t.Context(), s, s.Out, cli.IO{Stdout: &stdout, Stderr: &stderr}); err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	left, err := os.ReadDir(work)
	if err != nil || len(left) > 0 {
		t.Errorf("the bench left %v behind (%v)", left, err)
	}
	text, err := os.ReadFile(s.Out)
	if err != nil {
		t.Fatal(err)
	}
	f = new(Figures)
	if err := json.Unmarshal(text, f); err != nil {
		t.Fatal(err)
	}
	results, err := os.ReadFile(filepath.Join(dir, resultsName))
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range [][]byte{text, results} {
		if bytes.Contains(kept, []byte(work)) || bytes.Contains(kept, []byte(dir)) {
			t.Errorf("a path of this machine is in the figures:\n%s", kept)
		}
	}
	return f, dir, stdout.String() + stderr.String()
}

func TestLoadSuite(t *testing.T) {
	if testing.Short() {
		t.Skip("several loads")
	}
	needPsql(t)
	f, dir, _ := smoke(t, &loadSuite{Products: 2000, Large: 2500})
	want := []string{contenderLoad, `psql \copy`, `psql \copy, frozen`, `psql \copy, frozen, 3 side by side`,
		"load, messy", "load, messy, 2,500 products"}
	if got := f.contenders(); !slices.Equal(got, want) {
		t.Errorf("contenders %q, want %q", got, want)
	}
	if len(f.Ratios) < 4 || f.Ratios[0].AtMost != loadToCopy || f.Ratios[3].AtMost != messyToClean {
		t.Errorf("ratios %+v, want load to copy and messy to clean with their targets", f.Ratios)
	}
	if runtime.GOOS == "linux" && len(f.Bounds) != 3 {
		t.Errorf("limits %+v, want three of memory", f.Bounds)
	}
	var report struct {
		Total struct {
			LinesRead int64 `json:"lines_read"`
		} `json:"total"`
	}
	text, err := os.ReadFile(filepath.Join(dir, "load-50m-report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &report); err != nil || report.Total.LinesRead < 2500 {
		t.Errorf("the account of the large load has %d lines (%v)", report.Total.LinesRead, err)
	}
}

func TestLoadSuiteWithoutPsql(t *testing.T) {
	if testing.Short() {
		t.Skip("several loads")
	}
	// The suite needs the go command, and nothing else from PATH.
	bin := t.TempDir()
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(goCommand, filepath.Join(bin, "go")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	f, _, output := smoke(t, &loadSuite{Products: 200})
	if got := f.contenders(); len(got) != 2 {
		t.Errorf("contenders %q, want two of load", got)
	}
	if !strings.Contains(output, "psql is missing") {
		t.Errorf("psql isn't named as missing:\n%s", output)
	}
}

// TestSameAsCatches plants what would make a comparison unfair.
func TestSameAsCatches(t *testing.T) {
	if testing.Short() {
		t.Skip("a server with a disk's caution")
	}
	psql := needPsql(t)
	ctx := t.Context()
	db, err := startDatabase(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.stop(); err != nil {
			t.Error(err)
		}
	})
	defs, err := db.definitions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dir := catalogue(t)
	cases := []struct{ name, fault, want string }{
		{"none", `select`, ""},
		{"no index", `drop index photos_style_id_idx`, "photos_style_id_idx"},
		{"no foreign key", `alter table related drop constraint related_related_id_fkey`, "related_related_id_fkey"},
		{"a key nobody checked", `alter table skus drop constraint skus_style_id_fkey;
			alter table skus add constraint skus_style_id_fkey foreign key (style_id) references styles on delete cascade not valid`, "NOT VALID"},
		{"unlogged", `alter table skus set unlogged`, "skus: u"},
		{"another type", `alter table skus alter quantity type bigint`, "quantity bigint"},
		{"no statistics", `delete from pg_statistic where starelid = 'features'::regclass`, "statistics of features"},
		{"a table less", `drop table related`, "without related"},
	}
	for i, style := range []copyStyle{plainCopy, frozenCopy, besideCopy} {
		t.Run(style.String(), func(t *testing.T) {
			for _, c := range cases {
				if i > 0 && c.fault != `select` {
					continue // the style makes no difference to the faults
				}
				t.Run(c.name, func(t *testing.T) { catches(ctx, t, db, psql, copySteps(style, defs, dir), c.fault, c.want) })
			}
		})
	}
}

func catches(ctx context.Context, t *testing.T, db *database, psql string, steps [][]string, fault, want string) {
	if err := db.exec(ctx, `drop schema if exists `+copySchema+` cascade`); err != nil {
		t.Fatal(err)
	}
	if _, err := runSteps(ctx, psql, db.server.URL(), steps); err != nil {
		t.Fatal(err)
	}
	if err := db.exec(ctx, `set search_path = `+copySchema+`; `+fault+`; reset search_path`); err != nil {
		t.Fatal(err)
	}
	err := db.sameAs(ctx, "catalog", copySchema)
	switch {
	case want == "" && err != nil:
		t.Errorf("the same tables are told apart: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want an error with %q", err, want)
	}
}

// catalogue writes six small files, in a directory with a name that has to be
// quoted.
func catalogue(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "it's here")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"product.csv":  "id,name,slogan,description,category,default_price\n1,\"a\",\"b\",\"c\",\"d\",140\n2,\"a\",\"b\",\"c\",\"d\",7.50",
		"features.csv": "id,product_id,feature,value\n1,1,\"Fabric\",\"Canvas\"\n2,1,\"Buttons\",null",
		"styles.csv":   "id,productId,name,sale_price,original_price,default_style\n1,1,\"Red\",null,140,1\n2,2,\"Blue\",100,140,0",
		"related.csv":  "id,current_product_id,related_product_id\n1,1,2",
		"photos.csv":   "id,styleId,url,thumbnail_url\n1,1,\"https://a\",\"https://b\"",
		"skus.csv":     "id,styleId,size,quantity\n1,2,\"7.5\",8",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
