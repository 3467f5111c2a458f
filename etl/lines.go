package etl

import (
	"bytes"
	"errors"
	"io"
)

const (
	// maxLine is the length in bytes above which a line is rejected, its end
	// not counted.
	maxLine = 1 << 20
	// firstBuffer is enough for a thousand lines of photos; the buffer grows
	// when a longer line comes.
	firstBuffer = 256 << 10
	// lastBuffer holds the longest line that is accepted, with its end.
	lastBuffer = maxLine + 64<<10
	// keptPrefix is how much of a line that is too long is kept for the reject
	// file.
	keptPrefix = 1 << 10
)

// lines reads a file line by line. A line ends at a line feed or at the end
// of the file and nowhere else, whatever quotes are open.
type lines struct {
	r        io.Reader
	buf      []byte
	from, to int // what is not handed out yet: buf[from:to]
	end      error

	// The line that next read. raw is the line without its line feed, body
	// also without carriage returns before that; both are valid until the next
	// call. size is the length of raw, more than len(raw) where the line was
	// too long, and only its first keptPrefix bytes are kept.
	number    int64 // from 1
	raw, body []byte
	size      int64
}

func newLines(r io.Reader) *lines {
	return &lines{r: r, buf: make([]byte, firstBuffer)}
}

// next reads the next line; io.EOF behind the last.
func (l *lines) next() error {
	seen := 0
	for {
		if i := bytes.IndexByte(l.buf[l.from+seen:l.to], '\n'); i >= 0 {
			l.take(seen+i, 1)
			return nil
		}
		seen = l.to - l.from
		if l.end != nil {
			if seen > 0 && errors.Is(l.end, io.EOF) {
				l.take(seen, 0)
				return nil
			}
			return l.end
		}
		if seen == lastBuffer {
			return l.skip()
		}
		l.fill()
	}
}

// take makes the next n bytes the current line, and passes over its end.
func (l *lines) take(n, end int) {
	l.number++
	l.raw = l.buf[l.from : l.from+n]
	l.from += n + end
	l.size = int64(n)
	l.body = l.raw
	for len(l.body) > 0 && l.body[len(l.body)-1] == '\r' {
		l.body = l.body[:len(l.body)-1]
	}
	if len(l.body) > maxLine {
		l.raw = l.raw[:keptPrefix]
		l.body = l.raw
	}
}

// tooLong says that the current line is over maxLine; raw is its beginning.
func (l *lines) tooLong() bool { return l.size > int64(len(l.raw)) }

// skip passes over a line that fills the whole buffer and has not ended.
func (l *lines) skip() error {
	prefix := [keptPrefix]byte(l.buf[l.from:])
	size := int64(l.to - l.from)
	for {
		l.from, l.to = 0, 0
		if l.end == nil {
			l.fill()
		}
		if i := bytes.IndexByte(l.buf[:l.to], '\n'); i >= 0 {
			size += int64(i)
			l.from = i + 1
			break
		}
		size += int64(l.to)
		if errors.Is(l.end, io.EOF) {
			l.from = l.to
			break
		}
		if l.end != nil {
			return l.end
		}
	}
	l.number++
	l.size = size
	l.raw = append([]byte(nil), prefix[:]...)
	l.body = l.raw
	return nil
}

// fill reads once, behind what is not handed out yet, and makes room for that
// where there is none.
func (l *lines) fill() {
	if l.to == len(l.buf) {
		if l.from == 0 {
			buf := make([]byte, min(4*len(l.buf), lastBuffer))
			copy(buf, l.buf[:l.to])
			l.buf = buf
		} else {
			l.to = copy(l.buf, l.buf[l.from:l.to])
			l.from = 0
		}
	}
	// As bufio: a reader that returns nothing at all too often is broken.
	for range 100 {
		n, err := l.r.Read(l.buf[l.to:])
		l.to += n
		l.end = err
		if n > 0 || err != nil {
			return
		}
	}
	l.end = io.ErrNoProgress
}
