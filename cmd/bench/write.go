package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

type writeSuite struct {
	places
	Products int64  `help:"How many products the catalogue has." default:"100000" placeholder:"N"`
	Pairs    int    `help:"How many times each contender runs." default:"7" placeholder:"N"`
	Out      string `help:"Where to keep the figures." default:"bench/write.json" type:"path" placeholder:"FILE"`

	span time.Duration `kong:"-"` // how long each run is
}

// AfterApply is called by kong where the command line names this suite.
func (s *writeSuite) AfterApply() error {
	s.choose()
	s.span = 5 * time.Second
	if s.Products < 1 || s.Pairs < 1 {
		return errors.New("--products and --pairs must be at least 1")
	}
	return nil
}

const (
	// writeToBare is the target for writes/s ÷ bare transactions/s.
	writeToBare = 0.5
	// writers is how many connections write. A server takes twice as many at once.
	writers = 16
	// writeToken opens the servers of a bench to its writes.
	writeToken = "a-token-for-the-bench-only"

	columnWrites      = "writes"
	columnWriteServer = "write_server_cpu"
	columnWriteDB     = "write_postgres_cpu"
)

var writeColumns = append([]Column{
	{columnWrites, "writes/s", Rate}, {columnWriteServer, "client's CPU per write", Time}, {columnWriteDB, "PostgreSQL's", Time},
}, latencyColumns...)

// writing is one kind of write: as a request, and as the bare transaction that
// changes the same rows under a lock, and no blob.
type writing struct {
	name string
	next requestMaker
	bare string
}

func (w writing) ours() string  { return w.name + ": hotshelf" }
func (w writing) peers() string { return w.name + ": bare transaction" }

// bareWrite is what pgbench runs. Its lock is another than the service's, and
// costs the same.
const bareWrite = `%sbegin;
select pg_advisory_xact_lock(42);
%s;
commit;
`

func (s *writeSuite) measure(ctx context.Context, io cli.IO) (*Figures, error) {
	f := &Figures{Suite: "write", Title: "Write: rows, blobs and feed in one transaction", Columns: writeColumns,
		Command: fmt.Sprintf("go run ./cmd/bench write --products %d --pairs %d", s.Products, s.Pairs)}
	return s.serve(ctx, io, f, 4.2*float64(s.Pairs)*s.span.Seconds(), func(ctx context.Context, b *serving) error {
		db, err := b.catalogue(ctx, s.Products)
		if err != nil {
			return err
		}
		skus, err := db.someSKUs(ctx)
		if err != nil {
			return err
		}
		b.env = []string{"HOTSHELF_WRITE_TOKEN=" + writeToken}
		server, err := b.server(ctx, b.servers, "--database-url", db.server.URL())
		if err != nil {
			return err
		}
		b.atEnd(server.stop)
		pgbench := b.findPgbench()
		if err := errors.Join(b.stayAside(ctx), db.pin(b.servers)); err != nil {
			return err
		}
		client, err := dial(server.addr, writers)
		if err != nil {
			return err
		}
		defer client.close()
		for _, w := range s.writings(skus) {
			for round := range s.Pairs {
				if err := s.writes(ctx, b, db, server, client, w, round+1); err != nil {
					return fmt.Errorf("%s: %w", w.ours(), err)
				}
				if pgbench == "" {
					continue
				}
				t, err := b.pgbench(ctx, db, pgbench, w.bare, writers, s.span)
				if err != nil {
					return err
				}
				b.f.Runs = append(b.f.Runs, Run{w.peers(), round + 1, map[string]float64{
					columnWrites: t.perSecond, columnWriteServer: t.client, columnWriteDB: t.postgres,
				}})
				b.say("%s: %.0f/s", w.peers(), t.perSecond)
			}
			b.f.compareAtLeast(w.ours(), w.peers(), columnWrites, writeToBare)
		}
		b.note("%d connections each. A bare transaction takes an advisory lock, changes the same rows of random products in the same "+
			"way, and commits, run by pgbench; ours is the request with its answer: it also reads the product, builds its three "+
			"blobs, stores them, and tells the feed. The server and pgbench had PostgreSQL's CPU in turn.", writers)
		b.note("Both commit to disk (`fsync`, `synchronous_commit`), one write after the other.")
		return nil
	})
}

// soldSKU is a SKU with its product.
type soldSKU struct{ Product, ID int64 }

const selectSKUs = `
select s.product_id as product, k.id from catalog.skus k join catalog.styles s on s.id = k.style_id
where k.id % (select greatest(count(*) / 20000, 1) from catalog.skus) = 0`

// someSKUs returns up to 20,000 or so, from all over the catalogue.
func (d *database) someSKUs(ctx context.Context) ([]soldSKU, error) {
	rows, err := d.conn.Query(ctx, selectSKUs)
	if err != nil {
		return nil, fmt.Errorf("read some SKUs: %w", err)
	}
	skus, err := pgx.CollectRows(rows, pgx.RowToStructByName[soldSKU])
	if err == nil && len(skus) == 0 {
		err = errors.New("the catalogue has none: take more products")
	}
	if err != nil {
		return nil, fmt.Errorf("read some SKUs: %w", err)
	}
	return skus, nil
}

func (s *writeSuite) writings(skus []soldSKU) []writing {
	random := source(8)
	most := int64(0)
	for _, k := range skus {
		most = max(most, k.ID)
	}
	return []writing{
		{
			name: "stock of a SKU",
			next: func(b []byte) []byte { return skus[random.IntN(len(skus))].setStock(b, random) },
			bare: fmt.Sprintf(bareWrite, fmt.Sprintf("\\set id random(1, %d)\n\\set n random(0, 999)\n", most),
				"update catalog.skus set quantity = :n where id = :id"),
		},
		{
			name: "name and price",
			next: func(b []byte) []byte {
				n := random.Int64N(1000)
				return writeRequest(b, "PUT", detailRoute.path(nil, 1+random.Int64N(s.Products)),
					fmt.Appendf(nil, `{"name":"Product %d","default_price":%d}`, n, n))
			},
			bare: fmt.Sprintf(bareWrite, fmt.Sprintf("\\set id random(1, %d)\n\\set n random(0, 999)\n", s.Products),
				"update catalog.products set name = 'Product ' || :n::text, default_price = :n where id = :id"),
		},
	}
}

// setStock appends a request that gives the SKU a random stock.
func (k soldSKU) setStock(b []byte, random *rand.Rand) []byte {
	path := strconv.AppendInt(append(detailRoute.path(nil, k.Product), "/skus/"...), k.ID, 10)
	return writeRequest(b, "PATCH", path, fmt.Appendf(nil, `{"quantity":%d}`, random.Int64N(1000)))
}

func writeRequest(b []byte, method string, path, body []byte) []byte {
	return fmt.Appendf(b, "%s %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		method, path, writeToken, len(body), body)
}

// writes puts the server under writes.
func (s *writeSuite) writes(ctx context.Context, b *serving, db *database, server *service, client *client, w writing, round int) error {
	if _, err := client.run(ctx, plan{duration: s.span / 10, next: w.next}); err != nil {
		return err
	}
	postgres := db.cpu()
	o, cpu, err := measured(ctx, client, server.pid, plan{duration: s.span, next: w.next})
	if err == nil {
		err = o.strict()
	}
	if err != nil {
		return err
	}
	values := o.values()
	values[columnWrites] = o.perSecond()
	values[columnWriteServer] = cpu.Seconds() / float64(o.requests)
	values[columnWriteDB] = (db.cpu() - postgres).Seconds() / float64(o.requests)
	b.f.Runs = append(b.f.Runs, Run{w.ours(), round, values})
	if round == 1 {
		b.f.Latencies = append(b.f.Latencies, curve(w.ours()+fmt.Sprintf(", %d connections", writers), o.latencies))
	}
	b.say("%s: %.0f/s", w.ours(), o.perSecond())
	return nil
}
