package etl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLines(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name string
		text string
		want []string // raw, or its length behind a + where it is too long
	}{
		{"empty", "", nil},
		{"one", "a", []string{"a"}},
		{"one with its end", "a\n", []string{"a"}},
		{"empty lines", "\n\na\n\n", []string{"", "", "a", ""}},
		{"carriage returns", "a\r\nb\rc\n\r\r\n", []string{"a\r", "b\rc", "\r\r"}},
		{"open quotes", "\"a\n\"b", []string{"\"a", "\"b"}},
		{"at the buffer's end", x(firstBuffer-1) + "\n" + x(firstBuffer) + "\nb", []string{x(firstBuffer - 1), x(firstBuffer), "b"}},
		{"across buffers", x(100) + "\n" + x(firstBuffer-100) + "\n" + x(2*firstBuffer) + "\n", []string{x(100), x(firstBuffer - 100), x(2 * firstBuffer)}},
		{"the longest", x(maxLine) + "\nb", []string{x(maxLine), "b"}},
		{"the longest with CRLF", x(maxLine) + "\r\nb", []string{x(maxLine) + "\r", "b"}},
		{"the longest without an end", "b\n" + x(maxLine), []string{"b", x(maxLine)}},
		{"too long", "a\n" + x(maxLine+1) + "\nb", []string{"a", fmt.Sprint("+", maxLine+1), "b"}},
		{"too long without an end", "a\n" + x(maxLine+1), []string{"a", fmt.Sprint("+", maxLine+1)}},
		{"as long as the buffer", x(lastBuffer) + "\nb", []string{fmt.Sprint("+", lastBuffer), "b"}},
		{"far too long", "a\n" + x(5*maxLine) + "\n" + x(maxLine) + "\n" + x(4*maxLine), []string{"a", fmt.Sprint("+", 5*maxLine), x(maxLine), fmt.Sprint("+", 4*maxLine)}},
	} {
		for how, r := range map[string]io.Reader{
			"whole":      strings.NewReader(c.text),
			"halves":     iotest.HalfReader(strings.NewReader(c.text)),
			"data + EOF": iotest.DataErrReader(strings.NewReader(c.text)),
		} {
			t.Run(c.name+" "+how, func(t *testing.T) {
				l := newLines(r)
				var got []string
				for l.next() == nil {
					line := string(l.raw)
					if l.tooLong() {
						if len(l.raw) != keptPrefix || strings.Trim(line, "x") != "" {
							t.Errorf("kept %d bytes", len(l.raw))
						}
						line = fmt.Sprint("+", l.size)
					} else if want := strings.TrimRight(line, "\r"); string(l.body) != want {
						t.Errorf("body of %d bytes, want %d", len(l.body), len(want))
					}
					got = append(got, line)
					if l.number != int64(len(got)) {
						t.Errorf("line %d has number %d", len(got), l.number)
					}
				}
				if err := l.next(); !errors.Is(err, io.EOF) {
					t.Errorf("behind the end: %v", err)
				}
				if len(got) != len(c.want) {
					t.Fatalf("%d lines, want %d", len(got), len(c.want))
				}
				for i := range got {
					if got[i] != c.want[i] {
						t.Errorf("line %d: %.50q (%d bytes), want %.50q (%d bytes)", i+1, got[i], len(got[i]), c.want[i], len(c.want[i]))
					}
				}
				if len(l.buf) > lastBuffer {
					t.Errorf("the buffer has grown to %d bytes", len(l.buf))
				}
			})
		}
	}
}

func TestLinesErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, n := range []int{0, 10, 2 * maxLine} {
		l := newLines(io.MultiReader(strings.NewReader("a\n"+strings.Repeat("x", n)), iotest.ErrReader(broken)))
		if err := l.next(); err != nil || string(l.raw) != "a" {
			t.Fatal(err)
		}
		if err := l.next(); !errors.Is(err, broken) {
			t.Errorf("%d bytes into a line: %v", n, err)
		}
	}
	l := newLines(nothing{})
	if err := l.next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

// FuzzLines holds the reader against bytes.Split, with reads of any size.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\n\"c\nd"), 3)
	f.Add([]byte("\n"), 1)
	f.Add([]byte(strings.Repeat("x", 300)+"\n"+strings.Repeat("y\n", 100)), 7)
	f.Fuzz(func(t *testing.T, text []byte, chunk int) {
		l := newLines(&chunks{text, 1 + chunk&0xff})
		l.buf = make([]byte, 16) // so that it grows and moves all the time
		want := bytes.Split(text, []byte{'\n'})
		if len(want[len(want)-1]) == 0 {
			want = want[:len(want)-1]
		}
		for i, line := range want {
			if err := l.next(); err != nil || !bytes.Equal(l.raw, line) || !bytes.Equal(l.body, bytes.TrimRight(line, "\r")) {
				t.Fatalf("line %d is %q, want %q: %v", i+1, l.raw, line, err)
			}
		}
		if err := l.next(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	})
}

// chunks gives its text a few bytes at a time.
type chunks struct {
	text []byte
	n    int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.text)
	c.text = c.text[n:]
	return n, nil
}
