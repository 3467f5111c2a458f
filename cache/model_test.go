package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"pgregory.net/rapid"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cache/fence"
)

// The model: a database with other writers, the feed between it and one node,
// and that node's cache on a faulty store. A script decides what happens next,
// one step at a time; look-ups and loads of ids stop before and after their
// snapshot until the script lets them go on. Time passes, without the feed too.
// The database may be restored to an older state, and versions come again.
// After every step all finished reads are judged.

// fault is planted in a node, for the model to find.
type fault int

const (
	sound        fault = iota
	noFence            // cached entries are served whatever their stamps say
	unfenced           // so are packed rows
	openFlights        // flights can be joined whatever their stamps say
	lostNote           // ids lose the changes that come during a load
	noBound            // entries are trusted however old the feed's head is
	youngFlights       // look-ups count as younger than they are
	unlisted           // what look-ups find does not come into the list
)

const (
	modelBound = 2 * time.Second
	modelLimit = 20 * time.Second
)

// world is one run of the model. The main goroutine drives it; mu is for what
// look-ups touch.
type world struct {
	cache *Cache
	store *faultyStore
	fault fault
	// orderly says that the store's Wait keeps its promise. Then reads must
	// not go back either.
	orderly bool

	mu      sync.Mutex
	version int64
	states  int64             // how many there were
	history map[int64][]int64 // of each product, its states; 0 is "does not exist"
	times   map[int64][]time.Time
	loading bool // the feed waits for a Load
	failed  bool // which came to nothing
	gates   []*gate

	feed  []told // not yet delivered
	taken int    // how many were
	cut   bool   // nothing is
	asked *question
	own   []told // committed by this node, not yet acknowledged
	reads []*read
	known map[int64]int // of each product, the newest state that reads must show
	// listed is the same for lists. A publish reaches them later, and what was gone
	// before it came again may be so once more when the feed tells of it.
	listed map[int64]int
}

// told is a change, and what it made of each product (an index of history).
type told struct {
	change blob.Change
	states map[int64]int
	reset  bool // not a change: the feed can't be continued
}

// question is a poll that has not been answered yet.
type question struct {
	asOf time.Time
	upTo int // of taken
}

type gate struct {
	snapshot, answer chan struct{}
	taken, answered  bool
	err              error
}

type read struct {
	id     int64
	floor  int // oldest state that may be answered
	bound  int // the same, where the answer does not say that it is stale
	stale  time.Duration
	ended  time.Time
	cancel context.CancelFunc
	done   bool
	got    int64
	err    error
}

const products = 4

// ids of two stripes, two ids each, so that products share a fence.
func modelID(n int) int64 { return int64(1 + n%2 + n/2%2*fence.Stripes) }

func (w *world) pass(ctx context.Context, snapshot func()) error {
	g := &gate{snapshot: make(chan struct{}), answer: make(chan struct{})}
	w.mu.Lock()
	w.gates = append(w.gates, g)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.gates = slices.DeleteFunc(w.gates, func(x *gate) bool { return x == g })
		w.mu.Unlock()
	}()
	select {
	case <-g.snapshot:
	case <-ctx.Done():
		return ctx.Err()
	}
	snapshot()
	select {
	case <-g.answer:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) Lookup(ctx context.Context, ids []int64) (found []blob.Row, err error) {
	err = w.pass(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, id := range ids {
			if state := w.now(id); state != 0 {
				r := row(id, state)
				r.Version = state % versions
				found = append(found, r)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (w *world) LiveIDs(ctx context.Context, each func(id int64)) error {
	return w.pass(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for n := range products {
			if id := modelID(n); w.now(id) != 0 {
				each(id)
			}
		}
	})
}

func (w *world) now(id int64) int64 {
	h := w.history[id]
	return h[len(h)-1]
}

// versions: a state is a number of its own times this, plus its version.
const versions = 1 << 20

// enter makes state the product's newest, and returns its index. The mutex is
// held.
func (w *world) enter(id, state int64) int {
	w.history[id] = append(w.history[id], state)
	w.times[id] = append(w.times[id], time.Now())
	return len(w.history[id]) - 1
}

// since returns the newest state of before a moment.
func (w *world) since(id int64, moment time.Time) int {
	n := len(w.times[id]) - 1
	for n > 0 && !w.times[id][n].Before(moment) {
		n--
	}
	return n
}

// commit changes some products; all of them may get new versions, or vanish.
func (w *world) commit(rng *rand.Rand, ids ...int64) told {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.version++
	c := told{change: blob.Change{Version: w.version}, states: make(map[int64]int)}
	for _, id := range ids {
		w.states++
		state := w.states*versions + w.version
		if w.now(id) != 0 && rng.IntN(3) == 0 {
			state = 0
			c.change.Removed = append(c.change.Removed, id)
		} else {
			c.change.Changed = append(c.change.Changed, id)
		}
		c.states[id] = w.enter(id, state)
	}
	w.feed = append(w.feed, c)
	return c
}

// restore takes the database back to states that its products had before. Of
// this node's own writes nobody will hear.
func (w *world) restore(rng *rand.Rand) {
	w.mu.Lock()
	c := told{states: make(map[int64]int), reset: true}
	version := int64(0)
	for n := range products {
		id := modelID(n)
		state := w.history[id][rng.IntN(len(w.history[id]))]
		c.states[id] = w.enter(id, state)
		version = max(version, state%versions)
	}
	w.version = version
	w.feed = append(w.feed, c)
	w.mu.Unlock()
	for _, c := range w.own {
		c.change.Version = 0
		w.cache.Wrote(c.change)
	}
	w.own = nil
}

func (w *world) learn(c told) {
	for id, state := range c.states {
		w.known[id] = max(w.known[id], state)
		switch {
		case w.history[id][state] == 0:
			w.listed[id] = state
		case c.change.Generation == 0:
			w.listed[id] = max(w.listed[id], state)
		}
	}
}

func (w *world) deliver() {
	if w.cut {
		return
	}
	w.mu.Lock()
	loading, failed := w.loading, w.failed
	w.mu.Unlock()
	if failed || !loading && slices.ContainsFunc(w.feed, func(c told) bool { return c.reset }) {
		w.reset()
		return
	}
	if len(w.feed) == 0 || loading {
		return
	}
	c := w.feed[0]
	w.feed = w.feed[1:]
	w.taken++
	w.cache.Apply(c.change)
	w.learn(c)
}

// reset is what the follower does when the feed can't be continued: it goes on
// behind what the database has by now.
func (w *world) reset() {
	asOf := time.Now()
	w.mu.Lock()
	head := w.version
	w.loading, w.failed = true, false
	w.mu.Unlock()
	go func() {
		err := w.cache.Load(context.Background(), head)
		if err == nil {
			w.cache.Fresh(asOf)
		}
		w.mu.Lock()
		w.loading, w.failed = false, err != nil
		w.mu.Unlock()
	}()
	synctest.Wait() // until it waits for the ids, or has them
	for _, c := range w.feed {
		w.learn(c)
	}
	w.taken += len(w.feed)
	w.feed = nil
}

// poll asks what there is, or, if that was asked before, takes the answer in.
func (w *world) poll() {
	if w.cut {
		w.asked = nil
		return
	}
	if w.asked == nil {
		w.asked = &question{time.Now(), w.taken + len(w.feed)}
		return
	}
	q := *w.asked
	w.asked = nil
	for w.taken < q.upTo {
		w.mu.Lock()
		loading := w.loading
		w.mu.Unlock()
		if loading {
			return
		}
		w.deliver()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.loading && !w.failed {
		w.cache.Fresh(q.asOf)
	}
}

func (w *world) acknowledge() {
	if len(w.own) == 0 {
		return
	}
	c := w.own[0]
	w.own = w.own[1:]
	w.cache.Wrote(c.change)
	w.learn(c)
}

// step does one thing. The numbers of the switch are the odds.
func (w *world) step(rng *rand.Rand, op byte) {
	id := modelID(int(op >> 5))
	switch op % 32 {
	default:
		ctx, cancel := context.WithCancel(context.Background())
		r := &read{id: id, floor: w.known[id], bound: w.since(id, time.Now().Add(-modelBound)), cancel: cancel}
		w.reads = append(w.reads, r)
		go func() {
			defer cancel()
			a, stale, err := w.cache.Get(ctx, id)
			r.stale, r.ended = stale, time.Now()
			if r.err = err; err == nil {
				r.got = stateOf(a)
				w.cache.Done(a)
			} else if errors.Is(err, blob.ErrNotFound) {
				r.err = nil
			}
			w.mu.Lock()
			r.done = true
			w.mu.Unlock()
		}()
	case 0, 1, 2, 3, 4, 5, 6: // let a look-up go on
		w.mu.Lock()
		if len(w.gates) > 0 {
			g := w.gates[rng.IntN(len(w.gates))]
			if !g.taken {
				g.taken = true
				close(g.snapshot)
			} else if !g.answered {
				g.answered = true
				if rng.IntN(10) == 0 {
					g.err = fmt.Errorf("cut off: %w", blob.ErrUnavailable)
				}
				close(g.answer)
			}
		}
		w.mu.Unlock()
	case 9, 10, 11: // another node writes
		w.commit(rng, id)
	case 12, 13: // this node writes
		w.own = append(w.own, w.commit(rng, id))
	case 14, 15, 16:
		w.acknowledge()
	case 17, 18, 19:
		w.deliver()
	case 20: // a commit with unknown outcome, which did happen
		c := w.commit(rng, id)
		c.change.Version = 0
		w.cache.Wrote(c.change)
	case 21: // a publish of some products, in no order
		c := w.commit(rng, id, modelID(int(op>>5)+1))
		c = told{change: blob.Change{Version: c.change.Version, Generation: w.version}, states: c.states}
		w.feed[len(w.feed)-1] = c
	case 22, 23:
		w.store.settle(rng)
	case 24:
		w.store.evict(id)
		if rng.IntN(4) == 0 {
			w.pack() // which forgets all
		}
	case 25: // a caller leaves
		if len(w.reads) > 0 {
			w.reads[rng.IntN(len(w.reads))].cancel()
		}
	case 26, 27: // time for failed loads to be tried again, for misses to end, and for the feed to be missed
		if rng.IntN(3) == 0 {
			time.Sleep(time.Duration(rng.Int64N(int64(modelBound))))
		}
	case 7:
		go w.cache.flights.fill(context.Background(), []int64{id, modelID(int(op>>5) + 1)})
	case 28:
		w.poll()
	case 29:
		if rng.IntN(4) == 0 {
			w.restore(rng)
		}
	case 30: // nothing comes by the feed, or something again
		if rng.IntN(4) == 0 {
			w.cut = !w.cut
		}
	}
	synctest.Wait()
	if w.fault == lostNote {
		w.cache.ids.mu.Lock()
		w.cache.ids.added, w.cache.ids.removed = roaring64.New(), roaring64.New()
		w.cache.ids.mu.Unlock()
	}
}

// judge looks at the reads that have finished, and at the ids.
func (w *world) judge() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var finished []*read
	w.reads = slices.DeleteFunc(w.reads, func(r *read) bool {
		if r.done {
			finished = append(finished, r)
		}
		return r.done
	})
	for _, r := range finished {
		if r.err != nil {
			continue
		}
		from := max(r.floor, r.bound)
		if r.stale > 0 {
			from = max(r.floor, w.since(r.id, r.ended.Add(-r.stale)))
		}
		if r.stale > modelLimit {
			return fmt.Errorf("product %d: stale for %v", r.id, r.stale)
		}
		state := slices.Index(w.history[r.id][from:], r.got)
		if state < 0 {
			return fmt.Errorf("product %d: read state %d, stale %v, history %v, must be from index %d (%d, %d)",
				r.id, r.got, r.stale, w.history[r.id], from, r.floor, r.bound)
		}
		w.show(r.id, from+state)
	}
	if err := w.judgeList(); err != nil {
		return err
	}
	if current, size := w.cache.ids.state(); current {
		list, total, _ := w.cache.ids.page(nil, 0, 100)
		if total != size || int64(len(list)) != total {
			return fmt.Errorf("ids %v, but size %d", list, total)
		}
		for id, h := range w.history {
			if w.told(id) && slices.Contains(list, id) != (h[len(h)-1] != 0) {
				return fmt.Errorf("product %d: list %v, history %v", id, list, h)
			}
		}
	}
	return nil
}

// judgeList looks at what a page would leave out: products that don't exist as
// far as a read may show. While a restore is not noticed, versions that come again
// are taken for old ones. The mutex is held.
func (w *world) judgeList() error {
	if slices.ContainsFunc(w.feed, func(c told) bool { return c.reset }) {
		return nil
	}
	oldest := w.cache.fresh.oldest()
	list, _, set := w.cache.ids.page(nil, 0, 100)
	if !w.cache.listable(set, oldest) {
		return nil
	}
	for id, h := range w.history {
		if slices.Contains(list, id) {
			continue
		}
		from := w.since(id, time.Now().Add(-modelBound))
		if slices.Contains(h[1:from+1], 0) {
			from = 0 // see listed
		}
		from = max(from, w.listed[id])
		state := slices.Index(h[from:], 0)
		if state < 0 {
			return fmt.Errorf("product %d: not in list %v, history %v, must be from index %d (%d)", id, list, h, from, w.listed[id])
		}
		w.show(id, from+state)
	}
	return nil
}

// show takes in that a read has shown a state, behind which later ones must not
// go back. The mutex is held.
func (w *world) show(id int64, state int) {
	if w.orderly {
		w.listed[id] = max(w.listed[id], state)
		w.known[id] = max(w.known[id], state)
	}
}

// told says whether the node has been told all there is about a product.
func (w *world) told(id int64) bool {
	for _, c := range slices.Concat(w.feed, w.own) {
		if _, ok := c.states[id]; ok && !slices.ContainsFunc(w.own, func(o told) bool { return o.change.Version == c.change.Version }) {
			return false
		}
	}
	return !slices.ContainsFunc(w.own, func(o told) bool { _, ok := o.states[id]; return ok })
}

// run plays a script and returns the first wrong that was seen.
func (w *world) run(seed uint64, script []byte) (err error) {
	rng := rand.New(rand.NewPCG(seed, 0))
	w.history, w.times = make(map[int64][]int64), make(map[int64][]time.Time)
	w.known, w.listed = make(map[int64]int), make(map[int64]int)
	for n := range products {
		w.enter(modelID(n), 0)
	}
	w.store = &faultyStore{rng: rand.New(rand.NewPCG(seed, 1)), orderly: w.orderly, table: newTableStore()}
	w.cache = newCache(Config{Source: w, MissTimeout: time.Second, MaxStaleness: modelBound, StaleIfError: modelLimit}, w.store)
	w.pack()
	switch w.fault {
	case noFence:
		w.store.fresh = &w.cache.fence
	case unfenced:
		w.cache.packed.fence = new(fence.Fence)
		w.cache.packed.fence.RaiseAll() // as Load does
	}
	if w.fault == openFlights {
		w.cache.flights.fence = new(fence.Fence) // which nobody raises
	}
	switch w.fault {
	case noBound:
		w.cache.fresh.bound = 1 << 50
	case youngFlights:
		w.cache.flights.fresh = &freshness{start: w.cache.fresh.start.Add(-time.Hour)}
	case unlisted:
		w.cache.flights.ids = loadedIDs()
	}
	w.cache.ids.ready.Store(true)
	w.reset()
	defer func() {
		for _, r := range w.reads {
			r.cancel()
		}
		w.cache.Close()
		synctest.Wait()
	}()
	for i, op := range script {
		w.step(rng, op)
		if err := w.judge(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	// Everything arrives in the end; then reads and list show what there is.
	for range 100 {
		w.step(rng, 0)
	}
	time.Sleep(2 * time.Second)
	for range 20 {
		w.step(rng, 0)
	}
	for range 10 {
		w.cut = false
		w.poll()
		w.acknowledge()
		for range 20 {
			w.step(rng, 0)
		}
	}
	for n := range products {
		w.step(rng, byte(n<<5|31))
		for range 10 {
			w.step(rng, 0)
		}
	}
	return w.judge()
}

// modelCodec is for rows like those of the model.
var modelCodec = sync.OnceValue(func() *codec {
	var list []blob.Row
	for i := range int64(500) {
		list = append(list, row(i*i*i, i*7919))
	}
	c, _, _, err := measure(list)
	if err != nil {
		panic(err)
	}
	return c
})

// pack has the cache keep packed rows, so few that they are forgotten soon.
func (w *world) pack() {
	w.cache.packed.size = 1000
	w.cache.packed.reset(modelCodec(), 4, 2*1000+4*8, false)
	if w.cache.packed.codec == nil {
		panic("nothing is packed")
	}
}

// stateOf is the state that answers were made from: row puts it into the name.
func stateOf(a *blob.Answers) (state int64) {
	_, rest, _ := strings.Cut(string(a.Detail.Body), `"name":"v`)
	_, _ = fmt.Sscanf(rest, "%d", &state)
	return state
}

// faultyStore drops, delays, reorders and forgets.
type faultyStore struct {
	mu      sync.Mutex
	rng     *rand.Rand
	table   *tableStore
	late    []lateSet
	orderly bool
	fresh   *fence.Fence // planted: entries come with today's stamp
}

type lateSet struct {
	id int64
	e  *entry
}

func (s *faultyStore) Get(id int64) (*entry, bool) {
	e, ok := s.table.Get(id)
	if ok && s.fresh != nil {
		served := *e
		served.stamp = s.fresh.Stamp(id)
		return &served, true
	}
	return e, ok
}

func (s *faultyStore) Set(id int64, e *entry, _ int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.rng.IntN(4) {
	case 0:
		return s.rng.IntN(2) == 0 // dropped, whatever it says
	case 1, 2:
		s.late = append(s.late, lateSet{id, e})
	default:
		s.table.Set(id, e, 0)
	}
	return true
}

func (s *faultyStore) Wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.orderly && len(s.late) > 0 {
		s.settleOne()
	}
}

func (s *faultyStore) settle(rng *rand.Rand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.late) > 0 {
		s.settleOne()
	}
}

// settleOne puts any one of the late entries into place, or not; like
// ristretto it may keep the older of two.
func (s *faultyStore) settleOne() {
	i := s.rng.IntN(len(s.late))
	l := s.late[i]
	s.late = slices.Delete(s.late, i, i+1)
	if _, taken := s.table.Get(l.id); taken && s.rng.IntN(2) == 0 || s.rng.IntN(4) == 0 {
		return
	}
	s.table.Set(l.id, l.e, 0)
}

func (s *faultyStore) evict(id int64) {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	delete(s.table.m, id)
}

// play runs one script in a bubble.
func play(t *testing.T, seed uint64, script []byte, orderly bool, planted fault) (err error) {
	modelCodec() // it has channels, which would belong to the first bubble
	synctest.Test(t, func(*testing.T) {
		err = (&world{orderly: orderly, fault: planted}).run(seed, script)
	})
	return err
}

func TestModel(t *testing.T) {
	for _, orderly := range []bool{false, true} {
		t.Run(map[bool]string{false: "unruly store", true: "orderly store"}[orderly], func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				seed := rapid.Uint64().Draw(rt, "seed")
				// Long ones: it takes many steps to get into trouble.
				script := rapid.SliceOfN(rapid.Byte(), 300, 300).Draw(rt, "script")
				for i := range uint64(3) {
					if err := play(t, seed+i, script, orderly, sound); err != nil {
						rt.Fatal(err)
					}
				}
			})
		})
	}
}

// TestModelFindsFaults shows that TestModel can fail.
func TestModelFindsFaults(t *testing.T) {
	for name, planted := range map[string]fault{
		"cached entries without a fence":  noFence,
		"packed rows without a fence":     unfenced,
		"look-ups joined without a fence": openFlights,
		"changes lost during a load":      lostNote,
		"no bound without the feed":       noBound,
		"look-ups that look younger":      youngFlights,
		"look-ups that the list ignores":  unlisted,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(2000) {
				rng := rand.New(rand.NewPCG(seed, 2))
				script := make([]byte, 300)
				for i := range script {
					script[i] = byte(rng.Uint32())
				}
				if err := play(t, seed, script, true, planted); err != nil {
					t.Logf("found with seed %d: %v", seed, err)
					return
				}
			}
			t.Error("the fault was not found")
		})
	}
}
