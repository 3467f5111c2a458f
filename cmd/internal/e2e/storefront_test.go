package e2e

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
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

	for address, title := range map[string]string{
		"/#/products/99999": "Not found", "/#/products/9223372036854775807": "Not found", "/#/products/0": "Not found", "/#/nowhere": "Not found", "/#/?page=99": "Products",
	} {
		tb.expect("404")
		tb.open(s.url + address)
		tb.says("main h1", title)
	}
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

// oddShelf is a catalogue of what is rare: each product lacks something, or
// has what no shop should have.
func oddShelf(t *testing.T, contract string) *server {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, records ...[]string) {
		file, err := os.Create(filepath.Join(dir, name+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		w := csv.NewWriter(file)
		if err := w.WriteAll(records); err != nil {
			t.Fatal(err)
		}
	}
	photo := func(n int) string { return fmt.Sprintf("https://%s/%d.png", photoHost, n) }
	long := strings.Repeat("Donaudampfschifffahrtsgesellschaft", 6)
	write("product", []string{"id", "name", "slogan", "description", "category", "default_price"},
		[]string{"1", "Camo Onesie", "Blend in to your crowd", "The So Fatigues.", "Jackets", "140"},
		[]string{"2", "Bare Sunglasses", "No styles", "Nothing to choose.", "Accessories", "69.5"},
		[]string{"3", "Unseen Joggers", "No photos", "Nobody has seen them.", "Pants", "40"},
		[]string{"4", "Gone Slacks", "No sizes", "Nobody has them.", "Pants", "65"},
		[]string{"5", `<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>`, `"><svg onload=window.pwned=3>`, "javascript:window.pwned=4", `</p><b>Bold</b>`, "1"},
		[]string{"6", long, long, long, long, "9999999999.99"})
	write("features", []string{"id", "product_id", "feature", "value"},
		[]string{"1", "1", "Fabric", "Canvas"}, []string{"2", "5", "<b>x</b>", "<i>y</i>"}, []string{"3", "6", long, long})
	write("styles", []string{"id", "productId", "name", "sale_price", "original_price", "default_style"},
		[]string{"1", "1", "Forest Green & Black", "null", "140", "0"},
		[]string{"2", "1", "Sky Blue", "100", "140", "1"},
		[]string{"3", "3", "Grey", "null", "40", "1"},
		[]string{"4", "4", "Tan", "null", "65", "1"},
		[]string{"5", "5", `<img src=x onerror="window.pwned=5">`, "null", "1", "1"},
		[]string{"6", "6", long, "0.01", "9999999999.99", "1"})
	write("photos", []string{"id", "styleId", "url", "thumbnail_url"},
		[]string{"1", "1", photo(1), photo(2)}, []string{"2", "2", photo(3), photo(4)}, []string{"3", "2", photo(5), photo(6)},
		[]string{"4", "4", photo(7), photo(8)},
		[]string{"5", "5", "javascript:window.pwned=6", `data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" onload="window.pwned=7"/>`},
		[]string{"6", "5", "not an address", "//"})
	write("skus", []string{"id", "styleId", "size", "quantity"},
		[]string{"1", "1", "XL", "19"}, []string{"2", "1", "XS", "8"}, []string{"3", "2", "7.5", "3"}, []string{"4", "2", "10", "0"}, []string{"5", "2", "7.5", "1"},
		[]string{"6", "3", "M", "6"}, []string{"7", "5", `<u>S</u>`, "9"}, []string{"8", "6", long, "2147483647"})
	write("related", []string{"id", "current_product_id", "related_product_id"},
		[]string{"1", "1", "2"}, []string{"2", "1", "3"}, []string{"3", "1", "1"}, []string{"4", "1", "2"}, []string{"5", "1", "5"})
	database := "--database-url=" + pg.Database(t)
	must(t, dir, "load", database, ".", "--quiet")
	must(t, dir, "warm", database, "--contract", contract, "--quiet")
	return serve(t, dir, database)
}

// TestStorefrontTrustsNoData: whatever a catalogue holds is shown as text.
func TestStorefrontTrustsNoData(t *testing.T) {
	for _, contract := range []string{"pulsar", "atelier"} {
		t.Run(contract, func(t *testing.T) {
			s := oddShelf(t, contract)
			tb := newTab(t, s)
			tb.open(s.url)
			tb.wait(`document.querySelectorAll(".card .picture").length === 6`)
			tb.open(s.url + "/#/products/5")
			tb.says("main h1", `<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>`)
			tb.says(".slogan", `"><svg onload=window.pwned=3>`)
			tb.says("dl div", "<b>x</b> <i>y</i>")
			tb.says(".size b", "<u>S</u>")
			tb.click(".style input")
			tb.click(".turn.on")
			tb.wait(`!document.querySelector("main img, main script, main b b, main u") && window.pwned === undefined`)
			tb.shot(contract + "-hostile")
		})
	}
}

// TestStorefrontPhotos: a photo that comes is shown, one that does not is
// drawn, and a host that never answers is left alone after a while.
func TestStorefrontPhotos(t *testing.T) {
	s := oddShelf(t, "pulsar")
	tb := newTab(t, s)
	tb.photos.Store(true)
	tb.open(s.url + "/#/products/1")
	tb.wait(`document.querySelector(".stage img.come") && !document.querySelector(".stage svg")`)
	if alt := eval[string](tb, `document.querySelector(".stage img").alt`); alt != "Camo Onesie in Sky Blue, picture 1 of 2" {
		t.Errorf("the photo's alt is %q", alt)
	}
	tb.shot("photos")

	gone := newTab(t, s)
	gone.open(s.url + "/#/products/1")
	gone.wait(`document.querySelector(".stage svg[role=img]") && !document.querySelector(".stage img")`)
	if label := eval[string](gone, `document.querySelector(".stage svg").getAttribute("aria-label")`); label != "Camo Onesie in Sky Blue, picture 1 of 2" {
		t.Errorf("the drawing's label is %q", label)
	}
	first := eval[string](gone, `document.querySelector(".stage svg path").outerHTML`)
	for range 3 {
		gone.click(".turn.on")
		gone.wait(`!document.querySelector(".stage img")`)
	}
	if gone.asked.Load() == 0 {
		t.Error("no photo was asked for: the next check could not fail")
	}
	asked := gone.asked.Load()
	gone.click(".turn.on")
	gone.click(".style:nth-child(1) input")
	gone.wait(`!document.querySelector(".stage img")`)
	if now := gone.asked.Load(); now != asked {
		t.Errorf("%d photos more were asked of a host that gave none", now-asked)
	}
	// One look per style, the same every time.
	gone.open(s.url + "/#/products/1")
	if again := eval[string](gone, `document.querySelector(".stage svg path").outerHTML`); again != first {
		t.Error("the same style looks different")
	}
}

// TestStorefrontFits: nothing scrolls sideways on a phone, whatever the texts
// are, and everything can be read in the dark and has a name for those who
// listen.
func TestStorefrontFits(t *testing.T) {
	s := oddShelf(t, "atelier")
	tb := newTab(t, s)
	for _, at := range []struct {
		scheme    string
		width     int64
		addresses []string
	}{
		{"light", 320, []string{"/", "/#/products/1", "/#/products/6"}},
		{"light", 390, []string{"/", "/#/products/1", "/#/products/2", "/#/products/6", "/#/?page=9"}},
		{"dark", 390, []string{"/", "/#/products/1", "/#/?page=9"}},
		{"dark", 1280, []string{"/", "/#/products/1", "/#/products/4"}},
	} {
		tb.colours(at.scheme)
		if at.width < 700 {
			tb.phone(at.width)
		} else {
			tb.window(at.width, 900)
		}
		for _, address := range at.addresses {
			where := fmt.Sprintf("%s-%d%s", at.scheme, at.width, strings.NewReplacer("/#", "", "/", "-", "?", "", "=", "-").Replace(address))
			tb.open(s.url + address)
			tb.wait(`[...document.querySelectorAll(".card")].every((c) => c.querySelector(".picture"))`)
			tb.shot(where)
			if over := eval[int](tb, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				t.Errorf("%s: %d px are beside the page", where, over)
			}
			tb.readable(where)
		}
	}
}

// TestStorefrontByKeyboard goes from the list to a size without a mouse.
func TestStorefrontByKeyboard(t *testing.T) {
	s := oddShelf(t, "pulsar")
	tb := newTab(t, s)
	tb.open(s.url)
	tb.keys(kb.Tab)
	tb.focused("skip link", `e.matches(".skip") && e.getBoundingClientRect().top >= 0`)
	tb.keys(kb.Enter)
	tb.focused("content", `e.id === "main"`)
	tb.keys(kb.Tab)
	tb.focused("first product", `e.matches(".card a")`)
	tb.shot("keyboard-list")
	tb.keys(kb.Enter)
	tb.says("main h1", "Camo Onesie")
	tb.focused("heading", `e.matches("h1")`)
	// From the heading on comes what is chosen: style, then size.
	tb.keys(kb.Tab)
	tb.focused("chosen style", `e.matches(".style input:checked") && e.value === "2"`)
	tb.keys(kb.ArrowLeft)
	tb.focused("other style", `e.matches(".style input:checked") && e.value === "1"`)
	tb.says(".chosen", "Forest Green & Black")
	tb.keys(kb.Tab)
	tb.focused("first size", `e.matches(".size input") && e.value === "XS"`)
	tb.keys(" ")
	tb.says(".stock", "Size XS: 8 pieces in stock.")
	tb.keys(kb.ArrowRight)
	tb.says(".stock", "Size XL: 19 pieces in stock.")
	tb.shot("keyboard-size")
	tb.keys(kb.Tab)
	tb.focused("related product", `e.matches(".related a")`)
	tb.keys(kb.Enter)
	tb.says("main h1", "Bare Sunglasses")
}

// TestStorefrontOff turns it off by flag and by variable.
func TestStorefrontOff(t *testing.T) {
	dir, database := t.TempDir(), "--database-url="+pg.Database(t)
	check := func(want int, args ...string) {
		t.Helper()
		s := serve(t, dir, append(args, database)...)
		if status, _, body := s.get(t, "/"); status != want {
			t.Errorf("%v: GET / answers %d %.80s, want %d", args, status, body, want)
		}
		if status, _, _ := s.get(t, "/docs"); status != 200 {
			t.Errorf("%v: GET /docs answers %d", args, status)
		}
	}
	check(200)
	check(404, "--storefront=false")
	t.Setenv("HOTSHELF_STOREFRONT", "false")
	check(404)
	check(200, "--storefront=true")
}
