package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var small = map[string]string{
	"product.csv":  "id,name,slogan,description,category,default_price\n1,\"A\",\"s\",\"d\",\"c\",140\n2,\"B\",\"s\",\"d\",\"c\",69.50",
	"features.csv": "id,product_id,feature,value\n1,1,\"Fabric\",\"Canvas\"\n2,2,\"UV Protection\",null",
	"styles.csv":   "id,productId,name,sale_price,original_price,default_style\n1,1,\"Green\",null,140,1\n2,2,\"Black\",60,69.50,0",
	"related.csv":  "id,current_product_id,related_product_id\n1,1,2\n2,1,99\n3,2,0\n4,2,2",
	"photos.csv":   "id,styleId,url,thumbnail_url\n1,1,\"https://images.example.com/1\",\"https://images.example.com/1t\"",
	"skus.csv":     "id,styleId,size,quantity\n1,1,\"XS\",8\n2,1,\"S\",16\n3,1,\"M\",17\n4,1,\"L\",10\n5,1,\"XL\",15\n6,1,\"XL\",4",
}

// writeSmall writes a catalogue of two products, with some files replaced; ""
// leaves a file out.
func writeSmall(t *testing.T, dir string, replaced map[string]string) string {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range small {
		if other, found := replaced[name]; found {
			if text = other; text == "" {
				continue
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestSmallCatalogue is the contract's own examples, in both contracts.
func TestSmallCatalogue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := "--database-url=" + pg.Database(t)
	out := must(t, dir, "load", url, writeSmall(t, filepath.Join(dir, "csv"), nil))
	if !strings.Contains(out, "dangling_related") {
		t.Errorf("the rejected rows are not reported:\n%s", out)
	}
	rejects, err := os.ReadFile(filepath.Join(dir, "rejects.csv"))
	if want := "file,line,reason,text\nrelated.csv,3,dangling_related,\"2,1,99\"\nrelated.csv,4,dangling_related,\"3,2,0\"\n"; err != nil || string(rejects) != want {
		t.Errorf("reject file, %v:\n%s\nwant\n%s", err, rejects, want)
	}
	must(t, dir, "warm", url)
	s := serve(t, dir, url)
	body := func(path string) string {
		status, _, body := s.get(t, path)
		if status != 200 {
			t.Fatalf("GET %s: %d %s", path, status, body)
		}
		return string(body)
	}
	for path, part := range map[string]string{
		"/products/1/styles":  `"skus":{"XS":8,"S":16,"M":17,"L":10,"XL":19}`,
		"/products/2/styles":  `"skus":{"null":null},"photos":[{"url":null,"thumbnail_url":null}],"default?":1,"style_id":2,"sale_price":"60","original_price":"69.50"`,
		"/products/1/related": `[2]`,
		"/products/2":         `{"value":"null","feature":"UV Protection"}`,
	} {
		if got := body(path); !strings.Contains(got, part) {
			t.Errorf("GET %s: no %s in %s", path, part, got)
		}
	}
	must(t, dir, "warm", url, "--contract", "atelier")
	until(t, "atelier is live", func() bool { return strings.Contains(body("/products/1"), `"140.00"`) })
	for path, part := range map[string]string{
		"/products/1/styles": `"5":{"size":"XL","quantity":15},"6":{"size":"XL","quantity":4}}`,
		"/products/2/styles": `"skus":{"null":{"size":null,"quantity":null}}`,
		"/products/2":        `{"value":null,"feature":"UV Protection"}`,
	} {
		if got := body(path); !strings.Contains(got, part) {
			t.Errorf("GET %s: no %s in %s", path, part, got)
		}
	}
	// The contract stays with the catalogue.
	if out := must(t, dir, "warm", url); !strings.Contains(out, "(atelier): 2 products built, 2 unchanged") {
		t.Errorf("warm again: %s", out)
	}
}

// TestMistakes: each ends in one clear sentence with the right exit code, and
// changes nothing.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	url := "--database-url=" + pg.Database(t)
	good := writeSmall(t, filepath.Join(dir, "good"), nil)
	must(t, dir, "load", url, good, "--quiet")
	must(t, dir, "warm", url, "--quiet")
	must(t, dir, "load", url, good, "--quiet") // waits for a warm

	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeSmall(t, filepath.Join(dir, "missing"), map[string]string{"photos.csv": ""})
	writeSmall(t, filepath.Join(dir, "foreign"), map[string]string{"skus.csv": "sku;style;grösse\n1;1;XS\n"})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	nobody := "postgres://shop:hunter2@127.0.0.1:1/shop"

	const failed, usage = 1, 2
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"an empty directory":              {[]string{"load", url, "empty"}, failed, []string{"product.csv", "skus.csv"}},
		"a missing file":                  {[]string{"load", url, "missing"}, failed, []string{"photos.csv"}},
		"a foreign header":                {[]string{"load", url, "foreign"}, failed, []string{"skus.csv", "sku;style", "id,styleId,size,quantity"}},
		"a directory that isn't there":    {[]string{"load", url, "nowhere"}, failed, []string{"nowhere"}},
		"a file for a directory":          {[]string{"load", url, filepath.Join("good", "skus.csv")}, failed, []string{"skus.csv"}},
		"no directory":                    {[]string{"load", url}, usage, []string{"<dir>"}},
		"two directories":                 {[]string{"load", url, "good", "good"}, usage, []string{"unexpected argument good"}},
		"too many rejects":                {[]string{"load", url, "good", "--max-rejects", "1", "--quiet"}, failed, []string{"reject"}},
		"a bad limit":                     {[]string{"load", url, "good", "--max-rejects", "many"}, usage, []string{"many"}},
		"an unknown flag":                 {[]string{"warm", url, "--fast"}, usage, []string{"unknown flag --fast"}},
		"an unknown contract":             {[]string{"warm", url, "--contract", "nova"}, usage, []string{"contract"}},
		"a surplus argument":              {[]string{"warm", url, "now"}, usage, []string{"unexpected argument now"}},
		"a database that is down":         {[]string{"warm", "--database-url=" + nobody}, failed, []string{"127.0.0.1"}},
		"a server without its database":   {[]string{"server", "--addr=127.0.0.1:0", "--database-url=" + nobody}, failed, []string{"127.0.0.1"}},
		"a URL that is none":              {[]string{"server", "--addr=127.0.0.1:0", "--database-url=postgres://shop:hunter2@a:b:c/"}, failed, []string{"database URL"}},
		"a port in use":                   {[]string{"server", url, "--addr=" + taken.Addr().String()}, failed, []string{taken.Addr().String(), "address already in use"}},
		"an admin port in use":            {[]string{"server", url, "--addr=127.0.0.1:0", "--admin-addr=" + taken.Addr().String()}, failed, []string{taken.Addr().String(), "--admin-addr", "address already in use"}},
		"an admin address that is none":   {[]string{"server", url, "--admin-addr=here"}, usage, []string{"--admin-addr", "here", "HOST:PORT"}},
		"a certificate without its key":   {[]string{"server", url, "--tls-cert=cert.pem"}, usage, []string{"--tls-cert", "--tls-key"}},
		"a certificate that isn't there":  {[]string{"server", url, "--addr=127.0.0.1:0", "--tls-cert=cert.pem", "--tls-key=key.pem"}, failed, []string{"--tls-cert", "cert.pem"}},
		"a rate that is none":             {[]string{"server", url, "--access-log=2"}, usage, []string{"--access-log", "0 to 1"}},
		"a level that is none":            {[]string{"server", url, "--log-level=loud"}, usage, []string{"--log-level", "loud"}},
		"a check of no server":            {[]string{"server", "--check", "--admin-addr=127.0.0.1:1"}, failed, []string{"127.0.0.1:1", "connection refused"}},
		"an address that is none":         {[]string{"server", url, "--addr=here"}, usage, []string{"--addr", "here", "HOST:PORT"}},
		"too little memory":               {[]string{"server", url, "--memory=1MiB"}, usage, []string{"64MiB"}},
		"memory that is no size":          {[]string{"server", url, "--memory=lots"}, usage, []string{"lots"}},
		"no products":                     {[]string{"sample", "new", "--products", "0"}, usage, []string{"expected 1 to 100000000"}},
		"an unknown edition":              {[]string{"sample", "new", "--edition", "dirty"}, usage, []string{"dirty"}},
		"a sample over files":             {[]string{"sample", "good"}, failed, []string{"good"}},
		"a data directory that is a file": {[]string{"warm", "--data-dir", filepath.Join("good", "skus.csv")}, failed, []string{"skus.csv"}},
		"nothing to warm":                 {[]string{"warm", "--quiet", "--database-url=" + pg.Database(t)}, failed, []string{"run load first"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := program(t, dir, c.args[0], c.args[1:]...)
			if r.code != c.code {
				t.Errorf("exit code %d, want %d", r.code, c.code)
			}
			for _, part := range c.want {
				if !strings.Contains(r.stderr, part) {
					t.Errorf("no %q in what it says", part)
				}
			}
			for _, part := range []string{"hunter2", "goroutine ", "panic", "pgconn"} {
				if strings.Contains(r.stdout+r.stderr, part) {
					t.Errorf("it says %q", part)
				}
			}
			if t.Failed() || testing.Verbose() {
				t.Logf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a failed sample left its directory")
	}
	s := serve(t, dir, url)
	if status, _, body := s.get(t, "/products/1"); status != 200 {
		t.Errorf("what was live: %d %s", status, body)
	}
}

// TestHelpIsComplete: every flag and its variable.
func TestHelpIsComplete(t *testing.T) {
	dir := t.TempDir()
	for name, flags := range map[string][]string{
		"server": {"database-url", "data-dir", "addr", "admin-addr", "memory", "cors-origin", "tls-cert", "tls-key", "log-format", "log-level", "access-log", "storefront", "check"},
		"load":   {"database-url", "data-dir", "rejects", "report", "max-rejects", "quiet"},
		"warm":   {"database-url", "data-dir", "contract", "quiet"},
		"sample": {"products", "seed", "edition"},
	} {
		help := must(t, dir, name, "--help")
		if out := must(t, dir, name, "--version"); !strings.HasPrefix(out, name+" ") || !strings.Contains(out, runtime.Version()) || !strings.Contains(help, "--version") {
			t.Errorf("%s --version says %q", name, out)
		}
		for _, flag := range flags {
			env := "HOTSHELF_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
			if flag == "database-url" {
				env = "DATABASE_URL"
			}
			if !strings.Contains(help, "--"+flag) || !strings.Contains(help, fmt.Sprintf("$%s", env)) {
				t.Errorf("%s --help is silent on --%s or $%s:\n%s", name, flag, env, help)
			}
		}
	}
	// A flag wins over its variable, and a variable over the default.
	t.Setenv("HOTSHELF_PRODUCTS", "3")
	if out := must(t, dir, "sample", "by-env"); !strings.Contains(out, `"products": 3`) {
		t.Errorf("by environment: %s", out)
	}
	if out := must(t, dir, "sample", "by-flag", "--products", "4"); !strings.Contains(out, `"products": 4`) {
		t.Errorf("by flag: %s", out)
	}
}
