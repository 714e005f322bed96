package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// TextPlace is where a text stands: a product and a place of its values.
type TextPlace struct {
	SKU pim.SKU
	Slot
}

const sqlFindTexts = `
select coalesce(t.id, 0)
from unnest(@sku::text[], @attribute::text[], @locale::text[], @channel::text[]) with ordinality w (sku, attribute, locale, channel, at)
left join product p on p.sku = w.sku
left join product_text t on (t.product_id, t.attribute, t.locale, t.channel) = (p.id, w.attribute, w.locale, w.channel)
order by w.at`

// FindTexts gives the ID of the text in each place, in order; 0 where no rule
// covers one.
func (s *Store) FindTexts(ctx context.Context, places []TextPlace) ([]int64, error) {
	n := len(places)
	sku, attribute, locale, channel := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, p := range places {
		sku[i], attribute[i], locale[i], channel[i] = storable(string(p.SKU)), storable(p.Attribute), storable(string(p.Locale)), storable(string(p.Channel))
	}
	rows, err := s.pool.Query(ctx, sqlFindTexts, pgx.NamedArgs{"sku": sku, "attribute": attribute, "locale": locale, "channel": channel})
	if err != nil {
		return nil, fmt.Errorf("find %d texts: %w", n, err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}
