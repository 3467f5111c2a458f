package sample

import (
	"strconv"
	"strings"
)

// row is one line of a clean file, taken apart into its fields as they are
// written, quotes included.
type row struct {
	fields []string
	end    string
}

// The columns that defects are planted in.
const (
	colID           = 0
	colParent       = 1 // of every file but products
	colText         = 2 // the first text: description, feature, name, url, size
	colDefaultPrice = 5
	colValue        = 3
	colSale         = 3
	colOriginal     = 4
	colDefaultStyle = 5
	colTarget       = 2
	colThumbnail    = 3
	colQuantity     = 3
)

// parseRow takes a clean line with its LF.
func parseRow(line []byte) row {
	s := strings.TrimSuffix(string(line), "\n")
	r := row{fields: make([]string, 0, 8), end: "\n"}
	quoted, from := false, 0
	for i := range len(s) {
		switch s[i] {
		case '"':
			quoted = !quoted
		case ',':
			if !quoted {
				r.fields = append(r.fields, s[from:i])
				from = i + 1
			}
		}
	}
	r.fields = append(r.fields, s[from:])
	return r
}

func (r *row) append(b []byte) []byte {
	for i, field := range r.fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, field...)
	}
	return append(b, r.end...)
}

func (r *row) last() int { return len(r.fields) - 1 }

func (r *row) set(i int, field string) bool {
	r.fields[i] = field
	return true
}

func (r *row) drop(i int) bool {
	r.fields = append(r.fields[:i], r.fields[i+1:]...)
	return true
}

func (r *row) insert(i int, field string) bool {
	rest := append([]string{field}, r.fields[i:]...)
	r.fields = append(r.fields[:i], rest...)
	return true
}

// inner is the text of a quoted field; ok is false for a bare one.
func (r *row) inner(i int) (text string, ok bool) {
	f := r.fields[i]
	if len(f) < 2 || f[0] != '"' || f[len(f)-1] != '"' {
		return "", false
	}
	return f[1 : len(f)-1], true
}

func quote(text string) string { return `"` + text + `"` }

// craft is what a defect may draw on beside the row.
type craft struct {
	rng
	file  int
	total rowCounts
	twin  string // the id of an earlier row, or empty
}

// absent is an id that no row has: all ids are dense from 1, extra rows
// included.
func (c *craft) absent() string {
	return strconv.FormatInt(c.total[c.file]+c.total[products]+1_000_000_000+int64(c.below(1_000_000)), 10)
}

// text chooses one of the quoted texts that r has.
func (c *craft) text(r *row) (column int, inner string, ok bool) {
	first := c.below(len(r.fields))
	for i := range r.fields {
		column = (first + i) % len(r.fields)
		if inner, ok = r.inner(column); ok && !isPrice(c.file, column) {
			return column, inner, true
		}
	}
	return 0, "", false
}
