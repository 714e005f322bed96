package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// What a channel keeps for less long than others goes piece by piece, and the
// others' stays; each piece is found along an index, in order.
func TestTidyDropsExchangesInPieces(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	short, long, gone := h.channel("short"), h.channel("long"), h.channel("gone")
	h.exec(`update channel set policy = '{"exchanges": {"days": 1}}' where id = $1`, short.ID)
	h.exec(`update channel set policy = '{"exchanges": {"days": 30}}' where id = $1`, long.ID)
	h.exec(`insert into exchange (at, channel_id, attempt, took_us, sent, received, status, lane, failed, kind, method, url, skus)
		select now() - interval '2 days' + n * interval '15 seconds', c.id, n, 0, 0, 0, 200, 0, false, 'push', 'POST', 'u', '{A}'
		from generate_series(1, 10000) n, channel c order by n`)
	h.exec(`analyze exchange`)
	for _, sql := range []string{sqlOldExchanges, sqlDropExchanges} {
		args := pgx.NamedArgs{}
		for _, p := range placeholder.FindAllString(sql, -1) {
			args[p[1:]] = nil
		}
		h.plan(sql, args).each(func(n node) {
			if n.Type == "Seq Scan" || n.Type == "Sort" {
				t.Errorf("%s of %s, in%s", n.Type, n.Relation, sql)
			}
		})
	}
	if err := h.DeleteChannel(h.ctx, "gone", 0); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second has nothing to do
		if err := h.Tidy(h.ctx); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[pim.ChannelID][2]int{short.ID: {4000, 4300}, long.ID: {10000, 10000}, gone.ID: {0, 0}} {
			var n, old int
			const sql = `select count(*), count(*) filter (where at < now() - interval '25 hours') from exchange where channel_id = $1`
			if err := h.pool.QueryRow(h.ctx, sql, id).Scan(&n, &old); err != nil {
				t.Fatal(err)
			}
			if n < want[0] || n > want[1] || id == short.ID && old > 0 {
				t.Errorf("channel %d has %d exchanges, want %v; %d of them are old", id, n, want, old)
			}
		}
	}
}
