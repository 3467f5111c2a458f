package http

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-json"
	"github.com/valyala/fasthttp"

	"github.com/hotshelf/hotshelf/blob"
)

const detailInternal = "Something went wrong inside the server. The details are in its log."

// outcome is what an error means to a client.
type outcome struct {
	err        error
	status     int
	retryAfter string // seconds
	detail     string
}

// outcomes is the one table from errors to statuses. The details are for
// clients, so they are written here and never taken from the error.
var outcomes = [...]outcome{
	// Before what its cause may be.
	{blob.ErrOutcomeUnknown, fasthttp.StatusGatewayTimeout, "", "The database did not confirm the write: it was made, or it was not. Read the product before you try again."},
	{blob.ErrNoSKU, fasthttp.StatusNotFound, "", "This product has no SKU with this id."},
	{blob.ErrMovedOn, fasthttp.StatusPreconditionFailed, "", "The product has moved on: it has none of the entity tags of If-Match."},
	{blob.ErrNotFound, fasthttp.StatusNotFound, "", "There is no product with this id."},
	{blob.ErrNotReady, fasthttp.StatusServiceUnavailable, "5", "No catalogue is published yet: run load, then warm."},
	{blob.ErrOverloaded, fasthttp.StatusServiceUnavailable, "1", "Too many requests are waiting already."},
	{blob.ErrUnavailable, fasthttp.StatusServiceUnavailable, "1", "The database does not answer at the moment."},
	{context.DeadlineExceeded, fasthttp.StatusServiceUnavailable, "1", "It took too long, and was given up."},
	{context.Canceled, fasthttp.StatusServiceUnavailable, "1", "The server is shutting down."},
}

// problem is the body of every 4xx and 5xx (RFC 9457). Type and Title are
// filled in by encode: our problems have no types beyond their status.
type problem struct {
	Type     string       `json:"type"`
	Title    string       `json:"title"`
	Status   int          `json:"status"`
	Detail   string       `json:"detail"`
	Instance string       `json:"instance,omitempty"` // the request's path, percent-encoded
	Errors   []blob.Fault `json:"errors,omitempty"`
	Reasons  []string     `json:"reasons,omitempty"` // why the server is not ready
}

func encode(p problem) []byte {
	p.Type = "about:blank"
	p.Title = fasthttp.StatusMessage(p.Status)
	body, err := json.Marshal(p)
	if err != nil {
		// Strings and an int: nothing in them can fail.
		return []byte(`{"type":"about:blank"}`)
	}
	return body
}

// fail answers with what err means.
func (s *Server) fail(ctx *fasthttp.RequestCtx, err error) {
	var invalid *blob.InvalidError
	if errors.As(err, &invalid) {
		s.invalid(ctx, invalid)
		return
	}
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			if o.retryAfter != "" {
				ctx.Response.Header.SetCanonical(headerRetryAfter, []byte(o.retryAfter))
			}
			s.problem(ctx, o.status, o.detail)
			return
		}
	}
	s.log.Error("a request failed", "method", string(ctx.Method()), "path", instance(ctx), "request_id", requestID(ctx), "error", err)
	s.problem(ctx, fasthttp.StatusInternalServerError, detailInternal)
}

// invalid answers with all that is wrong with a body: 400 for what is not
// JSON, 422 for JSON that is no product.
func (s *Server) invalid(ctx *fasthttp.RequestCtx, e *blob.InvalidError) {
	p := problem{Status: fasthttp.StatusUnprocessableEntity, Instance: instance(ctx), Errors: e.Faults}
	switch {
	case e.Malformed:
		p.Status, p.Detail = fasthttp.StatusBadRequest, e.Faults[0].Detail
	case e.All == 1:
		p.Detail = "The body has a fault."
	case e.All == len(e.Faults):
		p.Detail = fmt.Sprintf("The body has %d faults.", e.All)
	default:
		p.Detail = fmt.Sprintf("The body has %d faults, of which these are the first.", e.All)
	}
	send(ctx, p)
}

// problem answers with an error; detail says what was wrong and where.
func (s *Server) problem(ctx *fasthttp.RequestCtx, status int, detail string) {
	send(ctx, problem{Status: status, Detail: detail, Instance: instance(ctx)})
}

// send is the one writer of error bodies. Headers that belong to the error
// (Allow, Retry-After) are set before.
func send(ctx *fasthttp.RequestCtx, p problem) {
	h := &ctx.Response.Header
	h.SetStatusCode(p.Status)
	h.SetContentTypeBytes(valueProblem)
	// A 404 may be kept by caches when nothing forbids it, and would outlive
	// the product's creation.
	h.SetCanonical(headerCacheControl, valueNoStore)
	ctx.Response.SetBodyRaw(encode(p))
}

func (s *Server) badRequest(ctx *fasthttp.RequestCtx, detail string) {
	s.problem(ctx, fasthttp.StatusBadRequest, detail)
}

func (s *Server) notFound(ctx *fasthttp.RequestCtx) {
	s.problem(ctx, fasthttp.StatusNotFound, "There is nothing at this path.")
}

// methodNotAllowed answers a path that has other methods; Allow is set.
func (s *Server) methodNotAllowed(ctx *fasthttp.RequestCtx) {
	s.problem(ctx, fasthttp.StatusMethodNotAllowed, "This path does not take the method; Allow lists those it takes.")
}

// unreadable answers what fasthttp could not read as a request; it closes the
// connection afterwards.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	p := problem{Status: fasthttp.StatusBadRequest, Detail: "This is not a well-formed HTTP request."}
	var small *fasthttp.ErrSmallBuffer
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &small):
		p.Status = fasthttp.StatusRequestHeaderFieldsTooLarge
		p.Detail = "The request line and headers are larger than 8 KiB."
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		p.Status = fasthttp.StatusRequestEntityTooLarge
		p.Detail = "The body is larger than 1 MiB."
		// The one case in which the headers have been read.
		p.Instance = instance(ctx)
		if !s.mayWrite(&ctx.Request.Header) {
			p.Detail = "The body is larger than 4 KiB, and the request has no valid write token."
		}
	case errors.As(err, &timeout) && timeout.Timeout():
		p.Status = fasthttp.StatusRequestTimeout
		p.Detail = "The request took too long to arrive."
	}
	send(ctx, p)
	ctx.Response.SkipBody = ctx.IsHead()
	s.identify(ctx)
	s.cors.mark(ctx)
}

// instance is the path of a request as it was sent, with percent-encoding
// for the bytes that a URI can't hold. The query stays out: it may hold what a
// log or an error page should not show.
func instance(ctx *fasthttp.RequestCtx) string {
	const hex = "0123456789ABCDEF"
	path := ctx.URI().PathOriginal()
	b := make([]byte, 0, len(path))
	for i, ch := range path {
		encoded := ch == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2])
		if encoded || ch != '%' && ch > ' ' && ch < 0x7f && strings.IndexByte("\"<>[\\]^`{|}", ch) < 0 {
			b = append(b, ch)
		} else {
			b = append(b, '%', hex[ch>>4], hex[ch&15])
		}
	}
	return string(b)
}

func isHex(ch byte) bool {
	return ch >= '0' && ch <= '9' || ch|0x20 >= 'a' && ch|0x20 <= 'f'
}
