-- +goose Up

-- What was said to channels' targets and what they answered, by days; written
-- behind the road, which never waits for it, and without secrets.
create sequence exchange_id;
create table exchange (
    id         bigint not null default nextval('exchange_id'),
    at         timestamptz not null,                 -- when the request began
    channel_id bigint not null,
    attempt    bigint not null,                      -- the connector's call that it belonged to
    took_us    bigint not null,
    sent       bigint not null,                      -- bytes of the whole bodies
    received   bigint not null,
    status     integer not null,                     -- 0: there was no answer
    lane       smallint not null,                    -- 0: of none
    failed     boolean not null,                     -- it failed, or the target refused some of what it was about
    kind       text not null,                        -- push, poll, probe, upload, pull, read, other
    method     text not null,
    url        text not null,                        -- without query and user
    error      text,
    header     jsonb,                                -- of the answer
    request    text,                                 -- the bodies, cut
    answer     text,
    skus       text[] not null,                      -- which products it was about
    primary key (channel_id, id, at)
) partition by range (at);
create index exchange_failed on exchange (channel_id, id) where failed;
create index exchange_skus on exchange using gin (skus);
create table exchange_default partition of exchange default; -- a net: partitions are made ahead by exchange_partitions()

-- Makes the partitions of today and of the days ahead, and drops those of which
-- all is older than keep.
-- +goose StatementBegin
create function exchange_partitions(ahead integer, keep interval) returns void language plpgsql as $$
declare
    today date := (now() at time zone 'utc')::date;
    day   date;
    name  text;
begin
    for i in 0..ahead loop
        day := today + i;
        name := 'exchange_' || to_char(day, 'YYYY_MM_DD');
        if to_regclass(name) is null then
            begin
                execute format('create table %I partition of exchange for values from (%L) to (%L)', name,
                    day::timestamp at time zone 'utc', (day + 1)::timestamp at time zone 'utc');
            exception when check_violation or duplicate_table then
                null; -- rows of this day are in the default partition already, or another process was first
            end;
        end if;
    end loop;
    for name in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'exchange'::regclass and c.relname ~ '^exchange_\d{4}_\d\d_\d\d$' order by 1
    loop
        if (to_date(substr(name, 10), 'YYYY_MM_DD') + 1)::timestamp at time zone 'utc' <= now() - keep then
            execute format('drop table if exists %I', name);
        end if;
    end loop;
    delete from exchange_default where at < now() - keep;
end $$;
-- +goose StatementEnd
select exchange_partitions(2, interval '3 days');
