-- +goose Up

-- When products are published on channels. A product, or variant, without a row is published whenever it is enabled; a row that
-- was taken back has no bounds: fan-out finds by it what is to be looked at again.
create table publication (
    product_id   bigint not null references product,
    channel_id   bigint not null references channel on delete cascade,
    publish_from timestamptz not null default '-infinity', -- inclusive
    publish_to   timestamptz not null default 'infinity',  -- exclusive
    primary key (product_id, channel_id),
    check (publish_from < publish_to)
);
create index publication_opens on publication (publish_from) where publish_from > '-infinity';
create index publication_closes on publication (publish_to) where publish_to < 'infinity';

alter table catalogue add published_until timestamptz not null default now(); -- windows that open or close up to here have been seen
