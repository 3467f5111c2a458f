package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
)

// copyWriter streams rows into one COPY … FROM STDIN (FORMAT binary), whose
// layout is in PostgreSQL's manual under COPY, "Binary Format".
type copyWriter struct {
	buf []byte
	*copying
}

// copying is a COPY under way, and another one beside it where there is one.
type copying struct {
	*copyQueue
	running sync.WaitGroup
	failing sync.Once
	err     error    // the first one, valid after done and after the end
	rows    [2]int64 // that each has taken, valid after the end
}

// copyBuffer is how much is encoded before it is handed to the connection.
const copyBuffer = 64 << 10

// startCopy begins the COPY on conn, which it uses until the writer's close.
// Writers may be ahead of it by so many buffers.
func startCopy(ctx context.Context, conn *pgx.Conn, sql string, ahead int) *copyWriter {
	c := &copying{copyQueue: newCopyQueue(ahead)}
	c.run(ctx, conn, sql, c.full, &c.rows[0])
	return &copyWriter{buf: emptyBuffer(), copying: c}
}

// helpOut begins another COPY that takes what the first is too slow for.
func (c *copying) helpOut(ctx context.Context, conn *pgx.Conn, sql string) {
	c.run(ctx, conn, sql, c.beside, &c.rows[1])
}

func (c *copying) run(ctx context.Context, conn *pgx.Conn, sql string, from <-chan []byte, rows *int64) {
	c.running.Go(func() {
		tag, err := conn.PgConn().CopyFrom(ctx, &copyReader{copyQueue: c.copyQueue, from: from, rest: []byte(copyHead)}, sql)
		*rows = tag.RowsAffected()
		if err == nil {
			return
		}
		// Whoever still writes gets the reason instead of waiting for ever.
		c.failing.Do(func() {
			c.err = err
			close(c.done)
		})
	})
}

func emptyBuffer() []byte { return make([]byte, 0, copyBuffer+copyBuffer/4) }

// another returns another writer into the same COPY. Each hands over whole rows,
// and the first one's close ends the COPY.
func (w *copyWriter) another() *copyWriter {
	return &copyWriter{buf: emptyBuffer(), copying: w.copying}
}

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
		return classify(w.err)
	}
	return nil
}

// close ends the COPY and returns how many rows it took.
func (w *copyWriter) close() (int64, error) {
	if err := w.flush(); err != nil {
		return 0, err
	}
	close(w.full)
	close(w.beside)
	w.running.Wait()
	if w.err != nil {
		return 0, classify(w.err)
	}
	return w.rows[0] + w.rows[1], nil
}

// abort makes the COPY fail and waits for that. After close there is nothing
// left to fail.
func (w *copyWriter) abort() {
	w.given.Do(func() { close(w.giveUp) })
	w.running.Wait()
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
