package hotshelf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/hotshelf/hotshelf"

// A listed package is what `go list -json` says of it.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// A library is kept below the folders named, in code and in tests.
type library struct {
	name     string
	prefixes []string
	folders  []string
}

// checkImports holds the import directions of ARCHITECTURE.md over a list of
// this module's packages and returns one sentence for each import that breaks
// them. Direct imports are enough: every package of the module has to have its
// place here, so no forbidden one can be reached through another.
func checkImports(packages []listed) []string {
	// What each folder's code may import of the module, besides itself. cmd is
	// absent: it wires, and so imports anything but another command.
	folders := map[string][]string{
		"":         {},
		"blob":     {},
		"cache":    {"blob"},
		"deploy":   {}, // tests only: what ships the programs
		"embedded": {},
		"etl":      {"blob"},
		"http":     {"blob"},
		"sample":   {"blob"},
		"store":    {"blob", ""}, // the root package is the schema, which store lays
		"warm":     {"blob"},
	}
	libraries := []library{
		{
			name:     "fasthttp",
			prefixes: []string{"github.com/valyala/fasthttp", "github.com/fasthttp/router"},
			folders:  []string{"http", "cmd/bench"},
		},
		{
			name:     "a database driver",
			prefixes: []string{"github.com/jackc/pgx", "github.com/lib/pq", "database/sql"},
			folders:  []string{"store", "embedded", "cmd/bench"},
		},
	}
	blobLibraries := []string{"github.com/goccy/go-json", "github.com/cespare/xxhash/v2"}

	var faults []string
	for _, p := range packages {
		path, _ := inModule(p.ImportPath)
		from := topFolder(path)
		allowed, known := folders[from]
		if !known && from != "cmd" {
			faults = append(faults, fmt.Sprintf("%s has no place in the import rules: give it one", p.ImportPath))
			continue
		}

		check := func(imported string, test bool) {
			fault := func(why string) {
				kind := ""
				if test {
					kind = "a test of "
				}
				faults = append(faults, fmt.Sprintf("%s%s imports %s: %s", kind, p.ImportPath, imported, why))
			}
			for _, l := range libraries {
				if slices.ContainsFunc(l.prefixes, func(prefix string) bool { return within(imported, prefix) }) &&
					!slices.ContainsFunc(l.folders, func(folder string) bool { return within(path, folder) }) {
					fault(l.name + " belongs in " + strings.Join(l.folders, ", "))
				}
			}
			if imported == "net/http" && from == "http" && !test {
				fault("the server is fasthttp's; only tests speak net/http")
			}
			target, ours := inModule(imported)
			to := topFolder(target)
			switch {
			case !ours:
				if from == "blob" && !test && !standard(imported) && !slices.Contains(blobLibraries, imported) {
					fault("blob knows the standard library and " + strings.Join(blobLibraries, ", "))
				}
			case within(target, "embedded/embedtest"):
				if !test {
					fault("embedtest is for tests")
				} else if from == "blob" {
					fault("blob needs no database")
				}
			case from == to || from == "cmd" && to != "cmd":
			case test && to == "embedded" && from != "blob":
				// The one allowance for tests: a real PostgreSQL.
			case !slices.Contains(allowed, to):
				fault(fmt.Sprintf("of this module it may know only %q", allowed))
			}
		}
		for _, imported := range p.Imports {
			check(imported, false)
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			check(imported, true)
		}
	}
	return faults
}

// within says whether path is folder or below it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// inModule returns path relative to the module and whether it belongs to it.
func inModule(path string) (string, bool) {
	if !within(path, module) {
		return "", false
	}
	return strings.TrimPrefix(path[len(module):], "/"), true
}

func topFolder(path string) string {
	folder, _, _ := strings.Cut(path, "/")
	return folder
}

// standard follows the go command's own rule: only a path of elsewhere has a
// dot in its first element.
func standard(path string) bool {
	return !strings.Contains(topFolder(path), ".")
}

func TestImportsPointDown(t *testing.T) {
	for _, goos := range []string{"linux", "darwin"} {
		t.Run(goos, func(t *testing.T) {
			packages := list(t, goos)
			for _, fault := range checkImports(packages) {
				t.Error(fault)
			}
			if len(packages) < 2 {
				t.Errorf("go list named %d packages: the whole module was meant", len(packages))
			}
		})
	}
}

func list(t *testing.T, goos string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "-tags=soak", "./...")
	cmd.Env = append(os.Environ(), "GOOS="+goos)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var packages []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages
		case err != nil:
			t.Fatalf("reading go list: %v", err)
		}
		packages = append(packages, p)
	}
}

// TestImportRulesCatch plants one fault for every rule.
func TestImportRulesCatch(t *testing.T) {
	code := func(folder string, imports ...string) listed {
		return listed{ImportPath: module + folder, Imports: imports}
	}
	test := func(folder string, imports ...string) listed {
		return listed{ImportPath: module + folder, TestImports: imports}
	}
	xtest := func(folder string, imports ...string) listed {
		return listed{ImportPath: module + folder, XTestImports: imports}
	}
	cases := []struct {
		name string
		pkg  listed
		want string // part of the one fault; none when empty
	}{
		{"http to cache", code("/http", module+"/cache"), "may know"},
		{"cache to store", code("/cache", module+"/store"), "may know"},
		{"warm to store", code("/warm", module+"/store"), "may know"},
		{"etl to store", code("/etl", module+"/store"), "may know"},
		{"store to etl", code("/store", module+"/etl"), "may know"},
		{"sample to etl", code("/sample", module+"/etl"), "may know"},
		{"below a folder", code("/http/storefront", module+"/cache"), "may know"},
		{"to a command", code("/http", module+"/cmd/internal/cli"), "may know"},
		{"a command to itself", code("/cmd/load", module+"/cmd/internal/cli"), ""},
		{"cache to the schema", code("/cache", module), "may know"},
		{"schema to blob", code("", module+"/blob"), "may know"},
		{"embedded to blob", code("/embedded", module+"/blob"), "may know"},
		{"embedded to store", test("/embedded", module+"/store"), "may know"},
		{"blob to warm", code("/blob", module+"/warm"), "may know"},
		{"code to embedded", code("/store", module+"/embedded"), "may know"},
		{"a package without a place", code("/util"), "has no place"},
		{"a name that only begins like cmd", code("/cmdline", module+"/blob"), "has no place"},

		{"blob to a third party", code("/blob", "golang.org/x/text/unicode/norm"), "blob knows"},
		{"blob to a relative of a library it knows", code("/blob", "github.com/goccy/go-yaml"), "blob knows"},
		{"blob's test to a third party", test("/blob", "pgregory.net/rapid"), ""},
		{"blob's own libraries", code("/blob", "slices", "encoding/json", "github.com/goccy/go-json", "github.com/cespare/xxhash/v2"), ""},

		{"fasthttp in cache", code("/cache", "github.com/valyala/fasthttp"), "fasthttp belongs"},
		{"fasthttp below", code("/store", "github.com/valyala/fasthttp/fasthttputil"), "fasthttp belongs"},
		{"the router in a command", code("/cmd/server", "github.com/fasthttp/router"), "fasthttp belongs"},
		{"fasthttp in a test", xtest("/cache", "github.com/valyala/fasthttp"), "fasthttp belongs"},
		{"fasthttp where it lives", code("/http/admin", "github.com/valyala/fasthttp"), ""},
		{"fasthttp in the bench", code("/cmd/bench", "github.com/valyala/fasthttp"), ""},

		{"pgx in warm", code("/warm", "github.com/jackc/pgx/v5"), "driver belongs"},
		{"pgx in a command", code("/cmd/load", "github.com/jackc/pgx/v5/pgxpool"), "driver belongs"},
		{"pgx in a test", test("/cache", "github.com/jackc/pgx/v5"), "driver belongs"},
		{"pq in etl", code("/etl", "github.com/lib/pq"), "driver belongs"},
		{"database/sql in http", code("/http", "database/sql"), "driver belongs"},
		{"pgx where it lives", code("/store", "github.com/jackc/pgx/v5/pgconn"), ""},

		{"net/http in http", code("/http", "net/http"), "only tests speak"},
		{"net/http below http", code("/http/admin", "net/http"), "only tests speak"},
		{"net/http in a test of http", xtest("/http", "net/http"), ""},

		{"a test across", test("/http", module+"/cache"), "a test of"},
		{"an external test across", xtest("/warm", module+"/store"), "a test of"},
		{"a test with a database", xtest("/store", module+"/embedded/embedtest", module+"/store", module+"/blob"), ""},
		{"blob's test with a database", test("/blob", module+"/embedded/embedtest"), "needs no database"},
		{"blob's test with the server", test("/blob", module+"/embedded"), "may know"},
		{"embedtest in code", code("/cmd/server", module+"/embedded/embedtest"), "for tests"},
		{"embedtest in its own folder's code", code("/embedded", module+"/embedded/embedtest"), "for tests"},

		{"cmd wires", code("/cmd/server", module, module+"/http", module+"/cache", module+"/store", module+"/embedded", "net/http"), ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			faults := checkImports([]listed{code("/blob", "strconv"), c.pkg})
			switch {
			case c.want == "" && len(faults) > 0:
				t.Errorf("an allowed import was called a fault: %q", faults)
			case c.want != "" && (len(faults) != 1 || !strings.Contains(faults[0], c.want)):
				t.Errorf("got %q, want one fault with %q", faults, c.want)
			}
		})
	}
}
