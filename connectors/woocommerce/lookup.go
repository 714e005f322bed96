package woocommerce

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// object is what the shop holds of a SKU, as far as we asked for it.
type object struct {
	ID         int64       `json:"id"`
	SKU        string      `json:"sku"`
	Type       string      `json:"type"`
	ParentID   int64       `json:"parent_id"`
	Attributes []attribute `json:"attributes"`
	Images     []picture   `json:"images"`
	carried
}

// carried are the fields that belong to the other lanes: where content has to
// put a new object in an old one's place, they go with it.
type carried struct {
	RegularPrice string   `json:"regular_price"`
	SalePrice    string   `json:"sale_price"`
	SaleFrom     *string  `json:"date_on_sale_from_gmt"`
	SaleTo       *string  `json:"date_on_sale_to_gmt"`
	ManageStock  any      `json:"manage_stock"` // also "parent"
	Stock        *float64 `json:"stock_quantity"`
	StockStatus  string   `json:"stock_status"`
	Backorders   string   `json:"backorders"`
}

func (o *object) isVariation() bool { return o.Type == "variation" }

// isVariable also holds for the types that plugins derive from it, such as
// variable-subscription.
func (o *object) isVariable() bool { return strings.HasPrefix(o.Type, "variable") }

func (o *object) remember() known {
	k := known{id: o.ID, variable: o.isVariable(), bare: o.Attributes != nil && len(o.Attributes) == 0, at: time.Now()}
	if o.isVariation() {
		k.parent = o.ParentID
	}
	return k
}

// object is what is remembered, in the form that a look-up gives.
func (k known) object(sku pim.SKU) *object {
	o := &object{ID: k.id, SKU: string(sku), ParentID: k.parent, Type: "simple"}
	switch {
	case k.parent > 0:
		o.Type = "variation"
	case k.variable:
		o.Type = "variable"
	}
	return o
}

// pagesOf is how many pages a list has; 0 when the shop does not say.
func pagesOf(header http.Header) int {
	pages, err := strconv.Atoi(header.Get("X-WP-TotalPages"))
	if err != nil {
		return 0
	}
	return pages
}

// maxQuery keeps a look-up's address below what web servers take, in bytes.
const maxQuery = 4000

// lookUp asks for all SKUs, variations included, and remembers where they are. It
// answers only what has exactly the SKU, while the shop compares without regard
// to case and accents.
func (c *Connector) lookUp(ctx context.Context, skus []pim.SKU, fields string) (map[pim.SKU]*object, error) {
	for _, sku := range skus {
		c.known.Remove(sku)
	}
	found, err := search(ctx, c, skus, fields, func(o *object) (int64, string) { return o.ID, o.SKU })
	for sku, o := range found {
		c.library.learn(o.Images...)
		c.known.Add(sku, o.remember())
	}
	return found, err
}

// search asks for all SKUs: the shop takes a list of them. A SKU that holds a
// comma is asked for by itself. id tells an object's id and SKU.
func search[T any](ctx context.Context, c *Connector, skus []pim.SKU, fields string, id func(*T) (int64, string)) (map[pim.SKU]*T, error) {
	found := make(map[pim.SKU]*T, len(skus))
	ask := func(list string, wanted map[pim.SKU]bool) error {
		query := url.Values{"sku": {list}, "per_page": {"100"}, "orderby": {"id"}, "order": {"asc"}}
		if fields != "" {
			query.Set("_fields", fields)
		}
		for page := 1; page <= 10; page++ {
			query.Set("page", strconv.Itoa(page))
			var objects []*T
			header, err := c.get(ctx, "products", query, &objects)
			if err != nil {
				return err
			}
			for _, o := range objects {
				if o == nil {
					continue // a plugin's slip
				}
				// Of two with one SKU, which only a plugin can make, the older counts.
				n, text := id(o)
				if sku := pim.SKU(text); wanted[sku] && found[sku] == nil && n > 0 {
					found[sku] = o
				}
			}
			if page >= pagesOf(header) {
				break
			}
		}
		return nil
	}
	var list strings.Builder
	size := 0 // of the list in an address
	wanted := map[pim.SKU]bool{}
	flush := func() error {
		if len(wanted) == 0 {
			return nil
		}
		err := ask(list.String(), wanted)
		list.Reset()
		size = 0
		clear(wanted)
		return err
	}
	for _, sku := range skus {
		if strings.Contains(string(sku), ",") {
			if err := ask(string(sku), map[pim.SKU]bool{sku: true}); err != nil {
				return nil, err
			}
			continue
		}
		escaped := len(url.QueryEscape(string(sku))) + len("%2C")
		if len(wanted) == 100 || size+escaped > maxQuery {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		size += escaped
		if list.Len() > 0 {
			list.WriteByte(',')
		}
		list.WriteString(string(sku))
		wanted[sku] = true
	}
	return found, flush()
}
