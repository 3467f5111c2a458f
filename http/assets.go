package http

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/gzip"
	swagger "github.com/swaggest/swgui/v5/static"
	"github.com/valyala/fasthttp"
)

// The two sites that the server has for people: the storefront at / and the
// page of the API at /docs. Their files are plain ones that browsers take as
// they are. Swagger UI's come from a module, compressed.
var (
	//go:embed storefront
	storefrontFiles embed.FS
	//go:embed docs
	docsFiles embed.FS
)

// What the pages may do, as Content-Security-Policy. Nothing runs or styles
// them that the server has not sent, and what a catalogue holds is text and
// addresses of photos to them.
var (
	storefrontPolicy = []byte("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' http: https:; " +
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	// Swagger UI has its icons as data URLs in its style sheet.
	docsPolicy = []byte("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
)

// The sites are prepared once in a process, not once in each server of a test.
var (
	docs       = sync.OnceValue(newDocs)
	storefront = sync.OnceValue(func() site { return newSite(storefrontFiles, "storefront", storefrontPolicy) })
)

// asset is a file of a site, with what is sent along prepared.
type asset struct {
	contentType []byte
	policy      []byte        // nil for what is no page
	plain       func() []byte // identity form
	zipped      []byte        // gzip form; nil where it would be no smaller
	tag         []byte
	zippedTag   []byte
}

// site is the assets of a page by their names; index.html is the page.
type site map[string]*asset

// newSite reads the files of a directory. That they can be read is settled when
// the program is built.
func newSite(files embed.FS, dir string, policy []byte) site {
	s := site{}
	entries, err := files.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		body, err := files.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			panic(err)
		}
		s[e.Name()] = newAsset(e.Name(), body, zip(body), policy)
	}
	return s
}

// newDocs is the site of the API's page: ours around Swagger UI.
func newDocs() site {
	s := newSite(docsFiles, "docs", docsPolicy)
	for _, name := range []string{"swagger-ui-bundle.js", "swagger-ui.css"} {
		zipped, err := swagger.FS.ReadFile(name + ".gz")
		if err != nil {
			panic(err)
		}
		s[name] = newAsset(name, nil, zipped, docsPolicy)
	}
	const icon = "favicon-32x32.png"
	body, err := swagger.FS.ReadFile(icon)
	if err != nil {
		panic(err)
	}
	s[icon] = newAsset(icon, body, nil, docsPolicy)
	return s
}

// newAsset makes an asset of its forms. A plain form that is nil is unpacked
// for the first client that does not take gzip, which hardly any does, and then
// kept, so that nobody can have it done over and over.
func newAsset(name string, plain, zipped, policy []byte) *asset {
	a := &asset{contentType: assetType(name), zipped: zipped, plain: func() []byte { return plain }}
	if strings.HasSuffix(name, ".html") {
		a.policy = policy
	}
	if plain == nil {
		a.plain = sync.OnceValue(func() []byte { return unzip(zipped) })
	}
	var digest xxhash.Digest
	digest.Reset()
	_, _ = digest.Write(plain)
	_, _ = digest.Write(zipped)
	a.tag = fmt.Appendf(nil, `"%016x"`, digest.Sum64())
	a.zippedTag = fmt.Appendf(nil, `"%016x-gzip"`, digest.Sum64())
	return a
}

func assetType(name string) []byte {
	switch path.Ext(name) {
	case ".html":
		return []byte("text/html; charset=utf-8")
	case ".css":
		return []byte("text/css; charset=utf-8")
	case ".js":
		return []byte("text/javascript; charset=utf-8")
	case ".svg":
		return []byte("image/svg+xml")
	case ".png":
		return []byte("image/png")
	}
	panic("an asset of unknown type: " + name)
}

// zip is the gzip form of a file, or nil where that is no smaller.
func zip(body []byte) []byte {
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(body) // memory takes everything
	_ = w.Close()
	if zipped.Len() >= len(body) {
		return nil
	}
	return zipped.Bytes()
}

func unzip(zipped []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		panic(err)
	}
	body, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	return body
}

// page answers with the page of a site.
func (s site) page(ctx *fasthttp.RequestCtx) { s["index.html"].answer(ctx) }

// file returns a handler that answers with the asset that the path names.
func (s site) file(notFound fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		name, _ := ctx.UserValue("asset").(string)
		a := s[name]
		// The page has one address.
		if a == nil || a.policy != nil {
			notFound(ctx)
			return
		}
		a.answer(ctx)
	}
}

func (a *asset) answer(ctx *fasthttp.RequestCtx) {
	tag := a.tag
	zipped := a.zipped != nil && acceptsGzip(ctx.Request.Header.PeekBytes(headerAccept))
	if zipped {
		tag = a.zippedTag
	}
	h := &ctx.Response.Header
	h.SetCanonical(headerNoSniff, valueNoSniff)
	if a.policy != nil {
		h.SetCanonical(headerPolicy, a.policy)
	}
	if held := ctx.Request.Header.PeekBytes(headerIfNoneMatch); held != nil {
		if tag := heldTag(held, tag, a.tag); tag != nil {
			notModified(ctx, tag)
			return
		}
	}
	setValidators(ctx, tag)
	h.SetContentTypeBytes(a.contentType)
	if zipped {
		h.SetContentEncodingBytes(valueGzip)
		ctx.Response.SetBodyRaw(a.zipped)
		return
	}
	ctx.Response.SetBodyRaw(a.plain())
}
