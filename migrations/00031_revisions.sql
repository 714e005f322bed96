-- +goose Up

-- What the ETags of these name, as of all other definitions.
alter table attribute add rev bigint not null default 1;
alter table family add rev bigint not null default 1;
alter table attribute_group add rev bigint not null default 1;
alter table locale add rev bigint not null default 1;
alter table import_profile add rev bigint not null default 1;
