package sample

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func generate(t testing.TB, o Options) (map[string][]byte, *Summary) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	summary, err := Write(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(o.Dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) != numFiles {
		t.Fatalf("%d files, want %d: %v", len(files), numFiles, entries)
	}
	for name, b := range files {
		if got := summary.Files[name].Bytes; got != int64(len(b)) {
			t.Errorf("%s: %d bytes in the summary, %d in the file", name, got, len(b))
		}
	}
	return files, summary
}

func hashOf(files map[string][]byte) string {
	h := sha256.New()
	for f := range numFiles {
		h.Write(files[fileName(f)])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// The bytes of a seed are part of what the package promises: a new hash here is
// a change that users notice.
func TestSameBytes(t *testing.T) {
	for _, c := range []struct {
		edition Edition
		want    string
	}{
		{Clean, "fde61f389fa96fd8"},
		{Messy, "b868ad536a639113"},
	} {
		t.Run(c.edition.String(), func(t *testing.T) {
			o := Options{Products: 1000, Seed: 7, Edition: c.edition}
			files, summary := generate(t, o)
			if got := hashOf(files); got != c.want {
				t.Errorf("hash %s, want %s", got, c.want)
			}
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			again, summaryAgain := generate(t, o)
			if hashOf(again) != hashOf(files) {
				t.Error("one processor gives other bytes")
			}
			a, err := json.Marshal(summary)
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := json.Marshal(summaryAgain); !bytes.Equal(a, b) {
				t.Errorf("one processor gives another summary:\n%s\n%s", a, b)
			}
			o.Seed++
			if other, _ := generate(t, o); hashOf(other) == hashOf(files) {
				t.Error("another seed gives the same bytes")
			}
		})
	}
}

// parse reads a clean file with the standard library's reader and checks its
// header, its quoting and that the ids are dense.
func parse(t *testing.T, files map[string][]byte, file int) [][]string {
	t.Helper()
	name, b := fileName(file), files[fileName(file)]
	if bytes.HasSuffix(b, []byte("\n")) || bytes.ContainsAny(b, "\r\\\x00") || !utf8.Valid(b) {
		t.Errorf("%s: an end of line at the end, or a byte that clean files don't have", name)
	}
	r := csv.NewReader(bytes.NewReader(b))
	records, err := r.ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if got := strings.Join(records[0], ","); got != header(file) {
		t.Errorf("%s: header %s", name, got)
	}
	records = records[1:]
	ids := make([]int, len(records))
	inOrder := true
	for i, rec := range records {
		ids[i] = number(t, rec[0])
		inOrder = inOrder && (i == 0 || ids[i] > ids[i-1])
		for _, field := range rec {
			if field != strings.TrimSpace(field) {
				t.Fatalf("%s: blanks around %q", name, field)
			}
		}
	}
	if inOrder {
		t.Errorf("%s: ids are in order", name)
	}
	slices.Sort(ids)
	for i, id := range ids {
		if id != i+1 {
			t.Fatalf("%s: ids are not dense: %d at %d", name, id, i)
		}
	}
	return records
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || strconv.Itoa(n) != s {
		t.Fatalf("not a plain number: %q", s)
	}
	return n
}

func cents(t *testing.T, s string) int {
	t.Helper()
	whole, part, dot := strings.Cut(s, ".")
	if dot && len(part) != 2 {
		t.Fatalf("not a price: %q", s)
	}
	n := number(t, whole) * 100
	if dot {
		d, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			t.Fatalf("not a price: %q", s)
		}
		n += int(d)
	}
	return n
}

func TestCleanCatalogue(t *testing.T) {
	const n = 20_000
	files, summary := generate(t, Options{Products: n, Seed: 3})
	var rows [numFiles][][]string
	for f := range numFiles {
		rows[f] = parse(t, files, f)
		if p := summary.Files[fileName(f)]; p.Rows != int64(len(rows[f])) || p.Repairs != nil || p.Rejects != nil || p.Warnings != nil {
			t.Errorf("%s: %d rows, summary %+v", fileName(f), len(rows[f]), p)
		}
	}

	// What is true to life has to occur, each at least once.
	seen := map[string]int{}
	price := make([]int, n+1)
	longest := 0
	for _, r := range rows[products] {
		price[number(t, r[0])] = cents(t, r[5])
		longest = max(longest, utf8.RuneCountInString(r[3]))
		for i, what := range []string{"", "name", "slogan", "description", "category"} {
			if r[i] == "" {
				t.Fatalf("empty %s: %q", what, r)
			}
			for mark, chars := range map[string]string{" quote": `"`, " comma": ",", " unicode": "éüß東Ł™"} {
				if i > 0 && strings.ContainsAny(r[i], chars) {
					seen[what+mark]++
				}
			}
		}
		if cents(t, r[5])%100 != 0 {
			seen["cents"]++
		}
	}
	if longest > maxDescription || longest < maxDescription-10 {
		t.Errorf("the longest description has %d characters", longest)
	}

	perProduct := map[string]int{}
	flagged := map[string]int{}
	styleCount := len(rows[styles])
	ownSale := 0
	for _, r := range rows[styles] {
		p := number(t, r[1])
		if p < 1 || p > n || r[2] == "" {
			t.Fatalf("style %q", r)
		}
		perProduct[r[1]]++
		if r[5] == "1" {
			flagged[r[1]]++
		} else if r[5] != "0" {
			t.Fatalf("style %q", r)
		}
		original := cents(t, r[4])
		if original != price[p] {
			seen["own price"]++
		}
		if original < 200 {
			t.Fatalf("style %q: an original price that could be a flag", r)
		}
		if r[3] != "null" {
			ownSale++
			if sale := cents(t, r[3]); sale == 0 || sale >= original {
				t.Fatalf("style %q", r)
			}
		}
	}
	for p, styles := range perProduct {
		switch {
		case flagged[p] > 1:
			t.Fatalf("product %s has %d default styles", p, flagged[p])
		case flagged[p] == 0:
			seen["no default style"]++
		}
		if styles >= 20 {
			seen["many styles"]++
		}
	}
	if ownSale == 0 {
		t.Error("no sale prices")
	}

	children := func(file, parents int) map[string]int {
		count := map[string]int{}
		for _, r := range rows[file] {
			if p := number(t, r[1]); p < 1 || p > parents {
				t.Fatalf("%s: orphan %q", fileName(file), r)
			}
			count[r[1]]++
		}
		return count
	}
	withPhotos, withSKUs := children(photos, styleCount), children(skus, styleCount)
	pairs := map[string]bool{}
	for _, r := range rows[related] {
		if target := number(t, r[2]); target < 1 || target > n {
			t.Fatalf("dangling %q", r)
		}
		pair := r[1] + "," + r[2]
		if pairs[pair] {
			seen["duplicate pair"]++
		}
		pairs[pair] = true
		if r[1] == r[2] {
			seen["self-reference"]++
		}
	}
	children(related, n)
	given := map[string]bool{}
	for _, r := range rows[features] {
		switch r[3] {
		case "":
			t.Fatalf("feature %q", r)
		case "null":
			seen["no value"]++
		}
		if given[r[1]+r[2]] {
			seen["duplicate feature"]++
		}
		given[r[1]+r[2]] = true
	}
	children(features, n)
	urls := map[string]bool{}
	for _, r := range rows[photos] {
		for _, url := range r[2:] {
			if !strings.HasPrefix(url, "https://images.example.com/photo-") || len(url) > 140 {
				t.Fatalf("URL %q", url)
			}
		}
		urls[r[2]] = true
	}
	if len(urls) != len(rows[photos]) {
		t.Errorf("%d distinct URLs for %d photos", len(urls), len(rows[photos]))
	}
	sizes := map[string]bool{}
	for _, r := range rows[skus] {
		if number(t, r[3]) > math.MaxInt32 || r[2] == "" {
			t.Fatalf("SKU %q", r)
		}
		if sizes[r[1]+" "+r[2]] {
			seen["two SKUs of one size"]++
		}
		sizes[r[1]+" "+r[2]] = true
		seen["size "+r[2]]++
	}
	for _, what := range []string{"name quote", "name unicode", "slogan quote", "slogan comma", "description quote", "description comma",
		"description unicode", "cents", "own price", "no default style", "many styles", "duplicate pair", "self-reference", "no value",
		"duplicate feature", "two SKUs of one size", "size XS", "size XXL", "size 7.5", "size 10", "size One Size", "size W32,L34"} {
		if seen[what] == 0 {
			t.Errorf("none with %s", what)
		}
	}

	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"features a product", float64(len(rows[features])) / n, 2.219},
		{"styles a product", float64(styleCount) / n, 1.958},
		{"related a product", float64(len(rows[related])) / n, 4.508},
		{"products without styles", 1 - float64(len(perProduct))/n, 0.2},
		{"photos a style", float64(len(rows[photos])) / float64(styleCount), 2.888},
		{"SKUs a style", float64(len(rows[skus])) / float64(styleCount), 5.783},
		{"bytes a photo line", float64(len(files["photos.csv"])) / float64(len(rows[photos])), 255},
	} {
		if math.Abs(c.got/c.want-1) > 0.04 {
			t.Errorf("%s: %.3f, want about %.3f", c.what, c.got, c.want)
		}
	}
	if len(withPhotos) == styleCount || len(withSKUs) == styleCount {
		t.Error("every style has photos, or SKUs")
	}
}

func TestSmallest(t *testing.T) {
	for _, edition := range []Edition{Clean, Messy} {
		for seed := range uint64(8) {
			for _, n := range []int64{1, 2, 3, 257} {
				if n == 257 && seed > 1 {
					continue
				}
				files, _ := generate(t, Options{Products: n, Seed: seed, Edition: edition})
				if edition == Clean && !bytes.HasPrefix(files["skus.csv"], []byte(header(skus)+"\n")) {
					t.Errorf("skus.csv begins with %q", files["skus.csv"])
				}
			}
		}
	}
}

func TestEditionNames(t *testing.T) {
	for _, e := range []Edition{Clean, Messy} {
		if got, err := ParseEdition(e.String()); err != nil || got != e {
			t.Errorf("%v: %v, %v", e, got, err)
		}
	}
	var e Edition
	if err := e.UnmarshalText([]byte("dirty")); err == nil || !strings.Contains(err.Error(), "dirty") {
		t.Errorf("error %v", err)
	}
}

func BenchmarkMake(b *testing.B) {
	m := maker{seed: 1, count: 10 * chunkProducts, words: newVocabulary(), spreads: newSpreads()}
	m.layout, _ = newLayout(m.seed, m.count, m.spreads, func() error { return nil })
	c := new(chunk)
	n := 0
	for b.Loop() {
		m.make(c, n%10)
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*chunkProducts), "ns/product")
}
