package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// PriceRuleView is a price rule as the API shows it.
type PriceRuleView struct {
	pim.PriceRule
	Revision  int64     `json:"revision" doc:"What the ETag names"`
	UpdatedAt time.Time `json:"updated_at"`
}

type priceRuleAnswer struct {
	Status int
	ETag   string `header:"ETag" doc:"The rule's revision"`
	Body   PriceRuleView
}

// PriceListView is a price list as the API shows it.
type PriceListView struct {
	pim.PriceList
	Revision  int64     `json:"revision" doc:"What the ETag names"`
	UpdatedAt time.Time `json:"updated_at"`
}

type priceListAnswer struct {
	Status int
	ETag   string `header:"ETag" doc:"The list's revision"`
	Body   PriceListView
}

// putPriceListBody is a price list, or no body for a code alone.
type putPriceListBody struct {
	CodePath
	Preconditions
	RawInput
}

func (s *server) registerPriceRules() {
	handle(s, op("list-price-lists", http.MethodGet, "/v1/price-lists", tagOffers, "List all price lists by code"), s.listPriceLists)
	handle(s, op("get-price-list", http.MethodGet, "/v1/price-lists/{code}", tagOffers, "Get a price list"), s.getPriceList)
	handle(s, op("put-price-list", http.MethodPut, "/v1/price-lists/{code}", tagOffers, "Create or replace a price list", creates,
		says("Without a body it is made with its code alone, and left as it is when it is there. With another base or other currencies its rules' prices are derived anew."),
		mayTakeJSON[pim.PriceList](s, "code")), s.putPriceList)
	deletes(s, op("delete-price-list", http.MethodDelete, "/v1/price-lists/{code}", tagOffers, "Delete a price list without prices that no channel, price list or price rule names",
		says("Who still does is told by a 409. Prices of deleted products in it go with it. The list default stays.")),
		s.Store.DeletePriceList)

	handle(s, op("list-price-rules", http.MethodGet, "/v1/price-rules", tagOffers, "List all price rules by code"), s.listPriceRules)
	handle(s, op("get-price-rule", http.MethodGet, "/v1/price-rules/{code}", tagOffers, "Get a price rule"), s.getPriceRule)
	handle(s, op("put-price-rule", http.MethodPut, "/v1/price-rules/{code}", tagOffers, "Create or replace a price rule", creates, takesLong, means(meantEnabled),
		says("The prices that it makes, or made, are derived anew at once, and what has moved goes to the channels. The same again changes nothing. Prices that are set by hand win over rules."),
		takesJSON[pim.PriceRule](s, "code")), s.putPriceRule)
	deletes(s, op("delete-price-rule", http.MethodDelete, "/v1/price-rules/{code}", tagOffers, "Delete a price rule, and the prices that it made", takesLong),
		func(ctx context.Context, code string, rev int64) error {
			err := s.Store.DeletePriceRule(ctx, code, rev)
			if err == nil {
				s.wakePrices()
			}
			return err
		})
}

// wakePrices wakes who derives prices.
func (s *server) wakePrices() { s.Wake(postgres.Consumer{Kind: postgres.Derive}) }

// ViewPriceRule is a rule as the API shows it.
func ViewPriceRule(r postgres.PriceRule) PriceRuleView {
	return PriceRuleView{PriceRule: r.PriceRule, Revision: r.Rev, UpdatedAt: r.UpdatedAt}
}

// ViewPriceList is a price list as the API shows it.
func ViewPriceList(l postgres.PriceList) PriceListView {
	return PriceListView{PriceList: l.PriceList, Revision: l.Rev, UpdatedAt: l.UpdatedAt}
}

// ReadPriceRule reads a rule from JSON; code is told elsewhere. The error is a
// *pim.Invalid.
func ReadPriceRule(body []byte, code string) (pim.PriceRule, error) {
	return decode[pim.PriceRule](body, map[string]string{"code": code})
}

// ReadPriceList reads a price list from JSON, as ReadPriceRule does a rule.
func ReadPriceList(body []byte, code string) (pim.PriceList, error) {
	return decode[pim.PriceList](body, map[string]string{"code": code})
}

func (s *server) listPriceRules(ctx context.Context, _ *struct{}) (*answer[page[PriceRuleView]], error) {
	list, err := s.Store.PriceRules(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]PriceRuleView, len(list))
	for i, r := range list {
		items[i] = ViewPriceRule(r)
	}
	return pageOf(items, ""), nil
}

func (s *server) getPriceRule(ctx context.Context, in *CodePath) (*priceRuleAnswer, error) {
	r, err := s.Store.PriceRule(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	return &priceRuleAnswer{http.StatusOK, etag(r.Rev), ViewPriceRule(r)}, nil
}

// putUnder stores a definition under If-Match: there gives its revision now,
// and put stores it if that is still so.
func putUnder[T any](in condition, there func() (int64, error), put func(rev int64) (T, bool, error)) (T, bool, error) {
	for race := 0; ; race++ {
		var rev int64
		if in.given {
			now, err := there()
			var none T
			if errors.Is(err, postgres.ErrNotFound) {
				return none, false, problem(http.StatusPreconditionFailed, "stale", "there is none of this code")
			}
			if err != nil {
				return none, false, err
			}
			if rev = now; !in.any && !slices.Contains(in.revisions, rev) {
				return none, false, stale(rev)
			}
		}
		out, fresh, err := put(rev)
		if errors.Is(err, postgres.ErrStale) && race < maxRaces {
			continue
		}
		return out, fresh, err
	}
}

func (s *server) putPriceRule(ctx context.Context, in *putCode) (*priceRuleAnswer, error) {
	want, p := parseIfMatch(in.IfMatch)
	if p != nil {
		return nil, p
	}
	rule, err := ReadPriceRule(in.RawBody, in.Code)
	if err != nil {
		return nil, err
	}
	now, fresh, err := putUnder(want, func() (int64, error) {
		r, err := s.Store.PriceRule(ctx, in.Code)
		return r.Rev, err
	}, func(rev int64) (postgres.PriceRule, bool, error) { return s.Store.PutPriceRule(ctx, rule, rev) })
	if err != nil {
		return nil, inFilter("/condition", err)
	}
	s.wakePrices()
	return &priceRuleAnswer{created(!fresh), etag(now.Rev), ViewPriceRule(now)}, nil
}

func (s *server) listPriceLists(ctx context.Context, _ *struct{}) (*answer[page[PriceListView]], error) {
	list, err := s.Store.PriceLists(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]PriceListView, len(list))
	for i, l := range list {
		items[i] = ViewPriceList(l)
	}
	return pageOf(items, ""), nil
}

func (s *server) getPriceList(ctx context.Context, in *CodePath) (*priceListAnswer, error) {
	l, err := s.Store.PriceList(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	return &priceListAnswer{http.StatusOK, etag(l.Rev), ViewPriceList(l)}, nil
}

func (s *server) putPriceList(ctx context.Context, in *putPriceListBody) (*priceListAnswer, error) {
	if err := pim.ValidCode("price list", in.Code); err != nil {
		return nil, badParameter("path.code", "code", err.Error())
	}
	want, p := parseIfMatch(in.IfMatch)
	if p != nil {
		return nil, p
	}
	list := pim.PriceList{Code: in.Code}
	if len(in.RawBody) > 0 {
		var err error
		if list, err = ReadPriceList(in.RawBody, in.Code); err != nil {
			return nil, err
		}
	} else if l, err := s.Store.PriceList(ctx, in.Code); !errors.Is(err, postgres.ErrNotFound) { // a code alone replaces nothing
		if err != nil {
			return nil, err
		}
		list = l.PriceList
	}
	now, fresh, err := putUnder(want, func() (int64, error) {
		l, err := s.Store.PriceList(ctx, in.Code)
		return l.Rev, err
	}, func(rev int64) (postgres.PriceList, bool, error) { return s.Store.PutPriceList(ctx, list, rev) })
	if err != nil {
		return nil, err
	}
	s.wakePrices()
	return &priceListAnswer{created(!fresh), etag(now.Rev), ViewPriceList(now)}, nil
}
