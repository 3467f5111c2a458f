package main

import (
	"context"
	"fmt"
)

// shelfSchema is where the contenders of warm put the blobs.
const shelfSchema = "bench_shelf"

// format is a form that psql's \copy writes and reads.
type format string

const (
	textFormat   format = "text"
	binaryFormat format = "binary"
)

const (
	createShelf = `
create schema ` + shelfSchema + `;
create table ` + shelfSchema + `.blobs (like shelf.blobs including all excluding indexes)`
	dropShelf = `drop schema if exists ` + shelfSchema + ` cascade`
	fillShelf = `\copy ` + shelfSchema + `.blobs from %s with (format %s%s)`
	// The key as shelf has it, and statistics.
	completeShelf = `
alter table ` + shelfSchema + `.blobs add constraint blobs_pkey primary key (product_id);
analyze ` + shelfSchema + `.blobs`
)

// exportShelf writes the finished blobs into a file, in the order of their ids.
func exportShelf(path string, as format) string {
	return `\copy (select * from shelf.blobs order by product_id) to ` + quote(path) + ` with (format ` + string(as) + ")\n"
}

// copyShelf is a script that fills an equal table from such a file. Frozen, it
// is made and filled in one transaction, which at wal_level minimal bypasses the
// write-ahead log.
func copyShelf(path string, as format, frozen bool) string {
	if frozen {
		return copySession + "begin;\n" + createShelf + ";\n" + fmt.Sprintf(fillShelf, quote(path), as, ", freeze") + "\n;commit;\n" + completeShelf + ";\n"
	}
	return copySession + createShelf + ";\n" + fmt.Sprintf(fillShelf, quote(path), as, "") + "\n;" + completeShelf + ";\n"
}

// sqlShelf makes the same blobs in the contract pulsar by one statement, with
// merge joins over what the indexes have in order.
const sqlShelf = copySession + createShelf + `;
set enable_hashagg = off;
set enable_hashjoin = off;
insert into ` + shelfSchema + `.blobs (product_id, version, hash, contract, detail, styles, related)
with feature as (
  select product_id, jsonb_agg(jsonb_build_object('feature', feature, 'value', coalesce(value, 'null')) order by id) as all
  from catalog.features group by product_id
), photo as (
  select style_id, jsonb_agg(jsonb_build_object('url', url, 'thumbnail_url', thumbnail_url) order by id) as all
  from catalog.photos group by style_id
), sku as (
  select style_id, jsonb_object_agg(size, quantity) as all
  from (select style_id, size, sum(quantity) as quantity from catalog.skus group by style_id, size) of_size group by style_id
), flagged as (
  select *, default_style or not bool_or(default_style) over of_product and id = min(id) over of_product as is_default
  from catalog.styles window of_product as (partition by product_id)
), style as (
  select product_id, jsonb_agg(jsonb_build_object(
      'style_id', id, 'name', name, 'default?', is_default::int,
      'original_price', regexp_replace(original_price::text, '\.00$', ''),
      'sale_price', coalesce(regexp_replace(sale_price::text, '\.00$', ''), '0'),
      'photos', coalesce(photo.all, '[{"url": null, "thumbnail_url": null}]'),
      'skus', coalesce(sku.all, '{"null": null}')) order by id) as all
  from flagged left join photo on photo.style_id = id left join sku on sku.style_id = id group by product_id
), target as (
  select product_id, jsonb_agg(related_id order by id) as all from catalog.related group by product_id
)
select p.id, 0, 0, 0,
  jsonb_build_object('id', p.id, 'name', p.name, 'slogan', p.slogan, 'description', p.description, 'category', p.category,
    'default_price', regexp_replace(p.default_price::text, '\.00$', ''), 'features', coalesce(feature.all, '[]')),
  jsonb_build_object('product_id', p.id::text, 'results', coalesce(style.all, jsonb_build_array(jsonb_build_object(
    'style_id', null, 'name', '', 'default?', 1, 'sale_price', '0',
    'original_price', regexp_replace(p.default_price::text, '\.00$', ''),
    'photos', '[{"url": null, "thumbnail_url": null}]'::jsonb, 'skus', '{"null": null}'::jsonb)))),
  coalesce(target.all, '[]')
from catalog.products p
left join feature on feature.product_id = p.id left join style on style.product_id = p.id left join target on target.product_id = p.id;
` + completeShelf + ";\n"

// sameBlobs fails unless a contender has the blobs of every product as they are
// on the shelf.
func (d *database) sameBlobs(ctx context.Context) error {
	var here, there, same int64
	err := d.conn.QueryRow(ctx, `
select count(s.product_id), count(b.product_id),
       count(*) filter (where s.detail = b.detail and s.styles = b.styles and s.related = b.related)
from shelf.blobs s full join `+shelfSchema+`.blobs b using (product_id)`).Scan(&there, &here, &same)
	if err != nil {
		return fmt.Errorf("compare the blobs: %w", err)
	}
	if here != there || same != there {
		return fmt.Errorf("%d products, of which %d are as on the shelf, which has %d", here, same, there)
	}
	return d.sameAs(ctx, "shelf", shelfSchema)
}

// digest is enough to tell whether a copy is complete.
type digest struct {
	products int64
	hashes   string // their sum
}

func (d *database) digest(ctx context.Context, schema string) (s digest, err error) {
	err = d.conn.QueryRow(ctx, `select count(*), coalesce(sum(hash), 0)::text from `+schema+`.blobs`).Scan(&s.products, &s.hashes)
	if err != nil {
		err = fmt.Errorf("count the blobs of %s: %w", schema, err)
	}
	return s, err
}
