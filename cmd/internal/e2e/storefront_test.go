package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestStorefront clicks through the storefront as somebody would who sees it
// for the first time, in both contracts, and compares what it shows with the
// CSV files.
func TestStorefront(t *testing.T) {
	dir := t.TempDir()
	must(t, dir, "sample", "csv", "--products", "60", "--seed", "1")
	want := readCatalogue(t, filepath.Join(dir, "csv"))
	for _, contract := range []string{"pulsar", "atelier"} {
		t.Run(contract, func(t *testing.T) {
			database := "--database-url=" + pg.Database(t)
			must(t, dir, "load", database, "csv", "--quiet")
			must(t, dir, "warm", database, "--contract", contract, "--quiet")
			s := serve(t, dir, database)
			clickThrough(t, s, want, contract)
		})
	}
}

func clickThrough(t *testing.T, s *server, want *catalogue, contract string) {
	tb := newTab(t, s)
	tb.open(s.url)
	tb.says("main h1", "Products")
	tb.says(".headline .muted", "60 products · page 1 of 5")
	tb.wait(`document.querySelectorAll(".card .picture").length === 12`)
	tb.shot(contract + "-list")
	for i, p := range want.products[:12] {
		card := fmt.Sprintf(".card:nth-child(%d)", i+1)
		if got := tb.text(card + " h2"); got != oneLine(p.name) {
			t.Errorf("card %d is %q, want %q", i+1, got, p.name)
		}
		tb.says(card+" .cost", costOf(p.shown(), p))
		if sale := eval[bool](tb, fmt.Sprintf(`Boolean(document.querySelector("%s .badge"))`, card)); sale != (p.shown().salePrice != "") {
			t.Errorf("card %d: a sale's badge %v", i+1, sale)
		}
	}

	// Paging, and the back button.
	tb.click(`.pager a[rel=next]`)
	tb.says(".headline .muted", "60 products · page 2 of 5")
	tb.says(".card h2", oneLine(want.products[12].name))
	tb.says(".pager [aria-current]", "2")
	tb.click(`.pager a[href="#/?page=5"]`)
	tb.says(".card h2", oneLine(want.products[48].name))
	if eval[bool](tb, `Boolean(document.querySelector(".pager a[rel=next]"))`) {
		t.Error("the last page has a next one")
	}
	tb.do(chromedp.NavigateBack())
	tb.says(".headline .muted", "60 products · page 2 of 5")
	tb.do(chromedp.NavigateBack())
	tb.says(".headline .muted", "60 products · page 1 of 5")
	tb.settled()

	// A product that has everything.
	p := want.find(t, "with several styles, a sale, photos and related products", func(p *product) bool {
		return p.id <= 12 && len(p.styles) > 1 && len(p.shown().photos) > 1 && len(p.shown().skus) > 1 && len(p.others()) > 0 &&
			slices.ContainsFunc(p.styles, func(s *style) bool { return s.salePrice != "" && len(s.skus) > 0 && s != p.shown() })
	})
	tb.click(fmt.Sprintf(`.card a[href="#/products/%d"]`, p.id))
	tb.says("main h1", oneLine(p.name))
	tb.settled()
	tb.compareStyle(p, p.shown())
	tb.compareProduct(p)
	tb.shot(contract + "-product")

	// The gallery.
	photos := len(p.shown().photos)
	tb.says(".position", fmt.Sprintf("1 / %d", photos))
	tb.click(".turn.on")
	tb.says(".position", fmt.Sprintf("2 / %d", photos))
	tb.click(".turn.back")
	tb.click(".turn.back")
	tb.says(".position", fmt.Sprintf("%d / %d", photos, photos))
	tb.click(".thumb:nth-child(2)")
	tb.says(".position", fmt.Sprintf("2 / %d", photos))

	// A style on sale, then a size.
	on := slices.IndexFunc(p.styles, func(s *style) bool { return s.salePrice != "" && len(s.skus) > 0 && s != p.shown() })
	chosen := p.styles[on]
	tb.click(fmt.Sprintf(`.style:nth-child(%d) input`, on+1))
	tb.compareStyle(p, chosen)
	tb.shot(contract + "-style")
	sizes := chosen.sizes()
	in := slices.IndexFunc(sizes, func(k sku) bool { return k.quantity > 0 })
	if in < 0 {
		t.Fatal("the style is sold out: the sample no longer has what this test needs")
	}
	tb.click(fmt.Sprintf(`.size:nth-child(%d) input`, in+1))
	tb.says(".stock", stockOf(sizes[in]))

	// A related product, and back to the style that was chosen.
	other := p.others()[0]
	tb.click(fmt.Sprintf(`.related a[href="#/products/%d"]`, other))
	tb.says("main h1", oneLine(want.byID(other).name))
	tb.do(chromedp.NavigateBack())
	tb.says("main h1", oneLine(p.name))
	tb.compareStyle(p, chosen)

	// What is missing is told as such.
	bare := want.find(t, "without styles", func(p *product) bool { return len(p.styles) == 0 })
	tb.open(fmt.Sprintf("%s/#/products/%d", s.url, bare.id))
	tb.says("main h1", oneLine(bare.name))
	tb.says(".cost.big", dollars(bare.price))
	tb.says(".stock", "This product can't be ordered at the moment.")
	tb.wait(`!document.querySelector(".style, .size, .thumb, .turn") && document.querySelector(".stage svg[role=img]").getAttribute("aria-label")`)
	tb.shot(contract + "-without-styles")
	if p := want.any(func(p *product) bool { return len(p.styles) > 0 && len(p.shown().photos) == 0 }); p != nil {
		tb.open(fmt.Sprintf("%s/#/products/%d", s.url, p.id))
		tb.wait(`document.querySelector(".stage svg") && !document.querySelector(".thumb")`)
	}

	tb.expect("404")
	for _, address := range []string{"/#/products/99999", "/#/products/9223372036854775807", "/#/products/0", "/#/nowhere"} {
		tb.open(s.url + address)
		tb.says("main h1", "Not found")
	}
	tb.open(s.url + "/#/?page=99")
	tb.says(".notice p", "There is no page 99: the last one is page 5.")
	tb.click(".notice a")
	tb.says(".headline .muted", "60 products · page 5 of 5")
}

// compareStyle compares what the page shows of a style.
func (tb *tab) compareStyle(p *product, s *style) {
	tb.t.Helper()
	tb.says(".chosen", oneLine(s.name))
	cost := costOf(s, p)
	tb.wait(fmt.Sprintf(`document.querySelector(".cost.big").innerText.replace(/\s+/g, " ").startsWith(%q)`, cost))
	var want []string
	for _, k := range s.sizes() {
		left := fmt.Sprintf("%d in stock", k.quantity)
		switch {
		case k.quantity == 0:
			left = "Sold out"
		case k.quantity <= 5:
			left = fmt.Sprintf("Only %d left", k.quantity)
		}
		want = append(want, oneLine(k.size)+" "+left)
	}
	got := eval[[]string](tb, `[...document.querySelectorAll(".size")].map((s) => s.innerText.replace(/\s+/g, " ").trim())`)
	if !slices.Equal(got, want) {
		tb.t.Errorf("product %d, style %d: sizes %q, want %q", p.id, s.id, got, want)
	}
	if checked := eval[string](tb, `document.querySelector(".style input:checked").value`); checked != fmt.Sprint(s.id) {
		tb.t.Errorf("style %s is checked, want %d", checked, s.id)
	}
	if disabled := eval[int](tb, `document.querySelectorAll(".size input:disabled").length`); disabled != len(slices.DeleteFunc(s.sizes(), func(k sku) bool { return k.quantity > 0 })) {
		tb.t.Errorf("product %d, style %d: %d sizes can't be chosen", p.id, s.id, disabled)
	}
}

// compareProduct compares the rest.
func (tb *tab) compareProduct(p *product) {
	tb.t.Helper()
	tb.says(".slogan", oneLine(p.slogan))
	tb.says(".facts > .muted", oneLine(p.category))
	var want []string
	for _, f := range p.features {
		value := f.value
		if f.null {
			value = "✓"
		}
		want = append(want, oneLine(f.name+" "+value))
	}
	got := eval[[]string](tb, `[...document.querySelectorAll("dl div")].map((s) => s.innerText.replace(/\s+/g, " ").trim())`)
	if !slices.Equal(got, want) {
		tb.t.Errorf("product %d: features %q, want %q", p.id, got, want)
	}
	var links []string
	for _, id := range p.others() {
		links = append(links, fmt.Sprintf("#/products/%d", id))
	}
	if got := eval[[]string](tb, `[...document.querySelectorAll(".related h3 a")].map((a) => a.getAttribute("href"))`); !slices.Equal(got, links) {
		tb.t.Errorf("product %d: related %q, want %q", p.id, got, links)
	}
	if got := eval[string](tb, `document.title`); !strings.HasPrefix(got, p.name) {
		tb.t.Errorf("the title is %q", got)
	}
}

// shown is the style that a page shows first.
func (p *product) shown() *style {
	for _, s := range p.styles {
		if s.flagged {
			return s
		}
	}
	if len(p.styles) > 0 {
		return p.styles[0]
	}
	return &style{fullPrice: p.price}
}

// others are the related products that the page of p shows.
func (p *product) others() []int64 {
	var ids []int64
	for _, id := range p.related {
		if id != p.id && !slices.Contains(ids, id) && len(ids) < 8 {
			ids = append(ids, id)
		}
	}
	return ids
}

// sizes are a style's, each once, in the order of shops.
func (s *style) sizes() []sku {
	var sizes []sku
	for _, k := range s.skus {
		if i := slices.IndexFunc(sizes, func(other sku) bool { return other.size == k.size }); i >= 0 {
			sizes[i].quantity += k.quantity
		} else {
			sizes = append(sizes, k)
		}
	}
	slices.SortFunc(sizes, func(x, y sku) int {
		if sizeBefore(x.size, y.size) {
			return -1
		}
		return 1
	})
	return sizes
}

func (c *catalogue) any(is func(*product) bool) *product {
	if i := slices.IndexFunc(c.products, is); i >= 0 {
		return c.products[i]
	}
	return nil
}

func (c *catalogue) find(t *testing.T, what string, is func(*product) bool) *product {
	t.Helper()
	p := c.any(is)
	if p == nil {
		t.Fatalf("the sample has no product %s", what)
	}
	return p
}

func (c *catalogue) byID(id int64) *product {
	return c.any(func(p *product) bool { return p.id == id })
}

func costOf(s *style, p *product) string {
	full := s.fullPrice
	if full == "" {
		full = p.price
	}
	if s.salePrice == "" {
		return dollars(full)
	}
	return fmt.Sprintf("Sale price: %s Before: %s", dollars(s.salePrice), dollars(full))
}

func dollars(price string) string {
	f, err := strconv.ParseFloat(price, 64)
	if err != nil {
		panic(err)
	}
	whole, cents, _ := strings.Cut(strconv.FormatFloat(f, 'f', 2, 64), ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return "$" + whole + "." + cents
}

func stockOf(k sku) string {
	if k.quantity <= 5 {
		return fmt.Sprintf("Size %s: only %d left.", k.size, k.quantity)
	}
	return fmt.Sprintf("Size %s: %d pieces in stock.", k.size, k.quantity)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
