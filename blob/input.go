package blob

import (
	"fmt"
	"strconv"
)

// Input is the body of a write: one model for both contracts. A nil field was
// absent, and stays as it is in an update. In the lists an id of 0 is an
// element that is new.
type Input struct {
	Name         *string
	Slogan       *string
	Description  *string
	Category     *string
	DefaultPrice *Price
	Features     *[]Feature
	Styles       *[]StyleInput
	Related      *[]int64
}

// StyleInput is a style in a body. Where a style that keeps its id has no
// photos or SKUs given (nil), it keeps those it has.
type StyleInput struct {
	Style
	PhotosGiven bool
	SKUsGiven   bool
}

// Fault is one thing wrong with a body.
type Fault struct {
	Pointer string `json:"pointer"` // JSON pointer (RFC 6901)
	Detail  string `json:"detail"`
}

// InvalidError says that a body can't be taken, and why. It lists the first
// maxFaults of All faults.
type InvalidError struct {
	Faults []Fault
	All    int
	// Malformed says that the body is not JSON in valid UTF-8: then the only
	// fault is where it stops being that.
	Malformed bool
}

// maxFaults bounds the answer to a body of a million faults.
const maxFaults = 1000

func (e *InvalidError) Error() string {
	if e.All == 0 {
		return "invalid"
	}
	return fmt.Sprintf("%d faults, the first at %q: %s", e.All, e.Faults[0].Pointer, e.Faults[0].Detail)
}

// Add notes a fault.
func (e *InvalidError) Add(pointer, detail string) {
	if e.All++; len(e.Faults) < maxFaults {
		e.Faults = append(e.Faults, Fault{pointer, detail})
	}
}

// Err is e, or nil where nothing was added.
func (e *InvalidError) Err() error {
	if e.All == 0 {
		return nil
	}
	return e
}

// Limits of a body's lists and texts, in elements and in characters. With a
// body of 1 MiB at most they bound what a write makes the database do; real
// catalogues stay far below.
const (
	MaxElements = 1000 // of each list
	MaxSKUs     = 10_000
	MaxPhotos   = 10_000
	maxShort    = 1000 // names, categories, sizes
	maxLong     = 20_000
)

// ParseInput reads the body of a create or, where update is set, of an update.
// Its error is an *InvalidError that lists every fault.
func ParseInput(body []byte, update bool) (in *Input, err error) {
	defer invalidOnPanic(&err)
	d, err := newDecoder(body)
	if err != nil {
		return nil, err
	}
	in = new(Input)
	fields := []field{
		{"name", !update, d.shortInto(&in.Name)},
		{"slogan", false, d.longInto(&in.Slogan)},
		{"description", false, d.longInto(&in.Description)},
		{"category", !update, d.shortInto(&in.Category)},
		{"default_price", !update, func(v []byte, at string) {
			if p, ok := d.price(v, at); ok {
				in.DefaultPrice = &p
			}
		}},
		{"features", false, func(v []byte, at string) {
			list := []Feature{}
			d.list(v, at, func(v []byte, at string) { list = append(list, d.feature(v, at)) })
			in.Features = &list
		}},
		{"styles", false, func(v []byte, at string) {
			list := []StyleInput{}
			d.list(v, at, func(v []byte, at string) { list = append(list, d.style(v, at, update)) })
			in.Styles = &list
			d.checkIDs(list, at)
		}},
		{"related", false, func(v []byte, at string) {
			list := []int64{}
			d.list(v, at, func(v []byte, at string) { list = append(list, d.id(v, at)) })
			in.Related = &list
		}},
	}
	d.object(body, "", fields)
	if err := d.faults.Err(); err != nil {
		return nil, err
	}
	return in, nil
}

// ParseQuantity reads the body of a stock change, {"quantity":7}. Its error is
// like that of ParseInput.
func ParseQuantity(body []byte) (quantity int64, err error) {
	defer invalidOnPanic(&err)
	d, err := newDecoder(body)
	if err != nil {
		return 0, err
	}
	d.object(body, "", []field{{"quantity", true, func(v []byte, at string) { quantity = d.quantity(v, at) }}})
	return quantity, d.faults.Err()
}

func (d *decoder) feature(v []byte, at string) (f Feature) {
	d.object(v, at, []field{
		{"feature", true, func(v []byte, at string) { f.Name, _ = d.text(v, at, maxShort) }},
		{"value", false, func(v []byte, at string) {
			if string(v) != "null" {
				f.Value, f.HasValue = d.text(v, at, maxLong)
			}
		}},
	})
	return f
}

func (d *decoder) style(v []byte, at string, update bool) (s StyleInput) {
	fields := []field{
		{"name", true, func(v []byte, at string) { s.Name, _ = d.text(v, at, maxShort) }},
		{"original_price", true, func(v []byte, at string) { s.OriginalPrice, _ = d.price(v, at) }},
		{"sale_price", false, func(v []byte, at string) {
			if string(v) != "null" {
				s.SalePrice, _ = d.price(v, at)
				s.OnSale = s.SalePrice > 0
			}
		}},
		{"default?", false, func(v []byte, at string) { s.Default = d.bool(v, at) }},
		{"photos", false, func(v []byte, at string) {
			s.PhotosGiven = true
			d.list(v, at, func(v []byte, at string) { s.Photos = append(s.Photos, d.photo(v, at)) })
		}},
		{"skus", false, func(v []byte, at string) {
			s.SKUsGiven = true
			d.list(v, at, func(v []byte, at string) { s.SKUs = append(s.SKUs, d.sku(v, at, update)) })
		}},
		{"style_id", false, func(v []byte, at string) { s.ID = d.keptID(v, at, update) }},
	}
	d.object(v, at, fields)
	return s
}

func (d *decoder) photo(v []byte, at string) (p Photo) {
	d.object(v, at, []field{
		{"url", true, func(v []byte, at string) { p.URL, _ = d.text(v, at, maxLong) }},
		{"thumbnail_url", true, func(v []byte, at string) { p.ThumbnailURL, _ = d.text(v, at, maxLong) }},
	})
	return p
}

func (d *decoder) sku(v []byte, at string, update bool) (k SKU) {
	d.object(v, at, []field{
		{"size", true, func(v []byte, at string) { k.Size, _ = d.text(v, at, maxShort) }},
		{"quantity", true, func(v []byte, at string) { k.Quantity = d.quantity(v, at) }},
		{"id", false, func(v []byte, at string) { k.ID = d.keptID(v, at, update) }},
	})
	return k
}

// keptID reads an id that an element of an update keeps.
func (d *decoder) keptID(v []byte, at string, update bool) int64 {
	if !update {
		d.faults.Add(at, "A new product has no ids yet: the service assigns them.")
		return 0
	}
	return d.id(v, at)
}

// CheckSize returns an *InvalidError where a product has become too large to be
// served in a small memory: styles that keep their photos and SKUs are not
// counted in the body that keeps them.
func (p *Product) CheckSize() error {
	skus, photos := 0, 0
	for i := range p.Styles {
		skus += len(p.Styles[i].SKUs)
		photos += len(p.Styles[i].Photos)
	}
	var faults InvalidError
	if skus > MaxSKUs {
		faults.Add("/styles", "A product has at most 10000 SKUs, those of styles that stay included.")
	}
	if photos > MaxPhotos {
		faults.Add("/styles", "A product has at most 10000 photos, those of styles that stay included.")
	}
	return faults.Err()
}

// checkIDs finds ids that occur twice, and bounds the SKUs of all styles.
func (d *decoder) checkIDs(styles []StyleInput, at string) {
	seen, seenSKUs, skus := map[int64]bool{}, map[int64]bool{}, 0
	for i := range styles {
		s := &styles[i]
		if s.ID != 0 && seen[s.ID] {
			d.faults.Add(at+"/"+strconv.Itoa(i)+"/style_id", "This style occurs twice.")
		}
		seen[s.ID] = true
		skus += len(s.SKUs)
		for j, k := range s.SKUs {
			if k.ID != 0 && seenSKUs[k.ID] {
				d.faults.Add(fmt.Sprintf("%s/%d/skus/%d/id", at, i, j), "This SKU occurs twice.")
			}
			seenSKUs[k.ID] = true
		}
	}
	if skus > MaxSKUs {
		d.faults.Add(at, "A product has at most 10000 SKUs.")
	}
}
