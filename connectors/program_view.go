package connectors

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/interpreter"

	"github.com/sluicehub/sluice/pim"
)

// view is what one rendering sees of a product: the activation of its
// expressions. What costs something to make is made when it is first asked for.
// It is used by one goroutine.
type view struct {
	lane    pim.Lane
	subject *Subject
	schema  *pim.Schema
	scope   *Scope
	mapping *Mapping // its tables
	noted   []string // what has no entry there, of the field at hand

	values, raw  map[string]any
	records      map[string]any
	associations map[string]any
	axes         map[string]any
	categories   []string
	price        any
	prices       []any
	priced       bool
	pricesListed bool
	media        []string
	renditions   map[string]any
	mediaListed  bool
	shown        []*Picture // that were asked for
}

// CodeOutsideRoot is the code of the issue of a product that is in no category below
// the channel's root of them.
const CodeOutsideRoot = "category.outside_root"

// viewName is where nodes of ours find the view; no expression can spell it.
const viewName = "@view"

func viewOf(frame *interpreter.ExecutionFrame) (*view, error) {
	if v, ok := frame.ResolveName(viewName); ok {
		if v, ok := v.(*view); ok {
			return v, nil
		}
	}
	return nil, errors.New("there is no product to look at")
}

// Parent implements interpreter.Activation.
func (v *view) Parent() interpreter.Activation { return nil }

// ResolveName implements interpreter.Activation.
func (v *view) ResolveName(name string) (any, bool) {
	switch name {
	case "sku":
		return string(v.subject.SKU), true
	case "parent":
		return string(v.subject.Parent), true
	case "family":
		return v.subject.Family, true
	case "axes":
		return v.allAxes(), true
	case "enabled":
		return v.subject.Enabled, true
	case "categories":
		return v.allCategories(), true
	case "targetCategories":
		return v.allTargetCategories(), true
	case "categoryPaths":
		return v.categoryPaths(), true
	case "values":
		return v.allValues(), true
	case "raw":
		return v.allRaw(), true
	case "associations":
		return v.allAssociations(), true
	case "records":
		return v.allRecords(), true
	case "locale":
		return string(v.scope.Locale), true
	case "currency":
		return string(v.scope.Currency), true
	case "channel":
		return string(v.scope.Channel), true
	case "price":
		return v.bestPrice(), true
	case "prices":
		return v.validPrices(), true
	case "stock":
		return v.stock(), true
	case "media":
		return v.allMedia(), true
	case "pictures":
		return v.pictures(), true
	case "renditions":
		v.allMedia()
		return v.renditions, true
	case viewName:
		return v, true
	}
	return nil, false
}

// allValues are the values as this channel and locale see them.
func (v *view) allValues() map[string]any {
	if v.values == nil {
		v.values = make(map[string]any, len(v.subject.Values))
		for code := range v.subject.Values {
			if found, ok := v.value(code); ok {
				v.values[code] = found
			}
		}
	}
	return v.values
}

// allAxes are a variant's values of the attributes in which it differs from its
// siblings, those of its sub-model included; none for other products.
func (v *view) allAxes() map[string]any {
	if v.axes == nil {
		v.axes = map[string]any{}
		variant := v.schema.Families[v.subject.Family].Variant(v.subject.Variant)
		if variant == nil {
			return v.axes
		}
		for _, code := range variant.AllAxes() {
			if found, ok := v.value(code); ok {
				v.axes[code] = found
			}
		}
	}
	return v.axes
}

// allCategories are the product's categories that the channel sees, in the product's
// order.
func (v *view) allCategories() []string {
	if v.scope.CategoryRoot == "" {
		return v.subject.Categories
	}
	if v.categories == nil {
		v.categories = make([]string, 0, len(v.subject.Categories))
		for _, code := range v.subject.Categories {
			if _, seen := v.schema.Tree.Below(v.scope.CategoryRoot, code); seen {
				v.categories = append(v.categories, code)
			}
		}
	}
	return v.categories
}

// outside is the issue of a product of whose categories the channel was to show some,
// and sees none. A variant in no category at all has its place by its model.
func (v *view) outside() (issues []pim.Issue) {
	if v.categories == nil || len(v.categories) > 0 || v.subject.Parent != "" && len(v.subject.Categories) == 0 {
		return nil
	}
	return []pim.Issue{{
		Code: CodeOutsideRoot, Severity: pim.SeverityWarning,
		Text: fmt.Sprintf("the product is in no category of the channel's tree, which begins at %s", v.scope.CategoryRoot),
	}}
}

// categoryPaths is the variable of that name: for each of the product's
// categories, in its order, what it is called and where it stands. What is in no
// tree stands alone, under its code.
func (v *view) categoryPaths() []any {
	list := make([]any, len(v.allCategories()))
	chain := v.schema.Chain(v.scope.Locale)
	for i, code := range v.allCategories() {
		labels := map[string]any{}
		if c := v.schema.Tree.Category(code); c != nil {
			for locale, label := range c.Labels {
				labels[string(locale)] = label
			}
		}
		codes, _ := v.schema.Tree.Below(v.scope.CategoryRoot, code)
		path := make([]string, len(codes))
		for j, at := range codes {
			path[j] = v.schema.Tree.Label(at, chain...)
		}
		list[i] = map[string]any{"code": code, "label": v.schema.Tree.Label(code, chain...), "path": path, "codes": codes, "labels": labels}
	}
	return list
}

// allRaw are the values as they are stored.
func (v *view) allRaw() map[string]any {
	if v.raw == nil {
		v.raw = make(map[string]any, len(v.subject.Values))
		for code, stored := range v.subject.Values {
			if v.visible(code) {
				v.raw[code] = stored
			}
		}
	}
	return v.raw
}

// visible reports whether values and raw show an attribute. Attributes that the
// schema does not know any more are not shown. Those of media travel on a lane
// of their own: did the content document hold them, each new picture would push
// the texts again.
func (v *view) visible(code string) bool {
	a := v.schema.Attributes[code]
	return a != nil && (v.lane != pim.Content || a.Lane() == pim.Content)
}

func (v *view) isMedia(code string) bool {
	a := v.schema.Attributes[code]
	return a != nil && a.Type == pim.TypeMedia
}

// value is one attribute of values.
func (v *view) value(code string) (any, bool) {
	if !v.visible(code) {
		return nil, false
	}
	return v.lookUp(code, string(v.scope.Channel), string(v.scope.Locale))
}

// lookUp resolves an attribute's value for a channel and a locale; false when
// there is none.
func (v *view) lookUp(code, channel, locale string) (any, bool) {
	a := v.schema.Attributes[code]
	found, ok := v.subject.Values[code]
	if a == nil || !ok {
		return nil, false
	}
	if a.Scopable {
		if found, ok = step(found, channel); !ok {
			return nil, false
		}
	}
	if a.Localizable {
		if found, ok = v.inChain(found, pim.Locale(locale)); !ok {
			return nil, false
		}
	}
	if a.Type == pim.TypeMedia && v.subject.Pictures != nil {
		return v.show(found)
	}
	return found, found != nil
}

// inChain is the value of a locale, or of the first along its fallbacks that
// has one; blank text is none, but better than nothing.
func (v *view) inChain(locales any, l pim.Locale) (any, bool) {
	own, has := step(locales, string(l))
	if has && pim.Filled(own) || v.schema.Fallbacks[l] == "" {
		return own, has
	}
	for _, next := range v.schema.Chain(l)[1:] {
		if found, ok := step(locales, string(next)); ok && pim.Filled(found) {
			return found, true
		}
	}
	return own, has
}

// show puts in the place of what a media value names what the channel is shown
// of it; false when that is nothing.
func (v *view) show(stored any) (any, bool) {
	switch stored := stored.(type) {
	case string:
		p, ok := v.subject.Pictures[stored]
		if !ok {
			return stored, true
		}
		if !slices.Contains(v.shown, p) {
			v.shown = append(v.shown, p)
		}
		return p.URL, p.URL != ""
	case []any:
		list := make([]any, 0, len(stored))
		for _, el := range stored {
			if shown, ok := v.show(el); ok {
				list = append(list, shown)
			}
		}
		return list, len(list) > 0
	}
	return stored, stored != nil
}

func step(v any, key string) (any, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	v, ok = m[key]
	return v, ok
}

// bestPrice is the price variable: nil, or the price that counts for one piece.
func (v *view) bestPrice() any {
	if !v.priced {
		v.priced = true
		var best *pim.Price
		for i := range v.subject.Prices {
			p := &v.subject.Prices[i]
			if v.valid(p) && p.Currency == v.scope.Currency && p.MinQuantity <= 1 && (best == nil || comparePrices(p, best) < 0) {
				best = p
			}
		}
		if best != nil {
			v.price = priceMap(best)
		}
	}
	return v.price
}

// validPrices is the prices variable.
func (v *view) validPrices() []any {
	if !v.pricesListed {
		v.pricesListed = true
		var valid []*pim.Price
		for i := range v.subject.Prices {
			if p := &v.subject.Prices[i]; v.valid(p) {
				valid = append(valid, p)
			}
		}
		slices.SortStableFunc(valid, func(a, b *pim.Price) int {
			return cmp.Or(strings.Compare(string(a.Currency), string(b.Currency)),
				cmp.Compare(a.MinQuantity, b.MinQuantity), comparePrices(a, b))
		})
		v.prices = make([]any, len(valid))
		for i, p := range valid {
			v.prices[i] = priceMap(p)
		}
	}
	return v.prices
}

// valid reports whether a price of the scope's list holds now.
func (v *view) valid(p *pim.Price) bool {
	now := v.scope.Now
	return p.PriceList == v.scope.PriceList &&
		(p.ValidFrom == nil || !now.Before(*p.ValidFrom)) && (p.ValidTo == nil || now.Before(*p.ValidTo))
}

// comparePrices puts the price first that wins: the one that came into force
// later, a price without beginning being the oldest; then the one for more
// pieces; then the lower.
func comparePrices(a, b *pim.Price) int {
	switch {
	case a.ValidFrom == nil && b.ValidFrom != nil:
		return 1
	case a.ValidFrom != nil && b.ValidFrom == nil:
		return -1
	case a.ValidFrom != nil:
		if c := b.ValidFrom.Compare(*a.ValidFrom); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(b.MinQuantity, a.MinQuantity), a.Amount.CmpTotal(b.Amount))
}

// priceMap is what expressions see of a price. A bound of its validity that is
// not set is absent.
func priceMap(p *pim.Price) map[string]any {
	m := map[string]any{
		"amount":       p.Amount.String(),
		"currency":     string(p.Currency),
		"min_quantity": int64(p.MinQuantity),
	}
	if p.ValidFrom != nil {
		m["valid_from"] = p.ValidFrom.UTC().Format(time.RFC3339)
	}
	if p.ValidTo != nil {
		m["valid_to"] = p.ValidTo.UTC().Format(time.RFC3339)
	}
	return m
}

// stock is the stock variable: nil for a product whose stock nobody keeps. A
// product that has stock, but none at the locations that count, has 0.
func (v *view) stock() any {
	sale, kept := v.schema.Sells(v.subject.Stock, v.scope.Locations, v.scope.Stock)
	if !kept {
		return nil
	}
	return map[string]any{"available": sale.Shown, "on_hand": sale.OnHand, "reserved": sale.Reserved}
}

// addMedia lists what is shown, but for documents that are known to be some.
func (v *view) addMedia(url string) {
	if !slices.ContainsFunc(v.shown, func(p *Picture) bool { return p.Document && p.URL == url }) {
		v.media = append(v.media, url)
	}
}

// allMedia is the media variable.
func (v *view) allMedia() []string {
	if v.mediaListed {
		return v.media
	}
	v.mediaListed = true
	v.media = []string{}
	v.renditions = map[string]any{}
	for _, code := range slices.Sorted(maps.Keys(v.subject.Values)) {
		if !v.isMedia(code) {
			continue
		}
		found, _ := v.lookUp(code, string(v.scope.Channel), string(v.scope.Locale))
		switch found := found.(type) {
		case string:
			v.addMedia(found)
		case []any:
			for _, el := range found {
				if s, ok := el.(string); ok {
					v.addMedia(s)
				}
			}
		}
	}
	listed := map[string][]string{}
	for _, url := range v.media {
		for _, p := range v.shown {
			if p.URL == url {
				for code, rendition := range p.Renditions {
					listed[code] = append(listed[code], rendition)
				}
				break
			}
		}
	}
	for code, urls := range listed {
		v.renditions[code] = urls
	}
	return v.media
}

// pictures is the pictures variable: media with what is said of each.
func (v *view) pictures() []any {
	list := make([]any, len(v.allMedia()))
	for i, url := range v.media {
		alt := ""
		if at := slices.IndexFunc(v.shown, func(p *Picture) bool { return p.URL == url }); at >= 0 {
			alt = v.shown[at].Alt
		}
		list[i] = map[string]any{"src": url, "alt": alt}
	}
	return list
}
