-- +goose Up

-- How complete each product is for each channel, in the channel's locale: what lists are filtered by. It follows the event log
-- and what families require, behind the edits, which it never touches or waits for.
create table completeness (
    product_id bigint not null,
    channel_id bigint not null,
    required   smallint not null,                    -- attributes that the family requires there
    missing    smallint not null,                    -- those of them without a value
    share      smallint not null generated always as (case when required = 0 then 100 else (required - missing) * 100 / required end) stored,
    primary key (product_id, channel_id)
) with (fillfactor = 85);
create index completeness_share on completeness (channel_id, share, product_id);

-- How far the log has been followed; seen is of the version of the catalogue and of the channels that families were last looked at for.
create table completeness_state (
    one  boolean primary key default true check (one),
    xid  xid8,
    id   bigint not null default 0,
    seen text not null default ''
);
insert into completeness_state default values;

-- Of each family, what it required when its products were last looked at; after: those above this id still are to be; null: none.
create table completeness_walk (
    family      text collate "C" primary key,
    fingerprint text not null,
    after       bigint default 0
);
create index completeness_walk_on on completeness_walk (family) where after is not null;

-- Lists in the order of the last change, and what was changed since a time.
create index product_updated on product (updated_at, id);
