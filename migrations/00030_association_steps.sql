-- +goose Up

-- Of a product with which many are associated these are put on the road in steps: those up to this id are through.
alter table association_change add after bigint not null default 0;
