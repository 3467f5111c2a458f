package etl

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"
)

// texts are the fields that were found, each in brackets.
func texts(s *splitter) string {
	var b strings.Builder
	for _, f := range s.fields[:s.n] {
		b.WriteString("[" + string(f.text) + "]")
	}
	return b.String()
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		line string
		want int
		got  string
		why  reason
		fix  fixes
	}{
		{`a`, 1, `[a]`, 0, 0},
		{`""`, 1, `[]`, 0, 0},
		{`,`, 2, `[][]`, 0, 0},
		{`"",""`, 2, `[][]`, 0, 0},
		{`a,"b,c",d`, 3, `[a][b,c][d]`, 0, 0},
		{`"a""b","""",""""""`, 3, `[a"b]["][""]`, 0, 0},
		{`a, b ,c`, 3, `[a][ b ][c]`, 0, 0}, // blanks without quotes are the columns' affair
		{`a, "b" ,"c"`, 3, `[a][b][c]`, 0, fixPadding},
		{`"a","b`, 2, `[a][b]`, 0, fixUnclosedQuote},
		{`"a","`, 2, `[a][]`, 0, fixUnclosedQuote},
		{`"a","b""`, 2, `[a][b]`, 0, fixStrayQuote},
		{`"a,"b"`, 2, `[a][b]`, 0, fixUnclosedQuote},
		{`"a, "b"`, 2, `[a][b]`, 0, fixUnclosedQuote | fixPadding},
		{`"a,b`, 2, `[a][b]`, 0, fixUnclosedQuote},
		{`"a,"b","c`, 3, `[a][b][c]`, 0, fixUnclosedQuote},
		{`"a"","b"`, 2, `[a][b]`, 0, fixStrayQuote},
		{`"a"b"c","d"`, 2, `[abc][d]`, 0, fixStrayQuote},
		{`""a"","b"`, 2, `[a][b]`, 0, fixStrayQuote},
		{`a"b,c`, 2, `[ab][c]`, 0, fixStrayQuote},
		{`"a\"b","c"`, 2, `[a"b][c]`, 0, fixStrayQuote},
		{`"a\",b","c"`, 2, `[a",b][c]`, 0, fixStrayQuote},
		{`"a\","b"`, 2, `[a][b]`, 0, fixStrayQuote},
		{`"a\\b\",c`, 2, `[ab][c]`, 0, fixStrayQuote},
		{`a\b,\`, 2, `[ab][]`, 0, fixStrayQuote},
		{`"6"", 8""","x"y"`, 2, `[6", 8"][xy]`, 0, fixStrayQuote},
		{`"6"", 8"","x"y"`, 2, `[6][ 8][xy]`, reasonExtraField, fixStrayQuote},
		{`"a""b"`, 2, `[a"b]`, reasonMissingField, 0},
		{`"a","b"`, 3, `[a][b]`, reasonMissingField, 0},
		{`"a","b"`, 1, `[a][b]`, reasonExtraField, 0},
		{``, 2, `[]`, reasonMissingField, 0},
	} {
		s := newSplitter(c.want)
		why := s.split([]byte(c.line))
		if why != c.why {
			t.Errorf("%s: %q %s, want %q", c.line, why, texts(s), c.why)
			continue
		}
		if got := texts(s); got != c.got || s.fixes != c.fix {
			t.Errorf("%s: %s with fixes %b, want %s with %b", c.line, got, s.fixes, c.got, c.fix)
		}
	}
}

// FuzzSplit holds the splitter against encoding/csv: a line that is CSV by the
// book is cut into the same fields. On any line, well-formed or not, it must not
// panic, and its fields must come from the line in order.
func FuzzSplit(f *testing.F) {
	f.Add("a", "b", "c", `1,"a","b`)
	f.Add("", `"`, `a""b`, `1, "a" ,b"`)
	f.Add(" a ", "a,b", "é漢", `"a\",b","c"`)
	f.Add("7.5", `\`, "\t", `"a,"b","c`)
	f.Add("'", `","`, `"",`, strings.Repeat(`"a,`, 40))
	f.Fuzz(func(t *testing.T, a, b, c, line string) {
		fields := []string{a, b, c}
		for i := range fields {
			// A field has no line breaks, and backslashes are a repair.
			fields[i] = strings.NewReplacer("\n", "", "\r", "", "\\", "").Replace(fields[i])
		}
		var text bytes.Buffer
		w := csv.NewWriter(&text)
		if err := w.Write(fields); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		agree(t, strings.TrimSuffix(text.String(), "\n"), 3)

		line = strings.NewReplacer("\n", "", "\r", "").Replace(line)
		for want := 1; want <= maxColumns; want++ {
			agree(t, line, want)
		}
	})
}

// agree compares the splitter and encoding/csv on a line, where the latter
// takes it.
func agree(t *testing.T, line string, want int) {
	t.Helper()
	s := newSplitter(want)
	why := s.split([]byte(line))
	if (why == reasonNone) != (s.n == want) || s.n < 1 || s.n > maxFields {
		t.Fatalf("%q: %q with %d fields of %d", line, why, s.n, want)
	}
	at := 0
	for _, field := range s.fields[:s.n] {
		if field.from < at || field.to < field.from || field.to > len(line) || len(field.text) > field.to-field.from {
			t.Fatalf("%q: a field from %d to %d behind %d, with the text %q", line, field.from, field.to, at, field.text)
		}
		at = field.to
	}
	if line == "" || strings.Contains(line, `\`) {
		return // no record for encoding/csv; a repair for us
	}
	r := csv.NewReader(strings.NewReader(line))
	record, err := r.Read()
	if err != nil || len(record) > maxFields {
		return
	}
	var got []string
	for _, field := range s.fields[:s.n] {
		got = append(got, string(field.text))
	}
	if !slices.Equal(got, record) || s.fixes != 0 {
		t.Fatalf("%q: got %q with fixes %b, encoding/csv has %q", line, got, s.fixes, record)
	}
}

// TestSplitShortLines goes through every line of up to seven bytes that are
// text, commas, quotes and blanks.
func TestSplitShortLines(t *testing.T) {
	const alphabet = `a," `
	var walk func(line []byte)
	walk = func(line []byte) {
		for _, want := range []int{1, 3} {
			agree(t, string(line), want)
		}
		if len(line) == 7 {
			return
		}
		for i := range len(alphabet) {
			walk(append(line, alphabet[i]))
		}
	}
	walk(nil)
}
