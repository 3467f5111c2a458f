package warm

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/hotshelf/hotshelf/blob"
)

// cursor walks a stream in step with the parents of its rows.
type cursor struct {
	rows  Rows
	owner int64 // the row's first column; 0 at the end
}

func (c *cursor) advance() {
	if c.owner = 0; c.rows.Next() {
		c.owner = c.rows.Int(0)
	}
}

// buildRange builds the products from lo to hi and returns how many there are.
func (l *lane) buildRange(ctx context.Context, lo, hi int64) (built int64, err error) {
	names := [...]string{"products", "features", "styles", "related", "photos", "skus", l.shelf}
	sized := l.source.Contract == blob.Pulsar
	if sized {
		names[5] = "sizes"
	}
	var cursors [len(names)]cursor
	for i, name := range names {
		rows, err := l.reader.Rows(ctx, name, lo, hi)
		if err != nil {
			return 0, err
		}
		cursors[i].rows = rows
		cursors[i].advance()
	}
	m := merge{
		products: &cursors[0], features: &cursors[1], styles: &cursors[2], related: &cursors[3],
		photos: &cursors[4], skus: &cursors[5], sized: sized,
	}
	live := &cursors[6]
	for p := &l.product; m.next(p); built++ {
		if err := l.goneBefore(live, p.ID); err != nil {
			return built, err
		}
		blob.Build(&l.blobs, p, l.source.Contract)
		var row Rows
		if live.owner == p.ID {
			row = live.rows
		}
		if err := l.sink.product(p.ID, &l.blobs, row); err != nil {
			return built, err
		}
		if row != nil {
			live.advance()
		}
	}
	if err := l.goneBefore(live, math.MaxInt64); err != nil {
		return built, err
	}
	return built, m.finish(lo, hi)
}

// goneBefore tells of live products that have no rows, up to the product id.
func (l *lane) goneBefore(live *cursor, id int64) error {
	for ; live.owner != 0 && live.owner < id; live.advance() {
		if err := l.sink.gone(live.owner); err != nil {
			return err
		}
	}
	return nil
}

// merge puts products together from the ordered streams.
type merge struct {
	products, features, styles, related, photos, skus *cursor

	sized bool    // skus has no ids, and any order does
	ids   []int64 // of the rows in the list that is being filled
}

// place adds a row to a list, in which they are in the order of their ids.
func place[T any](m *merge, list []T, id int64, row T) []T {
	at := len(list)
	if m.ids = m.ids[:at]; at == 0 || m.ids[at-1] < id {
		m.ids = append(m.ids, id)
		return append(list, row)
	}
	at, _ = slices.BinarySearch(m.ids, id)
	m.ids = slices.Insert(m.ids, at, id)
	return slices.Insert(list, at, row)
}

// next fills p with the next product, whose memory it reuses; false at the end.
func (m *merge) next(p *blob.Product) bool {
	if m.products.owner == 0 {
		return false
	}
	r := m.products.rows
	p.ID = m.products.owner
	p.Name, p.Slogan, p.Description, p.Category = r.Text(1), r.Text(2), r.Text(3), r.Text(4)
	p.DefaultPrice = r.Price(5)
	m.products.advance()

	p.Features = p.Features[:0]
	for ; m.features.owner == p.ID; m.features.advance() {
		r := m.features.rows
		p.Features = place(m, p.Features, r.Int(3), blob.Feature{Name: r.Text(1), Value: r.Text(2), HasValue: !r.Null(2)})
	}
	p.Related = p.Related[:0]
	for ; m.related.owner == p.ID; m.related.advance() {
		p.Related = place(m, p.Related, m.related.rows.Int(2), m.related.rows.Int(1))
	}
	styles := p.Styles[:cap(p.Styles)]
	p.Styles = p.Styles[:0]
	for n := 0; m.styles.owner == p.ID; n++ {
		s := blob.Style{}
		if n < len(styles) {
			s = styles[n] // for the memory of its lists
		}
		m.style(&s)
		p.Styles = append(p.Styles, s)
	}
	return true
}

// style fills s with the style at hand and moves on.
func (m *merge) style(s *blob.Style) {
	r := m.styles.rows
	s.ID, s.Name, s.Default = r.Int(1), r.Text(2), r.Bool(5)
	s.SalePrice, s.OnSale, s.OriginalPrice = r.Price(3), !r.Null(3), r.Price(4)
	m.styles.advance()

	s.Photos = s.Photos[:0]
	for ; m.photos.owner == s.ID; m.photos.advance() {
		r := m.photos.rows
		s.Photos = place(m, s.Photos, r.Int(3), blob.Photo{URL: r.Text(1), ThumbnailURL: r.Text(2)})
	}
	s.SKUs = s.SKUs[:0]
	for ; m.skus.owner == s.ID; m.skus.advance() {
		r := m.skus.rows
		sku := blob.SKU{Size: r.Text(1), Quantity: r.Int(2)}
		if m.sized {
			s.SKUs = append(s.SKUs, sku)
			continue
		}
		sku.ID = r.Int(3)
		s.SKUs = place(m, s.SKUs, sku.ID, sku)
	}
}

// finish checks that every row found its parent: one that did not would be
// missing from the shelf.
func (m *merge) finish(lo, hi int64) error {
	for _, c := range []struct {
		name string
		*cursor
	}{{"features", m.features}, {"styles", m.styles}, {"related", m.related}, {"photos", m.photos}, {"skus", m.skus}} {
		if c.owner != 0 {
			return fmt.Errorf("products %d to %d: a row of %s belongs to %d, which is not there", lo, hi, c.name, c.owner)
		}
	}
	return nil
}
