package cache

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cache/fence"
)

const (
	// segmentSize is what is forgotten at once where there is no room left.
	segmentSize = 256 << 10
	// keepOneIn: once it is full of a part of the catalogue, one miss of so many is
	// kept. To compress a row costs a third of what its look-up did, and is wasted
	// where the row is forgotten before it is wanted again. What is wanted often
	// comes often, and gets in all the same.
	keepOneIn = 8
	// passOneIn: one of so many entries that are made from packed rows is handed to
	// the store. What is wanted often gets in all the same; to have ristretto
	// weigh each against what it has takes as long as to unpack it.
	passOneIn = 4
	// lentMost is the largest piece of memory that is lent again: pieces grow with
	// what they carry, and what holds products while it waits counts no more
	// than a few kilobytes for each.
	lentMost = 16 << 10
)

// packed keeps rows compressed, in an eighth of what their entries take, each
// with its stamp. An entry that the store does not have is made again from
// here, without the database. The oldest rows are forgotten first.
//
// The rows lie in segments without pointers, which the collector does not look
// into, one behind the other. A hash table of chains finds them; the newest row
// is the first of its chain. So a chain ends where it comes to a segment that
// has been emptied, and to forget a segment nobody needs to look into it.
//
// What must always hold, for the reasons in flights: while an entry that was
// made from a row is not settled in the store, no look-up of the product ends.
// So reading a row, making its entry and handing it to the store is one
// critical section, and whoever takes a row away waits for the store, within
// another.
type packed struct {
	store    store
	fence    *fence.Fence
	builders *sync.Pool
	lent     sync.Pool // of *blob.Answers that came back

	mu       sync.RWMutex
	codec    *codec // nil: nothing is kept
	heads    []place
	segments []segment // that numbered n is at n modulo their number
	oldest   uint32    // number of a segment
	newest   uint32
	size     int  // of a segment
	whole    bool // there is room for the whole catalogue

	met      atomic.Int64 // misses met since it is full
	unpacked atomic.Int64
	passed   atomic.Int64 // entries that the store took
}

type segment struct {
	bytes []byte
	rows  int // also those that are forgotten
}

// place is where a record begins: the number of its segment, which counts on
// when a segment is emptied, and the offset; 0 is none.
type place uint64

func newPacked(s store, f *fence.Fence) *packed {
	return &packed{
		store: s, fence: f, size: segmentSize,
		builders: &sync.Pool{New: func() any { return newBuilder() }},
	}
}

// Before a record, of a fixed length:
//
//	the place of the next of its chain  8 bytes
//	the product's id, 0: forgotten      8 bytes
//	the record's length                 4 bytes
const linkSize = 8 + 8 + 4

// record is a row as it lies in a segment: what its entry needs, and the three
// bodies in wire form, compressed together.
type record struct {
	hash                int64
	contract            blob.Contract
	stamp               fence.Stamp
	moment              int64 // in whole milliseconds
	version             int64
	detail, styles, all int
	data                []byte
}

func (r *record) appendTo(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.hash))
	dst = r.stamp.Append(append(dst, byte(r.contract)))
	dst = binary.AppendUvarint(dst, uint64(r.moment/int64(time.Millisecond)))
	dst = binary.AppendUvarint(dst, uint64(r.version))
	for _, length := range [...]int{r.detail, r.styles, r.all} {
		dst = binary.AppendUvarint(dst, uint64(length))
	}
	return append(dst, r.data...)
}

// readRecord reads what appendTo has written.
func readRecord(b []byte) (r record) {
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[n:]
		return v
	}
	r.hash = int64(binary.LittleEndian.Uint64(b))
	r.contract = blob.Contract(b[8])
	r.stamp, b = fence.ReadStamp(b[9:])
	r.moment = int64(next()) * int64(time.Millisecond)
	r.version = int64(next())
	r.detail, r.styles, r.all = int(next()), int(next()), int(next())
	r.data = b
	return r
}

// reset forgets everything. From now on rows are compressed by c, and about so
// many of them kept in so many bytes; whole says that these are all there are.
func (p *packed) reset(c *codec, rows, bytes int64, whole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.whole = whole
	p.codec, p.heads, p.segments, p.oldest, p.newest = nil, nil, nil, 1, 0
	chains := 1 << bits.Len64(uint64(rows)*3/4)
	if segments := (int(bytes) - 8*chains) / p.size; segments >= 2 {
		p.codec, p.heads, p.segments = c, make([]place, chains), make([]segment, segments)
	}
	p.store.Wait()
}

// get returns the entry of a product whose row is kept and still good. Now and
// then it hands one to the store. The others are lent: once the answer is sent,
// nobody needs them, and to leave that to the collector was three quarters of all
// garbage.
func (p *packed) get(id int64) (*entry, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	link := p.find(id)
	if link == nil {
		return nil, false
	}
	r := readRecord(link[linkSize:])
	if !p.fence.Holds(id, r.stamp) {
		return nil, false
	}
	e := &entry{stamp: r.stamp, moment: r.moment}
	row := blob.Row{ProductID: id, Version: r.version, Hash: r.hash, Contract: r.contract}
	if rand.Uint32()%passOneIn != 0 {
		e.answers = p.lend(&r, &row)
	} else {
		b := p.builders.Get().(*builder)
		defer p.builders.Put(b)
		var err error
		if b.data, err = p.codec.unpack(b.data[:0], r.data); err == nil && len(b.data) == r.all {
			var size int64
			e.answers, size = b.answers(&row, r.detail, r.styles)
			e.cost = entryOverhead + size
			if p.store.Set(id, e, e.cost) {
				p.passed.Add(1)
			}
		}
	}
	if e.answers == nil {
		return nil, false
	}
	p.unpacked.Add(1)
	return e, true
}

// lend unpacks a row into memory that comes back; nil where that fails.
func (p *packed) lend(r *record, row *blob.Row) *blob.Answers {
	a, ok := p.lent.Get().(*blob.Answers)
	if !ok {
		a = new(blob.Answers)
	}
	const tags = 72 // two, with a version of 20 digits
	data, err := p.codec.unpack(slices.Grow(a.Detail.Body[:0], r.all+tags), r.data)
	if err != nil || len(data) != r.all {
		return nil
	}
	data = appendTags(data, row)
	arrange(a, row, data, r.detail, r.styles, r.all)
	// With the capacity of it all, which is what comes back.
	a.Lent, a.Detail.Body = true, data[:r.detail]
	return a
}

// takeBack makes answers that are lent the memory of others.
func (p *packed) takeBack(a *blob.Answers) {
	if a.Lent && cap(a.Detail.Body) <= lentMost {
		p.lent.Put(a)
	}
}

// head is where the chain of a product begins.
func (p *packed) head(id int64) *place {
	hash, _ := hashID(id)
	return &p.heads[hash&uint64(len(p.heads)-1)]
}

// at returns the link and the record at a place; nil where a chain ends.
func (p *packed) at(at place) (link []byte) {
	number := uint32(at >> 32)
	if number < p.oldest || number > p.newest {
		return nil
	}
	link = p.segment(number).bytes[uint32(at):]
	return link[:linkSize+binary.LittleEndian.Uint32(link[16:])]
}

// find returns the link and the record of a product, nil if it has none. The
// mutex is held.
func (p *packed) find(id int64) (link []byte) {
	if p.codec == nil {
		return nil
	}
	for link = p.at(*p.head(id)); link != nil; link = p.at(place(binary.LittleEndian.Uint64(link))) {
		if binary.LittleEndian.Uint64(link[8:]) == uint64(id) {
			return link
		}
	}
	return nil
}

// forget takes the rows of products away, before what a look-up has found
// takes their place.
func (p *packed) forget(ids []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	forgotten := false
	for _, id := range ids {
		if link := p.find(id); link != nil {
			clear(link[8:16])
			forgotten = true
		}
	}
	if forgotten {
		p.store.Wait()
	}
}

// lacking appends those ids to dst whose rows are not there, or are outdated;
// full says that another one would push an older one out.
func (p *packed) lacking(dst, ids []int64) (list []int64, full bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, id := range ids {
		if link := p.find(id); link == nil || !p.fence.Holds(id, readRecord(link[linkSize:]).stamp) {
			dst = append(dst, id)
		}
	}
	return dst, p.codec == nil || p.full()
}

// keep packs what a look-up has found, or does not.
func (p *packed) keep(b *builder, e *entry) {
	p.mu.RLock()
	codec, part := p.codec, p.full() && !p.whole
	p.mu.RUnlock()
	if codec == nil || part && p.met.Add(1)%keepOneIn != 0 {
		return
	}
	bytes := b.record(codec, e)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.codec == codec {
		p.append(e.answers.ProductID, bytes)
	}
}

// record makes the record of an entry. It is good until the next call of b.
func (b *builder) record(c *codec, e *entry) []byte {
	a := e.answers
	b.data = append(append(append(b.data[:0], a.Detail.Body...), a.Styles.Body...), a.Related.Body...)
	b.packed = c.pack(b.packed[:0], b.data)
	r := record{
		hash: a.Hash, contract: a.Contract, stamp: e.stamp, moment: e.moment, version: a.Version,
		detail: len(a.Detail.Body), styles: len(a.Styles.Body), all: len(b.data), data: b.packed,
	}
	b.data = r.appendTo(b.data[:0])
	return b.data
}

// append writes a record. The mutex is held.
func (p *packed) append(id int64, record []byte) {
	need := linkSize + len(record)
	if need > p.size/4 {
		return // one that would push hundreds out
	}
	if p.newest < p.oldest || len(p.segment(p.newest).bytes)+need > p.size {
		p.turn()
	}
	s, head := p.segment(p.newest), p.head(id)
	next := *head
	*head = place(p.newest)<<32 | place(len(s.bytes))
	s.bytes = binary.LittleEndian.AppendUint64(s.bytes, uint64(next))
	s.bytes = binary.LittleEndian.AppendUint64(s.bytes, uint64(id))
	s.bytes = binary.LittleEndian.AppendUint32(s.bytes, uint32(len(record)))
	s.bytes = append(s.bytes, record...)
	s.rows++
}

func (p *packed) segment(number uint32) *segment {
	return &p.segments[number%uint32(len(p.segments))]
}

func (p *packed) full() bool { return p.oldest > 1 }

// turn makes room: another segment, in place of the oldest where there are
// enough.
func (p *packed) turn() {
	p.newest++
	s := p.segment(p.newest)
	if s.bytes == nil {
		s.bytes = make([]byte, 0, p.size)
		return
	}
	p.oldest++
	s.bytes, s.rows = s.bytes[:0], 0
	p.store.Wait()
}

// used returns how many rows are kept, and the bytes that they take.
func (p *packed) used() (rows, bytes int64) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, s := range p.segments {
		rows += int64(s.rows)
		bytes += int64(cap(s.bytes))
	}
	return rows, bytes + int64(8*len(p.heads))
}
