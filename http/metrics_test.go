package http

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

var sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-zA-Z_]+="[^"\\]*"(?:, ?[a-zA-Z_]+="[^"\\]*")*\})? (\S+)$`)

// scrape returns the samples of a server's metrics by name and labels, and
// fails on what a scraper would not take.
func scrape(t testing.TB, admin *running) map[string]float64 {
	t.Helper()
	got := admin.do("GET", "/metrics")
	if got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("/metrics: %d %v", got.status, got.header)
	}
	samples, kinds := map[string]float64{}, map[string]string{}
	for line := range strings.SplitSeq(strings.TrimSuffix(got.body, "\n"), "\n") {
		if rest, found := strings.CutPrefix(line, "# TYPE "); found {
			name, kind, _ := strings.Cut(rest, " ")
			if kinds[name] != "" {
				t.Errorf("%s has two types", name)
			}
			kinds[name] = kind
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("no sample: %q", line)
			continue
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if _, twice := samples[m[1]+m[2]]; twice {
			t.Errorf("%s%s is there twice", m[1], m[2])
		}
		family := m[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base := strings.TrimSuffix(family, suffix); kinds[base] == "histogram" {
				family = base
			}
		}
		if kind := kinds[family]; strings.HasPrefix(family, "hotshelf_") && (kind == "" || (kind == "counter") != strings.HasSuffix(family, "_total")) {
			t.Errorf("%s is of the kind %q", family, kind)
		}
		samples[m[1]+m[2]] = value
	}
	return samples
}

// TestRequestsAreCounted: by route and status, errors and panics too.
func TestRequestsAreCounted(t *testing.T) {
	s := newShelf(t, blob.Pulsar)
	s.enter = func(context.Context) error {
		s.panics = !s.panics // every second one
		return nil
	}
	server := startTCP(t, Config{Catalogue: s}, nil)
	admin := startAdmin(t, server.Server)
	before := scrape(t, admin)
	for _, request := range []string{
		"GET /products/1", "GET /products/1", "HEAD /products/1/styles", "HEAD /products/1/styles", "GET /products/x", "GET /products/list", "GET /products?ids=1",
		"POST /products", "GET /healthz", "GET /nowhere", "OPTIONS /products/1", "PUT /healthz",
	} {
		method, target, _ := strings.Cut(request, " ")
		server.do(method, target)
	}
	server.raw("nonsense\r\n\r\n")
	after := scrape(t, admin)
	const name = "hotshelf_http_requests_total"
	got := map[string]float64{}
	for key, value := range after {
		if strings.HasPrefix(key, name) && value != before[key] {
			got[strings.TrimPrefix(key, name)] = value - before[key]
		}
	}
	want := map[string]float64{
		`{method="GET",route="/products/{product_id}",status="500"}`:        1,
		`{method="GET",route="/products/{product_id}",status="200"}`:        1,
		`{method="GET",route="/products/{product_id}/styles",status="500"}`: 1,
		`{method="GET",route="/products/{product_id}/styles",status="200"}`: 1,
		`{method="GET",route="/products/{product_id}",status="400"}`:        1,
		`{method="GET",route="/products/list",status="200"}`:                1,
		`{method="GET",route="/products",status="200"}`:                     1,
		`{method="POST",route="/products",status="403"}`:                    1,
		`{method="GET",route="/healthz",status="200"}`:                      1,
		`{method="",route="other",status="404"}`:                            1,
		`{method="",route="other",status="204"}`:                            1,
		`{method="",route="other",status="405"}`:                            1,
		`{method="",route="other",status="400"}`:                            1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("counted %v\nwant %v", got, want)
	}
	if n := after["hotshelf_http_panics_total"]; n != 2 {
		t.Errorf("%v panics", n)
	}
	if after["hotshelf_ready"] != 1 || after["go_goroutines"] == 0 || after["hotshelf_http_connections_limit"] != 4096 {
		t.Error("the state of the server is not there")
	}
	checkHistograms(t, after)
}

// checkHistograms: each route has one, cumulative, of all its requests.
func checkHistograms(t *testing.T, samples map[string]float64) {
	t.Helper()
	const took = "hotshelf_http_request_duration_seconds"
	requests := map[string]float64{}
	label := regexp.MustCompile(`method="[^"]*",route="[^"]*"`)
	for key, value := range samples {
		if strings.HasPrefix(key, "hotshelf_http_requests_total{") {
			requests[label.FindString(key)] += value
		}
	}
	for labels, n := range requests {
		if labels == `method="",route="other"` {
			n-- // what could not be read as a request took no time
		}
		last := 0.0
		for _, bound := range latencies {
			key := fmt.Sprintf("%s_bucket{%s,le=%q}", took, labels, number(bound.Seconds()))
			value, found := samples[key]
			if !found || value < last {
				t.Errorf("%s: %v after %v", key, value, last)
			}
			last = value
		}
		if all := samples[took+"_bucket{"+labels+`,le="+Inf"}`]; all != n || samples[took+"_count{"+labels+"}"] != n {
			t.Errorf("%s: %v in the histogram, %v requests", labels, all, n)
		}
		if sum := samples[took+"_sum{"+labels+"}"]; (sum > 0) != (n > 0) {
			t.Errorf("%s: %v s for %v requests", labels, sum, n)
		}
	}
	if len(requests) < 8 {
		t.Errorf("%d routes", len(requests))
	}
}

// TestBuckets: a bound belongs to its bucket, and no status is lost.
func TestBuckets(t *testing.T) {
	r := newRequests(nil)
	for i, bound := range latencies {
		r.of(uint64(i), otherRoute).took(bound)
		r.of(uint64(i), otherRoute).took(bound + 1)
	}
	_, buckets, nanos := r.totals(otherRoute)
	if want := [...]uint64{1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1}; buckets != want {
		t.Errorf("buckets %v, want %v", buckets, want)
	}
	if nanos < int64(2*2500*time.Millisecond) {
		t.Errorf("%d ns in all", nanos)
	}
	for status := -1; status <= 1000; status++ {
		r.of(1, otherRoute).answered(status)
	}
	statuses, _, _ := r.totals(otherRoute)
	for i, n := range statuses[:len(statuses)-1] {
		if n != 1 {
			t.Errorf("status %d was counted %d times", counted[i], n)
		}
	}
	if rest := statuses[len(statuses)-1]; rest != 1002-uint64(len(counted)-1) {
		t.Errorf("%d other statuses", rest)
	}
	if !slices.IsSorted(latencies[:]) {
		t.Error("the bounds are not in order")
	}
}

// TestReading: what the scrape asks for is shown, and hits, which are counted
// nowhere, follow from what is and never go down.
func TestReading(t *testing.T) {
	var reading Reading
	server := start(t, Config{Catalogue: newShelf(t, blob.Pulsar), Observe: func() Reading { return reading }})
	admin := startAdmin(t, server.Server)
	server.do("GET", "/products/1")
	server.do("GET", "/products/4/styles") // does not exist: the cache may know that
	server.do("GET", "/products/0/related")
	reading = Reading{
		Listed: 10, Missed: 5, Coalesced: 1, Evicted: 2, Entries: 3, Bytes: 4, BytesLimit: 5, Unpacked: 22, Packed: 23, Filled: 24, Filling: true, Through: 6, Stale: 7,
		Lookups: 8, LookupsFailed: 9, LookupsRefused: 10, LookupsWaiting: 11, Products: 12, Generation: 13, RowsWaiting: 14,
		FeedVersion: 15, FeedLag: 20, MemoryLimit: 21, Staleness: 1500 * time.Millisecond, PoolAcquired: 16, PoolIdle: 17, PoolLimit: 18, PoolWaits: 19, PoolWaited: 250 * time.Millisecond,
	}
	got := scrape(t, admin)
	for name, want := range map[string]float64{
		"cache_hits_total": 7, "cache_misses_total": 5, "cache_coalesced_total": 1, "cache_evictions_total": 2, "cache_entries": 3, "cache_bytes": 4, "cache_unpacked_total": 22, "cache_packed_rows": 23, "cache_filled_total": 24, "cache_filling": 1,
		"cache_limit_bytes": 5, "cache_through_total": 6, "cache_stale_total": 7, "lookups_total": 8, "lookups_failed_total": 9, "lookups_refused_total": 10,
		"lookups_waiting": 11, "products": 12, "generation": 13, "rows_waiting": 14, "feed_version": 15, "feed_lag": 20, "memory_limit_bytes": 21, "feed_staleness_seconds": 1.5,
		"pool_acquired": 16, "pool_idle": 17, "pool_limit": 18, "pool_waits_total": 19, "pool_wait_seconds_total": 0.25,
	} {
		if value, found := got["hotshelf_"+name]; !found || value != want {
			t.Errorf("hotshelf_%s is %v, want %v", name, value, want)
		}
	}
	reading.Missed, reading.RowsWaiting, reading.FeedLag = 6, -1, -1 // a request under way has missed
	got = scrape(t, admin)
	if hits := got["hotshelf_cache_hits_total"]; hits != 7 {
		t.Errorf("hits went from 7 to %v", hits)
	}
	for _, name := range []string{"hotshelf_rows_waiting", "hotshelf_feed_lag"} {
		if _, found := got[name]; found {
			t.Errorf("%s is shown, although it is not known", name)
		}
	}
}

// TestTimed: of the reads on a connection each eighth is timed, from the first
// one on, and every write.
func TestTimed(t *testing.T) {
	server := startTCP(t, Config{Catalogue: newShelf(t, blob.Pulsar)}, nil)
	admin := startAdmin(t, server.Server)
	server.raw(strings.Repeat("GET /products/1 HTTP/1.1\r\nHost: x\r\n\r\n", 24) +
		"DELETE /products/1 HTTP/1.1\r\nHost: x\r\n\r\nDELETE /products/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /products/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	got := scrape(t, admin)
	for method, want := range map[string]float64{"GET": 3, "DELETE": 2} {
		if n := got[fmt.Sprintf(`hotshelf_http_request_duration_seconds_count{method=%q,route="/products/{product_id}"}`, method)]; n != want {
			t.Errorf("%v times of %s, want %v", n, method, want)
		}
	}
	if n := got[`hotshelf_http_requests_total{method="GET",route="/products/{product_id}",status="200"}`]; n != 25 {
		t.Errorf("%v requests, want 25", n)
	}
}
