package http

import (
	"math/rand/v2"
	"time"

	"github.com/valyala/fasthttp"
)

// sampled says whether a request is one of those that the access log has.
func (s *Server) sampled() bool {
	return s.accessLog > 0 && rand.Float64() < s.accessLog
}

// logAccess writes a line of the access log. The query stays out, as it does
// in errors.
func (s *Server) logAccess(ctx *fasthttp.RequestCtx, took time.Duration) {
	// To ask a stream for its body would read it all, and end its place.
	size := ctx.Response.Header.ContentLength()
	if !ctx.Response.IsBodyStream() {
		size = len(ctx.Response.Body())
	}
	s.log.Info("request", "method", string(ctx.Method()), "path", instance(ctx), "status", ctx.Response.StatusCode(),
		"bytes", size, "took", took, "remote", ctx.RemoteIP().String(), "request_id", requestID(ctx))
}
