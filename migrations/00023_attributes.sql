-- +goose Up

-- What products have of attributes whose values are unique, among living products: pim.UniqueValue.
create table unique_value (
    product_id bigint not null references product,
    attribute  text collate "C" not null references attribute on delete cascade,
    channel    text collate "C" not null,            -- '' where the attribute is not scopable
    locale     text collate "C" not null,            -- '' where it is not localizable
    key        bytea not null,
    primary key (attribute, key, locale, channel)
);
create index unique_value_product on unique_value (product_id);

-- The locale whose texts are shown where a product has none in this one, and so on along the chain.
alter table locale add fallback text references locale;
alter table locale add check (fallback <> code);
