package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

type coherenceSuite struct {
	places
	Products int64  `help:"How many products the catalogue has." default:"100000" placeholder:"N"`
	Out      string `help:"Where to keep the figures." default:"bench/coherence.json" type:"path" placeholder:"FILE"`

	span time.Duration `kong:"-"` // how long each run is
}

// AfterApply is called by kong where the command line names this suite.
func (s *coherenceSuite) AfterApply() error {
	s.choose()
	s.span = 30 * time.Second
	if s.Products < 1 {
		return errors.New("--products must be at least 1")
	}
	return nil
}

const (
	// staleBound is the servers' --max-staleness, their default.
	staleBound = time.Second
	// watched is how many writes a second are followed to the other node: of
	// all that fall due, each so-many-th.
	watched = 50
	// look is how long is waited between two looks at the other node.
	look = 500 * time.Microsecond
	// lagLimit ends the watch of a write that never becomes visible.
	lagLimit = 10 * time.Second
)

// coherenceRates are the writes a second.
var coherenceRates = []int{10, 500}

var coherenceColumns = append([]Column{{columnWrites, "writes/s", Rate}}, latencyColumns...)

func (s *coherenceSuite) measure(ctx context.Context, io cli.IO) (*Figures, error) {
	f := &Figures{Suite: "coherence", Title: "Coherence: from a write's answer to its sight on the other node", Columns: coherenceColumns,
		Command: fmt.Sprintf("go run ./cmd/bench coherence --products %d", s.Products)}
	return s.serve(ctx, io, f, 4*s.span.Seconds()+10, func(ctx context.Context, b *serving) error {
		db, err := b.catalogue(ctx, s.Products)
		if err != nil {
			return err
		}
		skus, err := db.someSKUs(ctx)
		if err != nil {
			return err
		}
		b.env = []string{"HOTSHELF_WRITE_TOKEN=" + writeToken}
		writer, err := b.server(ctx, b.servers, "--database-url", db.server.URL())
		if err != nil {
			return err
		}
		b.atEnd(writer.stop)
		if err := errors.Join(b.stayAside(ctx), db.pin(b.servers)); err != nil {
			return err
		}
		for _, deaf := range []bool{false, true} {
			if err := s.node(ctx, b, db, writer, skus, deaf); err != nil {
				return err
			}
		}
		b.note("One node is written to, the stock of random SKUs at a constant rate; another one has the product in its cache and is asked for it "+
			"every half millisecond from when the write's answer has come, until its ETag has the write's version. At 500 writes/s each "+
			"tenth is watched. Both nodes and PostgreSQL shared one CPU; an error is a write that failed or was not seen within %v.", lagLimit)
		b.note("Without NOTIFY, what stands between the second node and PostgreSQL passes on everything else, as a pooler does: the node " +
			"looks at the feed four times a second. With it, the same stands between them and passes on all.")
		return nil
	})
}

// node starts a second node and measures how it follows the first.
func (s *coherenceSuite) node(ctx context.Context, b *serving, db *database, writer *service, skus []soldSKU, deaf bool) (err error) {
	between, err := newRelay(ctx, db.server.URL(), deaf)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, between.close()) }()
	reader, err := b.server(ctx, b.servers, "--database-url", between.url())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.stop()) }()
	for _, rate := range coherenceRates {
		name := fmt.Sprintf("with NOTIFY, %d writes/s", rate)
		if deaf {
			name = strings.Replace(name, "with", "without", 1)
		}
		w := &watch{writer: "http://" + writer.addr, reader: "http://" + reader.addr, random: source(9), skus: skus}
		w.client.Transport = &http.Transport{MaxIdleConnsPerHost: 4 * writers, DisableCompression: true}
		o, err := w.run(ctx, rate, s.span)
		w.client.CloseIdleConnections()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		values := o.values()
		delete(values, columnRate)
		values[columnWrites] = float64(w.written) / o.took.Seconds()
		b.f.Runs = append(b.f.Runs, Run{name, 0, values})
		b.f.Latencies = append(b.f.Latencies, curve(name, o.latencies))
		b.f.bound(name, columnMax, staleBound.Seconds())
		b.f.bound(name, columnErrors, 1)
		if o.errors > 0 {
			b.note("%s, the first error: %s", name, o.first)
		}
		b.say("%s: p50 %.2f ms, p99 %.2f ms", name, values[columnP50]*1e3, values[columnP99]*1e3)
	}
	return nil
}

// watch writes to one node and looks at another.
type watch struct {
	writer, reader string
	client         http.Client
	random         *rand.Rand
	skus           []soldSKU

	mu      sync.Mutex
	written int64
	o       outcome
}

// run writes at a constant rate and returns how long it took until writes were
// seen, each from its answer.
func (w *watch) run(ctx context.Context, rate int, span time.Duration) (*outcome, error) {
	start := time.Now()
	ticks := time.NewTicker(time.Second / time.Duration(rate))
	defer ticks.Stop()
	var under sync.WaitGroup
	every := max(rate/watched, 1)
	// A server refuses writes when too many wait: they wait here instead.
	slots := make(chan struct{}, writers)
	for n := 0; time.Since(start) < span; n++ {
		select {
		case <-ctx.Done():
			under.Wait()
			return nil, ctx.Err()
		case <-ticks.C:
		}
		sku := w.skus[w.random.IntN(len(w.skus))]
		quantity := w.random.IntN(1000)
		under.Go(func() {
			if err := w.one(ctx, sku, quantity, n%every == 0, slots); err != nil {
				w.mu.Lock()
				w.o.fail("%v", err)
				w.mu.Unlock()
			}
		})
	}
	under.Wait()
	w.o.took = time.Since(start)
	w.o.latencies = sorted(w.o.latencies)
	return &w.o, ctx.Err()
}

// one makes a write, in one of the slots, and follows it where it is watched.
func (w *watch) one(ctx context.Context, sku soldSKU, quantity int, watched bool, slots chan struct{}) error {
	path := string(detailRoute.path(nil, sku.Product))
	if watched {
		// It has to be in the cache, or a look would find it in the database.
		if _, err := w.version(ctx, http.MethodGet, w.reader+path, nil); err != nil {
			return err
		}
	}
	slots <- struct{}{}
	version, err := w.version(ctx, http.MethodPatch, w.writer+path+"/skus/"+strconv.FormatInt(sku.ID, 10),
		fmt.Appendf(nil, `{"quantity":%d}`, quantity))
	answered := time.Now()
	<-slots
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.written++
	w.mu.Unlock()
	if !watched {
		return nil
	}
	for time.Since(answered) < lagLimit {
		seen, err := w.version(ctx, http.MethodGet, w.reader+path, nil)
		if err != nil {
			return err
		}
		if seen >= version {
			lag := time.Since(answered)
			w.mu.Lock()
			w.o.requests++
			w.o.latencies = append(w.o.latencies, lag)
			w.mu.Unlock()
			return nil
		}
		time.Sleep(look)
	}
	return fmt.Errorf("version %d of product %d was not seen within %v", version, sku.Product, lagLimit)
}

// version makes a request and returns the version in the answer's ETag.
func (w *watch) version(ctx context.Context, method, url string, body []byte) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if body != nil {
		request.Header.Set("Authorization", "Bearer "+writeToken)
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := w.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s: %.300s", method, response.Status, text)
	}
	return versionOf(response.Header.Get("ETag"))
}

// versionOf reads the version in an ETag such as "41-9f3c2a10".
func versionOf(tag string) (int64, error) {
	version, _, found := strings.Cut(strings.TrimPrefix(tag, `"`), "-")
	n, err := strconv.ParseInt(version, 10, 64)
	if err != nil || !found {
		return 0, fmt.Errorf("the ETag %s has no version", tag)
	}
	return n, nil
}
