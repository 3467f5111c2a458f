package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
)

// focused fails unless the element e that has the focus comes to be this one,
// and shows it.
func (tb *tab) focused(what, is string) {
	tb.t.Helper()
	tb.wait(fmt.Sprintf(`((e) => e && (%s))(document.activeElement)`, is))
	// Headings and the content take the focus for what follows them; they are
	// no controls.
	if !eval[bool](tb, `document.activeElement.matches("h1, main") || (() => {
		const e = document.activeElement;
		const shows = (style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
		return shows(getComputedStyle(e)) || shows(getComputedStyle(e, "::after")) && e.matches(".card a") ||
			e.nextElementSibling && shows(getComputedStyle(e.nextElementSibling));
	})()`) {
		tb.t.Errorf("%s: the focus does not show", what)
	}
}

// readable fails for text that has too little contrast, and for controls and
// pictures that have no name.
func (tb *tab) readable(where string) {
	tb.t.Helper()
	for _, fault := range eval[[]string](tb, "("+lowContrast+")()") {
		tb.t.Errorf("%s: %s", where, fault)
	}
	tree, err := chromedp.Call(tb.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	tb.must(err)
	seen := 0
	for _, node := range tree.Nodes {
		if node.Ignored || !slices.Contains([]string{"link", "button", "radio", "image", "textbox", "combobox", "navigation"}, axText(node.Role)) {
			continue
		}
		seen++
		if axText(node.Name) == "" {
			tb.t.Errorf("%s: a %s has no name", where, axText(node.Role))
		}
	}
	if seen == 0 {
		tb.t.Errorf("%s: nothing has a role: this check could not fail", where)
	}
	if n := eval[int](tb, `document.querySelectorAll("h1").length`); n != 1 {
		tb.t.Errorf("%s: %d headings of the first level", where, n)
	}
}

func axText(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var text string
	_ = json.Unmarshal(v.Value, &text)
	return text
}

// lowContrast lists texts below the ratios of WCAG AA. Colours are painted to
// be read, so that any notation will do.
const lowContrast = `() => {
	const brush = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
	const over = (colours) => {
		brush.clearRect(0, 0, 1, 1);
		for (const c of colours) { brush.fillStyle = c; brush.fillRect(0, 0, 1, 1); }
		return [...brush.getImageData(0, 0, 1, 1).data];
	};
	const luminance = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const faults = [];
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let node; (node = walker.nextNode());) {
		const element = node.parentElement, style = getComputedStyle(element);
		if (!node.data.trim() || element.closest("noscript, .unseen, [aria-hidden=true], :disabled ~ *, .off, .skip") || !element.getClientRects().length) continue;
		const behind = [];
		for (let e = element; e; e = e.parentElement) {
			behind.unshift(getComputedStyle(e).backgroundColor);
			if (over([getComputedStyle(e).backgroundColor])[3] === 255) break;
		}
		const back = over(["white", ...behind]), fore = over(["white", ...behind, style.color]);
		const [light, dark] = [luminance(back), luminance(fore)].sort((a, b) => b - a);
		const ratio = (light + 0.05) / (dark + 0.05), size = parseFloat(style.fontSize);
		const least = size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5;
		if (ratio < least) faults.push("contrast " + ratio.toFixed(2) + ": " + node.data.trim().slice(0, 40));
	}
	return faults;
}`

// TestLowContrastIsSeen plants what readable has to find.
func TestLowContrastIsSeen(t *testing.T) {
	tb := newTab(t)
	tb.open(`data:text/html,<body style="background:white"><p style="color:rgb(140,140,140)">pale</p><p style="color:rgb(100,100,100)">fine</p>`)
	if faults := eval[[]string](tb, "("+lowContrast+")()"); len(faults) != 1 {
		t.Errorf("found %q", faults)
	}
}
