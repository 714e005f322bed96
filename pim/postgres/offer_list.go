package postgres

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Lists of what products have in tables of their own, product by product in the
// order in which these were made. A cursor is a place in the table's key.

const (
	sqlListPrices = `
select r.product_id, p.sku, r.price_list, r.currency, r.min_quantity, r.amount::text, nullif(r.valid_from, '-infinity'), nullif(r.valid_to, 'infinity'), r.rules
from price r join product p on p.id = r.product_id
where p.deleted_at is null and (@sku = '' or p.sku = @sku) and (@price_list = '' or r.price_list = @price_list) and (@currency = '' or r.currency = @currency)
  and (r.product_id, r.price_list, r.currency, r.min_quantity, r.valid_from) > (@id::bigint, @after_a::text, @after_b::text, @after_n::bigint, @after_at::timestamptz)
order by r.product_id, r.price_list, r.currency, r.min_quantity, r.valid_from limit @limit`

	sqlListStock = `
select s.product_id, p.sku, s.location, s.on_hand, s.reserved, s.safety, stock_free(s.on_hand, s.reserved, s.safety, l.definition)
from stock s join product p on p.id = s.product_id left join location l on l.code = s.location
where p.deleted_at is null and (@sku = '' or p.sku = @sku) and (@location = '' or s.location = @location)
  and (s.product_id, s.location) > (@id::bigint, @after_a::text)
order by s.product_id, s.location limit @limit`

	sqlListPublication = `
select w.product_id, p.sku, c.id, c.code, nullif(w.publish_from, '-infinity'), nullif(w.publish_to, 'infinity')
from publication w join product p on p.id = w.product_id join channel c on c.id = w.channel_id
where p.deleted_at is null and c.deleted_at is null and (@sku = '' or p.sku = @sku) and (@channel = '' or c.code = @channel)
  and (isfinite(w.publish_from) or isfinite(w.publish_to)) and (w.product_id, w.channel_id) > (@id::bigint, @after_n::bigint)
order by w.product_id, w.channel_id limit @limit`
)

// ListedPrice is a price and whose it is.
type ListedPrice struct {
	SKU pim.SKU
	pim.Price
}

// ListedStock is a stock level and whose it is; Free is what can be sold of it.
type ListedStock struct {
	SKU pim.SKU
	pim.Stock
	Free int64
}

// ListedPublication is a window of publication and whose it is.
type ListedPublication struct {
	SKU pim.SKU
	pim.Publication
}

// OfferFilter narrows these lists; what is "" says nothing.
type OfferFilter struct {
	SKU       pim.SKU
	PriceList string
	Currency  pim.Currency
	Location  string
	Channel   pim.ChannelCode
}

// keyPlace is a place in the key of one of the tables.
type keyPlace struct {
	ID   int64  `json:"i"`
	A    string `json:"a,omitempty"`
	B    string `json:"b,omitempty"`
	N    int64  `json:"n,omitempty"`
	From string `json:"f,omitempty"`
}

func readKeyPlace(text string) (p keyPlace, err error) {
	if text == "" {
		return p, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	var from time.Time
	if err == nil && p.From != "" {
		from, err = time.Parse(time.RFC3339Nano, p.From)
	}
	// PostgreSQL writes no year 0.
	if err != nil || p.ID < 0 || p.N < 0 || p.From != "" && from.UTC().Year() < 1 || storable(p.A) != p.A || storable(p.B) != p.B {
		_, err = cursor("-")
	}
	return p, err
}

func (p keyPlace) String() string { return base64.RawURLEncoding.EncodeToString(mustJSON(p)) }

// offers reads one page of such a list; scan gives an item and its place.
func offers[T any](ctx context.Context, s *Store, sql string, f OfferFilter, page Page, scan func(pgx.CollectableRow, *keyPlace) (T, error)) (list []T, next string, err error) {
	at, err := readKeyPlace(page.After)
	if err != nil {
		return nil, "", err
	}
	// Planned for its values: a filter that is not there is no condition.
	rows, err := s.pool.Query(ctx, sql, pgx.QueryExecModeDescribeExec, pgx.NamedArgs{
		"sku": storable(string(f.SKU)), "price_list": storable(f.PriceList), "currency": storable(string(f.Currency)), "location": storable(f.Location), "channel": storable(string(f.Channel)),
		"id": at.ID, "after_a": at.A, "after_b": at.B, "after_n": at.N, "after_at": cmp.Or(at.From, "-infinity"), "limit": page.limit(),
	})
	if err != nil {
		return nil, "", err
	}
	var last keyPlace
	list, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (T, error) { return scan(r, &last) })
	if err == nil && len(list) == page.limit() {
		next = last.String()
	}
	return list, next, err
}

// Prices lists prices in the order of their products' creation, of each by list,
// currency, quantity and window.
func (s *Store) Prices(ctx context.Context, f OfferFilter, page Page) (list []ListedPrice, next string, err error) {
	list, next, err = offers(ctx, s, sqlListPrices, f, page, func(r pgx.CollectableRow, at *keyPlace) (p ListedPrice, err error) {
		var amount string
		if err := r.Scan(&at.ID, &p.SKU, &p.PriceList, &p.Currency, &p.MinQuantity, &amount, &p.ValidFrom, &p.ValidTo, &p.Rules); err != nil {
			return p, err
		}
		at.A, at.B, at.N, at.From = p.PriceList, string(p.Currency), int64(p.MinQuantity), ""
		if p.ValidFrom != nil {
			at.From = p.ValidFrom.Format(time.RFC3339Nano)
		}
		p.Amount, err = pim.ParseAmount(json.Number(amount))
		return p, err
	})
	if err != nil {
		err = fmt.Errorf("list prices: %w", err)
	}
	return list, next, err
}

// StockLevels lists stock levels in the order of their products' creation, of each
// by location.
func (s *Store) StockLevels(ctx context.Context, f OfferFilter, page Page) (list []ListedStock, next string, err error) {
	list, next, err = offers(ctx, s, sqlListStock, f, page, func(r pgx.CollectableRow, at *keyPlace) (l ListedStock, err error) {
		err = r.Scan(&at.ID, &l.SKU, &l.Location, &l.OnHand, &l.Reserved, &l.SafetyStock, &l.Free)
		at.A = l.Location
		return l, err
	})
	if err != nil {
		err = fmt.Errorf("list stock levels: %w", err)
	}
	return list, next, err
}

// PublicationWindows lists windows of publication in the order of their products'
// creation; on other channels, products are published whenever they are enabled.
func (s *Store) PublicationWindows(ctx context.Context, f OfferFilter, page Page) (list []ListedPublication, next string, err error) {
	list, next, err = offers(ctx, s, sqlListPublication, f, page, func(r pgx.CollectableRow, at *keyPlace) (w ListedPublication, err error) {
		return w, r.Scan(&at.ID, &w.SKU, &at.N, &w.Channel, &w.From, &w.To)
	})
	if err != nil {
		err = fmt.Errorf("list windows of publication: %w", err)
	}
	return list, next, err
}
