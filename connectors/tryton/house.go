package tryton

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// forget is how long facts of Tryton's set-up are believed.
const forget = 10 * time.Minute

// remembered is a fact that is asked for once and believed for a while. The zero
// value is ready. Errors are not remembered.
type remembered[T any] struct {
	mu    sync.Mutex
	value *T
	until time.Time
}

// get gives the fact, or asks for it. Two askers may ask at once: the calls only
// read, and neither waits for the other's deadline.
func (r *remembered[T]) get(ctx context.Context, ask func(context.Context) (*T, error)) (*T, error) {
	r.mu.Lock()
	value, until := r.value, r.until
	r.mu.Unlock()
	if value != nil && time.Now().Before(until) {
		return value, nil
	}
	value, err := ask(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.value, r.until = value, time.Now().Add(forget)
	return value, nil
}

// drop forgets the fact.
func (r *remembered[T]) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.value = nil
}

// house is what pushing and pulling must know of this Tryton.
type house struct {
	words     words    // the context of every call: the company, without which list prices read null
	languages []string // codes that can be translated into: "en", "de", "pt_BR"
	sale      bool     // the module sale is activated
}

// askHouse reads the user's company, the languages and the modules that matter.
func (c *Connector) askHouse(ctx context.Context) (*house, error) {
	h := &house{words: words{"company": c.Company}}
	if c.Company == 0 {
		var preferences struct{ Company *int64 }
		if _, err := c.server.read(ctx, "model.res.user.get_preferences", &preferences, true, words{}); err != nil {
			return nil, err
		}
		if preferences.Company == nil {
			return nil, &connectors.Error{Verdict: connectors.Auth, Err: errors.New("the Tryton user has no company: choose one among the user's preferences, or set company")}
		}
		h.words = words{"company": *preferences.Company}
	}
	var languages []struct{ Code string }
	if _, err := c.server.read(ctx, "model.ir.lang.search_read", &languages, []any{[]any{"translatable", "=", true}}, 0, 500, nil, []string{"code"}, h.words); err != nil {
		return nil, err
	}
	for _, l := range languages {
		h.languages = append(h.languages, l.Code)
	}
	var fields map[string]any
	if _, err := c.server.read(ctx, "model.product.template.fields_get", &fields, []string{"salable", "sale_uom"}, h.words); err != nil {
		return nil, err
	}
	h.sale = fields["salable"] != nil
	return h, nil
}

// language is Tryton's code for a locale: the region's language where there is
// one, else the language itself; "" where it cannot be translated into either.
func (h *house) language(locale string) string {
	want := strings.ToLower(strings.ReplaceAll(locale, "-", "_"))
	for {
		for _, code := range h.languages {
			if strings.ToLower(code) == want {
				return code
			}
		}
		cut := strings.LastIndexByte(want, '_')
		if cut < 0 {
			return ""
		}
		want = want[:cut]
	}
}

// askUnits reads the units of measure.
func (c *Connector) askUnits(ctx context.Context) (*map[string]int64, error) {
	var units []struct {
		ID     int64
		Symbol string
	}
	const most = 2000 // a fresh Tryton has 32
	if _, err := c.server.read(ctx, "model.product.uom.search_read", &units, []any{}, 0, most, [][]string{{"id", "DESC"}}, []string{"symbol"}, words{}); err != nil {
		return nil, err
	}
	table := make(map[string]int64, len(units))
	for _, u := range units {
		table[u.Symbol] = u.ID // of two with one symbol, the older
	}
	return &table, nil
}

// unit is the id of a unit by its symbol, 0 where there is none.
func (c *Connector) unit(ctx context.Context, symbol string) (int64, error) {
	table, err := c.units.get(ctx, c.askUnits)
	if err != nil {
		return 0, err
	}
	return (*table)[symbol], nil
}

// origins is where prices and stock come from, resolved to Tryton's ids.
type origins struct {
	currency pim.Currency // of the company, and so of all its prices
	digits   int          // the currency's
	lists    []origin     // price lists, by code
	places   []origin     // locations, by code
	mark     string       // of all this: other sources have to be read from the beginning
}

// origin is one source: its code here, its id there.
type origin struct {
	code string
	id   int64
}

// askOrigins resolves the names in the settings. What is not there, or there
// twice, is an Auth error: the channel waits until the settings or Tryton change,
// and nothing is read by halves.
func (c *Source) askOrigins(ctx context.Context) (*origins, error) {
	h, err := c.house.get(ctx, c.askHouse)
	if err != nil {
		return nil, err
	}
	var companies []struct {
		Currency struct {
			Code   string
			Digits int
		} `json:"currency."`
	}
	company := []any{h.words["company"]}
	if _, err := c.server.read(ctx, "model.company.company.read", &companies, company, []string{"currency.code", "currency.digits"}, h.words); err != nil {
		return nil, err
	}
	if len(companies) != 1 || companies[0].Currency.Code == "" {
		return nil, &connectors.Error{Verdict: connectors.Auth, Err: fmt.Errorf("company %v of Tryton has no currency", company[0])}
	}
	o := &origins{currency: pim.Currency(companies[0].Currency.Code), digits: max(0, min(companies[0].Currency.Digits, priceDigits))}
	if len(c.PriceLists) > 0 {
		// Without the module sale_price_list, Tryton would answer list prices.
		var fields map[string]any
		if _, err := c.server.read(ctx, "model.product.sale.context.fields_get", &fields, []string{"price_list"}, h.words); err != nil {
			return nil, err
		}
		if fields["price_list"] == nil {
			return nil, &connectors.Error{Verdict: connectors.Auth, Err: errors.New("price_lists need Tryton's module sale_price_list, which is not activated")}
		}
		if o.lists, err = c.resolve(ctx, h.words, "product.price_list", []string{"name"}, "price_lists", c.PriceLists); err != nil {
			return nil, err
		}
	}
	if len(c.Locations) > 0 {
		if o.places, err = c.resolve(ctx, h.words, "stock.location", []string{"code", "name"}, "locations", c.Locations); err != nil {
			return nil, err
		}
	}
	o.mark = fmt.Sprint(h.words["company"], o.currency, c.PriceList, o.lists, o.places)
	return o, nil
}

// resolve finds each named record by its id, or by the first of keys that fits.
func (c *Source) resolve(ctx context.Context, w words, model string, keys []string, field string, table map[string]string) ([]origin, error) {
	var found []origin
	for _, code := range slices.Sorted(maps.Keys(table)) {
		name := strings.TrimSpace(table[code])
		var ids []int64
		search := func(key string, value any) error {
			_, err := c.server.read(ctx, "model."+model+".search", &ids, []any{[]any{key, "=", value}}, 0, 2, nil, w)
			return err
		}
		if id, err := strconv.ParseInt(name, 10, 32); err == nil {
			if err := search("id", id); err != nil {
				return nil, err
			}
		}
		for _, key := range keys {
			if len(ids) > 0 {
				break
			}
			if err := search(key, name); err != nil {
				return nil, err
			}
		}
		if len(ids) != 1 {
			how := "there is none"
			if len(ids) > 1 {
				how = "there are several; give the id"
			}
			return nil, &connectors.Error{Verdict: connectors.Auth, Err: fmt.Errorf("%s of the settings: %s %q for %q: %s", field, model, name, code, how)}
		}
		found = append(found, origin{code, ids[0]})
	}
	return found, nil
}
