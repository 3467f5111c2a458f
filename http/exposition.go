package http

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"
)

// Reading is what a scrape shows besides the requests: counts since the start,
// and what is so at the moment.
type Reading struct {
	// Products asked for by lists; asked for by any read and not in the cache;
	// of these, those that joined a look-up under way, and those that were in
	// the cache but may have been too old. Products served although too old.
	Listed, Missed, Coalesced, Through, Stale int64
	// Entries of the cache that were made from packed rows, that made room for
	// others, that are there; packed rows; and the bytes of both.
	Unpacked, Evicted, Entries, Packed, Bytes, BytesLimit int64
	Filled                                                int64
	Filling                                               bool
	// Look-ups, those that failed, reads turned away, products that wait.
	Lookups, LookupsFailed, LookupsRefused, LookupsWaiting int64
	// Of the catalogue: live products, its generation, and the rows of a load
	// that waits for a warm, below 0 where they are not known.
	Products, Generation, RowsWaiting int64
	// The version of the newest change that is known, by how much the database
	// is ahead, below 0 where it could not be asked, and how long ago nothing
	// newer was known to be there.
	FeedVersion, FeedLag int64
	Staleness            time.Duration
	// The budget of the whole process, in bytes.
	MemoryLimit int64
	// Connections to the database, how often one was waited for, and how long.
	PoolAcquired, PoolIdle, PoolLimit, PoolWaits int64
	PoolWaited                                   time.Duration
}

// exposition writes the Prometheus text format.
type exposition struct{ bytes.Buffer }

// family begins a metric; kind is counter, gauge or histogram.
func (e *exposition) family(name, kind, help string) {
	fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (e *exposition) counter(name, help string, value float64) {
	e.family(name, "counter", help)
	e.sample(name, value)
}

func (e *exposition) gauge(name, help string, value float64) {
	e.family(name, "gauge", help)
	e.sample(name, value)
}

func (e *exposition) sample(name string, value float64) {
	fmt.Fprintf(e, "%s %s\n", name, number(value))
}

func number(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }

// metrics answers a scrape.
func (a *Admin) metrics(ctx *fasthttp.RequestCtx) {
	var e exposition
	a.server.writeRequests(&e)
	a.server.writeReading(&e)
	writeBuild(&e)
	metrics.WriteProcessMetrics(&e)
	metrics.WriteFDMetrics(&e)
	static(ctx, valueMetrics, valueNoStore, e.Bytes())
}

func (s *Server) writeRequests(e *exposition) {
	const total, took = "hotshelf_http_requests_total", "hotshelf_http_request_duration_seconds"
	type sums struct {
		labels   string
		statuses [len(counted)]uint64
		buckets  [len(latencies) + 1]uint64
		nanos    int64
	}
	routes := make([]sums, len(s.requests.names))
	for i, name := range s.requests.names {
		r := &routes[i]
		r.labels = fmt.Sprintf("method=%q,route=%q", name.method, name.path)
		r.statuses, r.buckets, r.nanos = s.requests.totals(i)
	}
	e.family(total, "counter", "Requests answered; GET stands for HEAD too.")
	for i := range routes {
		for j, n := range routes[i].statuses {
			status := strconv.Itoa(counted[j])
			switch {
			case n == 0 && (s.requests.names[i].method != "GET" || counted[j] != fasthttp.StatusOK):
				continue // what never came; reads begin with 0, so that their rate is known from the first on
			case counted[j] == 0:
				status = "other"
			}
			fmt.Fprintf(e, "%s{%s,status=%q} %d\n", total, routes[i].labels, status, n)
		}
	}
	e.family(took, "histogram", "Time from a request that has been read to its answer, sending excluded; of every write, and of each eighth read on a connection.")
	for i := range routes {
		r, sum := &routes[i], uint64(0)
		for j, bound := range latencies {
			sum += r.buckets[j]
			fmt.Fprintf(e, "%s_bucket{%s,le=\"%s\"} %d\n", took, r.labels, number(bound.Seconds()), sum)
		}
		sum += r.buckets[len(latencies)]
		fmt.Fprintf(e, "%s_bucket{%s,le=\"+Inf\"} %d\n", took, r.labels, sum)
		fmt.Fprintf(e, "%s_sum{%s} %s\n%s_count{%s} %d\n", took, r.labels, number(float64(r.nanos)/1e9), took, r.labels, sum)
	}
	e.counter("hotshelf_http_panics_total", "Requests that ended in a panic.", float64(s.Panics()))
	e.counter("hotshelf_http_connections_refused_total", "Connections refused because as many as allowed were open.", float64(s.refused.Load()))
	e.gauge("hotshelf_http_connections", "Open connections.", float64(s.fast.GetOpenConnectionsCount()))
	e.gauge("hotshelf_http_connections_limit", "Connections that may be open.", float64(s.maxConns))
	ready := 0.0
	if len(s.notReady()) == 0 {
		ready = 1
	}
	e.gauge("hotshelf_ready", "1 when every kind of read can be answered.", ready)
}

func (s *Server) writeReading(e *exposition) {
	if s.observe == nil {
		return
	}
	r := s.observe()
	e.counter("hotshelf_cache_hits_total", "Products found in the cache.", float64(s.hits(&r)))
	e.counter("hotshelf_cache_misses_total", "Products not found in the cache.", float64(r.Missed))
	e.counter("hotshelf_cache_coalesced_total", "Misses that joined a look-up under way.", float64(r.Coalesced))
	e.counter("hotshelf_cache_through_total", "Misses because what was in the cache may have been too old.", float64(r.Through))
	e.counter("hotshelf_cache_stale_total", "Products served although too old, marked as such.", float64(r.Stale))
	e.counter("hotshelf_cache_evictions_total", "Entries that made room for others.", float64(r.Evicted))
	e.gauge("hotshelf_cache_entries", "Entries in the cache.", float64(r.Entries))
	e.counter("hotshelf_cache_unpacked_total", "Hits whose entry was made from a packed row.", float64(r.Unpacked))
	e.gauge("hotshelf_cache_packed_rows", "Packed rows behind the entries.", float64(r.Packed))
	e.counter("hotshelf_cache_filled_total", "Products looked up to be packed, though nobody had asked for them.", float64(r.Filled))
	filling := 0.0
	if r.Filling {
		filling = 1
	}
	e.gauge("hotshelf_cache_filling", "1 while there are such products.", filling)
	e.gauge("hotshelf_cache_bytes", "Bytes of entries and packed rows.", float64(r.Bytes))
	e.gauge("hotshelf_cache_limit_bytes", "Bytes that entries and packed rows may have.", float64(r.BytesLimit))
	e.counter("hotshelf_lookups_total", "Look-ups in the database, of one product or many.", float64(r.Lookups))
	e.counter("hotshelf_lookups_failed_total", "Look-ups that ended with an error.", float64(r.LookupsFailed))
	e.counter("hotshelf_lookups_refused_total", "Reads turned away because too many wait or the database is down.", float64(r.LookupsRefused))
	e.gauge("hotshelf_lookups_waiting", "Products that wait for a look-up to start.", float64(r.LookupsWaiting))
	e.gauge("hotshelf_products", "Products of the live catalogue.", float64(r.Products))
	e.gauge("hotshelf_generation", "Generation of the live catalogue.", float64(r.Generation))
	if r.RowsWaiting >= 0 {
		e.gauge("hotshelf_rows_waiting", "Rows of a load that waits for a warm, as PostgreSQL estimates them.", float64(r.RowsWaiting))
	}
	e.gauge("hotshelf_feed_version", "Version of the newest change that this server knows.", float64(r.FeedVersion))
	if r.FeedLag >= 0 {
		e.gauge("hotshelf_feed_lag", "By how many versions the database is ahead of what this server knows.", float64(r.FeedLag))
	}
	e.gauge("hotshelf_feed_staleness_seconds", "How long ago this server last knew that it knew the newest change.", r.Staleness.Seconds())
	e.gauge("hotshelf_memory_limit_bytes", "What the process may use, as --memory says.", float64(r.MemoryLimit))
	e.gauge("hotshelf_pool_acquired", "Connections to the database in use.", float64(r.PoolAcquired))
	e.gauge("hotshelf_pool_idle", "Connections to the database not in use.", float64(r.PoolIdle))
	e.gauge("hotshelf_pool_limit", "Connections to the database that may be open.", float64(r.PoolLimit))
	e.counter("hotshelf_pool_waits_total", "Times that a connection to the database was waited for.", float64(r.PoolWaits))
	e.counter("hotshelf_pool_wait_seconds_total", "Time that connections to the database were waited for.", r.PoolWaited.Seconds())
}

// writeBuild says what runs.
func writeBuild(e *exposition) {
	version, revision := "unknown", ""
	if build, ok := debug.ReadBuildInfo(); ok {
		version = build.Main.Version
		for _, setting := range build.Settings {
			if setting.Key == "vcs.revision" {
				revision = setting.Value
			}
		}
	}
	e.family("hotshelf_build_info", "gauge", "What runs.")
	fmt.Fprintf(e, "hotshelf_build_info{version=%q,revision=%q,goversion=%q} 1\n", version, revision, runtime.Version())
}
