package http

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/hotshelf/hotshelf/blob"
)

// anywhere brings about the responses that belong to no operation: by the names
// of their components, what a server is to get on a connection of its own.
var anywhere = map[string][]string{
	"NoSuchPath":         {"GET /nowhere", "HEAD /nowhere", "POST /products/1/photos", "GET /products/1//", "GET /docs/"},
	"MethodNotAllowed":   {"POST /healthz", "PUT /products/list", "HEAD /products/1/skus/2", "DELETE /docs", "BREW /products"},
	"TooSlow":            {"GET /products/1 HTTP/1.1\r\nHost: x\r\nA: b", "POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"},
	"HeadersTooLarge":    {"GET /products/1 HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", maxHeader) + "\r\n\r\n"},
	"NotHTTP":            {"GET /products/1\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"},
	"TooManyConnections": {"GET /products/1"},
	"Preflight":          {"OPTIONS /", "OPTIONS /products/1", "OPTIONS /nowhere", "OPTIONS /products/1e3/styles"},
}

// TestResponsesAnywhere validates the responses that belong to no operation
// against the components that describe them.
func TestResponsesAnywhere(t *testing.T) {
	components := description(t, blob.Pulsar).Components.Responses
	for _, origins := range [][]string{nil, {"https://a.test"}} {
		config := Config{Catalogue: newShelf(t, blob.Pulsar), CORSOrigins: origins}
		patient := startTCP(t, config, nil)
		hasty := startTCP(t, config, func(s *Server) { s.fast.ReadTimeout = 50 * time.Millisecond })
		config.MaxConns = 1
		full := startTCP(t, config, nil)
		occupy(t, full)

		for name, requests := range anywhere {
			server := patient
			switch name {
			case "TooSlow":
				server = hasty
			case "TooManyConnections":
				server = full
			}
			for _, request := range requests {
				raw := request
				if !strings.Contains(raw, "\r\n") {
					raw += " HTTP/1.1\r\nHost: x\r\nOrigin: https://a.test\r\nConnection: close\r\n\r\n"
				}
				method, _, _ := strings.Cut(request, " ")
				got := parseReplies(t, server.raw(raw), method)[0]
				tidy(&got)
				if err := checkResponse(components[name].Value, method, got); err != nil {
					t.Errorf("%s, %.40q: %d %v: %v", name, request, got.status, got.header, err)
				}
				if example, ok := exampleOf(components[name].Value); ok && example["status"] != float64(got.status) {
					t.Errorf("%s, %.40q: status %d", name, request, got.status)
				}
			}
		}
	}
}

// occupy takes the only connection that a server may have open.
func occupy(t *testing.T, server *running) {
	t.Helper()
	c, err := server.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
}

func exampleOf(response *openapi3.Response) (map[string]any, bool) {
	content := response.Content["application/problem+json"]
	if content == nil {
		return nil, false
	}
	example, ok := content.Example.(map[string]any)
	return example, ok
}

// TestErrorsHaveExamples: each error that is described has one, with its status.
func TestErrorsHaveExamples(t *testing.T) {
	document := description(t, blob.Pulsar)
	for name, response := range document.Components.Responses {
		if _, ok := exampleOf(response.Value); !ok && response.Value.Content["application/problem+json"] != nil {
			t.Errorf("%s has no example", name)
		}
	}
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			for status, response := range operation.Responses.Map() {
				if example, ok := exampleOf(response.Value); ok && fmt.Sprint(example["status"]) != status {
					t.Errorf("%s %s: the example of %s has the status %v", method, path, status, example["status"])
				}
			}
		}
	}
}
