package store

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/jackc/pgx/v5"
)

const countStyles = `select count(*) from %s.styles where id between $1 and $2`

// streams are the ordered streams that warm merges, for the products from lo
// to hi: by product, then style. The first column names the row that each belongs
// to. Rows that belong to the same one come in any order, with their ids: to sort
// them here would take a fifth of all the time that reading takes, and an index
// has nearly all of them in order anyway. Warm moves the others.
var streams = map[string]string{
	"products": `
select id, name, slogan, description, category, default_price
from %[1]s.products where id between %[2]d and %[3]d order by id`,
	"features": `
select product_id, feature, value, id
from %[1]s.features where product_id between %[2]d and %[3]d order by product_id`,
	"styles": `
select product_id, id, name, sale_price, original_price, default_style
from %[1]s.styles where product_id between %[2]d and %[3]d order by product_id, id`,
	"related": `
select product_id, related_id, id
from %[1]s.related where product_id between %[2]d and %[3]d order by product_id`,
	"photos": `
select p.style_id, p.url, p.thumbnail_url, p.id
from %[1]s.styles s join %[1]s.photos p on p.style_id = s.id
where s.product_id between %[2]d and %[3]d order by s.product_id, s.id`,
	"skus": `
select k.style_id, k.size, k.quantity, k.id
from %[1]s.styles s join %[1]s.skus k on k.style_id = s.id
where s.product_id between %[2]d and %[3]d order by s.product_id, s.id`,
	"sizes": `
select k.style_id, k.size, k.quantity
from %[1]s.styles s join %[1]s.skus k on k.style_id = s.id
where s.product_id between %[2]d and %[3]d order by s.product_id, s.id`,
	// The same three by the range of the products' styles, see styleRange: a scan
	// instead of a descent into the index for each style.
	"photos by style": `
select style_id, url, thumbnail_url, id
from %[1]s.photos where style_id between %[2]d and %[3]d order by style_id`,
	"skus by style": `
select style_id, size, quantity, id
from %[1]s.skus where style_id between %[2]d and %[3]d order by style_id`,
	"sizes by style": `
select style_id, size, quantity
from %[1]s.skus where style_id between %[2]d and %[3]d order by style_id`,
	// What is live now, to tell which products change.
	"shelf": `
select product_id, version, hash
from shelf.blobs where product_id between %[2]d and %[3]d order by product_id`,
	// The same with the blobs, to compare them.
	"blobs": `
select product_id, version, hash, contract::bigint, detail, styles, related
from shelf.blobs where product_id between %[2]d and %[3]d order by product_id`,
}

// RowReader reads the streams of a warm on a connection of its own. It is used
// by one goroutine.
type RowReader struct {
	rows   string
	conn   *pgx.Conn
	data   map[string]*bytes.Buffer // the rows of each stream's last range
	styles styleRange               // of the last range of styles that was read
}

// styleRange is the ids of the styles of a range of products. It is closed where
// they come in ascending order and no style of another product has an id between
// them: then their photos and SKUs are those of the range, in the right order.
// So it is in an import; products that were written since have styles with ids
// far above.
type styleRange struct {
	lo, hi      int64 // of the products
	first, last int64 // of the styles
	count       int64
	closed      bool
}

// Reader opens a reader that sees what the warm sees.
func (w *Warm) Reader(ctx context.Context) (*RowReader, error) {
	config := w.db.pool.Config().ConnConfig
	if runtime.GOOS == "linux" { // elsewhere sockets may hold too little to wait for more
		config.DialFunc = readInBulk(config.DialFunc, w.copying)
	}
	conn, err := connectWorker(ctx, config)
	if err != nil {
		return nil, err
	}
	script := beginSnapshot + "; set transaction snapshot '" + w.id + "'"
	if _, err := conn.PgConn().Exec(ctx, script).ReadAll(); err != nil {
		closeConn(conn)
		return nil, fmt.Errorf("share the snapshot: %w", classify(err))
	}
	return &RowReader{rows: w.rows, conn: conn, data: map[string]*bytes.Buffer{}}, nil
}

// Rows reads one of the streams (products, features, styles, related, photos,
// skus, sizes, shelf, blobs) for the products from lo to hi; photos, skus and
// sizes are quicker after styles of the same range. The rows and their texts are
// there until the stream is read again.
func (r *RowReader) Rows(ctx context.Context, stream string, lo, hi int64) (*Rows, error) {
	rows, err := r.read(ctx, stream, lo, hi)
	if err != nil {
		return nil, fmt.Errorf("read the %s of products %d to %d: %w", stream, lo, hi, classify(err))
	}
	return rows, nil
}

func (r *RowReader) read(ctx context.Context, stream string, lo, hi int64) (*Rows, error) {
	switch s := &r.styles; {
	case stream == "styles":
		rows, err := r.copy(ctx, stream, lo, hi)
		if err == nil {
			err = r.rangeOf(ctx, *rows, lo, hi)
		}
		return rows, err
	case streams[stream+" by style"] != "" && s.closed && s.lo == lo && s.hi == hi:
		return r.copy(ctx, stream+" by style", s.first, s.last)
	}
	return r.copy(ctx, stream, lo, hi)
}

// rangeOf finds the range of the styles of products.
func (r *RowReader) rangeOf(ctx context.Context, rows Rows, lo, hi int64) error {
	s := styleRange{lo: lo, hi: hi, closed: true}
	for ; rows.Next(); s.count++ {
		id := rows.Int(1)
		if s.count == 0 {
			s.first = id
		}
		s.closed = s.closed && id > s.last
		s.last = id
	}
	r.styles = s
	if !s.closed {
		return nil
	}
	var within int64
	if err := r.conn.QueryRow(ctx, fmt.Sprintf(countStyles, r.rows), s.first, s.last).Scan(&within); err != nil {
		return err
	}
	r.styles.closed = within == s.count
	return nil
}

func (r *RowReader) copy(ctx context.Context, stream string, lo, hi int64) (*Rows, error) {
	data := r.data[stream]
	if data == nil {
		data = new(bytes.Buffer)
		r.data[stream] = data
	}
	data.Reset()
	sql := "copy (" + fmt.Sprintf(streams[stream], r.rows, lo, hi) + ") to stdout (format binary)"
	if err := r.copyOut(ctx, data, sql); err != nil {
		return nil, err
	}
	return newRows(unsafe.String(unsafe.SliceData(data.Bytes()), data.Len()))
}

// copyOut adds what a COPY gives to data.
func (r *RowReader) copyOut(ctx context.Context, data *bytes.Buffer, sql string) error {
	conn := r.conn.PgConn()
	// It stays: a connection that is given up is read to its end meanwhile.
	if bulk, ok := conn.Conn().(*bulkConn); ok {
		bulk.rows = data
	}
	_, err := conn.CopyTo(ctx, data, sql)
	return err
}

// Close ends the connection.
func (r *RowReader) Close() { closeConn(r.conn) }
