package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

type hitSuite struct {
	kept
	Products int64  `help:"How many products the catalogue has." default:"10000" placeholder:"N"`
	Pairs    int    `help:"How many times each contender runs." default:"10" placeholder:"N"`
	Out      string `help:"Where to keep the figures." default:"bench/hit.json" type:"path" placeholder:"FILE"`

	span time.Duration `kong:"-"` // how long each run is
}

// AfterApply is called by kong where the command line names this suite.
func (s *hitSuite) AfterApply() error {
	s.choose()
	s.span = 1500 * time.Millisecond
	if s.Products < 1 || s.Pairs < 1 {
		return errors.New("--products and --pairs must be at least 1")
	}
	return nil
}

// The targets of the suite, for CPU per request.
const (
	hitToBare  = 1.05 // hotshelf ÷ bare fasthttp
	listToBare = 1.3  // the same for a page of the list, which is put together
	hitToNginx = 1.0  // hotshelf ÷ nginx with open files
	unchanged  = 1.0  // a 304 ÷ a 200
)

const (
	ourName   = "hotshelf"
	bareName  = "bare fasthttp"
	nginxName = "nginx"

	columnAnswer = "answer" // bytes of a response
	columnBusy   = "busy"   // of the CPU that the server has

	// hotProducts is how many products are asked for in turn.
	hotProducts = 1000
	// steadyRate is for latencies: a load that each contender carries easily.
	steadyRate = 10000
)

var hitColumns = append([]Column{
	{columnRequest, "CPU per request", Time}, {columnRate, "requests/s", Rate}, {columnBusy, "CPU used", Share},
	{columnAnswer, "response", Bytes},
}, latencyColumns...)

// rival is a server with the requests that it is asked.
type rival struct {
	who      string
	route    fmt.Stringer // what it is asked for
	server   *service
	client   *client
	requests [][]byte
}

// unchangedRoute is a route whose client still holds the answers.
type unchangedRoute struct{ route }

func (u unchangedRoute) String() string { return u.route.String() + ", 304" }

func (s *hitSuite) measure(ctx context.Context, io cli.IO) (*Figures, error) {
	f := &Figures{Suite: "hit", Title: "Hit: what a cached answer costs", Columns: hitColumns,
		Command: fmt.Sprintf("go run ./cmd/bench hit --products %d --pairs %d", s.Products, s.Pairs)}
	// Three contenders for each route, and a 304; a fifth more to warm up, and
	// two spans for each latency.
	spans := float64(3*len(routes)+1) * (float64(s.Pairs)*1.2 + 2)
	return s.serve(ctx, io, f, spans*s.span.Seconds(), func(ctx context.Context, b *serving) error {
		rivals, err := s.rivals(ctx, b)
		if err != nil {
			return err
		}
		if err := b.stayAside(ctx); err != nil {
			return err
		}
		for _, r := range routes {
			mine := rivals[r]
			for round := range s.Pairs {
				if err := s.race(ctx, b, mine, round+1); err != nil {
					return err
				}
			}
		}
		for _, r := range routes {
			for _, c := range rivals[r] {
				if err := s.steady(ctx, b, c); err != nil {
					return err
				}
			}
		}
		s.conclude(b)
		return nil
	})
}

// rivals starts all contenders, and returns them by route.
func (s *hitSuite) rivals(ctx context.Context, b *serving) (map[route][]*rival, error) {
	db, err := b.catalogue(ctx, s.Products)
	if err != nil {
		return nil, err
	}
	ours, err := b.server(ctx, b.servers, "--database-url", db.server.URL())
	if err != nil {
		return nil, err
	}
	b.atEnd(ours.stop)

	rivals := make(map[route][]*rival)
	var answers []answer
	bodies := make(map[string][]byte)
	var nginxHeaders [][2]string
	for _, r := range routes {
		mine := &rival{who: ourName, route: r, server: ours}
		files := &rival{who: nginxName, route: r}
		held := &rival{who: ourName, route: unchangedRoute{r}, server: ours}
		for n := range r.reach(min(s.Products, hotProducts)) {
			// The first fetch is the miss that fills the cache.
			a, err := fetch(ctx, ours.addr, string(r.path(nil, n+1)))
			if err != nil {
				return nil, fmt.Errorf("ask the server: %w", err)
			}
			if a.status != 200 {
				return nil, fmt.Errorf("%s answers %s with %d", ours.name, a.Path, a.status)
			}
			answers = append(answers, a)
			bodies[string(r.nginxPath(nil, n+1))] = a.Body
			nginxHeaders = a.Headers
			mine.requests = append(mine.requests, r.request(nil, n+1))
			held.requests = append(held.requests, []byte(requestBegin+a.Path+" HTTP/1.1\r\nHost: bench\r\nIf-None-Match: "+a.etag+"\r\n\r\n"))
			files.requests = append(files.requests, append(r.nginxPath([]byte(requestBegin), n+1), requestEnd...))
		}
		rivals[r] = []*rival{mine, {who: bareName, route: r, requests: mine.requests}, files}
		if r == stylesRoute {
			rivals[r] = append(rivals[r], held)
		}
	}
	bare, err := b.bare(ctx, answers)
	if err != nil {
		return nil, err
	}
	files, err := b.nginx(ctx, bodies, nginxHeaders)
	if err != nil {
		return nil, err
	}
	for r, all := range rivals {
		for _, c := range all {
			switch c.who {
			case bareName:
				c.server = bare
			case nginxName:
				c.server = files
			}
		}
		rivals[r] = slices.DeleteFunc(all, func(c *rival) bool { return c.server == nil })
	}
	return rivals, b.connect(rivals)
}

// connect gives each server one set of connections, which all of its rivals use.
func (b *serving) connect(rivals map[route][]*rival) error {
	clients := make(map[*service]*client)
	for _, all := range rivals {
		for _, c := range all {
			if clients[c.server] == nil {
				opened, err := dial(c.server.addr, connections)
				if err != nil {
					return err
				}
				b.atEnd(func() error { opened.close(); return nil })
				clients[c.server] = opened
			}
			c.client = clients[c.server]
		}
	}
	return nil
}

// race runs a route's contenders as fast as they go.
func (s *hitSuite) race(ctx context.Context, b *serving, rivals []*rival, round int) error {
	racers := make([]*racer, len(rivals))
	for i, c := range rivals {
		racers[i] = &racer{name: named(c.route, c.who), server: c.server, client: c.client, next: inTurn(c.requests)}
	}
	if err := race(ctx, s.span, b.servers[0] != b.load[0], racers); err != nil {
		return err
	}
	for _, r := range racers {
		run := r.run(round)
		run.Values[columnBusy] = r.cpu.Seconds() / r.took.Seconds()
		run.Values[columnAnswer] = float64(r.bytes) / float64(r.requests)
		b.f.Runs = append(b.f.Runs, run)
		b.say("%s: %.0f requests/s, %.2f µs each", r.name, run.Values[columnRate], run.Values[columnRequest]*1e6)
	}
	return nil
}

// steady asks a contender at a constant rate, for its latencies.
func (s *hitSuite) steady(ctx context.Context, b *serving, c *rival) error {
	o, err := c.client.run(ctx, plan{rate: steadyRate, duration: 2 * s.span, next: inTurn(c.requests)})
	if err != nil {
		return err
	}
	name := named(c.route, c.who) + fmt.Sprintf(" at %s/s", grouped(steadyRate))
	b.f.Runs = append(b.f.Runs, Run{name, 0, o.values()})
	b.f.Latencies = append(b.f.Latencies, curve(name, o.latencies))
	return nil
}

func (s *hitSuite) conclude(b *serving) {
	for _, r := range routes {
		target := hitToBare
		if r == listRoute {
			target = listToBare
		}
		b.f.compare(named(r, ourName), named(r, bareName), columnRequest, target)
	}
	for _, r := range routes {
		target := hitToNginx
		if r == listRoute {
			target = 0 // nginx's page is a file; ours is put together
		}
		b.f.compare(named(r, ourName), named(r, nginxName), columnRequest, target)
	}
	b.f.compare(named(unchangedRoute{stylesRoute}, ourName), named(stylesRoute, ourName), columnRequest, unchanged)
	b.note("CPU per request is the server process's own CPU time over the requests it answered, by the kernel's account to the "+
		"nanosecond. All contenders run on the same CPU, the load generator on another; a round is cut into %d parts, in each of which they "+
		"run one after the other. The peak is a closed loop of %d connections that ask for %s products in turn, from a generator that does not sleep between answers: "+
		"else each server would pay for waking it up.",
		turns, connections, grouped(min(s.Products, hotProducts)))
	b.note("Bare fasthttp is a handler with one look into a map: it was checked to send the same bodies, and the same headers but " +
		"for the date. nginx sends the same bodies from files that it keeps open, with the same constant headers, and makes type, " +
		"date and ETag itself.")
	b.note("Latencies at a constant rate count from when each request fell due.")
}
