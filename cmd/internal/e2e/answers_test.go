package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestEveryAnswer loads, warms and serves a catalogue, and compares every
// answer for every product with what follows from the CSV files; in the second
// contract for a tenth of the products, and in the long tests for all.
func TestEveryAnswer(t *testing.T) {
	if testing.Short() {
		everyAnswer(t, 5_000, 1)
	} else {
		everyAnswer(t, 100_000, 10)
	}
}

// everyAnswer compares all answers under pulsar, and those of one page of the
// list in atelierStep under atelier.
func everyAnswer(t *testing.T, products, atelierStep int) {
	t.Helper()
	dir := t.TempDir()
	data := "--data-dir=" + filepath.Join(dir, "data")
	must(t, dir, "sample", "csv", "--products", strconv.Itoa(products), "--seed", "7")
	want := readCatalogue(t, filepath.Join(dir, "csv"))
	if len(want.products) != products {
		t.Fatalf("the sample has %d products", len(want.products))
	}

	// The server is there from the start, and takes each catalogue over as it
	// goes live.
	must(t, dir, "load", data, "csv", "--quiet")
	must(t, dir, "warm", data, "--quiet")
	s := serve(t, dir, data)
	compareAll(t, s, want, "pulsar", 1)

	must(t, dir, "warm", data, "--contract", "atelier", "--quiet")
	last := want.products[len(want.products)-1]
	until(t, "the server takes the other contract over", func() bool {
		_, _, body := s.get(t, fmt.Sprintf("/products/%d", last.id))
		return reflect.DeepEqual(decode(t, body), any(last.detail("atelier")))
	})
	compareAll(t, s, want, "atelier", atelierStep)
}

func compareAll(t *testing.T, s *server, want *catalogue, contract string, step int) {
	t.Helper()
	const count = 500
	pages := make(chan int)
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			c := connect(t, s)
			defer c.Close()
			for page := range pages {
				if !t.Failed() {
					from := page * count
					comparePage(t, c, want.products[from:min(from+count, len(want.products))], page+1, len(want.products), contract)
				}
			}
		})
	}
	for page := 0; page*count < len(want.products); page += step {
		pages <- page
	}
	close(pages)
	wg.Wait()
}

// comparePage compares the answers for the products of one page of the list.
func comparePage(t *testing.T, c *pipeline, products []*product, page, total int, contract string) {
	var paths []string
	var want []any
	ask := func(answer any, format string, args ...any) {
		paths, want = append(paths, fmt.Sprintf(format, args...)), append(want, answer)
	}
	var ids []string
	listed, details := []any{}, []any{}
	for i, p := range products {
		ask(p.detail(contract), "/products/%d", p.id)
		ask(p.allStyles(contract), "/products/%d/styles", p.id)
		ask(p.relatedIDs(), "/products/%d/related", p.id)
		listed = append(listed, p.listed(contract))
		if i < 100 {
			ids, details = append(ids, strconv.FormatInt(p.id, 10)), append(details, p.detail(contract))
		}
	}
	ask(listed, "/products/list?page=%d&count=500", page)
	ask(details, "/products?ids=%s", strings.Join(ids, ","))

	for i, response := range c.get(t, paths) {
		if response.status != nethttp.StatusOK || !reflect.DeepEqual(decode(t, response.body), want[i]) {
			t.Errorf("GET %s, %s: %d\ngot  %s\nwant %v", paths[i], contract, response.status, response.body, want[i])
			return
		}
		if contract == "pulsar" && strings.HasSuffix(paths[i], "/styles") {
			if bad := sizesOutOfOrder(response.body); bad != "" {
				t.Errorf("GET %s: sizes are out of order: %s", paths[i], bad)
			}
		}
		if strings.Contains(paths[i], "/list") && response.header.Get("X-Total-Count") != strconv.Itoa(total) {
			t.Errorf("GET %s: X-Total-Count is %s", paths[i], response.header.Get("X-Total-Count"))
		}
	}
}

// pipeline is one connection that many requests are sent on at a time: with a
// request after the other, the comparison would mostly wait.
type pipeline struct {
	net.Conn
	in *bufio.Reader
}

type response struct {
	status int
	header nethttp.Header
	body   []byte
}

func connect(t *testing.T, s *server) *pipeline {
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Error(err)
		return &pipeline{Conn: &net.TCPConn{}, in: bufio.NewReader(strings.NewReader(""))}
	}
	return &pipeline{Conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
}

// get returns the responses to as many requests, fewer after a fault.
func (p *pipeline) get(t *testing.T, paths []string) []response {
	var requests strings.Builder
	for _, path := range paths {
		requests.WriteString("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(p, requests.String())
		sent <- err
	}()
	var all []response
	for _, path := range paths {
		r, err := nethttp.ReadResponse(p.in, nil)
		if err == nil {
			var body []byte
			body, err = io.ReadAll(r.Body)
			_ = r.Body.Close()
			all = append(all, response{r.StatusCode, r.Header, body})
		}
		if err != nil {
			t.Errorf("GET %s: %v", path, err)
			_ = p.Close()
			break
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	return all
}
