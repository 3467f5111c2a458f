package sample

import (
	"bytes"
	"slices"
)

// planter puts defects into one file's lines while they are written: on the
// first and the last line, on lines that lie across the boundaries of readers'
// buffers, and scattered in between, all kinds in turn.
type planter struct {
	craft
	inPlace, extras, all []*defect
	turnInPlace          int
	turnExtra            int
	turn                 int
	turnEdge             int
	used                 map[*defect]int64
	fresh                int64         // the last id given out
	step                 int64         // bytes from one scattered defect to the next
	nextAt, nextEdge     int64         // offsets
	later                []appointment // in this chunk, by place
	begun                bool
	odd                  bool // which of two ways the ends of the file are done
}

// appointment is a defect that waits for the line at start, the nearest that
// suits it, so that those to come before it are not passed over.
type appointment struct {
	start int
	d     *defect
}

// scatter is how many rows there are to one scattered defect in a large file;
// a small one has every defect three times.
const scatter = 500

func newPlanter(seed uint64, file int, total rowCounts) *planter {
	p := &planter{
		craft:   craft{rng: newRNG(seed, streamDefects, -int64(file)-1), file: file, total: total},
		inPlace: inPlace(file),
		extras:  extras(file),
		used:    make(map[*defect]int64),
		fresh:   total[file],
		odd:     (seed+uint64(file))%2 == 1,
	}
	p.all = slices.Concat(p.inPlace, p.extras)
	p.turn = p.below(len(p.all))
	p.turnInPlace = p.below(len(p.inPlace))
	p.turnExtra = p.below(len(p.extras))
	lineBytes := [numFiles]int64{320, 32, 42, 18, 255, 20}[file] // rough means
	plants := max(3*int64(len(p.all)), total[file]/scatter)
	p.step = max(lineBytes*total[file]/plants, 2*lineBytes)
	p.nextAt = p.step
	p.nextEdge = edgeAfter(0)
	return p
}

// edgeAfter is the next offset at which a reader's buffer may end: a small
// power of two, then every 64 KiB, so every 256 KiB and 1 MiB too.
func edgeAfter(off int64) int64 {
	for edge := int64(4 << 10); edge < 64<<10; edge *= 2 {
		if edge > off {
			return edge
		}
	}
	return (off>>16 + 1) << 16
}

// lines is a chunk's lines of the file, written up to at.
type lines struct {
	all   []byte
	taken []int
	at    int
}

func (l *lines) free(start int) bool {
	_, taken := slices.BinarySearch(l.taken, start)
	return !taken
}

func (l *lines) end(start int) int {
	return start + bytes.IndexByte(l.all[start:], '\n') + 1
}

// start is where the line begins that holds the byte at i.
func (l *lines) start(i int) int {
	return bytes.LastIndexByte(l.all[:i], '\n') + 1
}

// nearestFree is the first line from start on that isn't rejected, or -1.
func (l *lines) nearestFree(start int) int {
	for ; start < len(l.all); start = l.end(start) {
		if l.free(start) {
			return start
		}
	}
	return -1
}

// earlierID is the id of a row before start that isn't rejected.
func (l *lines) earlierID(start int) string {
	for start > 0 {
		if start = l.start(start - 1); l.free(start) {
			id, _, _ := bytes.Cut(l.all[start:], []byte{','})
			return string(id)
		}
	}
	return ""
}

func (p *planter) append(s *sheet, chunk []byte, taken []int, last bool) error {
	l := &lines{all: chunk, taken: taken}
	if last {
		l.all = chunk[:l.start(len(chunk)-1)]
	}
	if !p.begun {
		p.begun = true
		if err := p.first(s, l); err != nil {
			return err
		}
	}
	for {
		if p.nextEdge <= s.off {
			p.nextEdge = edgeAfter(s.off)
		}
		// Offsets in the file become places in the chunk.
		ahead := max(min(p.nextAt, p.nextEdge)-s.off, 0)
		if len(p.later) > 0 && int64(p.later[0].start-l.at) <= ahead {
			next := p.later[0]
			p.later = p.later[1:]
			if err := p.scattered(s, l, next.d, max(next.start, l.at)); err != nil {
				return err
			}
			continue
		}
		if ahead >= int64(len(l.all)-l.at) {
			break
		}
		line := max(l.start(l.at+int(ahead)), l.at)
		if !l.free(line) { // and perhaps a very long one
			end := s.off + int64(l.end(line)-l.at)
			p.nextAt, p.nextEdge = max(p.nextAt, end), max(p.nextEdge, edgeAfter(end-1))
			continue
		}
		if p.nextEdge <= p.nextAt {
			edge := p.nextEdge
			p.nextEdge = edgeAfter(edge)
			if err := p.across(s, l, line, edge); err != nil {
				return err
			}
			continue
		}
		d := p.all[p.turn%len(p.all)]
		p.turn++
		if start, _ := p.suitable(l, d, line); start >= 0 {
			p.later = append(p.later, appointment{start, d})
			slices.SortStableFunc(p.later, func(a, b appointment) int { return a.start - b.start })
		}
		p.nextAt = max(p.nextAt, s.off) + p.step/2 + int64(p.below(int(p.step)))
	}
	if err := p.copyTo(s, l, len(l.all)); err != nil || !last {
		return err
	}
	return p.last(s, &lines{all: chunk, taken: taken, at: len(l.all)})
}

func (p *planter) copyTo(s *sheet, l *lines, to int) error {
	from := l.at
	l.at = to
	return s.write(l.all[from:to])
}

// spoil returns the line at start with d on it, nil where it doesn't suit. An
// extra row gets an id that no other row has.
func (p *planter) spoil(d *defect, l *lines, start int) []byte {
	if d.limit > 0 && p.used[d] >= d.limit || !l.free(start) {
		return nil
	}
	r := parseRow(l.all[start:l.end(start)])
	if d.class == reject {
		p.twin = l.earlierID(start)
		renumber(&r, p.fresh+1)
	}
	if !d.do(&p.craft, &r) {
		return nil
	}
	return r.append(nil)
}

// plant writes the lines before start and then the spoilt line: in the place
// of the one at start, or before it.
func (p *planter) plant(s *sheet, l *lines, start int, d *defect, spoilt []byte) error {
	if err := p.copyTo(s, l, start); err != nil {
		return err
	}
	if d.class == reject {
		p.fresh++
		s.planted.Rows++
	} else {
		l.at = l.end(start)
	}
	p.count(s, d)
	return s.write(spoilt)
}

func (p *planter) count(s *sheet, d *defect) {
	p.used[d]++
	for _, kind := range d.kinds {
		s.planted.add(d.class, kind, 1)
	}
}

func (p *planter) emptyLine(s *sheet, d *defect) error {
	p.count(s, d)
	return s.write([]byte{'\n'})
}

// suitable is the nearest line from start on that d can be planted on, with d
// on it; or -1.
func (p *planter) suitable(l *lines, d *defect, start int) (int, []byte) {
	if d.empty {
		return start, nil
	}
	if d.limit > 0 && p.used[d] >= d.limit {
		return -1, nil
	}
	for start = l.nearestFree(start); start >= 0; start = l.nearestFree(l.end(start)) {
		if spoilt := p.spoil(d, l, start); spoilt != nil {
			return start, spoilt
		}
	}
	return -1, nil
}

// scattered plants d on the line at start, or on the nearest one that suits it
// where another defect has come first.
func (p *planter) scattered(s *sheet, l *lines, d *defect, start int) error {
	start, spoilt := p.suitable(l, d, start)
	if start < 0 {
		return nil
	}
	if d.empty {
		if err := p.copyTo(s, l, start); err != nil {
			return err
		}
		return p.emptyLine(s, d)
	}
	return p.plant(s, l, start, d, spoilt)
}

// across plants a defect so that its line lies across edge, an offset in the
// file. The line at start is the one that does now.
func (p *planter) across(s *sheet, l *lines, start int, edge int64) error {
	p.turnEdge++
	if p.turnEdge%3 == 0 {
		if done, err := p.splitCRLF(s, l, start, edge); done || err != nil {
			return err
		}
	}
	begin := s.off + int64(start-l.at)
	if begin == edge {
		return nil
	}
	pool, turn := p.inPlace, &p.turnInPlace
	if p.turnEdge%3 == 1 {
		pool, turn = p.extras, &p.turnExtra
	}
	for range pool {
		d := pool[*turn%len(pool)]
		*turn++
		if d.empty || d.limit > 0 {
			continue
		}
		if spoilt := p.spoil(d, l, start); spoilt != nil && begin+int64(len(spoilt)) > edge {
			return p.plant(s, l, start, d, spoilt)
		}
	}
	return nil
}

// splitCRLF ends the line before start in a CR that is the last byte before
// edge, and an LF behind it.
func (p *planter) splitCRLF(s *sheet, l *lines, start int, edge int64) (done bool, err error) {
	if start == l.at {
		return false, nil
	}
	before := l.start(start - 1)
	blanks := int(edge - s.off - int64(start-l.at))
	if before < l.at || !l.free(before) || blanks > 1000 {
		return false, nil
	}
	d := &defect{class: repair, kinds: []string{KindCRLF}}
	r := parseRow(l.all[before:start])
	if blanks > 0 {
		d.kinds = append(d.kinds, KindBlankPadding)
		r.fields[colParent] = string(bytes.Repeat([]byte{' '}, blanks)) + r.fields[colParent]
	}
	r.end = "\r\n"
	return true, p.plant(s, l, before, d, r.append(nil))
}

// first plants a defect on the file's first data line, or an empty line and a
// rejected row before it.
func (p *planter) first(s *sheet, l *lines) error {
	if !p.odd {
		for range p.inPlace {
			d := p.inPlace[p.turnInPlace%len(p.inPlace)]
			p.turnInPlace++
			if len(l.all) == 0 {
				return nil
			}
			if spoilt := p.spoil(d, l, 0); spoilt != nil {
				return p.plant(s, l, 0, d, spoilt)
			}
		}
	}
	i := slices.IndexFunc(p.extras, func(d *defect) bool { return d.empty })
	if err := p.emptyLine(s, p.extras[i]); err != nil {
		return err
	}
	return p.extraRow(s, l, 0)
}

// last writes the file's last line with a defect, or a rejected row behind it.
// It has no line end unless the defect is one.
func (p *planter) last(s *sheet, l *lines) error {
	start := l.at
	if !p.odd && l.free(start) {
		i := slices.IndexFunc(p.inPlace, func(d *defect) bool { return d.kinds[0] == KindUnclosedQuote })
		if i < 0 {
			i = p.turnInPlace
		}
		for n := range p.inPlace {
			d := p.inPlace[(i+n)%len(p.inPlace)]
			if spoilt := p.spoil(d, l, start); spoilt != nil {
				return p.plant(s, l, start, d, trimLF(spoilt))
			}
		}
	}
	final := l.all[start:]
	for range p.extras {
		d := p.extras[p.turnExtra%len(p.extras)]
		p.turnExtra++
		free := l.nearestFree(0)
		if d.empty || d.limit > 0 || free < 0 {
			continue
		}
		if spoilt := p.spoil(d, l, free); spoilt != nil {
			if err := s.write(final); err != nil {
				return err
			}
			l.at = len(l.all)
			return p.plant(s, l, l.at, d, trimLF(spoilt))
		}
	}
	return s.write(trimLF(final))
}

// extraRow plants a rejected row before the line at start.
func (p *planter) extraRow(s *sheet, l *lines, start int) error {
	model := l.nearestFree(start)
	if model < 0 {
		return nil
	}
	for range p.extras {
		d := p.extras[p.turnExtra%len(p.extras)]
		p.turnExtra++
		if d.empty || d.limit > 0 {
			continue
		}
		if spoilt := p.spoil(d, l, model); spoilt != nil {
			return p.plant(s, l, start, d, spoilt)
		}
	}
	return nil
}

func trimLF(line []byte) []byte {
	if bytes.HasSuffix(line, []byte("\r\n")) {
		return line
	}
	return bytes.TrimSuffix(line, []byte("\n"))
}
