-- +goose Up

-- The records that a record's own values name: written by whatever writes the values. Most have none, as products.
alter table record add records text[] not null default '{}';
create index record_records on record using gin (records) where records <> '{}';

-- Whether the records that name those of a change have become changes of their own: products that name these show them.
alter table record_change add spread boolean not null default false;
