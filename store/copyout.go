package store

import (
	"fmt"

	"github.com/hotshelf/hotshelf/blob"
)

// Rows iterates over the rows of one COPY … TO STDOUT (FORMAT binary) that
// was read whole. Texts are parts of the one string that holds it.
type Rows struct {
	data   string
	fields [8]string
	null   [8]bool
}

// Next moves to the next row; false at the end.
func (r *Rows) Next() bool {
	if len(r.data) < 2 {
		return false
	}
	n := int(r.data[0])<<8 | int(r.data[1])
	r.data = r.data[2:]
	if n > len(r.fields) { // the trailer, -1
		r.data = ""
		return false
	}
	for i := range n {
		d := r.data
		length := int32(d[0])<<24 | int32(d[1])<<16 | int32(d[2])<<8 | int32(d[3])
		r.data = d[4:]
		if r.null[i] = length < 0; r.null[i] {
			r.fields[i] = ""
			continue
		}
		r.fields[i], r.data = r.data[:length], r.data[length:]
	}
	return true
}

// Int is column i, a bigint or an integer.
func (r *Rows) Int(i int) int64 {
	if len(r.fields[i]) == 4 {
		return int64(int32(bigEndian(r.fields[i])))
	}
	return int64(bigEndian(r.fields[i]))
}

// Text is column i, a text; "" where it is null.
func (r *Rows) Text(i int) string { return r.fields[i] }

// Null says whether column i is null.
func (r *Rows) Null(i int) bool { return r.null[i] }

// Bool is column i, a boolean.
func (r *Rows) Bool(i int) bool { return r.fields[i] == "\x01" }

// Price is column i, a numeric(12,2); 0 where it is null.
func (r *Rows) Price(i int) blob.Price {
	f := r.fields[i]
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

// bigEndian reads an unsigned number of up to eight bytes.
func bigEndian(s string) uint64 {
	if len(s) == 8 { // most are
		return uint64(s[0])<<56 | uint64(s[1])<<48 | uint64(s[2])<<40 | uint64(s[3])<<32 |
			uint64(s[4])<<24 | uint64(s[5])<<16 | uint64(s[6])<<8 | uint64(s[7])
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
