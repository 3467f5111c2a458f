package etl

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A catalogue that the lines under test belong to: products 1 and 2, style 1 of
// product 1.
func parents() map[string]string {
	return map[string]string{
		"product.csv": "1,\"One\",\"s\",\"d\",\"c\",10\n2,\"Two\",\"s\",\"d\",\"c\",20\n",
		"styles.csv":  "1,1,\"Black\",null,10,1\n",
	}
}

const (
	https = `"https://a/b?c=1","https://a/b?c=2"`
	mega  = 1 << 20
)

// TestDefects has every row of the table of defects that the data sets have,
// in the table's order. Each case is a line behind a good catalogue; a good
// line comes before and behind it, to show that it costs no other line.
func TestDefects(t *testing.T) {
	long := func(n int) string {
		return `7,1,"https://` + strings.Repeat("x", n-len(`7,1,"https://","http://b"`)) + `","http://b"`
	}
	for _, c := range []struct {
		name string
		file string
		line string
		row  string // of the table; "" where the line is rejected
		kind string // "reason", or repairs and warnings in alphabetical order
	}{
		{"null", "features.csv", `7,1,"UV",null`, "7|1|UV|<null>", ""},
		{"quoted null", "features.csv", `7,1,"UV","null"`, "7|1|UV|<null>", "quoted_null"},
		{"quoted null with blanks", "features.csv", `7,1,"UV"," null "`, "7|1|UV|<null>", "blank_padding quoted_null"},
		{"no value", "features.csv", `7,1,"UV",`, "7|1|UV|<null>", ""},
		{"empty value", "features.csv", `7,1,"UV",""`, "7|1|UV|", ""},
		{"a value that begins with null", "features.csv", `7,1,"UV","nullable"`, "7|1|UV|nullable", ""},
		{"a feature named null", "features.csv", `7,1,null,"x"`, "7|1|null|x", ""},
		{"sale null", "styles.csv", `7,1,"Red",null,10,0`, "7|1|Red|<null>|1000c|false", ""},
		{"sale NULL", "styles.csv", `7,1,"Red",NULL,10,0`, "7|1|Red|<null>|1000c|false", ""},
		{"sale quoted null", "styles.csv", `7,1,"Red","null",10,0`, "7|1|Red|<null>|1000c|false", "quoted_null"},
		{"sale empty", "styles.csv", `7,1,"Red",,10,0`, "7|1|Red|<null>|1000c|false", ""},
		{"sale", "styles.csv", `7,1,"Red",9.5,10,0`, "7|1|Red|950c|1000c|false", ""},
		{"a text column null", "skus.csv", `7,1,null,3`, "7|1|null|3", ""},

		{"sale 0", "styles.csv", `7,1,"Red",0,10,0`, "7|1|Red|<null>|1000c|false", "zero_sale_price"},
		{"sale 0.00", "styles.csv", `7,1,"Red","0.00",10,0`, "7|1|Red|<null>|1000c|false", "zero_sale_price"},
		{"sale $0", "styles.csv", `7,1,"Red",$0,10,0`, "7|1|Red|<null>|1000c|false", "price_decoration zero_sale_price"},
		{"original 0", "styles.csv", `7,1,"Red",null,0,0`, "7|1|Red|<null>|0c|false", ""},

		{"unclosed at the end", "photos.csv", `7,1,"https://a","https://b`, "7|1|https://a|https://b", "unclosed_quote"},
		{"opened at the end", "photos.csv", `7,1,"https://a","`, "7|1|https://a|", "malformed_url unclosed_quote"},
		{"unclosed in the middle", "photos.csv", `7,1,"https://a,"https://b"`, "7|1|https://a|https://b", "unclosed_quote"},
		{"unclosed, then bare", "photos.csv", `7,1,"https://a,https://b`, "7|1|https://a|https://b", "unclosed_quote"},
		{"unclosed text with a comma", "styles.csv", `7,1,"Olive, dark,null,10,1`, "7|1|Olive, dark|<null>|1000c|true", "unclosed_quote"},
		{"unclosed, then bare null", "features.csv", `7,1,"UV,null`, "7|1|UV|<null>", "unclosed_quote"},
		{"unclosed at a CRLF", "photos.csv", "7,1,\"https://a\",\"https://b\r", "7|1|https://a|https://b", "crlf unclosed_quote"},

		{"stray quote", "photos.csv", `7,1,"https://a"b","https://b"`, "7|1|https://ab|https://b", "stray_quote"},
		{"stray quote doubled at the end", "photos.csv", `7,1,"https://a"","https://b"`, "7|1|https://a|https://b", "stray_quote"},
		{"stray quote at the very end", "photos.csv", `7,1,"https://a","https://b""`, "7|1|https://a|https://b", "stray_quote"},
		{"stray quote without an opening one", "photos.csv", `7,1,https://a","https://b"`, "7|1|https://a|https://b", "stray_quote"},
		{"stray quotes around words", "features.csv", `7,1,"A "B" C","x"`, "7|1|A B C|x", "stray_quote"},
		{"stray quote and a comma", "styles.csv", `7,1,"A "B", C",null,10,0`, "7|1|A B, C|<null>|1000c|false", "stray_quote"},
		{"backslash", "photos.csv", `7,1,"https:\/\/a","https://b\"`, "7|1|https://a|https://b", "stray_quote"},
		{"escaped quote", "features.csv", `7,1,"6\" pipe","x"`, `7|1|6" pipe|x`, "stray_quote"},
		{"escaped quote before a comma", "features.csv", `7,1,"6\", 8\"","x"`, `7|1|6", 8"|x`, "stray_quote"},
		{"doubled quote is none", "features.csv", `7,1,"6"" pipe","x"`, `7|1|6" pipe|x`, ""},
		{"doubled quotes around all", "features.csv", `7,1,"""UV""",""""`, `7|1|"UV"|"`, ""},
		{"stray quote at an id", "photos.csv", `7",1,` + https, "7|1|https://a/b?c=1|https://a/b?c=2", "stray_quote"},
		{"stray quote in an id", "photos.csv", `7"7,1,` + https, "", "bad_id"},
		{"stray backslash in a price", "styles.csv", `7,1,"Red",null,1\0,0`, "", "bad_price"},

		{"blanks behind commas", "photos.csv", `7, 1, "https://a",	"https://b" `, "7|1|https://a|https://b", "blank_padding"},
		{"blanks before commas", "styles.csv", `7 ,1 ,"Red" ,null, 10 ,0 `, "7|1|Red|<null>|1000c|false", "blank_padding price_decoration"},

		{"price with $", "styles.csv", `7,1,"Red","$9",$10,0`, "7|1|Red|900c|1000c|false", "price_decoration"},
		{"price with blanks", "product.csv", `7,"a","b","c","d"," 10 "`, "7|a|b|c|d|1000c", "price_decoration"},
		{"price with its name", "product.csv", `7,"a","b","c","d",default_price: 10`, "7|a|b|c|d|1000c", "price_decoration"},
		{"price with all", "product.csv", `7,"a","b","c","d","Default_Price: $ 1,040.50"`, "7|a|b|c|d|104050c", "price_decoration thousands_comma"},
		{"thousands comma", "product.csv", `7,"a","b","c","d","1,040.00"`, "7|a|b|c|d|104000c", "thousands_comma"},
		{"thousands commas", "product.csv", `7,"a","b","c","d","1,234,567"`, "7|a|b|c|d|123456700c", "thousands_comma"},
		{"140.00", "product.csv", `7,"a","b","c","d",140.00`, "7|a|b|c|d|14000c", ""},
		{"140,00", "product.csv", `7,"a","b","c","d","140,00"`, "", "ambiguous_price"},
		{"140.000", "product.csv", `7,"a","b","c","d",140.000`, "", "ambiguous_price"},
		{"1.040,00", "product.csv", `7,"a","b","c","d","1.040,00"`, "", "ambiguous_price"},

		{"default t", "styles.csv", `7,1,"Red",null,10,t`, "7|1|Red|<null>|1000c|true", ""},
		{"default false", "styles.csv", `7,1,"Red",null,10,"false"`, "7|1|Red|<null>|1000c|false", ""},
		{"default 2", "styles.csv", `7,1,"Red",null,10,2`, "", "bad_default_style"},
		{"default yes", "styles.csv", `7,1,"Red",null,10,yes`, "", "bad_default_style"},
		{"default missing", "styles.csv", `7,1,"Red",null,10,`, "", "bad_default_style"},

		{"id 0", "photos.csv", `0,1,` + https, "", "bad_id"},
		{"id negative", "photos.csv", `-7,1,` + https, "", "bad_id"},
		{"id with decimals", "photos.csv", `7.0,1,` + https, "", "bad_id"},
		{"id text", "photos.csv", `x,1,` + https, "", "bad_id"},
		{"id empty", "photos.csv", `,1,` + https, "", "bad_id"},
		{"id beyond 63 bits", "photos.csv", `9223372036854775808,1,` + https, "", "bad_id"},
		{"id of 63 bits", "photos.csv", `9223372036854775807,1,` + https, "9223372036854775807|1|https://a/b?c=1|https://a/b?c=2", ""},
		{"parent id null", "photos.csv", `7,null,` + https, "", "bad_id"},
		{"related id negative", "related.csv", `7,1,-2`, "", "bad_id"},

		{"missing column", "product.csv", `7,"a","b","c",10`, "", "missing_field"},
		{"missing value", "features.csv", `7,1,"UV"`, "7|1|UV|<null>", "missing_field"},
		{"missing product id", "features.csv", `7,"UV","x"`, "", "missing_field"},
		{"two missing", "features.csv", `7,1`, "", "missing_field"},
		{"missing sale price", "styles.csv", `7,1,"Red",10,1`, "7|1|Red|<null>|1000c|true", "missing_field"},
		{"missing default", "styles.csv", `7,1,"Red",null,10`, "", "missing_field"},
		{"missing a price, which", "styles.csv", `7,1,"Red",0,1`, "", "missing_field"},
		{"cut short", "features.csv", `7,1,"Len`, "", "missing_field"},
		{"missing comma", "photos.csv", `7,1,"https://a""https://b"`, "", "missing_field"},

		{"too many fields", "photos.csv", `7,1,"https://a","https://b",1`, "", "extra_field"},
		{"a bare comma in the one text", "styles.csv", `7,1,Olive, dark,null,10,1`, "7|1|Olive, dark|<null>|1000c|true", "extra_field"},
		{"two bare commas", "skus.csv", `7,1,S,M, L,4`, "7|1|S,M, L|4", "extra_field"},
		{"a bare comma, and the rest is wrong", "styles.csv", `7,1,Olive, dark,null,10,2`, "", "extra_field"},
		{"a bare comma in one of more texts", "product.csv", `7,a,b,b,c,d,10`, "", "extra_field"},
		{"a bare comma in a price", "styles.csv", `7,1,Red,null,1,040.00,1`, "", "extra_field"},
		{"a bare comma in a quantity", "skus.csv", `7,1,S,1,000`, "", "extra_field"},
		{"a bare comma behind quotes", "styles.csv", `7,1,"Olive", dark,null,10,1`, "", "extra_field"},
		{"very many fields", "styles.csv", `7,1` + strings.Repeat(",x", 1000) + `,null,10,1`, "", "extra_field"},

		{"related 0", "related.csv", `7,1,0`, "", "dangling_related"},
		{"related to none", "related.csv", `7,1,3`, "", "dangling_related"},
		{"related to itself", "related.csv", `7,1,1`, "7|1|1", ""},

		{"orphan feature", "features.csv", `7,3,"a","b"`, "", "orphan"},
		{"orphan style", "styles.csv", `7,3,"Red",null,10,0`, "", "orphan"},
		{"orphan related", "related.csv", `7,3,1`, "", "orphan"},
		{"orphan photo", "photos.csv", `7,2,` + https, "", "orphan"},
		{"orphan SKU", "skus.csv", `7,4294967297,"S",1`, "", "orphan"},

		{"duplicate", "photos.csv", `5,1,` + https, "", "duplicate_id"},
		{"duplicate and orphan", "photos.csv", `5,9,` + https, "", "duplicate_id"},

		{"quantity text", "skus.csv", `7,1,"S",many`, "", "bad_quantity"},
		{"quantity negative", "skus.csv", `7,1,"S",-1`, "", "bad_quantity"},
		{"quantity decimal", "skus.csv", `7,1,"S",1.5`, "", "bad_quantity"},
		{"quantity empty", "skus.csv", `7,1,"S",`, "", "bad_quantity"},
		{"quantity beyond int4", "skus.csv", `7,1,"S",2147483648`, "", "bad_quantity"},
		{"quantity of int4", "skus.csv", `7,1,"7.5",2147483647`, "7|1|7.5|2147483647", ""},
		{"price text", "styles.csv", `7,1,"Red",null,free,0`, "", "bad_price"},
		{"price negative", "styles.csv", `7,1,"Red",-1,10,0`, "", "bad_price"},
		{"price empty", "product.csv", `7,"a","b","c","d",`, "", "bad_price"},
		{"price null", "product.csv", `7,"a","b","c","d",null`, "", "bad_price"},
		{"price too large", "product.csv", `7,"a","b","c","d",10000000000`, "", "bad_price"},
		{"largest price", "product.csv", `7,"a","b","c","d",9999999999.99`, "7|a|b|c|d|999999999999c", ""},

		{"blanks around text", "product.csv", `7," a","b ","c	","d",1`, "7|a|b|c|d|100c", "blank_padding"},
		{"blanks around a URL", "photos.csv", `7,1," https://a ","https://b"`, "7|1|https://a|https://b", "blank_padding"},
		{"blanks in text", "product.csv", `7,"a  a","b","c","d",1`, "7|a  a|b|c|d|100c", ""},

		{"malformed URL", "photos.csv", `7,1,"uhttps://a","ftp://b"`, "7|1|uhttps://a|ftp://b", "malformed_url"},

		{"invalid UTF-8", "product.csv", "7,\"a\xff\",\"b\",\"c\",\"d\",1", "", "invalid_utf8"},
		{"valid UTF-8", "product.csv", "7,\"aé漢\",\"b\",\"c\",\"d\",1", "7|aé漢|b|c|d|100c", ""},
		{"NUL", "product.csv", "7,\"a\x00\",\"b\",\"c\",\"d\",1", "", "nul_byte"},
		{"over 1 MiB", "photos.csv", long(mega + 1), "", "line_too_long"},
		{"far over 1 MiB", "photos.csv", long(3 * mega), "", "line_too_long"},
		{"over 1 MiB and bad", "photos.csv", strings.Repeat("\x00", mega+1), "", "line_too_long"},
		{"1 MiB", "photos.csv", long(mega), "7|1|https://" + strings.Repeat("x", mega-len(`7,1,"https://","http://b"`)) + "|http://b", ""},

		{"CRLF", "photos.csv", "7,1," + https + "\r", "7|1|https://a/b?c=1|https://a/b?c=2", "crlf"},
		{"CR CR LF", "skus.csv", "7,1,\"S\",3\r\r", "7|1|S|3", "crlf"},
		{"empty line", "photos.csv", "", "", "empty_line"},
		{"blank line", "photos.csv", " \t ", "", "empty_line"},
		{"empty CRLF line", "photos.csv", "\r", "", "crlf empty_line"},

		{"the first reason counts", "skus.csv", "x,9,\"S\",-1", "", "bad_id"},
		{"the number of fields before an id", "skus.csv", "x,9", "", "missing_field"},
		{"a rejected line needs no repair", "skus.csv", "7,9, \"S\",1\r", "", "orphan"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := parents()
			if c.file != "product.csv" && c.file != "styles.csv" {
				files[c.file] = ""
			}
			before, after := goodLines(c.file)
			files[c.file] += before + "\n" + c.line + "\n" + after
			clean := maps.Clone(files)
			clean[c.file] = parents()[c.file] + before + "\n" + after

			want, got := loadInto(t, writeFiles(t, clean), nil), loadInto(t, writeFiles(t, files), nil)
			if want.err != nil || got.err != nil {
				t.Fatal(want.err, got.err)
			}
			table := tableOf(c.file)
			expected := append([]string(nil), want.rows[table.name]...)
			f := got.report.Files[c.file]
			isEmpty := strings.Contains(c.kind, "empty_line")
			switch {
			case c.row != "":
				last := len(expected) - 1
				expected = append(expected[:last:last], c.row, expected[last])
				compareKinds(t, c.kind, f)
			case isEmpty:
				compareKinds(t, c.kind, f)
			default:
				if diff := cmp.Diff(map[string]int64{c.kind: 1}, f.Rejects); diff != "" {
					t.Errorf("rejects (-want +got):\n%s", diff)
				}
				if len(f.Repairs)+len(f.Warnings) > 0 {
					t.Errorf("a rejected line was counted as repaired: %v %v", f.Repairs, f.Warnings)
				}
				compareReject(t, got, c.file, c.kind, c.line)
			}
			if diff := cmp.Diff(expected, got.rows[table.name]); diff != "" {
				t.Errorf("rows (-want +got):\n%.2000s", diff)
			}
			lines := want.report.Files[c.file].LinesRead
			if !isEmpty {
				lines++
			}
			if f.LinesRead != lines || f.Loaded != int64(len(expected)) {
				t.Errorf("%d lines read and %d loaded, want %d and %d", f.LinesRead, f.Loaded, lines, len(expected))
			}
		})
	}
}

// goodLines are the lines around the line under test.
func goodLines(file string) (before, after string) {
	switch file {
	case "product.csv":
		return `5,"Five","s","d","c",50`, `6,"Six","s","d","c",60`
	case "features.csv":
		return `5,1,"Fabric","Canvas"`, `6,1,"Cut","Loose"`
	case "styles.csv":
		return `5,1,"Grey",null,10,0`, `6,1,"White",5,10,0`
	case "related.csv":
		return `5,1,2`, `6,2,1`
	case "photos.csv":
		return `5,1,"https://5","https://5"`, `6,1,"https://6","https://6"`
	}
	return `5,1,"S",5`, `6,1,"M",6`
}

func tableOf(file string) *table {
	for _, t := range catalogue() {
		if t.file == file {
			return t
		}
	}
	return nil
}

func compareKinds(t *testing.T, want string, f *FileReport) {
	t.Helper()
	kinds := map[string]int64{}
	maps.Copy(kinds, f.Repairs)
	maps.Copy(kinds, f.Warnings)
	expected := map[string]int64{}
	for _, kind := range strings.Fields(want) {
		expected[kind] = 1
	}
	if diff := cmp.Diff(expected, kinds); diff != "" {
		t.Errorf("repairs and warnings (-want +got):\n%s", diff)
	}
	if f.Rejected != 0 {
		t.Errorf("rejected: %v", f.Rejects)
	}
}

func compareReject(t *testing.T, got result, file, reason, line string) {
	t.Helper()
	if len(got.rejects) != 1 {
		t.Fatalf("%d lines in the reject file, want 1", len(got.rejects))
	}
	number := 3 + strings.Count(parents()[file], "\n")
	if reason == "line_too_long" {
		line = fmt.Sprintf("%s[truncated: %d bytes]", line[:1024], len(line))
	}
	// encoding/csv takes a carriage return before a line feed for a line end,
	// so what it makes of one inside quotes is not looked at here.
	want := []string{file, fmt.Sprint(number), reason, line}
	if diff := cmp.Diff(want, got.rejects[0]); diff != "" {
		t.Errorf("reject file (-want +got):\n%.2000s", diff)
	}
}
