package http

import (
	"bytes"
	"strings"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"
)

// route is one line of the table that the router, the Allow headers and the
// check of openapi.yaml are made from.
type route struct {
	methods string // separated by ", "
	path    string
	handler fasthttp.RequestHandler
}

// routes lists every route there is, other than OPTIONS, which any path
// answers. GET and HEAD of the read routes are dispatched before the router is
// asked, so that they cost no allocation; the router knows them for Allow only.
func (s *Server) routes() []route {
	const read = "GET, HEAD"
	routes := []route{
		{read, "/products/list", s.notFound},
		{read, "/products", s.notFound},
		{read, "/products/{product_id}", s.notFound},
		{read, "/products/{product_id}/styles", s.notFound},
		{read, "/products/{product_id}/related", s.notFound},

		{"POST", "/products", s.create},
		{"PUT", "/products/{product_id}", s.update},
		{"DELETE", "/products/{product_id}", s.remove},
		{"PATCH", "/products/{product_id}/skus/{sku_id}", s.setStock},

		{read, "/healthz", s.healthz},
		{read, "/readyz", s.readyz},
		{read, "/openapi.yaml", s.openapi},
		{read, "/docs", docs().page},
		{read, "/docs/{asset}", docs().file(s.notFound)},
	}
	if s.storefront {
		routes = append(routes,
			route{read, "/", storefront().page},
			route{read, "/storefront/{asset}", storefront().file(s.notFound)})
	}
	return routes
}

// routeKey is the user value that holds the place of a request's route in the
// metrics.
type routeKey struct{}

func (s *Server) newRouter(routes []route) *router.Router {
	r := router.New()
	// Both would send clients to whatever host their request named.
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	r.HandleOPTIONS = false
	r.HandleMethodNotAllowed = true
	r.MethodNotAllowed = s.methodNotAllowed
	r.NotFound = s.unrouted
	for i, route := range routes {
		place := otherRoute + 1 + i
		handler := func(ctx *fasthttp.RequestCtx) {
			ctx.SetUserValue(routeKey{}, place)
			route.handler(ctx)
		}
		for method := range strings.SplitSeq(route.methods, ", ") {
			r.Handle(method, route.path, handler)
		}
	}
	return r
}

// dispatch finds the handler of a request and runs it. It returns the place of
// the route in the metrics.
func (s *Server) dispatch(ctx *fasthttp.RequestCtx) (place int) {
	defer s.recovered(ctx)
	// Not ctx.Path(), which has been decoded and tidied up: an id that is
	// spelt %31 is not a number.
	path := ctx.URI().PathOriginal()
	read, segment := matchRead(path)
	switch {
	case read != noRead && (ctx.IsGet() || ctx.IsHead()):
		place = s.requests.reads[read]
		s.read(ctx, read, segment)
	case ctx.IsOptions():
		preflight(ctx)
	case read == readList, read == readStyles, read == readRelated:
		// The router would take "list" for a product's id.
		s.readOnly(ctx)
	case len(path) == 0 || path[0] != '/':
		s.notFound(ctx)
	default:
		// Deferred, for a handler may panic.
		defer func() {
			if known, ok := ctx.UserValue(routeKey{}).(int); ok {
				place = known
			}
		}()
		s.router.Handler(ctx)
	}
	return place
}

// unrouted answers what the router has no route for: 404, or 405 where only
// the trailing slash, which only reads allow, kept the router from knowing
// the path.
func (s *Server) unrouted(ctx *fasthttp.RequestCtx) {
	if read, _ := matchRead(ctx.URI().PathOriginal()); read != noRead {
		s.readOnly(ctx)
		return
	}
	s.notFound(ctx)
}

func (s *Server) readOnly(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.SetCanonical(headerAllow, valueReadOnly)
	s.methodNotAllowed(ctx)
}

// readRoute is one of the read routes.
type readRoute uint8

const (
	noRead readRoute = iota
	readProducts
	readList
	readDetail
	readStyles
	readRelated
)

// matchRead finds the read route of a path as it was sent, without its query,
// and the path segment that should be a product's id. One trailing slash
// is accepted.
func matchRead(path []byte) (r readRoute, segment []byte) {
	const root = "/products"
	if len(path) < len(root) || string(path[:len(root)]) != root {
		return noRead, nil
	}
	path = path[len(root):]
	if len(path) == 0 {
		return readProducts, nil
	}
	if path[0] != '/' {
		return noRead, nil
	}
	if len(path) == 1 {
		return readProducts, nil
	}
	path = path[1:]
	if path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	slash := bytes.IndexByte(path, '/')
	switch {
	case len(path) == 0 || slash == 0:
		return noRead, nil
	case slash < 0 && string(path) == "list":
		return readList, nil
	case slash < 0:
		return readDetail, path
	}
	switch string(path[slash+1:]) {
	case "styles":
		return readStyles, path[:slash]
	case "related":
		return readRelated, path[:slash]
	}
	return noRead, nil
}
