package etl

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestRejectedParents: what became of a parent decides what its children are
// called.
func TestRejectedParents(t *testing.T) {
	product := func(id string, rest string) string { return id + `,"a","b","c","d"` + rest + "\n" }
	long := `7,"` + strings.Repeat("x", maxLine) + `","b","c","d",1` + "\n"
	for _, c := range []struct {
		name     string
		products string // of product 7
		reason   string // of a feature, a style and a related row of product 7; "" where they are loaded
		target   string // of a related row that points at product 7
		photo    string // of a photo of that style
	}{
		{"accepted", product("7", ",1"), "", "", ""},
		{"bad price", product("7", ",x"), "orphan_of_rejected", "dangling_related", "orphan_of_rejected"},
		{"missing field", product("7", ""), "orphan_of_rejected", "dangling_related", "orphan_of_rejected"},
		{"extra field", product("7", ",1,1"), "orphan_of_rejected", "dangling_related", "orphan_of_rejected"},
		{"NUL", product("7", ",\x00"), "orphan_of_rejected", "dangling_related", "orphan_of_rejected"},
		{"invalid UTF-8", product("7", ",\xff"), "orphan_of_rejected", "dangling_related", "orphan_of_rejected"},
		{"id in quotes, and bad", product(` "7"`, ",x"), "orphan_of_rejected", "dangling_related", "orphan_of_rejected"},
		{"too long", long, "orphan", "dangling_related", "orphan_of_rejected"},
		{"too long behind a bad id", product("x", ",1") + long, "orphan", "dangling_related", "orphan_of_rejected"},
		{"bad id", product("x7", ",1"), "orphan", "dangling_related", "orphan_of_rejected"},
		{"not there", "", "orphan", "dangling_related", "orphan_of_rejected"},
		{"rejected, then accepted", product("7", ",x") + product("7", ",1"), "", "", ""},
		{"accepted, then rejected", product("7", ",1") + product("7", ",x"), "", "", ""},
		{"accepted, then a duplicate", product("7", ",1") + product("7", ",1"), "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writeFiles(t, map[string]string{
				"product.csv":  product("1", ",1") + c.products,
				"features.csv": "1,7,\"a\",\"b\"\n",
				"styles.csv":   "1,7,\"a\",null,1,1\n",
				"related.csv":  "1,7,1\n2,1,7\n",
				"photos.csv":   "1,1," + https + "\n",
				"skus.csv":     "1,1,\"S\",1\n",
			})
			got := loadInto(t, dir, nil)
			if got.err != nil {
				t.Fatal(got.err)
			}
			want := map[string][]string{"features.csv": {c.reason}, "styles.csv": {c.reason}, "related.csv": {c.reason, c.target},
				"photos.csv": {c.photo}, "skus.csv": {c.photo}}
			for file, reasons := range want {
				expected := map[string]int64{}
				for _, reason := range reasons {
					if reason != "" {
						expected[reason]++
					}
				}
				if diff := cmp.Diff(expected, got.report.Files[file].Rejects); diff != "" {
					t.Errorf("%s (-want +got):\n%s", file, diff)
				}
			}
		})
	}
}

// TestCascade holds loads of random small catalogues against a model that
// knows each line's defect, and works out duplicates and orphans the long way.
func TestCascade(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		files := map[string]string{}
		// What the model says of each line of a file: its id and its reason.
		live, failed := map[string]map[int]bool{}, map[string]map[int]bool{}
		want := map[string][]string{}
		for _, table := range catalogue() {
			live[table.name], failed[table.name] = map[int]bool{}, map[int]bool{}
			parent := map[string]string{"features": "products", "styles": "products", "related": "products", "photos": "styles", "skus": "styles"}[table.name]
			id := rapid.IntRange(1, 8)
			files[table.file] = "\n" // an empty line behind the header
			for range rapid.IntRange(0, 12).Draw(rt, table.name) {
				own, other, target := id.Draw(rt, "id"), id.Draw(rt, "parent"), rapid.IntRange(0, 8).Draw(rt, "target")
				bad := rapid.SampledFrom([]string{"", "", "", "invalid_utf8", "extra_field", "bad_id"}).Draw(rt, "defect")
				line := map[string]string{
					"products": fmt.Sprintf(`%d,"a","b","c","d",1`, own),
					"features": fmt.Sprintf(`%d,%d,"a","b"`, own, other),
					"styles":   fmt.Sprintf(`%d,%d,"a",null,1,1`, own, other),
					"related":  fmt.Sprintf(`%d,%d,%d`, own, other, target),
					"photos":   fmt.Sprintf(`%d,%d,"https://a","https://b"`, own, other),
					"skus":     fmt.Sprintf(`%d,%d,"S",1`, own, other),
				}[table.name]
				reason := bad
				readable := true
				switch bad {
				case "invalid_utf8":
					line += "\xff"
				case "extra_field":
					line += ",,"
				case "bad_id":
					line, readable = "x"+line, false
				default:
					switch {
					case table.name == "related" && target == 0:
						reason = "dangling_related"
					case live[table.name][own]:
						reason = "duplicate_id"
					case parent != "" && !live[parent][other] && failed[parent][other]:
						reason = "orphan_of_rejected"
					case parent != "" && !live[parent][other]:
						reason = "orphan"
					case table.name == "related" && !live["products"][target]:
						reason = "dangling_related"
					}
				}
				files[table.file] += line + "\n"
				if reason == "" {
					live[table.name][own] = true
					continue
				}
				if readable && reason != "duplicate_id" {
					failed[table.name][own] = true
				}
				want[table.file] = append(want[table.file], reason+" "+line)
			}
		}
		got := loadInto(t, writeFiles(t, files), nil)
		if got.err != nil {
			rt.Fatal(got.err)
		}
		rejects := map[string][]string{}
		for _, r := range got.rejects {
			rejects[r[0]] = append(rejects[r[0]], r[2]+" "+r[3])
		}
		if diff := cmp.Diff(want, rejects); diff != "" {
			rt.Fatalf("rejects (-want +got):\n%s", diff)
		}
		for _, table := range catalogue() {
			if rows := got.rows[table.name]; len(rows) != len(live[table.name]) {
				rt.Fatalf("%s has %d rows, want %d: %s", table.name, len(rows), len(live[table.name]), slices.Sorted(slices.Values(rows)))
			}
		}
	})
}
