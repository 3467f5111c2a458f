package http

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hotshelf/hotshelf/blob"
)

// go test ./http -run Transcripts -update writes the golden files anew.
var update = flag.Bool("update", false, "write the golden files")

// TestTranscripts holds whole exchanges, byte for byte, against golden files.
func TestTranscripts(t *testing.T) {
	failing := func(err error) *shelf { return &shelf{err: err} }
	const valid = "Authorization: Bearer " + testToken + "\nContent-Type: application/json"
	body := func(s string) string { return fmt.Sprintf("\nContent-Length: %d\n\n%s", len(s), s) }
	gzip := "Accept-Encoding: gzip, deflate, br"
	tag := fmt.Sprintf("If-None-Match: %s", newShelf(t, blob.Pulsar).answers[0].ETag())
	tests := []struct {
		file     string
		config   Config
		requests []string // "METHOD target", then headers, separated by line ends
	}{
		{"pulsar", Config{Catalogue: newShelf(t, blob.Pulsar)}, []string{
			"GET /products/1", "GET /products/1/styles", "GET /products/2/styles", "GET /products/1/related",
			"GET /products/2/related", "GET /products/list", "GET /products?page=2&count=2", "GET /products?ids=3,1,2",
		}},
		{"atelier", Config{Catalogue: newShelf(t, blob.Atelier)}, []string{
			"GET /products/1", "GET /products/1/styles", "GET /products/2/styles", "GET /products/1/related",
			"GET /products/2", "GET /products/list?count=2", "GET /products?ids=2",
		}},
		{"forms", Config{Catalogue: newShelf(t, blob.Pulsar)}, []string{
			"HEAD /products/1", "HEAD /products/list?count=1", "HEAD /products?ids=1,7",
			"GET /products/1/styles\n" + gzip, "HEAD /products/1/styles\n" + gzip, "GET /products/1/related\n" + gzip,
			"GET /products/1\n" + tag, "GET /products/1/styles\n" + tag + "\n" + gzip, "HEAD /products/1\nIf-None-Match: *",
			"GET /products/list?count=1\nIf-None-Match: *", "GET /products?ids=7,1,6,1,7\nIf-None-Match: *",
			"GET /products/1/", "GET /products/?count=1", "GET /products/list/?count=1&page=9",
		}},
		{"refusals", Config{Catalogue: newShelf(t, blob.Pulsar)}, []string{
			"GET /products/4", "HEAD /products/4/styles", "GET /products/0", "GET /products/%31", "GET /products/abc/related",
			"GET /products?page=0", "GET /products/list?count=x", "GET /products?ids=1,x", "GET /products?ids=1&ids=2",
			"GET /nowhere", "GET /products/1/photos", "GET /products//1", "GET /products/1//",
			"DELETE /products/list", "PATCH /products", "POST /products/1", "DELETE /products/1/styles/", "PUT /products/", "GET /products/1/skus/2",
			"POST /products", "PUT /products/1", "DELETE /products/1", "PATCH /products/1/skus/2",
			"POST /products\nContent-Length: 2000000",
		}},
		{"writes", withWrites(t, Config{}, &scribe{t: t, contract: blob.Pulsar}), []string{
			"POST /products\n" + valid + body(newProduct), "PUT /products/1\n" + valid + body(`{"name":"x"}`),
			"PATCH /products/1/skus/3\n" + valid + body(`{"quantity":7}`), "DELETE /products/1\n" + valid,
			"POST /products\nContent-Type: application/json" + body(newProduct), "PUT /products/1\nAuthorization: Bearer guessed" + body(`{}`),
			"POST /products\n" + valid + body(`{"name":"a`), "POST /products\n" + valid + body(`{"name":1,"price":2,"styles":[{"name":"a"}],"related":[-1]}`),
			"PATCH /products/1/skus/3\n" + valid + body(`{"quantity":-7}`), "PUT /products/1\nAuthorization: Bearer " + testToken + body(`{}`),
			"PUT /products/x\n" + valid + body(`{}`), "DELETE /products/1\nIf-Match: \"1-00000000\"\n" + valid,
		}},
		{"unknown", withWrites(t, Config{}, &scribe{t: t, contract: blob.Pulsar, err: blob.ErrOutcomeUnknown}), []string{"POST /products\n" + valid + body(newProduct)}},
		{"cors", Config{Catalogue: newShelf(t, blob.Pulsar), CORSOrigins: []string{"https://a.test", "https://b.test"}}, []string{
			"OPTIONS /products/1\nOrigin: https://b.test\nAccess-Control-Request-Method: PUT", "OPTIONS /nowhere\nOrigin: https://c.test",
			"GET /products/5/related\nOrigin: https://a.test", "GET /products/5/related\nOrigin: https://c.test", "GET /products/5/related",
			"GET /products/4\nOrigin: https://a.test", "GET /products/5\nOrigin: https://a.test\nIf-None-Match: *",
		}},
		{"preflight", Config{Catalogue: newShelf(t, blob.Pulsar)}, []string{"OPTIONS /products/1", "OPTIONS *"}},
		{"service", Config{Catalogue: newShelf(t, blob.Pulsar)}, []string{"GET /healthz", "HEAD /healthz", "GET /readyz", "POST /readyz"}},
		{"unready", Config{
			Catalogue: failing(blob.ErrNotReady),
			Ready:     func() []string { return []string{"no catalogue is published: run load, then warm"} },
		}, []string{"GET /readyz", "GET /healthz", "GET /products/1", "GET /products"}},
		{"unavailable", Config{Catalogue: failing(fmt.Errorf("look up 1: %w: dial tcp 10.0.0.7: refused", blob.ErrUnavailable))}, []string{"GET /products/1", "HEAD /products/1"}},
		{"overloaded", Config{Catalogue: failing(blob.ErrOverloaded)}, []string{"GET /products?ids=1"}},
		{"unforeseen", Config{Catalogue: failing(errors.New("pq: password authentication failed"))}, []string{"GET /products/1"}},
		{"panic", Config{Catalogue: &shelf{panics: true}}, []string{"GET /products/1"}},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			server := start(t, test.config)
			var transcript strings.Builder
			for _, request := range test.requests {
				head, body, _ := strings.Cut(request, "\n\n")
				line, headers, _ := strings.Cut(head, "\n")
				raw := line + " HTTP/1.1\nHost: shop.test\nConnection: close\n"
				if headers != "" {
					raw += headers + "\n"
				}
				response := server.raw(strings.ReplaceAll(raw+"\n", "\n", "\r\n") + body)
				if body != "" {
					raw += "\n" + body
				}
				for l := range strings.SplitSeq(strings.TrimSuffix(raw, "\n"), "\n") {
					fmt.Fprintf(&transcript, "> %s\n", l)
				}
				transcript.WriteString(printable(t, response) + "\n\n")
			}
			golden(t, filepath.Join("testdata", "transcripts", test.file+".txt"), transcript.String())
		})
	}
}

// printable shows a gzip body decoded, and its length not at all: it depends
// on the compressor's version. A date can only come from an answer that was
// started anew after a panic.
func printable(t *testing.T, response string) string {
	head, body, _ := strings.Cut(response, "\r\n\r\n")
	head = regexp.MustCompile(`\r\nDate: .*`).ReplaceAllString(head, "\r\nDate: (now)")
	head = regexp.MustCompile(`\r\nX-Request-Id: [89a-f][0-9a-f]{15}\b`).ReplaceAllString(head, "\r\nX-Request-Id: (drawn)")
	if strings.Contains(head, "Content-Encoding: gzip") {
		length := fmt.Sprintf("Content-Length: %d", len(body))
		if body != "" {
			if !strings.Contains(head, length) {
				t.Errorf("a body of %d bytes, announced as %q", len(body), head)
			}
			body = "(gzip) " + gunzip(t, body)
		}
		lines := strings.Split(head, "\r\n")
		for i, l := range lines {
			if strings.HasPrefix(l, "Content-Length: ") {
				lines[i] = "Content-Length: (of the gzip form)"
			}
		}
		head = strings.Join(lines, "\r\n")
	}
	return strings.TrimRight(strings.ReplaceAll(head, "\r\n", "\n")+"\n\n"+body, "\n")
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", file, diff)
	}
}
