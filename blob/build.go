package blob

import (
	"math/bits"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// Blobs are a product's three responses in canonical form: compact JSON with
// the keys in the order of jsonb (by length, then by bytes) and jsonb's own
// escapes, so that a blob read back from Postgres and compacted is equal byte
// for byte to the one that was built.
type Blobs struct {
	Detail  []byte
	Styles  []byte
	Related []byte
}

// Hash is the xxHash64 of the three responses. Equal hashes are taken to mean
// equal blobs.
func (b *Blobs) Hash() int64 {
	var d xxhash.Digest
	d.Reset()
	// The separator can't occur in JSON, so no two triples run together.
	_, _ = d.Write(b.Detail)
	_, _ = d.Write([]byte{0})
	_, _ = d.Write(b.Styles)
	_, _ = d.Write([]byte{0})
	_, _ = d.Write(b.Related)
	return int64(d.Sum64())
}

// Build writes the responses of p in contract c into b, reusing b's memory.
// The tables of the two contracts are in the package's golden files.
func Build(b *Blobs, p *Product, c Contract) {
	b.Detail = appendDetail(b.Detail[:0], p, c)
	b.Styles = appendStyles(b.Styles[:0], p, c)
	b.Related = appendRelated(b.Related[:0], p)
}

func appendDetail(b []byte, p *Product, c Contract) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, p.ID, 10)
	b = append(b, `,"name":`...)
	b = appendString(b, p.Name)
	b = append(b, `,"slogan":`...)
	b = appendString(b, p.Slogan)
	b = append(b, `,"category":`...)
	b = appendString(b, p.Category)
	b = append(b, `,"features":[`...)
	for i, f := range p.Features {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"value":`...)
		switch {
		case f.HasValue:
			b = appendString(b, f.Value)
		case c == Pulsar:
			b = append(b, `"null"`...)
		default:
			b = append(b, `null`...)
		}
		b = append(b, `,"feature":`...)
		b = appendString(b, f.Name)
		b = append(b, '}')
	}
	b = append(b, `],"description":`...)
	b = appendString(b, p.Description)
	b = append(b, `,"default_price":`...)
	b = appendPrice(b, p.DefaultPrice, c)
	return append(b, '}')
}

func appendStyles(b []byte, p *Product, c Contract) []byte {
	b = append(b, `{"results":[`...)
	if len(p.Styles) == 0 {
		// Storefronts read results[0] unguarded, so a product without styles
		// gets one placeholder.
		b = appendStyle(b, &Style{OriginalPrice: p.DefaultPrice}, c, true)
	}
	flagged := slices.ContainsFunc(p.Styles, func(s Style) bool { return s.Default })
	for i := range p.Styles {
		if i > 0 {
			b = append(b, ',')
		}
		s := &p.Styles[i]
		b = appendStyle(b, s, c, s.Default || !flagged && i == 0)
	}
	b = append(b, `],"product_id":"`...)
	b = strconv.AppendInt(b, p.ID, 10)
	return append(b, `"}`...)
}

// appendStyle writes one style; a style without an id is the placeholder.
func appendStyle(b []byte, s *Style, c Contract, isDefault bool) []byte {
	b = append(b, `{"name":`...)
	b = appendString(b, s.Name)
	b = append(b, `,"skus":`...)
	if c == Pulsar {
		b = appendSizes(b, s.SKUs)
	} else {
		b = appendSKUs(b, s.SKUs)
	}
	b = append(b, `,"photos":`...)
	b = appendPhotos(b, s.Photos)
	b = append(b, `,"default?":`...)
	switch {
	case c == Pulsar && isDefault:
		b = append(b, '1')
	case c == Pulsar:
		b = append(b, '0')
	default:
		b = strconv.AppendBool(b, isDefault)
	}
	b = append(b, `,"style_id":`...)
	if s.ID == 0 {
		b = append(b, `null`...)
	} else {
		b = strconv.AppendInt(b, s.ID, 10)
	}
	b = append(b, `,"sale_price":`...)
	switch {
	case s.OnSale && s.SalePrice > 0:
		b = appendPrice(b, s.SalePrice, c)
	case c == Pulsar:
		b = append(b, `"0"`...)
	default:
		b = append(b, `null`...)
	}
	b = append(b, `,"original_price":`...)
	b = appendPrice(b, s.OriginalPrice, c)
	return append(b, '}')
}

func appendPhotos(b []byte, photos []Photo) []byte {
	if len(photos) == 0 {
		return append(b, `[{"url":null,"thumbnail_url":null}]`...)
	}
	b = append(b, '[')
	for i := range photos {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"url":`...)
		b = appendString(b, photos[i].URL)
		b = append(b, `,"thumbnail_url":`...)
		b = appendString(b, photos[i].ThumbnailURL)
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendSizes writes pulsar's size to quantity, equal sizes added up, in the
// order of jsonb. The order that shoppers see is restored by AppendWire.
func appendSizes(b []byte, skus []SKU) []byte {
	if len(skus) == 0 {
		return append(b, `{"null":null}`...)
	}
	// A style rarely has more than a dozen SKUs: the array keeps the usual
	// case off the heap.
	var few [16]SKU
	sums := append(few[:0], skus...)
	slices.SortStableFunc(sums, func(x, y SKU) int { return compareKeys(x.Size, y.Size) })
	b = append(b, '{')
	for i := 0; i < len(sums); {
		size, quantity := sums[i].Size, int64(0)
		for ; i < len(sums) && sums[i].Size == size; i++ {
			quantity += sums[i].Quantity
		}
		b = appendString(b, size)
		b = append(b, ':')
		b = strconv.AppendInt(b, quantity, 10)
		b = append(b, ',')
	}
	b[len(b)-1] = '}'
	return b
}

// appendSKUs writes atelier's SKU id to quantity and size. Ids ascend, which
// is jsonb's order of their decimal forms too.
func appendSKUs(b []byte, skus []SKU) []byte {
	if len(skus) == 0 {
		return append(b, `{"null":{"size":null,"quantity":null}}`...)
	}
	b = append(b, '{')
	for i := range skus {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = strconv.AppendInt(b, skus[i].ID, 10)
		b = append(b, `":{"size":`...)
		b = appendString(b, skus[i].Size)
		b = append(b, `,"quantity":`...)
		b = strconv.AppendInt(b, skus[i].Quantity, 10)
		b = append(b, '}')
	}
	return append(b, '}')
}

func appendRelated(b []byte, p *Product) []byte {
	b = append(b, '[')
	for i, id := range p.Related {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, id, 10)
	}
	return append(b, ']')
}

func appendPrice(b []byte, p Price, c Contract) []byte {
	b = append(b, '"')
	if c == Pulsar {
		b = appendShort(b, p)
	} else {
		b = appendExact(b, p)
	}
	return append(b, '"')
}

// appendString appends s as a JSON string with exactly the escapes that
// PostgreSQL writes (escape_json in src/backend/utils/adt/json.c).
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := plain(s, 0); i < len(s); i = plain(s, i+1) {
		ch := s[i]
		b = append(b, s[start:i]...)
		start = i + 1
		switch ch {
		case '"', '\\':
			b = append(b, '\\', ch)
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[ch>>4], hex[ch&15])
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// plain is where the first byte from i on needs an escape, or the end. Eight
// bytes are looked at together.
func plain(s string, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(s); i += 8 {
		x := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		// To exchange ' ' and '"' makes a quote one of the lowest 33, with all that
		// are below ' '. A backslash becomes 0.
		low, slash := x^(' '^'"')*ones, x^'\\'*ones
		// The high bit of such a byte. One above it may have it too, but none below.
		if found := ((low-('!'*ones))&^low | (slash-ones)&^slash) & high; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(s) && s[i] >= ' ' && s[i] != '"' && s[i] != '\\' {
		i++
	}
	return i
}
