package etl

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
)

// rejectFile takes the rejected lines, as CSV with the header
//
//	file,line,reason,text
//
// file is the name as the report has it, line counts from 1 with the header,
// and text is the line in quotes, its own quotes doubled and every other byte
// as it was, a carriage return at its end included. So the line is got back
// by taking the outer quotes away and halving the inner ones. A line over 1 MiB
// is the exception: text is its first 1,024 bytes and "[truncated: N bytes]".
//
// The file is written in place, not under another name first: it is there
// however the load ends, and up to the last few kilobytes when it is killed.
// Lines of one file are in order; files that are read side by side alternate.
type rejectFile struct {
	mu   sync.Mutex
	path string
	file *os.File // nil where none was asked for
	w    *bufio.Writer
	line []byte
}

// createRejects creates the file, or none where path is "".
func createRejects(path string) (*rejectFile, error) {
	r := &rejectFile{path: path}
	if path == "" {
		return r, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create the reject file: %w", err)
	}
	r.file, r.w = f, bufio.NewWriterSize(f, 64<<10)
	// An error shows at the next write or at the end.
	_, _ = r.w.WriteString("file,line,reason,text\n")
	return r, nil
}

// write adds the current line of in.
func (r *rejectFile) write(file string, in *lines, why reason) error {
	if r.file == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.line[:0]
	b = append(b, file...)
	b = append(b, ',')
	b = strconv.AppendInt(b, in.number, 10)
	b = append(b, ',')
	b = append(b, why.String()...)
	b = append(b, ',', '"')
	for rest := in.raw; ; {
		quote := bytes.IndexByte(rest, '"')
		if quote < 0 {
			b = append(b, rest...)
			break
		}
		b = append(b, rest[:quote+1]...)
		b = append(b, '"')
		rest = rest[quote+1:]
	}
	if in.tooLong() {
		b = append(b, "[truncated: "...)
		b = strconv.AppendInt(b, in.size, 10)
		b = append(b, " bytes]"...)
	}
	b = append(b, '"', '\n')
	r.line = b
	if _, err := r.w.Write(b); err != nil {
		return fmt.Errorf("write the reject file: %w", err)
	}
	return nil
}

// close completes the file.
func (r *rejectFile) close() error {
	if r.file == nil {
		return nil
	}
	err := r.w.Flush()
	if e := r.file.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("write the reject file: %w", err)
	}
	return nil
}
