-- +goose Up

-- What values are checked against, and in which version of it.
create table catalogue (
    one            boolean primary key default true check (one),
    version        bigint not null default 1,       -- rises with every change of what values are checked against
    revision_floor bigint not null default 0,       -- added to every revision sent; raised after a restore from backup
    priced_until   timestamptz not null default now(), -- price windows that open or close up to here have been seen
    keyset_check   bytea                            -- sealed with the house's keyset: what does not open it is another one
);
insert into catalogue default values;

create table locale     (code text primary key);
create table currency   (code text primary key);
create table price_list (code text primary key);
create table location   (code text primary key);
-- What a new house begins with; more are added through the API.
insert into locale values ('de-DE'), ('en-GB'), ('en-US'), ('nl-NL');
insert into currency values ('EUR'), ('GBP'), ('USD');
insert into price_list values ('default');
insert into location values ('default');

create table attribute (
    code       text collate "C" primary key,
    definition jsonb not null                        -- pim.Attribute
);
create table family (
    code       text collate "C" primary key,
    definition jsonb not null                        -- pim.Family
);

create table product (
    id             bigint generated always as identity primary key,
    rev            bigint not null default 1,        -- content revision, the ETag
    media_rev      bigint not null default 0,
    parent_id      bigint references product,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    deleted_at     timestamptz,                      -- a tombstone keeps its row, so that revisions never fall
    enabled        boolean not null default true,
    sku            text collate "C" not null unique,
    family         text collate "C" not null references family,
    family_variant text,                             -- of a parent: in which axes its variants differ
    axis_key       text,                             -- of a variant: pim.AxisKey
    categories     text[] not null default '{}',
    values         jsonb not null default '{}'
) with (fillfactor = 85);
create index product_parent on product (parent_id) where parent_id is not null;
create unique index product_axes on product (parent_id, axis_key) where axis_key is not null and deleted_at is null;
create index product_family on product (family, id);

-- The offer lane's revisions have a row of their own: a stock tick rewrites no texts and waits for no editor.
create table product_offer (
    product_id bigint primary key references product,
    rev        bigint not null default 1,
    price_rev  bigint not null default 0,
    stock_rev  bigint not null default 0
) with (fillfactor = 70);

create table price (
    product_id   bigint not null references product,
    min_quantity integer not null default 1,
    valid_from   timestamptz not null default '-infinity', -- inclusive
    valid_to     timestamptz not null default 'infinity',  -- exclusive
    amount       numeric not null check (amount >= 0),       -- with the digits it was given
    currency     text not null,
    price_list   text not null,
    primary key (product_id, price_list, currency, min_quantity, valid_from)
) with (fillfactor = 85);
create index price_opens on price (valid_from) where valid_from > '-infinity';
create index price_closes on price (valid_to) where valid_to < 'infinity';

create table stock (
    product_id bigint not null references product,
    on_hand    bigint not null,
    reserved   bigint not null default 0,
    location   text not null,
    primary key (product_id, location)
) with (fillfactor = 70);

-- The event log: insert-only. xid makes it readable in an order that is final: sequence order is not commit order.
create sequence event_id;
create table event (
    xid        xid8 not null default pg_current_xact_id(),
    id         bigint not null default nextval('event_id'),
    at         timestamptz not null default now(),
    product_id bigint not null,
    rev        bigint not null,
    lanes      smallint not null,
    type       text not null,
    actor      text not null,
    data       jsonb not null,
    primary key (xid, id, at)
) partition by range (at);
create index event_product on event (product_id, id);
create table event_default partition of event default; -- a net: partitions are made ahead by event_partitions()

-- +goose StatementBegin
create function event_partitions(ahead integer) returns void language plpgsql as $$
declare
    first timestamptz;
    name  text;
begin
    for i in 0..ahead loop
        first := date_trunc('month', now() at time zone 'utc') at time zone 'utc' + make_interval(months => i);
        name := 'event_' || to_char(first at time zone 'utc', 'YYYY_MM');
        if to_regclass(name) is null then
            begin
                execute format('create table %I partition of event for values from (%L) to (%L)', name, first, first + interval '1 month');
            exception when check_violation or duplicate_table then
                null; -- rows of this month are in the default partition already, or another process was first
            end;
        end if;
    end loop;
end $$;
-- +goose StatementEnd
select event_partitions(2);

-- What fan-out has still to look at. One row per change, deleted when its listings are marked.
create table outbox (
    id         bigint not null generated always as identity,
    at         timestamptz not null default now(),
    product_id bigint not null,
    lanes      smallint not null,
    priority   smallint not null default 1           -- 0 bulk, 1 somebody's edit, 2 sold out
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
create index outbox_order on outbox (priority desc, id);

-- Rows that fan-out could not digest, for people: nothing waits for them and nothing is lost.
create table outbox_poison (
    id         bigint primary key,
    product_id bigint not null,
    lanes      smallint not null,
    priority   smallint not null,
    at         timestamptz not null default now(),
    error      text not null
);

create table channel (
    id              bigint generated always as identity primary key,
    version         bigint not null default 1,       -- rises when settings, secrets or mapping change
    mark_after      bigint,                          -- listings of products above this id are still to be marked; null: none
    mark_anew       smallint not null default 0,     -- the marking forgets what was acknowledged, 2 that it was withdrawn, too; until its end nothing is sent
    drop_after      bigint default 0,                -- when deleted: listings of products above this id are still to be dropped; null: none
    next_probe_at   timestamptz,
    throttled_until timestamptz,
    created_at      timestamptz not null default now(),
    deleted_at      timestamptz,
    fails           integer not null default 0,      -- consecutive; at 3 the breaker is open
    allowed         integer not null default 1,      -- concurrency now: grows by one, is halved by a throttle
    batch           integer not null,
    concurrency     integer not null,
    timeout_ms      integer not null,
    settle_ms       integer not null,                -- how long a request whose answer was lost may still take effect
    marks_content   smallint not null,               -- lanes that an event of the content lane touches, by the mapping
    marks_offer     smallint not null,
    marks_media     smallint not null,
    enabled         boolean not null default true,   -- false: paused
    allow_private   boolean not null default false,  -- targets on loopback and private addresses may be dialled
    code            text not null,
    connector       text not null,
    locale          text not null,
    currency        text not null,
    price_list      text not null default 'default',
    locations       text[] not null default '{}',    -- empty: every location's stock counts
    last_error      text,
    config          jsonb not null,                  -- without secrets
    secrets         bytea,                           -- sealed JSON of config's secret fields
    mapping         jsonb not null
) with (fillfactor = 50);
create unique index channel_code on channel (code) where deleted_at is null;

-- Each mapping that a channel has had, as channel.mapping was from at on.
create table channel_mapping (
    channel_id bigint not null references channel on delete cascade,
    version    bigint not null,
    at         timestamptz not null default now(),
    mapping    jsonb not null,
    actor      text not null,
    note       text not null,
    primary key (channel_id, version)
);

-- Who works a durable set, fenced by epoch. See jobs/consumer.go.
create table consumer (
    channel_id  bigint not null default 0,
    epoch       bigint not null default 0,
    gen         bigint not null default 0,           -- part of the job's unique arguments
    lease_until timestamptz not null default '-infinity',
    unsure_at   timestamptz not null default 'epoch'    , -- the last holder vanished then: what it sent is unknown
    lane        smallint not null default 0,
    released    boolean not null default true,
    kind        text not null,
    holder      text not null default '',
    primary key (kind, channel_id, lane)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
insert into consumer (kind) values ('fanout');

-- How far the targets that own prices or stock have been read.
create table pull (
    channel_id bigint primary key,
    due_at     timestamptz not null default now(),
    pulled_at  timestamptz,
    rows       bigint not null default 0,            -- read, changed and refused since the channel is there
    changed    bigint not null default 0,
    rejected   bigint not null default 0,
    fails      integer not null default 0,           -- in a row
    cursor     text not null default '',             -- the connector's own
    error      text
) with (fillfactor = 50);

create table listing (
    channel_id bigint not null,
    product_id bigint not null,
    want       bigint not null default 1,            -- +1 whenever something relevant changed
    due_at     timestamptz not null default now(),   -- orders the queue; -infinity goes first, infinity waits for content
    dirty_at   timestamptz not null default now(),   -- since when it is dirty
    acked_rev  bigint,
    acked_at   timestamptz,
    settle_at  timestamptz,                          -- in doubt: an uncertain request may take effect until then
    born       bigint not null default 0,            -- content: > 0 the target holds it; grows with each new life there
    sent_rev   bigint,                               -- of a pending ticket
    sent_want  bigint,
    sent_at    timestamptz,                          -- when it was drawn
    receipt_at timestamptz,
    receipt_rev bigint,
    attempts   integer not null default 0,
    lane       smallint not null,
    dirty      boolean not null default true,
    acked_hash bytea,
    sent_hash  bytea,
    status     text,                                 -- what the target last took it as: accepted, live, withdrawn, none
    verdict    text,                                 -- of the last receipt
    error      text,                                 -- not null and not dirty: parked
    token      text,                                 -- of a pending ticket
    issues     jsonb,
    primary key (product_id, channel_id, lane)        -- also the order in which all lock; see jobs/consumer.go
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
create index listing_due on listing (channel_id, lane, due_at) where dirty;

create table api_key (
    id         bigint generated always as identity primary key,
    created_at timestamptz not null default now(),
    revoked_at timestamptz,
    name       text not null,
    role       text not null,
    hash       bytea not null unique                 -- SHA-256 of a key with 256 random bits
);

create table idempotency (
    key_id     bigint not null references api_key,
    created_at timestamptz not null default now(),
    key        text not null,
    request    bytea not null,                       -- hash of the request
    response   jsonb not null,
    primary key (key_id, key)
);
create index idempotency_age on idempotency (created_at);

create table import (
    id          bigint generated always as identity primary key,
    created_at  timestamptz not null default now(),
    finished_at timestamptz,
    rows_done   bigint not null default 0,           -- rows whose outcome is committed: a restart goes on behind them
    rows_total  bigint,
    bytes       bigint not null default 0,
    created     bigint not null default 0,
    changed     bigint not null default 0,
    unchanged   bigint not null default 0,
    rejected    bigint not null default 0,
    warnings    bigint not null default 0,
    state       text not null,                       -- uploading, running, finished, failed
    filename    text not null,
    actor       text not null,
    options     jsonb not null,
    error       text
);
create table import_chunk (
    import_id bigint not null references import on delete cascade,
    seq       integer not null,
    data      bytea not null,
    primary key (import_id, seq)
);
alter table import_chunk alter column data set storage external; -- compressing costs more than the import of what is compressed
create table import_report (
    import_id bigint not null references import on delete cascade,
    row       bigint not null,                       -- of the file, the first record is 1
    seq       integer not null,
    severity  text not null,
    sku       text,
    column_   text,
    value     text,
    code      text not null,
    problem   text not null,
    primary key (import_id, row, seq)
);

-- Options of imports under a name, so that a supplier's file is told what it is but once.
create table import_profile (
    code       text collate "C" primary key,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    options    jsonb not null                        -- importing.Options
);
