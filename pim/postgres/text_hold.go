package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// HeldProduct is a product that a channel shall see for the first time, and how
// the texts stand that it lacks there.
type HeldProduct struct {
	Product pim.ProductID
	Rev     int64 // as Claimed's; another one: the product was changed since it was claimed
	// Unseen: it, or a model above it, is still to be looked at, and what it lacks may
	// not be known yet.
	Unseen bool
	Texts  []HeldText
}

// HeldText is a missing text that is being made, or waits for a person.
type HeldText struct {
	Attribute string          `json:"attribute"`
	Channel   pim.ChannelCode `json:"channel"`
	Since     *time.Time      `json:"since"` // when its task was made; nil: it has none that could still do something
	Proposal  bool            `json:"proposal"`
	Error     string          `json:"error"` // why its lot waits
}

const sqlHeldProducts = `
select p.id, cat.revision_floor + p.rev + case when p.deleted_at is null then coalesce(parent.rev, 0) + coalesce(root.rev, 0) else 0 end,
       exists (select from derive d where d.product_id in (p.id, p.parent_id, root.id)),
       (select json_agg(json_build_object('attribute', t.attribute, 'channel', t.channel, 'since', k.created_at, 'proposal', t.proposal is not null,
                                          'error', coalesce(o.error, '')) order by t.id)
        from product_text t
        left join task k on k.kind = t.action and k.subject = t.id and k.state = 'waiting'
        left join lot o on o.kind = k.kind and o.lot = k.lot and o.wait_until > now()
        where t.product_id in (p.id, p.parent_id, root.id) and t.locale = @locale and t.channel in ('', @channel) and t.state = 'missing'
          and (k.id is not null or t.proposal is not null))
from product p cross join (select revision_floor from catalogue offset 0) cat left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id
where p.id = any(@product::bigint[]) order by p.id`

// HeldProducts reads how the texts stand that products lack on a channel.
func (s *Store) HeldProducts(ctx context.Context, ids []int64, locale pim.Locale, channel pim.ChannelCode) ([]HeldProduct, error) {
	rows, err := s.work.Query(ctx, sqlHeldProducts, pgx.NamedArgs{"product": ids, "locale": string(locale), "channel": string(channel)})
	if err != nil {
		return nil, fmt.Errorf("look for texts that are being made: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (h HeldProduct, err error) {
		var texts []byte
		if err := r.Scan(&h.Product, &h.Rev, &h.Unseen, &texts); err != nil || texts == nil {
			return h, err
		}
		return h, json.Unmarshal(texts, &h.Texts)
	})
	if err != nil {
		return nil, fmt.Errorf("look for texts that are being made: %w", err)
	}
	return list, nil
}

const (
	// letGo has fan-out mark the listings that wait for texts t.* of which nothing
	// comes, or which nobody makes any more: they go out as they are. Listings
	// that were acknowledged, and those without a text, wait for none.
	letGo = `
insert into outbox (product_id, lanes, priority)
select distinct t.product_id, 1, 0 from product_text t
where t.state = 'missing' and exists (
    select from product p join listing l on l.product_id = p.id and l.lane = 1 and l.dirty and l.acked_hash is null
    where p.id = t.product_id or p.parent_id = t.product_id
        or p.parent_id = any(array(select m.id from product m where m.parent_id = t.product_id)))
  and t.id in `

	sqlLetGo = letGo + `(select unnest(@id::bigint[]))`
)
