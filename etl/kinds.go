package etl

import "math/bits"

// reason says why a line was rejected. Where several hold, the first that is
// found counts: the line as a whole, the number of fields, the columns from
// left to right, a duplicate id, and at last a row that is missing elsewhere.
type reason uint8

const (
	reasonNone             reason = iota
	reasonLineTooLong             // over 1 MiB, without the line's end
	reasonNUL                     // a NUL byte, which Postgres can't store
	reasonUTF8                    // not valid UTF-8
	reasonMissingField            // fewer fields than the header, and none that can be told for certain
	reasonExtraField              // more fields than the header, and no single way to join them
	reasonID                      // an id that is no positive integer of 63 bits
	reasonPrice                   // no number, negative, above 9999999999.99, or empty
	reasonAmbiguousPrice          // a decimal comma, or more than two decimals
	reasonDefaultStyle            // other than 0/1, true/false, t/f
	reasonQuantity                // no number, negative, above 2147483647
	reasonDuplicate               // the id of a row that was accepted before, in the same file
	reasonOrphan                  // the product or style does not exist
	reasonOrphanOfRejected        // the product or style was rejected
	reasonDangling                // the related product is 0, does not exist, or was rejected
	reasons
)

func (r reason) String() string {
	return [reasons]string{"", "line_too_long", "nul_byte", "invalid_utf8", "missing_field", "extra_field", "bad_id",
		"bad_price", "ambiguous_price", "bad_default_style", "bad_quantity", "duplicate_id", "orphan",
		"orphan_of_rejected", "dangling_related"}[r]
}

// fixes is a set of repairs and warnings: what a line needed, each counted
// once however often it occurs on the line.
type fixes uint16

const (
	fixQuotedNull    fixes = 1 << iota // "null" in quotes for no value
	fixZeroSale                        // a sale price of 0 for no sale
	fixUnclosedQuote                   // a quote that opens and never closes
	fixStrayQuote                      // a quote or backslash that does not belong there
	fixHeader                          // a header that had to be understood
	fixPadding                         // blanks around a field or a text
	fixDecoration                      // $, blanks or a column's name around a price
	fixThousands                       // thousands commas in a price
	fixCRLF                            // a line that ends in CRLF
	fixBOM                             // a byte-order mark before the header
	fixEmptyLine                       // an empty line, which is no data line
	fixMissingField                    // a missing field that could be told
	fixExtraField                      // an unquoted comma that could be told
	warnURL                            // a URL that is none, kept as it is
	fixKinds         = iota
	firstWarning     = fixKinds - 1
)

// fixIndex is the place of one repair in an account.
func fixIndex(f fixes) int { return bits.TrailingZeros16(uint16(f)) }

func fixName(i int) string {
	return [fixKinds]string{"quoted_null", "zero_sale_price", "unclosed_quote", "stray_quote", "header", "blank_padding",
		"price_decoration", "thousands_comma", "crlf", "bom", "empty_line", "missing_field", "extra_field",
		"malformed_url"}[i]
}
