-- +goose Up
-- A foreign key of each price, stock level and offer cost half of the statement that wrote them first: a look at the
-- product for each row, and a lock on it. Products are never deleted from their table, and whoever writes these rows has
-- joined them with the product, so the keys could find no fault (docs/decisions/037).
alter table price drop constraint price_product_id_fkey;
alter table stock drop constraint stock_product_id_fkey;
alter table product_offer drop constraint product_offer_product_id_fkey;
alter table price_stamp drop constraint price_stamp_product_id_fkey;
alter table stock_message drop constraint stock_message_product_id_fkey;

-- +goose Down
alter table stock_message add constraint stock_message_product_id_fkey foreign key (product_id) references product;
alter table price_stamp add constraint price_stamp_product_id_fkey foreign key (product_id) references product;
alter table product_offer add constraint product_offer_product_id_fkey foreign key (product_id) references product;
alter table stock add constraint stock_product_id_fkey foreign key (product_id) references product;
alter table price add constraint price_product_id_fkey foreign key (product_id) references product;
