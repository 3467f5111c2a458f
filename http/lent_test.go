package http

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

// lender is a shelf whose answers are lent, and spoilt when they come back.
type lender struct {
	*shelf
	mu   sync.Mutex
	lent map[*blob.Answers]bool
	free []*blob.Answers
}

func newLender(t testing.TB) *lender {
	return &lender{shelf: newShelf(t, blob.Pulsar), lent: make(map[*blob.Answers]bool)}
}

// lend copies answers into memory that has come back.
func (l *lender) lend(a *blob.Answers) *blob.Answers {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) == 0 {
		l.free = append(l.free, new(blob.Answers))
	}
	b := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	form := func(dst *blob.Answer, src *blob.Answer) blob.Answer {
		return blob.Answer{Body: append(dst.Body[:0], src.Body...), Zip: src.Zip}
	}
	*b = blob.Answers{
		ProductID: a.ProductID, Version: a.Version, Hash: a.Hash, Contract: a.Contract, Lent: true,
		FeaturesFrom: a.FeaturesFrom, FeaturesTo: a.FeaturesTo, Tags: append(b.Tags[:0], a.Tags...),
		Detail: form(&b.Detail, &a.Detail), Styles: form(&b.Styles, &a.Styles), Related: form(&b.Related, &a.Related),
	}
	l.lent[b] = true
	return b
}

func (l *lender) Done(a *blob.Answers) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.lent[a] {
		panic("this is not lent, or not any more")
	}
	delete(l.lent, a)
	for _, b := range [][]byte{a.Detail.Body, a.Styles.Body, a.Related.Body, a.Tags} {
		for i := range b {
			b[i] = '#'
		}
	}
	l.free = append(l.free, a)
}

func (l *lender) Get(ctx context.Context, id int64) (*blob.Answers, time.Duration, error) {
	a, stale, err := l.shelf.Get(ctx, id)
	if err == nil {
		a = l.lend(a)
	}
	return a, stale, err
}

func (l *lender) Many(ctx context.Context, dst []*blob.Answers, ids []int64) ([]*blob.Answers, time.Duration, error) {
	many, stale, err := l.shelf.Many(ctx, dst, ids)
	for i, a := range many {
		many[i] = l.lend(a)
	}
	return many, stale, err
}

func (l *lender) Page(ctx context.Context, dst []*blob.Answers, offset, count int64) ([]*blob.Answers, int64, time.Duration, error) {
	page, total, stale, err := l.shelf.Page(ctx, dst, offset, count)
	for i, a := range page {
		page[i] = l.lend(a)
	}
	return page, total, stale, err
}

// TestLent: answers that are lent are sent like all others, come back once each
// and not before they are sent, and cost no memory.
func TestLent(t *testing.T) {
	l := newLender(t)
	own, lent := start(t, Config{Catalogue: newShelf(t, blob.Pulsar)}), start(t, Config{Catalogue: l})
	requests := slices.DeleteFunc(hits(t, l.shelf), func(h hit) bool { return h.status == 404 }) // whose id is drawn
	for _, method := range []string{"GET", "HEAD"} {
		var all strings.Builder // on one connection
		for i, h := range requests {
			fmt.Fprintf(&all, "%s %s HTTP/1.1\r\nHost: x\r\n", method, h.target)
			for i := 0; i < len(h.header); i += 2 {
				fmt.Fprintf(&all, "%s: %s\r\n", h.header[i], h.header[i+1])
			}
			if i == len(requests)-1 {
				all.WriteString("Connection: close\r\n")
			}
			all.WriteString("\r\n")
		}
		if got, want := lent.raw(all.String()), own.raw(all.String()); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", method, got, want)
		}
	}
	if len(l.lent) != 0 || len(l.free) == 0 {
		t.Errorf("%d answers have not come back, %d have", len(l.lent), len(l.free))
	}
	// A long list gives its products back before anybody has read it.
	lent.handle(prepared("GET", "/products/list?count=11"))
	if len(l.lent) != 0 {
		t.Errorf("a long list holds %d products", len(l.lent))
	}
	for _, h := range requests {
		if raceDetector {
			break
		}
		limit := h.limit
		if len(h.header) > 0 {
			limit++ // a gzip form's pointer
		}
		ctx := prepared("GET", h.target, h.header...)
		ctx.URI()
		if n := testing.AllocsPerRun(200, func() {
			ctx.Response.Header.Reset()
			ctx.Response.ResetBody()
			lent.handle(ctx)
			_ = ctx.Response.BodyWriteTo(io.Discard)
		}); n > limit {
			t.Errorf("%s: %v allocations", h.name, n)
		}
	}
}
