package cache

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cache/fence"
)

// realisticCodec is made from realistic products.
func realisticCodec(t testing.TB) *codec {
	t.Helper()
	var rows []blob.Row
	for id := range int64(sampled) {
		rows = append(rows, realistic(id*997))
	}
	c, _, _, err := measure(rows)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// filled is a store for rows of the given number of segments.
func filled(t testing.TB, segments int64) *packed {
	t.Helper()
	p := newPacked(newTableStore(), new(fence.Fence))
	p.reset(realisticCodec(t), segments*600, segments*segmentSize+8192*segments, false)
	return p
}

// TestRecord: what comes out of a segment is what went into it.
func TestRecord(t *testing.T) {
	var f fence.Fence
	for range 300 {
		f.Raise(5)
		f.RaiseAll()
	}
	for _, r := range []record{
		{data: []byte("y")},
		{version: 1<<63 - 1, hash: -1, contract: blob.Atelier, moment: 4611686018427000000, stamp: f.Stamp(5), detail: 1 << 30, styles: 1 << 30, all: 1 << 31, data: []byte("x")},
		{version: 7, hash: 1 << 62, stamp: f.Stamp(6), detail: 3, styles: 2, all: 9, data: bytes.Repeat([]byte{0xff}, 500)},
	} {
		got := readRecord(r.appendTo(nil))
		if diff := cmp.Diff(r, got, cmp.AllowUnexported(record{}, fence.Stamp{})); diff != "" {
			t.Error(diff)
		}
	}
}

// sameAnswers compares bodies, and whether they have a gzip form.
func sameAnswers(x, y *blob.Answers) bool {
	same := x.ProductID == y.ProductID && x.Version == y.Version && x.Contract == y.Contract &&
		bytes.Equal(x.Tags, y.Tags) &&
		x.FeaturesFrom == y.FeaturesFrom && x.FeaturesTo == y.FeaturesTo
	for _, pair := range [...][2]*blob.Answer{{&x.Detail, &y.Detail}, {&x.Styles, &y.Styles}, {&x.Related, &y.Related}} {
		same = same && bytes.Equal(pair[0].Body, pair[1].Body) && (pair[0].Zip == nil) == (pair[1].Zip == nil)
	}
	return same
}

// TestPacked: an entry made from a packed row is the one that was built from
// the database's, is handed to the store if it is wanted often, and is gone once its fence is
// raised.
func TestPacked(t *testing.T) {
	p := filled(t, 4)
	b := newBuilder()
	entries := make(map[int64]*entry)
	for id := int64(1); id <= 500; id++ {
		r := realistic(id)
		r.Contract = blob.Contract(id % 2)
		e := &entry{stamp: p.fence.Stamp(id), moment: id * 1e9}
		var size int64
		e.answers, size = b.build(&r)
		e.cost = entryOverhead + size
		entries[id] = e
		p.keep(b, e)
	}
	for id, want := range entries {
		handed := 0
		const times = 40 * passOneIn
		for range times {
			got, ok := p.get(id)
			if !ok {
				t.Fatalf("product %d is not there", id)
			}
			if stored, _ := p.store.Get(id); stored == got {
				handed++
			} else {
				got.cost = want.cost // nobody asks for it
			}
			if got.stamp != want.stamp || got.moment != want.moment || got.cost != want.cost || !sameAnswers(got.answers, want.answers) {
				t.Fatal(cmp.Diff(want, got, cmp.AllowUnexported(entry{}, fence.Stamp{}), cmp.Comparer(sameAnswers)))
			}
			p.takeBack(got.answers)
		}
		if handed == 0 || handed > times/2 {
			t.Fatalf("product %d was handed to the store %d times of %d", id, handed, times)
		}
	}
	for id, want := range entries {
		if stored, _ := p.store.Get(id); stored.answers.Lent || !sameAnswers(stored.answers, want.answers) {
			t.Errorf("product %d: what the store has was lent to somebody else", id)
		}
	}
	p.fence.Raise(7)
	p.forget([]int64{8, 9, 1000})
	for id, want := range map[int64]bool{6: true, 7: false, 8: false, 9: false, 10: true, 501: false} {
		if _, ok := p.get(id); ok != want {
			t.Errorf("product %d: there is %v, want %v", id, ok, want)
		}
	}
	p.reset(nil, 0, 0, false)
	p.keep(b, entries[10])
	if _, ok := p.get(10); ok {
		t.Error("a product was kept after the reset")
	}
}

// TestLentMemory: what is lent is used again, but not what would be kept for a
// single large product.
func TestLentMemory(t *testing.T) {
	p := filled(t, 4)
	b := newBuilder()
	for id := int64(1); id <= 3; id++ {
		r := realistic(id)
		if id == 3 {
			r.Styles = fmt.Appendf(nil, `{"results": [], "product_id": "%0*d"}`, lentMost, id)
		}
		e := &entry{stamp: p.fence.Stamp(id)}
		e.answers, _ = b.build(&r)
		p.keep(b, e)
	}
	lent := func(id int64) *blob.Answers {
		for range 1000 {
			if e, ok := p.get(id); ok && e.answers.Lent {
				return e.answers
			}
		}
		t.Fatalf("product %d is not there, or never lent", id)
		return nil
	}
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	// An entry; and in every fourth try, which is not lent, three things.
	if n := testing.AllocsPerRun(1000, func() { p.takeBack(lent(2)) }); n >= 3 {
		t.Errorf("%v allocations", n)
	}
	large := lent(3)
	p.takeBack(large)
	for range 100 {
		if a := lent(1); a == large {
			t.Fatal("the memory of a large product is lent to a small one")
		}
	}
}

// lateStore has what it is told to keep when it is waited for.
type lateStore struct {
	*tableStore
	late int
}

func (s *lateStore) Set(id int64, e *entry, cost int64) bool {
	s.late++
	return s.tableStore.Set(id, e, cost)
}

func (s *lateStore) Wait() { s.late = 0 }

// TestPackedSettles: a row is not taken away before the entries that were made
// from it have settled, or they could come up behind those of a later look-up.
func TestPackedSettles(t *testing.T) {
	for name, takeAway := range map[string]func(p *packed){
		"forget": func(p *packed) { p.forget([]int64{1}) },
		"reset":  func(p *packed) { p.reset(nil, 0, 0, false) },
		"turn": func(p *packed) {
			for id := int64(2); p.find(1) != nil; id++ {
				p.append(id, make([]byte, 1000))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := filled(t, 2)
			s := &lateStore{tableStore: newTableStore()}
			p.store = s
			r := realistic(1)
			b := newBuilder()
			e := &entry{stamp: p.fence.Stamp(1)}
			e.answers, _ = b.build(&r)
			p.keep(b, e)
			for s.late == 0 {
				if _, ok := p.get(1); !ok {
					t.Fatal("the row is not there")
				}
			}
			takeAway(p)
			if _, ok := p.get(1); ok || s.late != 0 {
				t.Errorf("there is %v, %d entries have not settled", ok, s.late)
			}
		})
	}
}

// TestPackedForgetsTheOldest: it takes no more than its size, whatever comes.
func TestPackedForgetsTheOldest(t *testing.T) {
	p := filled(t, 3)
	b := newBuilder()
	huge := &entry{answers: &blob.Answers{ProductID: 1}}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 { // which does not compress
		huge.answers.Detail.Body = append(huge.answers.Detail.Body, byte(rng.Uint32()))
	}
	p.keep(b, huge)
	if rows, _ := p.used(); rows != 0 {
		t.Error("a product was kept that takes nearly all there is")
	}
	const count, size = 5000, 300
	for id := int64(1); id <= count; id++ {
		p.append(id, bytes.Repeat([]byte{byte(id)}, size))
	}
	first := int64(0)
	for id := int64(1); id <= count; id++ {
		link := p.find(id)
		if link != nil && !bytes.Equal(link[linkSize:], bytes.Repeat([]byte{byte(id)}, size)) {
			t.Fatalf("product %d: %v", id, link)
		}
		if link != nil && first == 0 {
			first = id
		}
		if (link == nil) != (first == 0) {
			t.Fatalf("product %d: there is %v, though the first is %d", id, link != nil, first)
		}
	}
	rows, used := p.used()
	if kept := count - first + 1; rows != kept || rows < 2*segmentSize/(linkSize+size) || rows > 3*segmentSize/(linkSize+size) {
		t.Errorf("%d rows, %d can be found", rows, kept)
	}
	if limit := int64(3*segmentSize + 8*len(p.heads)); used != limit {
		t.Errorf("%d bytes are used, want %d", used, limit)
	}
}

// TestPackedCostIsHonest compares the heap with what packed rows claim to take,
// after many have come and gone.
func TestPackedCostIsHonest(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("measures the heap")
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	p := filled(t, 160)
	for id := range int64(400_000) {
		p.append(id+1, bytes.Repeat([]byte{1}, 400))
	}
	used := heap() - before
	rows, claimed := p.used()
	t.Logf("%d rows take %d bytes and claim %d", rows, used, claimed)
	if used > claimed*21/20 || used < claimed*17/20 {
		t.Errorf("%d bytes are used, %d claimed", used, claimed)
	}
	runtime.KeepAlive(p)
}

// TestDivide: of a catalogue that does not fit, not even packed, what reads ask
// for is packed, answered without the database, and looked up again after a
// publish.
func TestDivide(t *testing.T) {
	const count = 1200
	shelf := newShelf()
	for id := int64(1); id <= 2*count; id++ {
		shelf.put(realistic(id))
	}
	c := newSized(t, shelf, 1800<<10)
	read := func() (looked int64) {
		t.Helper()
		before := c.Stats().Misses
		for id := int64(1); id <= count; id++ {
			if a, _, err := c.Get(context.Background(), id); err != nil || a.ProductID != id {
				t.Fatal(a, err)
			}
		}
		return c.Stats().Misses - before
	}
	if looked := read(); looked != count {
		t.Errorf("%d products looked up at first", looked)
	}
	if looked := read(); looked != 0 {
		t.Errorf("%d products looked up again", looked)
	}
	s := c.Stats()
	if s.Packed != count || s.Unpacked == 0 || s.Bytes > 1800<<10 || s.Filled != 0 || s.Filling {
		t.Errorf("%+v", s)
	}
	t.Logf("%+v", s)
	c.Apply(blob.Change{Version: 2, Generation: 2})
	if looked := read(); looked != count {
		t.Errorf("%d products looked up after a publish", looked)
	}

	large := newSized(t, shelf, 64<<20)
	if _, _, err := large.Get(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	if s := large.Stats(); s.Packed != 0 || s.Filled != 0 || large.ristretto.MaxCost() != 48<<20 {
		t.Errorf("packed, though everything fits: %+v", s)
	}
}
