package http

import (
	"context"
	"fmt"
	"io"
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

// listBody is a body that leaves its place once it has been sent, or never
// will be. That is what fasthttp closes a stream for.
type listBody struct {
	rest  []byte
	place place
}

func (b *listBody) Read(dst []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(dst, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// WriteTo spares the copy.
func (b *listBody) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.rest)
	b.rest = b.rest[n:]
	return int64(n), err //nolint:wrapcheck // the caller's own writer
}

func (b *listBody) Close() error {
	b.rest = nil
	b.place.leave()
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
