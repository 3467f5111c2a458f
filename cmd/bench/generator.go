package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// A requestMaker appends the next request to b. It is called by one goroutine.
type requestMaker func(b []byte) []byte

// plan is one run of a client's load.
type plan struct {
	// rate is how many requests a second fall due, at equal distances, whatever
	// the answers do. 0 is a closed loop: each connection sends its next request
	// when it has the answer to the last.
	rate     float64
	duration time.Duration
	next     requestMaker
	// inTurn uses the connections in turn: the server ends those that are idle,
	// as under a slow load most would be.
	inTurn bool
	// spin never sleeps between answers. It is for a generator with a CPU of its
	// own: else a server would pay for waking it up, and the slower one, whose
	// answers are waited for, would do so with each of them.
	spin bool
}

// grace is how long after a run's end its last answers are waited for.
const grace = 10 * time.Second

// outcome is what came of a run.
type outcome struct {
	requests int64 // answered with 200 or 304
	errors   int64 // answered otherwise, broken off, or not answered in time
	first    string
	bytes    int64         // of the responses, headers included
	took     time.Duration // from the start to the last answer
	// latencies of the answered requests, ascending. They count from when a
	// request fell due, not from when a connection was free to send it, so that
	// a server that stalls is charged with every request that waited.
	latencies []time.Duration
}

func (o *outcome) fail(format string, args ...any) {
	if o.errors++; o.first == "" {
		o.first = fmt.Sprintf(format, args...)
	}
}

// add takes in what came of a run after this one. The latencies are sorted by
// whoever has added all.
func (o *outcome) add(p *outcome) {
	if o.errors == 0 {
		o.first = p.first
	}
	o.requests, o.errors, o.bytes, o.took = o.requests+p.requests, o.errors+p.errors, o.bytes+p.bytes, o.took+p.took
	o.latencies = append(o.latencies, p.latencies...)
}

// perSecond is how many requests were answered a second.
func (o *outcome) perSecond() float64 { return float64(o.requests) / o.took.Seconds() }

// at is the time that a share of the requests took at most.
func (o *outcome) at(share float64) time.Duration { return percentile(o.latencies, share) }

// percentile returns the smallest of ascending values that a share of them
// doesn't exceed; 0 where there is none.
func percentile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	n := int(math.Ceil(share*float64(len(sorted)) - 1e-9))
	return sorted[min(max(n, 1), len(sorted))-1]
}

// curve is the latencies as they are drawn: denser towards the slowest, and no
// further than there are ten requests beyond.
func curve(contender string, sorted []time.Duration) Latency {
	l := Latency{Contender: contender}
	for _, share := range []float64{0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 0.99995, 0.99999} {
		if share <= 0.5 || float64(len(sorted))*(1-share) >= 10 {
			l.Points = append(l.Points, Point{share, percentile(sorted, share).Seconds()})
		}
	}
	return l
}

// The columns of a run under load.
const (
	columnRate    = "rate"
	columnRequest = "cpu_request" // CPU per request
	columnP50     = "p50"
	columnP99     = "p99"
	columnP999    = "p999"
	columnMax     = "max"
	columnErrors  = "errors"
)

var latencyColumns = []Column{
	{columnP50, "p50", Time}, {columnP99, "p99", Time}, {columnP999, "p99.9", Time}, {columnMax, "slowest", Time},
	{columnErrors, "errors", Count},
}

// values are those of columnRate and latencyColumns.
func (o *outcome) values() map[string]float64 {
	v := map[string]float64{columnErrors: float64(o.errors)}
	if len(o.latencies) > 0 {
		v[columnRate] = o.perSecond()
		v[columnP50], v[columnP99], v[columnP999] = o.at(0.5).Seconds(), o.at(0.99).Seconds(), o.at(0.999).Seconds()
		v[columnMax] = o.latencies[len(o.latencies)-1].Seconds()
	}
	return v
}

// strict is an error where any request failed: a figure that compares is one
// of answers, and nothing else.
func (o *outcome) strict() error {
	if o.errors > 0 {
		return fmt.Errorf("%d requests failed, the first: %s", o.errors, o.first)
	}
	if o.requests == 0 {
		return fmt.Errorf("no request was answered")
	}
	return nil
}

// under opens connections to addr and puts them under load.
func under(ctx context.Context, addr string, conns int, p plan) (*outcome, error) {
	c, err := dial(addr, conns)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.run(ctx, p)
}

func sorted(latencies []time.Duration) []time.Duration {
	slices.Sort(latencies)
	return latencies
}
