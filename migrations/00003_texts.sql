-- +goose Up

-- Fuzzy search of the translation memory. pg_trgm is a trusted extension: who may create objects in the database may create it.
-- +goose StatementBegin
do $$
begin
    create extension if not exists pg_trgm;
exception when others then
    raise exception 'sluice needs the PostgreSQL extension pg_trgm, and it could not be created: %', sqlerrm
        using hint = 'Install it (Debian, Ubuntu: part of the package postgresql-15; others: postgresql-contrib), and let the role of DATABASE_URL '
                     'create it (GRANT CREATE ON DATABASE), or create it once as a superuser: CREATE EXTENSION pg_trgm.';
end $$;
-- +goose StatementEnd

-- Translation and text services with their settings.
create table provider (
    code          text collate "C" primary key,
    kind          text not null,                      -- of translation.Registry
    version       bigint not null default 1,          -- rises with each change of the settings
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    config        jsonb not null default '{}',        -- without secrets
    secrets       bytea,                              -- sealed JSON; null: none
    limits        jsonb not null default '{}',        -- postgres.ProviderLimits: lower than the kind's
    enabled       boolean not null default true,
    allow_private boolean not null default false,     -- its service may be on a loopback or private address
    test          boolean not null default false,     -- its kind's results go to no channel that is not a test
    priority      integer not null default 0,         -- the lowest first
    quota         bigint not null default 0,          -- characters in a calendar month (UTC); 0 is no bound
    month         date not null default date_trunc('month', now() at time zone 'utc'),
    used          bigint not null default 0,          -- characters in month
    calls         bigint not null default 0,          -- since ever, as what follows
    segments      bigint not null default 0,
    refused       bigint not null default 0,          -- segments whose translation was broken
    characters    bigint not null default 0,
    tokens        bigint not null default 0,
    costs         jsonb not null default '{}',        -- currency → amount as decimal text
    wait_until    timestamptz,                        -- nothing is asked before
    fails         integer not null default 0,         -- consecutive
    error         text                                -- of the last failure; null: the last call succeeded
);

-- What is translated or written by machines.
create table text_rule (
    code       text collate "C" primary key,
    rev        bigint not null default 1,
    updated_at timestamptz not null default now(),
    definition jsonb not null                         -- postgres.TextRule
);

-- Words with a translation of their own. version: of the glossary when the entry was made or changed.
create sequence glossary_version;
create table glossary (
    id         bigint generated always as identity primary key,
    version    bigint not null default nextval('glossary_version'),
    updated_at timestamptz not null default now(),
    from_locale text collate "C" not null,            -- language or locale; '' is any
    to_locale  text collate "C" not null,
    term       text not null,
    translation text not null default '',
    kind       text not null,                         -- fixed, keep, forbidden
    match_case boolean not null default false,
    unique (from_locale, to_locale, kind, term)
);

-- A place of a product's values that a rule covers: one attribute, locale and, of scopable attributes, channel.
create table product_text (
    id          bigint generated always as identity primary key,
    product_id  bigint not null,
    rev         bigint not null default 1,            -- +1 with each change: the ETag, and what keeps two deciders apart
    updated_at  timestamptz not null default now(),
    attribute   text collate "C" not null,
    locale      text collate "C" not null,
    channel     text collate "C" not null default '',
    from_locale text collate "C" not null,            -- of a text that is written: of the facts, '' is any
    rule        text collate "C" not null,
    action      text not null,                        -- translate, generate
    state       text not null,                        -- missing, machine, reviewed, outdated
    source_hash text not null default '',             -- of the source that the target is a translation of, as far as known
    target_hash text not null default '',             -- of the target as it was last seen or written
    machine     boolean not null default false,       -- the target of target_hash is a machine's
    asked       text not null default '',             -- of the source and rule for which work was last asked: not asked for twice
    test        boolean not null default false,       -- what the machine gave is a test provider's
    test_value  text,                                 -- shown in place of the missing value, on test channels alone
    proposal    text,                                 -- waits for a person
    proposed    text not null default '',             -- hash of the source that the proposal is of
    suggestions jsonb,                                -- of the memory: [{source, target, similarity}]
    faults      jsonb,                                -- text.Fault: what is wrong with the proposal, or was with what was refused
    provenance  jsonb,                                -- postgres.Provenance of the target, or of the proposal
    error       text,                                 -- why the last attempt came to nothing
    unique (product_id, attribute, locale, channel)
) with (fillfactor = 80);
create index product_text_state on product_text (state, id);
create index product_text_rule on product_text (rule, id);
create index product_text_waits on product_text (id) where proposal is not null;
create index product_text_failed on product_text (id) where error is not null;
create index product_text_tests on product_text (product_id) where test_value is not null;
-- There is a provider for tests: whoever shows products to channels that are none has to say what is left out.
alter table catalogue add column test_texts boolean not null default false;
alter table channel add column test boolean not null default false;

-- What was translated before, segment by segment (package pim/text). Nothing here is of one product.
create table translation_memory (
    id               bigint generated always as identity primary key,
    at               timestamptz not null default now(),
    glossary_version bigint not null default 0,       -- newest of the glossary's entries that occur in the source
    source_hash      bytea not null,                  -- text.Segment's Key
    from_locale      text collate "C" not null,
    to_locale        text collate "C" not null,
    origin           text collate "C" not null,       -- a provider's code, or 'person'
    test             boolean not null default false,
    source           text not null,                   -- fragments
    target           text not null,
    model            text not null default '',
    shape            bytea,                           -- hash of the source without its numbers; null: it has none
    unique (source_hash, from_locale, to_locale, origin, glossary_version)
);
create index translation_memory_shape on translation_memory (shape, from_locale, to_locale) where shape is not null;
create index translation_memory_like on translation_memory using gin (source gin_trgm_ops);
