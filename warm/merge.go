package warm

import (
	"context"
	"fmt"

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

// buildRange builds the products from lo to hi.
func (l *lane) buildRange(ctx context.Context, lo, hi int64) error {
	names := [...]string{"products", "features", "styles", "related", "photos", "skus", "shelf"}
	var cursors [len(names)]cursor
	for i, name := range names {
		rows, err := l.reader.Rows(ctx, name, lo, hi)
		if err != nil {
			return err
		}
		cursors[i].rows = rows
		cursors[i].advance()
	}
	m := merge{
		products: &cursors[0], features: &cursors[1], styles: &cursors[2], related: &cursors[3],
		photos: &cursors[4], skus: &cursors[5],
	}
	live := &cursors[6]
	// A product of its own for each range: its texts are parts of the range's
	// streams, and what is left of them in reused lists would keep those.
	var p blob.Product
	for m.next(&p) {
		blob.Build(&l.blobs, &p, l.job.Contract)
		id, version, hash := p.ID, l.job.Version, l.blobs.Hash()
		for live.owner != 0 && live.owner < id {
			live.advance()
		}
		if live.owner == id {
			if live.rows.Int(2) == hash {
				version = live.rows.Int(1)
				l.unchanged++
			} else {
				l.replaced++
			}
		}
		if err := l.writer.Put(id, version, hash, l.job.Contract, &l.blobs); err != nil {
			return err
		}
		l.built++
	}
	return m.finish(lo, hi)
}

// merge puts products together from the ordered streams.
type merge struct {
	products, features, styles, related, photos, skus *cursor
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
		p.Features = append(p.Features, blob.Feature{Name: r.Text(1), Value: r.Text(2), HasValue: !r.Null(2)})
	}
	p.Related = p.Related[:0]
	for ; m.related.owner == p.ID; m.related.advance() {
		p.Related = append(p.Related, m.related.rows.Int(1))
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
		s.Photos = append(s.Photos, blob.Photo{URL: m.photos.rows.Text(1), ThumbnailURL: m.photos.rows.Text(2)})
	}
	s.SKUs = s.SKUs[:0]
	for ; m.skus.owner == s.ID; m.skus.advance() {
		r := m.skus.rows
		s.SKUs = append(s.SKUs, blob.SKU{ID: r.Int(1), Size: r.Text(2), Quantity: r.Int(3)})
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
