-- +goose Up

-- How far what each channel's target holds has been read back and compared. See jobs/reconcile.go.
create table reconcile (
    channel_id   bigint primary key,
    run          bigint not null default 0,           -- number of the last whole reading that was asked for
    wakes        bigint not null default 0,           -- +1 whenever somebody makes it due: a step that saw fewer does not put it off
    sample_after bigint not null default 0,           -- products above this id are read next, for a sample
    run_after    bigint,                              -- products above this id are still to be read, of the run; null: there is none under way
    due_at       timestamptz not null default now(),
    looked_at    timestamptz,                         -- the target told last what it holds
    round_at     timestamptz,                         -- the round of samples under way began
    passed_at    timestamptz,                         -- all was read once, by a round of samples or a run
    asked_at     timestamptz,                         -- of the run, as all below
    ended_at     timestamptz,
    total        bigint not null default 0,           -- products to read
    seen         bigint not null default 0,           -- products read
    same         bigint not null default 0,           -- listings, as all below
    drifted      bigint not null default 0,
    repaired     bigint not null default 0,
    left_out     bigint not null default 0,
    unread       bigint not null default 0,
    fails        integer not null default 0,          -- readings in a row that the target did not answer
    cancelled    boolean not null default false,
    repair       boolean not null default false,
    actor        text not null default '',
    skus         text[],                              -- null: all
    error        text
) with (fillfactor = 50);
insert into reconcile (channel_id) select id from channel where deleted_at is null;
insert into consumer (kind, channel_id) select 'reconcile', id from channel where deleted_at is null;

-- Listings whose target was found to hold something else than it acknowledged.
create table drift (
    channel_id  bigint not null,
    product_id  bigint not null,
    found_at    timestamptz not null default now(),
    looked_at   timestamptz not null default now(),
    repaired_at timestamptz,                          -- it was put on the road again
    repairs     integer not null default 0,
    lane        smallint not null,
    kind        text not null,                        -- changed, absent, or present: it should not be there
    fields      jsonb not null default '[]',          -- pim.DriftField
    primary key (channel_id, product_id, lane)
) with (fillfactor = 70);

-- When the target was last seen to hold what it had acknowledged before.
alter table listing add column verified_at timestamptz;
