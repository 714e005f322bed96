-- +goose Up

-- Price lists whose changes are judged before they are in force: pim.PriceGuard. One whose guard was taken away stays
-- as long as it holds something. The row is locked by whoever sets prices of such a list.
create table price_guard (
    price_list text primary key references price_list,
    prices     bigint not null -- how many it has: of one product, currency and quantity counts as one
);

-- What has moved, or is to move when a window opens, in such a list.
create table price_move (
    price_list   text not null references price_guard on delete cascade,
    product_id   bigint not null references product,
    currency     text not null,
    min_quantity integer not null,
    at           timestamptz not null, -- when it is in force; of what is already, when it moved first
    was          numeric,              -- the amount before
    primary key (price_list, product_id, currency, min_quantity, at)
);
create index price_move_at on price_move (price_list, at);

-- What is held back, one row for each product, list, currency and quantity.
create table price_hold (
    id           bigint generated always as identity primary key,
    price_list   text not null references price_guard,
    product_id   bigint not null references product,
    currency     text not null,
    min_quantity integer not null,
    at           timestamptz not null default now(),
    actor        text not null,        -- who set it, or rules
    reason       text not null,        -- pim.HoldReason
    moves_at     timestamptz not null, -- when it would move something first
    old          numeric,              -- what its reason compares
    new          numeric,
    prices       jsonb not null,       -- the rows of price that it would put and delete
    rejected_at  timestamptz,          -- of what rules make: it stays away until they make something else
    rejected_by  text,
    unique (product_id, price_list, currency, min_quantity)
);
create index price_hold_list on price_hold (price_list, moves_at) where rejected_at is null;
