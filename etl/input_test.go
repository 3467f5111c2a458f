package etl

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHeaders(t *testing.T) {
	for _, c := range []struct {
		name    string
		file    string
		header  string
		line    string
		row     string
		repairs string
	}{
		{"exact", "styles.csv", "id,productId,name,sale_price,original_price,default_style", `7,1,"Red",1,2,1`, "7|1|Red|100c|200c|true", ""},
		{"in quotes", "photos.csv", `"id","styleId","url","thumbnail_url"`, `7,1,` + https, "7|1|https://a/b?c=1|https://a/b?c=2", ""},
		{"blanks", "styles.csv", " id, productId, name ,sale_price,original_price,default_style", `7,1,"Red",1,2,1`, "7|1|Red|100c|200c|true", "header"},
		{"blanks before quotes", "skus.csv", `"id", "styleId","size","quantity"`, `7,1,"S",2`, "7|1|S|2", "header"},
		{"case", "skus.csv", "ID,STYLEID,Size,Quantity", `7,1,"S",2`, "7|1|S|2", "header"},
		{"product_id for productId", "styles.csv", "id,product_id,name,sale_price,original_price,default_style", `7,1,"Red",1,2,1`, "7|1|Red|100c|200c|true", "header"},
		{"style_id for styleId", "skus.csv", "id,style_id,size,quantity", `7,1,"S",2`, "7|1|S|2", "header"},
		{"productId for product_id", "features.csv", "id,productId,feature,value", `7,1,"a","b"`, "7|1|a|b", "header"},
		{"product_id for current_product_id", "related.csv", "id,product_id,related_id", `7,1,2`, "7|1|2", "header"},
		{"product_id for id", "product.csv", "product_id,name,slogan,description,category,default price", `7,"a","b","c","d",2`, "7|a|b|c|d|200c", "header"},
		{"other order", "skus.csv", "size,quantity,styleId,id", `"S",2,1,7`, "7|1|S|2", "header"},
		{"CRLF is no line's", "skus.csv", "id,styleId,size,quantity\r", `7,1,"S",2`, "7|1|S|2", ""},
		{"byte-order mark", "skus.csv", "\ufeffid,styleId,size,quantity", `7,1,"S",2`, "7|1|S|2", "bom"},
		{"byte-order mark before quotes", "skus.csv", "\ufeff\"id\",styleId,size,quantity", `7,1,"S",2`, "7|1|S|2", "bom"},
		{"all of it", "skus.csv", "\ufeff\r\n\n ID,style_id,size,quantity\r", `7,1,"S",2`, "7|1|S|2", "bom empty_line header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := parents()
			files[c.file] = c.header + "\n" + c.line
			dir := writeFiles(t, files)
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(files[c.file]), 0o644); err != nil {
				t.Fatal(err)
			}
			got := loadInto(t, dir, nil)
			if got.err != nil {
				t.Fatal(got.err)
			}
			if rows := got.rows[tableOf(c.file).name]; !slices.Equal(rows, []string{c.row}) {
				t.Errorf("rows %q, want %q", rows, c.row)
			}
			kinds := slices.Sorted(maps.Keys(got.report.Files[c.file].Repairs))
			if strings.Join(kinds, " ") != c.repairs {
				t.Errorf("repairs %v, want %s", kinds, c.repairs)
			}
		})
	}
}

func TestOtherColumnOrder(t *testing.T) {
	files := parents()
	files["styles.csv"] = "1,1,\"Black\",null,10,1\n"
	dir := writeFiles(t, files)
	text := "name,id,default_style,productId,sale_price,original_price\n" +
		"\"Red\",7,1,1,null,5\n" + // good
		"\"Red\",x,1,1,null,5\n" + // bad id
		"Olive, dark,8,1,1,null,5\n" + // surplus: can't be told in a foreign order
		"\"Red\",9,2,1,null,5\n" + // rejected with its id
		"\"Red\",10,1,1,5\n"
	if err := os.WriteFile(filepath.Join(dir, "styles.csv"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "skus.csv"), []byte("quantity,styleId,size,id\n1,9,\"S\",1\n1,8,\"S\",2\n4,7,S,M,3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := loadInto(t, dir, nil)
	if got.err != nil {
		t.Fatal(got.err)
	}
	if diff := cmp.Diff([]string{"7|1|Red|<null>|500c|true"}, got.rows["styles"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int64{"bad_id": 1, "extra_field": 1, "bad_default_style": 1, "missing_field": 1}, got.report.Files["styles.csv"].Rejects); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int64{"orphan_of_rejected": 1, "orphan": 1, "extra_field": 1}, got.report.Files["skus.csv"].Rejects); diff != "" {
		t.Error(diff)
	}
}

func TestCheck(t *testing.T) {
	dir := func(change func(dir string)) string {
		d := writeFiles(t, parents())
		change(d)
		return d
	}
	write := func(dir, name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(dir, name string) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		dir  string
		want []string // one per sentence
	}{
		{"good", dir(func(string) {}), nil},
		{"header alone", writeFiles(t, nil), nil},
		{"no directory", filepath.Join(t.TempDir(), "none"), []string{"none does not exist: expected a directory with product.csv, features.csv"}},
		{"a file", "etl.go", []string{"etl.go is not a directory: expected a directory with product.csv"}},
		{"empty directory", t.TempDir(), []string{"has none of the six files: expected a directory with product.csv"}},
		{"one missing", dir(func(d string) { remove(d, "photos.csv") }),
			[]string{"photos.csv is missing: expected it, or photos.csv.gz, with the header id,styleId,url,thumbnail_url"}},
		{"more faults", dir(func(d string) {
			remove(d, "photos.csv")
			write(d, "skus.csv", "")
			write(d, "related.csv", "a,b\n1,2\n")
			write(d, "styles.csv", "\ufeff\n \r\n")
		}), []string{
			"styles.csv: the file is empty: expected the header id,productId,name,sale_price,original_price,default_style",
			`related.csv: the header is not known: found "a,b", expected id,current_product_id,related_product_id`,
			"photos.csv is missing",
			"skus.csv: the file is empty: expected the header id,styleId,size,quantity",
		}},
		{"data for a header", dir(func(d string) { write(d, "skus.csv", "1,1,\"S\",1\n") }), []string{`skus.csv: the header is not known: found "1,1,\"S\",1", expected id,`}},
		{"a column missing", dir(func(d string) { write(d, "skus.csv", "id,styleId,size\n") }), []string{"the header is not known"}},
		{"a column too many", dir(func(d string) { write(d, "skus.csv", "id,styleId,size,quantity,x\n") }), []string{"the header is not known"}},
		{"a column twice", dir(func(d string) { write(d, "skus.csv", "id,styleId,size,size\n") }), []string{"the header is not known"}},
		{"another file's header", dir(func(d string) { write(d, "skus.csv", "id,styleId,url,thumbnail_url\n") }), []string{"the header is not known"}},
		{"a binary file", dir(func(d string) { write(d, "skus.csv", strings.Repeat("\x00", 3<<20)) }), []string{"the header is not known"}},
		{"a directory for a file", dir(func(d string) { remove(d, "skus.csv"); _ = os.Mkdir(filepath.Join(d, "skus.csv"), 0o755) }), []string{"skus.csv is not a regular file"}},
		{"plain and zipped", dir(func(d string) { write(d, "skus.csv.gz", "") }), []string{"skus.csv.gz are both there"}},
		{"no gzip", dir(func(d string) { remove(d, "skus.csv"); write(d, "skus.csv.gz", "id,styleId") }), []string{"skus.csv.gz: not a gzip file"}},
		{"empty gzip file", dir(func(d string) { remove(d, "skus.csv"); write(d, "skus.csv.gz", "") }), []string{"skus.csv.gz: the file is empty"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Check(c.dir)
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if len(got) != len(c.want) {
				t.Fatalf("got %q, want %d sentences", got, len(c.want))
			}
			for i := range got {
				if !strings.Contains(got[i], c.want[i]) {
					t.Errorf("got  %s\nwant %s", got[i], c.want[i])
				}
			}
			if c.want == nil {
				return
			}
			rejects := filepath.Join(t.TempDir(), "rejects.csv")
			res := loadInto(t, c.dir, func(_ *memory, o *Options) { o.Rejects = rejects })
			if res.err == nil || res.report != nil || len(res.opened) > 0 {
				t.Errorf("a load began: %v, opened %v", res.err, res.opened)
			}
			if _, err := os.Stat(rejects); err == nil {
				t.Error("a reject file was made")
			}
		})
	}
}

func TestGzip(t *testing.T) {
	dir := writeFiles(t, nil)
	for name := range headers() {
		text, err := os.ReadFile(filepath.Join("testdata/sample", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := loadInto(t, dir, nil)
	for name := range headers() {
		if name != "related.csv" { // both kinds in one directory
			zip(t, filepath.Join(dir, name))
		}
	}
	got := loadInto(t, dir, nil)
	if want.err != nil || got.err != nil {
		t.Fatal(want.err, got.err)
	}
	if diff := cmp.Diff(want.rows, got.rows); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want.report, got.report); diff != "" {
		t.Error(diff)
	}

	path := filepath.Join(dir, "photos.csv.gz")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)-20], 0o644); err != nil {
		t.Fatal(err)
	}
	got = loadInto(t, dir, nil)
	if got.err == nil || !strings.Contains(got.err.Error(), "photos.csv line") || got.ended["photos"] != "aborted" {
		t.Errorf("a gzip file that was cut off: %v, photos %s", got.err, got.ended["photos"])
	}
}

func TestSizes(t *testing.T) {
	dir := writeFiles(t, map[string]string{"photos.csv": strings.Repeat("1,1,"+https+"\n", 300_000)})
	want, err := Sizes(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range want {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || size != info.Size() {
			t.Errorf("%s: %d bytes, is %v, %v", name, size, info, err)
		}
		zip(t, filepath.Join(dir, name))
	}
	got, err := Sizes(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range want {
		// Beyond 4 MiB it is an estimate.
		if off := math.Abs(float64(got[name]-size)) / float64(size); name == "photos.csv" && off > 0.2 || name != "photos.csv" && off > 0 {
			t.Errorf("%s, zipped: %d bytes, is %d", name, got[name], size)
		}
	}
	if err := os.Remove(filepath.Join(dir, "skus.csv.gz")); err != nil {
		t.Fatal(err)
	}
	if _, err := Sizes(dir); err == nil || !strings.Contains(err.Error(), "skus.csv is missing") {
		t.Errorf("a file is missing: %v", err)
	}
}
