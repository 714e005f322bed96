-- +goose Up

-- How many listings each lane finished, by the minute: what forecasts are worked out from. Kept for a few hours.
create table pace (
    channel_id bigint not null,
    lane       smallint not null,
    minute     timestamptz not null,
    began      timestamptz not null default now(),    -- the first of them, about
    done       bigint not null default 0,             -- that need nothing more
    refused    bigint not null default 0,             -- of those, parked
    primary key (channel_id, lane, minute)
) with (fillfactor = 50);

-- Parked listings, to be counted, tried again and told of without reading all.
create index listing_rejected on listing (channel_id, lane, product_id) where not dirty and error is not null;

-- Who is told when a channel needs somebody.
create table notifier (
    code          text collate "C" primary key,
    kind          text not null,                      -- webhook, email
    version       bigint not null default 1,          -- rises with each change of the settings
    created_at    timestamptz not null default now(),
    config        jsonb not null default '{}',        -- without secrets
    secrets       bytea,                              -- sealed JSON; null: none
    enabled       boolean not null default true,
    allow_private boolean not null default false,     -- it may be reached at a loopback or private address
    channels      text[] not null default '{}',       -- of which it is told; empty: of all
    kinds         text[] not null default '{}',       -- kinds of alerts; empty: all
    -- State.
    next_at       timestamptz not null default now(), -- nothing is sent before
    fails         integer not null default 0,         -- consecutive
    error         text,                               -- of the last failure; null: the last message arrived
    sent_at       timestamptz,                        -- when one arrived last
    lost          bigint not null default 0           -- notices that were given up
);

-- What is, or seems to be, wrong with a channel. A row is there from the first sight on until it was well for long enough.
create table alert (
    id         bigint generated always as identity primary key,
    channel_id bigint not null,
    kind       text not null,                         -- pim.AlertKind
    since      timestamptz not null,                  -- seen first
    well_since timestamptz,                           -- null: it was wrong when last looked at
    raised_at  timestamptz,                           -- told; null: not yet
    cleared_at timestamptz,                           -- over, and told
    detail     text not null default ''
);
create unique index alert_open on alert (channel_id, kind) where cleared_at is null;
create index alert_cleared on alert (cleared_at) where cleared_at is not null;

-- What a notifier is still to be told: one row per change of an alert's state.
create table notice (
    id       bigint generated always as identity primary key,
    notifier text collate "C" not null references notifier on delete cascade,
    at       timestamptz not null default now(),
    message  text,                                    -- in which it goes out: the same at each attempt; null: not yet
    body     jsonb not null                           -- pim.Notice
);
create index notice_notifier on notice (notifier, id);

-- Whose turn it is to look after the channels: one row.
create table watch (
    one     boolean primary key default true check (one),
    next_at timestamptz not null default now()
);
insert into watch default values;
