package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"
	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// house is a store on a database of its own, with the small schema of these
// tests.
type house struct {
	testing.TB
	*Store
	ctx context.Context
	dsn string
}

var testSchema = SchemaChange{
	Locales: []pim.Locale{"en-GB", "de-DE"}, Currencies: []pim.Currency{"EUR", "GBP"}, Locations: []string{"shop"},
	Attributes: []pim.Attribute{
		{Code: "name", Type: pim.TypeText, Localizable: true, MaxLength: 40},
		{Code: "colour", Type: pim.TypeText},
		{Code: "count", Type: pim.TypeNumber},
		{Code: "tag", Type: pim.TypeText, Scopable: true},
		{Code: "picture", Type: pim.TypeMedia},
		{Code: "gtin", Type: pim.TypeText, Check: pim.CheckGTIN},
		{Code: "loose", Type: pim.TypeText},
	},
	Families: []pim.Family{
		{
			Code: "thing", Attributes: []pim.FamilyAttribute{
				{Code: "name"}, {Code: "colour"}, {Code: "count"}, {Code: "tag"}, {Code: "picture"}, {Code: "gtin"},
			},
			Variants: []pim.FamilyVariant{{Code: "by-colour", Axes: []string{"colour"}}, {Code: "by-count", Axes: []string{"count"}}},
		},
		{Code: "other", Attributes: []pim.FamilyAttribute{{Code: "name"}, {Code: "colour"}}},
	},
}

func newHouse(t testing.TB) *house { t.Helper(); return houseAt(t, dbtest.New(t)) }

func houseAt(t testing.TB, dsn string) *house {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	h := &house{TB: t, ctx: ctx, dsn: dsn}
	h.Store = h.open()
	if _, err := h.ChangeSchema(ctx, testSchema); err != nil {
		t.Fatal(err)
	}
	return h
}

// open is another process's store on the same database.
func (h *house) open() *Store {
	h.Helper()
	s, err := Open(h.ctx, h.dsn, Options{})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(s.Close)
	return s
}

// within runs one edit in a transaction that stays open.
func (h *house) within(tx pgx.Tx, e Edit) error {
	b := h.newBatch("tester", bulk, []Edit{e})
	return errors.Join(b.run(h.ctx, tx), b.results[0].Err)
}

// edit runs one edit, from any goroutine: an error of the database is its Err.
func (h *house) edit(e Edit) EditResult {
	results, err := h.Edit(h.ctx, "tester", []Edit{e})
	if err != nil {
		return EditResult{SKU: e.SKU, Err: err}
	}
	return results[0]
}

// do runs edits that must succeed.
func (h *house) do(edits ...Edit) []EditResult {
	h.Helper()
	results, err := h.Edit(h.ctx, "tester", edits)
	if err != nil {
		h.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			h.Fatalf("edit %s: %v", r.SKU, r.Err)
		}
	}
	return results
}

func (h *house) product(sku pim.SKU) *FullProduct {
	h.Helper()
	p, err := h.Product(h.ctx, sku)
	if err != nil {
		h.Fatal(err)
	}
	return p
}

// one scans the only row of a query.
func (h *house) one(sql string, into ...any) {
	h.Helper()
	if err := h.pool.QueryRow(h.ctx, sql).Scan(into...); err != nil {
		h.Fatalf("%s: %v", sql, err)
	}
}

func (h *house) number(sql string) (n int64) { h.Helper(); h.one(sql, &n); return n }

func (h *house) exec(sql string, args ...any) {
	h.Helper()
	if _, err := h.pool.Exec(h.ctx, sql, args...); err != nil {
		h.Fatalf("%s: %v", sql, err)
	}
}

// traces counts all that a write leaves behind.
func (h *house) traces() string {
	h.Helper()
	var s string
	h.one(`select format('%s events, %s queued, revisions %s/%s/%s', (select count(*) from event), (select count(*) from outbox),
		(select coalesce(sum(rev), 0) from product), (select coalesce(sum(media_rev), 0) from product),
		(select coalesce(sum(rev + price_rev + stock_rev), 0) from product_offer))`, &s)
	return s
}

func (h *house) history(sku pim.SKU) []pim.Event {
	h.Helper()
	list, _, err := h.History(h.ctx, sku, Page{Limit: 1000})
	if err != nil {
		h.Fatal(err)
	}
	return list
}

// channel creates a channel whose mapping reads everything of every lane.
func (h *house) channel(code pim.ChannelCode) *Channel {
	h.Helper()
	c, err := h.CreateChannel(h.ctx, Channel{
		Code: code, Connector: "webhook", Locale: "en-GB", Currency: "EUR", PriceList: "default", Config: []byte(`{}`), Mapping: []byte(`{}`),
		Marks: Marks{Content: pim.LanesOf(pim.Content), Offer: pim.LanesOf(pim.Offer), Media: pim.LanesOf(pim.Media)},
		Batch: 10, Concurrency: 2, Timeout: time.Second, Settle: time.Second, Enabled: true,
	})
	if err != nil {
		h.Fatal(err)
	}
	return c
}

// lease takes a consumer that nobody holds.
func (h *house) lease(c Consumer) Lease {
	h.Helper()
	var gen int64
	args := Lease{Consumer: c}.args()
	if err := h.pool.QueryRow(h.ctx, `select gen from consumer where kind = @kind and channel_id = @channel and lane = @lane`, args).Scan(&gen); err != nil {
		h.Fatal(err)
	}
	l, err := h.Take(h.ctx, c, gen, "tester", time.Minute)
	if err != nil {
		h.Fatal(err)
	}
	return l
}

// fanOut marks all that there is to mark.
func (h *house) fanOut(l Lease) {
	h.Helper()
	for {
		a, err := h.FanOut(h.ctx, l, 1000)
		if err != nil {
			h.Fatal(err)
		}
		b, err := h.MarkChannel(h.ctx, l, 1000)
		if err != nil {
			h.Fatal(err)
		}
		if a.Taken+b.Taken == 0 {
			return
		}
	}
}

func ptr[T any](v T) *T { return &v }

func values(s string) pim.Values {
	v, err := pim.DecodeValues([]byte(s))
	if err != nil {
		panic(err)
	}
	return v
}

// thing is an edit of a product of family thing.
func thing(sku pim.SKU, mode EditMode, v string) Edit {
	e := Edit{SKU: sku, Mode: mode, Values: values(v)}
	if mode == Put || mode == Merge {
		e.Family = ptr("thing")
	}
	return e
}

// variant is an edit that makes a variant of parent.
func variant(sku, parent pim.SKU, v string) Edit {
	e := thing(sku, Put, v)
	e.Parent = &parent
	return e
}

// parent is an edit that makes a parent whose variants differ in their colour.
func parent(sku pim.SKU) Edit {
	e := thing(sku, Put, `{}`)
	e.FamilyVariant = ptr("by-colour")
	return e
}

func price(sku pim.SKU, currency pim.Currency, amount string) pim.PriceRow {
	return pim.PriceRow{SKU: sku, Price: pim.Price{Currency: currency, Amount: decimal.MustParse(amount)}}
}

func stock(sku pim.SKU, onHand int64) pim.StockRow {
	return pim.StockRow{SKU: sku, Stock: pim.Stock{OnHand: onHand}}
}

// problemsOf are an error's problems as "code pointer", in their order.
func problemsOf(err error) []string {
	invalid, ok := errors.AsType[*pim.Invalid](err)
	if !ok {
		return []string{fmt.Sprint(err)}
	}
	var out []string
	for _, p := range invalid.Problems {
		out = append(out, p.Code+" "+p.Pointer)
	}
	return out
}

func sameJSON(t testing.TB, what string, got []byte, want string) {
	t.Helper()
	var a, b any
	if err := errors.Join(json.Unmarshal(got, &a), json.Unmarshal([]byte(want), &b)); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if string(x) != string(y) {
		t.Errorf("%s: %s, want %s", what, x, y)
	}
}

func equal[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), "postgres://u:topsecret@h:notaport/x", Options{})
	if err == nil || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("Open of a broken address: %v", err)
	}
	if _, err := Open(t.Context(), "postgres://u:topsecret@127.0.0.1:1/x", Options{}); err == nil || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("Open without a server: %v", err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	k, err := h.CreateKey(h.ctx, "erp", "integration", []byte("hash"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.KeyByHash(h.ctx, []byte("hash")); err != nil || got != k {
		t.Errorf("KeyByHash = %v, %v", got, err)
	}
	if _, err := h.CreateKey(h.ctx, "twin", "admin", []byte("hash")); err == nil {
		t.Error("two keys with one hash")
	}
	for range 2 { // revoking again changes nothing
		if got, err := h.RevokeKey(h.ctx, k.ID); err != nil || got.RevokedAt == nil {
			t.Errorf("RevokeKey = %v, %v", got, err)
		}
	}
	if _, err := h.KeyByHash(h.ctx, []byte("hash")); !errors.Is(err, ErrNotFound) {
		t.Errorf("a revoked key: %v", err)
	}
	if _, err := h.RevokeKey(h.ctx, 99); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown key: %v", err)
	}
	if list, err := h.Keys(h.ctx); err != nil || len(list) != 1 {
		t.Errorf("Keys = %v, %v", list, err)
	}
}

// begin opens a transaction of a test's own, rolled back at the end if need be.
func (h *house) begin() pgx.Tx {
	h.Helper()
	tx, err := h.pool.Begin(h.ctx)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(h.ctx)) })
	return tx
}

// blocked waits until n backends wait for locks.
func (h *house) blocked(n int64) {
	h.Helper()
	for h.number(`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) < n {
		if h.ctx.Err() != nil {
			h.Fatalf("no %d backends came to wait for a lock", n)
		}
	}
}
