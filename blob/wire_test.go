package blob

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

func TestAppendWire(t *testing.T) {
	for _, c := range []struct{ name, stored, wire string }{
		{"blanks go", `{"id": 1, "name": "a b, c: d"}`, `{"id":1,"name":"a b, c: d"}`},
		{"sizes in shop order", `{"results": [{"name": "x", "skus": {"L": 1, "M": 2, "S": 3, "10": 4, "XL": 5, "XS": 6, "7.5": 7, "XXL": 8, "Tall": 9}}]}`,
			`{"results":[{"name":"x","skus":{"XS":6,"S":3,"M":2,"L":1,"XL":5,"XXL":8,"7.5":7,"10":4,"Tall":9}}]}`},
		{"equal numbers by their text", `{"skus": {"7": 1, "07": 2, "7.0": 3}}`, `{"skus":{"07":2,"7":1,"7.0":3}}`},
		{"what only looks like a number", `{"skus": {".": 1, "1.2.3": 2, "5": 3}}`, `{"skus":{"5":3,".":1,"1.2.3":2}}`},
		{"no SKUs", `{"skus": {"null": null}}`, `{"skus":{"null":null}}`},
		{"atelier stays in id order", `{"skus": {"9": {"size": "S", "quantity": 1}, "10": {"size": "XS", "quantity": 2}}}`,
			`{"skus":{"9":{"size":"S","quantity":1},"10":{"size":"XS","quantity":2}}}`},
		{"a text that reads skus", `{"name": "skus", "skus": {"S": 1}}`, `{"name":"skus","skus":{"S":1}}`},
		{"a size that reads skus", `{"skus": {"S": 1, "skus": 2}}`, `{"skus":{"S":1,"skus":2}}`},
		{"quotes in a size", `{"skus": {"a\"": 1, "L": 2, "a\\": 3}}`, `{"skus":{"L":2,"a\"":1,"a\\":3}}`},
		{"already compact", `{"skus":{"L":1,"S":2},"photos":[]}`, `{"skus":{"S":2,"L":1},"photos":[]}`},
		{"list", `[1, 2, 3]`, `[1,2,3]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := AppendWire([]byte("x"), []byte(c.stored)); string(got) != "x"+c.wire {
				t.Errorf("got  %s\nwant x%s", got, c.wire)
			}
		})
	}
}

func TestAppendListed(t *testing.T) {
	for _, c := range []struct{ name, detail, want string }{
		{"features go", `{"id":1,"name":"\"features\":[","features":[{"value":"]}","feature":"x"}],"description":"d"}`,
			`{"id":1,"name":"\"features\":[","description":"d"}`},
		{"empty features go", `{"id":1,"features":[],"description":"d"}`, `{"id":1,"description":"d"}`},
		{"without features", `{"id":1}`, `{"id":1}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := AppendListed(nil, []byte(c.detail)); string(got) != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	for _, o := range oddities {
		var b Blobs
		Build(&b, &o.product, Pulsar)
		var listed map[string]any
		if err := json.Unmarshal(AppendListed(nil, b.Detail), &listed); err != nil {
			t.Fatalf("%s: %v", o.name, err)
		}
		if _, ok := listed["features"]; ok || len(listed) != 6 {
			t.Errorf("%s: listed as %v", o.name, listed)
		}
	}
}

// FuzzAppendWire: whatever JSON comes in, the same value goes out, and nothing
// panics on what is not JSON.
func FuzzAppendWire(f *testing.F) {
	for _, o := range oddities {
		for _, c := range []Contract{Pulsar, Atelier} {
			var b Blobs
			Build(&b, &o.product, c)
			f.Add(b.Styles)
			f.Add(b.Detail)
		}
	}
	f.Add([]byte(`{"skus": {"S"`))
	f.Add([]byte(`{"skus": {"S": 1, `))
	f.Fuzz(func(t *testing.T, stored []byte) {
		wire := AppendWire(nil, stored)
		AppendListed(nil, wire)
		if !json.Valid(stored) {
			return
		}
		var before, after any
		if json.Unmarshal(stored, &before) != nil {
			return // a number that no float64 holds
		}
		if err := json.Unmarshal(wire, &after); err != nil {
			t.Fatalf("%s became %s: %v", stored, wire, err)
		}
		if !reflect.DeepEqual(before, after) && !hasDuplicateSKUs(stored) {
			t.Errorf("%s became %s", stored, wire)
		}
		if again := AppendWire(nil, wire); !bytes.Equal(again, wire) {
			t.Errorf("%s changes again to %s", wire, again)
		}
	})
}

// hasDuplicateSKUs: jsonb has no duplicate keys; with them, the last one wins,
// and sorting may make another one the last.
func hasDuplicateSKUs(stored []byte) bool {
	return bytes.Contains(stored, []byte(`"skus"`))
}
