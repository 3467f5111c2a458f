//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// answering serves connections that each get their answers from a function of
// the request's first line.
func answering(t *testing.T, answer func(line string) string) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				in := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					text := answer(r.URL.Path)
					if text == "" {
						return
					}
					if _, err := c.Write([]byte(text)); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func okay(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func asks(paths ...string) requestMaker {
	k := -1
	return func(b []byte) []byte {
		k++
		return append(b, "GET "+paths[k%len(paths)]+requestEnd...)
	}
}

func TestClosedLoop(t *testing.T) {
	addr := answering(t, func(path string) string { return okay(strings.Repeat(path, 20000)) }) // several reads each
	o, err := under(t.Context(), addr, 3, plan{duration: 50 * time.Millisecond, next: asks("/abc", "/d")})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.strict(); err != nil {
		t.Error(err)
	}
	if n := int64(len(o.latencies)); n != o.requests || o.bytes < n*40000 || !slices.IsSorted(o.latencies) {
		t.Errorf("%d requests, %d latencies, %d bytes", o.requests, n, o.bytes)
	}
}

// A server that stops for a while is charged with every request that fell due
// meanwhile, although one connection could only send one of them.
func TestOpenLoopDoesNotOmit(t *testing.T) {
	const stall = 400 * time.Millisecond
	stalled := make(chan struct{}, 1)
	stalled <- struct{}{}
	addr := answering(t, func(string) string {
		select {
		case <-stalled:
			time.Sleep(stall) // what the server does wrong
		default:
		}
		return okay("x")
	})
	o, err := under(t.Context(), addr, 1, plan{rate: 1000, duration: 300 * time.Millisecond, next: asks("/a")})
	if err != nil {
		t.Fatal(err)
	}
	if o.requests != 300 || o.errors != 0 {
		t.Errorf("%d answers and %d errors (%s), want the 300 that fell due", o.requests, o.errors, o.first)
	}
	// The last fell due at 299 ms and was sent after 400.
	if fastest := o.latencies[0]; fastest < stall-300*time.Millisecond {
		t.Errorf("a request waited for %v only: it counts from when it was sent", fastest)
	}
}

// TestInTurn: however slow the load, no connection stays unused.
func TestInTurn(t *testing.T) {
	c, err := dial(answering(t, okay), 5)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	o, err := c.run(t.Context(), plan{rate: 1000, duration: 10 * time.Millisecond, next: asks("/"), inTurn: true})
	if err != nil || o.requests != 10 {
		t.Fatalf("%d requests, %v", o.requests, err)
	}
	for i := range c.conns {
		if c.conns[i].need == 0 {
			t.Errorf("connection %d got no answer", i)
		}
	}
}

func TestFailuresAreCounted(t *testing.T) {
	cases := []struct {
		name, answer, want string
	}{
		{"another status", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy", "503"},
		{"broken off", "", "ended before the answer"},
		{"not HTTP", "SSH-2.0-OpenSSH_9\r\n\r\n", "no response"},
		{"no length", "HTTP/1.1 200 OK\r\n\r\n", "without its length"},
		{"too much", okay("x") + "y", "more than the answer"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			addr := answering(t, func(path string) string {
				if path == "/bad" {
					return c.answer
				}
				return okay("x")
			})
			o, err := under(t.Context(), addr, 2, plan{rate: 1000, duration: 20 * time.Millisecond, next: asks("/good", "/bad")})
			if err != nil {
				t.Fatal(err)
			}
			if o.errors != 10 || o.requests != 10 || !strings.Contains(o.first, c.want) || o.strict() == nil {
				t.Errorf("%d answers, %d errors, the first %q; want 10 and 10, with %q", o.requests, o.errors, o.first, c.want)
			}
		})
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := answering(t, func(string) string { cancel(); return okay("x") })
	if _, err := under(ctx, addr, 1, plan{duration: time.Hour, next: asks("/a")}); err == nil {
		t.Error("it went on")
	}
	if _, err := under(t.Context(), "127.0.0.1:1", 1, plan{}); err == nil {
		t.Error("nobody listens there")
	}
}

func TestWholeLength(t *testing.T) {
	cases := []struct {
		text string
		want int
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", 0},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 43},
		{"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 12\r\nZ: y\r\n\r\nab", 63},
		{"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n", 40},
	}
	for _, c := range cases {
		if got, err := wholeLength([]byte(c.text)); got != c.want || err != nil {
			t.Errorf("%q: %d, %v, want %d", c.text, got, err, c.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	var values []time.Duration
	for i := range 1000 {
		values = append(values, time.Duration(i+1))
	}
	for share, want := range map[float64]time.Duration{0: 1, 0.5: 500, 0.99: 990, 0.999: 999, 1: 1000} {
		if got := percentile(values, share); got != want {
			t.Errorf("%v: %d, want %d", share, got, want)
		}
	}
	if got := percentile(nil, 0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	l := curve("x", values)
	if last := l.Points[len(l.Points)-1]; last.Share != 0.99 {
		t.Errorf("a thousand requests are drawn up to %v: ten must be beyond", last.Share)
	}
}

func TestZipfIsOne(t *testing.T) {
	const limit, draws = 1000, 400000
	pick := zipf(source(1), 5000)
	count := make(map[int64]int)
	for range draws {
		count[pick(limit)]++
	}
	harmonic := 0.0
	for k := range limit {
		harmonic += 1 / float64(k+1)
	}
	for rank := range int64(10) {
		got, want := float64(count[scatter(rank, limit)]), draws/harmonic/float64(rank+1)
		if math.Abs(got-want) > 6*math.Sqrt(want) {
			t.Errorf("rank %d was drawn %.0f times, want about %.0f", rank, got, want)
		}
	}
}

func TestScatterGivesEachRankItsOwn(t *testing.T) {
	for _, limit := range []int64{1, 2, 7, 1000, 65536} {
		seen := make(map[int64]bool)
		for rank := range limit {
			id := scatter(rank, limit)
			if id < 1 || id > limit || seen[id] {
				t.Fatalf("of %d: rank %d has %d", limit, rank, id)
			}
			seen[id] = true
		}
	}
}

func TestMix(t *testing.T) {
	random := source(1)
	next := mix(1000, random, uniform(random))
	count := make(map[string]int)
	const draws = 20000
	for range draws {
		line, _, _ := strings.Cut(string(next(nil)), " HTTP/1.1")
		path := strings.TrimPrefix(line, "GET /products/")
		switch {
		case strings.HasPrefix(path, "list?page="):
			count["list"]++
		case strings.HasSuffix(path, "/styles"):
			count["styles"]++
		case strings.HasSuffix(path, "/related"):
			count["related"]++
		default:
			count["detail"]++
		}
	}
	for name, share := range map[string]float64{"detail": 0.4, "styles": 0.3, "related": 0.2, "list": 0.1} {
		if got := float64(count[name]) / draws; math.Abs(got-share) > 0.03 {
			t.Errorf("%s: %.2f of all, want %.2f", name, got, share)
		}
	}
}
