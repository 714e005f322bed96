package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// PriceHoldView is a price hold as the API shows it.
type PriceHoldView struct {
	ID          int64                `json:"id"`
	SKU         pim.SKU              `json:"sku"`
	PriceList   string               `json:"price_list"`
	Currency    pim.Currency         `json:"currency"`
	MinQuantity int                  `json:"min_quantity"`
	Reason      pim.HoldReason       `json:"reason" enum:"share,factor" doc:"share: too many prices of the list would have moved; factor: this one would have moved too far"`
	Old         string               `json:"old,omitempty" doc:"Amount that the reason compares; absent: none"`
	New         string               `json:"new,omitempty" doc:"With this one; absent: the price goes"`
	Held        []postgres.HeldPrice `json:"held" doc:"Prices that are set, or go, when it is approved"`
	MovesAt     time.Time            `json:"moves_at" doc:"When it would move something first: a window may open then"`
	HeldAt      time.Time            `json:"held_at"`
	HeldBy      string               `json:"held_by" doc:"Who set it; price-rules: a rule made it"`
	RejectedAt  *time.Time           `json:"rejected_at,omitempty" doc:"Of what rules make: it stays away until they make something else"`
	RejectedBy  string               `json:"rejected_by,omitempty"`
}

// ViewPriceHold is a hold as the API shows it.
func ViewPriceHold(h postgres.PriceHold) PriceHoldView {
	v := PriceHoldView{
		ID: h.ID, SKU: h.SKU, PriceList: h.PriceList, Currency: h.Currency, MinQuantity: h.MinQuantity, Reason: h.Reason, Held: h.Prices,
		MovesAt: h.MovesAt, HeldAt: h.At, HeldBy: h.Actor, RejectedAt: h.RejectedAt, RejectedBy: h.RejectedBy,
	}
	if h.Old != nil {
		v.Old = *h.Old
	}
	if h.New != nil {
		v.New = *h.New
	}
	return v
}

// PriceHoldsDecision says which price holds are meant: exactly one of its members is told.
type PriceHoldsDecision struct {
	IDs       []int64 `json:"ids,omitempty" maxItems:"1000" doc:"These"`
	PriceList string  `json:"price_list,omitempty" doc:"All of this price list"`
	All       bool    `json:"all,omitempty" doc:"true: all there are"`
}

// PriceHoldsDecided says how many holds were decided on.
type PriceHoldsDecided struct {
	Holds int `json:"holds"`
}

type priceHoldPath struct {
	ID int64 `path:"id" minimum:"1"`
}

type listPriceHolds struct {
	Paging
	Sorting
	PriceList string `query:"price_list" maxLength:"100"`
	SKU       string `query:"sku" maxLength:"128"`
	Reason    string `query:"reason" enum:"share,factor"`
	Rejected  bool   `query:"rejected" doc:"true: those that were rejected, instead of those that are to be decided on"`
}

func (s *server) registerPriceHolds() {
	handle(s, op("list-price-holds", http.MethodGet, "/v1/price-holds", tagOffers, "List the prices that guards of price lists hold, the oldest first"), s.listPriceHolds)
	handle(s, op("get-price-hold", http.MethodGet, "/v1/price-holds/{id}", tagOffers, "Get a price hold"),
		func(ctx context.Context, in *priceHoldPath) (*answer[PriceHoldView], error) {
			h, err := s.Store.PriceHold(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &answer[PriceHoldView]{ViewPriceHold(h)}, nil
		})
	for _, d := range []struct {
		verb, summary, says string
		do                  func(context.Context, string, postgres.HoldFilter) (int, error)
	}{
		{"approve", "Set the prices that are held", "Exactly what is held is set, and goes to the channels. What rules make of it is judged by the guards of their lists.", s.Store.ApproveHolds},
		{"reject", "Drop the prices that are held", "Prices stay as they are. What rules make comes again when they make something else.", s.Store.RejectHolds},
	} {
		handle(s, op(d.verb+"-price-hold", http.MethodPost, "/v1/price-holds/{id}/"+d.verb, tagOffers, d.summary+" by one hold", says(d.says)),
			func(ctx context.Context, in *priceHoldPath) (*answer[PriceHoldsDecided], error) {
				if _, err := s.Store.PriceHold(ctx, in.ID); err != nil {
					return nil, err
				}
				n, err := d.do(ctx, callOf(ctx).key.Name, postgres.HoldFilter{IDs: []int64{in.ID}})
				if err == nil && n == 0 { // somebody was faster, or it holds another price by now
					err = fmt.Errorf("price hold %d: %w", in.ID, postgres.ErrNotFound)
				}
				return decided(n, err)
			})
		handle(s, op(d.verb+"-price-holds", http.MethodPost, "/v1/price-holds:"+d.verb, tagOffers, d.summary+" by several holds, all or none", says(d.says), takesLong,
			takesJSON[PriceHoldsDecision](s)), func(ctx context.Context, in *RawInput) (*answer[PriceHoldsDecided], error) {
			which, err := ReadHoldsDecision(in.RawBody)
			if err != nil {
				return nil, err
			}
			return decided(d.do(ctx, callOf(ctx).key.Name, which))
		})
	}
}

func decided(n int, err error) (*answer[PriceHoldsDecided], error) {
	if err != nil {
		return nil, err
	}
	return &answer[PriceHoldsDecided]{PriceHoldsDecided{n}}, nil
}

// ReadHoldsDecision reads which holds are meant. The error is a *pim.Invalid.
func ReadHoldsDecision(body []byte) (postgres.HoldFilter, error) {
	d, err := decode[PriceHoldsDecision](body, nil)
	if err != nil {
		return postgres.HoldFilter{}, err
	}
	told := 0
	for _, t := range []bool{len(d.IDs) > 0, d.PriceList != "", d.All} {
		if t {
			told++
		}
	}
	if told != 1 || len(d.IDs) > maxRows {
		return postgres.HoldFilter{}, &pim.Invalid{Problems: []pim.Problem{{
			Code: "price_hold.which", Detail: fmt.Sprintf("exactly one of ids, which are at most %d, price_list and all is expected", maxRows),
		}}}
	}
	return postgres.HoldFilter{IDs: d.IDs, PriceList: d.PriceList}, nil
}

func (s *server) listPriceHolds(ctx context.Context, in *listPriceHolds) (*answer[page[PriceHoldView]], error) {
	list, next, err := s.Store.PriceHolds(ctx, postgres.HoldFilter{
		PriceList: in.PriceList, SKU: pim.SKU(in.SKU), Reason: pim.HoldReason(in.Reason), Rejected: in.Rejected,
	}, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	items := make([]PriceHoldView, len(list))
	for i, h := range list {
		items[i] = ViewPriceHold(h)
	}
	return pageOf(items, next), nil
}
