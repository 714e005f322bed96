//go:build unix

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// The measures of the store in full: pages of a small and of a large catalogue,
// and what one change of a definition or of base prices moves, beside a bare
// UPDATE of the same rows.

const (
	findChannel = "bench-0"
	findPage    = 100
	findTimes   = 20 // pages that are read of each question; the median counts
	findFirst   = 3  // that do not count
	tradeList   = "trade"
)

// findQuestions are read as pages over HTTP. SKU and GTIN stand for those of a
// product in the middle.
var findQuestions = []struct{ name, query string }{
	{"by creation", "filter=enabled = true"},
	{"by an option", "filter=values.colour = red and values.weight > 50000"},
	{"last changed", "sort=-updated_at&filter=family = bench"},
	{"incomplete, one in a hundred", "filter=completeness." + findChannel + " < 100"},
	{"search for two words", "search=folding lamp&locale=en-GB"},
	{"search for a word mistyped", "search=kichten&locale=en-GB"},
	{"search for a SKU", "search=SKU&locale=en-GB"},
	{"search for a GTIN", "search=GTIN&locale=en-GB"},
}

const (
	// One in a hundred lacks what the family requires.
	sqlLack     = `update product set values = values - 'care' where id % 100 = 0`
	sqlFollowed = `
select (select xid is not null and walk_after is null from search_state) and (select xid is not null from completeness_state)
   and exists (select from completeness_walk) and not exists (select from completeness_walk where after is not null)
   and (select count(*) from completeness) >= $1`
	sqlWeighed = `
select (select count(*) from completeness where required = $1) >= $2 and not exists (select from completeness_walk where after is not null)`
	sqlBareProducts = `update product set values = values where family = $1`
	sqlBarePrices   = `update price set amount = amount + 1 where price_list = $1`
	// Products that COPY made are looked at by search and completeness beside what is measured.
	sqlWalked = `
select (select xid is not null and walk_after is null from search_state) and not exists (select from completeness_walk where after is not null)`
	sqlUnderived = `
select not exists (select from price_walk) and (select product_id from derive order by product_id desc limit 1) is null` // from the end that is worked off last
	sqlDerived = `select count(*) >= $2 from price where price_list = $1 and rules is not null`
)

// requiring is the bench's family with required attributes.
func requiring(codes ...string) postgres.SchemaChange {
	f := pim.Family{Code: family}
	for _, a := range attributes {
		f.Attributes = append(f.Attributes, pim.FamilyAttribute{Code: a.Code, Required: slices.Contains(codes, a.Code)})
	}
	return postgres.SchemaChange{Families: []pim.Family{f}}
}

// find reads pages at two sizes of the catalogue, each in a database of its own.
func (b *bench) find(ctx context.Context) error {
	sizes := []int{min(b.Few, b.Many), max(b.Few, b.Many)}
	took := make([]map[string]time.Duration, len(sizes))
	for i, n := range sizes {
		err := b.sized(ctx, true, func(ctx context.Context) (err error) {
			took[i], err = b.pages(ctx, n)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, q := range findQuestions {
		few, many := took[0][q.name], took[1][q.name]
		b.report.beside("page of 100, "+q.name, milliseconds(many), "ms", fmt.Sprintf("of %d products", sizes[0]), milliseconds(few), atMost(3), fmt.Sprintf("of %d products", sizes[1]))
	}
	return nil
}

// pages gives the median of each question's pages with n products.
func (b *bench) pages(ctx context.Context, n int) (map[string]time.Duration, error) {
	h := b.house
	if _, err := h.node.Store.ChangeSchema(ctx, requiring("name", "care")); err != nil {
		return nil, err
	}
	if err := h.channel(ctx, 0, b.sink); err != nil { // paused, and before there is anything to be listed
		return nil, err
	}
	if err := b.stock(ctx, n); err != nil {
		return nil, err
	}
	if _, err := h.pool.Exec(ctx, sqlLack); err != nil {
		return nil, fmt.Errorf("take values away: %w", err)
	}
	// Rows that COPY made have no events: with another definition all are looked at.
	if _, err := h.node.Store.ChangeSchema(ctx, requiring("name", "brand", "care")); err != nil {
		return nil, err
	}
	named := attributes[slices.IndexFunc(attributes, func(a pim.Attribute) bool { return a.Code == "colour" })]
	named.Options = append(slices.Clone(named.Options), pim.Option{Code: "again"})
	if _, err := h.node.Store.ChangeSchema(ctx, postgres.SchemaChange{Attributes: []pim.Attribute{named}}); err != nil {
		return nil, err
	}
	b.say("wait until search and completeness know %d products", n)
	if err := until(ctx, h.pool, sqlFollowed, n); err != nil {
		return nil, err
	}
	if err := until(ctx, h.pool, `select count(*) >= $1 from (select from search_code where code like 'b-%' limit $1) c`, n); err != nil {
		return nil, err
	}
	if err := vacuum(ctx, h.pool); err != nil {
		return nil, err
	}
	b.say("read pages of %d products", n)
	e, out := h.editor(1), map[string]time.Duration{}
	for _, q := range findQuestions {
		values, err := url.ParseQuery(strings.NewReplacer("SKU", string(sku(n/2)), "GTIN", gtin(n/2%len(b.catalog.values))).Replace(q.query))
		if err != nil {
			return nil, fmt.Errorf("read question %s: %w", q.name, err)
		}
		values.Set("limit", fmt.Sprint(findPage))
		var all []time.Duration
		for i := range findFirst + findTimes {
			began := time.Now()
			if err := e.read(ctx, "/products?"+values.Encode()); err != nil {
				return nil, fmt.Errorf("%s: %w", q.name, err)
			}
			if i >= findFirst {
				all = append(all, time.Since(began))
			}
		}
		out[q.name] = summarise(all).p50
	}
	return out, nil
}

// read asks for an address and throws the answer away.
func (e *editor) read(ctx context.Context, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+e.key)
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the API answers %d: %.200s", resp.StatusCode, body)
	}
	return nil
}

// weigh times how a family's completeness is made anew when it requires something else.
func (b *bench) weigh(ctx context.Context) error {
	h, n := b.house, b.Family
	if err := h.channel(ctx, 0, b.sink); err != nil {
		return err
	}
	if err := b.stock(ctx, n); err != nil {
		return err
	}
	for _, required := range [][]string{{"name", "summary", "brand"}, {"name", "summary", "brand", "care", "colour", "weight"}} {
		// The first makes the rows, the second changes all of them.
		began := time.Now()
		if _, err := h.node.Store.ChangeSchema(ctx, requiring(required...)); err != nil {
			return err
		}
		b.say("make the completeness of %d products", n)
		if err := until(ctx, h.pool, sqlWeighed, len(required), n); err != nil {
			return err
		}
		took := time.Since(began)
		if len(required) == 3 {
			b.report.add("completeness of a family, first", perSecond(n, took), "rows/s", "")
			if err := vacuum(ctx, h.pool); err != nil {
				return err
			}
			continue
		}
		bare, err := b.plain(ctx, sqlBareProducts, family)
		if err != nil {
			return err
		}
		b.report.beside("completeness of a family, made anew", perSecond(n, took), "rows/s", "bare UPDATE of its products", perSecond(n, bare), atLeast(0.2), "from the family's change on, with the second until it is noticed")
	}
	return nil
}

// plain times one statement, of rows that a vacuum went over.
func (b *bench) plain(ctx context.Context, sql string, args ...any) (time.Duration, error) {
	if err := vacuum(ctx, b.house.pool); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := b.house.pool.Exec(ctx, sql, args...); err != nil {
		return 0, fmt.Errorf("update rows: %w", err)
	}
	return time.Since(began), nil
}

// reprice times base prices that move as many derived ones, and a rule's change that
// moves them all, each until the listings of the channel that sells by them are marked.
func (b *bench) reprice(ctx context.Context) error {
	h, n := b.house, b.Family
	if _, _, err := h.node.Store.PutPriceList(ctx, pim.PriceList{Code: tradeList}, 0); err != nil {
		return err
	}
	rule := pim.PriceRule{Code: tradeList, PriceList: tradeList, Percent: "-10"}
	if _, _, err := h.node.Store.PutPriceRule(ctx, rule, 0); err != nil {
		return err
	}
	if err := b.stock(ctx, n); err != nil {
		return err
	}
	if err := h.channel(ctx, 0, b.sink); err != nil {
		return err
	}
	if err := h.marked(ctx); err != nil {
		return err
	}
	b.say("set %d prices", n)
	if err := b.setPrices(ctx, n, 100); err != nil {
		return err
	}
	if err := until(ctx, h.pool, sqlDerived, tradeList, n); err != nil {
		return err
	}
	if err := until(ctx, h.pool, sqlWalked); err != nil {
		return err
	}
	b.say("change %d base prices", n)
	took, err := b.moved(ctx, measurePrices, func() error { return b.setPrices(ctx, n, 200) })
	if err != nil {
		return err
	}
	b.say("change the rule of %d prices", n)
	together, err := b.moved(ctx, measurePrices+"-rule", func() error {
		rule.Percent = "-11"
		if _, _, err := h.node.Store.PutPriceRule(ctx, rule, 0); err != nil {
			return err
		}
		h.node.Runner.Wake(postgres.Consumer{Kind: postgres.Derive})
		return until(ctx, h.pool, sqlUnderived)
	})
	if err != nil {
		return err
	}
	bare, err := b.plain(ctx, sqlBarePrices, tradeList)
	if err != nil {
		return err
	}
	b.report.beside("base prices that move derived ones", perSecond(n, took), "rows/s", "bare UPDATE of the derived", perSecond(n, bare), atLeast(0.2),
		"in batches of 1,000, both prices with their events, until a channel's listings are marked")
	b.report.beside("derived prices that a rule's change moves", perSecond(n, together), "rows/s", "the same UPDATE", perSecond(n, bare), atLeast(0.2),
		"from the rule's change on, with their events, until a channel's listings are marked")
	return nil
}

// moved times what moves prices, of rows that a vacuum went over, until all listings
// are marked.
func (b *bench) moved(ctx context.Context, profile string, move func() error) (time.Duration, error) {
	if err := b.house.marked(ctx); err != nil {
		return 0, err
	}
	if err := vacuum(ctx, b.house.pool); err != nil {
		return 0, err
	}
	stop, err := b.profile(ctx, profile)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := move(); err != nil {
		return 0, err
	}
	if err := b.house.marked(ctx); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, stop()
}

// setPrices gives n products a base price each, in batches.
func (b *bench) setPrices(ctx context.Context, n int, from int64) error {
	for first := 0; first < n; first += 1000 {
		rows := make([]pim.PriceRow, 0, 1000)
		for i := first; i < min(first+1000, n); i++ {
			amount, err := decimal.New(from*100+int64(i%9000), 2)
			if err != nil {
				return fmt.Errorf("make a price: %w", err)
			}
			rows = append(rows, pim.PriceRow{SKU: sku(i), Price: pim.Price{Currency: "EUR", Amount: amount}})
		}
		results, err := b.house.node.Store.SetPrices(ctx, "bench", rows, postgres.Idempotency{})
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.Status != postgres.RowChanged {
				return fmt.Errorf("the price of %s is %s", r.SKU, r.Status)
			}
		}
	}
	return nil
}
