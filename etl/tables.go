package etl

import "strings"

// kind is what a column's text has to be, and how it is cleaned.
type kind uint8

const (
	kindID       kind = iota // the row's own id: a positive integer
	kindParent               // the id of the product or style that the row belongs to
	kindTarget               // the id of a related product
	kindText                 // any text
	kindURL                  // a text that should be a URL
	kindValue                // a text, or NULL
	kindPrice                // an amount
	kindSale                 // an amount, or NULL
	kindBool                 // 0/1, true/false, t/f
	kindQuantity             // 0 to 2147483647
)

// column is one column of a file: its name in the header, other names that are
// understood (as normalName has them), and its kind.
type column struct {
	name    string
	aliases string
	kind    kind
}

// table is one of the six. Its columns are in the file's order, which is the
// order of the database's table too.
type table struct {
	name    string
	file    string
	columns []column
	// free is the only column of text between typed ones, where an unquoted
	// comma can be told; -1 where there is none.
	free int
}

// maxColumns is the number of columns of the widest table.
const maxColumns = 6

// catalogue lists the six tables, in the order in which they are reported.
func catalogue() []*table {
	id := func(alias string) column { return column{"id", alias, kindID} }
	style := column{"styleId", "styleid", kindParent}
	return []*table{
		{"products", "product.csv", []column{id("productid"), {"name", "", kindText}, {"slogan", "", kindText},
			{"description", "", kindText}, {"category", "", kindText}, {"default_price", "", kindPrice}}, -1},
		{"features", "features.csv", []column{id("featureid"), {"product_id", "", kindParent}, {"feature", "", kindText},
			{"value", "", kindValue}}, -1},
		{"styles", "styles.csv", []column{id("styleid"), {"productId", "", kindParent}, {"name", "", kindText},
			{"sale_price", "", kindSale}, {"original_price", "", kindPrice}, {"default_style", "default?", kindBool}}, 2},
		{"related", "related.csv", []column{id(""), {"current_product_id", "productid", kindParent},
			{"related_product_id", "relatedid", kindTarget}}, -1},
		{"photos", "photos.csv", []column{id("photoid"), style, {"url", "", kindURL}, {"thumbnail_url", "", kindURL}}, -1},
		{"skus", "skus.csv", []column{id("skuid"), style, {"size", "", kindText}, {"quantity", "", kindQuantity}}, 2},
	}
}

// header is the first line of the file as it should be.
func (t *table) header() string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return strings.Join(names, ",")
}

// layout says where a file has the table's columns: at[c] is the place of
// column c on a line.
type layout struct {
	at [maxColumns]int
	// usual says that the columns are in the table's own order.
	usual bool
}

// readHeader finds the table's columns in a header line. exact is false where
// the header had to be understood: blanks, other case, other names, another
// order. It is not known where a column is missing, doubled or foreign.
func (t *table) readHeader(line []byte) (at layout, exact, known bool) {
	s := newSplitter(len(t.columns))
	if s.split(line) != reasonNone || s.n != len(t.columns) {
		return layout{}, false, false
	}
	at.usual, exact = true, s.fixes == 0
	var taken [maxColumns]bool
	for i, f := range s.fields[:s.n] {
		c := t.find(string(f.text))
		if c < 0 || taken[c] {
			return layout{}, false, false
		}
		taken[c] = true
		at.at[c] = i
		at.usual = at.usual && c == i
		exact = exact && string(f.text) == t.columns[i].name
	}
	return at, exact, true
}

// find returns the column that a header names, -1 for none.
func (t *table) find(name string) int {
	name = normalName(name)
	for i, c := range t.columns {
		if name == normalName(c.name) || c.aliases != "" && name == c.aliases {
			return i
		}
	}
	return -1
}

// normalName reduces a column's name to what tells it apart: letters in lower
// case, without blanks, underscores and hyphens.
func normalName(name string) string {
	return strings.NewReplacer(" ", "", "\t", "", "_", "", "-", "").Replace(strings.ToLower(name))
}
