package blob

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-json"
)

// decoder walks a body along the fields that it may have, and notes whatever
// is wrong with it. It knows that the body is well-formed: newDecoder has
// checked that, without recursion, so depth is no danger. A struct decoder
// would stop at the first fault and say where by byte offset; and it could not
// tell a field that is given twice.
type decoder struct {
	faults InvalidError
}

// field is one that an object may have.
type field struct {
	name     string
	required bool
	read     func(value []byte, at string)
}

func newDecoder(body []byte) (*decoder, error) {
	if !utf8.Valid(body) {
		at := 0
		for r, width := utf8.DecodeRune(body); r != utf8.RuneError || width > 1; r, width = utf8.DecodeRune(body[at:]) {
			at += width
		}
		return nil, malformed(fmt.Sprintf("The body is not valid UTF-8 at byte %d.", at+1))
	}
	if stdjson.Valid(body) {
		return new(decoder), nil
	}
	// A second pass, for where it is: Valid does not say.
	var syntax *stdjson.SyntaxError
	var raw stdjson.RawMessage
	if err := stdjson.Unmarshal(body, &raw); errors.As(err, &syntax) && syntax.Error() != "unexpected end of JSON input" {
		return nil, malformed(fmt.Sprintf("The body is not well-formed JSON at byte %d.", syntax.Offset))
	}
	return nil, malformed("The body is not well-formed JSON: it ends too early.")
}

// malformed is the error for a body that can't be looked into.
func malformed(detail string) error {
	return &InvalidError{Faults: []Fault{{Detail: detail}}, All: 1, Malformed: true}
}

// invalidOnPanic turns a panic of the JSON library into an error.
func invalidOnPanic(err *error) {
	if cause := recover(); cause != nil {
		*err = malformed("The body can't be read as JSON.")
	}
}

// object reads the fields of an object at a pointer.
func (d *decoder) object(v []byte, at string, fields []field) {
	v = bytes.TrimSpace(v)
	if v[0] != '{' {
		d.faults.Add(at, "An object is expected here.")
		return
	}
	var given [16]bool // by place in fields, which are fewer
	for i := skipBlanks(v, 1); v[i] != '}'; {
		key := i
		i = skipString(v, i)
		name := d.unquote(v[key:i])
		i = skipBlanks(v, skipBlanks(v, i)+1)
		from := i
		i = skipElement(v, i)
		value, here := v[from:i], at+"/"+pointerToken(name)
		known := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		switch {
		case known < 0:
			d.faults.Add(here, "There is no such field.")
		case given[known]:
			d.faults.Add(here, "This field is given twice.")
		default:
			given[known] = true
			fields[known].read(value, here)
		}
		if i = skipBlanks(v, i); v[i] == ',' {
			i = skipBlanks(v, i+1)
		}
	}
	for i, f := range fields {
		if f.required && !given[i] {
			d.faults.Add(at+"/"+pointerToken(f.name), "This field is required.")
		}
	}
}

// list reads the elements of a list of at most MaxElements.
func (d *decoder) list(v []byte, at string, read func(value []byte, at string)) {
	if v[0] != '[' {
		d.faults.Add(at, "A list is expected here.")
		return
	}
	n := 0
	for i := skipBlanks(v, 1); v[i] != ']'; n++ {
		from := i
		i = skipElement(v, i)
		if n < MaxElements {
			read(v[from:i], at+"/"+strconv.Itoa(n))
		}
		if i = skipBlanks(v, i); v[i] == ',' {
			i = skipBlanks(v, i+1)
		}
	}
	if n > MaxElements {
		d.faults.Add(at, fmt.Sprintf("The list has %d elements; at most %d are allowed.", n, MaxElements))
	}
}

// skipElement returns the index behind the value that starts at i of a
// well-formed text.
func skipElement(v []byte, i int) int {
	switch v[i] {
	case '"', '{', '[':
		return skipValue(v, i)
	}
	for i < len(v) && strings.IndexByte(",]} \t\r\n", v[i]) < 0 {
		i++
	}
	return i
}

func (d *decoder) shortInto(dst **string) func([]byte, string) {
	return func(v []byte, at string) {
		if s, ok := d.text(v, at, maxShort); ok {
			*dst = &s
		}
	}
}

func (d *decoder) longInto(dst **string) func([]byte, string) {
	return func(v []byte, at string) {
		if s, ok := d.text(v, at, maxLong); ok {
			*dst = &s
		}
	}
}

// text reads a string that PostgreSQL can hold.
func (d *decoder) text(v []byte, at string, limit int) (string, bool) {
	if v[0] != '"' {
		d.faults.Add(at, "A string is expected here.")
		return "", false
	}
	s := d.unquote(v)
	switch {
	case strings.IndexByte(s, 0) >= 0:
		d.faults.Add(at, "The text has a NUL character.")
	case strings.ContainsRune(s, utf8.RuneError) && !bytes.ContainsRune(v, utf8.RuneError) && !bytes.Contains(bytes.ToLower(v), []byte(`\ufffd`)):
		d.faults.Add(at, "The text has half of a surrogate pair.")
	case utf8.RuneCountInString(s) > limit:
		d.faults.Add(at, fmt.Sprintf("The text is longer than %d characters.", limit))
	default:
		return s, true
	}
	return "", false
}

// unquote decodes a string of a well-formed text.
func (d *decoder) unquote(v []byte) string {
	if inner := v[1 : len(v)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var s string
	if err := json.Unmarshal(v, &s); err != nil {
		panic(err) // invalidOnPanic takes it
	}
	return strings.ToValidUTF8(s, string(utf8.RuneError))
}

// price reads a number, or a string of one, exactly.
func (d *decoder) price(v []byte, at string) (Price, bool) {
	digits := v
	if v[0] == '"' {
		digits = []byte(d.unquote(v))
	} else if v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		d.faults.Add(at, "A price is a number, or a string of one.")
		return 0, false
	}
	whole, decimals, point := bytes.Cut(digits, []byte{'.'})
	switch {
	case len(digits) > 0 && digits[0] == '-':
		d.faults.Add(at, "A price is not negative.")
	case !onlyDigits(whole), point && !onlyDigits(decimals):
		d.faults.Add(at, "A price is written in digits, with a point before the decimals.")
	case len(decimals) > 2:
		d.faults.Add(at, "A price has at most two decimals.")
	case len(whole) > 10:
		d.faults.Add(at, "A price is at most 9999999999.99.")
	default:
		var p Price
		for _, ch := range whole {
			p = p*10 + Price(ch-'0')
		}
		for i := range 2 {
			p *= 10
			if i < len(decimals) {
				p += Price(decimals[i] - '0')
			}
		}
		return p, true
	}
	return 0, false
}

func onlyDigits(b []byte) bool {
	for _, ch := range b {
		if ch < '0' || ch > '9' {
			return false
		}
	}
	return len(b) > 0
}

func (d *decoder) id(v []byte, at string) int64 {
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || n < 1 || !onlyDigits(v) {
		d.faults.Add(at, "An id is a whole number from 1 to 9223372036854775807.")
		return 0
	}
	return n
}

func (d *decoder) quantity(v []byte, at string) int64 {
	n, err := strconv.ParseInt(string(v), 10, 32)
	if err != nil || !onlyDigits(v) {
		d.faults.Add(at, "A quantity is a whole number from 0 to 2147483647.")
		return 0
	}
	return n
}

func (d *decoder) bool(v []byte, at string) bool {
	if s := string(v); s != "true" && s != "false" {
		d.faults.Add(at, "true or false is expected here.")
	}
	return string(v) == "true"
}

// pointerToken escapes a field's name for a JSON pointer. A long name is cut:
// it is an unknown one.
func pointerToken(name string) string {
	if len(name) > 100 {
		name = strings.ToValidUTF8(name[:100], "")
	}
	return pointerEscapes.Replace(name)
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")
