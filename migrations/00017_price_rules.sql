-- +goose Up

-- What a price list is beside its code: pim.PriceList.
alter table price_list add definition jsonb not null default '{}';
alter table price_list add rev bigint not null default 1;         -- the ETag
alter table price_list add updated_at timestamptz not null default now();

-- By which prices are derived from others.
create table price_rule (
    code       text collate "C" primary key,
    rev        bigint not null default 1,        -- the ETag
    updated_at timestamptz not null default now(),
    definition jsonb not null                    -- pim.PriceRule
);

-- The rules that made a price, in the order in which they were applied; null: it was set by hand.
alter table price add rules text[];
