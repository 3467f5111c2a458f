package sample

import "fmt"

// Edition says whether the catalogue has defects.
type Edition int

// Clean files can be read by any CSV reader. Messy ones hold the same
// catalogue with every known defect planted in it.
const (
	Clean Edition = iota
	Messy
)

func (e Edition) String() string {
	if e == Messy {
		return "messy"
	}
	return "clean"
}

// MarshalText makes an edition its name in JSON.
func (e Edition) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (e *Edition) UnmarshalText(name []byte) (err error) {
	*e, err = ParseEdition(string(name))
	return err
}

// ParseEdition reads the name of an edition: clean or messy.
func ParseEdition(name string) (Edition, error) {
	switch name {
	case "clean":
		return Clean, nil
	case "messy":
		return Messy, nil
	}
	return 0, fmt.Errorf("unknown edition %q: expected clean or messy", name)
}

// Summary is what Write made. Files is keyed by file name.
type Summary struct {
	Products int64              `json:"products"`
	Seed     uint64             `json:"seed"`
	Edition  Edition            `json:"edition"`
	Files    map[string]Planted `json:"files"`
}

// Planted is the account of one file: its data lines, and how many defects of
// each kind a load must find in it. A load gives Rows less the rejects.
type Planted struct {
	Rows     int64            `json:"rows"`
	Bytes    int64            `json:"bytes"`
	Repairs  map[string]int64 `json:"repairs,omitempty"`
	Rejects  map[string]int64 `json:"rejects,omitempty"`
	Warnings map[string]int64 `json:"warnings,omitempty"`
}

// The kinds of repairs.
const (
	KindHeader          = "header"
	KindBOM             = "bom"
	KindEmptyLine       = "empty_line"
	KindCRLF            = "crlf"
	KindBlankPadding    = "blank_padding"
	KindQuotedNull      = "quoted_null"
	KindZeroSalePrice   = "zero_sale_price"
	KindUnclosedQuote   = "unclosed_quote"
	KindStrayQuote      = "stray_quote"
	KindPriceDecoration = "price_decoration"
	KindThousandsComma  = "thousands_comma"
)

// The kinds of field counts, which are repairs where the row can be told for
// certain and rejects elsewhere.
const (
	KindMissingField = "missing_field"
	KindExtraField   = "extra_field"
)

// The kinds of rejects.
const (
	KindLineTooLong      = "line_too_long"
	KindNULByte          = "nul_byte"
	KindInvalidUTF8      = "invalid_utf8"
	KindBadID            = "bad_id"
	KindBadPrice         = "bad_price"
	KindAmbiguousPrice   = "ambiguous_price"
	KindBadQuantity      = "bad_quantity"
	KindBadDefaultStyle  = "bad_default_style"
	KindDuplicateID      = "duplicate_id"
	KindOrphan           = "orphan"
	KindOrphanOfRejected = "orphan_of_rejected"
	KindDanglingRelated  = "dangling_related"
)

// KindMalformedURL is the one kind of warning.
const KindMalformedURL = "malformed_url"

type class uint8

const (
	repair class = iota
	reject
	warning
)

func (p *Planted) add(c class, kind string, n int64) {
	var of *map[string]int64
	switch c {
	case repair:
		of = &p.Repairs
	case reject:
		of = &p.Rejects
	default:
		of = &p.Warnings
	}
	if *of == nil {
		*of = make(map[string]int64)
	}
	(*of)[kind] += n
}

func (p *Planted) merge(q *Planted) {
	for kind, n := range q.Repairs {
		p.add(repair, kind, n)
	}
	for kind, n := range q.Rejects {
		p.add(reject, kind, n)
	}
	for kind, n := range q.Warnings {
		p.add(warning, kind, n)
	}
}
