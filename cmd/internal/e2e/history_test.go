package e2e

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"
)

// history is what clients of several nodes did and saw. Times are those of one
// clock, since the beginning.
type history struct {
	mu     sync.Mutex
	events []event
	// The names that products have had, and the versions they came with. Names
	// of writes without an answer are not among them.
	names map[nameOf]int64
	// When the first request to delete a product was sent.
	deletes map[int64]time.Duration
}

type nameOf struct {
	product int64
	name    string
}

// event is a write that was answered, or what a read showed of one product.
type event struct {
	write      bool
	node       int
	product    int64
	start, end time.Duration
	// version is the product's, gone for a delete. Where only the name is known, or
	// that there was none, it is looked up at the end.
	version int64
	absent  bool // the read showed none
	name    string
	stale   time.Duration // what the answer says
	what    string        // for people
}

// gone and unborn are the versions of a product that was deleted, and of one that
// is not there yet.
const (
	gone   = math.MaxInt64
	unborn = 0
)

func (e event) String() string {
	return fmt.Sprintf("%s of product %d on node %d, %v to %v: version %d (stale %v)", e.what, e.product, e.node, e.start, e.end, e.version, e.stale)
}

func (h *history) add(events ...event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, events...)
}

func (h *history) named(product int64, name string, version int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.names == nil {
		h.names = map[nameOf]int64{}
	}
	h.names[nameOf{product, name}] = version
}

// deleting says that a product is about to be deleted, or so somebody will try.
func (h *history) deleting(product int64, at time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.deletes[product]; known {
		return
	}
	if h.deletes == nil {
		h.deletes = map[int64]time.Duration{}
	}
	h.deletes[product] = at
}

// check holds a history against what servers promise:
//
//   - on the node of a write, every read that begins after the write's answer
//     shows it;
//   - on the others, every read that begins more than bound later does, or more
//     than what it says itself;
//   - on each node, a read that begins after another one has ended shows the
//     same state of a product or a later one.
func (h *history) check(bound time.Duration) (violations []string) {
	products := map[int64][]event{}
	for _, e := range h.events {
		switch at, deleted := h.deletes[e.product]; {
		case e.absent && deleted && e.end > at:
			e.version = gone
		case e.absent:
			e.version = unborn
		case e.name != "":
			var known bool
			if e.version, known = h.names[nameOf{e.product, e.name}]; !known {
				continue
			}
		}
		products[e.product] = append(products[e.product], e)
	}
	for _, events := range products {
		slices.SortFunc(events, func(a, b event) int { return int(a.start - b.start) })
		ends := slices.Clone(events)
		slices.SortFunc(ends, func(a, b event) int { return int(a.end - b.end) })
		for _, read := range events {
			if read.write {
				continue
			}
			for _, e := range ends {
				if e.end >= read.start {
					break
				}
				lag := max(bound, read.stale)
				must := e.node == read.node || e.write && e.end+lag < read.start
				if must && e.version > read.version {
					violations = append(violations, fmt.Sprintf("%v\nthough %v", read, e))
					break
				}
			}
		}
	}
	return violations
}

func TestHistoryCheck(t *testing.T) {
	const s = time.Second
	const bound = s
	for name, c := range map[string]struct {
		events     []event
		violations int
	}{
		"not there yet": {[]event{
			{node: 1, start: 1, end: 5, absent: true},
			{write: true, node: 2, start: 2, end: 6, version: 7},
			{node: 1, start: 7, end: 8, version: 7},
		}, 0},
		"shown, and left out of a list": {[]event{
			{node: 1, start: 1, end: 5, version: 7},
			{node: 1, start: 6, end: 9, absent: true},
		}, 1},
		"created, and left out of a list": {[]event{
			{write: true, node: 1, start: 1, end: 5, version: 7},
			{node: 1, start: 6, end: 9, absent: true},
		}, 1},
		"created, and left out of another node's list past the bound": {[]event{
			{write: true, node: 1, start: 1, end: 5, version: 7},
			{node: 2, start: bound + 6, end: 9 * s, absent: true},
		}, 1},
		"left out before anybody deletes it": {[]event{
			{node: 1, product: 3, start: 1, end: 5, version: 7},
			{node: 1, product: 3, start: 6, end: 9, absent: true},
		}, 1},
		"maybe deleted": {[]event{
			{node: 1, product: 3, start: 1, end: 5, version: 7},
			{node: 1, product: 3, start: 6, end: 11, absent: true},
		}, 0},
		"maybe deleted, and there again": {[]event{
			{node: 1, product: 3, start: 6, end: 11, absent: true},
			{node: 1, product: 3, start: 12, end: 13, version: 7},
		}, 1},
		"nothing": {nil, 0},
		"own write": {[]event{
			{write: true, node: 1, start: 1, end: 5, version: 7},
			{node: 1, start: 2, end: 9, version: 3}, // began before the answer
			{node: 1, start: 6, end: 9, version: 7},
			{node: 1, start: 10, end: 19, version: 9},
		}, 0},
		"own write not seen": {[]event{
			{write: true, node: 1, start: 1, end: 5, version: 7},
			{node: 1, start: 6, end: 9, version: 6},
		}, 1},
		"another node's write within the bound": {[]event{
			{write: true, node: 1, start: 1, end: 5, version: 7},
			{node: 2, start: bound + 5, end: 9 * s, version: 6},
		}, 0},
		"another node's write past the bound": {[]event{
			{write: true, node: 1, start: 1, end: 5, version: 7},
			{node: 2, start: bound + 6, end: 9 * s, version: 6},
		}, 1},
		"past the bound, but it says so": {[]event{
			{write: true, node: 1, start: 1, end: 5, version: 7},
			{node: 2, start: 3 * s, end: 9 * s, version: 6, stale: 3 * s},
		}, 0},
		"past what it says": {[]event{
			{write: true, node: 1, start: 1, end: 5, version: 7},
			{node: 2, start: 4 * s, end: 9 * s, version: 6, stale: 3 * s},
		}, 1},
		"back": {[]event{
			{node: 1, start: 1, end: 5, version: 7},
			{node: 1, start: 6, end: 7, version: 6},
		}, 1},
		"back while it says that it is stale": {[]event{
			{node: 1, start: 1, end: 5, version: 7},
			{node: 1, start: 6, end: 7, version: 6, stale: 9 * s},
		}, 1},
		"side by side, and on another node": {[]event{
			{node: 1, start: 1, end: 5, version: 7},
			{node: 1, start: 5, end: 9, version: 6},
			{node: 2, start: 6, end: 9, version: 6},
		}, 0},
		"deleted, and there again": {[]event{
			{write: true, node: 1, start: 1, end: 5, version: gone},
			{node: 1, start: 6, end: 9, version: 8},
		}, 1},
		"by name": {[]event{
			{write: true, node: 1, start: 1, end: 5, version: 7},
			{node: 1, start: 6, end: 9, name: "w7"},
			{node: 1, start: 6, end: 9, name: "w8"},
			{node: 1, start: 6, end: 9, name: "w6"},
		}, 1},
		"another product": {[]event{
			{write: true, node: 1, start: 1, end: 5, version: 7},
			{node: 1, product: 2, start: 6, end: 9, version: 6},
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := history{events: c.events, names: map[nameOf]int64{{0, "w7"}: 7, {0, "w6"}: 6}, deletes: map[int64]time.Duration{3: 10}}
			if v := h.check(bound); len(v) != c.violations {
				t.Errorf("%d violations, want %d: %s", len(v), c.violations, v)
			}
		})
	}
}
