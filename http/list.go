package http

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/valyala/fasthttp"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	defaultPage  = 1
	defaultCount = 5
	maxCount     = 500
	maxIDs       = 100
)

// products answers /products: the details of the products that ids names, else
// a page of the list.
func (s *Server) products(ctx *fasthttp.RequestCtx) {
	switch ids, times := queryValue(ctx.URI().QueryString(), "ids"); times {
	case 0:
		s.page(ctx)
	case 1:
		s.details(ctx, ids)
	default:
		s.badRequest(ctx, "The query gives ids more than once; it is one list, separated by commas.")
	}
}

// page answers a page of the list of products, by ascending id, without
// their features.
func (s *Server) page(ctx *fasthttp.RequestCtx) {
	query := ctx.URI().QueryString()
	page, ok := pageNumber(query, "page", defaultPage)
	if !ok {
		s.badRequest(ctx, "The query's page is a whole number from 1 to 9223372036854775807, given once.")
		return
	}
	count, ok := pageNumber(query, "count", defaultCount)
	if !ok {
		s.badRequest(ctx, "The query's count is a whole number from 1 to 9223372036854775807, given once; more than 500 is taken as 500.")
		return
	}
	count = min(count, maxCount)

	l := s.newList()
	defer l.unlessSent()
	if err := l.reserve(count); err != nil {
		s.fail(ctx, err)
		return
	}
	found, total, stale, err := s.catalogue.Page(s.base, l.answers, pageOffset(page, count), count)
	if err != nil {
		s.fail(ctx, err)
		return
	}
	l.answers, l.short = found, true

	var number [20]byte
	ctx.Response.Header.SetCanonical(headerTotal, strconv.AppendInt(number[:0], total, 10))
	s.join(ctx, l, total)
	if stale > 0 {
		markStale(ctx, stale)
	}
}

// details answers the details of up to 100 products, in the order asked.
// Those that don't exist are named in a header.
func (s *Server) details(ctx *fasthttp.RequestCtx, list []byte) {
	l := s.newList()
	defer l.unlessSent()
	ids, fault := parseIDs(l.ids[:0], list)
	l.ids = ids
	if fault != "" {
		s.badRequest(ctx, fault)
		return
	}
	if err := l.reserve(int64(len(ids))); err != nil {
		s.fail(ctx, err)
		return
	}
	found, stale, err := s.catalogue.Many(s.base, l.answers, ids)
	if err != nil {
		s.fail(ctx, err)
		return
	}
	l.answers = found

	if len(found) < len(ids) {
		ctx.Response.Header.SetCanonical(headerMissing, missing(ids, found))
	}
	s.join(ctx, l, 0)
	if stale > 0 {
		markStale(ctx, stale)
	}
}

// pageOffset is how many products come before the page. Pages far beyond any
// catalogue share one offset, from which a count can be added without overflow.
func pageOffset(page, count int64) int64 {
	const last = math.MaxInt64 - maxCount
	if page-1 > last/count {
		return last
	}
	return (page - 1) * count
}

// missing lists, separated by commas, the ids that have no answer; the answers
// are in the order of ids.
func missing(ids []int64, found []*blob.Answers) []byte {
	var b []byte
	for _, id := range ids {
		if len(found) > 0 && found[0].ProductID == id {
			found = found[1:]
			continue
		}
		if b != nil {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, id, 10)
	}
	return b
}

// join answers an array of the products' details: whole, or as the list
// shows them. There is no gzip form of an array: it would have to be
// compressed per request.
func (s *Server) join(ctx *fasthttp.RequestCtx, l *list, total int64) {
	var hex [18]byte
	tag := arrayTag(hex[:0], l.answers, total)
	if held := ctx.Request.Header.PeekCanonical(headerIfNoneMatch); held != nil && heldTag(held, tag, tag) != nil {
		notModified(ctx, tag)
		return
	}
	if l.place.lists != nil {
		s.weigh(l.answers)
	}
	l.measure()
	if err := l.place.resize(int64(l.length)); err != nil {
		s.fail(ctx, err)
		return
	}
	if l.length > keptBuffer || l.place.lists != nil {
		l.join()
	}
	ctx.Response.Header.SetContentTypeBytes(valueJSON)
	setValidators(ctx, tag)
	l.sent = true
	ctx.Response.SetBodyStream(l, l.length)
}

// arrayTag appends the entity tag of an array: a hash of its products' ids,
// versions and hashes, in their order. The total counts too:
// who is told that nothing has changed may go on showing the old number
// of pages.
func arrayTag(dst []byte, answers []*blob.Answers, total int64) []byte {
	const hex = "0123456789abcdef"
	var digest xxhash.Digest
	digest.Reset()
	var room [512]byte // many to a Write
	part := room[:0]
	for _, a := range answers {
		if len(part) > len(room)/2 {
			_, _ = digest.Write(part)
			part = room[:0]
		}
		for _, n := range [...]int64{a.ProductID, a.Version, a.Hash} {
			part = binary.LittleEndian.AppendUint64(part, uint64(n))
		}
	}
	_, _ = digest.Write(binary.LittleEndian.AppendUint64(part, uint64(total)))
	sum := digest.Sum64()
	dst = append(dst, '"')
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hex[sum>>shift&15])
	}
	return append(dst, '"')
}
