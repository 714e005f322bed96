package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// object is a JSON object that is passed through as it is.
type object json.RawMessage

// MarshalJSON gives the object itself; {} for none.
func (o object) MarshalJSON() ([]byte, error) {
	if len(o) == 0 {
		return []byte("{}"), nil
	}
	return o, nil
}

// UnmarshalJSON keeps the text.
func (o *object) UnmarshalJSON(b []byte) error {
	*o = append((*o)[:0], b...)
	return nil
}

// Schema says that it is any object.
func (object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// Product is a product as the API shows it.
type Product struct {
	SKU             pim.SKU       `json:"sku"`
	Family          string        `json:"family"`
	Parent          pim.SKU       `json:"parent,omitempty" doc:"SKU of the model that this is a variant of, or a sub-model"`
	Root            pim.SKU       `json:"root,omitempty" doc:"Of a variant below a sub-model: SKU of the sub-model's parent, the root model"`
	FamilyVariant   string        `json:"family_variant,omitempty" doc:"Of a root model or sub-model: in which axes what stands below it differs"`
	Enabled         bool          `json:"enabled"`
	Categories      []string      `json:"categories"`
	Values          object        `json:"values" doc:"The product's own values"`
	InheritedValues object        `json:"inherited_values,omitempty" doc:"Of a variant: its parent's values, over those of the root model, which hold where it has none of its own"`
	InheritedFrom   origins       `json:"inherited_from,omitempty" doc:"Of a variant: which model each value comes from that it has not itself, by its field as in filters: values.name.en-GB"`
	Associations    productLinks  `json:"associations" doc:"By association type the SKUs of other products, in their order, or of a quantified type {sku, quantity}; of a two-way type also those that name this one"`
	Prices          []Price       `json:"prices"`
	Stock           []Stock       `json:"stock"`
	Revision        int64         `json:"revision" doc:"Of texts, categories and status: what the ETag names"`
	PriceRevision   int64         `json:"price_revision"`
	StockRevision   int64         `json:"stock_revision"`
	OfferRevision   int64         `json:"offer_revision" doc:"Rises with each change of price or stock"`
	MediaRevision   int64         `json:"media_revision"`
	Warnings        []pim.Problem `json:"warnings" doc:"Doubts about what is stored, e.g. a GTIN whose check digit is wrong, a category that is in no tree"`
	CreatedAt       time.Time     `json:"created_at"`
	UpdatedAt       time.Time     `json:"updated_at"`
	Deleted         bool          `json:"deleted,omitempty" doc:"In the list of deleted products: updated_at says when"`
	Match           string        `json:"match,omitempty" enum:"code,prefix,words" doc:"In the answer to a search with locale: what fitted, the SKU or a GTIN, the beginning of one, or words"`

	only *selection // nil: all of it
}

// Price is one price of a product.
type Price struct {
	PriceList   string       `json:"price_list"`
	Currency    pim.Currency `json:"currency"`
	MinQuantity int          `json:"min_quantity"`
	Amount      string       `json:"amount" doc:"A decimal number, as text so that no digit is lost" example:"19.90"`
	ValidFrom   *time.Time   `json:"valid_from,omitempty" doc:"Inclusive"`
	ValidTo     *time.Time   `json:"valid_to,omitempty" doc:"Exclusive"`
	Rules       []string     `json:"rules,omitempty" doc:"Of a derived price: the rules that made it, in the order in which they were applied"`
}

// Stock is a product's stock at one location.
type Stock struct {
	Location  string `json:"location"`
	OnHand    int64  `json:"on_hand"`
	Reserved  int64  `json:"reserved"`
	Safety    *int64 `json:"safety_stock,omitempty" doc:"Pieces that are never sold; left out: as many as the location says"`
	Available int64  `json:"available" doc:"What can be sold: on hand less reserved and safety stock, never below 0; of a location that is closed 0"`
}

// shownDecimals is how many digits after the point an amount keeps at least.
const shownDecimals = 2

// ShowProduct reads a product as the API shows it. postgres.ErrNotFound.
func ShowProduct(ctx context.Context, store *postgres.Store, sku pim.SKU) (*Product, error) {
	p, err := store.Product(ctx, sku)
	if err != nil {
		return nil, err
	}
	views, err := viewProducts(ctx, store, p)
	if err != nil {
		return nil, err
	}
	return views[0], nil
}

// viewProducts shows products. Stored values that the schema does not take are
// looked at once more with the newest: another process may have changed it.
func viewProducts(ctx context.Context, store *postgres.Store, list ...*postgres.FullProduct) ([]*Product, error) {
	schema, newest := store.Schema(), false
	views := make([]*Product, len(list))
	for i, p := range list {
		warnings, fits := warningsOf(p, schema)
		if !fits && !newest {
			var err error
			if schema, err = store.RefreshSchema(ctx); err != nil {
				return nil, err
			}
			newest = true
			warnings, _ = warningsOf(p, schema)
		}
		views[i] = viewProduct(p, warnings, schema)
	}
	return views, nil
}

func viewProduct(p *postgres.FullProduct, warnings []pim.Problem, schema *pim.Schema) *Product {
	v := &Product{
		SKU: p.SKU, Family: p.Family, Parent: p.Parent, FamilyVariant: p.FamilyVariant, Enabled: p.Enabled,
		Associations: viewLinks(p.Associations),
		Root:         p.Root, Categories: p.Categories, Values: object(p.Values),
		Prices: make([]Price, len(p.Prices)), Stock: viewStock(p), Revision: p.Rev,
		PriceRevision: p.PriceRev, StockRevision: p.StockRev, OfferRevision: p.OfferRev, MediaRevision: p.MediaRev,
		Warnings: none(warnings), CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt, Deleted: p.Deleted,
	}
	v.inherit(p, schema)
	if v.Categories == nil {
		v.Categories = []string{}
	}
	for i, at := range p.Prices {
		v.Prices[i] = viewPrice(at)
	}
	return v
}

func viewPrice(at pim.Price) Price {
	return Price{
		PriceList: at.PriceList, Currency: at.Currency, MinQuantity: at.MinQuantity, Amount: at.Amount.Trim(shownDecimals).Pad(shownDecimals).String(),
		ValidFrom: at.ValidFrom, ValidTo: at.ValidTo, Rules: at.Rules,
	}
}

// viewStock shows a product's stock levels.
func viewStock(p *postgres.FullProduct) []Stock {
	levels := make([]Stock, len(p.Stock))
	for i, at := range p.Stock {
		levels[i] = Stock{Location: at.Location, OnHand: at.OnHand, Reserved: at.Reserved, Safety: at.SafetyStock, Available: p.Free[i]}
	}
	return levels
}

func viewLinks(a pim.Associations) productLinks {
	out := make(productLinks, len(a))
	for t, list := range a {
		for _, x := range list {
			out[t] = append(out[t], x)
		}
	}
	return out
}

// origins are models' SKUs by the fields of values.
type origins map[string]pim.SKU

// inherit shows what full has from the models above it. Stored values that cannot be
// read are told as a warning of the model itself.
func (p *Product) inherit(full *postgres.FullProduct, schema *pim.Schema) {
	above, err := full.Inherited.Values()
	own, errOwn := pim.DecodeStored(full.Values)
	if len(above) == 0 || err != nil || errOwn != nil {
		p.InheritedValues = object(full.Inherited.Parent)
		return
	}
	skus, all := []pim.SKU{p.Root, p.Parent}[2-len(above):], pim.Values(nil)
	for _, values := range above {
		all = pim.MergeVariant(all, values)
	}
	p.InheritedValues = object(pim.AppendJSON(nil, all))
	p.InheritedFrom = origins{}
	for field, i := range schema.Origins(own, above...) {
		p.InheritedFrom[field] = skus[i]
	}
}

// warningsOf finds the doubts about stored values anew: they follow from the
// values and from today's attributes, so there is nothing to store.
// fits is false when the schema would not take them today.
func warningsOf(p *postgres.FullProduct, schema *pim.Schema) (warnings []pim.Problem, fits bool) {
	values, err := pim.DecodeStored(p.Values)
	if err != nil {
		return []pim.Problem{{Pointer: "/values", Code: "values.stored", Detail: "the stored values cannot be read"}}, false
	}
	_, warnings, err = schema.CheckValues(p.Family, values, "/values")
	unknown := schema.CheckCategories(p.Categories, "/categories")
	warnings = append(warnings, unknown...)
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
		return append(warnings, invalid.Problems...), false
	}
	return warnings, len(unknown) == 0
}

// none turns nil into an empty array, as JSON has it.
func none[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
