package http

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/goccy/go-json"
	"github.com/valyala/fasthttp"

	"github.com/hotshelf/hotshelf/blob"
)

// Writer is what the write routes write with. On an error nothing has
// happened, except with blob.ErrOutcomeUnknown: then Written lists what may
// have changed. Errors: those of package blob.
type Writer interface {
	Create(ctx context.Context, in *blob.Input) (blob.Written, error)
	// Update changes what in gives of a product that match allows; a nil match
	// allows any state.
	Update(ctx context.Context, id int64, in *blob.Input, match blob.Match) (blob.Written, error)
	SetQuantity(ctx context.Context, id, sku, quantity int64, match blob.Match) (blob.Written, error)
	Delete(ctx context.Context, id int64, match blob.Match) (blob.Written, error)
}

const (
	// maxWrites bounds the writes that have begun: some are at work in the
	// database together, the others wait for them, each with its body in memory.
	maxWrites = 32
	// writeLimit ends a write that takes too long. A delete of a product that
	// 100,000 others list takes many seconds; balancers wait for a minute.
	writeLimit = 50 * time.Second
)

// target is what the path and the headers of a write say.
type target struct {
	id, sku int64 // 0 where the path has none
	match   blob.Match
}

// create answers POST /products.
func (s *Server) create(ctx *fasthttp.RequestCtx) {
	s.write(ctx, func(limited context.Context, _ target) (blob.Written, error) {
		in, err := blob.ParseInput(ctx.PostBody(), false)
		if err != nil {
			return blob.Written{}, err
		}
		done, err := s.writer.Create(limited, in)
		if done.Row.ProductID != 0 {
			// Beside an unknown outcome it says where to look.
			ctx.Response.Header.SetCanonical(headerLocation, strconv.AppendInt([]byte("/products/"), done.Row.ProductID, 10))
		}
		return done, err
	}, func(done *blob.Written) {
		ctx.Response.Header.SetStatusCode(fasthttp.StatusCreated)
		sendState(ctx, done, blob.AppendWire(nil, done.Row.Detail))
	})
}

// update answers PUT /products/{product_id}.
func (s *Server) update(ctx *fasthttp.RequestCtx) {
	s.write(ctx, func(limited context.Context, t target) (blob.Written, error) {
		in, err := blob.ParseInput(ctx.PostBody(), true)
		if err != nil {
			return blob.Written{}, err
		}
		return s.writer.Update(limited, t.id, in, t.match)
	}, func(done *blob.Written) {
		sendState(ctx, done, blob.AppendWire(nil, done.Row.Detail))
	})
}

// sku is the answer to a stock change.
type sku struct {
	ID       int64  `json:"id"`
	Size     string `json:"size"`
	Quantity int64  `json:"quantity"`
}

// setStock answers PATCH /products/{product_id}/skus/{sku_id}.
func (s *Server) setStock(ctx *fasthttp.RequestCtx) {
	s.write(ctx, func(limited context.Context, t target) (blob.Written, error) {
		quantity, err := blob.ParseQuantity(ctx.PostBody())
		if err != nil {
			return blob.Written{}, err
		}
		return s.writer.SetQuantity(limited, t.id, t.sku, quantity, t.match)
	}, func(done *blob.Written) {
		// Numbers and a string: nothing in them can fail.
		body, _ := json.Marshal(sku(done.SKU))
		sendState(ctx, done, body)
	})
}

// remove answers DELETE /products/{product_id}.
func (s *Server) remove(ctx *fasthttp.RequestCtx) {
	s.write(ctx, func(limited context.Context, t target) (blob.Written, error) {
		return s.writer.Delete(limited, t.id, t.match)
	}, func(done *blob.Written) {
		ctx.Response.Header.SetContentTypeBytes(valueJSON)
		ctx.Response.SetBodyRaw(append(strconv.AppendInt([]byte(`{"id":`), done.Row.ProductID, 10), '}'))
	})
}

// write is what all writes have in common. Whoever has no token learns nothing
// but that; the cache knows of the change before the client does.
func (s *Server) write(ctx *fasthttp.RequestCtx, do func(context.Context, target) (blob.Written, error), answer func(*blob.Written)) {
	token, ok := s.authorize(ctx)
	if !ok {
		return
	}
	t, ok := s.target(ctx)
	if !ok || !ctx.IsDelete() && !s.takesJSON(ctx) {
		return
	}
	done, err := s.inTurn(t, do)
	if err == nil || errors.Is(err, blob.ErrOutcomeUnknown) {
		s.wrote(done.Change)
	}
	if err == nil {
		answer(&done)
	} else {
		s.fail(ctx, err)
	}
	s.audit(ctx, token, t, &done, err)
}

// inTurn runs do, unless too many writes have begun.
func (s *Server) inTurn(t target, do func(context.Context, target) (blob.Written, error)) (blob.Written, error) {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	default:
		return blob.Written{}, blob.ErrOverloaded
	}
	limited, cancel := context.WithTimeout(s.base, writeLimit)
	defer cancel()
	return do(limited, t)
}

// authorize returns the name of the request's token, or answers that there is
// no right one.
func (s *Server) authorize(ctx *fasthttp.RequestCtx) (token string, ok bool) {
	header := ctx.Request.Header.PeekBytes(headerAuthorization)
	token, ok, off := s.tokens.find(header)
	switch {
	case off:
		s.problem(ctx, fasthttp.StatusForbidden, "Writes are not enabled on this server.")
	case !ok && len(header) == 0:
		ctx.Response.Header.SetCanonical(headerAuthenticate, valueBearer)
		s.problem(ctx, fasthttp.StatusUnauthorized, "A write needs the header Authorization: Bearer TOKEN.")
	case !ok:
		ctx.Response.Header.SetCanonical(headerAuthenticate, valueInvalidToken)
		s.problem(ctx, fasthttp.StatusUnauthorized, "The header Authorization has no valid write token; expected: Bearer TOKEN.")
	}
	return token, ok
}

// target reads the ids of the path and If-Match, or answers what is wrong.
func (s *Server) target(ctx *fasthttp.RequestCtx) (t target, ok bool) {
	for _, id := range [...]struct {
		name string
		dst  *int64
	}{{"product_id", &t.id}, {"sku_id", &t.sku}} {
		segment, given := ctx.UserValue(id.name).(string)
		if !given {
			continue
		}
		if *id.dst, ok = parseNumber([]byte(segment)); !ok {
			s.badRequest(ctx, "The ids of products and of SKUs are whole numbers from 1 to 9223372036854775807, in decimal digits.")
			return t, false
		}
	}
	t.match = ifMatch(ctx.Request.Header.PeekAll("If-Match"))
	return t, true
}

// ifMatch says which states of a product the values of If-Match allow; nil
// stands for any. The comparison is strong (RFC 9110, 13.1.1). The gzip form
// has a tag of its own, but is a form of the same state.
func ifMatch(values [][]byte) blob.Match {
	if len(values) == 0 {
		return nil
	}
	list := bytes.Join(values, []byte{','})
	if string(trim(list)) == "*" {
		return nil // every product that exists
	}
	return func(version, hash int64) bool {
		return listsTag(list, blob.AppendETag(nil, version, hash, ""), strongly) ||
			listsTag(list, blob.AppendETag(nil, version, hash, blob.GzipSuffix), strongly)
	}
}

// takesJSON says whether the body is declared as what we read, or answers that
// it is not.
func (s *Server) takesJSON(ctx *fasthttp.RequestCtx) bool {
	kind, params := cut(ctx.Request.Header.ContentType(), ';')
	for len(params) > 0 {
		var param []byte
		param, params = cut(params, ';')
		name, value := cut(param, '=')
		if equalFold(trim(name), "charset") && !equalFold(bytes.Trim(value, " \t\""), "utf-8") {
			s.problem(ctx, fasthttp.StatusUnsupportedMediaType, "The body has to be in UTF-8.")
			return false
		}
	}
	if !equalFold(trim(kind), "application/json") {
		s.problem(ctx, fasthttp.StatusUnsupportedMediaType, "The body has to be application/json, and the header Content-Type has to say so.")
		return false
	}
	if coding := ctx.Request.Header.ContentEncoding(); len(coding) > 0 && !equalFold(coding, "identity") {
		s.problem(ctx, fasthttp.StatusUnsupportedMediaType, "The body must not be compressed.")
		return false
	}
	return true
}

// sendState answers with JSON and the tag of the product's new state.
func sendState(ctx *fasthttp.RequestCtx, done *blob.Written, body []byte) {
	h := &ctx.Response.Header
	h.SetContentTypeBytes(valueJSON)
	h.SetCanonical(headerETag, blob.AppendETag(nil, done.Row.Version, done.Row.Hash, ""))
	ctx.Response.SetBodyRaw(body)
}

// audit logs a write, whatever became of it: whose token, what, which version.
// Neither the token nor the body is in it.
func (s *Server) audit(ctx *fasthttp.RequestCtx, token string, t target, done *blob.Written, err error) {
	if t.id == 0 {
		t.id = done.Row.ProductID
	}
	status := ctx.Response.StatusCode()
	level, outcome := slog.LevelInfo, "refused"
	attrs := []any{"token", token, "method", string(ctx.Method()), "product", t.id}
	if t.sku != 0 {
		attrs = append(attrs, "sku", t.sku)
	}
	switch {
	case err == nil:
		outcome = "done"
	case errors.Is(err, blob.ErrOutcomeUnknown):
		// fail has not logged it, and it may have to be looked into.
		level, outcome = slog.LevelWarn, "unknown"
		attrs = append(attrs, "error", err)
	case status >= fasthttp.StatusInternalServerError:
		level, outcome = slog.LevelWarn, "failed"
	}
	s.log.Log(s.base, level, "write", append(attrs, "version", done.Change.Version, "status", status, "outcome", outcome, "request_id", requestID(ctx))...)
}
