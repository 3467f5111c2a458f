package etl

import (
	"bytes"
	"strings"

	"github.com/hotshelf/hotshelf/blob"
)

// parsePrice reads an amount with at most two decimals. Around it may be
// blanks, a $ and the name of a price column with a colon; in it, thousands
// commas where every group is right. 140.00 is 140; a decimal comma and three
// or more decimals could mean two things, and are ambiguous.
func parsePrice(text []byte) (blob.Price, fixes, reason) {
	var found fixes
	number := undecorate(text)
	if len(number) != len(text) {
		found |= fixDecoration
	}
	whole, decimals := number, []byte(nil)
	if dot := bytes.IndexByte(number, '.'); dot >= 0 {
		whole, decimals = number[:dot], number[dot+1:]
	}
	if bytes.IndexByte(number, ',') >= 0 {
		if !grouped(whole) || bytes.IndexByte(decimals, ',') >= 0 {
			if allIn(number, "0123456789.,") && bytes.ContainsAny(number, "0123456789") {
				return 0, 0, reasonAmbiguousPrice
			}
			return 0, 0, reasonPrice
		}
		found |= fixThousands
	}
	if len(whole)+len(decimals) == 0 || !allIn(decimals, "0123456789") {
		return 0, 0, reasonPrice
	}
	var p blob.Price
	for _, ch := range whole {
		if ch == ',' {
			continue
		}
		if ch < '0' || ch > '9' {
			return 0, 0, reasonPrice
		}
		if p = p*10 + blob.Price(ch-'0'); p > blob.MaxPrice {
			return 0, 0, reasonPrice
		}
	}
	if len(decimals) > 2 {
		return 0, 0, reasonAmbiguousPrice
	}
	p *= 100
	if len(decimals) > 0 {
		p += 10 * blob.Price(decimals[0]-'0')
	}
	if len(decimals) > 1 {
		p += blob.Price(decimals[1] - '0')
	}
	if p > blob.MaxPrice {
		return 0, 0, reasonPrice
	}
	return p, found, reasonNone
}

// undecorate returns what is left of a price without what may be around it.
func undecorate(text []byte) []byte {
	text = trimBlanks(text)
	if colon := bytes.IndexByte(text, ':'); colon >= 0 {
		for _, name := range [...]string{"default_price", "original_price", "sale_price"} {
			if equalFold(text[:colon], name) {
				text = trimBlanks(text[colon+1:])
				break
			}
		}
	}
	if len(text) > 0 && text[0] == '$' {
		text = trimBlanks(text[1:])
	} else if len(text) > 0 && text[len(text)-1] == '$' {
		text = trimBlanks(text[:len(text)-1])
	}
	return text
}

// grouped says whether text is a whole number with a comma before every three
// digits: 1,040 but not 140,00 nor 0,140.
func grouped(text []byte) bool {
	first := bytes.IndexByte(text, ',')
	if first < 1 || first > 3 || text[0] == '0' || len(text)%4 != first {
		return false
	}
	for i, ch := range text {
		if isComma := i >= first && (i-first)%4 == 0; isComma != (ch == ',') || !isComma && (ch < '0' || ch > '9') {
			return false
		}
	}
	return true
}

func allIn(text []byte, set string) bool {
	for _, ch := range text {
		if strings.IndexByte(set, ch) < 0 {
			return false
		}
	}
	return true
}

// equalFold compares text with a lower-case ASCII name.
func equalFold(text []byte, name string) bool {
	if len(text) != len(name) {
		return false
	}
	for i, ch := range text {
		if 'A' <= ch && ch <= 'Z' {
			ch += 'a' - 'A'
		}
		if ch != name[i] {
			return false
		}
	}
	return true
}

// parseInt reads digits that make a number of 63 bits. Leading zeros are
// allowed, a sign is not.
func parseInt(text []byte) (int64, bool) {
	const last = (1<<63 - 1) / 10
	if len(text) == 0 {
		return 0, false
	}
	var n int64
	for _, ch := range text {
		digit := int64(ch) - '0'
		if digit < 0 || digit > 9 || n > last || n == last && digit > 7 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}
