package http

import (
	"slices"

	"github.com/valyala/fasthttp"
)

// cors says which pages of other origins may read the answers. Storefronts
// call from another origin as a rule.
type cors struct {
	origins []string // nil allows all
}

func newCORS(origins []string) cors {
	if slices.Contains(origins, "*") || len(origins) == 0 {
		return cors{}
	}
	return cors{origins: slices.Clone(origins)}
}

// mark adds the CORS headers to a finished answer, an error or a 304 no less
// than a 200: a page may not even see the status of an answer without them.
func (c *cors) mark(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	if c.origins == nil {
		h.SetCanonical(headerAllowOrigin, valueAny)
		h.SetCanonical(headerExpose, valueExpose)
		return
	}
	// What is cached for one origin must not answer another, nor what is
	// cached for none.
	if h.PeekBytes(headerVary) == nil {
		h.SetCanonical(headerVary, varyOrigin)
	} else {
		h.SetCanonical(headerVary, varyEncodingOrigin)
	}
	origin := ctx.Request.Header.PeekCanonical(headerOrigin)
	for _, allowed := range c.origins {
		if string(origin) == allowed {
			h.SetCanonical(headerAllowOrigin, origin)
			h.SetCanonical(headerExpose, valueExpose)
			return
		}
	}
}

// preflight answers OPTIONS on any path, also one that has no route: a page
// then gets to see the 404.
func preflight(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.SetStatusCode(fasthttp.StatusNoContent)
	h.SetCanonical(headerAllowMethods, valueMethods)
	h.SetCanonical(headerAllowHeaders, valueHeaders)
	h.SetCanonical(headerMaxAge, valueMaxAge)
}
