package store

import (
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	// Ids are drawn first, so that their order is that of the lists.
	drawIDs = `
select array(select nextval('hotshelf.product_id') from generate_series(1, $1::int)),
       array(select nextval('hotshelf.feature_id') from generate_series(1, $2::int)),
       array(select nextval('hotshelf.related_id') from generate_series(1, $3::int)),
       array(select nextval('hotshelf.style_id')   from generate_series(1, $4::int)),
       array(select nextval('hotshelf.photo_id')   from generate_series(1, $5::int)),
       array(select nextval('hotshelf.sku_id')     from generate_series(1, $6::int))`

	// What there is of the ids that the input names.
	selectKnown = `
select array(select id from catalog.styles where product_id = $1),
       array(select k.id from catalog.styles s join catalog.skus k on k.style_id = s.id where s.product_id = $1),
       array(select id from catalog.products where id = any($2))`

	insertProduct = `
insert into catalog.products (id, name, slogan, description, category, default_price)
values ($1, $2, coalesce($3, ''), coalesce($4, ''), $5, $6::bigint::numeric / 100)`
	updateProduct = `
update catalog.products
set name = coalesce($2, name), slogan = coalesce($3, slogan), description = coalesce($4, description),
    category = coalesce($5, category), default_price = coalesce($6::bigint::numeric / 100, default_price)
where id = $1`

	deleteFeatures = `delete from catalog.features where product_id = $1`
	insertFeatures = `
insert into catalog.features (id, product_id, feature, value)
select n.id, $1, n.feature, n.value from unnest($2::bigint[], $3::text[], $4::text[]) as n (id, feature, value)`

	deleteRelated = `delete from catalog.related where product_id = $1`
	insertRelated = `
insert into catalog.related (id, product_id, related_id)
select n.id, $1, n.related_id from unnest($2::bigint[], $3::bigint[]) as n (id, related_id)`

	// Their photos and SKUs go with them.
	deleteStyles = `delete from catalog.styles where product_id = $1 and id <> all($2)`
	upsertStyles = `
insert into catalog.styles (id, product_id, name, sale_price, original_price, default_style)
select n.id, $1, n.name, nullif(n.sale, 0)::numeric / 100, n.original::numeric / 100, n.flag
from unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bool[]) as n (id, name, sale, original, flag)
on conflict (id) do update
set name = excluded.name, sale_price = excluded.sale_price,
    original_price = excluded.original_price, default_style = excluded.default_style`
	deletePhotos = `delete from catalog.photos where style_id = any($1)`
	insertPhotos = `
insert into catalog.photos (id, style_id, url, thumbnail_url)
select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])`
	// A SKU that is kept may come from another style of the product.
	deleteSKUs = `delete from catalog.skus where style_id = any($1) or id = any($2)`
	insertSKUs = `
insert into catalog.skus (id, style_id, size, quantity)
select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::int[])`
)

// drawn are ids that nothing has had before.
type drawn struct{ products, features, related, styles, photos, skus []int64 }

// queueRows queues what brings the rows of a product in line with the input.
func (w *write) queueRows(b *pgx.Batch) {
	id, in, ids := w.done.Row.ProductID, w.in, w.ids
	if w.id == 0 {
		b.Queue(insertProduct, id, in.Name, in.Slogan, in.Description, in.Category, in.DefaultPrice)
	} else if in.Name != nil || in.Slogan != nil || in.Description != nil || in.Category != nil || in.DefaultPrice != nil {
		b.Queue(updateProduct, id, in.Name, in.Slogan, in.Description, in.Category, in.DefaultPrice)
	}
	if in.Features != nil {
		var names []string
		var values []*string
		for i := range *in.Features {
			f := &(*in.Features)[i]
			var value *string
			if f.HasValue {
				value = &f.Value
			}
			names, values = append(names, f.Name), append(values, value)
		}
		b.Queue(deleteFeatures, id)
		b.Queue(insertFeatures, id, ids.features, names, values)
	}
	if in.Related != nil {
		b.Queue(deleteRelated, id)
		b.Queue(insertRelated, id, ids.related, *in.Related)
	}
	if in.Styles != nil {
		queueStyles(b, id, *in.Styles, ids)
	}
}

// queueCheck checks the ids that the input names and draws the new ones.
func (w *write) queueCheck(b *pgx.Batch) {
	in := w.in
	var products, features, related, styles, photos, skus int
	var asked []int64
	if w.id == 0 {
		products = 1
	}
	if in.Features != nil {
		features = len(*in.Features)
	}
	if in.Related != nil {
		related, asked = len(*in.Related), *in.Related
	}
	if in.Styles != nil {
		for i := range *in.Styles {
			s := &(*in.Styles)[i]
			if s.ID == 0 {
				styles++
			}
			photos += len(s.Photos)
			for _, k := range s.SKUs {
				if k.ID == 0 {
					skus++
				}
			}
		}
	}
	var known, knownSKUs, there []int64
	b.Queue(selectKnown, w.id, asked).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&known, &knownSKUs, &there)
		if err == nil {
			w.err = checkKnown(in, set(known), set(knownSKUs), set(there))
		}
		return err
	})
	b.Queue(drawIDs, products, features, related, styles, photos, skus).QueryRow(func(row pgx.Row) error {
		ids := &w.ids
		err := row.Scan(&ids.products, &ids.features, &ids.related, &ids.styles, &ids.photos, &ids.skus)
		if err == nil && w.id == 0 {
			w.done.Row.ProductID = ids.products[0]
		}
		return err
	})
}

func set(ids []int64) map[int64]bool {
	m := make(map[int64]bool, len(ids))
	for _, id := range ids {
		m[id] = true
	}
	return m
}

// checkKnown finds ids in the input that the database does not have.
func checkKnown(in *blob.Input, styles, skus, products map[int64]bool) error {
	var faults blob.InvalidError
	if in.Styles != nil {
		for i, s := range *in.Styles {
			if s.ID != 0 && !styles[s.ID] {
				faults.Add("/styles/"+strconv.Itoa(i)+"/style_id", "This product has no style with this id.")
			}
			for j, k := range s.SKUs {
				if k.ID != 0 && !skus[k.ID] {
					faults.Add(fmt.Sprintf("/styles/%d/skus/%d/id", i, j), "This product has no SKU with this id.")
				}
			}
		}
	}
	if in.Related != nil {
		for i, r := range *in.Related {
			if !products[r] {
				faults.Add("/related/"+strconv.Itoa(i), "There is no product with this id.")
			}
		}
	}
	return faults.Err()
}

// queueStyles replaces the styles. Those that keep their id keep what is not
// given of their photos and SKUs.
func queueStyles(b *pgx.Batch, id int64, styles []blob.StyleInput, ids drawn) {
	next := func(from *[]int64) int64 {
		first := (*from)[0]
		*from = (*from)[1:]
		return first
	}
	var styleIDs, sale, original, photoLists, skuLists []int64
	var names []string
	var flags []bool
	var photoStyles, skuStyles, skuIDs, keptSKUs []int64
	var urls, thumbnails, sizes []string
	var quantities []int32
	photoIDs := ids.photos
	for i := range styles {
		s := &styles[i]
		styleID := s.ID
		if styleID == 0 {
			styleID = next(&ids.styles)
		}
		styleIDs, names, flags = append(styleIDs, styleID), append(names, s.Name), append(flags, s.Default)
		original = append(original, int64(s.OriginalPrice))
		sale = append(sale, int64(s.SalePrice))
		if s.PhotosGiven {
			photoLists = append(photoLists, styleID)
		}
		if s.SKUsGiven {
			skuLists = append(skuLists, styleID)
		}
		for _, p := range s.Photos {
			photoStyles, urls, thumbnails = append(photoStyles, styleID), append(urls, p.URL), append(thumbnails, p.ThumbnailURL)
		}
		for _, k := range s.SKUs {
			skuID := k.ID
			if skuID == 0 {
				skuID = next(&ids.skus)
			} else {
				keptSKUs = append(keptSKUs, skuID)
			}
			skuIDs, skuStyles, sizes = append(skuIDs, skuID), append(skuStyles, styleID), append(sizes, k.Size)
			quantities = append(quantities, int32(k.Quantity))
		}
	}
	b.Queue(deleteStyles, id, append([]int64{}, styleIDs...))
	b.Queue(upsertStyles, id, styleIDs, names, sale, original, flags)
	b.Queue(deletePhotos, photoLists)
	b.Queue(insertPhotos, photoIDs, photoStyles, urls, thumbnails)
	b.Queue(deleteSKUs, skuLists, keptSKUs)
	b.Queue(insertSKUs, skuIDs, skuStyles, sizes, quantities)
}

// sizeOf is about how many bytes an input takes.
func sizeOf(in *blob.Input) int {
	if in == nil {
		return 0
	}
	n := 0
	for _, text := range [...]*string{in.Name, in.Slogan, in.Description, in.Category} {
		if text != nil {
			n += len(*text)
		}
	}
	const each = 64 // beside the texts
	if in.Features != nil {
		for _, f := range *in.Features {
			n += each + len(f.Name) + len(f.Value)
		}
	}
	if in.Related != nil {
		n += each * len(*in.Related)
	}
	if in.Styles != nil {
		for i := range *in.Styles {
			s := &(*in.Styles)[i]
			n += each + len(s.Name)
			for _, p := range s.Photos {
				n += each + len(p.URL) + len(p.ThumbnailURL)
			}
			for _, k := range s.SKUs {
				n += each + len(k.Size)
			}
		}
	}
	return n
}
