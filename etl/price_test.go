package etl

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hotshelf/hotshelf/blob"
)

func TestParsePrice(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "140": "14000", "140.5": "14050", "140.05": "14005", "140.00": "14000", "007": "700", ".5": "50", "140.": "14000",
		"9999999999.99": "999999999999", "10000000000": "bad_price", "99999999999999999999999": "bad_price",
		"$140": "14000 price_decoration", "140$": "14000 price_decoration", " 140": "14000 price_decoration", "$ 140 ": "14000 price_decoration",
		"default_price: 140": "14000 price_decoration", "SALE_PRICE:$1": "100 price_decoration", "original_price:  $ 1.50": "150 price_decoration",
		"1,040": "104000 thousands_comma", "1,040.00": "104000 thousands_comma", "$12,345,678.90": "1234567890 price_decoration thousands_comma",
		"140,000": "14000000 thousands_comma",
		"140,00":  "ambiguous_price", "1,04": "ambiguous_price", "0,140": "ambiguous_price", "1,0400": "ambiguous_price", "1234,567": "ambiguous_price",
		"1,040,00": "ambiguous_price", "1.040,00": "ambiguous_price", "140.000": "ambiguous_price", "1.2345": "ambiguous_price", ",50": "ambiguous_price",
		"": "bad_price", " ": "bad_price", "$": "bad_price", ".": "bad_price", ",": "bad_price", "-1": "bad_price", "$-1": "bad_price", "+1": "bad_price",
		"1e3": "bad_price", "NaN": "bad_price", "null": "bad_price", "$$1": "bad_price", "1 040": "bad_price", "€1": "bad_price", "1.2.3": "bad_price",
		"price: 1": "bad_price", "1,a": "bad_price", "0x10": "bad_price", "１": "bad_price",
	} {
		p, found, why := parsePrice([]byte(text))
		got := fmt.Sprint(int64(p))
		for i := range fixKinds {
			if found>>i&1 == 1 {
				got += " " + fixName(i)
			}
		}
		if why != reasonNone {
			got = why.String()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// FuzzPrice holds prices against a grammar, and against their own decimal form.
func FuzzPrice(f *testing.F) {
	for _, seed := range []string{"140", "$1,040.00", "default_price: 1", "140,00", " .5 ", "9999999999.99", "-1"} {
		f.Add([]byte(seed))
	}
	good := regexp.MustCompile(`^(([1-9][0-9]{0,2}(,[0-9]{3})+|[0-9]+)(\.[0-9]{0,2})?|\.[0-9]{1,2})$`)
	f.Fuzz(func(t *testing.T, text []byte) {
		p, found, why := parsePrice(text)
		number := undecorate(text)
		if why != reasonNone {
			if good.Match(number) && len(strings.TrimLeft(strings.ReplaceAll(string(number), ",", ""), "0")) < 11 {
				t.Fatalf("%q was rejected: %s", text, why)
			}
			return
		}
		if !good.Match(number) || p < 0 || p > blob.MaxPrice || found&^(fixDecoration|fixThousands) != 0 {
			t.Fatalf("%q was taken as %d", text, p)
		}
		again, _, why := parsePrice(fmt.Appendf(nil, "%d.%02d", p/100, p%100))
		if again != p || why != reasonNone {
			t.Fatalf("%q is %d, its own form %d", text, p, again)
		}
	})
}
