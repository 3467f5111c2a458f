package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	countWritten = `
select count(*), array(
    select product_id || case when deleted then ' (deleted)' else '' end
    from hotshelf.written order by product_id limit 10)
from hotshelf.written`

	// What an import would do to the products and prices that are live. Moved
	// are prices that change by more than half of what they are. The rows come
	// from bothProducts and bothStyles, or of some products from someProducts
	// and someStyles.
	compareProducts = `
select count(*) filter (where o.id is null), count(*) filter (where n.id is null),
       count(*) filter (where n.default_price > o.default_price), count(*) filter (where n.default_price < o.default_price),
       count(*) filter (where abs(n.default_price - o.default_price) * 2 > o.default_price)
from %s`
	compareStyles = `
select count(*) filter (where n.id is null),
       count(*) filter (where n.original_price > o.original_price or n.sale_price > o.sale_price),
       count(*) filter (where n.original_price < o.original_price or n.sale_price < o.sale_price),
       count(*) filter (where abs(n.original_price - o.original_price) * 2 > o.original_price or abs(n.sale_price - o.sale_price) * 2 > o.sale_price)
from %s`
	bothProducts = `catalog.products o full join catalog_next.products n using (id)`
	bothStyles   = `catalog.styles o full join catalog_next.styles n using (id)`
	someProducts = `
(select * from catalog.products where id = any($1)) o full join (select * from catalog_next.products where id = any($1)) n using (id)`
	someStyles = `
(select * from catalog.styles where product_id = any($1)) o full join (select * from catalog_next.styles where product_id = any($1)) n using (id)`
	countLiveStyles = `select count(*) from catalog.styles`
	// From the statistics, for it is a share of them that matters: the load has
	// just made those of the new tables.
	compareRows = `
select c.relname, greatest(c.reltuples, 0)::bigint, greatest(n.reltuples, 0)::bigint
from pg_class c join pg_class n using (relname)
where c.relnamespace = 'catalog'::regnamespace and n.relnamespace = 'catalog_next'::regnamespace
  and c.relkind = 'r' order by c.relname`
	largestMoves = `
select product_id, style_id, old, new from (
    (select id as product_id, 0::bigint as style_id, (o.default_price * 100)::bigint as old, (n.default_price * 100)::bigint as new
     from %s where o.default_price <> n.default_price
     order by greatest((o.default_price + 0.01) / (n.default_price + 0.01), (n.default_price + 0.01) / (o.default_price + 0.01)) desc, id limit 10)
    union all
    (select n.product_id, id, (o.original_price * 100)::bigint, (n.original_price * 100)::bigint
     from %s where o.original_price <> n.original_price
     order by greatest((o.original_price + 0.01) / (n.original_price + 0.01), (n.original_price + 0.01) / (o.original_price + 0.01)) desc, id limit 10)
) moves
order by greatest((old + 1.0) / (new + 1), (new + 1.0) / (old + 1)) desc, product_id, style_id limit 10`
)

// ErrWritten is in the way of an import that would take writes back.
var ErrWritten = errors.New("products were written through the API since the last import went live, and this import takes that back")

// ReplacesImport says whether the load that waits replaces an import, rather
// than nothing or a sample: then it is worth asking what would change.
func (w *Warm) ReplacesImport() bool {
	return w.rows == "catalog_next" && w.State.Generation > 0 && w.State.Source == "import"
}

// RefuseWritten returns an error that is ErrWritten, with some of the products,
// where the load that waits replaces an import whose products have been
// written since.
func (w *Warm) RefuseWritten(ctx context.Context) error {
	return w.refuseWritten(ctx, w.lock)
}

func (w *Warm) refuseWritten(ctx context.Context, q querier) error {
	if !w.ReplacesImport() {
		return nil
	}
	var n int64
	var some []string
	if err := q.QueryRow(ctx, countWritten).Scan(&n, &some); err != nil {
		return fmt.Errorf("ask what was written since the last import: %w", classify(err))
	}
	if n == 0 {
		return nil
	}
	list := strings.Join(some, ", ")
	if n > int64(len(some)) {
		list += ", …"
	}
	return fmt.Errorf("%w: %d of them: %s", ErrWritten, n, list)
}

// Impact is what an import would do to products and prices that are live. Moved
// are prices that would change by more than half of what they are.
type Impact struct {
	Products int64  `json:"products"` // of the import
	Live     int64  `json:"live"`     // products
	New      int64  `json:"new"`      // products
	Gone     int64  `json:"gone"`     // products
	Prices   Moves  `json:"prices"`   // of products that stay
	Styles   Moves  `json:"styles"`   // original and sale prices of styles that stay
	Rows     []Lost `json:"rows"`     // of styles, and of the tables below them and products
	Largest  []Move `json:"largest"`  // the ten largest changes of a price
}

// Lost says how many of a table's rows an import would take away: those of
// styles one by one, of the other tables by how many more there were, about.
type Lost struct {
	Table string `json:"table"`
	Live  int64  `json:"live"`
	Gone  int64  `json:"gone"`
}

// Moves counts changes of prices.
type Moves struct {
	Compared int64 `json:"compared"`
	Up       int64 `json:"up"`
	Down     int64 `json:"down"`
	Moved    int64 `json:"moved"`
}

// Move is the change of one price. Style is 0 for the price of the product.
type Move struct {
	Product int64      `json:"product"`
	Style   int64      `json:"style,omitempty"`
	Old     blob.Price `json:"old"` // hundredths
	New     blob.Price `json:"new"` // hundredths
}

// LostRows says of each table how many rows fewer it has in the load that waits,
// about. It reads no rows.
func (w *Warm) LostRows(ctx context.Context) (all []Lost, err error) {
	rows, err := w.lock.Query(ctx, compareRows)
	if err != nil {
		return nil, fmt.Errorf("compare the import's tables with those that are live: %w", classify(err))
	}
	var l Lost
	var next int64
	_, err = pgx.ForEachRow(rows, []any{&l.Table, &l.Live, &next}, func() error {
		l.Gone = max(l.Live-next, 0)
		all = append(all, l)
		return nil
	})
	return all, classify(err)
}

// Impact compares the load that waits with what is live.
func (w *Warm) Impact(ctx context.Context) (Impact, error) {
	return w.impact(ctx, bothProducts, bothStyles)
}

// ImpactOf is the same where it is known which products differ, are new or gone.
// Prices are in the blobs, so those of all others are as they were, and there is
// no need to read them.
func (w *Warm) ImpactOf(ctx context.Context, differ []int64) (Impact, error) {
	return w.impact(ctx, someProducts, someStyles, append([]int64{}, differ...))
}

func (w *Warm) impact(ctx context.Context, products, styles string, args ...any) (i Impact, err error) {
	err = w.lock.QueryRow(ctx, fmt.Sprintf(compareProducts, products), args...).
		Scan(&i.New, &i.Gone, &i.Prices.Up, &i.Prices.Down, &i.Prices.Moved)
	if err == nil {
		i.Products, i.Live = w.Products, w.Products-i.New+i.Gone
		i.Prices.Compared = i.Live - i.Gone
		lost := Lost{Table: "styles"}
		err = w.lock.QueryRow(ctx, fmt.Sprintf(compareStyles, styles), args...).Scan(&lost.Gone, &i.Styles.Up, &i.Styles.Down, &i.Styles.Moved)
		if err == nil {
			err = w.lock.QueryRow(ctx, countLiveStyles).Scan(&lost.Live)
		}
		i.Styles.Compared = lost.Live - lost.Gone
		i.Rows = append(i.Rows, lost)
	}
	if err == nil {
		var lost []Lost
		lost, err = w.LostRows(ctx)
		i.Rows = append(i.Rows, slices.DeleteFunc(lost, func(l Lost) bool { return l.Table == "products" || l.Table == "styles" })...)
	}
	var rows pgx.Rows
	if err == nil {
		rows, err = w.lock.Query(ctx, fmt.Sprintf(largestMoves, products, styles), args...)
	}
	if err == nil {
		i.Largest, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Move])
	}
	if err != nil {
		return i, fmt.Errorf("compare the import with what is live: %w", classify(err))
	}
	return i, nil
}
