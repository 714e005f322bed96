-- +goose Up

-- What is asked for most of listings beside the road: those with issues. They are mostly rare, and a receipt of one that has none
-- does not touch it. In the order of their pages.
create index listing_issues on listing (product_id, channel_id, lane) where issues is not null;

-- What a target says of what it takes is one thing on one channel and another on the next: without these, a page of what is live
-- is looked for along all listings of a channel on which nothing is. They cost nothing but with ANALYZE.
create statistics listing_states (mcv) on channel_id, lane, dirty, status from listing;
-- +goose StatementBegin
do $$
begin
    if exists (select from listing) then -- of an empty table nothing is worth knowing
        analyze listing;
    end if;
end $$;
-- +goose StatementEnd

-- Revisions of definitions that were deleted. One that is made again under the same code goes on counting, so that nobody's
-- If-Match of the one before fits it. Those of records and channels stay in rows of their own, as products' do.
create table last_revision (
    kind text collate "C",                           -- the table that it was in
    code text collate "C",
    rev  bigint not null,
    primary key (kind, code)
);

-- The column of the revision is the triggers' argument: rev or version.
-- +goose StatementBegin
create function revision_stays() returns trigger language plpgsql as $$
begin
    insert into last_revision as l values (tg_table_name, old.code, (to_jsonb(old) ->> tg_argv[0])::bigint)
    on conflict (kind, code) do update set rev = greatest(l.rev, excluded.rev);
    return null;
end $$;
-- +goose StatementEnd

-- +goose StatementBegin
create function revision_goes_on() returns trigger language plpgsql as $$
declare last bigint;
begin
    -- Whoever deletes it at this moment is waited for: what is read after that is what they left.
    execute format('select from %I where code = $1 for key share', tg_table_name) using new.code;
    select rev into last from last_revision where kind = tg_table_name and code = new.code;
    if found then
        return jsonb_populate_record(new, jsonb_build_object(tg_argv[0], last + 1));
    end if;
    return new;
end $$;
-- +goose StatementEnd

-- +goose StatementBegin
do $$
declare
    kind text;
    col  text;
begin
    foreach kind in array array['association_type', 'attribute', 'attribute_group', 'category', 'family', 'import_profile', 'locale', 'location', 'notifier',
                                'price_list', 'price_rule', 'provider', 'reference_entity', 'rendition_definition', 'text_rule'] loop
        col := case when kind in ('notifier', 'provider') then 'version' else 'rev' end;
        execute format('create trigger revision_goes_on before insert on %I for each row execute function revision_goes_on(%L)', kind, col);
        execute format('create trigger revision_stays after delete on %I for each row execute function revision_stays(%L)', kind, col);
    end loop;
end $$;
-- +goose StatementEnd
