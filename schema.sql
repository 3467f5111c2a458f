-- hotshelf: the whole database.
--
-- Idempotent: load and warm run it each time they start. Five schemas:
--
--   hotshelf       what outlives a publish: the catalogue's record, the change feed, the sequences
--   catalog        the rows that are live
--   shelf          the blobs that are live, built from those rows
--   catalog_next   the rows of a load that is under way or waits to be published
--   shelf_next     the blobs of a warm that is under way
--
-- The last two have the same tables as catalog and shelf; load and warm make
-- them from the definitions below, fill them, and add the keys and indexes
-- afterwards. A publish renames the schemas: whoever reads sees the old
-- catalogue or the new one, never a part of either.

create schema if not exists hotshelf;
create schema if not exists catalog;
create schema if not exists shelf;

------------------------------------------------------------------------------
-- hotshelf: the record, the feed, the sequences
------------------------------------------------------------------------------

-- One row: what the live catalogue is, and whether a load waits for a warm.
create table if not exists hotshelf.catalogue (
    only_row        boolean     primary key default true check (only_row),
    -- Drawn when the database is set up. Another epoch is another database.
    epoch           uuid        not null default gen_random_uuid(),
    schema_version  integer     not null,
    -- Raised by each publish of a whole shelf; 0 while nothing was ever published.
    generation      bigint      not null default 0,
    -- The shape of the live blobs, and the builder that made them.
    contract        text        not null default 'pulsar' check (contract in ('pulsar', 'atelier')),
    builder_version integer     not null default 0,
    -- Where the live rows come from, and when they went live.
    source          text        check (source in ('sample', 'import')),
    published_at    timestamptz,
    -- The load in catalog_next; null where none is complete.
    next_source     text        check (next_source in ('sample', 'import')),
    next_loaded_at  timestamptz,
    -- Feed entries up to this version have been cleaned up.
    feed_floor      bigint      not null default 0
);
-- New in schema version 2.
alter table hotshelf.catalogue add column if not exists feed_floor bigint not null default 0;

-- What each committed change did, in commit order: every writer takes the
-- write lock (an advisory lock) before it draws its version.
create table if not exists hotshelf.feed (
    version    bigint      primary key,
    -- The generation where any product may have changed, else 0: then changed
    -- and removed name them all.
    generation bigint      not null default 0,
    changed    bigint[]    not null default '{}',
    removed    bigint[]    not null default '{}',
    at         timestamptz not null default now()
);

-- Products written through the API since the last import went live: the next
-- import would take those writes back.
create table if not exists hotshelf.written (
    product_id bigint      primary key,
    deleted    boolean     not null,
    at         timestamptz not null default now()
);

-- Versions and ids are drawn here and never given twice; a publish moves the
-- id sequences past the ids of the import.
create sequence if not exists hotshelf.version;
create sequence if not exists hotshelf.product_id;
create sequence if not exists hotshelf.feature_id;
create sequence if not exists hotshelf.style_id;
create sequence if not exists hotshelf.related_id;
create sequence if not exists hotshelf.photo_id;
create sequence if not exists hotshelf.sku_id;

------------------------------------------------------------------------------
-- catalog: the rows
------------------------------------------------------------------------------
-- The columns are those of the CSV files, in the files' order.

create table if not exists catalog.products (
    id            bigint        primary key,
    name          text          not null,
    slogan        text          not null,
    description   text          not null,
    category      text          not null,
    default_price numeric(12,2) not null check (default_price >= 0)
);

create table if not exists catalog.features (
    id         bigint primary key,
    product_id bigint not null references catalog.products on delete cascade,
    feature    text   not null,
    value      text
);
create index if not exists features_product_id_idx on catalog.features (product_id);

create table if not exists catalog.styles (
    id             bigint        primary key,
    product_id     bigint        not null references catalog.products on delete cascade,
    name           text          not null,
    -- Null where the style is not on sale.
    sale_price     numeric(12,2) check (sale_price > 0),
    original_price numeric(12,2) not null check (original_price >= 0),
    default_style  boolean       not null
);
create index if not exists styles_product_id_idx on catalog.styles (product_id);

create table if not exists catalog.related (
    id         bigint primary key,
    product_id bigint not null references catalog.products on delete cascade,
    related_id bigint not null references catalog.products on delete cascade
);
create index if not exists related_product_id_idx on catalog.related (product_id);
-- A deleted product leaves the lists that name it.
create index if not exists related_related_id_idx on catalog.related (related_id);

create table if not exists catalog.photos (
    id            bigint primary key,
    style_id      bigint not null references catalog.styles on delete cascade,
    url           text   not null,
    thumbnail_url text   not null
);
create index if not exists photos_style_id_idx on catalog.photos (style_id);

create table if not exists catalog.skus (
    id       bigint  primary key,
    style_id bigint  not null references catalog.styles on delete cascade,
    size     text    not null,
    quantity integer not null check (quantity >= 0)
);
create index if not exists skus_style_id_idx on catalog.skus (style_id);

------------------------------------------------------------------------------
-- shelf: the blobs
------------------------------------------------------------------------------

create table if not exists shelf.blobs (
    product_id bigint primary key,
    -- Drawn from hotshelf.version when the blobs last changed.
    version    bigint not null,
    -- xxHash64 of the three blobs as the builder made them.
    hash       bigint not null,
    -- What the blobs are shaped for: 0 pulsar, 1 atelier.
    contract   smallint not null,
    detail     jsonb  not null,
    styles     jsonb  not null,
    related    jsonb  not null
);
-- New in schema version 2; a shelf of version 1 has one contract. A constant
-- default writes no row.
do $$ begin
    if not exists (select from pg_attribute where attrelid = 'shelf.blobs'::regclass and attname = 'contract') then
        execute format('alter table shelf.blobs add column contract smallint not null default %s',
            (select case contract when 'atelier' then 1 else 0 end from hotshelf.catalogue));
        alter table shelf.blobs alter column contract drop default;
    end if;
end $$;

-- lz4 is faster to write and to read than the default; a PostgreSQL that was
-- built without it keeps the default.
do $$ begin
    alter table shelf.blobs
        alter column detail  set compression lz4,
        alter column styles  set compression lz4,
        alter column related set compression lz4;
exception when feature_not_supported then null;
end $$;

insert into hotshelf.catalogue (schema_version) values (2)
on conflict (only_row) do update set schema_version = excluded.schema_version;
