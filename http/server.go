// Package http answers the storefronts: it owns the routes, the headers, the
// form of every error, and the OpenAPI description of all that. It is the
// only package that knows fasthttp. Import it as httpd.
//
// cmd/server makes a Server and hands it what to read from. What must always
// hold: a hit sends bytes that were made before, without a copy and without an
// allocation of ours; every 4xx and 5xx is application/problem+json in our own
// words; and no request ends the process.
package http

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"
	"golang.org/x/sync/semaphore"

	"github.com/hotshelf/hotshelf/blob"
)

// Catalogue is what the read routes read from. What it returns is shared, unless
// it is Lent, and never changed. stale is 0, or how old an answer (blob.ErrNotFound included)
// may be where the database can't be reached to ask. The errors it may wrap are those of package blob; the context
// it is given has no deadline, so how long a miss may wait is its own matter.
type Catalogue interface {
	// Get returns one product's answers, or blob.ErrNotFound.
	Get(ctx context.Context, id int64) (a *blob.Answers, stale time.Duration, err error)
	// Many appends the answers of ids to dst in the order of ids, an id that
	// is given twice twice, all of one contract. Those that don't exist are
	// left out.
	Many(ctx context.Context, dst []*blob.Answers, ids []int64) (many []*blob.Answers, stale time.Duration, err error)
	// Page appends to dst up to count products by ascending id, leaving out
	// the first offset, and returns how many there are in all. An offset past
	// the end is no error.
	Page(ctx context.Context, dst []*blob.Answers, offset, count int64) (page []*blob.Answers, total int64, stale time.Duration, err error)
	// Done is told, once each, of answers that are read no more. It needs to be only
	// where they are Lent.
	Done(a *blob.Answers)
}

// Config is what a Server is made of.
type Config struct {
	Catalogue Catalogue
	// Writer is what the write routes write with, for those who have one of
	// Tokens; with no tokens, or nil, writes are off.
	Writer Writer
	Tokens *Tokens
	// Wrote is told what a write has changed, or with Version 0 what one of
	// unknown outcome may have, before its client is: later reads have to see it.
	Wrote func(blob.Change)
	// Ready lists, in words fit for the public, why requests can't be answered
	// yet; none means ready. Nil stands for a server that is always ready.
	Ready func() (reasons []string)
	// CORSOrigins are the origins whose pages may read answers. None, or one
	// that is "*", allows all.
	CORSOrigins []string
	// Storefront has a small storefront for people at /.
	Storefront bool
	// MaxConns bounds the open connections; 0 means 4,096. The next one is
	// answered with 503 and closed. An idle connection holds about 25 kB of heap
	// and stack (measured, after a request for styles).
	MaxConns int
	// Lists bounds the bytes of long lists that are being put together or sent;
	// 0 means 64 MiB. It is 4 MiB at least. A list for which there is no room
	// within a second is answered with 503.
	Lists int64
	// Observe, if set, is what each scrape of the metrics asks for. It may take
	// a moment, but must not wait for a database that is down.
	Observe func() Reading
	// AccessLog is the share of the requests that get a line in the log, from
	// 0 to 1.
	AccessLog float64
	// Logger takes a line for each write, panics, unforeseen errors, and (at
	// debug level) what fasthttp says of broken connections. Nil drops them.
	Logger *slog.Logger
}

// Limits of a connection. The idle time is longer than the 60 s that nginx
// keeps its own end by default, so that nginx closes first and never sends a
// request into a closing connection.
const (
	maxHeader       = 8 << 10 // bytes of request line and headers together
	maxBody         = 1 << 20 // bytes: far more than a product with 10,000 SKUs needs
	readTimeout     = 10 * time.Second
	writeTimeout    = 30 * time.Second
	idleTimeout     = 90 * time.Second
	defaultMaxConns = 4096
	// keptBuffer is the largest body buffer that is kept between requests;
	// without it, one page of 500 products would pin its size in memory.
	keptBuffer = 16 << 10
	// writeBuffer is what an answer is sent from in one piece, its header
	// included: 99 of 100 styles are shorter.
	writeBuffer = 8 << 10
)

// Server serves the catalogue. It is made by New.
type Server struct {
	catalogue  Catalogue
	writer     Writer
	tokens     *Tokens
	wrote      func(blob.Change)
	writing    chan struct{} // holds one of each write that has begun
	ready      func() []string
	cors       cors
	log        *slog.Logger
	router     *router.Router
	storefront bool
	fast       fasthttp.Server
	maxConns   int
	lists      *semaphore.Weighted
	listRoom   int64
	listPool   sync.Pool // of *list

	// base is what handlers call the catalogue with: a fasthttp request is a
	// context too, but its bytes die with the handler. It ends with Shutdown.
	base context.Context
	end  context.CancelFunc

	draining atomic.Bool
	panics   atomic.Int64
	// answerBytes is what the answers of a product in a list take.
	answerBytes atomic.Int64
	refused     atomic.Int64 // connections

	accessLog float64
	requests  *requests
	observe   func() Reading
	shownHits atomic.Int64
	began     time.Time
	clock     coarse // of the connections
}

// New makes a server that is ready for Serve.
func New(config Config) *Server {
	s := &Server{
		catalogue:  config.Catalogue,
		writer:     config.Writer,
		tokens:     config.Tokens,
		wrote:      config.Wrote,
		writing:    make(chan struct{}, maxWrites),
		ready:      config.Ready,
		cors:       newCORS(config.CORSOrigins),
		log:        config.Logger,
		storefront: config.Storefront,
		maxConns:   config.MaxConns,
		observe:    config.Observe,
		accessLog:  config.AccessLog,
		began:      time.Now(),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if config.Lists == 0 {
		config.Lists = defaultLists
	}
	s.listRoom = max(config.Lists, leastLists)
	s.lists = semaphore.NewWeighted(s.listRoom)
	if s.tokens == nil {
		s.tokens = new(Tokens)
	}
	if s.maxConns == 0 {
		s.maxConns = defaultMaxConns
	}
	s.clock.began = s.began
	s.base, s.end = context.WithCancel(context.Background())
	routes := s.routes()
	s.requests = newRequests(routes)
	s.router = s.newRouter(routes)
	fasthttp.SetBodySizePoolLimit(keptBuffer, keptBuffer)
	s.fast = fasthttp.Server{
		Handler: s.handle,
		ErrorHandler: func(ctx *fasthttp.RequestCtx, err error) {
			s.unreadable(ctx, err)
			s.requests.of(ctx.ConnID(), otherRoute).answered(ctx.Response.StatusCode())
		},
		Logger:          debugLog{s.log},
		Concurrency:     s.maxConns + 1, // the listener turns away the surplus first, in better form
		ReadBufferSize:  maxHeader,
		WriteBufferSize: writeBuffer,
		HeaderReceived:  s.bodyLimit,
		LazyRequestTime: true,
		CloseOnShutdown: true,

		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		DisablePreParseMultipartForm: true,
		SecureErrorLogMessage:        true,
	}
	return s
}

// Serve answers the connections of l until Shutdown, and closes l.
func (s *Server) Serve(l net.Listener) error {
	s.clock.set()
	go s.clock.run(s.base)
	if err := s.fast.Serve(s.limit(l)); err != nil {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown turns readiness off, closes the listeners and waits until the
// requests that have been received are answered. When ctx ends first, those
// still waiting for the catalogue are given up, and ctx's error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	defer s.end()
	if err := s.fast.ShutdownWithContext(ctx); err != nil {
		return fmt.Errorf("shut the HTTP server down: %w", err)
	}
	return nil
}

// Panics is how many requests have ended in a panic since the start.
func (s *Server) Panics() int64 { return s.panics.Load() }

// handle is the one way in of every request that could be parsed.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	logged := s.sampled()
	timed := logged || ctx.ConnRequestNum()%timedEach == 1 || !ctx.IsGet()
	var began time.Duration
	if timed {
		began = time.Since(s.began)
	}
	route := s.dispatch(ctx)
	s.identify(ctx)
	s.cors.mark(ctx)
	t := s.requests.of(ctx.ConnID(), route)
	t.answered(ctx.Response.StatusCode())
	if timed {
		took := time.Since(s.began) - began
		t.took(took)
		if logged {
			s.logAccess(ctx, took)
		}
	}
}

// recovered turns a panic into a 500. It has to be deferred itself.
func (s *Server) recovered(ctx *fasthttp.RequestCtx) {
	cause := recover()
	if cause == nil {
		return
	}
	s.panics.Add(1)
	id := requestID(ctx)
	s.log.Error("a handler panicked", "method", string(ctx.Method()), "path", instance(ctx), "request_id", id,
		"panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	ctx.Response.Reset()
	ctx.Response.Header.SetCanonical(headerRequestID, []byte(id))
	s.problem(ctx, fasthttp.StatusInternalServerError, detailInternal)
}

// debugLog hands fasthttp's log lines on. They are about broken connections
// and repeat what clients sent, so they are of use only in search of a fault.
type debugLog struct{ log *slog.Logger }

func (d debugLog) Printf(format string, args ...any) {
	if d.log.Enabled(context.Background(), slog.LevelDebug) {
		d.log.Debug("fasthttp: " + fmt.Sprintf(format, args...))
	}
}
