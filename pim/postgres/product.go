package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// FullProduct is a product with all that hangs on it.
type FullProduct struct {
	pim.Product
	FamilyVariant string  // of a model
	Root          pim.SKU // of a variant below a sub-model: the root model
	Inherited     Inherited
	Associations  pim.Associations
	Prices        []pim.Price
	Stock         []pim.Stock
	Free          []int64           // of each level: what can be sold of it
	Publication   []pim.Publication // its own windows; of exports alone

	share int16 // see ProductFilter.weigh
}

// Inherited is what a variant inherits, or a sub-model; nothing of other products.
type Inherited struct {
	Parent json.RawMessage // the parent's own values; nil: there is no parent
	Root   json.RawMessage // those of the parent's parent; nil: there is none
}

// Values decodes what is inherited, the root model's first; none where there is no parent.
func (i Inherited) Values() (ancestors []pim.Values, err error) {
	for _, raw := range []json.RawMessage{i.Root, i.Parent} {
		if raw == nil {
			continue
		}
		values, err := pim.DecodeStored(raw)
		if err != nil {
			return nil, err
		}
		ancestors = append(ancestors, values)
	}
	return ancestors, nil
}

// Below gives values that stand below what is inherited, as readers see them.
func (i Inherited) Below(own pim.Values) (pim.Values, error) {
	ancestors, err := i.Values()
	if err != nil {
		return nil, err
	}
	for i := len(ancestors) - 1; i >= 0; i-- {
		own = pim.MergeVariant(ancestors[i], own)
	}
	return own, nil
}

// Level is at which level a model stands: 0 for a root model, 1 below one.
func (p *FullProduct) Level() int {
	if p.Parent != "" {
		return 1
	}
	return 0
}

// belowIDs are the products below those of @ids: variants, sub-models, and their variants.
const belowIDs = `
select id from product where parent_id = any(@ids::bigint[])
union select v.id from product m cross join lateral (select id from product v where v.parent_id = m.id offset 0) v where m.parent_id = any(@ids::bigint[])`

const productColumns = `
p.id, p.sku, coalesce(parent.sku, '') as parent, p.family, coalesce(p.family_variant, '') as family_variant, p.enabled,
p.categories, p.values, parent.values as parent_values, root.values as root_values, coalesce(root.sku, '') as root, p.rev, p.media_rev, coalesce(o.rev, 0) as offer_rev, coalesce(o.price_rev, 0) as price_rev,
coalesce(o.stock_rev, 0) as stock_rev, p.deleted_at is not null as deleted, p.created_at, p.updated_at, ` + associationsOf + ` as associations`

const pricesOf = `
(select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('price_list', price_list, 'currency', currency, 'min_quantity', min_quantity,
    'amount', amount::text, 'valid_from', nullif(valid_from, '-infinity'), 'valid_to', nullif(valid_to, 'infinity'), 'rules', to_jsonb(rules)))
    order by price_list, currency, min_quantity, valid_from)
 from price where product_id = p.id)`

const stockOf = `
(select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('location', s.location, 'on_hand', s.on_hand, 'reserved', s.reserved, 'safety_stock', s.safety,
    'free', stock_free(s.on_hand, s.reserved, s.safety, place.definition))) order by s.location)
 from stock s left join location place on place.code = s.location where s.product_id = p.id)`

const sqlProduct = `
select ` + productColumns + `, ` + pricesOf + `, ` + stockOf + `
from product p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id left join product_offer o on o.product_id = p.id
where p.sku = @sku and p.deleted_at is null`

// Product reads one product; ErrNotFound when there is none of that SKU.
func (s *Store) Product(ctx context.Context, sku pim.SKU) (*FullProduct, error) {
	p, err := one(ctx, s.pool, sqlProduct, pgx.NamedArgs{"sku": sku}, scanProduct)
	if err != nil {
		return nil, fmt.Errorf("product %s: %w", sku, err)
	}
	return p, nil
}

func scanProduct(row pgx.CollectableRow) (*FullProduct, error) { return scanProductAnd(row) }

// scanProductAnd also scans what stands behind the product.
func scanProductAnd(row pgx.CollectableRow, more ...any) (*FullProduct, error) {
	var (
		p             FullProduct
		prices, stock []byte
		associations  []byte
	)
	err := row.Scan(append([]any{
		&p.ID, &p.SKU, &p.Parent, &p.Family, &p.FamilyVariant, &p.Enabled,
		&p.Categories, &p.Values, &p.Inherited.Parent, &p.Inherited.Root, &p.Root, &p.Rev, &p.MediaRev, &p.OfferRev, &p.PriceRev,
		&p.StockRev, &p.Deleted, &p.CreatedAt, &p.UpdatedAt, &associations, &prices, &stock,
	}, more...)...)
	if err != nil {
		return nil, err
	}
	if associations != nil {
		if err := json.Unmarshal(associations, &p.Associations); err != nil {
			return nil, fmt.Errorf("decode associations of %s: %w", p.SKU, err)
		}
	}
	if prices != nil {
		if err := json.Unmarshal(prices, &p.Prices); err != nil {
			return nil, fmt.Errorf("decode prices of %s: %w", p.SKU, err)
		}
	}
	if stock != nil {
		var levels []struct {
			pim.Stock
			Free int64 `json:"free"`
		}
		if err := json.Unmarshal(stock, &levels); err != nil {
			return nil, fmt.Errorf("decode stock of %s: %w", p.SKU, err)
		}
		p.Stock, p.Free = make([]pim.Stock, len(levels)), make([]int64, len(levels))
		for i, l := range levels {
			p.Stock[i], p.Free[i] = l.Stock, l.Free
		}
	}
	return &p, nil
}

// cursor reads a cursor that is a row's number.
func cursor(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, &pim.Invalid{Problems: []pim.Problem{{Pointer: "/cursor", Code: "cursor", Detail: "is not a cursor that this list gave"}}}
	}
	return n, nil
}

const sqlCounts = `
select count(*) filter (where deleted_at is null), count(*) from product`

// CountProducts counts the products there are, and all rows with tombstones.
func (s *Store) CountProducts(ctx context.Context) (live, all int64, err error) {
	err = s.pool.QueryRow(ctx, sqlCounts).Scan(&live, &all)
	return live, all, err
}
