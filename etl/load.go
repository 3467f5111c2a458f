package etl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/hotshelf/hotshelf/blob"
)

// loader takes one file to one table.
type loader struct {
	run      *run
	table    *table
	progress *fileProgress
	parent   *loader // of the rows of which these are children; nil for products

	// seen has the ids of the rows that were accepted. failed has those of
	// rejected lines, as far as they could be read; an id may be in both, and is
	// live then. It is nil where the table has no children.
	seen, failed *idSet

	input   *input
	in      *lines
	out     Writer
	row     row
	account account
}

// account counts what happened to the lines of one file. lines is counted
// where they are read, the others where their fate is decided, so that one can
// be held against the other.
type account struct {
	lines   int64
	loaded  int64
	rejects [reasons]int64
	fixes   [fixKinds]int64
}

func (a *account) fix(found fixes) {
	for i := 0; found != 0; i, found = i+1, found>>1 {
		a.fixes[i] += int64(found & 1)
	}
}

func newLoader(r *run, t *table, p *fileProgress) *loader {
	return &loader{run: r, table: t, progress: p, seen: newIDSet(),
		row: row{table: t, split: newSplitter(len(t.columns))}}
}

// where names the place that the loader has come to.
func (l *loader) where() string {
	if l.in == nil || l.in.number == 0 {
		return l.table.file
	}
	return l.table.file + " line " + strconv.FormatInt(l.in.number, 10)
}

// load reads the whole file.
func (l *loader) load(ctx context.Context) (err error) {
	in, err := l.input.open(ctx, l.progress)
	if err != nil {
		return err
	}
	defer in.close()
	l.in = newLines(in)
	head, err := l.table.begin(l.in)
	if err != nil {
		return err
	}
	l.row.layout = head.layout
	l.account.fixes = head.fixes

	out, err := l.run.options.Open(ctx, l.table.name)
	if err != nil {
		return fmt.Errorf("open the table %s: %w", l.table.name, err)
	}
	l.out = out
	closed := false
	defer func() {
		if !closed {
			out.Abort()
		}
	}()
	for {
		if err := l.in.next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if err := l.line(); err != nil {
			return err
		}
		if l.in.number%1024 == 0 {
			l.progress.lines.Store(l.in.number)
		}
	}
	closed = true
	rows, err := out.Close()
	if err != nil {
		return fmt.Errorf("complete the table %s: %w", l.table.name, err)
	}
	if rows != l.account.loaded {
		return fmt.Errorf("%d rows were loaded, but the table %s reports %d", l.account.loaded, l.table.name, rows)
	}
	l.progress.lines.Store(l.in.number)
	l.progress.done.Store(true)
	return nil
}

// line decides what becomes of the current line.
func (l *loader) line() error {
	body := l.in.body
	l.row.fixes = 0
	if len(body) < len(l.in.raw) {
		l.row.fixes = fixCRLF
	}
	if skipBlanks(body, 0) == len(body) && !l.in.tooLong() {
		l.account.fix(l.row.fixes | fixEmptyLine)
		return nil
	}
	l.account.lines++
	why := reasonLineTooLong
	if !l.in.tooLong() {
		if why = l.row.read(body); why == reasonNone {
			why = l.relations()
		}
	}
	if why != reasonNone {
		return l.reject(why)
	}
	return l.accept()
}

// relations finds duplicates and rows whose parent or target is missing. It
// adds the id of a row that is accepted to the ids seen.
func (l *loader) relations() reason {
	missing := reasonNone
	if p := l.parent; p != nil {
		parent := l.row.ints[1]
		switch {
		case p.seen.contains(parent):
			if c := len(l.table.columns) - 1; l.table.columns[c].kind == kindTarget && !p.seen.contains(l.row.ints[c]) {
				missing = reasonDangling
			}
		case p.failed.contains(parent):
			missing = reasonOrphanOfRejected
		default:
			missing = reasonOrphan
		}
	}
	if missing != reasonNone {
		if l.seen.contains(l.row.ints[0]) {
			return reasonDuplicate
		}
		return missing
	}
	if !l.seen.add(l.row.ints[0]) {
		return reasonDuplicate
	}
	return reasonNone
}

func (l *loader) accept() error {
	for c := range l.table.columns {
		switch l.table.columns[c].kind {
		case kindText, kindURL:
			l.out.Text(l.row.texts[c])
		case kindValue:
			if l.row.null[c] {
				l.out.Null()
			} else {
				l.out.Text(l.row.texts[c])
			}
		case kindSale:
			if l.row.null[c] {
				l.out.Null()
			} else {
				l.out.Price(blob.Price(l.row.ints[c]))
			}
		case kindPrice:
			l.out.Price(blob.Price(l.row.ints[c]))
		case kindBool:
			l.out.Bool(l.row.ints[c] == 1)
		default:
			l.out.Int(l.row.ints[c])
		}
	}
	if err := l.out.EndRow(); err != nil {
		return fmt.Errorf("write the row: %w", err)
	}
	l.account.loaded++
	if l.row.fixes != 0 {
		l.account.fix(l.row.fixes)
	}
	return nil
}

func (l *loader) reject(why reason) error {
	l.account.rejects[why]++
	if l.failed != nil && why != reasonLineTooLong {
		id := l.row.ints[0]
		if id == 0 && l.row.layout.at[0] == 0 {
			id = leadingID(l.in.body)
		}
		if id > 0 {
			l.failed.add(id)
		}
	}
	if err := l.run.rejects.write(l.table.file, l.in, why); err != nil {
		return err
	}
	return l.run.countReject()
}

// leadingID reads the first field of a line that could not be read as a whole;
// 0 where that is no id.
func leadingID(line []byte) int64 {
	first, _, _ := bytes.Cut(line, []byte{','})
	id, _ := parseInt(bytes.Trim(first, "\"\\ \t"))
	return id
}
