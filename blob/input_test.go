package blob

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const wholeInput = `{"name":"Camo","slogan":"s","description":"d","category":"c","default_price":140,
"features":[{"feature":"Fabric","value":"Canvas"},{"feature":"Sole","value":null},{"feature":"Cut"}],
"styles":[{"style_id":7,"name":"Green","original_price":"140.5","sale_price":9999999999.99,"default?":true,
 "photos":[{"url":"u","thumbnail_url":"t"}],"skus":[{"id":3,"size":"XS","quantity":8},{"size":"S","quantity":0}]},
 {"name":"Bl\u00fcue\n","original_price":0,"sale_price":0}],
"related":[2,3]}`

func TestParseInput(t *testing.T) {
	in, err := ParseInput([]byte(wholeInput), true)
	if err != nil {
		t.Fatal(err)
	}
	if *in.Name != "Camo" || *in.DefaultPrice != 140_00 || !slices.Equal(*in.Related, []int64{2, 3}) ||
		!slices.Equal(*in.Features, []Feature{{"Fabric", "Canvas", true}, {Name: "Sole"}, {Name: "Cut"}}) {
		t.Errorf("%+v", in)
	}
	green, blue := (*in.Styles)[0], (*in.Styles)[1]
	if green.ID != 7 || green.OriginalPrice != 140_50 || green.SalePrice != MaxPrice || !green.OnSale || !green.Default ||
		!slices.Equal(green.Photos, []Photo{{"u", "t"}}) || !slices.Equal(green.SKUs, []SKU{{3, "XS", 8}, {0, "S", 0}}) {
		t.Errorf("%+v", green)
	}
	if blue.Name != "Blüue\n" || blue.OnSale || blue.Default || blue.PhotosGiven || blue.SKUsGiven {
		t.Errorf("%+v", blue)
	}
	in, err = ParseInput([]byte(" {} "), true)
	if err != nil || in.Name != nil || in.Features != nil || in.Styles != nil || in.Related != nil {
		t.Errorf("%+v, %v", in, err)
	}
}

func TestInputFaults(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"nothing":           {`{}`, "/name /category /default_price"},
		"a list":            {`[]`, ""},
		"many":              {`{"name":1,"category":null,"default_price":"x","a/b~":1,"related":[0,"1",2]}`, "/name /category /default_price /a~1b~0 /related/0 /related/1"},
		"twice":             {`{"name":"a","name":"b","category":"","default_price":1}`, "/name"},
		"null lists":        {`{"name":"a","category":"","default_price":1,"features":null,"styles":{},"related":1}`, "/features /styles /related"},
		"ids in a creation": {`{"name":"a","category":"","default_price":1,"styles":[{"style_id":1,"name":"","original_price":1,"skus":[{"id":1,"size":"","quantity":-1}]}]}`, "/styles/0/style_id /styles/0/skus/0/id /styles/0/skus/0/quantity"},
		"elements":          {`{"name":"a","category":"","default_price":1,"features":[1,{}],"styles":[{"default?":1,"photos":[{}]}]}`, "/features/0 /features/1/feature /styles/0/default? /styles/0/photos/0/url /styles/0/photos/0/thumbnail_url /styles/0/name /styles/0/original_price"},
		"NUL and surrogate": {`{"name":"\u0000","category":"\ud800","default_price":1}`, "/name /category"},
		"long":              {`{"name":"` + strings.Repeat("é", 1001) + `","category":"","default_price":1,"related":[1` + strings.Repeat(",1", 1000) + `]}`, "/name /related"},
	} {
		_, err := ParseInput([]byte(c.body), false)
		var invalid *InvalidError
		if !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var at []string
		for _, f := range invalid.Faults {
			at = append(at, f.Pointer)
		}
		// The faults of an object's fields come in the body's order, what it
		// lacks behind them.
		want := strings.Fields(c.want)
		slices.Sort(at)
		slices.Sort(want)
		if c.want == "" {
			want = []string{""}
		}
		if !slices.Equal(at, want) {
			t.Errorf("%s: %q, want %q", name, at, want)
		}
	}
}

// TestMalformedInput: what is not JSON says from where on.
func TestMalformedInput(t *testing.T) {
	const early = "The body is not well-formed JSON: it ends too early."
	for body, want := range map[string]string{
		"": early, "{": early, `{"name":"a"`: early, "  ": early,
		`{"name":"` + "\ufffd\xff" + `"}`: "The body is not valid UTF-8 at byte 13.",
		"\xff":                            "The body is not valid UTF-8 at byte 1.",
		`{"a":01}`:                        "The body is not well-formed JSON at byte 7.",
		`x{}`:                             "The body is not well-formed JSON at byte 1.",
		`{}}`:                             "The body is not well-formed JSON at byte 3.",
		strings.Repeat("[", 1<<20):        "The body is not well-formed JSON at byte 10001.",
	} {
		_, err := ParseInput([]byte(body), false)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || !invalid.Malformed || len(invalid.Faults) != 1 || invalid.Faults[0] != (Fault{"", want}) {
			t.Errorf("%.20q: %v", body, err)
		}
	}
}

func TestInputPrices(t *testing.T) {
	for text, want := range map[string]Price{
		`0`: 0, `0.1`: 10, `"0.01"`: 1, `140.00`: 140_00, `"007.5"`: 7_50, `9999999999.99`: MaxPrice, `"1.10"`: 110,
		`-1`: -1, `-0`: -1, `1e2`: -1, `0.001`: -1, `10000000000`: -1, `"1."`: -1, `".5"`: -1, `""`: -1, `" 1"`: -1,
		`true`: -1, `null`: -1, `[]`: -1, `"1,000"`: -1, `"$1"`: -1, `"+1"`: -1, `"NaN"`: -1, `99999999999999999999999`: -1,
	} {
		in, err := ParseInput([]byte(`{"default_price":`+text+`}`), true)
		if got := err == nil; got != (want >= 0) || got && *in.DefaultPrice != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestParseQuantity(t *testing.T) {
	if n, err := ParseQuantity([]byte(`{"quantity":2147483647}`)); err != nil || n != 2147483647 {
		t.Error(n, err)
	}
	for _, body := range []string{`{}`, `{"quantity":2147483648}`, `{"quantity":-1}`, `{"quantity":1.5}`, `{"quantity":"1"}`, `{"quantity":null}`, `{"quantity":1,"id":2}`, `7`} {
		if _, err := ParseQuantity([]byte(body)); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}

// FuzzParseInput: no body ends in anything but an input or one of the two
// errors, and texts come out as encoding/json reads them.
func FuzzParseInput(f *testing.F) {
	for _, body := range []string{wholeInput, `{"name":"\ud83d\ude00\u0001\/"}`, `{"name":"a","name":1}`, ` [1 , {"a" : [ ] } ] `, `{"\u006eame" : "x" , "related" : [ ] }`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := ParseInput(body, true)
		var invalid *InvalidError
		if err != nil {
			if !errors.As(err, &invalid) {
				t.Fatal(err)
			}
			if invalid.Malformed && json.Valid(body) && utf8.Valid(body) {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(body, &fields); err != nil {
			t.Fatalf("%q was taken: %v", body, err)
		}
		for name, got := range map[string]*string{"name": in.Name, "slogan": in.Slogan} {
			var want *string
			if v, ok := fields[name]; ok {
				if err := json.Unmarshal(v, &want); err != nil {
					t.Fatal(err)
				}
			}
			if fmt.Sprint(got == nil) != fmt.Sprint(want == nil) || got != nil && *got != *want {
				t.Fatalf("%q: %s is %v, want %v", body, name, got, want)
			}
		}
	})
}
