package e2e

import (
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seen is what the page of another origin makes of a product.
type seen struct {
	ID        int64    `json:"id"`
	Name      string   `json:"name"`
	Features  []string `json:"features"`
	First     *string  `json:"first"`
	Thumbnail *string  `json:"thumbnail"`
	Style     string   `json:"style"`
	Sizes     [][]any  `json:"sizes"`
	SoldOut   bool     `json:"soldOut"` // no SKUs at all
	Price     string   `json:"price"`
	Related   int      `json:"related"`
}

type visit struct {
	Total    int    `json:"total"`
	Again    int    `json:"again"` // a GET of what the page already has
	Missing  []any  `json:"missing"`
	Products []seen `json:"products"`
}

// TestOtherOrigin reads the API from a page of another origin, the way that
// storefronts of both families do, over products with and without styles,
// photos and SKUs.
func TestOtherOrigin(t *testing.T) {
	page := httptest.NewServer(nethttp.FileServer(nethttp.Dir("testdata")))
	defer page.Close()
	dir := t.TempDir()
	must(t, dir, "sample", "csv", "--products", "60", "--seed", "1")
	want := readCatalogue(t, filepath.Join(dir, "csv"))
	want.find(t, "without styles", func(p *product) bool { return len(p.styles) == 0 })
	want.find(t, "without photos", func(p *product) bool { return len(p.styles) > 0 && len(p.shown().photos) == 0 })
	want.find(t, "without SKUs", func(p *product) bool { return len(p.styles) > 0 && len(p.shown().skus) == 0 })

	for _, contract := range []string{"pulsar", "atelier"} {
		t.Run(contract, func(t *testing.T) {
			database := "--database-url=" + pg.Database(t)
			must(t, dir, "load", database, "csv", "--quiet")
			must(t, dir, "warm", database, "--contract", contract, "--quiet")
			s := serve(t, dir, database)
			tb := newTab(t, s)
			tb.hosts = append(tb.hosts, strings.TrimPrefix(page.URL, "http://"))
			visitFrom(tb, page.URL, s.url, contract)
			tb.wait(`window.result || window.failure`)
			if failure := eval[string](tb, `window.failure ?? ""`); failure != "" {
				t.Fatal(failure)
			}
			got := eval[visit](tb, `window.result`)
			if got.Total != 60 || got.Again != 304 || len(got.Missing) != 2 || got.Missing[0] != 404.0 || got.Missing[1] == "" {
				t.Errorf("in all %d, again %d, missing %v", got.Total, got.Again, got.Missing)
			}
			if diff := cmp.Diff(expectSeen(want, contract), got.Products); diff != "" {
				t.Errorf("what the page sees (-want +got):\n%s", diff)
			}
			tb.shot(contract + "-other-origin")
		})
	}

	// An origin that is not on the list reads nothing.
	s := serve(t, dir, "--database-url="+pg.Database(t), "--cors-origin=https://shop.example")
	tb := newTab(t, s)
	tb.hosts = append(tb.hosts, strings.TrimPrefix(page.URL, "http://"))
	tb.expect("CORS")
	tb.expect("net::ERR_FAILED")
	visitFrom(tb, page.URL, s.url, "pulsar")
	tb.wait(`window.failure === "TypeError: Failed to fetch"`)
}

func visitFrom(tb *tab, page, api, family string) {
	tb.t.Helper()
	tb.expect("404") // it asks for a product that isn't there
	tb.open(fmt.Sprintf("%s/other-origin.html?family=%s&api=%s", page, family, url.QueryEscape(api)))
}

func expectSeen(want *catalogue, contract string) []seen {
	var all []seen
	text := func(s string) *string { return &s }
	for _, p := range want.products {
		s := p.shown()
		e := seen{ID: p.id, Name: strings.ToUpper(p.name), Features: []string{}, Style: s.name, Sizes: [][]any{}, SoldOut: len(s.skus) == 0, Related: len(p.related)}
		for _, f := range p.features {
			e.Features = append(e.Features, f.name)
		}
		if len(p.styles) > 0 && len(p.styles[0].photos) > 0 {
			e.First = text(p.styles[0].photos[0].url)
		}
		if len(s.photos) > 0 {
			e.Thumbnail = text(s.photos[0].thumbnail)
		}
		e.Price = price(s.fullPrice, contract)
		if s.salePrice != "" {
			e.Price = price(s.salePrice, contract)
		}
		skus := s.skus
		if contract == "pulsar" {
			// JavaScript shows whole numbers first, whatever order they come in.
			skus = s.sizes()
			slices.SortStableFunc(skus, func(x, y sku) int { return first(x.size) - first(y.size) })
		}
		for _, k := range skus {
			if k.quantity > 0 {
				e.Sizes = append(e.Sizes, []any{k.size, float64(k.quantity)})
			}
		}
		all = append(all, e)
	}
	return all
}

// first is 0 for what JavaScript takes for an index of an array.
func first(size string) int {
	if size == "0" || size != "" && size[0] != '0' && strings.Trim(size, "0123456789") == "" {
		return 0
	}
	return 1
}
