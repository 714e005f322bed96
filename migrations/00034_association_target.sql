-- +goose Up

-- A SKU compares as SKUs do: else no index of associations is of use where they are
-- looked up by the SKUs of products, and all of them are read for each product.
alter table association alter target type text collate "C";
