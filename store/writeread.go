package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
)

// selectProducts gives one row a product, its lists as arrays in the order of
// their ids: sorted once for each list, not once for each of its arrays.
// Prices are in hundredths. So any number of products are one statement, whose
// rows are read one by one. The rows are those of a schema.
const selectProducts = `
select p.id, p.name, p.slogan, p.description, p.category, (p.default_price * 100)::bigint,
       f.feature, f.value, r.related_id,
       s.id, s.name, s.sale, s.original, s.flag,
       h.style_id, h.url, h.thumbnail_url,
       k.style_id, k.id, k.size, k.quantity
from unnest($1::bigint[]) as want (id)
join %[1]s.products p on p.id = want.id
cross join lateral (
    select array_agg(feature) as feature, array_agg(value) as value
    from (select feature, value from %[1]s.features where product_id = p.id order by id) o) f
cross join lateral (
    select array_agg(related_id) as related_id
    from (select related_id from %[1]s.related where product_id = p.id order by id) o) r
cross join lateral (
    select array_agg(id) as id, array_agg(name) as name, array_agg((sale_price * 100)::bigint) as sale,
           array_agg((original_price * 100)::bigint) as original, array_agg(default_style) as flag
    from (select id, name, sale_price, original_price, default_style
          from %[1]s.styles where product_id = p.id order by id) o) s
cross join lateral (
    select array_agg(style_id) as style_id, array_agg(url) as url, array_agg(thumbnail_url) as thumbnail_url
    from (select style_id, url, thumbnail_url
          from %[1]s.photos where style_id = any(s.id) order by style_id, id) o) h
cross join lateral (
    select array_agg(style_id) as style_id, array_agg(id) as id, array_agg(size) as size, array_agg(quantity) as quantity
    from (select style_id, id, size, quantity
          from %[1]s.skus where style_id = any(s.id) order by style_id, id) o) k`

// eachProduct reads the products that have rows in a schema, in any order.
func eachProduct(ctx context.Context, tx pgx.Tx, schema string, ids []int64, each func(p *blob.Product)) error {
	var b pgx.Batch
	queueProducts(&b, schema, ids, each)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("read %d products: %w", len(ids), classify(err))
	}
	return nil
}

// queueProducts is eachProduct as a part of a batch.
func queueProducts(b *pgx.Batch, schema string, ids []int64, each func(p *blob.Product)) {
	b.Queue(fmt.Sprintf(selectProducts, schema), ids).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			p, err := scanProduct(rows)
			if err != nil {
				return err
			}
			each(p)
		}
		return rows.Err()
	})
}

func scanProduct(rows pgx.Rows) (*blob.Product, error) {
	p := new(blob.Product)
	var features, styleNames, urls, thumbnails, sizes []string
	var values []*string
	var styleIDs, original, photoStyles, skuStyles, skuIDs []int64
	var sale []*int64
	var flags []bool
	var quantities []int32
	err := rows.Scan(&p.ID, &p.Name, &p.Slogan, &p.Description, &p.Category, &p.DefaultPrice,
		&features, &values, &p.Related, &styleIDs, &styleNames, &sale, &original, &flags,
		&photoStyles, &urls, &thumbnails, &skuStyles, &skuIDs, &sizes, &quantities)
	if err != nil {
		return nil, err
	}
	for i, name := range features {
		f := blob.Feature{Name: name}
		if values[i] != nil {
			f.Value, f.HasValue = *values[i], true
		}
		p.Features = append(p.Features, f)
	}
	photo, sku := 0, 0
	for i, id := range styleIDs {
		s := blob.Style{ID: id, Name: styleNames[i], OriginalPrice: blob.Price(original[i]), Default: flags[i]}
		if sale[i] != nil {
			s.SalePrice, s.OnSale = blob.Price(*sale[i]), true
		}
		for ; photo < len(photoStyles) && photoStyles[photo] == id; photo++ {
			s.Photos = append(s.Photos, blob.Photo{URL: urls[photo], ThumbnailURL: thumbnails[photo]})
		}
		for ; sku < len(skuStyles) && skuStyles[sku] == id; sku++ {
			s.SKUs = append(s.SKUs, blob.SKU{ID: skuIDs[sku], Size: sizes[sku], Quantity: int64(quantities[sku])})
		}
		p.Styles = append(p.Styles, s)
	}
	return p, nil
}
