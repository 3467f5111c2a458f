package http

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/hotshelf/hotshelf/blob"
)

func TestParseNumber(t *testing.T) {
	tests := []struct {
		text string
		want int64 // 0: refused
	}{
		{"1", 1},
		{"42", 42},
		{"007", 7}, // a decimal integer all the same
		{"9223372036854775807", math.MaxInt64},
		{"00000000000000000000000000000000000009223372036854775807", math.MaxInt64},
		{"9223372036854775808", 0},
		{"9223372036854775810", 0},
		{"92233720368547758070", 0},
		{"18446744073709551617", 0}, // 2^64+1 would wrap to 1
		{"99999999999999999999", 0},
		{"", 0}, {"0", 0}, {"000", 0}, {"-1", 0}, {"+1", 0}, {"1.5", 0}, {"1e3", 0}, {"%31", 0}, {" 1", 0}, {"1 ", 0},
		{"0x1", 0}, {"1_000", 0}, {"1,000", 0}, {"１", 0}, {"٣", 0}, {"NaN", 0}, {"1\x00", 0},
	}
	for _, test := range tests {
		got, ok := parseNumber([]byte(test.text))
		if ok != (test.want != 0) || ok && got != test.want {
			t.Errorf("%q: %d, %v; want %d", test.text, got, ok, test.want)
		}
	}
}

func TestPageParameters(t *testing.T) {
	server := start(t, Config{Catalogue: newShelf(t, blob.Pulsar)})
	all := []int{1, 2, 3, 5, 8, math.MaxInt64}
	tests := []struct {
		query string
		want  []int // nil: 400
	}{
		{"", all[:5]},
		{"?", all[:5]},
		{"?page=&count=", all[:5]},
		{"?page&count", all[:5]},
		{"?page=1&count=2", all[:2]},
		{"?count=2&page=3", all[4:]},
		{"?page=2", all[5:]},
		{"?page=3", []int{}},
		{"?page=9223372036854775807", []int{}},
		{"?page=9223372036854775807&count=9223372036854775807", []int{}},
		{"?page=18446744073709552&count=500", []int{}}, // their product is just over 63 bits
		{"?count=500", all},
		{"?count=501", all},
		{"?count=19089", all},
		{"?count=9223372036854775807", all},
		{"?count=01", all[:1]},
		{"?unknown=1&page=1&x&=&&count=1&PAGE=7&sort=-id", all[:1]},
		{"?p%61ge=7&count=1", all[:1]}, // an unknown name
		{"?count=1#fragment", all[:1]},
		{"?page=0", nil}, {"?count=0", nil}, {"?page=-1", nil}, {"?page=+1", nil}, {"?page=1.5", nil}, {"?page=1e3", nil},
		{"?page=%31", nil}, {"?page=%201", nil}, {"?page=99999999999999999999", nil}, {"?count=99999999999999999999", nil},
		{"?page=1&page=1", nil}, {"?page=&page=2", nil}, {"?count=1&count=2", nil}, {"?page=1;count=2", nil}, {"?page==1", nil}, {"?page=null", nil},
	}
	for _, path := range []string{"/products", "/products/list"} {
		for _, test := range tests {
			got := server.do("GET", path+test.query)
			if test.want == nil {
				if got.status != 400 {
					t.Errorf("%s%s: status %d, want 400", path, test.query, got.status)
				}
				continue
			}
			if got.status != 200 || fmt.Sprint(ids(got.body)) != fmt.Sprint(test.want) || got.header.Get("X-Total-Count") != "6" {
				t.Errorf("%s%s: %d %v of %s, want %v", path, test.query, got.status, ids(got.body), got.header.Get("X-Total-Count"), test.want)
			}
		}
	}
}

// ids finds the products of a body in their order.
func ids(body string) (found []int) {
	for _, part := range strings.Split(body, `{"id":`)[1:] {
		digits, _, _ := strings.Cut(part, ",")
		id, _ := strconv.Atoi(digits)
		found = append(found, id)
	}
	return found
}

func TestIDs(t *testing.T) {
	server := start(t, Config{Catalogue: newShelf(t, blob.Pulsar)})
	hundred := strings.TrimSuffix(strings.Repeat("8,", 100), ",")
	tests := []struct {
		list    string
		want    []int // nil: 400
		missing string
	}{
		{"3,1,2", []int{3, 1, 2}, ""},
		{"3%2C1%2c2", []int{3, 1, 2}, ""},
		{"1", []int{1}, ""},
		{"1,1", []int{1, 1}, ""},
		{"7", []int{}, "7"},
		{"9,1,7,1,9", []int{1, 1}, "9,7,9"},
		{"9223372036854775807,9223372036854775806", []int{math.MaxInt64}, "9223372036854775806"},
		{"", []int{}, ""},
		{hundred, slices.Repeat([]int{8}, 100), ""},
		{hundred + ",8", nil, ""},
		{"1,", nil, ""}, {",1", nil, ""}, {"1,,2", nil, ""}, {",", nil, ""}, {"1,x", nil, ""}, {"1,%32", nil, ""}, {"1,0", nil, ""},
		{"1,+2", nil, ""}, {"1%2", nil, ""}, {"1%2D2", nil, ""}, {"%", nil, ""}, {"1;2", nil, ""}, {"99999999999999999999", nil, ""},
	}
	for _, test := range tests {
		// page and count have no meaning beside ids, not even bad ones.
		got := server.do("GET", "/products?page=x&ids="+test.list)
		if test.want == nil {
			if got.status != 400 {
				t.Errorf("%.40s: status %d, want 400", test.list, got.status)
			}
			continue
		}
		if got.status != 200 || fmt.Sprint(ids(got.body)) != fmt.Sprint(test.want) || got.header.Get("Hotshelf-Missing") != test.missing {
			t.Errorf("%.40s: %d %v, missing %q; want %v, %q", test.list, got.status, ids(got.body), got.header.Get("Hotshelf-Missing"), test.want, test.missing)
		}
		if got.header.Get("X-Total-Count") != "" {
			t.Errorf("%.40s: an X-Total-Count", test.list)
		}
	}
	if got := server.do("GET", "/products/list?ids=3"); len(ids(got.body)) != 5 {
		t.Errorf("ids is no parameter of /products/list: %v", ids(got.body))
	}
	if got := server.do("GET", "/products?ids=1&ids=2"); got.status != 400 {
		t.Errorf("ids twice: status %d", got.status)
	}
}

// FuzzQuery holds the query parser against one that is written with net/url
// and strconv.
func FuzzQuery(f *testing.F) {
	f.Add("page=1&count=5")
	f.Add("page=&count=0&page=3")
	f.Add("ids=3,1,2")
	f.Add("ids=3%2C1%2c%32&x=%zz")
	f.Add("count=00500&page=9223372036854775808;")
	f.Fuzz(func(t *testing.T, query string) {
		for _, name := range []string{"page", "count"} {
			want, wantErr := referenceNumber(query, name)
			got, ok := pageNumber([]byte(query), name, 5)
			if ok != (wantErr == nil) || ok && got != want {
				t.Errorf("%s of %q: %d, %v; want %d, %v", name, query, got, ok, want, wantErr)
			}
		}
		raw, _ := queryValue([]byte(query), "ids")
		want, wantErr := referenceIDs(string(raw))
		got, fault := parseIDs(nil, raw)
		if (fault == "") != (wantErr == nil) || fault == "" && !slices.Equal(got, want) {
			t.Errorf("ids %q: %v, %q; want %v, %v", raw, got, fault, want, wantErr)
		}
	})
}

// rawValues is what url.ParseQuery would return, had nothing been encoded.
func rawValues(query string) url.Values {
	escaped := strings.NewReplacer("%", "%25", "+", "%2B", ";", "%3B").Replace(query)
	values, _ := url.ParseQuery(escaped)
	return values
}

func referenceNumber(query, name string) (int64, error) {
	values := rawValues(query)[name]
	switch {
	case len(values) > 1:
		return 0, errors.New("given twice")
	case len(values) == 0 || values[0] == "":
		return 5, nil
	}
	return referenceID(values[0])
}

func referenceID(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err == nil && (n == 0 || text[0] == '+') {
		err = errors.New("not positive digits")
	}
	return int64(n), err
}

func referenceIDs(list string) (ids []int64, err error) {
	if list == "" {
		return nil, nil
	}
	for _, text := range strings.Split(strings.NewReplacer("%2C", ",", "%2c", ",").Replace(list), ",") {
		id, err := referenceID(text)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if len(ids) > 100 {
		return nil, errors.New("too many")
	}
	return ids, nil
}

// FuzzPath holds the matching of paths against the router, and checks that no
// path at all makes the server fail.
func FuzzPath(f *testing.F) {
	for _, path := range []string{"/products/list", "/products/1/styles", "/products/1/related/", "/products//", "/products/%31", "//", "/productsx", "/products/1/skus/2", "*", "", "http://h"} {
		f.Add(path)
	}
	server := New(Config{Catalogue: newShelf(f, blob.Pulsar)})
	f.Fuzz(func(t *testing.T, path string) {
		route, segment := matchRead([]byte(path))
		if want, wantSegment := referenceMatch(path); route != want || string(segment) != wantSegment {
			t.Errorf("%q: route %d with %q, want %d with %q", path, route, segment, want, wantSegment)
		}
		if strings.HasPrefix(path, "/") {
			known := [...]string{"/healthz", "/readyz", "/openapi.yaml"}
			handler, _ := server.router.Lookup("GET", path, new(fasthttp.RequestCtx))
			bare := route != noRead && !strings.HasSuffix(path, "/")
			if (handler != nil) != (bare || slices.Contains(known[:], path)) {
				t.Errorf("%q: route %d, but the router finds a handler: %v", path, route, handler != nil)
			}
		}
		for _, method := range []string{"GET", "PUT", "OPTIONS", "BREW"} {
			ctx := prepared(method, "/")
			ctx.Request.SetRequestURI(path)
			server.handle(ctx)
			if status := ctx.Response.StatusCode(); status >= 500 || server.Panics() > 0 {
				t.Fatalf("%s %q: status %d", method, path, status)
			}
		}
	})
}

func referenceMatch(path string) (readRoute, string) {
	parts := strings.Split(path, "/")
	if len(parts) > 2 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	if len(parts) < 2 || len(parts) > 4 || parts[0] != "" || parts[1] != "products" {
		return noRead, ""
	}
	switch {
	case len(parts) == 2:
		return readProducts, ""
	case parts[2] == "":
		return noRead, ""
	case len(parts) == 3 && parts[2] == "list":
		return readList, ""
	case len(parts) == 3:
		return readDetail, parts[2]
	case parts[3] == "styles":
		return readStyles, parts[2]
	case parts[3] == "related":
		return readRelated, parts[2]
	}
	return noRead, ""
}
