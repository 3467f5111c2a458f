package sample

// The six files, in the order in which a load can resolve their references.
const (
	products = iota
	features
	styles
	related
	photos
	skus
	numFiles
)

// chunkProducts is how many products are made at a time: about 700 kB of
// rows.
const chunkProducts = 256

// spread is a skewed distribution of small numbers.
type spread [10_000]uint8

// newSpread takes pairs of a value and its share of 10,000.
func newSpread(pairs ...int) *spread {
	var s spread
	at := 0
	for i := 0; i < len(pairs); i += 2 {
		for range pairs[i+1] {
			s[at] = uint8(pairs[i])
			at++
		}
	}
	return &s
}

func (s *spread) draw(r *rng) int { return int(s[r.below(len(s))]) }

// spreads are the numbers of children. Their means are those of the real
// data: 2.2 features, 1.96 styles and 4.5 related a product, 2.9 photos and
// 5.8 SKUs a style; a fifth of the products have no styles.
type spreads struct {
	features, styles, related *spread // a product
	photos, skus              *spread // a style
}

func newSpreads() *spreads {
	return &spreads{
		features: newSpread(0, 1150, 1, 2200, 2, 2800, 3, 2000, 4, 1100, 5, 500, 6, 200, 7, 40, 12, 10),
		styles:   newSpread(0, 2000, 1, 3330, 2, 2000, 3, 1150, 4, 650, 5, 370, 6, 215, 8, 145, 10, 85, 13, 37, 20, 13, 40, 5),
		related:  newSpread(0, 400, 1, 900, 2, 1100, 3, 1300, 4, 1400, 5, 1400, 6, 1200, 7, 1000, 8, 700, 9, 400, 10, 185, 30, 15),
		photos:   newSpread(0, 950, 1, 2000, 2, 2200, 3, 1700, 4, 1200, 5, 800, 6, 650, 7, 300, 10, 150, 20, 40, 30, 10),
		skus:     newSpread(0, 300, 1, 1000, 3, 400, 4, 600, 5, 1450, 6, 3600, 7, 900, 8, 600, 10, 740, 12, 300, 16, 85, 30, 25),
	}
}

// rowCounts has the number of rows, or the last id given out, per file.
type rowCounts [numFiles]int64

// layout says where each chunk's ids begin. Ids are dense, so a chunk can be
// made only once the children of all products before it are counted.
type layout struct {
	before []rowCounts // per chunk: the last ids before it
	total  rowCounts
	last   [numFiles]int // the last chunk that has rows of the file, or -1
}

func newLayout(seed uint64, n int64, s *spreads, stop func() error) (*layout, error) {
	l := &layout{last: [numFiles]int{-1, -1, -1, -1, -1, -1}}
	for first := int64(1); first <= n; first += chunkProducts {
		if err := stop(); err != nil {
			return nil, err
		}
		l.before = append(l.before, l.total)
		for p := first; p < min(first+chunkProducts, n+1); p++ {
			c := s.count(seed, p)
			for f := range c {
				if c[f] > 0 {
					l.total[f] += c[f]
					l.last[f] = len(l.before) - 1
				}
			}
		}
	}
	return l, nil
}

func (s *spreads) count(seed uint64, product int64) rowCounts {
	r := newRNG(seed, streamCounts, product)
	c := s.perProduct(&r)
	for range c[styles] {
		ph, sk := s.perStyle(&r)
		c[photos] += int64(ph)
		c[skus] += int64(sk)
	}
	return c
}

// perProduct leaves the numbers of photos and SKUs to perStyle, drawn from
// the same generator once for each style.
func (s *spreads) perProduct(r *rng) rowCounts {
	var c rowCounts
	c[products] = 1
	c[features] = int64(s.features.draw(r))
	c[styles] = int64(s.styles.draw(r))
	c[related] = int64(s.related.draw(r))
	return c
}

func (s *spreads) perStyle(r *rng) (photos, skus int) {
	return s.photos.draw(r), s.skus.draw(r)
}
