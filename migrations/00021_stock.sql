-- +goose Up

-- What a location is beside its code: pim.Location.
alter table location add definition jsonb not null default '{}';
alter table location add rev bigint not null default 1;         -- the ETag
alter table location add updated_at timestamptz not null default now();

-- safety: what is never sold; null: the location's. as_of and sequence: the stamp of the newest count.
alter table stock add safety bigint check (safety >= 0);
alter table stock add as_of timestamptz;
alter table stock add sequence bigint;

-- Messages about stock that carried an id, and deltas that carried a stamp. By the first a repeat is known, by the
-- second a count that comes late is brought up to what was told after it.
create table stock_message (
    product_id bigint not null references product,
    on_hand    bigint not null default 0,        -- of a delta; 0 of a count
    reserved   bigint not null default 0,
    sequence   bigint,
    as_of      timestamptz,
    at         timestamptz not null default now(),
    location   text not null,
    message    text collate "C"
);
create unique index stock_message_once on stock_message (product_id, location, message) where message is not null;
create index stock_message_level on stock_message (product_id, location) where as_of is not null or sequence is not null;
create index stock_message_age on stock_message (at);

-- For which channel the change is alone; null: for each.
alter table outbox add channel_id bigint;

-- What can be sold of a level: none of one at a location that is closed. pim.Schema.Sells says the same.
-- +goose StatementBegin
create function stock_free(on_hand bigint, reserved bigint, safety bigint, place jsonb) returns bigint
language sql immutable parallel safe as $$
    select case when place ->> 'enabled' = 'false' then 0
                else greatest(0, on_hand - reserved - coalesce(safety, (place ->> 'safety_stock')::bigint, 0)) end
$$;
-- +goose StatementEnd

-- What a channel shows of what is free, by the stock of its policy. It never falls when free rises.
-- +goose StatementBegin
create function stock_shown(free bigint, rule jsonb) returns bigint
language sql immutable parallel safe as $$
    select least(greatest(0, free - greatest(coalesce((rule ->> 'buffer')::bigint, 0),
                     free / 100 * coalesce((rule ->> 'buffer_percent')::bigint, 0) + (free % 100 * coalesce((rule ->> 'buffer_percent')::bigint, 0) + 99) / 100)),
                 coalesce(nullif((rule ->> 'cap')::bigint, 0), free))
$$;
-- +goose StatementEnd
