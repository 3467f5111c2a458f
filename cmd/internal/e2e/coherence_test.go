package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	nethttp "net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hotshelf/hotshelf/embedded/embedtest"
)

// cluster is three servers on one database, each over a link of its own.
type cluster struct {
	t       *testing.T
	data    string // of PostgreSQL
	servers [3]*server
	links   [3]*embedtest.Link
	client  *nethttp.Client
	begun   time.Time
	serial  atomic.Int64
	skus    [2]string // the paths of SKUs of two products
	history *history

	mu      sync.Mutex
	passing []int64 // the newest of the products that come and go
	refused atomic.Int64
	marked  atomic.Int64
}

// named are the products that writes rename, stocked those whose stock they set.
var (
	named   = []int64{1, 2, 3, 4, 5, 6}
	stocked = [2]int64{7, 8}
)

// mostPassing is how many products that come and go are watched. When there are
// more, the oldest one goes.
const mostPassing = 12

// watched are the products that a list may show or not.
func (c *cluster) watched() []int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Concat(named, c.passing)
}

// created takes in a product that is new.
func (c *cluster) created(got response, name string) (id, version int64, err error) {
	if id, err = strconv.ParseInt(strings.TrimPrefix(got.header.Get("Location"), "/products/"), 10, 64); err != nil {
		return 0, 0, err
	}
	if version, err = versionOf(got.header); err != nil {
		return 0, 0, err
	}
	c.history.named(id, name, version)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passing = append(c.passing, id)
	return id, version, nil
}

// going returns a product to delete: the oldest where there are too many, else
// any, or 0 where there are few.
func (c *cluster) going() (id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch n := len(c.passing); {
	case n >= mostPassing:
		id, c.passing = c.passing[0], slices.Clone(c.passing[1:])
	case n >= mostPassing/2:
		id = c.passing[rand.IntN(n)]
	}
	return id
}

func startCluster(t *testing.T, maxStaleness time.Duration) *cluster {
	t.Helper()
	dir, data, url := breakable(t, 20)
	tokens := filepath.Join(dir, "tokens")
	tokensFile(t, tokens, writeToken)
	c := &cluster{t: t, data: data, begun: time.Now()}
	c.client = &nethttp.Client{Timeout: 20 * time.Second, Transport: &nethttp.Transport{MaxIdleConnsPerHost: 10}}
	t.Cleanup(c.client.CloseIdleConnections)
	for i := range c.servers {
		c.links[i] = embedtest.NewLink(t, url)
		c.servers[i] = serve(t, dir, "--database-url="+c.links[i].URL(), "--admin-addr=off",
			"--write-tokens-file", tokens, "--max-staleness", maxStaleness.String())
	}
	for i, id := range stocked {
		body := `{"styles":[{"name":"s","original_price":1,"skus":[{"size":"S","quantity":1}]}]}`
		if got := newWriter(t, c.servers[0]).send("PUT", productPath, fmt.Sprintf("/products/%d", id), body); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		sku := psql(t, url, fmt.Sprintf("select max(k.id) from catalog.skus k join catalog.styles s on s.id = k.style_id where s.product_id = %d", id))
		c.skus[i] = fmt.Sprintf("/products/%d/skus/%s", id, sku)
	}
	return c
}

// request sends a request and records nothing.
func (c *cluster) request(node int, method, path, body string) (got response, err error) {
	request, err := nethttp.NewRequest(method, c.servers[node].url+path, strings.NewReader(body))
	if err != nil {
		return got, err
	}
	if method != nethttp.MethodGet {
		request.Header.Set("Authorization", "Bearer "+writeToken)
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return got, err
	}
	defer answer.Body.Close()
	got.status, got.header = answer.StatusCode, answer.Header
	got.body, err = io.ReadAll(answer.Body)
	return got, err
}

func versionOf(h nethttp.Header) (int64, error) {
	number, _, _ := strings.Cut(strings.Trim(h.Get("ETag"), `"`), "-")
	return strconv.ParseInt(number, 10, 64)
}

// write does one random write and records it where it was answered.
func (c *cluster) write(node int) error {
	e := event{write: true, node: node, start: time.Since(c.begun)}
	var name, method, path, body string
	switch n := rand.IntN(20); {
	case n == 0:
		if e.product = c.going(); e.product == 0 {
			return nil
		}
		c.history.deleting(e.product, e.start)
		method, path = nethttp.MethodDelete, fmt.Sprintf("/products/%d", e.product)
	case n == 1:
		name = fmt.Sprintf("w%d", c.serial.Add(1))
		method, path, body = nethttp.MethodPost, "/products", fmt.Sprintf(`{"name":%q,"category":"c","default_price":1}`, name)
	case n < 7:
		i := rand.IntN(len(stocked))
		e.product = stocked[i]
		method, path, body = nethttp.MethodPatch, c.skus[i], fmt.Sprintf(`{"quantity":%d}`, rand.IntN(1000))
	default:
		e.product = named[rand.IntN(len(named))]
		name = fmt.Sprintf("w%d", c.serial.Add(1))
		method, path, body = nethttp.MethodPut, fmt.Sprintf("/products/%d", e.product), fmt.Sprintf(`{"name":%q}`, name)
	}
	got, err := c.request(node, method, path, body)
	e.end, e.what = time.Since(c.begun), method
	switch {
	case err != nil:
		return err
	case got.status == nethttp.StatusServiceUnavailable || got.status == nethttp.StatusGatewayTimeout:
		// Of the second kind it is not known whether they happened.
		c.refused.Add(1)
		return nil
	case method == nethttp.MethodDelete && got.status == 404:
		return nil // another node has deleted it: nothing was written here
	case method == nethttp.MethodDelete && got.status == 200:
		e.version = gone
	case method == nethttp.MethodPost && got.status == 201:
		e.product, e.version, err = c.created(got, name)
		if err != nil {
			return err
		}
	case got.status != 200:
		return fmt.Errorf("%s %s: %d %s", method, path, got.status, got.body)
	default:
		if e.version, err = versionOf(got.header); err != nil {
			return err
		}
	}
	if name != "" && method != nethttp.MethodPost {
		c.history.named(e.product, name, e.version)
	}
	c.history.add(e)
	return nil
}

// read does one random read and records what it shows.
func (c *cluster) read(node int) error {
	watched := c.watched()
	id := watched[rand.IntN(len(watched))]
	var path string
	single, list := false, false
	switch rand.IntN(8) {
	case 0:
		path, list = "/products/list?count=500", true
	case 1:
		path = "/products?ids=1,2,3,4,5,6"
	case 2, 3:
		id = stocked[rand.IntN(len(stocked))]
		path, single = fmt.Sprintf("/products/%d/styles", id), true
	case 4:
		path, single = fmt.Sprintf("/products/%d/related", id), true
	default:
		path, single = fmt.Sprintf("/products/%d", id), true
	}
	e := event{node: node, product: id, start: time.Since(c.begun), what: path}
	got, err := c.request(node, nethttp.MethodGet, path, "")
	e.end = time.Since(c.begun)
	if err != nil {
		return err
	}
	if stale := got.header.Get("Hotshelf-Stale"); stale != "" {
		seconds, err := strconv.Atoi(stale)
		if err != nil {
			return err
		}
		e.stale = time.Duration(seconds) * time.Second
		c.marked.Add(1)
	}
	switch {
	case got.status == nethttp.StatusServiceUnavailable:
		c.refused.Add(1)
		return nil
	case single && got.status == 404:
		e.absent = true
	case got.status != 200:
		return fmt.Errorf("GET %s: %d %s", path, got.status, got.body)
	case single:
		if e.version, err = versionOf(got.header); err != nil {
			return err
		}
	}
	if single {
		c.history.add(e)
		return nil
	}
	var products []struct {
		ID   int64
		Name string
	}
	if err := json.Unmarshal(got.body, &products); err != nil {
		return fmt.Errorf("GET %s: %w in %s", path, err, got.body)
	}
	shown := map[int64]string{}
	for _, p := range products {
		shown[p.ID] = p.Name
	}
	if !list {
		watched = named
	}
	for _, id := range watched {
		e.product, e.name = id, shown[id]
		e.absent = e.name == ""
		c.history.add(e)
	}
	return nil
}

// play has clients read and write at all nodes for a time, while something
// happens, and returns what they saw.
func (c *cluster) play(t *testing.T, length time.Duration, disturb func(t *testing.T, stop <-chan struct{})) *history {
	t.Helper()
	before := c.history
	c.history, c.passing = new(history), nil
	if before != nil {
		c.history.names = before.names
	}
	c.refused.Store(0)
	c.marked.Store(0)
	for range 3 {
		got, err := c.request(0, nethttp.MethodPost, "/products", `{"name":"short-lived","category":"c","default_price":1}`)
		if err != nil || got.status != 201 {
			t.Fatalf("create: %v, %s", err, got.body)
		}
		id, _, err := c.created(got, "short-lived")
		if err != nil {
			t.Fatal(err)
		}
		for node := range c.servers {
			until(t, "all nodes know the product", func() bool {
				list, err := c.request(node, nethttp.MethodGet, "/products/list?count=500", "")
				return err == nil && strings.Contains(string(list.body), fmt.Sprintf(`"id":%d,`, id))
			})
		}
	}

	stop := make(chan struct{})
	var clients, disturbance sync.WaitGroup
	var mu sync.Mutex
	var fault error
	client := func(node int, act func(int) error, pause time.Duration) {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(pause): // the programs want the processors too
				}
				if err := act(node); err != nil {
					mu.Lock()
					fault = errors.Join(fault, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	for node := range c.servers {
		client(node, c.read, 3*time.Millisecond)
		client(node, c.read, 3*time.Millisecond)
		client(node, c.write, 15*time.Millisecond)
	}
	if disturb != nil {
		disturbance.Go(func() { disturb(t, stop) })
	}
	time.Sleep(length)
	until(t, "a write is answered", func() bool { // a database takes a while to come back
		c.history.mu.Lock()
		defer c.history.mu.Unlock()
		return slices.ContainsFunc(c.history.events, func(e event) bool { return e.write })
	})
	close(stop)
	disturbance.Wait()
	clients.Wait()
	if fault != nil {
		t.Error(fault)
	}
	reads := 0
	for _, e := range c.history.events {
		if !e.write {
			reads++
		}
	}
	t.Logf("%d writes were answered, %d states of products read, %d requests refused, %d answers marked as stale",
		len(c.history.events)-reads, reads, c.refused.Load(), c.marked.Load())
	return c.history
}

// rest waits for a time, or until stop.
func rest(stop <-chan struct{}, d time.Duration) (stopped bool) {
	select {
	case <-stop:
		return true
	case <-time.After(d):
		return false
	}
}

// coherence plays every scenario for a time.
func coherence(t *testing.T, length time.Duration) {
	const bound = time.Second
	c := startCluster(t, bound)
	// now and then does something, and then takes it back.
	alternate := func(on, off time.Duration, do, undo func(t *testing.T, node int)) func(*testing.T, <-chan struct{}) {
		return func(t *testing.T, stop <-chan struct{}) {
			for node := 0; ; node = (node + 1) % len(c.servers) {
				do(t, node)
				stopped := rest(stop, on)
				undo(t, node)
				if stopped || rest(stop, off) {
					return
				}
			}
		}
	}
	heal := func(_ *testing.T, node int) { c.links[node].Heal() }
	for _, scenario := range []struct {
		name    string
		disturb func(*testing.T, <-chan struct{})
		refuses bool // requests may be refused
	}{
		{"undisturbed", nil, false},
		{"feed cut", alternate(2*bound, bound/2, func(_ *testing.T, node int) { c.links[node].CutListening() }, heal), false},
		{"no notifications", alternate(time.Hour, 0, func(*testing.T, int) {
			for _, l := range c.links {
				l.Deafen()
			}
		}, func(*testing.T, int) {
			for _, l := range c.links {
				l.Heal()
			}
		}), false},
		{"link frozen", alternate(2*bound, bound, func(_ *testing.T, node int) { c.links[node].Freeze() }, heal), true},
		{"node stopped", alternate(2*bound, bound/2,
			func(t *testing.T, node int) { signal(t, c.servers[node], syscall.SIGSTOP) },
			func(t *testing.T, node int) { signal(t, c.servers[node], syscall.SIGCONT) }), false},
		{"database restarted", alternate(0, 3*bound,
			func(t *testing.T, _ int) { killPostgres(t, c.data) },
			func(*testing.T, int) { ownPostgres(c.t, c.data) }), true},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			h := c.play(t, length, scenario.disturb)
			// A machine that is busy otherwise may make a look-up too slow.
			if refused := c.refused.Load(); refused > int64(len(h.events)/100) && !scenario.refuses {
				t.Errorf("%d requests were refused", refused)
			}
			violations := h.check(bound)
			for _, v := range violations[:min(len(violations), 5)] {
				t.Error(v)
			}
			if len(violations) > 5 {
				t.Errorf("and %d more", len(violations)-5)
			}
		})
	}
}

func signal(t *testing.T, s *server, what syscall.Signal) {
	if err := s.cmd.Process.Signal(what); err != nil {
		t.Error(err)
	}
}

// TestCoherence: three servers on one database show what they promise.
func TestCoherence(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	coherence(t, 4*time.Second)
}

// TestCoherenceFault: servers that promise less than is checked are found out.
func TestCoherenceFault(t *testing.T) {
	t.Parallel()
	c := startCluster(t, time.Hour)
	h := c.play(t, 3*time.Second, func(_ *testing.T, stop <-chan struct{}) {
		for _, l := range c.links {
			l.CutListening()
		}
		<-stop
	})
	violations := h.check(time.Second)
	if len(violations) == 0 {
		t.Fatal("servers without a feed were not found to be stale")
	}
	t.Logf("%d violations, the first: %s", len(violations), violations[0])
}
