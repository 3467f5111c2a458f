package store

import (
	"fmt"

	"github.com/hotshelf/hotshelf/blob"
)

// Rows iterates over the rows of one COPY … TO STDOUT (FORMAT binary) that
// was read whole. Texts are parts of the memory that holds it, which a reader
// uses again for the next range of the same stream.
type Rows struct {
	data   string
	next   int    // where the next row begins
	from   [8]int // of the row's fields
	length [8]int // of the row's fields, below 0 where it is null
}

// Next moves to the next row; false at the end.
func (r *Rows) Next() bool {
	data, at := r.data, r.next
	if len(data)-at < 2 {
		return false
	}
	n := int(data[at])<<8 | int(data[at+1])
	at += 2
	if n > len(r.from) { // the trailer, -1
		r.next = len(data)
		return false
	}
	for i := range n {
		length := int(int32(bigEndian4(data[at : at+4])))
		at += 4
		r.from[i], r.length[i] = at, length
		at += max(length, 0)
	}
	r.next = at
	return true
}

// Int is column i, a bigint or an integer.
func (r *Rows) Int(i int) int64 {
	f := r.Text(i)
	if len(f) == 4 {
		return int64(int32(bigEndian4(f)))
	}
	return int64(bigEndian(f))
}

// Text is column i, a text; "" where it is null.
func (r *Rows) Text(i int) string {
	at := r.from[i]
	return r.data[at : at+max(r.length[i], 0)]
}

// Null says whether column i is null.
func (r *Rows) Null(i int) bool { return r.length[i] < 0 }

// Bool is column i, a boolean.
func (r *Rows) Bool(i int) bool { return r.Text(i) == "\x01" }

// Price is column i, a numeric(12,2); 0 where it is null.
func (r *Rows) Price(i int) blob.Price {
	f := r.Text(i)
	if len(f) < 8 {
		return 0
	}
	n := int(bigEndian(f[:2]))
	weight := int(int16(bigEndian(f[2:4])))
	var cents int64
	// Group k stands for 10,000^(weight-k); the one behind the point holds
	// the cents in its two upper digits.
	for k := range n {
		group := int64(bigEndian(f[8+2*k : 10+2*k]))
		switch exponent := weight - k; {
		case exponent >= 0:
			for range exponent {
				group *= 10_000
			}
			cents += group * 100
		case exponent == -1:
			cents += group / 100
		}
	}
	return blob.Price(cents)
}

// bigEndian4 reads an unsigned number of four bytes.
func bigEndian4(s string) uint32 {
	_ = s[3] // one check instead of four
	return uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3])
}

// bigEndian reads an unsigned number of up to eight bytes.
func bigEndian(s string) uint64 {
	if len(s) == 8 { // most are
		return uint64(bigEndian4(s))<<32 | uint64(bigEndian4(s[4:]))
	}
	var v uint64
	for i := range len(s) {
		v = v<<8 | uint64(s[i])
	}
	return v
}

// newRows checks the format's head and returns the rows behind it.
func newRows(data string) (*Rows, error) {
	const signature = "PGCOPY\n\xff\r\n\x00"
	const head = len(signature) + 8 // flags and the length of no extension
	if len(data) < head || data[:len(signature)] != signature {
		return nil, fmt.Errorf("the database answered a COPY with %d bytes that are not its binary format", len(data))
	}
	return &Rows{data: data[head:]}, nil
}
