-- +goose Up

-- Changed products whose assets and texts are still to be looked at. One row a product, whatever the number of edits.
create table derive (
    product_id bigint primary key,
    want       bigint not null default 1,            -- +1 whenever the product changed
    due_at     timestamptz not null default now(),   -- orders the queue, as a listing's
    touch      boolean not null default false        -- an asset that it shows is another one now: its media get a new revision
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
create index derive_due on derive (due_at);
-- Lanes of which a change makes fan-out fill derive: none, until there is something to derive.
alter table catalogue add column derives smallint not null default 0;
alter table catalogue add column collected_at timestamptz not null default now(); -- when files that nobody refers to were last looked for
alter table catalogue add column public_url text;      -- where targets reach the API: addresses of files begin with it, in all processes the same
alter table catalogue add column media_key bytea;      -- sealed: signs the URLs that targets fetch files by

-- Durable pieces of work beside the road: fetch, render, translate, generate. The row goes when the work is done.
create table task (
    id         bigint generated always as identity primary key,
    subject    bigint not null,                      -- fetch: asset, render: rendition, translate and generate: text
    want       bigint not null default 1,            -- +1 whenever it is asked for again
    due_at     timestamptz not null default now(),   -- orders the queue: what was edited by somebody is due since an hour
    created_at timestamptz not null default now(),
    attempts   integer not null default 0,
    kind       text not null,
    lot        text not null,                        -- see lot
    state      text not null default 'waiting',      -- waiting, failed, cancelled
    error      text,
    unique (kind, subject)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
create index task_due on task (kind, lot, due_at) where state = 'waiting';
create index task_state on task (kind, state, id) where state <> 'waiting';

-- Tasks that share a fate: those of one image host, of one pair of languages. A lot that is down waits as a whole,
-- and no other waits for it.
create table lot (
    kind      text not null,
    lot       text not null,
    shard     smallint not null default 0,           -- the consumer (its lane) that works it off
    wait_until timestamptz,
    fails     integer not null default 0,            -- consecutive
    done      bigint not null default 0,             -- since ever
    failed    bigint not null default 0,
    error     text,                                  -- why it waits
    primary key (kind, lot)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
insert into lot (kind, lot, shard) values ('render', '0', 0), ('render', '1', 1), ('render', '2', 2), ('render', '3', 3);
insert into consumer (kind, lane) values ('derive', 0), ('fetch', 0), ('render', 0), ('render', 1), ('render', 2), ('render', 3), ('translate', 0), ('generate', 0);

-- Original files. What values of media attributes name: a code, or the URL that it is fetched from.
create table asset (
    id         bigint generated always as identity primary key,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unused_at  timestamptz,                          -- since when no product names it
    checked_at timestamptz,                          -- when its URL was last asked
    rev        bigint not null default 1,            -- the ETag
    size       bigint not null default 0,
    width      integer not null default 0,           -- as shown: after EXIF orientation
    height     integer not null default 0,
    code       text collate "C" not null unique,
    ref        text collate "C" not null unique,     -- as values name it: the code, or the URL
    source     text,                                 -- the URL that it came from
    etag       text,                                 -- of the source, for asking again
    filename   text not null default '',
    format     text not null default '',             -- jpeg, png, gif, webp; pdf and others: documents, never rendered
    media_type text not null default '',
    focal      text not null default '',             -- 'x,y' in 0..1, from the upper left; '' is the middle
    hash       bytea,                                -- SHA-256 of the file; null: there is none yet
    alpha      boolean not null default false,
    error      text,                                 -- why there is no file, or no rendition
    labels     jsonb not null default '{}'           -- locale → alternative text
);
create index asset_hash on asset (hash);
create index asset_unused on asset (unused_at) where unused_at is not null;

-- Which products name which asset, by what the value says.
create table product_asset (
    product_id bigint not null,
    ref        text collate "C" not null,
    primary key (ref, product_id)
);
create index product_asset_product on product_asset (product_id);

-- What shall be made of every image, by name.
create table rendition_definition (
    code       text collate "C" primary key,
    rev        bigint not null default 1,
    updated_at timestamptz not null default now(),
    definition jsonb not null,                       -- media.Definition
    spec       bytea not null,                       -- hash of the definition and the engine's version
    focal      boolean not null                      -- the asset's focal point counts
);

-- What was made: one row for an original, a spec and a focal point, whoever asks for it.
create table rendition (
    id         bigint generated always as identity primary key,
    made_at    timestamptz,
    size       bigint not null default 0,
    width      integer not null default 0,
    height     integer not null default 0,
    original   bytea not null,                       -- asset.hash
    spec       bytea not null,
    focal      text not null default '',
    hash       bytea,                                -- of the file that was made; null: none yet
    media_type text not null default '',
    error      text,                                 -- why there will be none
    issues     jsonb,                                -- what the definition requires and the image does not meet
    unique (original, spec, focal)
);
create index rendition_hash on rendition (hash);

-- The renditions that a channel shows: in the first of them its pictures, in all what its mapping names. None: originals.
alter table channel add column renditions text[] not null default '{}';

-- What was given to a target that keeps files of its own: once for each file and channel.
create table upload (
    channel_id bigint not null references channel on delete cascade,
    hash       bytea not null,
    at         timestamptz not null default now(),
    remote     text not null,                        -- as the target calls it
    primary key (channel_id, hash)
);
