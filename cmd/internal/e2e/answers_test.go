package e2e

import (
	"fmt"
	"io"
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
// answer for every product with what follows from the CSV files, in both
// contracts.
func TestEveryAnswer(t *testing.T) {
	products := 100_000
	if testing.Short() {
		products = 5_000
	}
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
	compareAll(t, s, want, "pulsar")

	must(t, dir, "warm", data, "--contract", "atelier", "--quiet")
	last := want.products[len(want.products)-1]
	until(t, "the server takes the other contract over", func() bool {
		_, _, body := s.get(t, fmt.Sprintf("/products/%d", last.id))
		return reflect.DeepEqual(decode(t, body), any(last.detail("atelier")))
	})
	compareAll(t, s, want, "atelier")
}

func compareAll(t *testing.T, s *server, want *catalogue, contract string) {
	t.Helper()
	client := &nethttp.Client{Transport: &nethttp.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	get := func(path string) (nethttp.Header, []byte) {
		response, err := client.Get(s.url + path)
		if err != nil {
			t.Error(err)
			return nil, nil
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != nethttp.StatusOK {
			t.Errorf("GET %s: %s, %v, %s", path, response.Status, err, body)
		}
		return response.Header, body
	}
	compare := func(path string, body []byte, want any) {
		if t.Failed() {
			return
		}
		if got := decode(t, body); !reflect.DeepEqual(got, want) {
			t.Errorf("GET %s, %s:\ngot  %s\nwant %v", path, contract, body, want)
		}
	}

	work := make(chan []*product)
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for page := range work {
				if t.Failed() {
					continue
				}
				for _, p := range page {
					path := fmt.Sprintf("/products/%d", p.id)
					_, body := get(path)
					compare(path, body, p.detail(contract))
					_, body = get(path + "/styles")
					compare(path+"/styles", body, p.allStyles(contract))
					if bad := sizesOutOfOrder(body); contract == "pulsar" && bad != "" {
						t.Errorf("GET %s/styles: sizes are out of order: %s", path, bad)
					}
					_, body = get(path + "/related")
					compare(path+"/related", body, p.relatedIDs())
				}
			}
		})
	}
	const count = 500
	for from := 0; from < len(want.products); from += count {
		page := want.products[from:min(from+count, len(want.products))]
		work <- page

		path := fmt.Sprintf("/products/list?page=%d&count=%d", from/count+1, count)
		header, body := get(path)
		listed := []any{}
		for _, p := range page {
			listed = append(listed, p.listed(contract))
		}
		compare(path, body, any(listed))
		if total := header.Get("X-Total-Count"); total != strconv.Itoa(len(want.products)) {
			t.Errorf("GET %s: X-Total-Count is %s", path, total)
		}
		var ids []string
		details := []any{}
		for _, p := range page[:min(len(page), 100)] {
			ids = append(ids, strconv.FormatInt(p.id, 10))
			details = append(details, p.detail(contract))
		}
		path = "/products?ids=" + strings.Join(ids, ",")
		_, body = get(path)
		compare(path, body, any(details))
	}
	close(work)
	wg.Wait()
}
