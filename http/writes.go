package http

import "github.com/valyala/fasthttp"

// writesOff answers the write routes of a server that has no write token.
func (s *Server) writesOff(ctx *fasthttp.RequestCtx) {
	s.problem(ctx, fasthttp.StatusForbidden, "Writes are not enabled on this server.")
}
