package etl

import (
	"bytes"
	"math"
	"unicode/utf8"

	"github.com/hotshelf/hotshelf/blob"
)

// row is a line on its way to the table: its values by column, and what was
// repaired.
type row struct {
	table  *table
	layout layout
	split  *splitter

	// A value is in ints (ids, quantities, prices in hundredths, 1 for true)
	// or in texts, and null says that there is none.
	ints  [maxColumns]int64
	texts [maxColumns][]byte
	null  [maxColumns]bool
	fixes fixes
}

// read takes the values from a line. An id that could be read is in ints[0]
// even where the line is rejected, else 0.
func (r *row) read(line []byte) reason {
	r.ints[0] = 0
	if bytes.IndexByte(line, 0) >= 0 {
		return reasonNUL
	}
	if !utf8.Valid(line) {
		return reasonUTF8
	}
	if why := r.fields(line); why != reasonNone {
		return why
	}
	for c := range r.table.columns {
		if why := r.value(line, c, &r.split.fields[r.layout.at[c]]); why != reasonNone {
			return why
		}
	}
	return reasonNone
}

// fields cuts the line into one field per column, and mends the number of
// fields where there is one way to.
func (r *row) fields(line []byte) reason {
	why := r.split.split(line)
	r.fixes |= r.split.fixes
	switch {
	case why == reasonNone || !r.layout.usual:
		return why
	case why == reasonMissingField && r.insertMissing(line):
	case why == reasonExtraField && r.joinExtra(line):
	default:
		return why
	}
	return reasonNone
}

// insertMissing mends the two cases where the missing field can be told: a
// feature without its value, and a style with one price instead of two (id,
// productId, name, original_price, default_style), which has no sale price.
func (r *row) insertMissing(line []byte) bool {
	s := r.split
	last := len(r.table.columns) - 1
	if s.n != last || s.fixes&fixUnclosedQuote != 0 {
		return false
	}
	missing := -1
	for c, column := range r.table.columns {
		if column.kind == kindSale || column.kind == kindValue {
			missing = c
		}
	}
	if missing < 0 {
		return false
	}
	copy(s.fields[missing+1:last+1], s.fields[missing:last])
	s.fields[missing] = field{}
	s.n++
	if !r.parses(line) {
		return false
	}
	if missing < last && r.ints[missing+1] == 0 {
		// The 0 may as well be the sale price, and the original one missing.
		return false
	}
	r.fixes |= fixMissingField
	return true
}

// joinExtra puts a text back together that has unquoted commas, where it is
// the only text of its table and the other columns then are what they have to
// be. It does not where the comma may as well be one in a number: in
//
//	7,1,Red,1,040.00,1,200.00,0
//
// the name could be all of Red,1,040.00,1.
func (r *row) joinExtra(line []byte) bool {
	s, free := r.split, r.table.free
	if free < 0 || s.n == maxFields {
		return false
	}
	surplus := s.n - s.want
	from, to := s.fields[free].from, s.fields[free+surplus].to
	if r.table.columns[free+1].kind == kindQuantity {
		if grouped(trimBlanks(line[s.fields[free+1].from:s.fields[s.n-1].to])) {
			return false
		}
	} else {
		before := r.fixes
		if r.value(line, free+1, &s.fields[free+1]) == reasonNone {
			return false
		}
		r.fixes = before // what the trial found is text
	}

	text := trimBlanks(line[from:to])
	unclosed := s.fixes&fixUnclosedQuote != 0
	joined := field{from: from, to: to}
	if bytes.IndexByte(text, '"') < 0 {
		r.fixes |= fixExtraField
		joined.text = line[from:to]
	} else {
		// In quotes after all, with a stray quote inside or none at the end.
		if text[0] != '"' || !unclosed && (len(text) == 1 || text[len(text)-1] != '"') {
			return false
		}
		joined.quoted = true
		start := len(s.scratch)
		for _, ch := range text {
			if ch != '"' {
				s.scratch = append(s.scratch, ch)
			}
		}
		joined.text = s.scratch[start:]
		if !unclosed {
			r.fixes |= fixStrayQuote
		}
	}
	if bytes.IndexByte(joined.text, '\\') >= 0 {
		joined.text = bytes.ReplaceAll(joined.text, []byte{'\\'}, nil)
	}
	s.fields[free] = joined
	copy(s.fields[free+1:], s.fields[free+1+surplus:s.n])
	s.n = s.want
	return r.parses(line)
}

// parses says whether every column has a value.
func (r *row) parses(line []byte) bool {
	for c := range r.table.columns {
		if r.value(line, c, &r.split.fields[c]) != reasonNone {
			return false
		}
	}
	return true
}

// value reads the field of column c.
func (r *row) value(line []byte, c int, f *field) reason {
	switch r.table.columns[c].kind {
	case kindID, kindParent:
		n, ok := r.number(line, f)
		if !ok || n == 0 {
			return reasonID
		}
		r.ints[c] = n
	case kindTarget:
		n, ok := r.number(line, f)
		if !ok {
			return reasonID
		}
		if n == 0 {
			return reasonDangling
		}
		r.ints[c] = n
	case kindQuantity:
		n, ok := r.number(line, f)
		if !ok || n > math.MaxInt32 {
			return reasonQuantity
		}
		r.ints[c] = n
	case kindBool:
		text, ok := r.typed(line, f)
		switch {
		case !ok:
			return reasonDefaultStyle
		case string(text) == "1" || string(text) == "true" || string(text) == "t":
			r.ints[c] = 1
		case string(text) == "0" || string(text) == "false" || string(text) == "f":
			r.ints[c] = 0
		default:
			return reasonDefaultStyle
		}
	case kindPrice:
		p, why := r.price(line, f)
		r.ints[c] = int64(p)
		return why
	case kindSale:
		return r.sale(line, c, f)
	case kindText:
		r.texts[c] = r.text(f)
	case kindURL:
		r.texts[c] = r.text(f)
		if !bytes.HasPrefix(r.texts[c], []byte("https://")) && !bytes.HasPrefix(r.texts[c], []byte("http://")) {
			r.fixes |= warnURL
		}
	case kindValue:
		text := r.text(f)
		isNull := string(text) == "null"
		if isNull && f.quoted {
			r.fixes |= fixQuotedNull
		}
		r.texts[c] = text
		// "" is an empty text; nothing at all is no value, as in COPY.
		r.null[c] = isNull || len(text) == 0 && !f.quoted
	}
	return reasonNone
}

// text is a field without the blanks around it.
func (r *row) text(f *field) []byte {
	text := f.text
	if len(text) > 0 && (isBlank(text[0]) || isBlank(text[len(text)-1])) {
		text = trimBlanks(text)
		r.fixes |= fixPadding
	}
	return text
}

// typed is the text of a field that is no free text. Quotes and backslashes at
// its ends can be dropped; one inside would change what the text says, and the
// column is then not what it has to be.
func (r *row) typed(line []byte, f *field) ([]byte, bool) {
	text := r.text(f)
	return text, !f.stray || bytes.Equal(bytes.Trim(line[f.from:f.to], "\"\\ \t"), text)
}

func (r *row) number(line []byte, f *field) (int64, bool) {
	text, ok := r.typed(line, f)
	if !ok {
		return 0, false
	}
	return parseInt(text)
}

func (r *row) price(line []byte, f *field) (blob.Price, reason) {
	text := f.text
	if start := skipBlanks(text, 0); start > 0 && !f.quoted {
		// Blanks behind the comma are the line's; others decorate the price.
		text = text[start:]
		r.fixes |= fixPadding
	}
	p, found, why := parsePrice(text)
	if why != reasonNone {
		return 0, why
	}
	if f.stray && !bytes.Equal(bytes.Trim(line[f.from:f.to], "\"\\ \t"), trimBlanks(text)) {
		return 0, reasonPrice
	}
	r.fixes |= found
	return p, reasonNone
}

// sale reads a price that may be missing: nothing, null in any case, or 0.
func (r *row) sale(line []byte, c int, f *field) reason {
	r.null[c] = true
	if text := trimBlanks(f.text); len(text) == 0 || equalFold(text, "null") {
		if len(text) < len(f.text) {
			r.fixes |= fixPadding
		}
		if len(text) > 0 && f.quoted {
			r.fixes |= fixQuotedNull
		}
		return reasonNone
	}
	p, why := r.price(line, f)
	if why != reasonNone {
		return why
	}
	if p == 0 {
		r.fixes |= fixZeroSale
		return reasonNone
	}
	r.null[c] = false
	r.ints[c] = int64(p)
	return reasonNone
}
