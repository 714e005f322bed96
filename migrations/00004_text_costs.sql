-- +goose Up

-- What providers were used for, month by month (calendar months, UTC).
create table provider_month (
    provider      text collate "C" not null references provider on delete cascade,
    month         date not null,                      -- its first day
    calls         bigint not null default 0,
    segments      bigint not null default 0,
    refused       bigint not null default 0,          -- segments whose translation was broken
    characters    bigint not null default 0,
    input_tokens  bigint not null default 0,
    output_tokens bigint not null default 0,
    costs         jsonb not null default '{}',        -- currency → amount as decimal text
    primary key (provider, month)
);
-- Of the months before, the characters of the last one used are all that is known.
insert into provider_month (provider, month, characters) select code, month, used from provider where used > 0;

-- What it may cost in a month, by the prices in its settings; 0 is no bound.
alter table provider add column budget numeric not null default 0;
alter table provider add column budget_currency text not null default '';
