package http

import "github.com/valyala/fasthttp"

// healthz answers 200 for as long as the process answers at all.
func (s *Server) healthz(ctx *fasthttp.RequestCtx) {
	static(ctx, valueJSON, valueNoStore, []byte(`{"status":"ok"}`))
}

// readyz answers 200 when requests can be answered, else 503 with the reasons.
func (s *Server) readyz(ctx *fasthttp.RequestCtx) {
	reasons := s.notReady()
	if len(reasons) == 0 {
		static(ctx, valueJSON, valueNoStore, []byte(`{"status":"ready"}`))
		return
	}
	ctx.Response.Header.SetCanonical(headerRetryAfter, []byte("1"))
	send(ctx, problem{
		Status:   fasthttp.StatusServiceUnavailable,
		Detail:   "The server is not ready.",
		Instance: instance(ctx),
		Reasons:  reasons,
	})
}

func (s *Server) notReady() (reasons []string) {
	if s.ready != nil {
		reasons = s.ready()
	}
	if s.draining.Load() {
		reasons = append(reasons[:len(reasons):len(reasons)], "the server is shutting down")
	}
	return reasons
}

// static answers with bytes that depend on nothing in the request.
func static(ctx *fasthttp.RequestCtx, contentType, cacheControl, body []byte) {
	ctx.Response.Header.SetContentTypeBytes(contentType)
	ctx.Response.Header.SetCanonical(headerCacheControl, cacheControl)
	ctx.Response.SetBodyRaw(body)
}
