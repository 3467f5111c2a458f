package store

import (
	"errors"
	"io"
	"sync"
)

// copyQueue hands full buffers from the writers of a COPY to its connection, or,
// where that is behind, to the one of another COPY beside it.
type copyQueue struct {
	full   chan []byte
	beside chan []byte
	free   chan []byte
	given  sync.Once
	giveUp chan struct{} // closed when the COPY shall fail
	done   chan struct{} // closed when it has failed
}

var errGivenUp = errors.New("given up")

// newCopyQueue makes a queue with room for so many buffers, besides those that
// are being written and read.
func newCopyQueue(room int) *copyQueue {
	return &copyQueue{
		full: make(chan []byte, room), beside: make(chan []byte), free: make(chan []byte, room+1),
		giveUp: make(chan struct{}), done: make(chan struct{}),
	}
}

// put hands a buffer on, and returns an empty one; false where the COPY has
// failed.
func (q *copyQueue) put(b []byte) (empty []byte, ok bool) {
	select {
	case q.full <- b:
	default:
		select {
		case <-q.done:
			return b[:0], false
		case q.full <- b:
		case q.beside <- b:
		}
	}
	select {
	case empty = <-q.free:
		return empty[:0], true
	default:
		return emptyBuffer(), true
	}
}

// ahead says whether a full buffer waits to be read.
func (q *copyQueue) ahead() bool { return len(q.full) > 0 }

// How the format begins and ends.
const (
	copyHead    = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
)

// copyReader is what a connection reads: all that comes one of a queue's ways, as
// a whole in the format.
type copyReader struct {
	*copyQueue
	from  <-chan []byte
	rest  []byte // of what is being read, copyHead at first
	read  []byte // the buffer that it is of
	ended bool
}

func (r *copyReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if cap(r.read) > 0 && cap(r.read) <= 2*copyBuffer { // one that a large row has grown is not kept
			select {
			case r.free <- r.read:
			default:
			}
		}
		r.read = nil
		select {
		case <-r.giveUp:
			return 0, errGivenUp
		case <-r.done:
			return 0, errGivenUp
		case b, ok := <-r.from:
			switch {
			case ok:
				r.read, r.rest = b, b
			case r.ended:
				return 0, io.EOF
			default:
				r.ended, r.rest = true, []byte(copyTrailer)
			}
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
