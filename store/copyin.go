package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
)

// copyWriter streams rows into one COPY … FROM STDIN (FORMAT binary), whose
// layout is in PostgreSQL's manual under COPY, "Binary Format".
type copyWriter struct {
	buf []byte
	*copying
}

// copying is a COPY under way.
type copying struct {
	*copyQueue
	rows int64 // valid after done
	err  error // valid after done
}

// copyBuffer is how much is encoded before it is handed to the connection.
const copyBuffer = 64 << 10

// startCopy begins the COPY on conn, which it uses until the writer's close.
// Writers may be ahead of it by so many buffers.
func startCopy(ctx context.Context, conn *pgx.Conn, sql string, ahead int) *copyWriter {
	w := &copyWriter{copying: &copying{copyQueue: newCopyQueue(ahead)}}
	w.buf = append(emptyBuffer(), "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	go func() {
		// Whoever still writes gets the reason instead of waiting for ever.
		defer close(w.done)
		tag, err := conn.PgConn().CopyFrom(ctx, w.copyQueue, sql)
		w.rows, w.err = tag.RowsAffected(), err
	}()
	return w
}

func emptyBuffer() []byte { return make([]byte, 0, copyBuffer+copyBuffer/4) }

// beside returns another writer into the same COPY. Each hands over whole rows,
// and the first one's close ends the COPY.
func (w *copyWriter) beside() *copyWriter { return &copyWriter{buf: emptyBuffer(), copying: w.copying} }

var errCopyEnded = errors.New("the copy has ended")

func (w *copyWriter) beginRow(columns int) {
	w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(columns))
}

func (w *copyWriter) null() {
	w.buf = append(w.buf, 0xff, 0xff, 0xff, 0xff)
}

func (w *copyWriter) int8(v int64) {
	w.buf = binary.BigEndian.AppendUint32(w.buf, 8)
	w.buf = binary.BigEndian.AppendUint64(w.buf, uint64(v))
}

func (w *copyWriter) int4(v int64) {
	w.buf = binary.BigEndian.AppendUint32(w.buf, 4)
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(v))
}

func (w *copyWriter) int2(v int16) {
	w.buf = append(w.buf, 0, 0, 0, 2)
	w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(v))
}

func (w *copyWriter) bool(v bool) {
	w.buf = append(w.buf, 0, 0, 0, 1, 0)
	if v {
		w.buf[len(w.buf)-1] = 1
	}
}

func (w *copyWriter) text(v []byte) {
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(len(v)))
	w.buf = append(w.buf, v...)
}

// jsonb writes JSON text behind jsonb's format version, 1.
func (w *copyWriter) jsonb(v []byte) {
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(len(v)+1))
	w.buf = append(w.buf, 1)
	w.buf = append(w.buf, v...)
}

// numeric writes a price as numeric: digits in base 10,000, most significant
// first, and the decimal scale 2 (numeric_recv in src/backend/utils/adt/numeric.c).
func (w *copyWriter) numeric(p blob.Price) {
	whole, cents := int64(p)/100, int64(p)%100
	var groups [4]uint16
	n := 0
	for base := int64(100_000_000); base > 0; base /= 10_000 {
		if g := whole / base % 10_000; g > 0 || n > 0 {
			groups[n] = uint16(g)
			n++
		}
	}
	weight := n - 1
	if cents > 0 {
		groups[n] = uint16(cents * 100)
		n++
	}
	for n > 0 && groups[n-1] == 0 {
		n--
	}
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(8+2*n))
	w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(n))
	w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(int16(weight)))
	w.buf = append(w.buf, 0, 0, 0, 2)
	for _, g := range groups[:n] {
		w.buf = binary.BigEndian.AppendUint16(w.buf, g)
	}
}

// endRow hands full buffers on. Its error is that of the COPY.
func (w *copyWriter) endRow() error {
	if len(w.buf) < copyBuffer {
		return nil
	}
	return w.flush()
}

func (w *copyWriter) flush() error {
	var ok bool
	if w.buf, ok = w.put(w.buf); !ok {
		return w.failure()
	}
	return nil
}

func (w *copyWriter) failure() error {
	if w.err == nil {
		return errCopyEnded
	}
	return classify(w.err)
}

// close ends the COPY and returns how many rows it took.
func (w *copyWriter) close() (int64, error) {
	w.buf = append(w.buf, 0xff, 0xff)
	if err := w.flush(); err != nil {
		return 0, err
	}
	close(w.full)
	<-w.done
	if w.err != nil {
		return 0, classify(w.err)
	}
	return w.rows, nil
}

// abort makes the COPY fail and waits for that. After close it does nothing.
func (w *copyWriter) abort() {
	w.given.Do(func() { close(w.giveUp) })
	<-w.done
}

// TableWriter fills one table of catalog_next. The columns of a row are
// written in the table's order, then EndRow. It is used by one goroutine and
// ends with Close or Abort.
type TableWriter struct {
	table  table
	conn   *pgx.Conn
	copy   *copyWriter
	column int
}

// table is what the binary format has to know of a table of the catalog.
type table struct {
	name    string
	columns int
	int4    int // the column that is an integer of four bytes; -1 for none
}

// tables are those of schema.sql in the order of their references.
var tables = []table{
	{"products", 6, -1},
	{"features", 4, -1},
	{"styles", 6, -1},
	{"related", 3, -1},
	{"photos", 4, -1},
	{"skus", 4, 3},
}

func (w *TableWriter) next() {
	if w.column == 0 {
		w.copy.beginRow(w.table.columns)
	}
	w.column++
}

// Int writes an integer.
func (w *TableWriter) Int(v int64) {
	w.next()
	if w.column-1 == w.table.int4 {
		w.copy.int4(v)
	} else {
		w.copy.int8(v)
	}
}

// Text writes a text, which is copied: valid UTF-8 without NUL.
func (w *TableWriter) Text(v []byte) { w.next(); w.copy.text(v) }

// Null writes the absence of a value.
func (w *TableWriter) Null() { w.next(); w.copy.null() }

// Price writes a price.
func (w *TableWriter) Price(v blob.Price) { w.next(); w.copy.numeric(v) }

// Bool writes a boolean.
func (w *TableWriter) Bool(v bool) { w.next(); w.copy.bool(v) }

// EndRow ends a row. An error is that of the database, possibly about an
// earlier row, and final.
func (w *TableWriter) EndRow() error {
	w.column = 0
	if err := w.copy.endRow(); err != nil {
		return fmt.Errorf("fill the table %s: %w", w.table.name, err)
	}
	return nil
}

// Close commits the rows and returns their number.
func (w *TableWriter) Close() (int64, error) {
	defer closeConn(w.conn)
	rows, err := w.copy.close()
	if err == nil {
		_, err = w.conn.Exec(context.Background(), `commit`)
	}
	if err != nil {
		return 0, fmt.Errorf("fill the table %s: %w", w.table.name, classify(err))
	}
	return rows, nil
}

// Abort gives the rows up.
func (w *TableWriter) Abort() {
	w.copy.abort()
	closeConn(w.conn)
}
