package http

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// counted are the statuses with a count of their own; the last place takes all
// others.
var counted = [...]int{
	200, 201, 204, 304, 400, 401, 403, 404, 405, 408, 412, 413, 415, 422, 429, 431, 500, 503, 504, 0,
}

// placeOf finds a status's place in counted.
var placeOf = func() (places [600]uint8) {
	for status := range places {
		place := slices.Index(counted[:], status)
		if place < 0 || status == 0 {
			place = len(counted) - 1
		}
		places[status] = uint8(place)
	}
	return places
}()

// latencies are the upper bounds of the histogram's buckets. A hit is answered
// within the first; the last ones are beyond the time that a miss may take.
var latencies = [...]time.Duration{
	10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond,
}

// tally counts the requests of one route.
type tally struct {
	statuses [len(counted)]atomic.Uint64
	buckets  [len(latencies) + 1]atomic.Uint64 // not cumulative
	nanos    atomic.Int64
}

// shares is how many counters there are of each kind. Connections are spread
// over them, so that processors seldom write to the same memory.
const shares = 8

// requests counts what was answered.
type requests struct {
	names  []routeName
	reads  [readRelated + 1]int // places of the read routes in names
	shares [shares][]tally      // of each route
}

// routeName is a route as metrics label it. GET stands for HEAD too.
type routeName struct{ method, path string }

// otherRoute is the place of what has no route of its own: OPTIONS, paths that
// don't exist, and what could not be read as a request.
const otherRoute = 0

func newRequests(routes []route) *requests {
	r := &requests{names: []routeName{{"", "other"}}}
	reads := map[string]readRoute{
		"/products": readProducts, "/products/list": readList, "/products/{product_id}": readDetail,
		"/products/{product_id}/styles": readStyles, "/products/{product_id}/related": readRelated,
	}
	for _, route := range routes {
		method, _, _ := strings.Cut(route.methods, ",")
		if read := reads[route.path]; read != noRead && method == "GET" {
			r.reads[read] = len(r.names)
		}
		r.names = append(r.names, routeName{method, route.path})
	}
	for i := range r.shares {
		r.shares[i] = make([]tally, len(r.names))
	}
	return r
}

// timedEach: of so many reads on a connection, one is timed, the first one
// included. Reading the clock twice costs about as much as all else that is
// done for a hit outside of fasthttp, and far more on virtual machines that
// have no fast clock. Writes are all timed.
const timedEach = 8

// of returns where to count a connection's request; route is its place in
// names.
func (r *requests) of(conn uint64, route int) *tally { return &r.shares[conn%shares][route] }

func (t *tally) answered(status int) {
	t.statuses[placeOf[min(uint(status), uint(len(placeOf)-1))]].Add(1)
}

func (t *tally) took(d time.Duration) {
	bucket := 0
	for bucket < len(latencies) && d > latencies[bucket] {
		bucket++
	}
	t.buckets[bucket].Add(1)
	t.nanos.Add(int64(d))
}

// totals adds up a route's shares.
func (r *requests) totals(route int) (statuses [len(counted)]uint64, buckets [len(latencies) + 1]uint64, nanos int64) {
	for i := range r.shares {
		t := &r.shares[i][route]
		for j := range statuses {
			statuses[j] += t.statuses[j].Load()
		}
		for j := range buckets {
			buckets[j] += t.buckets[j].Load()
		}
		nanos += t.nanos.Load()
	}
	return statuses, buckets, nanos
}

// singles is how many single products the catalogue was asked for: all
// requests for one, but those without a good id.
func (r *requests) singles() (n uint64) {
	for _, read := range []readRoute{readDetail, readStyles, readRelated} {
		statuses, _, _ := r.totals(r.reads[read])
		for place, count := range statuses {
			if counted[place] != fasthttp.StatusBadRequest {
				n += count
			}
		}
	}
	return n
}

// hits is how many products were found in the cache. It never goes down,
// although requests under way may have been counted as missed already.
func (s *Server) hits(r *Reading) int64 {
	hits := int64(s.requests.singles()) + r.Listed - r.Missed
	for {
		shown := s.shownHits.Load()
		if hits <= shown || s.shownHits.CompareAndSwap(shown, hits) {
			return max(hits, shown)
		}
	}
}
