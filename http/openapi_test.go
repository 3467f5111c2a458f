package http

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/hotshelf/hotshelf/blob"
)

// description loads openapi.yaml as it holds for a catalogue of one contract:
// where the file gives both shapes, the other one is taken out.
func description(t testing.TB, contract blob.Contract) *openapi3.T {
	t.Helper()
	other := "Atelier"
	if contract == blob.Atelier {
		other = "Pulsar"
	}
	var kept []string
	for line := range strings.SplitSeq(string(openapiYAML), "\n") {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- $ref: '#/components/schemas/"); ok && strings.HasSuffix(name, other+"'") {
			continue
		}
		kept = append(kept, line)
	}
	document, err := openapi3.NewLoader().LoadFromData([]byte(strings.Join(kept, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// TestDescriptionIsValid checks the file itself, its examples included.
func TestDescriptionIsValid(t *testing.T) {
	document, err := openapi3.NewLoader().LoadFromData(openapiYAML)
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	for path, item := range document.Paths.Map() {
		// Swagger UI shows none of those that refer to a component.
		if len(item.Parameters) > 0 {
			t.Errorf("%s has parameters for all of its operations: give them to each", path)
		}
	}
}

// TestDescriptionListsRoutes fails when a route and the file disagree.
func TestDescriptionListsRoutes(t *testing.T) {
	described := map[string]bool{}
	for path, item := range description(t, blob.Pulsar).Paths.Map() {
		for method := range item.Operations() {
			described[method+" "+path] = true
		}
	}
	for _, r := range New(Config{Storefront: true}).routes() {
		for method := range strings.SplitSeq(r.methods, ", ") {
			if !described[method+" "+r.path] {
				t.Errorf("%s %s is not described", method, r.path)
			}
			delete(described, method+" "+r.path)
		}
	}
	for operation := range described {
		t.Errorf("%s is described, but there is no such route", operation)
	}
}

// check says what is wrong with a response, going by the description of an
// operation.
func check(document *openapi3.T, method, path string, got reply) error {
	item := document.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		return errors.New("the operation is not described")
	}
	ref := item.GetOperation(method).Responses.Value(strconv.Itoa(got.status))
	if ref == nil {
		return fmt.Errorf("status %d is not described", got.status)
	}
	return checkResponse(ref.Value, method, got)
}

// checkResponse says what is wrong with a response, going by the one that is
// described.
func checkResponse(described *openapi3.Response, method string, got reply) error {
	for name, header := range described.Headers {
		if err := checkHeader(name, header.Value, got); err != nil {
			return err
		}
	}
	for name := range got.header {
		known := slices.ContainsFunc(slices.Collect(maps.Keys(described.Headers)), func(s string) bool { return strings.EqualFold(s, name) })
		if !known && name != "Content-Type" && name != "Connection" {
			return fmt.Errorf("the header %s is not described", name)
		}
	}
	return checkBody(described, method, got)
}

func checkHeader(name string, header *openapi3.Header, got reply) error {
	value := got.header.Get(name)
	if value == "" {
		if header.Required {
			return fmt.Errorf("the header %s is missing", name)
		}
		return nil
	}
	var instance any = value
	if header.Schema.Value.Type.Is("integer") {
		n, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("the header %s: %w", name, err)
		}
		instance = float64(n)
	}
	if err := header.Schema.Value.VisitJSON(instance, openapi3.EnableJSONSchema2020()); err != nil {
		return fmt.Errorf("the header %s: %w", name, err)
	}
	return nil
}

func checkBody(described *openapi3.Response, method string, got reply) error {
	declared := got.header.Get("Content-Type")
	if len(described.Content) == 0 {
		if declared != "" || got.body != "" {
			return fmt.Errorf("a body is not described: %s %q", declared, got.body)
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(declared)
	if err != nil {
		return fmt.Errorf("Content-Type %q: %w", declared, err)
	}
	content := described.Content[kind]
	if content == nil {
		return fmt.Errorf("Content-Type %s is not described", kind)
	}
	if method == "HEAD" {
		if got.body != "" {
			return errors.New("HEAD with a body")
		}
		return nil
	}
	if content.Schema == nil {
		return nil
	}
	var value any
	if err := json.Unmarshal([]byte(got.body), &value); err != nil {
		return err
	}
	return content.Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020())
}

type exchange struct {
	shelf  string // how the catalogue behaves
	method string
	path   string // as described
	target string // as requested
	header string // separated by line ends
	body   string
	status int
}

// exchanges is every kind of response that the handlers give.
func exchanges() []exchange {
	const (
		list    = "/products/list"
		all     = "/products"
		detail  = "/products/{product_id}"
		styles  = "/products/{product_id}/styles"
		related = "/products/{product_id}/related"
		sku     = "/products/{product_id}/skus/{sku_id}"
	)
	var table []exchange
	read := func(shelf, path, target, header string, status int) {
		table = append(table,
			exchange{shelf: shelf, method: "GET", path: path, target: target, header: header, status: status},
			exchange{shelf: shelf, method: "HEAD", path: path, target: target, header: header, status: status})
	}
	for _, id := range []string{"1", "2", "3", "5", "8", "9223372036854775807"} {
		for _, encoding := range []string{"Accept-Encoding: identity", "Accept-Encoding: gzip"} {
			read("", detail, "/products/"+id, encoding, 200)
			read("", styles, "/products/"+id+"/styles", encoding, 200)
			read("", related, "/products/"+id+"/related/", encoding, 200)
		}
	}
	for _, query := range []string{"", "?page=2&count=2", "?page=99", "?count=500"} {
		read("", list, list+query, "", 200)
		read("", all, all+query, "", 200)
	}
	read("", all, "/products?ids=3,1,2", "", 200)
	read("", all, "/products?ids=3,7,9", "", 200)
	read("", all, "/products?ids=3,7,9", "If-None-Match: *", 304)
	for path, target := range map[string]string{list: list, all: all, detail: "/products/1", styles: "/products/1/styles", related: "/products/1/related"} {
		read("", path, target, "If-None-Match: *", 304)
		read("stale", path, target, "", 200)
		read("stale", path, target, "If-None-Match: *", 304)
		read("unready", path, target, "", 503)
		read("unavailable", path, target, "", 503)
		read("overloaded", path, target, "", 503)
		read("unforeseen", path, target, "", 500)
		read("panics", path, target, "", 500)
		if path == list || path == all {
			read("", path, target+"?page=0", "", 400)
			continue
		}
		read("", path, strings.Replace(target, "1", "4", 1), "", 404)
		read("stale", path, strings.Replace(target, "1", "4", 1), "", 404)
		read("", path, strings.Replace(target, "1", "1e3", 1), "", 400)
	}
	table = append(table, writeExchanges()...)
	read("", "/healthz", "/healthz", "", 200)
	read("", "/readyz", "/readyz", "", 200)
	read("unready", "/readyz", "/readyz", "", 503)
	read("", "/openapi.yaml", "/openapi.yaml", "", 200)
	for _, path := range []string{"/", "/docs"} {
		for _, encoding := range []string{"Accept-Encoding: identity", "Accept-Encoding: gzip"} {
			read("", path, path, encoding, 200)
		}
		read("", path, path, "If-None-Match: *", 304)
	}
	for path, names := range map[string][]string{
		"/docs/{asset}":       {"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png", "docs.js", "docs.css"},
		"/storefront/{asset}": {"app.js", "style.css", "icon.svg"},
	} {
		for _, name := range names {
			target := strings.Replace(path, "{asset}", name, 1)
			read("", path, target, "Accept-Encoding: identity", 200)
			read("", path, target, "Accept-Encoding: gzip", 200)
			read("", path, target, "If-None-Match: *", 304)
		}
		read("", path, strings.Replace(path, "{asset}", "nothing.js", 1), "", 404)
	}
	return table
}

// writeExchanges is every kind of response of the write routes.
func writeExchanges() (table []exchange) {
	const auth, kind = "Authorization: Bearer " + testToken, "\nContent-Type: application/json"
	for _, r := range []struct{ method, path, target, body string }{
		{"POST", "/products", "/products", newProduct},
		{"PUT", "/products/{product_id}", "/products/1", `{"name":"x"}`},
		{"PATCH", "/products/{product_id}/skus/{sku_id}", "/products/1/skus/3", `{"quantity":7}`},
		{"DELETE", "/products/{product_id}", "/products/1", ""},
	} {
		add := func(shelf, target, header, body string, status int) {
			table = append(table, exchange{shelf, r.method, r.path, target, header, body, status})
		}
		ok := 200
		if r.method == "POST" {
			ok = 201
		}
		add("", r.target, auth+kind, r.body, ok)
		add("off", r.target, auth+kind, r.body, 403)
		add("", r.target, "Content-Type: application/json", r.body, 401)
		add("", r.target, auth+"x"+kind, r.body, 401)
		for shelf, status := range map[string]int{"unready": 503, "unavailable": 503, "overloaded": 503, "unforeseen": 500, "panics": 500, "unknown": 504} {
			add(shelf, r.target, auth+kind, r.body, status)
		}
		if r.body != "" {
			add("", r.target, auth, r.body, 415)
			add("", r.target, auth+kind, "{", 400)
			add("", r.target, auth+kind, `{"a":1,"b":2}`, 422)
			add("", r.target, auth+kind+fmt.Sprintf("\nContent-Length: %d", maxBody+1), "", 413)
		}
		if r.method != "POST" {
			add("", strings.Replace(r.target, "1", "x", 1), auth+kind, r.body, 400)
			add("gone", r.target, auth+kind, r.body, 404)
			add("", r.target, auth+kind+"\nIf-Match: \"1-00000000\"", r.body, 412)
		}
	}
	return table
}

// TestResponsesAreDescribed validates every kind of response, of both contracts
// and to every kind of origin, against the description; and fails for a
// described status that is never seen.
func TestResponsesAreDescribed(t *testing.T) {
	for _, contract := range []blob.Contract{blob.Pulsar, blob.Atelier} {
		for _, origins := range [][]string{nil, {"https://a.test"}} {
			t.Run(fmt.Sprint(contract, origins), func(t *testing.T) {
				document := description(t, contract)
				servers := startAll(t, contract, origins)
				seen := map[string]bool{}
				for _, x := range exchanges() {
					headers := []string{"Origin: https://a.test"}
					if x.header != "" {
						headers = append(headers, strings.Split(x.header, "\n")...)
					}
					got := servers[x.shelf].send(x.method, x.target, x.body, headers...)
					if got.status != x.status {
						t.Errorf("%s %s: status %d, want %d", x.method, x.target, got.status, x.status)
					}
					if got.header.Get("Content-Encoding") == "gzip" && got.body != "" {
						got.body = gunzip(t, got.body)
					}
					if stale := got.header.Get("Hotshelf-Stale"); x.shelf == "stale" && (stale != "2" || got.header.Get("Cache-Control") != "no-store") {
						t.Errorf("%s %s (stale), status %d: %v", x.method, x.target, got.status, got.header)
					} else if x.shelf != "stale" && stale != "" {
						t.Errorf("%s %s (%s): Hotshelf-Stale: %s", x.method, x.target, x.shelf, stale)
					}
					tidy(&got)
					if err := check(document, x.method, x.path, got); err != nil {
						t.Errorf("%s %s (%s), status %d: %v", x.method, x.target, x.shelf, got.status, err)
					}
					seen[fmt.Sprint(x.method, " ", x.path, " ", got.status)] = true
				}
				for path, item := range document.Paths.Map() {
					for method, operation := range item.Operations() {
						for status := range operation.Responses.Map() {
							name := method + " " + path
							if !seen[name+" "+status] {
								t.Errorf("%s is described with %s, which was never seen", name, status)
							}
						}
					}
				}
			})
		}
	}
}

// tidy removes what the description leaves to its introduction: the Vary of an
// error depends on the server's origins alone.
func tidy(got *reply) {
	got.header.Del("Date")
	if got.header.Get("Vary") == "Origin" {
		got.header.Del("Vary")
	}
}

func startAll(t *testing.T, contract blob.Contract, origins []string) map[string]*running {
	servers := map[string]*running{}
	stale := newShelf(t, contract)
	stale.stale = 1500 * time.Millisecond
	for name, s := range map[string]*shelf{
		"":            newShelf(t, contract),
		"unready":     {err: blob.ErrNotReady},
		"unavailable": {err: blob.ErrUnavailable},
		"stale":       stale,
		"overloaded":  {err: blob.ErrOverloaded},
		"unforeseen":  {err: errors.New("unforeseen")},
		"panics":      {panics: true},
		"gone":        {err: blob.ErrNotFound},
		"unknown":     {err: blob.ErrOutcomeUnknown},
		"off":         {},
	} {
		config := Config{Catalogue: s, CORSOrigins: origins, Storefront: true}
		if name != "off" {
			config = withWrites(t, config, &scribe{t: t, contract: contract, err: s.err, panics: s.panics})
		}
		if name == "unready" {
			config.Ready = func() []string { return []string{"no catalogue"} }
		}
		servers[name] = start(t, config)
	}
	return servers
}

// TestCheckFindsFaults plants faults in responses that are right otherwise.
func TestCheckFindsFaults(t *testing.T) {
	document := description(t, blob.Pulsar)
	server := start(t, Config{Catalogue: newShelf(t, blob.Pulsar)})
	const path = "/products/{product_id}/styles"
	right := server.do("GET", "/products/1/styles")
	if err := check(document, "GET", path, right); err != nil {
		t.Fatalf("the response without a fault: %v", err)
	}
	body := func(from, to string) func(*reply) {
		return func(r *reply) {
			if !strings.Contains(r.body, from) {
				t.Fatalf("no %s in %s", from, r.body)
			}
			r.body = strings.Replace(r.body, from, to, 1)
		}
	}
	for name, plant := range map[string]func(*reply){
		"a price of the other contract":    body(`"original_price":"140"`, `"original_price":"140.00"`),
		"a price that is a number":         body(`"original_price":"140"`, `"original_price":140`),
		"no sale as the other contract":    body(`"sale_price":"0"`, `"sale_price":null`),
		"a default of the other contract":  body(`"default?":1`, `"default?":true`),
		"SKUs of the other contract":       body(`"XS":10`, `"1":{"quantity":8,"size":"XS"}`),
		"a placeholder beside SKUs":        body(`"XS":10`, `"null":null,"XS":10`),
		"no photos":                        body(`"photos":[{"url":null,"thumbnail_url":null}]`, `"photos":[]`),
		"an additional field":              body(`"style_id":1`, `"style_id":1,"id":1`),
		"a missing field":                  body(`"style_id":1,`, ``),
		"a product id that is a number":    body(`"product_id":"1"`, `"product_id":1`),
		"no ETag":                          func(r *reply) { r.header.Del("ETag") },
		"a weak ETag":                      func(r *reply) { r.header.Set("ETag", `W/"1"`) },
		"a header that is not described":   func(r *reply) { r.header.Set("Server", "fasthttp") },
		"another Cache-Control":            func(r *reply) { r.header.Set("Cache-Control", "public") },
		"another Content-Type":             func(r *reply) { r.header.Set("Content-Type", "text/plain") },
		"a status that is not described":   func(r *reply) { r.status = 202 },
		"a problem in the place of styles": func(r *reply) { r.status, r.body = 404, `{"error":"x"}` },
	} {
		wrong := reply{right.status, right.header.Clone(), right.body}
		plant(&wrong)
		if check(document, "GET", path, wrong) == nil {
			t.Errorf("%s is not found", name)
		}
	}
}

// TestProblemsEverywhere: errors that belong to no described operation have the
// same form.
func TestProblemsEverywhere(t *testing.T) {
	problem := description(t, blob.Pulsar).Components.Schemas["Problem"].Value
	server := startTCP(t, Config{Catalogue: newShelf(t, blob.Pulsar)}, nil)
	for _, request := range []string{
		"GET /", "GET /nowhere", "GET /products/1/photos", "GET //products/1", "GET /products/1//", "GET /%", "GET /\xff\xfe", "GET /products/%zz/styles",
		"GET /products/<script>", "BREW /products", "TRACE /products/1", "CONNECT shop.test:80", "POST /healthz", "PUT /products/list", "GET /nowhere\r\nContent-Length: x",
	} {
		got := parseReplies(t, server.raw(strings.Replace(request+"\r\n", "\r\n", " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", 1)+"\r\n"), "GET")[0]
		var value any
		if err := json.Unmarshal([]byte(got.body), &value); err != nil {
			t.Errorf("%q: %v", request, err)
			continue
		}
		if err := problem.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%q: %s %s: %v", request, got.header.Get("Content-Type"), got.body, err)
		}
	}
}
