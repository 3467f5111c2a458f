package store

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestCopyQueue(t *testing.T) {
	q := newCopyQueue(2)
	r := &copyReader{copyQueue: q, from: q.full}
	var want bytes.Buffer
	go func() {
		defer close(q.full)
		b := make([]byte, 0, 8)
		for i := range 100 {
			b = append(b, bytes.Repeat([]byte{byte(i)}, i%8)...)
			b, _ = q.put(b)
			if len(b) != 0 || cap(b) == 0 || cap(b) > 2*copyBuffer {
				t.Errorf("an empty buffer of %d, %d bytes", len(b), cap(b))
			}
			if i%10 == 0 {
				b = make([]byte, 0, 3*copyBuffer) // which a large row has grown
			}
		}
	}()
	for i := range 100 {
		want.Write(bytes.Repeat([]byte{byte(i)}, i%8))
	}
	want.WriteString(copyTrailer)
	var got bytes.Buffer
	if _, err := io.CopyBuffer(&got, struct{ io.Reader }{r}, make([]byte, 5)); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("read %x, %v", got.Bytes(), err)
	}
}

// TestCopyQueueEnds: nobody waits for a COPY that has failed or shall fail.
func TestCopyQueueEnds(t *testing.T) {
	q := newCopyQueue(1)
	q.put([]byte{1})
	blocked := make(chan bool)
	go func() {
		_, ok := q.put([]byte{2})
		blocked <- ok
	}()
	close(q.done)
	if <-blocked {
		t.Error("a buffer was taken by a COPY that has failed")
	}

	q = newCopyQueue(1)
	close(q.giveUp)
	if _, err := (&copyReader{copyQueue: q, from: q.full}).Read(make([]byte, 1)); !errors.Is(err, errGivenUp) {
		t.Errorf("read: %v", err)
	}
}
