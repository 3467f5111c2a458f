package sample

import (
	"strconv"

	"github.com/hotshelf/hotshelf/blob"
)

// chunk is the rows of chunkProducts products that follow one another.
type chunk struct {
	rows [numFiles][]byte // lines, each with its line end
	// taken lists the beginnings of lines that are rejected: no further defect
	// may be planted on them, and no row copied from them.
	taken   [numFiles][]int
	planted [numFiles]Planted
}

func (c *chunk) reset() {
	for f := range c.rows {
		c.rows[f] = c.rows[f][:0]
		c.taken[f] = c.taken[f][:0]
		c.planted[f] = Planted{}
	}
}

// maker makes chunks. Several may work side by side: what a chunk holds
// depends on the seed and its number only.
type maker struct {
	seed    uint64
	count   int64
	words   *vocabulary
	spreads *spreads
	layout  *layout
	fates   *fates // nil in the clean edition
	ids     [numFiles]order
}

// order hands out the ids of one product's rows, slightly shuffled.
type order struct {
	ids []int64
	at  int
}

func (o *order) fill(r *rng, first int64, n int64) {
	o.ids, o.at = o.ids[:0], 0
	for i := range n {
		o.ids = append(o.ids, first+i)
	}
	shuffleNear(r, o.ids)
}

func (o *order) next() int64 {
	o.at++
	return o.ids[o.at-1]
}

// shuffleNear swaps neighbours now and then, as in the real files.
func shuffleNear(r *rng, ids []int64) {
	for i := 0; i+1 < len(ids); i++ {
		if r.oneIn(12) {
			ids[i], ids[i+1] = ids[i+1], ids[i]
			i++
		}
	}
}

func (m *maker) make(c *chunk, index int) {
	c.reset()
	first := int64(index)*chunkProducts + 1
	n := min(chunkProducts, m.count-first+1)
	var at [chunkProducts]rowCounts
	before := m.layout.before[index]
	ids := make([]int64, n)
	for i := range ids {
		ids[i], at[i] = first+int64(i), before
		for f, rows := range m.spreads.count(m.seed, ids[i]) {
			before[f] += rows
		}
	}
	r := newRNG(m.seed, streamOrder, first)
	shuffleNear(&r, ids)
	for _, id := range ids {
		m.product(c, id, at[id-first])
	}
}

// product makes one product with all its children; before has the last ids
// given out.
func (m *maker) product(c *chunk, id int64, before rowCounts) {
	counts := newRNG(m.seed, streamCounts, id)
	own := m.spreads.perProduct(&counts)
	perStyle := make([][2]int64, 0, 40)
	for range own[styles] {
		ph, sk := m.spreads.perStyle(&counts)
		perStyle = append(perStyle, [2]int64{int64(ph), int64(sk)})
		own[photos] += int64(ph)
		own[skus] += int64(sk)
	}
	shuffle := newRNG(m.seed, streamOrder, -id)
	for f := range own {
		m.ids[f].fill(&shuffle, before[f]+1, own[f])
	}

	r := newRNG(m.seed, streamContent, id)
	category := r.below(len(m.words.categories))
	start := len(c.rows[products])
	c.rows[products] = m.appendProduct(c.rows[products], &r, id, category)
	parent := m.settle(c, products, start, id, present)

	m.features(c, &r, id, own[features], parent)
	m.related(c, &r, id, own[related], parent)

	price := productPrice(m.seed, id)
	chosen := -1 // none is flagged now and then
	if own[styles] > 0 && !r.oneIn(16) {
		if r.below(10) >= 7 {
			chosen = r.below(int(own[styles]))
		} else {
			chosen = 0
		}
	}
	for i, children := range perStyle {
		style := m.ids[styles].next()
		start := len(c.rows[styles])
		c.rows[styles] = m.appendStyle(c.rows[styles], &r, style, id, price, i == chosen)
		state := m.settle(c, styles, start, style, parent)
		m.photos(c, &r, style, children[0], state)
		m.skus(c, &r, style, children[1], state)
	}
}

func (m *maker) appendProduct(b []byte, r *rng, id int64, category int) []byte {
	w := m.words
	b = strconv.AppendInt(b, id, 10)
	b = append(b, `,"`...)
	b = append(b, r.pick(w.adjectives)...)
	b = append(b, ' ')
	b = append(b, r.pick(w.nouns)...)
	if r.oneIn(4) {
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(100+10*r.below(90)), 10)
	}
	b = append(b, `","`...)
	b = append(b, r.pick(w.sloganHeads)...)
	b = append(b, r.pick(w.sloganTails)...)
	b = append(b, `","`...)
	b = m.appendDescription(b, r)
	b = append(b, `","`...)
	b = append(b, w.categories[category]...)
	b = append(b, `",`...)
	b = appendPrice(b, productPrice(m.seed, id))
	return append(b, '\n')
}

// maxDescription is the longest description of the real data, in characters.
const maxDescription = 351

func (m *maker) appendDescription(b []byte, r *rng) []byte {
	w := m.words
	want := 40 + r.below(maxDescription-40)
	for length := 0; length < want; {
		opener := w.openers[r.below(len(w.openers))]
		subject := w.subjects[r.below(len(w.subjects))]
		closer := w.closers[r.below(len(w.closers))]
		n := opener.length + subject.length + closer.length
		if length > 0 {
			n++
		}
		if length+n > maxDescription {
			break
		}
		if length > 0 {
			b = append(b, ' ')
		}
		b = append(b, opener.csv...)
		b = append(b, subject.csv...)
		b = append(b, closer.csv...)
		length += n
	}
	return b
}

func (m *maker) features(c *chunk, r *rng, product, n int64, parent state) {
	w := m.words
	kind := r.below(len(w.featureNames))
	for i := range n {
		id := m.ids[features].next()
		start := len(c.rows[features])
		b := strconv.AppendInt(c.rows[features], id, 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, product, 10)
		b = append(b, `,"`...)
		if i > 0 && !r.oneIn(40) { // else the same feature twice
			kind = (kind + 1 + r.below(4)) % len(w.featureNames)
		}
		b = append(b, w.featureNames[kind]...)
		if values := w.featureValues[kind]; values == nil || r.oneIn(20) {
			b = append(b, `",null`...)
		} else {
			b = append(b, `","`...)
			b = append(b, r.pick(values)...)
			b = append(b, '"')
		}
		c.rows[features] = append(b, '\n')
		m.settle(c, features, start, id, parent)
	}
}

func (m *maker) related(c *chunk, r *rng, product, n int64, parent state) {
	var target int64
	for i := range n {
		id := m.ids[related].next()
		start := len(c.rows[related])
		b := strconv.AppendInt(c.rows[related], id, 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, product, 10)
		b = append(b, ',')
		switch odd := r.below(100); {
		case odd < 2:
			target = product
		case odd < 5 && i > 0: // the same pair twice
		default:
			target = 1 + int64(r.below(int(m.count)))
		}
		b = strconv.AppendInt(b, target, 10)
		c.rows[related] = append(b, '\n')
		switch {
		case parent != present:
			m.settle(c, related, start, id, parent)
		case m.fates != nil && m.fates.product(target) != nil:
			c.reject(related, start, KindDanglingRelated)
		}
	}
}

func (m *maker) appendStyle(b []byte, r *rng, id, product int64, price blob.Price, chosen bool) []byte {
	w := m.words
	b = strconv.AppendInt(b, id, 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, product, 10)
	b = append(b, `,"`...)
	switch odd := r.below(100); {
	case odd < 4:
		b = append(b, r.pick(w.lists)...)
	case odd < 9:
		b = append(b, r.pick(w.quotedColours)...)
	default:
		b = append(b, r.pick(w.colours)...)
		if odd < 48 {
			b = append(b, ` & `...)
			b = append(b, r.pick(w.colours)...)
		}
	}
	b = append(b, `",`...)
	if r.oneIn(8) { // its own price
		price = max(price*blob.Price(80+5*r.below(20))/10_000, 2) * 100
	}
	if r.oneIn(4) {
		sale := max(price*blob.Price(50+5*r.below(10))/10_000, 1) * 100
		if price%100 != 0 || r.oneIn(15) {
			sale += 50
		}
		b = appendPrice(b, sale)
	} else {
		b = append(b, `null`...)
	}
	b = append(b, ',')
	b = appendPrice(b, price)
	if chosen {
		return append(b, ",1\n"...)
	}
	return append(b, ",0\n"...)
}

func (m *maker) photos(c *chunk, r *rng, style, n int64, parent state) {
	for range n {
		id := m.ids[photos].next()
		start := len(c.rows[photos])
		b := strconv.AppendInt(c.rows[photos], id, 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, style, 10)
		b = append(b, ',')
		short := r.oneIn(2)
		b = m.appendURL(b, id, short, 400+r.below(2600))
		b = append(b, ',')
		b = m.appendURL(b, id, short, 300)
		c.rows[photos] = append(b, '\n')
		m.settle(c, photos, start, id, parent)
	}
}

// appendURL writes a quoted URL of up to 140 characters. The photo's number
// is what makes it distinct: an odd factor maps ids one to one.
func (m *maker) appendURL(b []byte, photo int64, short bool, width int) []byte {
	const hex = "0123456789abcdef"
	b = append(b, `"https://images.example.com/photo-`...)
	b = strconv.AppendUint(b, 1_400_000_000_000+uint64(photo)*0x1f3d5b79a5%(1<<37), 10)
	b = append(b, '-')
	name := mix(m.seed ^ uint64(photo)*golden)
	for range 12 {
		b = append(b, hex[name&15])
		name >>= 4
	}
	b = append(b, `?ixlib=rb-1.2.1&`...)
	if !short {
		b = append(b, `ixid=eyJhcHBfaWQiOjEyMDd9&`...)
	}
	b = append(b, `auto=format&fit=crop&w=`...)
	b = strconv.AppendInt(b, int64(width), 10)
	return append(b, `&q=80"`...)
}

func (m *maker) skus(c *chunk, r *rng, style, n int64, parent state) {
	sizes := m.sizes(r, int(n))
	repeat := -1 // the place of a SKU that has the size before it
	if n > 1 && r.oneIn(40) {
		repeat = 1 + r.below(int(n)-1)
	}
	for i := range int(n) {
		id := m.ids[skus].next()
		start := len(c.rows[skus])
		b := strconv.AppendInt(c.rows[skus], id, 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, style, 10)
		b = append(b, `,"`...)
		if i == repeat {
			i--
		}
		b = append(b, sizes[i%len(sizes)]...)
		b = append(b, `",`...)
		quantity := r.below(60)
		if r.oneIn(50) {
			quantity *= r.below(200)
		}
		b = strconv.AppendInt(b, int64(quantity), 10)
		c.rows[skus] = append(b, '\n')
		m.settle(c, skus, start, id, parent)
	}
}

// sizes chooses a scale that fits the number of SKUs.
func (m *maker) sizes(r *rng, n int) []string {
	w := m.words
	odd := r.below(20)
	switch {
	case n == 1:
		return w.oneSizes[r.below(len(w.oneSizes)):]
	case odd == 0:
		return w.waistSizes[r.below(len(w.waistSizes)/2):]
	case odd == 1:
		return w.childSizes
	case n > 8 || odd == 2:
		return w.shoeSizes
	}
	return w.letterSizes
}

// productPrice is 5 to 5,000,000, mostly below 300, with cents now and then.
func productPrice(seed uint64, id int64) blob.Price {
	r := newRNG(seed, streamProduct, id)
	units := 5 + r.below(60)*(1+r.below(5))
	switch odd := r.below(1000); {
	case odd < 60:
		units = 1000 + r.below(4000)
	case odd < 64:
		units = 10_000 * (1 + r.below(500))
	}
	price := blob.Price(units) * 100
	switch r.below(24) {
	case 0:
		price += 50
	case 1:
		price += 95
	case 2:
		price += 99
	}
	return price
}

func appendPrice(b []byte, p blob.Price) []byte {
	b = strconv.AppendInt(b, int64(p/100), 10)
	if cents := p % 100; cents != 0 {
		b = append(b, '.', byte('0'+cents/10), byte('0'+cents%10))
	}
	return b
}
