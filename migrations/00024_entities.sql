-- +goose Up

-- Reference entities: brands, materials, designers. What products refer to, and what has values of its own.
create table reference_entity (
    code       text collate "C" primary key,
    rev        bigint not null default 1,            -- the ETag
    updated_at timestamptz not null default now(),
    definition jsonb not null                        -- pim.ReferenceEntity
);

-- Records of them. Products name them by their codes; of those that a product names it holds the keys, see product.records.
create table record (
    ref        text collate "C" primary key,         -- entity/code
    entity     text collate "C" not null references reference_entity,
    code       text collate "C" not null,
    rev        bigint not null,                      -- the ETag; goes on where a deleted one comes back
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    labels     jsonb not null default '{}',
    values     jsonb not null default '{}',
    media      text[] not null default '{}',         -- the assets that its values name
    check (ref = entity || '/' || code)
);
create index record_of_entity on record (entity, code);
create index record_media on record using gin (media) where media <> '{}';

-- The records that a product's own values name, in all scopes: written by whatever writes the values. Most products have
-- none, which takes no place in the index; who asks says so, too.
alter table product add records text[] not null default '{}';
create index product_records on product using gin (records) where records <> '{}';

-- Which lanes of a channel show records, by the mapping.
alter table channel add marks_records smallint not null default 0;

-- Changed records whose products are still to be put on the road, as tree_change.
create table record_change (
    id    bigint primary key generated always as identity,
    at    timestamptz not null default now(),
    refs  text[] not null,
    after bigint not null default 0                  -- products up to this id are through
);

-- What became of records, and by whom.
create table record_event (
    id    bigint primary key generated always as identity,
    at    timestamptz not null default now(),
    ref   text collate "C" not null,
    rev   bigint not null,
    type  text not null,
    actor text not null,
    data  jsonb not null,                            -- of labels and values: before and after
    state jsonb not null                             -- labels and values after it; of a deletion, before it
);
create unique index record_event_ref on record_event (ref, rev);
create index record_event_at on record_event (at);

-- Ways in which products belong together.
create table association_type (
    code       text collate "C" primary key,
    rev        bigint not null default 1,            -- the ETag
    updated_at timestamptz not null default now(),
    definition jsonb not null                        -- pim.AssociationType
);

-- Associations. Those of a two-way type are the target's, too, which has a row of its own unless it came later.
create table association (
    product_id bigint not null references product,
    type       text collate "C" not null references association_type,
    target     text not null,                        -- a SKU; there may be no such product, yet or any more
    position   integer not null,
    quantity   integer check (quantity > 0),         -- of quantified types
    primary key (product_id, type, target)
);
create index association_target on association (target, type);
create index association_of_type on association (type);

-- Which lanes of a channel show associations, by the mapping.
alter table channel add marks_associations smallint not null default 0;

-- Products that came, went, were enabled or disabled, and whose associates are still to be put on the road, as tree_change.
create table association_change (
    id         bigint primary key generated always as identity,
    at         timestamptz not null default now(),
    product_id bigint not null
);
