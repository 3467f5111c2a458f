package http

import (
	"math/rand/v2"
	"strconv"

	"github.com/valyala/fasthttp"
)

// maxRequestID is more than any proxy's ids have.
const maxRequestID = 128

// identify gives an answer its X-Request-Id: the request's own, else one drawn
// here where somebody may ask about it later: for errors and writes.
func (s *Server) identify(ctx *fasthttp.RequestCtx) {
	if given := ctx.Request.Header.PeekCanonical(headerRequestID); validRequestID(given) {
		ctx.Response.Header.SetCanonical(headerRequestID, given)
	} else if ctx.Response.StatusCode() >= fasthttp.StatusBadRequest || !ctx.IsGet() && !ctx.IsHead() && !ctx.IsOptions() {
		requestID(ctx)
	}
}

// requestID returns the id that the answer has or will have, for the log.
func requestID(ctx *fasthttp.RequestCtx) string {
	h := &ctx.Response.Header
	id := h.PeekBytes(headerRequestID)
	if id == nil {
		if id = ctx.Request.Header.PeekCanonical(headerRequestID); !validRequestID(id) {
			// The highest bit makes it 16 digits.
			id = strconv.AppendUint(nil, rand.Uint64()|1<<63, 16)
		}
		h.SetCanonical(headerRequestID, id)
	}
	return string(id)
}

// validRequestID says whether an id may be repeated in headers and logs.
func validRequestID(id []byte) bool {
	if len(id) == 0 || len(id) > maxRequestID {
		return false
	}
	for _, ch := range id {
		switch {
		case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9':
		case ch == '-', ch == '_', ch == '.', ch == ':', ch == '/', ch == '+', ch == '=', ch == '@':
		default:
			return false
		}
	}
	return true
}
