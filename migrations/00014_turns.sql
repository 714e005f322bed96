-- +goose Up

-- Whose turn it is: 2 what is sold out, 1 somebody's edit, 0 bulk. It stays with a listing until that is acknowledged,
-- through failures and waits: due_at is a time, and nothing else.
alter table listing add priority smallint not null default 0;
update listing set priority = 2, due_at = now() where dirty and due_at = '-infinity';

-- Each turn is a queue of its own; what the target is to be asked for is the fourth.
drop index listing_due;
create index listing_due on listing (channel_id, lane, (case when token is null then priority else 3::smallint end), due_at) where dirty;

-- Until then the lane does not even ask what became of what is pending.
alter table consumer add polls_until timestamptz;

-- Requests that were made for what was done: what a day's quota is worth.
alter table pace add requests bigint not null default 0;
