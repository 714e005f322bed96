-- +goose Up

-- Definitions whose renditions are still to be asked for of all assets, or to be shown by all products: worked off in
-- pieces, each a transaction, by the consumer derive. '' is all definitions that channels use.
create table spread (
    code     text collate "C" primary key,
    after_id bigint not null default 0,      -- the last asset that was looked at
    touch    boolean not null                -- products that show assets of which all is made are looked at: their pictures may be other ones
);
