package e2e

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// This file computes what the service has to answer straight from clean CSV
// files and the words of the contract. It uses the standard library alone:
// sharing code with the builder would share its mistakes.

type catalogue struct {
	products []*product // by id
}

type product struct {
	id                                  int64
	name, slogan, description, category string
	price                               string
	features                            []feature
	styles                              []*style
	related                             []int64
}

type feature struct {
	id          int64
	name, value string
	null        bool
}

type style struct {
	id                   int64
	name                 string
	salePrice, fullPrice string // salePrice is "" where there is none
	flagged              bool
	photos               []photo
	skus                 []sku
}

type photo struct {
	id             int64
	url, thumbnail string
}

type sku struct {
	id, quantity int64
	size         string
}

// readCatalogue reads six clean files. Texts and nulls are told apart by their
// quotes, which encoding/csv drops: a bare null is read as the value that no
// quoted text of the sample has.
func readCatalogue(t *testing.T, dir string) *catalogue {
	t.Helper()
	products := make(map[int64]*product)
	styles := make(map[int64]*style)
	related := make(map[int64]map[int64]int64) // product, row, target

	eachRecord(t, filepath.Join(dir, "product.csv"), func(r []string) {
		p := &product{id: number(r[0]), name: r[1], slogan: r[2], description: r[3], category: r[4], price: r[5]}
		products[p.id] = p
		related[p.id] = make(map[int64]int64)
	})
	eachRecord(t, filepath.Join(dir, "features.csv"), func(r []string) {
		p := products[number(r[1])]
		p.features = append(p.features, feature{id: number(r[0]), name: r[2], value: r[3], null: r[3] == "null"})
	})
	eachRecord(t, filepath.Join(dir, "styles.csv"), func(r []string) {
		s := &style{id: number(r[0]), name: r[2], salePrice: r[3], fullPrice: r[4], flagged: r[5] == "1"}
		if s.salePrice == "null" {
			s.salePrice = ""
		}
		styles[s.id] = s
		p := products[number(r[1])]
		p.styles = append(p.styles, s)
	})
	eachRecord(t, filepath.Join(dir, "related.csv"), func(r []string) {
		related[number(r[1])][number(r[0])] = number(r[2])
	})
	eachRecord(t, filepath.Join(dir, "photos.csv"), func(r []string) {
		s := styles[number(r[1])]
		s.photos = append(s.photos, photo{id: number(r[0]), url: r[2], thumbnail: r[3]})
	})
	eachRecord(t, filepath.Join(dir, "skus.csv"), func(r []string) {
		s := styles[number(r[1])]
		s.skus = append(s.skus, sku{id: number(r[0]), size: r[2], quantity: number(r[3])})
	})

	c := &catalogue{}
	for _, p := range products {
		sort.Slice(p.features, func(i, j int) bool { return p.features[i].id < p.features[j].id })
		sort.Slice(p.styles, func(i, j int) bool { return p.styles[i].id < p.styles[j].id })
		for _, s := range p.styles {
			sort.Slice(s.photos, func(i, j int) bool { return s.photos[i].id < s.photos[j].id })
			sort.Slice(s.skus, func(i, j int) bool { return s.skus[i].id < s.skus[j].id })
		}
		var rows []int64
		for row := range related[p.id] {
			rows = append(rows, row)
		}
		sort.Slice(rows, func(i, j int) bool { return rows[i] < rows[j] })
		for _, row := range rows {
			p.related = append(p.related, related[p.id][row])
		}
		c.products = append(c.products, p)
	}
	sort.Slice(c.products, func(i, j int) bool { return c.products[i].id < c.products[j].id })
	return c
}

func eachRecord(t *testing.T, path string, each func([]string)) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := csv.NewReader(file)
	for n := 0; ; n++ {
		record, err := r.Read()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if n > 0 {
			each(record)
		}
	}
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// detail, styles and related are the three answers as encoding/json decodes
// them into an any, with numbers as json.Number.
func (p *product) detail(contract string) map[string]any {
	d := p.listed(contract)
	features := []any{}
	for _, f := range p.features {
		var value any = f.value
		if f.null {
			if value = nil; contract == "pulsar" {
				value = "null"
			}
		}
		features = append(features, map[string]any{"feature": f.name, "value": value})
	}
	d["features"] = features
	return d
}

func (p *product) listed(contract string) map[string]any {
	return map[string]any{
		"id": numeral(p.id), "name": p.name, "slogan": p.slogan, "description": p.description,
		"category": p.category, "default_price": price(p.price, contract),
	}
}

func (p *product) allStyles(contract string) map[string]any {
	results := []any{}
	flagged := false
	for _, s := range p.styles {
		flagged = flagged || s.flagged
	}
	for i, s := range p.styles {
		results = append(results, s.answer(contract, numeral(s.id), s.flagged || !flagged && i == 0))
	}
	if len(p.styles) == 0 {
		placeholder := style{fullPrice: p.price}
		results = append(results, placeholder.answer(contract, nil, true))
	}
	return map[string]any{"product_id": fmt.Sprint(p.id), "results": results}
}

func (p *product) relatedIDs() []any {
	ids := []any{}
	for _, id := range p.related {
		ids = append(ids, numeral(id))
	}
	return ids
}

func (s *style) answer(contract string, id any, isDefault bool) map[string]any {
	answer := map[string]any{"style_id": id, "name": s.name, "original_price": price(s.fullPrice, contract)}
	photos := []any{}
	for _, p := range s.photos {
		photos = append(photos, map[string]any{"url": p.url, "thumbnail_url": p.thumbnail})
	}
	if len(photos) == 0 {
		photos = append(photos, map[string]any{"url": nil, "thumbnail_url": nil})
	}
	answer["photos"] = photos

	skus := map[string]any{}
	if contract == "pulsar" {
		answer["default?"] = json.Number("0")
		if isDefault {
			answer["default?"] = json.Number("1")
		}
		answer["sale_price"] = "0"
		sums := map[string]int64{}
		for _, k := range s.skus {
			sums[k.size] += k.quantity
		}
		for size, sum := range sums {
			skus[size] = numeral(sum)
		}
		if len(s.skus) == 0 {
			skus["null"] = nil
		}
	} else {
		answer["default?"] = isDefault
		answer["sale_price"] = nil
		for _, k := range s.skus {
			skus[fmt.Sprint(k.id)] = map[string]any{"quantity": numeral(k.quantity), "size": k.size}
		}
		if len(s.skus) == 0 {
			skus["null"] = map[string]any{"quantity": nil, "size": nil}
		}
	}
	if s.salePrice != "" {
		answer["sale_price"] = price(s.salePrice, contract)
	}
	answer["skus"] = skus
	return answer
}

func numeral(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

// price shapes a price of the clean files: digits, perhaps with a point and
// one or two decimals.
func price(s, contract string) string {
	whole, cents, _ := strings.Cut(s, ".")
	cents = (cents + "00")[:2]
	if contract == "pulsar" && cents == "00" {
		return whole
	}
	return whole + "." + cents
}

// decode reads one response; numbers stay as they are written.
func decode(t *testing.T, body []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

// sizesOutOfOrder finds a skus object of a pulsar response whose keys are not
// in the order that shoppers are used to.
func sizesOutOfOrder(body []byte) string {
	var response struct {
		Results []struct {
			SKUs json.RawMessage `json:"skus"`
		} `json:"results"`
	}
	if err := json.Unmarshal(body, &response); err != nil {
		return err.Error()
	}
	for _, s := range response.Results {
		d := json.NewDecoder(bytes.NewReader(s.SKUs))
		_, _ = d.Token()
		last := ""
		for n := 0; d.More(); n++ {
			key, _ := d.Token()
			_, _ = d.Token()
			size, _ := key.(string)
			if n > 0 && !sizeBefore(last, size) {
				return string(s.SKUs)
			}
			last = size
		}
	}
	return ""
}

func sizeBefore(x, y string) bool {
	rank := func(s string) (int, float64) {
		for i, letter := range []string{"XS", "S", "M", "L", "XL", "XXL"} {
			if s == letter {
				return i, 0
			}
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && strings.Trim(s, "0123456789.") == "" {
			return 6, f
		}
		return 7, 0
	}
	xr, xn := rank(x)
	yr, yn := rank(y)
	switch {
	case xr != yr:
		return xr < yr
	case xn != yn:
		return xn < yn
	}
	return x < y
}
