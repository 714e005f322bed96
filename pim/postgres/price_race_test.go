package postgres

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// setWithin sets prices in a transaction of a test's own.
func (h *house) setWithin(tx pgx.Tx, rows ...pim.PriceRow) {
	h.Helper()
	b, err := h.priceBatch(h.ctx, "erp", rows)
	if err == nil {
		err = b.run(h.ctx, tx)
	}
	if err != nil {
		h.Fatal(err)
	}
}

// behind has prices set that wait for the offer of WAITS, having seen what there is
// to lock; meanwhile does what it does, and then they go on.
func (h *house) behind(meanwhile func(), rows ...pim.PriceRow) (got func() []RowResult) {
	h.Helper()
	tx := h.begin()
	if _, err := tx.Exec(h.ctx, `select from product_offer where product_id = (select id from product where sku = 'WAITS') for no key update`); err != nil {
		h.Fatal(err)
	}
	type outcome struct {
		results []RowResult
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := h.SetPrices(h.ctx, "erp", append(rows, price("WAITS", "EUR", "2")), Idempotency{})
		done <- outcome{r, err}
	}()
	h.blocked(1)
	meanwhile()
	if err := tx.Rollback(h.ctx); err != nil {
		h.Fatal(err)
	}
	return func() []RowResult {
		o := <-done
		if o.err != nil {
			h.Fatal(o.err)
		}
		return o.results
	}
}

// commits ends a transaction once somebody waits for it.
func (h *house) commits(tx pgx.Tx) {
	h.Helper()
	for h.number(fmt.Sprintf(`select count(*) from pg_stat_activity where %d = any(pg_blocking_pids(pid))`, tx.Conn().PgConn().PID())) == 0 {
		if h.ctx.Err() != nil {
			h.Fatal("nobody came to wait")
		}
	}
	if err := tx.Commit(h.ctx); err != nil {
		h.Fatal(err)
	}
}

// A first price is planned beside what nothing was locked of. Where another's first
// offer comes between that and its writing, it has the product looked at even so.
func TestFirstPriceBesideAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`), thing("WAITS", Put, `{}`))
	h.set(price("WAITS", "EUR", "1"))
	h.list(pim.PriceList{Code: "dealer"})
	h.list(pim.PriceList{Code: "cost"})
	h.rule(`{"code":"r","price_list":"dealer","percent":-50,"margin":{"price_list":"cost","percent":"0"}}`)
	h.set(listed("cost", price("WAITS", "EUR", "1")))
	h.deriveAll()
	other := h.begin()
	got := h.behind(func() {
		h.set(stock("A", 1))
		h.setWithin(other, listed("cost", price("A", "EUR", "8")))
	}, price("A", "EUR", "10"))
	h.commits(other)
	got()
	h.deriveAll()
	h.wantPrices("A", "cost EUR 8", "dealer EUR 8.00 r", "default EUR 10")
}

// Who sets a price that goes while it waits for the offer sets it anew.
func TestPriceThatGoesMeanwhile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`), thing("WAITS", Put, `{}`))
	h.set(price("WAITS", "EUR", "1"))
	other := h.begin()
	got := h.behind(func() {
		h.set(price("A", "EUR", "10"))
		h.setWithin(other, pim.PriceRow{SKU: "A", Price: pim.Price{Currency: "EUR"}, Delete: true})
	}, price("A", "EUR", "12"))
	h.commits(other)
	if r := got()[0]; r.Status != RowChanged || r.Revision != 3 {
		t.Errorf("%+v", r)
	}
	h.wantPrices("A", "default EUR 12")
}
