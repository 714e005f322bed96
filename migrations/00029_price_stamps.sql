-- +goose Up

-- The newest stamp that a price was told with, if it was with any: what is older than it comes too late. It stays when the price is
-- deleted, and stands for what is held, too.
create table price_stamp (
    product_id   bigint not null references product,
    price_list   text not null,
    currency     text not null,
    min_quantity integer not null,
    valid_from   timestamptz not null,
    as_of        timestamptz,
    sequence     bigint,
    primary key (product_id, price_list, currency, min_quantity, valid_from)
);
