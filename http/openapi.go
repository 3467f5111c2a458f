package http

import (
	_ "embed"

	"github.com/valyala/fasthttp"
)

// openapiYAML describes every route, header and error for people and tools. It
// is written by hand; a test holds the handlers against it.
//
//go:embed openapi.yaml
var openapiYAML []byte

func (s *Server) openapi(ctx *fasthttp.RequestCtx) {
	static(ctx, valueYAML, valueRevalidate, openapiYAML)
}
