package e2e

import (
	"fmt"
	"testing"
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

// TestDocs tries a read out on the API's page.
func TestDocs(t *testing.T) {
	s := oddShelf(t, "pulsar")
	tb := newTab(t, s)
	tb.open(s.url + "/docs")
	tb.says("h1, .title", "hotshelf 1 OAS 3.1")
	tb.wait(`document.querySelectorAll(".opblock").length > 15`)
	tb.shot("docs")

	block := tb.operation("products", "product")
	tb.says(block+" tbody .parameter__name", "product_id *")
	tb.execute(block, "200")
	tb.wait(fmt.Sprintf(`document.querySelector(%q).innerText.includes('"name": "Camo Onesie"')`, block+" .live-responses-table"))
	tb.shot("docs-read")

	tb.phone(390)
	tb.open(s.url + "/docs")
	tb.wait(`document.querySelectorAll(".opblock").length > 15`)
	tb.shot("docs-390")
	if over := eval[int](tb, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		t.Errorf("/docs at 390 px: %d px are beside the page", over)
	}
}
