package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const sqlAssetUses = `
select a.id, (select count(distinct u.product_id) from product_asset u where u.ref in (a.ref, a.code)) from asset a where a.id = any(@id::bigint[])`

// AssetUses counts the products that name assets, by the assets' rows. It knows
// what the derive consumer has looked at.
func (s *Store) AssetUses(ctx context.Context, ids []int64) (map[int64]int64, error) {
	rows, err := s.pool.Query(ctx, sqlAssetUses, pgx.NamedArgs{"id": ids})
	if err != nil {
		return nil, fmt.Errorf("count the uses of assets: %w", err)
	}
	out := map[int64]int64{}
	var id, n int64
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		out[id] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count the uses of assets: %w", err)
	}
	return out, nil
}

// AssetRendition is what is made of an asset by one definition. None of Hash
// and Error: it is still to be made.
type AssetRendition struct {
	Used bool // by some channel
	Rendition
}

// sqlAssetRenditions leaves out what no channel uses and was never made.
const sqlAssetRenditions = `
select d.code, d.used, coalesce(r.id, 0), r.hash, coalesce(r.size, 0), coalesce(r.width, 0), coalesce(r.height, 0), coalesce(r.media_type, ''),
       coalesce(r.error, ''), r.issues, r.made_at
from asset a
cross join (select *, exists (select from channel c where c.deleted_at is null and rd.code = any(c.renditions)) as used from rendition_definition rd) d
left join rendition r on r.original = a.hash and r.spec = d.spec and r.focal = case when d.focal then a.focal else '' end
where a.id = @id and a.hash is not null and a.error is null and a.width > 0 and (d.used or r.id is not null)
order by d.code limit 1000`

// AssetRenditions reads what is made, or to be made, of an asset, by the codes
// of the definitions. Of what is no image there is nothing.
func (s *Store) AssetRenditions(ctx context.Context, id int64) ([]AssetRendition, error) {
	rows, err := s.pool.Query(ctx, sqlAssetRenditions, pgx.NamedArgs{"id": id})
	if err != nil {
		return nil, fmt.Errorf("read the renditions of an asset: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r AssetRendition, err error) {
		var issues []byte
		err = row.Scan(&r.Definition, &r.Used, &r.ID, &r.Hash, &r.Size, &r.Width, &r.Height, &r.MediaType, &r.Error, &issues, &r.MadeAt)
		if err == nil && issues != nil {
			err = json.Unmarshal(issues, &r.Issues)
		}
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the renditions of an asset: %w", err)
	}
	return list, nil
}
