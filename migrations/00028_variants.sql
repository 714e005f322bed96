-- +goose Up

-- What has a parent and a family variant is a sub-model from now on: it stands between a root model and its variants. A
-- variant could name a family variant before, to no effect but that its axes did not count for its completeness.
with plain as (
    update product set family_variant = null where parent_id is not null and family_variant is not null returning family
)
update completeness_walk set after = 0 where family in (select family from plain);
