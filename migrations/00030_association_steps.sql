-- +goose Up

-- Of a product with which many are associated these are put on the road in steps: those up to this id are through.
alter table association_change add after bigint not null default 0;

-- Who is associated with a product is found in the order of these steps.
drop index association_target;
create index association_target on association (target, product_id);
