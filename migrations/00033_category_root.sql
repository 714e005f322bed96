-- +goose Up

-- What the channel's mapping sees of categories are this one and those below it; null: all. A deleted channel has none.
alter table channel add category_root text references category;
