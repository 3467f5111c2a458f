package blob

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files anew")

// oddities are the rows of the contract's table of shapes and what is true to
// life in the source data, one product each.
var oddities = []struct {
	name    string
	product Product
}{
	{"ordinary", Product{
		ID: 1, Name: "Camo Onesie", Slogan: "Blend in to your crowd", Description: "So fatigues, \"so\" good.", Category: "Jackets",
		DefaultPrice: 140_00,
		Features:     []Feature{{"Fabric", "Canvas", true}, {"Buttons", "Brass", true}},
		Styles: []Style{
			{
				ID: 1, Name: "Forest Green & Black", OriginalPrice: 140_00, Default: true,
				Photos: []Photo{{"https://images.example.com/1.jpg?w=668&q=80", "https://images.example.com/1.jpg?w=300&q=80"}},
				SKUs:   []SKU{{1, "XS", 8}, {2, "S", 16}, {3, "M", 17}, {4, "L", 10}, {5, "XL", 15}},
			},
			{
				ID: 2, Name: "Ocean Blue", OriginalPrice: 140_00, SalePrice: 100_00, OnSale: true,
				Photos: []Photo{{"https://images.example.com/2.jpg", "https://images.example.com/2t.jpg"}, {"https://images.example.com/3.jpg", "https://images.example.com/3t.jpg"}},
				SKUs:   []SKU{{6, "S", 3}},
			},
		},
		Related: []int64{2, 3, 8, 7},
	}},
	{"without anything", Product{ID: 2, DefaultPrice: 69_00}},
	{"no style is flagged", Product{ID: 3, DefaultPrice: 40_00, Styles: []Style{{ID: 11, Name: "Black", OriginalPrice: 40_00}, {ID: 12, Name: "Grey", OriginalPrice: 40_00}}}},
	{"the second style is flagged", Product{ID: 4, Styles: []Style{{ID: 13}, {ID: 14, Default: true}}}},
	{"features without a value, twice the same, and one that reads null", Product{ID: 5, Features: []Feature{
		{"UV Protection", "", false}, {"Sole", "Rubber", true}, {"Sole", "Rubber", true}, {"Empty", "", true}, {"Text", "null", true},
	}}},
	{"two SKUs of one size", Product{ID: 6, Styles: []Style{{ID: 15, Default: true, SKUs: []SKU{{21, "XL", 15}, {22, "S", 1}, {23, "XL", 4}}}}}},
	{"sizes of all kinds", Product{ID: 7, Styles: []Style{{ID: 16, Default: true, SKUs: []SKU{
		{31, "One Size", 1}, {32, "10", 2}, {33, "7.5", 3}, {34, "XXL", 4}, {35, "7", 5}, {36, "XS", 6}, {37, "M", 7}, {38, "XXXL", 8},
		{39, "skus", 9}, {40, "say \"10\"", 10}, {41, "", 11}, {42, "100", 12}, {43, "XL", 13}, {44, "L", 14}, {45, "S", 15},
	}}}}},
	{"duplicate and self-referring related", Product{ID: 8, Related: []int64{8, 2, 2, 8}}},
	{"prices", Product{ID: 9, DefaultPrice: 140_50, Styles: []Style{
		{ID: 17, OriginalPrice: 0, Default: true},
		{ID: 18, OriginalPrice: 5, SalePrice: 1, OnSale: true},
		{ID: 19, OriginalPrice: MaxPrice, SalePrice: 99_90, OnSale: true},
		{ID: 20, OriginalPrice: 10_00, SalePrice: 0, OnSale: true},
	}}},
	{"texts", Product{
		ID: 9223372036854775807, Name: `"skus": {"XS": 1}`, Slogan: "tab\tnewline\nreturn\rbackspace\bfeed\fbell\adel\x7f",
		Description: `back\slash / "features":[1], \u0041`, Category: "Größe 大きさ 👟",
	}},
}

// TestGolden holds every row of the contract's table of shapes, in both
// contracts, as clients get it.
func TestGolden(t *testing.T) {
	for _, c := range []Contract{Pulsar, Atelier} {
		var got bytes.Buffer
		for _, o := range oddities {
			var b Blobs
			Build(&b, &o.product, c)
			got.WriteString("# " + o.name + "\n")
			for _, response := range [][]byte{b.Detail, b.Styles, b.Related} {
				got.Write(append(AppendWire(nil, response), '\n'))
			}
		}
		path := filepath.Join("testdata", c.String()+".golden")
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s differs from %s:\n%s", c, path, got.Bytes())
		}
	}
}

// TestBuildIsCanonical checks that the keys are in jsonb's order, that the wire
// form has the same value, and that a second build gives the same bytes.
func TestBuildIsCanonical(t *testing.T) {
	for _, c := range []Contract{Pulsar, Atelier} {
		var reused Blobs
		for _, o := range oddities {
			Build(&reused, &o.product, c)
			var fresh Blobs
			Build(&fresh, &o.product, c)
			if fresh.Hash() != reused.Hash() {
				t.Errorf("%s, %s: a second build differs", c, o.name)
			}
			for _, response := range [][]byte{fresh.Detail, fresh.Styles, fresh.Related} {
				checkKeyOrder(t, response)
				var built, wire any
				if err := json.Unmarshal(response, &built); err != nil {
					t.Fatalf("%s, %s: %v in %s", c, o.name, err, response)
				}
				if err := json.Unmarshal(AppendWire(nil, response), &wire); err != nil {
					t.Fatalf("%s, %s: %v on the wire", c, o.name, err)
				}
				if !reflect.DeepEqual(built, wire) {
					t.Errorf("%s, %s: the wire form has another value", c, o.name)
				}
			}
		}
	}
}

func checkKeyOrder(t *testing.T, response []byte) {
	t.Helper()
	type level struct {
		object bool
		n      int
		last   string
	}
	var levels []level
	d := json.NewDecoder(bytes.NewReader(response))
	for {
		token, err := d.Token()
		if err != nil {
			return
		}
		top := len(levels) - 1
		if top >= 0 && token != json.Delim('}') && token != json.Delim(']') {
			l := &levels[top]
			if key, ok := token.(string); ok && l.object && l.n%2 == 0 {
				if l.n > 0 && compareKeys(l.last, key) >= 0 {
					t.Errorf("key %q comes after %q in %s", key, l.last, response)
				}
				l.last = key
			}
			l.n++
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			levels = append(levels, level{object: token == json.Delim('{')})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:top]
		}
	}
}

func TestHashTellsResponsesApart(t *testing.T) {
	x := Blobs{Detail: []byte("ab"), Styles: []byte("c"), Related: []byte("d")}
	y := Blobs{Detail: []byte("a"), Styles: []byte("bc"), Related: []byte("d")}
	if x.Hash() == y.Hash() {
		t.Error("a byte that moves from one response to the next leaves the hash as it is")
	}
}

// TestBuildAllocations: the warm-up builds millions of products into the same memory.
func TestBuildAllocations(t *testing.T) {
	var b Blobs
	p := &oddities[0].product
	for _, c := range []Contract{Pulsar, Atelier} {
		Build(&b, p, c)
		if n := testing.AllocsPerRun(100, func() { Build(&b, p, c); b.Hash() }); n != 0 {
			t.Errorf("%s: %v allocations a product", c, n)
		}
	}
}

func FuzzString(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\x1f\x7f\"\\\b\f\n\r\t/ é 👟")
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			t.Skip("the rows are valid UTF-8")
		}
		var back string
		if err := json.Unmarshal(appendString(nil, s), &back); err != nil || back != s {
			t.Errorf("%q came back as %q, %v", s, back, err)
		}
	})
}

func TestContractNames(t *testing.T) {
	for _, c := range []Contract{Pulsar, Atelier} {
		if back, err := ParseContract(c.String()); err != nil || back != c {
			t.Errorf("%v reads back as %v, %v", c, back, err)
		}
	}
	if _, err := ParseContract("Pulsar"); err == nil {
		t.Error("an unknown contract was taken")
	}
}

// TestEscapes: whatever is around it and wherever it stands, a byte is escaped
// where PostgreSQL does it, and only there.
func TestEscapes(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for ch := range 256 {
				for _, around := range []string{"a", " ", "\xc3", "\x7f"} {
					s := strings.Repeat(around, at) + string([]byte{byte(ch)}) + strings.Repeat(around, length-at-1)
					want := string([]byte{byte(ch)})
					switch escape := strings.IndexByte("\b\f\n\r\t", byte(ch)); {
					case ch == '"' || ch == '\\':
						want = `\` + want
					case escape >= 0:
						want = `\` + "bfnrt"[escape:escape+1]
					case ch < ' ':
						want = fmt.Sprintf(`\u%04x`, ch)
					}
					want = `"` + strings.Replace(s, string([]byte{byte(ch)}), want, 1) + `"`
					if around == string([]byte{byte(ch)}) {
						want = `"` + s + `"`
					}
					if got := string(appendString(nil, s)); got != want {
						t.Fatalf("%q: got %q, want %q", s, got, want)
					}
				}
			}
		}
	}
}
