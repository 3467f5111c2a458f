package sample

// state is what a load can know of a row's parent.
type state uint8

const (
	present    state = iota
	rejected         // rejected, under an id that could be read
	unreadable       // rejected, and no one can tell which id it was
)

// fates says which of the catalogue's own products and styles are rejected in
// the messy edition. It is a function of the id alone, so that a chunk knows
// of rejected products that another chunk writes.
type fates struct {
	seed    uint64
	total   rowCounts
	planted [numFiles][]*defect
}

// rarest is how many products, or styles, there are to one that is rejected
// in a large catalogue.
const rarest = 500

func newFates(seed uint64, total rowCounts) *fates {
	return &fates{seed: seed, total: total, planted: [numFiles][]*defect{
		products: ownRejects(products),
		styles:   ownRejects(styles),
	}}
}

func (f *fates) product(id int64) *defect { return f.of(products, id) }

func (f *fates) of(file int, id int64) *defect {
	kinds := f.planted[file]
	if len(kinds) == 0 {
		return nil
	}
	// At least one of each kind where there are ten rows a kind.
	period := min(max(f.total[file]/int64(len(kinds)+2), 12), rarest)
	round := id / period
	if id%period != period/2 {
		return nil
	}
	d := kinds[round%int64(len(kinds))]
	if d.limit > 0 && round >= int64(len(kinds)) {
		return kinds[0]
	}
	return d
}

// settle gives the line just written its fate and returns what a load can
// then know of it. A row's own fault comes before its parent's.
func (m *maker) settle(c *chunk, file, start int, id int64, parent state) state {
	if m.fates == nil {
		return present
	}
	if d := m.fates.of(file, id); d != nil {
		craft := craft{rng: newRNG(m.seed, streamDefects, id*numFiles+int64(file)), file: file, total: m.fates.total}
		spoilt := parseRow(c.rows[file][start:])
		d.do(&craft, &spoilt)
		c.rows[file] = spoilt.append(c.rows[file][:start])
		c.reject(file, start, d.kinds[0])
		if d.unreadable {
			return unreadable
		}
		return rejected
	}
	switch parent {
	case rejected:
		c.reject(file, start, KindOrphanOfRejected)
	case unreadable:
		c.reject(file, start, KindOrphan)
	default:
		return present
	}
	return rejected
}

func (c *chunk) reject(file, start int, kind string) {
	c.planted[file].add(reject, kind, 1)
	c.taken[file] = append(c.taken[file], start)
}
