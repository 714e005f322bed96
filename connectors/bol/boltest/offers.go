package boltest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

// Offer is one offer as bol holds it.
type Offer struct {
	ID               string
	EAN              string // as it was sent
	Condition        Condition
	Reference        string
	OnHold           bool
	UnknownTitle     string
	EconomicOperator string
	Countries        []string
	Prices           []Price
	Fulfilment       Fulfilment
	Stock            int
	ManagedByBol     bool

	modified time.Time
	hidden   bool // from lists, with Options.Lag
}

// Condition is an offer's.
type Condition struct {
	Category string `json:"category"`
	State    string `json:"state,omitempty"`
	Comment  string `json:"comment,omitempty"`
	Grade    string `json:"grade,omitempty"`
	Margin   *bool  `json:"margin,omitempty"`
}

// Price is that of a piece from a quantity on.
type Price struct {
	Quantity  int         `json:"quantity"`
	UnitPrice json.Number `json:"unitPrice"`
}

// Fulfilment says who ships.
type Fulfilment struct {
	Method   string `json:"method"`
	Schedule string `json:"schedule,omitempty"`
	Promise  *struct {
		Minimum     *int   `json:"minimumDaysToCustomer"`
		Maximum     *int   `json:"maximumDaysToCustomer"`
		OrderBefore string `json:"ultimateOrderTime,omitempty"`
	} `json:"deliveryPromise,omitempty"`
}

// offerRequest is what a sender writes; absent fields are nil.
type offerRequest struct {
	EAN              *string     `json:"ean"`
	Condition        *Condition  `json:"condition"`
	Reference        *string     `json:"reference"`
	OnHold           *bool       `json:"onHoldByRetailer"`
	UnknownTitle     *string     `json:"unknownProductTitle"`
	EconomicOperator *string     `json:"economicOperatorId"`
	Countries        *[]inLand   `json:"countryAvailabilities"`
	Pricing          *priceList  `json:"pricing"`
	Fulfilment       *Fulfilment `json:"fulfilment"`
	Stock            *inStock    `json:"stock"`
}

type inLand struct {
	Code string `json:"countryCode"`
}

type priceList struct {
	Bundles []Price `json:"bundlePrices"`
}

type inStock struct {
	Amount            *int  `json:"amount"`
	ManagedByRetailer *bool `json:"managedByRetailer"`
}

func (f *Fake) createOffer(c call) answer {
	var req offerRequest
	if !f.decode(CreateOffer, c.body, &req) {
		return f.problem(v11, http.StatusBadRequest, "The request body could not be read.")
	}
	var bad []violation
	need := func(missing bool, name string) {
		if missing {
			bad = append(bad, violation{name, "must not be null"})
		}
	}
	need(req.EAN == nil, "ean")
	need(req.Condition == nil, "condition")
	need(req.Pricing == nil, "pricing")
	need(req.Fulfilment == nil, "fulfilment")
	if s := req.Stock; s != nil {
		need(s.Amount == nil, "stock.amount")
		need(s.ManagedByRetailer == nil, "stock.managedByRetailer")
	}
	bad = append(bad, req.faults()...)
	if len(bad) > 0 {
		return f.problem(v11, http.StatusBadRequest, "Bad request"+f.rude(c.Header.Get("Authorization")), bad...)
	}
	if f.refused[key(*req.EAN)] {
		return f.problem(v11, http.StatusBadRequest, "Bad request", violation{"ean", "Request contains invalid value(s): '" + *req.EAN + "'." + f.rude(c.Header.Get("Authorization"))})
	}
	for _, o := range f.offers {
		if key(o.EAN) == key(*req.EAN) && o.Condition.same(*req.Condition) {
			return f.problem(v11, f.opts.Duplicate, "Duplicate found", violation{"ean", "An offer with this EAN and condition already exists."})
		}
	}
	o := &Offer{ID: uuid(), EAN: *req.EAN, Condition: *req.Condition, hidden: f.opts.Lag}
	o.change(req)
	f.offers[o.ID] = o
	f.order = append(f.order, o.ID)
	f.touch(o)
	f.noteOffer("create", o, &req)
	return answer{status: http.StatusCreated, media: v11, body: map[string]string{"offerId": o.ID}}
}

func (f *Fake) updateOffer(c call) answer {
	o := f.offers[c.PathValue("id")]
	if o == nil {
		return f.noOffer()
	}
	var req offerRequest
	if !f.decode(UpdateOffer, c.body, &req) {
		return f.problem(v11, http.StatusBadRequest, "The request body could not be read.")
	}
	if req.EAN != nil || req.Condition != nil {
		f.noteLocked("%s: EAN and condition cannot be changed", UpdateOffer)
	}
	if bad := req.faults(); len(bad) > 0 {
		return f.problem(v11, http.StatusBadRequest, "Bad request"+f.rude(c.Header.Get("Authorization")), bad...)
	}
	o.change(req)
	f.touch(o)
	f.noteOffer("update", o, &req)
	return answer{status: http.StatusNoContent}
}

// change applies what a request holds, and leaves the rest.
func (o *Offer) change(req offerRequest) {
	o.modified = time.Now()
	set(&o.Reference, req.Reference)
	set(&o.OnHold, req.OnHold)
	set(&o.UnknownTitle, req.UnknownTitle)
	set(&o.EconomicOperator, req.EconomicOperator)
	set(&o.Fulfilment, req.Fulfilment)
	if req.Countries != nil {
		o.Countries = nil
		for _, in := range *req.Countries {
			o.Countries = append(o.Countries, in.Code)
		}
	}
	if req.Pricing != nil {
		o.Prices = req.Pricing.Bundles
	}
	if s := req.Stock; s != nil {
		set(&o.Stock, s.Amount)
		if s.ManagedByRetailer != nil {
			o.ManagedByBol = !*s.ManagedByRetailer
		}
	}
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (c Condition) same(o Condition) bool {
	return c.Category == o.Category && c.State == o.State && c.Grade == o.Grade
}

// key is an EAN without leading zeros: bol pads all of them to 13 digits.
func key(ean string) string { return strings.TrimLeft(ean, "0") }

var clock = regexp.MustCompile(`^\d\d:\d\d$`)

// faults are bol's rules for the fields of an offer.
func (req *offerRequest) faults() (bad []violation) {
	add := func(name, format string, args ...any) {
		bad = append(bad, violation{name, fmt.Sprintf(format, args...)})
	}
	needed := func(name, value string, of ...string) {
		if !slices.Contains(of, value) {
			add(name, "Request contains invalid value(s): '%s', allowed values: %s.", value, strings.Join(of, ", "))
		}
	}
	choice := func(name, value string, of ...string) {
		if value != "" {
			needed(name, value, of...)
		}
	}
	if req.EAN != nil {
		if code, _ := pim.GTINFault(*req.EAN); code != "" {
			add("ean", "Request contains invalid value(s): '%s'.", *req.EAN)
		}
	}
	if c := req.Condition; c != nil {
		needed("condition.category", c.Category, "NEW", "SECONDHAND", "REFURBISHED")
		choice("condition.state", c.State, "AS_NEW", "GOOD", "REASONABLE", "MODERATE")
		choice("condition.grade", c.Grade, "A", "B", "C")
		if c.Category == "SECONDHAND" && c.State == "" || c.Category == "REFURBISHED" && c.Grade == "" {
			add("condition", "The condition is not complete.")
		}
		if c.Comment != "" && c.Category == "NEW" {
			add("condition.comment", "Only allowed if the category is not NEW.")
		}
	}
	if req.Reference != nil && len([]rune(*req.Reference)) > 100 {
		add("reference", "size must be between 0 and 100")
	}
	if req.UnknownTitle != nil && len([]rune(*req.UnknownTitle)) > 500 {
		add("unknownProductTitle", "size must be between 0 and 500")
	}
	if req.Countries != nil {
		for i, in := range *req.Countries {
			needed(fmt.Sprintf("countryAvailabilities[%d].countryCode", i), in.Code, "NL", "BE")
		}
	}
	if f := req.Fulfilment; f != nil {
		needed("fulfilment.method", f.Method, "FBR", "FBB")
		choice("fulfilment.schedule", f.Schedule, "BOL_DELIVERY_PROMISE", "MY_DELIVERY_PROMISE", "SHIPPING_VIA_BOL")
		if p := f.Promise; p != nil {
			if p.Minimum == nil || p.Maximum == nil || *p.Minimum > *p.Maximum || *p.Minimum < 0 {
				add("fulfilment.deliveryPromise", "The days to the customer are not right.")
			}
			if p.OrderBefore != "" && !clock.MatchString(p.OrderBefore) {
				add("fulfilment.deliveryPromise.ultimateOrderTime", "must be a time such as 14:00")
			}
		}
	}
	if req.Pricing != nil {
		bad = append(bad, priceFaults(req.Pricing.Bundles)...)
	}
	if s := req.Stock; s != nil && s.Amount != nil && (*s.Amount < 0 || *s.Amount > 999) {
		add("stock.amount", "must be between 0 and 999")
	}
	return bad
}

func priceFaults(bundles []Price) (bad []violation) {
	if n := len(bundles); n == 0 || n > 4 {
		bad = append(bad, violation{"pricing.bundlePrices", "size must be between 1 and 4"})
	}
	last := decimal.Decimal{}
	for i, b := range bundles {
		name := fmt.Sprintf("pricing.bundlePrices[%d]", i)
		d, err := decimal.Parse(b.UnitPrice.String())
		if err != nil || d.Cmp(decimal.One) < 0 || d.Cmp(decimal.MustNew(9999, 0)) > 0 || d.Trim(0).Scale() > 2 {
			bad = append(bad, violation{name + ".unitPrice", "must be between 1 and 9999, with at most two decimals"})
		}
		if i == 0 && b.Quantity != 1 || i > 0 && b.Quantity <= bundles[i-1].Quantity {
			bad = append(bad, violation{name + ".quantity", "The quantities must begin with 1 and increase."})
		}
		if i > 0 && d.Cmp(last) >= 0 {
			bad = append(bad, violation{name + ".unitPrice", "The prices must decrease."})
		}
		last = d
	}
	return bad
}

func (f *Fake) noOffer() answer {
	return f.problem(v11, http.StatusNotFound, "The requested offer could not be found.")
}

func (f *Fake) deleteOffer(c call) answer {
	o := f.offers[c.PathValue("id")]
	if o == nil {
		return f.noOffer()
	}
	delete(f.offers, o.ID)
	f.order = slices.DeleteFunc(f.order, func(id string) bool { return id == o.ID })
	f.ledger.Put(tableOffers, o.ID, nil)
	f.noteOffer("delete", o, nil)
	return answer{status: http.StatusNoContent}
}

func (f *Fake) getOffer(c call) answer {
	if o := f.offers[c.PathValue("id")]; o != nil {
		return ok(v11, f.shown(o))
	}
	return f.noOffer()
}

var listParameters = []string{"offer-ids", "eans", "reference", "for-sale", "last-modified-date-time", "page-size", "cursor"}

func (f *Fake) listOffers(c call) answer {
	q := c.URL.Query()
	for name := range q {
		if !slices.Contains(listParameters, name) {
			f.noteLocked("%s: there is no parameter %q", ListOffers, name)
		}
	}
	size, from := 100, 0
	if v := q.Get("page-size"); v != "" {
		var err error
		if size, err = strconv.Atoi(v); err != nil || size < 1 || size > 100 {
			f.noteLocked("%s: page-size is %q", ListOffers, v)
			return f.problem(v11, http.StatusBadRequest, "Bad request", violation{"page-size", "must be between 1 and 100"})
		}
	}
	if v := q.Get("cursor"); v != "" {
		var err error
		if from, err = strconv.Atoi(strings.TrimPrefix(v, "after-")); err != nil || from < 0 {
			f.noteLocked("%s: the cursor %q is not one of ours", ListOffers, v)
			return f.problem(v11, http.StatusBadRequest, "Bad request", violation{"cursor", "is not known"})
		}
	}
	eans := map[string]bool{}
	for _, ean := range q["eans"] {
		eans[key(ean)] = true
	}
	found := []any{}
	at, next := 0, ""
	for _, id := range f.order {
		o := f.offers[id]
		if o.hidden || len(eans) > 0 && !eans[key(o.EAN)] || q.Has("reference") && o.Reference != q.Get("reference") ||
			len(q["offer-ids"]) > 0 && !slices.Contains(q["offer-ids"], id) || q.Has("for-sale") && q.Get("for-sale") != strconv.FormatBool(len(f.why(o)) == 0) {
			continue
		}
		at++
		if at <= from {
			continue
		}
		if len(found) == size {
			next = fmt.Sprintf("after-%d", from+size)
			break
		}
		found = append(found, f.shown(o))
	}
	page := map[string]any{"pageSize": max(size, 25)}
	if next != "" {
		page["nextCursor"] = next
	}
	return ok(v11, map[string]any{"offers": found, "page": page})
}

// shown is an offer as bol's answers write it.
func (f *Fake) shown(o *Offer) map[string]any {
	forSale := len(f.why(o)) == 0
	lands := []any{}
	for _, code := range o.Countries {
		lands = append(lands, map[string]any{"countryCode": code, "forSale": forSale})
	}
	return map[string]any{
		"offerId": o.ID, "ean": fmt.Sprintf("%013s", key(o.EAN)), "reference": o.Reference, "onHoldByRetailer": o.OnHold,
		"lastModifiedDateTime": o.modified.UTC().Format(time.RFC3339), "unknownProductTitle": o.UnknownTitle, "economicOperatorId": o.EconomicOperator,
		"condition": o.Condition, "pricing": map[string]any{"bundlePrices": o.Prices}, "fulfilment": o.Fulfilment, "countryAvailabilities": lands,
		"stock": map[string]any{"amount": o.Stock, "correctedStock": o.Stock, "managedByRetailer": !o.ManagedByBol},
	}
}

// Reason is why an offer is not for sale.
type Reason struct {
	Category    string        `json:"category"`
	Code        string        `json:"code"`
	Description string        `json:"description"`
	Missing     []MissingAttr `json:"missingAttributes,omitempty"`
}

// MissingAttr names an attribute that a product needs to be sold.
type MissingAttr struct {
	Name string `json:"name"`
}

// why an offer is not for sale; none when it is. The codes 4000-1 and 4004-2
// are bol's; the others have its shape only.
func (f *Fake) why(o *Offer) (reasons []Reason) {
	if p := f.products[key(o.EAN)]; p == nil || len(p.Attributes) == 0 {
		reasons = append(reasons, Reason{"CONTENT", "4004-2", "For this product essential product information is missing", []MissingAttr{{"Name"}}})
	}
	if o.Stock == 0 && o.Fulfilment.Method == "FBR" {
		reasons = append(reasons, Reason{Category: "STOCK", Code: "4002-1", Description: "There is no stock"})
	}
	if o.OnHold {
		reasons = append(reasons, Reason{Category: "ON_HOLD", Code: "4006-1", Description: "The offer is on hold"})
	}
	return append(reasons, f.reasons[key(o.EAN)]...)
}

func (f *Fake) listReasons(c call) answer {
	o := f.offers[c.PathValue("id")]
	if o == nil {
		return f.noOffer()
	}
	lands := []any{}
	if reasons := f.why(o); len(reasons) > 0 {
		for _, code := range o.Countries {
			lands = append(lands, map[string]any{"countryCode": code, "reasons": reasons})
		}
	}
	return ok(v11, map[string]any{"offerId": o.ID, "countries": lands})
}

// SetReasons keeps the offers of an EAN off sale for these reasons, besides
// those that the fake finds itself; none ends it.
func (f *Fake) SetReasons(ean string, reasons ...Reason) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reasons[key(ean)] = reasons
}

// AddOffer puts an offer there that somebody else made, and says its id.
func (f *Fake) AddOffer(o Offer) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	o.ID, o.modified = uuid(), time.Now()
	f.offers[o.ID] = &o
	f.order = append(f.order, o.ID)
	f.touch(&o)
	f.bump()
	return o.ID
}

// Alter changes the stock of a reference's offers as if by bol's console.
func (f *Fake) Alter(reference string, stock int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.offers {
		if o.Reference == reference {
			o.Stock, o.modified = stock, time.Now()
			f.touch(o)
		}
	}
	f.bump()
}

// RemoveOffer takes an offer away as if by bol's console.
func (f *Fake) RemoveOffer(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.offers, id)
	f.order = slices.DeleteFunc(f.order, func(other string) bool { return other == id })
	f.ledger.Put(tableOffers, id, nil)
	f.bump()
}

// CatchUp lets lists show all offers; see Options.Lag.
func (f *Fake) CatchUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.offers {
		o.hidden = false
	}
}

// Offers are all offers, by id.
func (f *Fake) Offers() map[string]Offer {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make(map[string]Offer, len(f.offers))
	for id, o := range maps.All(f.offers) {
		all[id] = *o
	}
	return all
}

// Offer is the offer with a reference.
func (f *Fake) Offer(reference string) (Offer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.order {
		if o := f.offers[id]; o.Reference == reference {
			return *o, true
		}
	}
	return Offer{}, false
}

// HeldOffer is what is offered under a reference, as JSON without ids and times;
// "" is nothing.
func (f *Fake) HeldOffer(reference string) string {
	o, found := f.Offer(reference)
	if !found {
		return ""
	}
	o.ID, o.modified, o.hidden = "", time.Time{}, false
	raw, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
