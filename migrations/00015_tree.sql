-- +goose Up

-- Trees of categories. Products name the categories that they are in by their codes, and may name some that are not here.
create table category (
    code       text primary key,
    parent     text references category,             -- null: a root
    position   integer not null,                     -- among its siblings: by position, then by code
    rev        bigint not null default 1,            -- of parent, position and labels: the ETag
    updated_at timestamptz not null default now(),
    labels     jsonb not null default '{}',
    path       text[] not null                       -- codes from the root to the category itself
);
create index category_parent on category (parent) where parent is not null;
create index category_path on category using gin (path);

-- Each code in use becomes a root.
insert into category (code, position, path)
select code, row_number() over (order by code collate "C") - 1, array[code]
from (select distinct unnest(categories) as code from product where deleted_at is null) c;

create index product_categories on product using gin (categories);

alter table catalogue add tree bigint not null default 0; -- rises with each change of categories

-- Which lanes of a channel a category's name or place touches, by the mapping.
alter table channel add marks_tree smallint not null default 0;

-- Changes of the tree whose products are still to be put on the road: they are looked for after the change is committed, so
-- that those are among them which were edited by who did not know of it.
create table tree_change (
    id    bigint primary key generated always as identity,
    at    timestamptz not null default now(),
    lanes smallint not null,                         -- as in outbox
    codes text[] not null
);

-- Groups of attributes, for people. Those in use become groups, with codes where they were plain text.
create table attribute_group (
    code       text collate "C" primary key,
    definition jsonb not null                        -- pim.AttributeGroup
);
create function group_code(name text) returns text language sql immutable as
$$ select left(coalesce(nullif(trim(both '_-' from regexp_replace(name, '[^A-Za-z0-9_-]+', '_', 'g')), ''), 'group-' || left(md5(name), 8)), 100) $$;
insert into attribute_group (code, definition)
select code, jsonb_build_object('code', code, 'position', row_number() over (order by code collate "C") - 1)
    || case when min(name) = code then '{}' else jsonb_build_object('labels', jsonb_build_object('en-GB', min(name))) end
from (select distinct definition ->> 'group' as name, group_code(definition ->> 'group') as code from attribute where coalesce(definition ->> 'group', '') <> '') g group by code;
update attribute set definition = jsonb_set(definition, '{group}', to_jsonb(group_code(definition ->> 'group')))
where coalesce(definition ->> 'group', '') <> '' and definition ->> 'group' <> group_code(definition ->> 'group');
drop function group_code(text);
