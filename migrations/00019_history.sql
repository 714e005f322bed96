-- +goose Up

-- For how many months events, and with them products' revisions, are kept; null: for ever.
alter table catalogue add history_months integer check (history_months > 0);

-- Drops the months of the event log of which all is older than keep months.
-- +goose StatementBegin
create function event_drop(keep integer) returns integer language plpgsql as $$
declare
    name    text;
    dropped integer := 0;
begin
    for name in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'event'::regclass and c.relname ~ '^event_\d{4}_\d\d$' order by 1
    loop
        if (to_date(substr(name, 7), 'YYYY_MM') + interval '1 month') at time zone 'utc' <= now() - make_interval(months => keep) then
            execute format('drop table if exists %I', name);
            dropped := dropped + 1;
        end if;
    end loop;
    return dropped;
end $$;
-- +goose StatementEnd
