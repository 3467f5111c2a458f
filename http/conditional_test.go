package http

import (
	"testing"

	"github.com/hotshelf/hotshelf/blob"
)

func TestAcceptsGzip(t *testing.T) {
	tests := []struct {
		header string
		want   bool
	}{
		{"", false},
		{"gzip", true},
		{"GZip", true},
		{"x-gzip", true},
		{"gzip, deflate, br, zstd", true},
		{"gzip,deflate", true},
		{"deflate, gzip", true},
		{"br ,\tgzip ", true},
		{"*", true},
		{"br, *;q=0.1", true},
		{"gzip;q=1", true},
		{"gzip;q=1.000", true},
		{"gzip ; Q=0.001", true},
		{"gzip;q=0.5, identity;q=0.5", true},
		{"identity;q=0, gzip;q=0.1", true},
		{"identity;q=0", false},
		{"gzip;q=0", false},
		{"gzip;q=0.0", false},
		{"gzip;q=0.000", false},
		{"gzip;q=0, *", false},
		{"*, gzip;q=0", false},
		{"*;q=0", false},
		{"identity, gzip;q=0.9", false},
		{"identity", false},
		{"gzipped", false},
		{"xgzip", false},
		{"gzip;q=", false},
		{"gzip;q=2", false},
		{"gzip;q=x", false},
		{"gzip;q=0.x", false},
		{"gzip;q=0.5000", false},
		{"gzip;q=05", false},
		{"gzip;level=1", false},
		{"gzip;", true},
		{",,gzip,", true},
		{"gzip, gzip;q=0", false},
	}
	for _, test := range tests {
		if got := acceptsGzip([]byte(test.header)); got != test.want {
			t.Errorf("%q: %v, want %v", test.header, got, test.want)
		}
	}
}

func TestHeldTag(t *testing.T) {
	const plain, zipped = `"41-9f3c2a10"`, `"41-9f3c2a10-gzip"`
	tests := []struct {
		header string
		sent   string
		want   string
	}{
		{plain, plain, plain},
		{"W/" + plain, plain, plain},
		{zipped, zipped, zipped},
		{plain, zipped, plain}, // the plain form is right for a client with gzip
		{zipped, plain, ""},    // the gzip form is not for one without
		{"*", zipped, zipped},  //
		{" * ", plain, plain},  //
		{`"*"`, plain, ""},     // a tag that reads *
		{`"a", *`, plain, ""},  // not a list element
		{zipped + ", " + plain, zipped, zipped},
		{plain + "," + zipped, zipped, zipped}, // the form that would be sent comes first
		{`"a","b" , W/"c",` + plain, plain, plain},
		{`"a,` + `41-9f3c2a10", "b"`, plain, ""}, // a comma within a tag
		{`"40-9f3c2a10", "41-9f3c2a1", "41-9f3c2a100"`, plain, ""},
		{`41-9f3c2a10`, plain, ""},
		{`41-9f3c2a10, ` + plain, plain, plain},
		{`w/` + plain, plain, ""},
		{`"41-9f3c2a10`, plain, ""},
		{`W/`, plain, ""},
		{`W`, plain, ""},
		{`"`, plain, ""},
		{`,,,`, plain, ""},
		{"", plain, ""},
	}
	for _, test := range tests {
		if got := heldTag([]byte(test.header), []byte(test.sent), []byte(plain)); string(got) != test.want {
			t.Errorf("%s, to be sent %s: %s, want %q", test.header, test.sent, got, test.want)
		}
	}
}

// FuzzHeaders: no header makes the parsers fail, and a tag is found before
// whatever else the list holds.
func FuzzHeaders(f *testing.F) {
	f.Add("gzip;q=0.5, *;q=1", `W/"41-9f3c2a10", "b"`)
	f.Add(",;,", `W/"`)
	f.Fuzz(func(t *testing.T, encoding, tags string) {
		if acceptsGzip([]byte(encoding)) && acceptsGzip([]byte(encoding+",identity,gzip;q=0")) {
			t.Errorf("gzip is sent though %q goes on to refuse it", encoding)
		}
		tag := []byte(`"41-9f3c2a10"`)
		heldTag([]byte(tags), tag, tag)
		if !listsTag([]byte(string(tag)+","+tags), tag, strongly) {
			t.Errorf("a tag before %q is not found", tags)
		}
	})
}

// TestFormsAndTags goes through what a cache that honours Vary would do.
func TestFormsAndTags(t *testing.T) {
	s := newShelf(t, blob.Pulsar)
	server := start(t, Config{Catalogue: s})
	const target = "/products/1/styles"
	plain := server.do("GET", target)
	zipped := server.do("GET", target, "Accept-Encoding: gzip")
	if gunzip(t, zipped.body) != plain.body {
		t.Error("the two forms differ")
	}
	if plain.header.Get("ETag") == zipped.header.Get("ETag") {
		t.Error("the two forms have one tag")
	}
	for _, test := range []struct {
		held, encoding string
		want           int
	}{
		{plain.header.Get("ETag"), "", 304},
		{plain.header.Get("ETag"), "gzip", 304},
		{zipped.header.Get("ETag"), "gzip", 304},
		{zipped.header.Get("ETag"), "", 200},
		{`"0-00000000"`, "gzip", 200},
	} {
		headers := []string{"If-None-Match: " + test.held}
		if test.encoding != "" {
			headers = append(headers, "Accept-Encoding: "+test.encoding)
		}
		got := server.do("GET", target, headers...)
		if got.status != test.want {
			t.Errorf("%v: status %d, want %d", headers, got.status, test.want)
		}
		if got.status == 304 && (got.header.Get("ETag") != test.held || got.body != "") {
			t.Errorf("%v: 304 with ETag %s and body %q", headers, got.header.Get("ETag"), got.body)
		}
		for name, want := range map[string]string{"Vary": "Accept-Encoding", "Cache-Control": "public, no-cache"} {
			if got.header.Get(name) != want {
				t.Errorf("%v: %s is %q", headers, name, got.header.Get(name))
			}
		}
	}
	// A balancer may send header names in lower case.
	if got := server.do("GET", target, "if-none-match: "+plain.header.Get("ETag")); got.status != 304 {
		t.Errorf("if-none-match in lower case: status %d", got.status)
	}
}

// TestArrayTag: the tag of a list changes with whatever the list shows.
func TestArrayTag(t *testing.T) {
	seen := map[string]string{}
	add := func(what string, ids []int64, versions []int64, total int64) {
		var answers []*blob.Answers
		for i, id := range ids {
			answers = append(answers, &blob.Answers{ProductID: id, Version: versions[i]})
		}
		tag := string(arrayTag(nil, answers, total))
		if other, ok := seen[tag]; ok {
			t.Errorf("%s has the tag of %s", what, other)
		}
		seen[tag] = what
	}
	add("nothing", nil, nil, 0)
	add("nothing of one", nil, nil, 1)
	add("1", []int64{1}, []int64{1}, 1)
	add("1, newer", []int64{1}, []int64{2}, 1)
	add("1 of two", []int64{1}, []int64{1}, 2)
	add("1 and 2", []int64{1, 2}, []int64{1, 1}, 2)
	add("2 and 1", []int64{2, 1}, []int64{1, 1}, 2)
	other := &blob.Answers{ProductID: 1, Version: 1, Hash: 1}
	if seen[string(arrayTag(nil, []*blob.Answers{other}, 1))] != "" {
		t.Error("another hash has the same tag")
	}
	add("1 twice", []int64{1, 1}, []int64{1, 1}, 2)
}
