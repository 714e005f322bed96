-- +goose Up

-- What products are found by. It follows the event log, behind the edits, which it never touches or waits for.

-- SKUs and GTINs, in lower case; GTINs also without their leading zeros.
create table search_code (
    product_id bigint not null,
    code       text collate "C" not null,
    primary key (product_id, code)
);
create index search_code_order on search_code (code, product_id);

-- The words of a product: those of all locales under '', and with a locale's own for each that it has texts in.
-- Weights: A codes, B and C names as written and by their stems, D longer texts.
create table search_document (
    product_id bigint not null,
    locale     text not null,
    words      tsvector not null,
    primary key (product_id, locale)
);
create index search_document_words on search_document using gin (words);

-- Every word that a document has had, for the words that people mistype. It grows far more slowly than the catalogue.
create table search_word (word text collate "C" primary key);

-- How far the log has been followed. walk_after: products above this id are still to be looked at, whatever changed; null: none.
create table search_state (
    one         boolean primary key default true check (one),
    xid         xid8,
    id          bigint not null default 0,
    walk_after  bigint default 0,
    fingerprint text not null default ''             -- of what documents are made by: another one means that all are made anew
);
insert into search_state default values;

-- Typing errors are found by trigrams, where the server has them: pg_trgm is part of PostgreSQL's contrib, and any owner of a
-- database may have it. Without it, all else is found.
-- +goose StatementBegin
do $$
begin
    if exists (select from pg_available_extensions where name = 'pg_trgm') then
        begin
            create extension if not exists pg_trgm;
            create index search_word_trigrams on search_word using gin (word gin_trgm_ops);
        exception when insufficient_privilege then
            raise notice 'pg_trgm cannot be installed: mistyped words will not be found';
        end;
    end if;
end $$;
-- +goose StatementEnd
