package http

import (
	"bytes"
	"context"
	"fmt"
	"net"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/pprofhandler"
)

// maxAdminConns is far more than operators and scrapers open.
const maxAdminConns = 64

// Admin answers those who run a server, on a listener of its own, so that what
// it shows is not public, and so that it still answers when the public one has
// as many connections as it can take. It is made by NewAdmin.
type Admin struct {
	server *Server
	fast   fasthttp.Server
}

// NewAdmin makes the admin side of a server.
func NewAdmin(server *Server) *Admin {
	a := &Admin{server: server}
	a.fast = fasthttp.Server{
		Handler:            a.handle,
		ErrorHandler:       server.unreadable,
		Logger:             debugLog{server.log},
		Concurrency:        maxAdminConns,
		ReadBufferSize:     maxHeader,
		MaxRequestBodySize: maxBody,
		ReadTimeout:        readTimeout,
		WriteTimeout:       writeTimeout,
		IdleTimeout:        idleTimeout,
		LazyRequestTime:    true,
		CloseOnShutdown:    true,

		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		DisablePreParseMultipartForm: true,
		SecureErrorLogMessage:        true,
	}
	return a
}

// Serve answers the connections of l until Shutdown, and closes l.
func (a *Admin) Serve(l net.Listener) error {
	if err := a.fast.Serve(l); err != nil {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown closes the listener and waits for the requests under way, such as a
// profile, until ctx ends.
func (a *Admin) Shutdown(ctx context.Context) error {
	if err := a.fast.ShutdownWithContext(ctx); err != nil {
		return fmt.Errorf("shut the admin listener down: %w", err)
	}
	return nil
}

func (a *Admin) handle(ctx *fasthttp.RequestCtx) {
	defer a.server.recovered(ctx)
	path := ctx.URI().PathOriginal()
	profiles := bytes.HasPrefix(path, pathProfiles)
	switch {
	// The symbol look-up of pprof is a POST.
	case !ctx.IsGet() && !ctx.IsHead() && !(profiles && ctx.IsPost()):
		ctx.Response.Header.SetCanonical(headerAllow, valueGetHead)
		a.server.methodNotAllowed(ctx)
	case profiles:
		pprofhandler.PprofHandler(ctx)
	case string(path) == "/metrics":
		a.metrics(ctx)
	case string(path) == "/healthz":
		a.server.healthz(ctx)
	case string(path) == "/readyz":
		a.server.readyz(ctx)
	default:
		a.server.notFound(ctx)
	}
}
