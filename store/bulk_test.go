package store

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
)

// pieces is a connection that what was sent arrives on in pieces.
type pieces struct {
	net.Conn
	sent   []byte
	random *rand.Rand
	most   int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.sent) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+p.random.IntN(p.most))], p.sent)
	p.sent = p.sent[n:]
	return n, nil
}

func never() bool { return false }

// TestRowsPassTheDriverBy: wherever a stream of messages is cut, what is in the
// rows of a COPY goes one way and all else the other, whole and in order.
func TestRowsPassTheDriverBy(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var sent, driver []byte
		var rows bytes.Buffer
		for range 50 {
			kind := "ddddHNcCZE"[random.IntN(10)]
			text := bytes.Repeat([]byte{byte(random.IntN(256))}, random.IntN(300))
			message := append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(text)+4)), text...)
			sent = append(sent, message...)
			if kind == 'd' && len(text) > 0 {
				rows.Write(text)
			} else {
				driver = append(driver, message...)
			}
		}
		most := []int{1, 3, 7, 100, 10_000}[seed%5]
		read := func(c *bulkConn) []byte {
			t.Helper()
			c.Conn = &pieces{sent: sent, random: random, most: most}
			c.buf, c.busy = make([]byte, 64+random.IntN(500)), never
			var got []byte
			for {
				p := make([]byte, 1+random.IntN(400))
				n, err := c.Read(p)
				got = append(got, p[:n]...)
				if err != nil {
					return got
				}
			}
		}
		var taken bytes.Buffer
		if got := read(&bulkConn{rows: &taken}); !bytes.Equal(got, driver) || taken.String() != rows.String() {
			t.Fatalf("seed %d: the driver got %d bytes of %d, the rows %d of %d", seed, len(got), len(driver), taken.Len(), rows.Len())
		}
		if got := read(&bulkConn{}); !bytes.Equal(got, sent) {
			t.Fatalf("seed %d: without a COPY the driver got %d bytes of %d", seed, len(got), len(sent))
		}
		// TLS, that is: nothing in it looks like a message.
		if got := read(&bulkConn{rows: &taken, rest: 1 << 40}); !bytes.Equal(got, sent) {
			t.Fatalf("seed %d: the driver got %d bytes of %d of what can't be read", seed, len(got), len(sent))
		}
	}
}

// TestCopyFails: what the database says in the middle of a COPY is told, and the
// connection goes on.
func TestCopyFails(t *testing.T) {
	t.Parallel()
	db := open(t, pg.Database(t))
	fill(t, db, 1, 2, 3)
	w := beginWarm(t, db)
	defer w.Close()
	r := openReader(t, w)
	defer r.Close()
	if _, err := r.conn.Exec(t.Context(), `savepoint s`); err != nil {
		t.Fatal(err)
	}
	var rows bytes.Buffer
	err := r.copyOut(t.Context(), &rows, `copy (select 1 / (1000 - n) from generate_series(1, 2000) n) to stdout`)
	if err == nil || !strings.Contains(err.Error(), "division by zero") {
		t.Errorf("got %v", err)
	}
	if _, err := r.conn.Exec(t.Context(), `rollback to savepoint s`); err != nil {
		t.Fatal(err)
	}
	products, err := r.Rows(t.Context(), "products", 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	for id := range int64(3) {
		if !products.Next() || products.Int(0) != id+1 {
			t.Errorf("product %d is missing", id+1)
		}
	}
	if products.Next() {
		t.Error("one product more")
	}
}
