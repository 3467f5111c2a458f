package blob

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
)

// AppendWire appends a stored blob to dst as clients get it: without the
// blanks that jsonb puts between tokens, and with pulsar's sizes in the order
// that shops show them (jsonb has sorted them by length). src is JSON as
// Postgres writes it; the result is compact JSON of the same value.
func AppendWire(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		switch src[i] {
		case '"':
			end := skipString(src, i)
			dst = append(dst, src[i:end]...)
			if string(src[i:end]) == `"skus"` {
				if from, members := sizesAt(src, end); members != nil {
					dst = append(dst, ':')
					dst = appendSorted(dst, members)
					end = from
				}
			}
			i = end
		case ' ', '\n', '\t', '\r':
			i++
		default:
			dst = append(dst, src[i])
			i++
		}
	}
	return dst
}

// AppendListed appends a detail in wire form without its features: the form
// that the list of products shows.
func AppendListed(dst, detail []byte) []byte {
	from, to := FeaturesSpan(detail)
	dst = append(dst, detail[:from]...)
	return append(dst, detail[to:]...)
}

// FeaturesSpan is where a detail in wire form has its features with the comma
// behind them; 0, 0 where it has none.
func FeaturesSpan(detail []byte) (from, to int) {
	for i := 1; i < len(detail) && detail[i] == '"'; i++ {
		key := i
		i = skipString(detail, i)
		end := skipValue(detail, i+1)
		if end >= len(detail) {
			break
		}
		if string(detail[key:i]) == `"features"` && detail[end] == ',' {
			return key, end + 1
		}
		i = end
	}
	return 0, 0
}

// member is one size of a style with its quantity, as spans of the blob.
type member struct {
	key   []byte // with quotes
	value []byte
	class int
	num   float64
}

// sizesAt reads the object behind a "skus" key. It returns nil members where
// the key is a text that happens to read "skus", and where the object is
// atelier's, whose values are objects and stay as they are.
func sizesAt(src []byte, i int) (end int, members []member) {
	if i = skipBlanks(src, i); i >= len(src) || src[i] != ':' {
		return 0, nil
	}
	if i = skipBlanks(src, i+1); i >= len(src) || src[i] != '{' {
		return 0, nil
	}
	for i++; i < len(src); i++ {
		if i = skipBlanks(src, i); i >= len(src) || src[i] != '"' {
			return 0, nil
		}
		key := i
		i = skipString(src, i)
		m := member{key: src[key:i]}
		value := skipBlanks(src, skipBlanks(src, i)+1)
		if value >= len(src) || src[value] == '{' {
			return 0, nil
		}
		i = skipValue(src, value)
		m.value = src[value:i]
		m.class, m.num = sizeRank(m.key[1 : len(m.key)-1])
		members = append(members, m)
		if i = skipBlanks(src, i); i < len(src) && src[i] == '}' {
			return i + 1, members
		}
	}
	return 0, nil
}

func appendSorted(dst []byte, members []member) []byte {
	slices.SortFunc(members, func(x, y member) int {
		return cmp.Or(cmp.Compare(x.class, y.class), cmp.Compare(x.num, y.num), bytes.Compare(x.key, y.key))
	})
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, m.key...)
		dst = append(dst, ':')
		dst = append(dst, m.value...)
	}
	return append(dst, '}')
}

// sizeRank orders sizes as shops do: XS to XXL, then numbers, then the rest.
func sizeRank(size []byte) (class int, num float64) {
	switch string(size) {
	case "XS":
		return 0, 0
	case "S":
		return 1, 0
	case "M":
		return 2, 0
	case "L":
		return 3, 0
	case "XL":
		return 4, 0
	case "XXL":
		return 5, 0
	}
	for _, ch := range size {
		if (ch < '0' || ch > '9') && ch != '.' {
			return 7, 0
		}
	}
	num, err := strconv.ParseFloat(string(size), 64)
	if err != nil {
		return 7, 0
	}
	return 6, num
}

// compareKeys is jsonb's order of object keys: by length, then by bytes.
func compareKeys(x, y string) int {
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
}

// skipString returns the index behind the string that starts at i.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// skipValue returns the index behind the value that starts at i.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case ',', ' ':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}

func skipBlanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}
