package http

import (
	"encoding/binary"
	"math"
	"slices"
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

// scratch is what putting a list together needs besides its body.
type scratch struct {
	ids     []int64
	answers []*blob.Answers
}

func (s *Server) borrow() *scratch {
	if sc, ok := s.scratches.Get().(*scratch); ok {
		return sc
	}
	return new(scratch)
}

// giveBack forgets the answers, which the cache may evict before the next list.
func (s *Server) giveBack(sc *scratch) {
	clear(sc.answers[:cap(sc.answers)])
	sc.answers = sc.answers[:0]
	s.scratches.Put(sc)
}

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

	place, err := s.place(count)
	if err != nil {
		s.fail(ctx, err)
		return
	}
	defer place.leave()
	sc := s.borrow()
	defer s.giveBack(sc)
	found, total, stale, err := s.catalogue.Page(s.base, sc.answers[:0], pageOffset(page, count), count)
	if err != nil {
		s.fail(ctx, err)
		return
	}
	sc.answers = found

	var number [20]byte
	ctx.Response.Header.SetCanonical(headerTotal, strconv.AppendInt(number[:0], total, 10))
	s.join(ctx, found, total, true, &place)
	if stale > 0 {
		markStale(ctx, stale)
	}
}

// details answers the details of up to 100 products, in the order asked.
// Those that don't exist are named in a header.
func (s *Server) details(ctx *fasthttp.RequestCtx, list []byte) {
	sc := s.borrow()
	defer s.giveBack(sc)
	ids, fault := parseIDs(sc.ids[:0], list)
	sc.ids = ids
	if fault != "" {
		s.badRequest(ctx, fault)
		return
	}
	place, err := s.place(int64(len(ids)))
	if err != nil {
		s.fail(ctx, err)
		return
	}
	defer place.leave()
	found, stale, err := s.catalogue.Many(s.base, sc.answers[:0], ids)
	if err != nil {
		s.fail(ctx, err)
		return
	}
	sc.answers = found

	if len(found) < len(ids) {
		ctx.Response.Header.SetCanonical(headerMissing, missing(ids, found))
	}
	s.join(ctx, found, 0, false, &place)
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
func (s *Server) join(ctx *fasthttp.RequestCtx, answers []*blob.Answers, total int64, listed bool, at *place) {
	var hex [18]byte
	tag := arrayTag(hex[:0], answers, total)
	if held := ctx.Request.Header.PeekCanonical(headerIfNoneMatch); held != nil && heldTag(held, tag, tag) != nil {
		notModified(ctx, tag)
		return
	}

	if at.lists != nil {
		s.weigh(answers)
	}
	size := 2 + len(answers)
	for _, a := range answers {
		size += len(a.Detail.Body)
	}
	if err := at.resize(int64(size)); err != nil {
		s.fail(ctx, err)
		return
	}
	ctx.Response.Header.SetContentTypeBytes(valueJSON)
	setValidators(ctx, tag)
	if size > keptBuffer {
		body := appendList(make([]byte, 0, size), answers, listed)
		ctx.Response.SetBodyStream(&listBody{body, *at}, len(body))
		at.lists = nil // it is the body's now
		return
	}
	body := slices.Grow(ctx.Response.SwapBody(nil)[:0], size)
	ctx.Response.SwapBody(appendList(body, answers, listed))
}

func appendList(body []byte, answers []*blob.Answers, listed bool) []byte {
	body = append(body, '[')
	for i, a := range answers {
		if i > 0 {
			body = append(body, ',')
		}
		if listed {
			body = append(body, a.Detail.Body[:a.FeaturesFrom]...)
			body = append(body, a.Detail.Body[a.FeaturesTo:]...)
		} else {
			body = append(body, a.Detail.Body...)
		}
	}
	return append(body, ']')
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
