-- +goose Up

-- How the channel is treated: see pim.Policy. What it says by default is not written down.
alter table channel add policy jsonb not null default '{}';
