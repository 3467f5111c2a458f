package http

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/semaphore"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	// freeProducts is the longest list that needs no place: the memory of a
	// connection covers it.
	freeProducts = 10
	// perProduct is what a product takes at least while a list waits for others:
	// its entry, which the cache may have dropped meanwhile.
	perProduct = 4 << 10
	// placeWait is how long a list waits for a place.
	placeWait = time.Second
	// leastLists lets one of the longest lists through, and some that are
	// being sent.
	leastLists    = 2 * maxCount * perProduct
	defaultLists  = 64 << 20
	unknownSender = 4 << 10 // bytes of a body that comes without a write token
)

// place is a share of the memory for lists. A list holds one from before its
// products are looked up until it has been sent: that may take as long as a
// slow client likes, and there may be as many as connections.
type place struct {
	lists *semaphore.Weighted
	bytes int64
}

// place waits for a place for a list of so many products.
func (s *Server) place(products int64) (place, error) {
	if products <= freeProducts {
		return place{}, nil
	}
	p := place{s.lists, min(products*max(s.answerBytes.Load(), perProduct), s.listRoom)}
	if p.lists.TryAcquire(p.bytes) {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(s.base, placeWait)
	defer cancel()
	if err := p.lists.Acquire(ctx, p.bytes); err != nil {
		return place{}, fmt.Errorf("wait for the memory of a list of %d products: %w", products, blob.ErrOverloaded)
	}
	return p, nil
}

// weigh takes in how large products' answers are, on average over one of the
// longest lists or so.
func (s *Server) weigh(answers []*blob.Answers) {
	bytes := 0
	for _, a := range answers {
		for _, answer := range [...]*blob.Answer{&a.Detail, &a.Styles, &a.Related} {
			bytes += answer.Size()
		}
	}
	average := s.answerBytes.Load()
	// Of two at once one may be lost.
	s.answerBytes.Store(average + (int64(bytes)-int64(len(answers))*average)/maxCount)
}

// resize makes it the place of a body of so many bytes, without waiting.
func (p *place) resize(bytes int64) error {
	switch {
	case p.lists == nil:
		return nil
	case bytes <= p.bytes:
		p.lists.Release(p.bytes - bytes)
	case !p.lists.TryAcquire(bytes - p.bytes):
		return fmt.Errorf("make a list of %d bytes: %w", bytes, blob.ErrOverloaded)
	}
	p.bytes = bytes
	return nil
}

func (p *place) leave() {
	if p.lists != nil {
		p.lists.Release(p.bytes)
		p.lists = nil
	}
}

// list is an array of products' details: what it is put together from, and the
// body of its answer. fasthttp closes that once it is sent, or never will be.
// A single answer that is lent is sent as one too, for what its end does.
//
// It is put together when it is about to be sent, in memory that the list before
// it has used and the processor still has at hand: a body that each connection
// keeps is far away by the time that its next one is due. Long ones, for which
// there is a place, are put together at once: their products may have left the
// cache long before a slow client has read them.
type list struct {
	server  *Server
	ids     []int64
	answers []*blob.Answers
	short   bool // without features, as a page shows products
	place   place
	sent    bool
	length  int // of the body
	body    []byte
	rest    []byte // what is left to read of it; nil until it is put together
}

func (s *Server) newList() *list {
	if l, ok := s.listPool.Get().(*list); ok {
		return l
	}
	return &list{server: s}
}

// unlessSent closes a list that has not become an answer.
func (l *list) unlessSent() {
	if !l.sent {
		_ = l.Close()
	}
}

// reserve waits for a place for so many products.
func (l *list) reserve(products int64) (err error) {
	l.place, err = l.server.place(products)
	return err
}

// measure finds out how long the body will be.
func (l *list) measure() {
	l.length = 2 + max(len(l.answers)-1, 0)
	for _, a := range l.answers {
		l.length += len(a.Detail.Body)
		if l.short {
			l.length -= int(a.FeaturesTo - a.FeaturesFrom)
		}
	}
}

// sendLent sends a form of answers that are lent.
func (s *Server) sendLent(ctx *fasthttp.RequestCtx, a *blob.Answers, form []byte) {
	l := s.newList()
	l.answers, l.rest = append(l.answers, a), form
	ctx.Response.SetBodyStream(l, len(form))
}

// giveBack ends the need for the products.
func (l *list) giveBack() {
	for _, a := range l.answers {
		if a != nil {
			l.server.catalogue.Done(a)
		}
	}
	clear(l.answers)
}

// join puts the body together, which ends the need for the products.
func (l *list) join() {
	b := append(slices.Grow(l.body[:0], l.length), '[')
	for i, a := range l.answers {
		if i > 0 {
			b = append(b, ',')
		}
		if l.short {
			b = append(b, a.Detail.Body[:a.FeaturesFrom]...)
			b = append(b, a.Detail.Body[a.FeaturesTo:]...)
		} else {
			b = append(b, a.Detail.Body...)
		}
	}
	b = append(b, ']')
	l.body, l.rest = b, b
	l.giveBack()
}

func (l *list) Read(dst []byte) (int, error) {
	if l.rest == nil {
		l.join()
	}
	if len(l.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(dst, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// WriteTo spares the copy.
func (l *list) WriteTo(w io.Writer) (int64, error) {
	if l.rest == nil {
		l.join()
	}
	n, err := w.Write(l.rest)
	l.rest = l.rest[n:]
	return int64(n), err //nolint:wrapcheck // the caller's own writer
}

// Close gives back what the list took, and keeps the rest for the next one: not
// the products, which the cache may drop.
func (l *list) Close() error {
	l.place.leave()
	l.giveBack()
	clear(l.answers[:cap(l.answers)])
	body := l.body[:0]
	if cap(body) > keptBuffer {
		body = nil
	}
	*l = list{server: l.server, ids: l.ids[:0], answers: l.answers[:0], body: body}
	l.server.listPool.Put(l)
	return nil
}

// bodyLimit is called before a body is read. Only whoever may write can send
// a long one: it lies in memory as a whole.
func (s *Server) bodyLimit(header *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if header.IsGet() || header.IsHead() || !s.mayWrite(header) {
		return fasthttp.RequestConfig{MaxRequestBodySize: unknownSender}
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: maxBody}
}

func (s *Server) mayWrite(header *fasthttp.RequestHeader) bool {
	_, ok, _ := s.tokens.find(header.PeekBytes(headerAuthorization))
	return ok
}
