package http

import (
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/hotshelf/hotshelf/blob"
)

// read answers a read route. segment is the path's product id as it was sent.
func (s *Server) read(ctx *fasthttp.RequestCtx, r readRoute, segment []byte) {
	switch r {
	case readList:
		s.page(ctx)
		return
	case readProducts:
		s.products(ctx)
		return
	}
	id, ok := parseNumber(segment)
	if !ok {
		s.badRequest(ctx, "A product id is a whole number from 1 to 9223372036854775807, in decimal digits.")
		return
	}
	a, stale, err := s.catalogue.Get(s.base, id)
	switch {
	case err != nil:
		s.fail(ctx, err)
	case r == readStyles:
		s.answer(ctx, a, &a.Styles)
	case r == readRelated:
		s.answer(ctx, a, &a.Related)
	default:
		s.answer(ctx, a, &a.Detail)
	}
	if stale > 0 {
		markStale(ctx, stale)
	}
}

// answer sends one of a's bodies, in the form that the client takes. This is
// the hot path: it only chooses among bytes that are there, but for a gzip form
// that nobody has asked for before. HEAD comes here too; fasthttp leaves its
// body out.
func (s *Server) answer(ctx *fasthttp.RequestCtx, a *blob.Answers, body *blob.Answer) {
	form, tag := body.Body, a.ETag()
	zipped := body.Zip != nil && acceptsGzip(ctx.Request.Header.PeekCanonical(headerAccept))
	if zipped {
		tag = a.GzipETag()
	}
	if held := ctx.Request.Header.PeekCanonical(headerIfNoneMatch); held != nil {
		if tag := heldTag(held, tag, a.ETag()); tag != nil {
			notModified(ctx, tag)
			s.catalogue.Done(a)
			return
		}
	}
	if zipped {
		if short := body.Gzip(); short != nil {
			form = short
			ctx.Response.Header.SetContentEncodingBytes(valueGzip)
		} else {
			tag = a.ETag()
		}
	}
	ctx.Response.Header.SetContentTypeBytes(valueJSON)
	setValidators(ctx, tag)
	if a.Lent {
		s.sendLent(ctx, a, form)
	} else {
		ctx.Response.SetBodyRaw(form)
	}
}

// markStale says of an answer that it may be older than promised, and by how
// much, and keeps caches on the way from making it look fresh. It comes after
// the answer's own headers.
func markStale(ctx *fasthttp.RequestCtx, stale time.Duration) {
	var number [20]byte
	seconds := int64((stale + time.Second - 1) / time.Second)
	ctx.Response.Header.SetCanonical(headerStale, strconv.AppendInt(number[:0], seconds, 10))
	ctx.Response.Header.SetCanonical(headerCacheControl, valueNoStore)
}

// parseNumber reads an id, a page or a count: decimal digits only, from 1 to
// the largest of 63 bits. Leading zeros don't change a number, so they are let
// pass; signs, blanks, exponents and percent-encoding are none of its digits.
func parseNumber(b []byte) (n int64, ok bool) {
	for _, ch := range b {
		digit := int64(ch) - '0'
		if digit < 0 || digit > 9 || n > (1<<63-1-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, n > 0
}
