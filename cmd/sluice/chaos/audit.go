//go:build unix

package chaos

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// sqlSettled are the channels on which Sluice has nothing to do for a product: it
// believes that they hold what they ought to.
const sqlSettled = `
select c.id from channel c
where c.deleted_at is null and c.mark_after is null and c.mark_anew = 0
  and not exists (select from outbox o join product p on p.id = o.product_id where p.sku = @sku)
  and exists (select from listing l join product p on p.id = l.product_id where p.sku = @sku and l.channel_id = c.id)
  and not exists (
      select from listing l join product p on p.id = l.product_id
      where p.sku = @sku and l.channel_id = c.id and (l.dirty or l.token is not null or l.error is not null))`

// audit compares products in the midst of the disorder: where Sluice believes that
// a channel holds what it ought to, it does. The next edit would hide a mistake, so
// what is found at the end is only the last of them.
func (r *run) audit(ctx context.Context) {
	for i := 0; pause(ctx, 20*time.Millisecond); i++ {
		p := r.products[i%len(r.products)]
		if !p.mu.TryLock() {
			continue // it is being edited
		}
		if !p.broken {
			r.auditProduct(ctx, p)
		}
		p.mu.Unlock()
	}
}

func (r *run) auditProduct(ctx context.Context, p *product) {
	asking, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, t := range r.targets {
		if !t.settings.TryLock() {
			return
		}
		defer t.settings.Unlock()
	}
	rows, err := r.pool.Query(asking, sqlSettled, pgx.NamedArgs{"sku": string(p.sku)})
	if err != nil {
		return // the server is being started
	}
	settled, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return
	}
	for _, t := range r.targets {
		for _, id := range settled {
			if pim.ChannelID(id) != t.id || p.apart[t] {
				continue
			}
			r.verdict.audits++
			before := r.verdict.apart
			r.compare(ctx, r.verdict, t, p, "convergence, in the midst")
			p.apart[t] = r.verdict.apart > before // told once
		}
	}
}
