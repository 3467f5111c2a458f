package etl

import "bytes"

// maxFields is where counting the fields of a line stops. A line with more is
// beyond repair, and going on would cost memory.
const maxFields = 32

// field is one field of a line. text is without the quotes around it, and with
// doubled quotes as one; it aliases the line or the splitter's scratch.
type field struct {
	text     []byte
	from, to int  // where the field is on the line, with quotes and blanks
	quoted   bool // text was in quotes
	stray    bool // quotes or backslashes were dropped
}

// splitter cuts lines into the fields that a table has columns. Its fields are
// valid until the next split.
type splitter struct {
	want    int
	n       int // fields found, at most maxFields
	fields  [maxFields]field
	fixes   fixes
	scratch []byte
}

func newSplitter(want int) *splitter { return &splitter{want: want} }

// split cuts a line. It returns reasonMissingField or reasonExtraField where
// no reading of the line gives the fields wanted; the fields are then those of
// the most literal reading.
//
// A line that is CSV by the book is taken as it is, except that backslashes,
// which the data does not use, are dropped. Any other line goes through a list
// of readings, and the first that gives the fields wanted holds.
func (s *splitter) split(line []byte) reason {
	escaped := bytes.IndexByte(line, '\\') >= 0
	switch {
	case !escaped && s.plain(line):
		return reasonNone
	case s.strict(line):
		if escaped {
			s.dropBackslashes()
		}
	default:
		for _, how := range [...]reading{{}, {literal: true}, {reopens: true}} {
			if s.lenient(line, how); s.n == s.want {
				return reasonNone
			}
		}
		s.lenient(line, reading{})
		if s.fixes&fixUnclosedQuote != 0 {
			// The open quote has swallowed what follows it, which says nothing
			// of how many fields there are.
			s.lenient(line, reading{bare: true})
		}
	}
	switch {
	case s.n < s.want:
		return reasonMissingField
	case s.n > s.want:
		return reasonExtraField
	}
	return reasonNone
}

func (s *splitter) reset() {
	s.n, s.fixes, s.scratch = 0, 0, s.scratch[:0]
}

func (s *splitter) push(f field) {
	if s.n < maxFields {
		s.fields[s.n] = f
		s.n++
	}
}

// plain takes a line with the fields wanted and without any quote inside a
// field, which nearly every line is. It looks at backslashes no more than at
// other bytes.
func (s *splitter) plain(line []byte) bool {
	s.reset()
	for at := 0; ; {
		if s.n == s.want {
			return false
		}
		f := &s.fields[s.n]
		f.from, f.stray = at, false
		if at < len(line) && line[at] == '"' {
			end := bytes.IndexByte(line[at+1:], '"')
			if end < 0 {
				return false
			}
			f.text, f.quoted = line[at+1:at+1+end], true
			at += end + 2
		} else {
			start := at
			for at < len(line) && line[at] != ',' {
				if line[at] == '"' {
					return false
				}
				at++
			}
			f.text, f.quoted = line[start:at], false
		}
		f.to = at
		s.n++
		if at == len(line) {
			return s.n == s.want
		}
		if line[at] != ',' {
			return false
		}
		at++
	}
}

// strict takes a line that is CSV by the book (RFC 4180, without line breaks in
// a field), but for blanks around a field in quotes. It returns false where
// the line is not.
func (s *splitter) strict(line []byte) bool {
	s.reset()
	for at := 0; ; at++ {
		f := field{from: at}
		if open := skipBlanks(line, at); open < len(line) && line[open] == '"' {
			from := len(s.scratch)
			f.quoted = true
			for at = open + 1; ; at += 2 {
				n := bytes.IndexByte(line[at:], '"')
				if n < 0 {
					return false
				}
				s.scratch = append(s.scratch, line[at:at+n]...)
				if at += n; at+1 == len(line) || line[at+1] != '"' {
					break
				}
				s.scratch = append(s.scratch, '"')
			}
			f.text = s.scratch[from:len(s.scratch):len(s.scratch)]
			closed := at + 1
			at = skipBlanks(line, closed)
			if open > f.from || at > closed {
				s.fixes |= fixPadding
			}
			if at < len(line) && line[at] != ',' {
				return false
			}
		} else {
			if n := bytes.IndexByte(line[at:], ','); n >= 0 {
				at += n
			} else {
				at = len(line)
			}
			f.text = line[f.from:at]
			if bytes.IndexByte(f.text, '"') >= 0 {
				return false
			}
		}
		f.to = at
		s.push(f)
		if at == len(line) {
			return true
		}
	}
}

func (s *splitter) dropBackslashes() {
	for i := range s.fields[:s.n] {
		f := &s.fields[i]
		if bytes.IndexByte(f.text, '\\') < 0 {
			continue
		}
		from := len(s.scratch)
		for _, ch := range f.text {
			if ch != '\\' {
				s.scratch = append(s.scratch, ch)
			}
		}
		f.text, f.stray = s.scratch[from:len(s.scratch):len(s.scratch)], true
		s.fixes |= fixStrayQuote
	}
}

// reading says how a line that is not CSV by the book is understood. In each
// of them a quote closes its field where a comma or the line's end follows,
// any other single quote inside a field is a stray one and dropped, \" is a
// quote, other backslashes are dropped, and the line's end closes what is open.
type reading struct {
	literal bool // \" and "" are a quote also before a comma or the line's end, where they close the field otherwise
	reopens bool // a quote behind a comma opens the next field: the field before was never closed
	bare    bool // a quote that never closes was none: the field ends at the next comma
}

// lenient cuts any line into at least one field.
func (s *splitter) lenient(line []byte, how reading) {
	s.reset()
	for at := 0; s.n < maxFields; at++ {
		open := skipBlanks(line, at)
		if open < len(line) && line[open] == '"' {
			if open > at {
				s.fixes |= fixPadding
			}
			at = s.quoted(line, at, open+1, how)
		} else {
			at = s.unquoted(line, at, at)
		}
		if at >= len(line) {
			return
		}
	}
}

// unquoted takes a field that begins at from and whose text begins at start,
// and returns where it ends: at a comma or the end of the line.
func (s *splitter) unquoted(line []byte, from, start int) int {
	f := field{from: from}
	first := len(s.scratch)
	at := start
	for ; at < len(line) && line[at] != ','; at++ {
		if line[at] == '"' || line[at] == '\\' {
			f.stray = true
			s.fixes |= fixStrayQuote
			continue
		}
		s.scratch = append(s.scratch, line[at])
	}
	f.text, f.to = s.scratch[first:len(s.scratch):len(s.scratch)], at
	s.push(f)
	return at
}

// quoted takes a field that begins at from and whose text begins at start,
// behind the quote, and returns where it ends.
func (s *splitter) quoted(line []byte, from, start int, how reading) int {
	f := field{from: from, quoted: true}
	first, before := len(s.scratch), s.fixes
	end := -1
	at := start
	for end < 0 && at < len(line) {
		ch := line[at]
		if ch != '"' && ch != '\\' {
			s.scratch = append(s.scratch, ch)
			at++
			continue
		}
		if ch == '\\' {
			f.stray = true
			at++
			if at < len(line) && line[at] == '"' && (how.literal || !endsField(line, at+1)) {
				s.scratch = append(s.scratch, '"')
				at++
			}
			continue
		}
		run := at + 1
		for run < len(line) && line[run] == '"' {
			run++
		}
		quotes := run - at
		switch {
		case endsField(line, run) && (quotes%2 == 1 || !how.literal):
			// The last one closes.
			f.stray = f.stray || quotes%2 == 0
			quotes = (quotes - 1) / 2
			end = skipBlanks(line, run)
			if end > run {
				s.fixes |= fixPadding
			}
		case how.reopens && quotes == 1 && behindComma(line, start, at) >= 0:
			end = behindComma(line, start, at)
			s.scratch = s.scratch[:len(s.scratch)-(at-end)]
			s.fixes |= fixUnclosedQuote
			quotes = 0
		default:
			f.stray = f.stray || quotes%2 == 1
			quotes /= 2
		}
		for range quotes {
			s.scratch = append(s.scratch, '"')
		}
		at = run
	}
	if end < 0 {
		if how.bare {
			s.scratch, s.fixes = s.scratch[:first], before|fixUnclosedQuote
			return s.unquoted(line, from, start)
		}
		end = len(line)
		s.fixes |= fixUnclosedQuote
	}
	if f.stray {
		s.fixes |= fixStrayQuote
	}
	f.text, f.to = s.scratch[first:len(s.scratch):len(s.scratch)], end
	s.push(f)
	return end
}

// endsField says whether nothing but blanks comes before the next comma or the
// end of the line.
func endsField(line []byte, at int) bool {
	at = skipBlanks(line, at)
	return at == len(line) || line[at] == ','
}

// behindComma returns where the comma is before a quote at, with nothing but
// blanks between them; -1 where there is none behind start.
func behindComma(line []byte, start, at int) int {
	for at--; at >= start && isBlank(line[at]); at-- {
	}
	if at >= start && line[at] == ',' {
		return at
	}
	return -1
}

// isBlank: blanks are spaces and tabs. Other white space is text.
func isBlank(ch byte) bool { return ch == ' ' || ch == '\t' }

func skipBlanks(line []byte, at int) int {
	for at < len(line) && isBlank(line[at]) {
		at++
	}
	return at
}

// trimBlanks returns text without the blanks around it.
func trimBlanks(text []byte) []byte {
	for len(text) > 0 && isBlank(text[0]) {
		text = text[1:]
	}
	for len(text) > 0 && isBlank(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}
