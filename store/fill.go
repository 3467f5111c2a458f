package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	// In one transaction with the copy, its rows can be frozen, which saves
	// rewriting them when they are first read; and a PostgreSQL that needs no
	// write-ahead log for more than a crash writes none.
	//
	// Its commit waits until all is on disk. With backend_flush_after most is
	// written while the COPY goes on, and readers meet no burst at the end.
	truncateShelfNext = `
begin isolation level read committed; set local backend_flush_after = '2MB'; truncate shelf_next.blobs`
	copyShelfNext = `
copy shelf_next.blobs (product_id, version, hash, contract, detail, styles, related) from stdin (format binary, freeze)`
	// What that COPY is too slow for, another one takes beside it. To put those
	// rows where they belong is quick, eight times as quick as to read their JSON.
	copyOverflow = `
copy shelf_next.overflow (product_id, version, hash, contract, detail, styles, related) from stdin (format binary)`
	flushOverflow    = `set backend_flush_after = '2MB'`
	insertOverflow   = `insert into shelf_next.blobs select * from shelf_next.overflow`
	truncateOverflow = `truncate shelf_next.overflow`
)

// copyAhead is how many buffers the lanes of a warm may be ahead of the COPY,
// 4 MB in all. They build much faster than it takes: without room both would wait
// for it, then both read, and it would wait for them.
const copyAhead = 64

// filling fills the new shelf: one COPY, that several writers feed, in a
// transaction that stays open, and another one beside it.
type filling struct {
	conn   *pgx.Conn
	beside *pgx.Conn
	copy   *copyWriter
}

func (db *DB) startFilling(ctx context.Context) (*filling, error) {
	conn, err := db.worker(ctx)
	if err != nil {
		return nil, err
	}
	beside, err := db.worker(ctx)
	if err != nil {
		closeConn(conn)
		return nil, err
	}
	_, err = conn.PgConn().Exec(ctx, truncateShelfNext).ReadAll()
	if err == nil {
		_, err = beside.Exec(ctx, flushOverflow)
	}
	if err != nil {
		closeConn(conn)
		closeConn(beside)
		return nil, fmt.Errorf("fill the new shelf: %w", classify(err))
	}
	f := &filling{conn, beside, startCopy(ctx, conn, copyShelfNext, copyAhead)}
	f.copy.helpOut(ctx, beside, copyOverflow)
	return f, nil
}

// end ends the COPYs, puts what both took together, and returns how many rows
// that is. The transaction goes on.
func (f *filling) end(ctx context.Context) (int64, error) {
	n, err := f.copy.close()
	if err != nil {
		return 0, fmt.Errorf("fill the new shelf: %w", err)
	}
	tag, err := f.conn.Exec(ctx, insertOverflow)
	if moved, took := tag.RowsAffected(), f.copy.rows[1]; err == nil && moved != took {
		return 0, fmt.Errorf("fill the new shelf: of %d products that were put aside, %d were there", took, moved)
	}
	if err == nil {
		_, err = f.conn.Exec(ctx, truncateOverflow)
	}
	if err != nil {
		return 0, fmt.Errorf("fill the new shelf: %w", classify(err))
	}
	return n, nil
}

// abort gives up what was not committed. It may be called at any time.
func (f *filling) abort() {
	f.copy.abort()
	closeConn(f.conn)
	closeConn(f.beside)
}

// copying says whether the COPY has more to take than what it is working on.
func (w *Warm) copying() bool { return w.fill != nil && w.fill.copy.ahead() }

// ShelfWriter puts blobs on the new shelf; several can do so side by side. Each
// is used by one goroutine and ends with Close or Abort.
type ShelfWriter struct{ copy *copyWriter }

// Writer opens a writer.
func (w *Warm) Writer(context.Context) (*ShelfWriter, error) {
	return &ShelfWriter{w.fill.copy.another()}, nil
}

// Put adds a product's blobs, which are copied.
func (w *ShelfWriter) Put(id, version, hash int64, contract blob.Contract, b *blob.Blobs) error {
	w.copy.beginRow(7)
	w.copy.int8(id)
	w.copy.int8(version)
	w.copy.int8(hash)
	w.copy.int2(int16(contract))
	w.copy.jsonb(b.Detail)
	w.copy.jsonb(b.Styles)
	w.copy.jsonb(b.Related)
	if err := w.copy.endRow(); err != nil {
		return fmt.Errorf("fill the new shelf: %w", err)
	}
	return nil
}

// Close hands the last blobs on.
func (w *ShelfWriter) Close() error {
	if err := w.copy.flush(); err != nil {
		return fmt.Errorf("fill the new shelf: %w", err)
	}
	return nil
}

// Abort gives the new shelf up, for the other writers too.
func (w *ShelfWriter) Abort() { w.copy.abort() }
