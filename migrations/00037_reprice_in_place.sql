-- +goose Up

-- A whole list is repriced at once. Half of each page stays free, so that the new rows have room beside the old ones, and no index is written
-- to. This is for rows to come; those that are there find that room once they have been updated, and vacuumed.
alter table price set (fillfactor = 50);
alter table product_offer set (fillfactor = 50);
