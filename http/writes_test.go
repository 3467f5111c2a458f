package http

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	testToken  = "a-token-for-tests"
	newProduct = `{"name":"Camo Onesie","category":"Jackets","default_price":140}`
)

// scribe is a writer that has one product, the first of the samples, and
// answers with it.
type scribe struct {
	t        testing.TB
	contract blob.Contract
	// err, if set, is what every call returns; panics makes them panic.
	err    error
	panics bool
	// enter, if set, runs at the start of every call.
	enter func(context.Context)

	mu    sync.Mutex
	calls []string
	told  []blob.Change // by Wrote
}

// withWrites switches writes on.
func withWrites(t testing.TB, config Config, s *scribe) Config {
	t.Helper()
	config.Writer, config.Tokens = s, new(Tokens)
	config.Tokens.Set([]Token{NewToken("till", testToken)})
	config.Wrote = func(c blob.Change) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told = append(s.told, c)
	}
	return config
}

func (s *scribe) write(ctx context.Context, call string, match blob.Match, removed bool) (blob.Written, error) {
	if s.enter != nil {
		s.enter(ctx)
	}
	if s.panics {
		panic("the fake writer panics: secret-dsn")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
	if s.err != nil && s.err != blob.ErrOutcomeUnknown {
		return blob.Written{}, s.err
	}
	p := sampleProducts()[0]
	var b blob.Blobs
	blob.Build(&b, &p, s.contract)
	if match != nil && !match(41, b.Hash()) {
		return blob.Written{}, blob.ErrMovedOn
	}
	done := blob.Written{
		Change: blob.Change{Version: 99, Changed: []int64{p.ID}},
		Row:    blob.Row{ProductID: p.ID, Version: 99, Hash: b.Hash(), Contract: s.contract, Detail: b.Detail, Styles: b.Styles, Related: b.Related},
		SKU:    p.Styles[0].SKUs[2],
	}
	if removed {
		done.Change.Changed, done.Change.Removed = []int64{5}, []int64{p.ID}
	}
	if s.err != nil {
		done.Change.Version = 0
	}
	return done, s.err
}

func (s *scribe) Create(ctx context.Context, in *blob.Input) (blob.Written, error) {
	return s.write(ctx, "create "+*in.Name, nil, false)
}

func (s *scribe) Update(ctx context.Context, id int64, in *blob.Input, match blob.Match) (blob.Written, error) {
	return s.write(ctx, fmt.Sprint("update ", id, " ", in.Name != nil), match, false)
}

func (s *scribe) SetQuantity(ctx context.Context, id, sku, quantity int64, match blob.Match) (blob.Written, error) {
	return s.write(ctx, fmt.Sprint("set ", id, " ", sku, " ", quantity), match, false)
}

func (s *scribe) Delete(ctx context.Context, id int64, match blob.Match) (blob.Written, error) {
	return s.write(ctx, fmt.Sprint("delete ", id), match, true)
}

var authorized = []string{"Authorization: Bearer " + testToken, "Content-Type: application/json"}

// TestWrites: each route makes its call, and the cache has been told when the
// answer comes.
func TestWrites(t *testing.T) {
	s := &scribe{t: t}
	server := start(t, withWrites(t, Config{}, s))
	for _, c := range []struct{ method, target, body, call string }{
		{"POST", "/products", newProduct, "create Camo Onesie"},
		{"PUT", "/products/12", `{"name":"x"}`, "update 12 true"},
		{"PUT", "/products/0012", `{}`, "update 12 false"},
		{"PATCH", "/products/1/skus/9223372036854775807", `{"quantity":0}`, "set 1 9223372036854775807 0"},
		{"DELETE", "/products/1", "", "delete 1"},
		{"DELETE", "/products/1?x=1", "not looked at", "delete 1"},
	} {
		s.calls, s.told = nil, nil
		got := server.send(c.method, c.target, c.body, authorized...)
		if got.status/100 != 2 || !slices.Equal(s.calls, []string{c.call}) {
			t.Errorf("%s %s: %d %s, calls %q", c.method, c.target, got.status, got.body, s.calls)
		}
		if len(s.told) != 1 || s.told[0].Version != 99 || slices.Contains(s.told[0].Removed, 1) != (c.method == "DELETE") {
			t.Errorf("%s %s: the cache was told %v", c.method, c.target, s.told)
		}
	}
}

// TestWriteRefusals: what is refused for its form makes no call.
func TestWriteRefusals(t *testing.T) {
	s := &scribe{t: t}
	server := start(t, withWrites(t, Config{}, s))
	const auth, kind = "Authorization: Bearer " + testToken, "Content-Type: application/json"
	for _, c := range []struct {
		method, target, body string
		headers              []string
		status               int
	}{
		{"POST", "/products", newProduct, []string{kind}, 401},
		{"POST", "/products", newProduct, []string{kind, "Authorization: Basic " + testToken}, 401},
		{"POST", "/products", newProduct, []string{kind, auth + "x"}, 401},
		// Who has no token is told nothing about the rest.
		{"PUT", "/products/x", "{", []string{"Content-Type: text/plain"}, 401},
		{"PUT", "/products/0", `{}`, authorized, 400},
		{"PUT", "/products/-1", `{}`, authorized, 400},
		{"PUT", "/products/1.5", `{}`, authorized, 400},
		{"PUT", "/products/1e3", `{}`, authorized, 400},
		{"PUT", "/products/%31", `{}`, authorized, 400},
		{"PUT", "/products/%201", `{}`, authorized, 400},
		{"DELETE", "/products/9223372036854775808", "", authorized, 400},
		{"PATCH", "/products/1/skus/x", `{"quantity":1}`, authorized, 400},
		{"PATCH", "/products/x/skus/1", `{"quantity":1}`, authorized, 400},
		{"POST", "/products", newProduct, []string{auth}, 415},
		{"POST", "/products", newProduct, []string{auth, "Content-Type: text/json"}, 415},
		{"POST", "/products", newProduct, []string{auth, "Content-Type: application/json-patch+json"}, 415},
		{"POST", "/products", newProduct, []string{auth, kind + "; charset=latin1"}, 415},
		{"POST", "/products", newProduct, []string{auth, kind, "Content-Encoding: gzip"}, 415},
		{"POST", "/products", "", authorized, 400},
		{"POST", "/products", newProduct + "}", authorized, 400},
		{"POST", "/products", strings.Replace(newProduct, "Camo", "\xff", 1), authorized, 400},
		{"POST", "/products", `{}`, authorized, 422},
		{"PUT", "/products/1", `[]`, authorized, 422},
		{"PATCH", "/products/1/skus/1", `{}`, authorized, 422},
	} {
		if got := server.send(c.method, c.target, c.body, c.headers...); got.status != c.status {
			t.Errorf("%s %s %q %q: %d %s, want %d", c.method, c.target, c.body, c.headers, got.status, got.body, c.status)
		}
	}
	if len(s.calls) > 0 || len(s.told) > 0 {
		t.Errorf("calls %q, told %v", s.calls, s.told)
	}
	for _, header := range []string{kind + "; charset=utf-8", `content-type: Application/JSON;charset="UTF-8"`, kind + "; v=1"} {
		if got := server.send("POST", "/products", newProduct, auth, header); got.status != 201 {
			t.Errorf("%s: %d %s", header, got.status, got.body)
		}
	}
}

// TestIfMatch: strong comparison, lists, any state, and either form's tag.
func TestIfMatch(t *testing.T) {
	s := &scribe{t: t}
	server := start(t, withWrites(t, Config{}, s))
	p := sampleProducts()[0]
	var b blob.Blobs
	blob.Build(&b, &p, blob.Pulsar)
	tag := string(blob.AppendETag(nil, 41, b.Hash(), ""))
	zipped := string(blob.AppendETag(nil, 41, b.Hash(), blob.GzipSuffix))
	for _, c := range []struct {
		status  int
		headers []string
	}{
		{200, nil},
		{200, []string{"If-Match: *"}},
		{200, []string{"if-match:\t" + tag + " "}},
		{200, []string{"If-Match: " + zipped}},
		{200, []string{`If-Match: "x", W/"y" ,,` + tag}},
		{200, []string{`If-Match: "x"`, "If-Match: " + zipped}},
		{412, []string{"If-Match: W/" + tag}},
		{412, []string{"If-Match: "}},
		{412, []string{`If-Match: "*"`}},
		{412, []string{`If-Match: "x", *`}},
		{412, []string{"If-Match: " + strings.Trim(tag, `"`)}},
		{412, []string{"If-Match: " + string(blob.AppendETag(nil, 42, b.Hash(), ""))}},
		{412, []string{"If-Match: " + string(blob.AppendETag(nil, 41, b.Hash()+1, ""))}},
		{412, []string{"If-Match: " + string(blob.AppendETag(nil, 41, b.Hash(), "-br"))}},
	} {
		for method, body := range map[string]string{"PUT": `{}`, "DELETE": "", "PATCH": `{"quantity":1}`} {
			target := "/products/1"
			if method == "PATCH" {
				target += "/skus/3"
			}
			if got := server.send(method, target, body, slices.Concat(authorized, c.headers)...); got.status != c.status {
				t.Errorf("%s %q: %d %s, want %d", method, c.headers, got.status, got.body, c.status)
			}
		}
	}
}

// TestUnknownOutcome: the client is told what is known, and the cache that
// what the write may have changed is to be looked up again.
func TestUnknownOutcome(t *testing.T) {
	s := &scribe{t: t, err: blob.ErrOutcomeUnknown}
	server := start(t, withWrites(t, Config{}, s))
	got := server.send("POST", "/products", newProduct, authorized...)
	if got.status != 504 || got.header.Get("Location") != "/products/1" || got.header.Get("ETag") != "" {
		t.Errorf("%+v", got)
	}
	got = server.send("DELETE", "/products/1", "", authorized...)
	if got.status != 504 {
		t.Errorf("%+v", got)
	}
	if len(s.told) != 2 || s.told[0].Version != 0 || !slices.Equal(s.told[0].Changed, []int64{1}) || !slices.Equal(s.told[1].Removed, []int64{1}) {
		t.Errorf("the cache was told %v", s.told)
	}
}

// TestAudit: a line for each write, with the token's name, and neither the
// token nor the body.
func TestAudit(t *testing.T) {
	s := &scribe{t: t}
	server := start(t, withWrites(t, Config{}, s))
	sent := append(slices.Clone(authorized), "X-Request-Id: till:7")
	server.send("POST", "/products", newProduct, sent...)
	server.send("PATCH", "/products/1/skus/3", `{"quantity":7}`, sent...)
	server.send("PUT", "/products/7", `{"name":1}`, sent...)
	s.err = blob.ErrUnavailable
	server.send("DELETE", "/products/1", "", sent...)
	s.err = blob.ErrOutcomeUnknown
	server.send("DELETE", "/products/1", "", sent...)
	server.send("DELETE", "/products/1", "") // no token, no write
	lines := strings.Split(strings.TrimSpace(server.logs.String()), "\n")
	want := []string{
		"level=INFO msg=write token=till method=POST product=1 version=99 status=201 outcome=done request_id=till:7",
		"level=INFO msg=write token=till method=PATCH product=1 sku=3 version=99 status=200 outcome=done request_id=till:7",
		"level=INFO msg=write token=till method=PUT product=7 version=0 status=422 outcome=refused request_id=till:7",
		"level=WARN msg=write token=till method=DELETE product=1 version=0 status=503 outcome=failed request_id=till:7",
		`level=WARN msg=write token=till method=DELETE product=1 error="` + blob.ErrOutcomeUnknown.Error() + `" version=0 status=504 outcome=unknown request_id=till:7`,
	}
	if len(lines) != len(want) {
		t.Fatalf("log:\n%s", server.logs.String())
	}
	for i, line := range lines {
		if _, rest, _ := strings.Cut(line, " "); rest != want[i] {
			t.Errorf("%s\nwant %s", rest, want[i])
		}
	}
	if log := server.logs.String(); strings.Contains(log, testToken) || strings.Contains(log, "Camo") {
		t.Errorf("log:\n%s", log)
	}
}

// TestPanicOfWrite: it is one 500, and gives its place among the writes back.
func TestPanicOfWrite(t *testing.T) {
	s := &scribe{t: t, panics: true}
	server := start(t, withWrites(t, Config{}, s))
	for range maxWrites + 1 {
		if got := server.send("POST", "/products", newProduct, authorized...); got.status != 500 || got.header.Get("Location") != "" || strings.Contains(got.body, "secret") {
			t.Fatalf("%+v", got)
		}
	}
	s.panics = false
	if got := server.send("POST", "/products", newProduct, authorized...); got.status != 201 {
		t.Errorf("%+v", got)
	}
}

// TestWritesAreBounded: so many may wait, the next is told to come again, and
// each is given up at its limit.
func TestWritesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scribe{t: t, err: context.DeadlineExceeded}
		s.enter = func(ctx context.Context) { <-ctx.Done() }
		l := fasthttputil.NewInmemoryListener()
		server := inBubble(withWrites(t, Config{}, s))
		go func() { _ = server.Serve(l) }()
		const request = "DELETE /products/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + testToken + "\r\n\r\n"
		began := time.Now()
		var replies []<-chan string
		for range maxWrites {
			replies = append(replies, ask(t, l, request))
		}
		synctest.Wait()
		if got := <-ask(t, l, request); !strings.Contains(got, " 503 ") || !strings.Contains(got, "Retry-After: 1") || !strings.Contains(got, "Too many") {
			t.Errorf("the surplus got %q", got)
		}
		if !time.Now().Equal(began) {
			t.Error("the surplus had to wait")
		}
		for _, reply := range replies {
			if got := <-reply; !strings.Contains(got, " 503 ") || !strings.Contains(got, "It took too long") {
				t.Fatalf("after its limit: %q", got)
			}
		}
		if took := time.Since(began); took != writeLimit {
			t.Errorf("given up after %v", took)
		}
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Second) // fasthttp's workers end
	})
}
