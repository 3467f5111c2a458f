package e2e

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

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

// TestStorefrontInTrouble: no catalogue yet, and no server any more.
func TestStorefrontInTrouble(t *testing.T) {
	dir, database := t.TempDir(), "--database-url="+pg.Database(t)
	s := serve(t, dir, database)
	tb := newTab(t, s)
	tb.expect("status of 503")
	tb.open(s.url)
	tb.says("main h1", "One moment, please")
	tb.says(".notice p", "No catalogue is published yet: run load, then warm.")
	tb.shot("trouble")
	tb.readable("trouble")

	must(t, dir, "sample", "csv", "--products", "3")
	must(t, dir, "load", database, "csv", "--quiet")
	must(t, dir, "warm", database, "--quiet")
	until(t, "the server takes the catalogue over", func() bool {
		status, _, _ := s.get(t, "/readyz")
		return status == 200
	})
	tb.click(".notice button")
	tb.says(".headline .muted", "3 products · page 1 of 1")

	tb.expect("ERR_CONNECTION_REFUSED")
	s.stop(t, syscall.SIGTERM)
	tb.click(".card a")
	tb.says("main h1", "No connection")
	tb.says(".notice p", "The server can't be reached.")
}
