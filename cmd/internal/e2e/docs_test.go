package e2e

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// operation opens an operation of the API's page and returns its selector.
func (tb *tab) operation(tag, id string) string {
	tb.t.Helper()
	block := fmt.Sprintf("#operations-%s-%s", tag, id)
	tb.wait(fmt.Sprintf(`document.querySelector(%q)`, block))
	tb.click(block + " .opblock-summary-control")
	tb.wait(fmt.Sprintf(`document.querySelector(%q)`, block+" .btn.execute"))
	return block
}

// execute sends the request of an operation, and waits for its answer.
func (tb *tab) execute(block, status string) {
	tb.t.Helper()
	tb.click(block + " .btn.execute")
	tb.says(block+" .live-responses-table tbody .response-col_status", status)
}

// TestDocs tries a read and a write out on the API's page, the write without
// the token at first.
func TestDocs(t *testing.T) {
	const token = "token-of-the-browser-test"
	t.Setenv("HOTSHELF_WRITE_TOKEN", token)
	s := oddShelf(t, "pulsar")
	tb := newTab(t, s)
	tb.open(s.url + "/docs")
	tb.says("h1, .title", "hotshelf 1 OAS 3.1")
	tb.wait(`document.querySelectorAll(".opblock").length > 15`)
	tb.view("docs")

	block := tb.operation("products", "product")
	tb.says(block+" tbody .parameter__name", "product_id *")
	tb.execute(block, "200")
	tb.wait(fmt.Sprintf(`document.querySelector(%q).innerText.includes('"name": "Camo Onesie"')`, block+" .live-responses-table"))
	tb.do(chromedp.ScrollIntoView(chromedp.CSS(block + " .live-responses-table")))
	tb.view("docs-read")

	block = tb.operation("writes", "createProduct")
	tb.expect("status of 401")
	tb.execute(block, "401")
	tb.click(".btn.authorize")
	tb.do(chromedp.SendKeys(chromedp.CSS(".auth-container input"), token))
	tb.click(".auth-btn-wrapper .authorize")
	tb.click(".auth-btn-wrapper .btn-done")
	tb.execute(block, "201")
	tb.wait(fmt.Sprintf(`document.querySelector(%q).innerText.includes("location: /products/7")`, block+" .live-responses-table"))
	tb.do(chromedp.ScrollIntoView(chromedp.CSS(block + " .live-responses-table")))
	tb.view("docs-write")
	tb.expect("https://example.com/") // the photos of the example
	tb.open(s.url + "/#/products/7")
	tb.says("main h1", "Camo Onesie")
	tb.says(".chosen", "Forest Green & Black")

	tb.phone(390)
	tb.open(s.url + "/docs")
	tb.wait(`document.querySelectorAll(".opblock").length > 15`)
	tb.view("docs-390")
	if over := eval[int](tb, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		t.Errorf("/docs at 390 px: %d px are beside the page", over)
	}
}
