package etl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// Check finds what would stop a load before anything is changed: a directory
// that is not there, a file that is missing, empty or without a known header.
// Its error has a sentence for each fault, all of them.
func Check(dir string) error {
	_, err := survey(dir)
	return err
}

// Sizes returns how many bytes each of the six files of a directory has, by its
// plain name. A gzipped file counts as if it were unzipped, which is an estimate
// from its beginning where it is large.
func Sizes(dir string) (map[string]int64, error) {
	inputs, err := survey(dir)
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64)
	for _, t := range catalogue() {
		if sizes[t.file], err = inputs[t.name].unzipped(); err != nil {
			return nil, fmt.Errorf("%s: %w", inputs[t.name].path, err)
		}
	}
	return sizes, nil
}

// input is one of the six files as it was found.
type input struct {
	path string
	size int64
	gzip bool
}

// survey finds the six files by table.
func survey(dir string) (map[string]*input, error) {
	tables := catalogue()
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.file
	}
	expected := "expected a directory with " + strings.Join(names, ", ") + ", or these with .gz"
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s does not exist: %s", dir, expected)
	case err != nil:
		return nil, fmt.Errorf("%w: %s", err, expected)
	case !info.IsDir():
		return nil, fmt.Errorf("%s is not a directory: %s", dir, expected)
	}
	inputs := map[string]*input{}
	var faults []error
	missing := 0
	for _, t := range tables {
		in, err := t.locate(dir)
		if err == nil {
			inputs[t.name] = in
			err = in.checkHeader(t)
		} else if errors.Is(err, errMissing) {
			missing++
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	if missing == len(tables) {
		return nil, fmt.Errorf("%s has none of the six files: %s", dir, expected)
	}
	return inputs, errors.Join(faults...)
}

var errMissing = errors.New("is missing")

func (t *table) locate(dir string) (*input, error) {
	var found *input
	for _, suffix := range []string{"", ".gz"} {
		path := filepath.Join(dir, t.file+suffix)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, fmt.Errorf("%w: expected a file with the header %s", err, t.header())
		case !info.Mode().IsRegular():
			return nil, fmt.Errorf("%s is not a regular file: expected a file with the header %s", path, t.header())
		case found != nil:
			return nil, fmt.Errorf("%s and %s are both there: expected one of them", found.path, path)
		}
		found = &input{path: path, size: info.Size(), gzip: suffix != ""}
	}
	if found == nil {
		return nil, fmt.Errorf("%s %w: expected it, or %s.gz, with the header %s",
			filepath.Join(dir, t.file), errMissing, t.file, t.header())
	}
	return found, nil
}

func (in *input) checkHeader(t *table) error {
	s, err := in.open(context.Background(), &fileProgress{})
	if err == nil {
		_, err = t.begin(newLines(s))
		s.close()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", in.path, err)
	}
	return nil
}

// unzipped is the size of the file without compression. The size that a gzip
// file ends with would be exact, but only below 4 GiB and in a file of one piece.
func (in *input) unzipped() (int64, error) {
	const enough = 4 << 20
	if !in.gzip {
		return in.size, nil
	}
	p := &fileProgress{}
	s, err := in.open(context.Background(), p)
	if err != nil {
		return 0, err
	}
	defer s.close()
	n, err := io.CopyN(io.Discard, s, enough)
	if errors.Is(err, io.EOF) {
		return n, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	return int64(float64(n) / float64(p.bytes.Load()) * float64(in.size)), nil
}

// head is what the lines up to the header say.
type head struct {
	layout layout
	fixes  [fixKinds]int64
}

// begin reads up to the header. Empty lines may come before it.
func (t *table) begin(in *lines) (head, error) {
	var h head
	for {
		err := in.next()
		if errors.Is(err, io.EOF) {
			return h, fmt.Errorf("the file is empty: expected the header %s", t.header())
		}
		if err != nil {
			return h, fmt.Errorf("read: %w", err)
		}
		line := in.body
		if in.number == 1 {
			if rest, found := bytes.CutPrefix(line, []byte("\xef\xbb\xbf")); found {
				h.fixes[fixIndex(fixBOM)]++
				line = rest
			}
		}
		if skipBlanks(line, 0) == len(line) && !in.tooLong() {
			h.fixes[fixIndex(fixEmptyLine)]++
			continue
		}
		at, exact, known := t.readHeader(line)
		if !known || in.tooLong() {
			const enough = 200
			return h, fmt.Errorf("the header is not known: found %q, expected %s", line[:min(len(line), enough)], t.header())
		}
		if !exact {
			h.fixes[fixIndex(fixHeader)]++
		}
		h.layout = at
		return h, nil
	}
}

// source is an input being read. It stops when its context does, and tells how
// far it has come.
type source struct {
	ctx  context.Context
	file *os.File
	r    io.Reader
}

func (in *input) open(ctx context.Context, p *fileProgress) (*source, error) {
	f, err := os.Open(in.path)
	if err != nil {
		return nil, err
	}
	s := &source{ctx: ctx, file: f, r: &counter{f, p}}
	if in.gzip && in.size > 0 {
		unzipped, err := gzip.NewReader(s.r)
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("not a gzip file: %w", err)
		}
		s.r = unzipped
	}
	return s, nil
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// close can't lose anything: the file is only read.
func (s *source) close() { _ = s.file.Close() }

// counter counts the bytes read from the file, before they are unzipped.
type counter struct {
	r io.Reader
	p *fileProgress
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.p.bytes.Add(int64(n))
	return n, err
}
