package medusa

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors"
)

// seen is what a read found of one item.
type seen struct {
	product *heldProduct
	variant *heldVariant
	fields  map[string]any  // as HeldDocument takes them
	same    map[string]bool // fields that are not plain: whether they are as they were sent
	bare    bool            // nothing is there that a push would empty or set besides
}

// tell notes a field that is not plain.
func (s *seen) tell(name string, held any, same bool) { s.fields[name], s.same[name] = held, same }

// unsent notes fields that no push of the item sends.
func (s *seen) unsent(names ...string) {
	for _, name := range names {
		s.fields[name] = connectors.Unsent{}
	}
}

// numbers and words are the fields that are written only where a document has them.
var (
	numbers = []string{"weight", "length", "height", "width"}
	words   = []string{"hs_code", "mid_code", "origin_country", "material"}
	codes   = []string{"ean", "upc", "barcode"}
)

// measured compares what products and variants share.
func (s *seen) measured(d *content, all map[string]any) {
	for name, a := range map[string]*amount{"weight": d.Weight, "length": d.Length, "height": d.Height, "width": d.Width} {
		held := plain(all, name)
		if a != nil {
			s.tell(name, orSent(held, *a == ""), connectors.SameAmount(string(*a), scalar(held)))
		}
	}
	for name, t := range map[string]*text{"hs_code": d.HSCode, "mid_code": d.MIDCode, "origin_country": d.OriginCountry, "material": d.Material} {
		held := plain(all, name)
		if t != nil {
			s.tell(name, orSent(held, *t == ""), string(*t) == scalar(held))
		}
	}
}

// orSent is a held value, or "" where none is held and the document sends "" for none.
func orSent(held any, emptied bool) any {
	if held == nil && emptied {
		return ""
	}
	return held
}

// coded compares a variant's codes, which are cleared where a document has none.
func (s *seen) coded(d *content, all map[string]any) {
	for name, t := range map[string]text{"ean": d.EAN, "upc": d.UPC, "barcode": d.Barcode} {
		held := plain(all, name)
		s.tell(name, orSent(held, true), string(t) == scalar(held))
		s.bare = s.bare && string(t) == scalar(held)
	}
}

// top compares a product's content.
func (r *reading) top(s *seen, sku string, d *content) {
	all := s.product.all
	for _, name := range []string{"title", "subtitle", "description", "handle", "status", "discountable"} {
		s.fields[name] = orSent(plain(all, name), true)
	}
	s.unsent("options", "variant_title")
	s.measured(d, all)
	switch {
	case s.variant != nil:
		s.coded(d, s.variant.all)
		for _, name := range slices.Concat(numbers, words) { // a push writes them to both
			if _, sent := s.fields[name]; sent && !connectors.SameAmount(scalar(all[name]), scalar(s.variant.all[name])) {
				s.bare = false
			}
		}
	case len(s.product.Variants) > 0:
		s.unsent(codes...) // it is sold by its variants
	default:
		s.tell("ean", nil, false)
		s.bare = false // a push would give it its default variant again
	}
	if d.Categories != nil {
		r.categorised(s, *d.Categories)
	}
	r.marked(s, sku, d)
	s.bare = s.bare && string(d.Subtitle) == scalar(all["subtitle"]) && string(d.Description) == scalar(all["description"]) &&
		(d.Status != "" || s.product.Status == r.Status)
}

// categorised compares categories by their handles. Those that Medusa lacks and
// that nobody may create are not there, either way.
func (r *reading) categorised(s *seen, sent []text) {
	there := []any{}
	for _, c := range s.product.Categories {
		there = append(there, c.Handle)
	}
	want := map[any]bool{}
	for _, code := range sent {
		if handle := categoryHandle(string(code)); r.known == nil || r.known[handle] {
			want[handle] = true
		}
	}
	have := map[any]bool{}
	for _, handle := range there {
		have[handle] = true
	}
	s.tell("categories", there, maps.Equal(want, have))
}

// marked compares metadata. Others' keys stay beside ours; a key that is sent
// empty is not there.
func (r *reading) marked(s *seen, sku string, d *content) {
	there, _ := s.product.all["metadata"].(map[string]any)
	s.bare = s.bare && there[ourMark] == sku
	held, same := map[string]any{}, true
	for key, want := range d.Metadata {
		have, ok := there[key]
		if ok {
			held[key] = have
		}
		same = same && (want == "" && !ok || ok && reflect.DeepEqual(normal(want), normal(have)))
	}
	if d.Metadata != nil {
		s.tell("metadata", held, same)
	}
}

// normal makes numbers of one value equal, wherever they stand.
func normal(v any) any {
	switch v := v.(type) {
	case json.Number:
		if d, err := decimal.Parse(v.String()); err == nil {
			return json.Number(d.Trim(0).String())
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, el := range v {
			out[key] = normal(el)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = normal(v[i])
		}
		return out
	}
	return v
}

// child compares a variant's content.
func (r *reading) child(s *seen, sku string, d *content) {
	v := s.variant
	var parent any
	if v.Product.ExternalID != sku {
		parent = v.Product.ExternalID
	}
	s.tell("parent", parent, string(d.Parent) == v.Product.ExternalID)
	s.unsent("subtitle", "description", "handle", "status", "categories", "discountable", "metadata", "title", "variant_title")
	title := plain(v.all, "title")
	switch {
	case d.VariantTitle != "":
		s.fields["variant_title"] = title
	case len(d.Options) == 0 && d.Title != "":
		s.fields["title"] = title
	}
	there, want := v.titled(), d.optionsFor(sku)
	s.tell("options", held(there), maps.Equal(there, want))
	s.coded(d, v.all)
	s.measured(d, v.all)
	s.bare = s.bare && maps.Equal(there, want) && scalar(title) == d.variantTitle(sku)
}

func held(options map[string]string) any {
	out := map[string]any{}
	for title, value := range options {
		out[title] = value
	}
	return out
}

// offer compares prices and stock.
func (r *reading) offer(s *seen, d *offer) {
	v := s.variant
	if v == nil { // it is sold by its variants: nothing of it was sent
		s.unsent("prices", "stock", "manage_inventory", "allow_backorder")
		return
	}
	s.fields["manage_inventory"], s.fields["allow_backorder"] = v.Managed, v.all["allow_backorder"]
	if d.Prices != nil {
		list := make([]any, 0, len(v.Prices))
		for _, p := range v.Prices {
			list = append(list, p.shown())
		}
		s.tell("prices", list, samePrices(d.list(), v.Prices))
	}
	managed := d.Stock != nil
	if d.ManageInventory != nil {
		managed = *d.ManageInventory
	}
	s.bare = d.Stock == nil && d.ManageInventory == nil || v.Managed == managed
	if d.Stock == nil || !managed {
		s.unsent("stock")
		return
	}
	pieces, err := d.pieces()
	stocked := r.stocked(v)
	s.tell("stock", number(stocked), err == nil && connectors.SameAmount(decimal.MustNew(pieces, 0).String(), stocked.String()) && stocked != "")
}

func number(n json.Number) any {
	if n == "" {
		return nil
	}
	return n
}

// stocked is how much of a variant is at the channel's location; "" where Medusa
// does not count it there.
func (r *reading) stocked(v *heldVariant) json.Number {
	if !v.Managed || len(v.Items) == 0 {
		return ""
	}
	for _, l := range v.Items[0].Inventory.Levels {
		if l.Location == r.location {
			return l.Stocked
		}
	}
	return ""
}

// shown is a price as documents have it.
func (p *heldPrice) shown() map[string]any {
	out := map[string]any{"currency": strings.ToUpper(p.Currency), "amount": number(p.Amount)}
	if p.From != "" {
		out["min_quantity"] = p.From
	}
	if p.To != "" {
		out["max_quantity"] = p.To
	}
	return out
}

// samePrices compares what a push would send with what is there, in any order.
func samePrices(sent []map[string]any, have []heldPrice) bool {
	if len(sent) != len(have) {
		return false
	}
	for _, want := range sent {
		from, _ := want["min_quantity"].(json.Number)
		if !slices.ContainsFunc(have, func(p heldPrice) bool {
			return p.To == "" && strings.EqualFold(p.Currency, scalar(want["currency_code"])) &&
				connectors.SameAmount(p.Amount.String(), scalar(want["amount"])) && connectors.SameAmount(p.From.String(), from.String())
		}) {
			return false
		}
	}
	return true
}

// pictures compares pictures and thumbnails. false: the product is not there, or
// not the one that the variant is of.
func (r *reading) pictures(s *seen, sku string, d *pictures) bool {
	if s.product == nil {
		return false
	}
	thumbnail := s.product.Thumbnail
	var there, want []string
	for _, url := range d.Images {
		want = append(want, string(url))
	}
	if d.Parent == "" {
		for _, it := range s.product.Images {
			if len(it.Variants) == 0 {
				there = append(there, it.URL)
			}
		}
	} else {
		if s.product.variant(sku) == nil {
			return false
		}
		thumbnail = s.variant.Thumbnail
		there = s.ofVariant(want)
	}
	urls := make([]any, len(there))
	for i := range there {
		urls[i] = there[i]
	}
	same := slices.Equal(there, want)
	s.tell("images", urls, same)
	first := string(d.Thumbnail)
	if first == "" && len(want) > 0 {
		first = want[0]
	}
	s.tell("thumbnail", orSent(plain(map[string]any{"t": thumbnail}, "t"), true), thumbnail == string(d.Thumbnail))
	s.bare = same && thumbnail == first
	return true
}

// ofVariant are the pictures that a variant shows: of those that are wanted what
// is there, in that order, for Medusa keeps them in the product's; then the others
// that are its own.
func (s *seen) ofVariant(want []string) (there []string) {
	mine, general := map[string]bool{}, map[string]bool{}
	var own []string
	for _, it := range s.product.Images {
		general[it.URL] = general[it.URL] || len(it.Variants) == 0
		for _, owner := range it.Variants {
			if owner.ID == s.variant.ID {
				mine[it.URL], own = true, append(own, it.URL)
			}
		}
	}
	for _, url := range want {
		if mine[url] || general[url] {
			there = append(there, url)
		}
	}
	for _, url := range own {
		if !slices.Contains(want, url) {
			there = append(there, url)
		}
	}
	return there
}
