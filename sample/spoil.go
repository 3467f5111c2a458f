package sample

import (
	"strconv"
	"strings"
)

// The functions of this file each do one defect to a row. Blanks and prices
// meet nowhere: a blank outside quotes is planted beside no price, so that it
// is always padding, and one inside a price's quotes is always decoration.

func endCRLF(_ *craft, r *row) bool {
	r.end = "\r\n"
	return true
}

func padBlanks(c *craft, r *row) bool {
	if column, inner, ok := c.text(r); ok && !c.oneIn(3) {
		return r.set(column, quote(strings.Repeat(" ", c.below(3))+inner+strings.Repeat(" ", 1+c.below(2))))
	}
	for i := 1; i < len(r.fields); i++ {
		if isPrice(c.file, i) {
			continue
		}
		r.fields[i] = " " + r.fields[i]
	}
	return true
}

func isPrice(file, column int) bool {
	switch file {
	case products:
		return column == colDefaultPrice
	case styles:
		return column == colSale || column == colOriginal
	}
	return false
}

// strayQuote leaves the quotes of a text single or behind a backslash, or puts
// one of either into a URL.
func strayQuote(c *craft, r *row) bool {
	if c.file == photos {
		column := colText + c.below(2)
		url := r.fields[column]
		switch c.below(3) {
		case 0:
			return r.set(column, strings.Replace(url, "images.", `images".`, 1))
		case 1:
			return r.set(column, strings.Replace(url, "?", `\?`, 1))
		}
		return r.set(column, strings.ReplaceAll(url, "/", `\/`))
	}
	for i := range r.fields {
		inner, ok := r.inner(i)
		if !ok || !strings.Contains(inner, `""`) {
			continue
		}
		single := strings.ReplaceAll(inner, `""`, `"`)
		// Beside a comma or at an end it could be a closing quote.
		if strings.HasPrefix(single, `"`) || strings.HasSuffix(single, `"`) ||
			strings.Contains(single, `",`) || strings.Contains(single, `,"`) || strings.Contains(single, `, "`) {
			continue
		}
		if c.oneIn(2) {
			single = strings.ReplaceAll(single, `"`, `\"`)
		}
		return r.set(i, quote(single))
	}
	return false
}

func dropLastQuote(_ *craft, r *row) bool {
	inner, ok := r.inner(r.last())
	if !ok || strings.Contains(inner, `""`) {
		return false
	}
	return r.set(r.last(), `"`+inner)
}

func quoteNull(_ *craft, r *row) bool {
	return r.fields[colValue] == "null" && r.set(colValue, `"null"`)
}

func zeroSale(_ *craft, r *row) bool {
	return r.fields[colSale] == "null" && r.set(colSale, "0")
}

func dropNullValue(_ *craft, r *row) bool {
	return r.last() == colValue && r.fields[colValue] == "null" && r.drop(colValue)
}

func dropNullSale(_ *craft, r *row) bool {
	return r.fields[colSale] == "null" && r.drop(colSale)
}

// bareComma takes the quotes from a text with a comma, in the two files whose
// other columns can't be mistaken for it.
func bareComma(_ *craft, r *row) bool {
	inner, ok := r.inner(colText)
	if !ok || !strings.Contains(inner, ",") || strings.ContainsAny(inner, `" `) {
		return false
	}
	return r.set(colText, inner)
}

func priceColumn(file int) int {
	if file == products {
		return colDefaultPrice
	}
	return colOriginal
}

func decoratePrice(c *craft, r *row) bool {
	column := priceColumn(c.file)
	if column > r.last() {
		return false
	}
	price := strings.Trim(r.fields[column], `"`)
	forms := []string{quote("$" + price), quote(" $ " + price), quote(" " + price + " ")}
	if c.file == products {
		forms = append(forms, quote("default_price: "+price))
	}
	if !strings.Contains(price, ",") {
		forms = append(forms, "$"+price)
	}
	return r.set(column, c.pick(forms))
}

func thousandsComma(c *craft, r *row) bool {
	column := priceColumn(c.file)
	whole, cents, _ := strings.Cut(r.fields[column], ".")
	if len(whole) < 4 || whole[0] < '0' || whole[0] > '9' {
		return false
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if cents == "" && c.oneIn(2) {
		cents = "00"
	}
	if cents != "" {
		whole += "." + cents
	}
	return r.set(column, quote(whole))
}

func malformURL(c *craft, r *row) bool {
	column := colText + c.below(2)
	return r.set(column, strings.Replace(r.fields[column], "https:", "uhttps:", 1))
}

func badOwnID(c *craft, r *row) bool {
	return r.set(colID, c.pick([]string{"abc", "0", "-7", "1.5", "", "99999999999999999999", "1e3", "null", "12a"}))
}

func badParentID(c *craft, r *row) bool {
	return r.set(colParent, c.pick([]string{"x17", "-7", "2.5", ""}))
}

func badTarget(c *craft, r *row) bool {
	return r.set(colTarget, c.pick([]string{"seven", "-3", "1.5", ""}))
}

func orphanRow(c *craft, r *row) bool { return r.set(colParent, c.absent()) }

func danglingTarget(c *craft, r *row) bool { return r.set(colTarget, c.absent()) }

func zeroTarget(_ *craft, r *row) bool { return r.set(colTarget, "0") }

// duplicateID takes an earlier row's id and differs from that row, so that a
// load that keeps the wrong one shows.
func duplicateID(c *craft, r *row) bool {
	if c.twin == "" {
		return false
	}
	r.set(colID, c.twin)
	switch c.file {
	case products, styles:
		return r.set(priceColumn(c.file), "77777.77")
	case related:
		return r.set(colTarget, r.fields[colParent])
	case skus:
		return r.set(colQuantity, "777777")
	}
	return r.set(r.last(), `"https://images.example.com/duplicate"`)
}

// dropNeeded drops a field that can't do without, or can't be told.
func dropNeeded(c *craft, r *row) bool {
	switch c.file {
	case products:
		return r.drop(1 + c.below(4))
	case features:
		r.fields = r.fields[:colText]
		return true
	case skus:
		return r.drop(colText + c.below(2))
	}
	return r.drop(r.last())
}

// addField adds a field such that no reading of the line is the only one.
func addField(c *craft, r *row) bool {
	switch c.file {
	case products, features, photos:
		// As an unquoted comma in one of several texts does.
		r.set(colText, "So soft")
		return r.insert(colText+1, "so warm")
	case related:
		return r.insert(len(r.fields), "7")
	}
	return r.insert(len(r.fields), `"extra"`)
}

func badPrice(c *craft, r *row) bool {
	return r.set(priceColumn(c.file), c.pick([]string{"abc", "-5", "10000000000.00", "99999999999999999999", "", "null", "1e3", "1.2.3"}))
}

func badSale(c *craft, r *row) bool {
	return r.set(colSale, c.pick([]string{"cheap", "-1", "10000000000"}))
}

func ambiguousPrice(c *craft, r *row) bool {
	whole, _, _ := strings.Cut(r.fields[priceColumn(c.file)], ".")
	if c.oneIn(2) {
		return r.set(priceColumn(c.file), quote(whole+",00"))
	}
	return r.set(priceColumn(c.file), whole+".000")
}

func badDefaultStyle(c *craft, r *row) bool {
	return r.set(colDefaultStyle, c.pick([]string{"2", "yes", "", "null", "-1"}))
}

func badQuantity(c *craft, r *row) bool {
	return r.set(colQuantity, c.pick([]string{"-3", "many", "1.5", "", "null", "99999999999"}))
}

// within puts bytes into a text, or into the last column of a file without
// any. The first column stays readable.
func within(c *craft, r *row, bytes string) bool {
	if column, inner, ok := c.text(r); ok {
		at := c.below(len(inner) + 1)
		return r.set(column, quote(inner[:at]+bytes+inner[at:]))
	}
	return r.set(r.last(), r.fields[r.last()]+bytes)
}

func invalidUTF8(c *craft, r *row) bool {
	return within(c, r, c.pick([]string{"\xff", "\xc3(", "caf\xe9 ", "\xed\xa0\x80", "\xc0\xaf"}))
}

func nulByte(c *craft, r *row) bool { return within(c, r, "\x00") }

// maxLine is the longest line that a load takes, in bytes.
const maxLine = 1 << 20

func tooLong(c *craft, r *row) bool {
	column := colText
	if c.file == related {
		column = colTarget
	}
	fill := strings.Repeat("7", maxLine+1+c.below(maxLine))
	if inner, ok := r.inner(column); ok {
		return r.set(column, quote(inner+fill))
	}
	return r.set(column, fill)
}

// renumber gives a row that is added to the catalogue an id of its own.
func renumber(r *row, id int64) { r.fields[colID] = strconv.FormatInt(id, 10) }
