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
