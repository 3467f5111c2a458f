package http

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// acceptsGzip says whether the gzip form is to be sent to a client with this
// Accept-Encoding (RFC 9110, 12.5.3): where it is acceptable and identity is
// not preferred by name. What can't be read counts as refused, as identity is
// right for every client.
func acceptsGzip(header []byte) bool {
	if len(header) == 0 {
		return false
	}
	// What browsers send, "gzip, deflate, br", needs no more than this.
	if bytes.HasPrefix(header, valueGzip) && (len(header) == 4 || header[4] == ',') && bytes.IndexByte(header, ';') < 0 {
		return true
	}
	gzip, other, identity := -1, -1, -1
	for len(header) > 0 {
		var item []byte
		item, header = cut(header, ',')
		name, weight := cut(item, ';')
		switch name = trim(name); {
		case equalFold(name, "gzip"), equalFold(name, "x-gzip"):
			gzip = quality(weight)
		case equalFold(name, "identity"):
			identity = quality(weight)
		case string(name) == "*":
			other = quality(weight)
		}
	}
	if gzip < 0 {
		gzip = other
	}
	return gzip > 0 && gzip >= identity
}

// quality reads the parameters behind a coding, in thousandths: none is 1000.
func quality(params []byte) int {
	params = trim(params)
	if len(params) == 0 {
		return 1000
	}
	if len(params) < 3 || params[0]|0x20 != 'q' || params[1] != '=' {
		return 0
	}
	digits := params[2:]
	if len(digits) > 5 || digits[0] != '0' && digits[0] != '1' || len(digits) > 1 && digits[1] != '.' {
		return 0
	}
	q, unit := int(digits[0]-'0')*1000, 100
	for i := 2; i < len(digits); i++ {
		if digits[i] < '0' || digits[i] > '9' {
			return 0
		}
		q += int(digits[i]-'0') * unit
		unit /= 10
	}
	return min(q, 1000)
}

// heldTag says which form the client of an If-None-Match still holds: sent,
// the tag of the form it would be sent now, or else identity; nil for neither.
//
// The comparison is weak (RFC 9110, 13.1.2). Identity counts for clients that
// accept gzip too, because both forms change together and identity is right for
// everyone: a cache that holds it may go on using it, and the tag in the 304
// says that this is the one meant. The gzip form does not count where it would
// not be sent, or a cache could hand it to a client that can't read it.
func heldTag(header, sent, identity []byte) []byte {
	// The first is what a browser sends.
	if bytes.Equal(header, sent) || string(trim(header)) == "*" || listsTag(header, sent, weakly) {
		return sent
	}
	if listsTag(header, identity, weakly) {
		return identity
	}
	return nil
}

// How entity tags are compared: strongly, a weak one equals none.
const (
	weakly   = false
	strongly = true
)

// listsTag says whether a list of entity tags names tag.
func listsTag(header, tag []byte, strong bool) bool {
	for {
		header = bytes.TrimLeft(header, " \t,")
		if len(header) == 0 {
			return false
		}
		weak := len(header) > 1 && header[0] == 'W' && header[1] == '/'
		if weak {
			header = header[2:]
		}
		end := -1
		if len(header) > 0 && header[0] == '"' {
			end = bytes.IndexByte(header[1:], '"')
		}
		if end < 0 {
			// No entity tag: what follows the next comma may be one.
			_, header = cut(header, ',')
			continue
		}
		if !(weak && strong) && bytes.Equal(header[:end+2], tag) {
			return true
		}
		header = header[end+2:]
	}
}

// notModified answers 304. What it sets is what a cache takes over.
func notModified(ctx *fasthttp.RequestCtx, tag []byte) {
	ctx.Response.Header.SetStatusCode(fasthttp.StatusNotModified)
	setValidators(ctx, tag)
}

// setValidators sets the headers that a 200 and its 304 have in common.
func setValidators(ctx *fasthttp.RequestCtx, tag []byte) {
	h := &ctx.Response.Header
	h.SetCanonical(headerETag, tag)
	h.SetCanonical(headerCacheControl, valueRevalidate)
	h.SetCanonical(headerVary, varyEncoding)
}

// cut splits b around the first sep; the rest is nil where there is none.
func cut(b []byte, sep byte) (head, rest []byte) {
	if i := bytes.IndexByte(b, sep); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// trim removes the blanks that HTTP allows around a list's elements.
func trim(b []byte) []byte { return bytes.Trim(b, " \t") }

func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		ch := b[i]
		if ch >= 'A' && ch <= 'Z' {
			ch |= 0x20
		}
		if ch != lower[i] {
			return false
		}
	}
	return true
}
