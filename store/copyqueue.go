package store

import (
	"errors"
	"io"
	"sync"
)

// copyQueue hands full buffers from the writers of a COPY to its connection. It
// is what the connection reads.
type copyQueue struct {
	full   chan []byte
	free   chan []byte
	rest   []byte // of the buffer that is being read
	read   []byte // that buffer
	given  sync.Once
	giveUp chan struct{} // closed when the COPY shall fail
	done   chan struct{} // closed when it has ended
}

var errGivenUp = errors.New("given up")

// newCopyQueue makes a queue with room for so many buffers, besides those that
// are being written and read.
func newCopyQueue(room int) *copyQueue {
	return &copyQueue{
		full: make(chan []byte, room), free: make(chan []byte, room+1),
		giveUp: make(chan struct{}), done: make(chan struct{}),
	}
}

// put hands a buffer on, and returns an empty one; false where the COPY has
// ended.
func (q *copyQueue) put(b []byte) (empty []byte, ok bool) {
	select {
	case <-q.done:
		return b[:0], false
	case q.full <- b:
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

// Read gives the connection what was put, up to the end of the queue.
func (q *copyQueue) Read(p []byte) (int, error) {
	for len(q.rest) == 0 {
		if cap(q.read) > 0 && cap(q.read) <= 2*copyBuffer { // one that a large row has grown is not kept
			select {
			case q.free <- q.read:
			default:
			}
		}
		q.read = nil
		select {
		case <-q.giveUp:
			return 0, errGivenUp
		case b, ok := <-q.full:
			if !ok {
				return 0, io.EOF
			}
			q.read, q.rest = b, b
		}
	}
	n := copy(p, q.rest)
	q.rest = q.rest[n:]
	return n, nil
}
