-- +goose Up

-- What another price rule, or another price list, means for many products: worked off in pieces, each a transaction, by the
-- consumer derive, in the order of products. One row for each scope; what names few products puts them into derive instead.
create table price_walk (
    key      text primary key,               -- hash of the scope
    after_id bigint not null default 0,      -- the last product that was looked at
    scope    jsonb not null                  -- which products: the filters of rules that need no look at values; none fit all
) with (fillfactor = 50);
