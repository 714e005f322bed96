-- +goose Up

-- Why the channel rests until next_probe_at or throttled_until: down, auth, throttled, budget, quota.
alter table channel add hold text;
-- What fan-out needs of the policy.
alter table channel add debounce double precision not null generated always as (coalesce((policy #>> '{flow,debounce_seconds}')::double precision, 0)) stored;

-- A lane that may send but what is sold out, until when and why: rate, quota, window.
alter table consumer add wait_until timestamptz;
alter table consumer add wait_for text;

-- What a channel with a rate or a quota has been granted, over all processes.
create table flow (
    channel_id bigint primary key,
    pass_at    timestamptz not null default 'epoch', -- when all that was granted has been made at the channel's rate
    day        timestamptz not null default 'epoch', -- in which used were granted: its beginning
    used       bigint not null default 0,
    share      double precision not null default 1       -- of the rate: halved by a throttle, grows by a tenth
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
insert into flow (channel_id) select id from channel;
