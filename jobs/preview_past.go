package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// This file finds the document that a target acknowledged. Of it only a hash is
// kept, which is a guess's proof: the product's history is walked back from now,
// and rendered after each step by the mapping of that time, until the hash is
// the one.

const (
	// pastEvents bounds how far back is walked, in events that the lane's mapping reads.
	pastEvents = 200
	// pastTime bounds how long, for all lanes of a preview together.
	pastTime = 10 * time.Second
)

// acknowledged finds what the target took last of v, whose document now, by the
// channel's mapping, is in k; nil: nothing. The error is of the database.
func (c *Channels) acknowledged(ctx context.Context, t *Target, v *postgres.Surveyed, k *looked, schema *pim.Schema) (*Acknowledged, error) {
	if v.AckedAt == nil {
		return nil, nil //nolint:nilnil // nothing is an answer here
	}
	a := &Acknowledged{Revision: v.Acked, At: *v.AckedAt, Status: v.Status}
	if w, ok := isWithdrawn(v.AckedHash); ok {
		a.Reason = withdrawnText(w)
		return a, nil
	}
	switch {
	case v.Lane != pim.Content && v.Status == string(pim.StateNone):
		a.Reason = "it went along with the product's content, when that left the channel"
		return a, nil
	case v.AckedHash == nil:
		a.Reason = "what the target holds is not certain: an answer was lost, or all is to be sent anew"
		return a, nil
	case v.Lane == pim.Offer && bytes.Equal(v.AckedHash, soldOutHash(v.Born)):
		a.Reason = "the target was told that none is left, and took it"
		return a, nil
	case k.document != nil && bytes.Equal(hashOf(k.document, v.Lane, abs(v.Born)), v.AckedHash):
		a.Document = k.document
		return a, nil
	}
	programs, err := c.programsAt(ctx, t, *v.AckedAt)
	if err == nil {
		a.Document, a.Reason, err = c.walkBack(ctx, t, v, programs, schema)
	}
	if errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		a.Reason, err = "it could not be worked out in the time that there is for it", nil
	}
	return a, err
}

// programsAt are the mapping that was in force at a time, and the one before.
func (c *Channels) programsAt(ctx context.Context, t *Target, at time.Time) (programs []*connectors.Program, err error) {
	versions, err := c.store.MappingsAt(ctx, t.ID, at)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if sameJSON(v.Mapping, t.Mapping) {
			programs = append(programs, t.Program)
			continue
		}
		var m connectors.Mapping
		if json.Unmarshal(v.Mapping, &m) != nil {
			continue
		}
		if p, err := connectors.Compile(m); err == nil { // else it is of an older release, whose language was another
			programs = append(programs, p)
		}
	}
	return programs, nil
}

// walkBack gives the document whose hash v's acknowledgement has, or why not.
func (c *Channels) walkBack(ctx context.Context, t *Target, v *postgres.Surveyed, programs []*connectors.Program, schema *pim.Schema) (document json.RawMessage, reason string, err error) {
	if len(programs) == 0 {
		return nil, "the mapping of that time is not kept any more", nil
	}
	var reads pim.Lanes
	for _, p := range programs {
		reads |= p.Inputs(v.Lane)
	}
	past, err := c.store.Past(ctx, v.Product, reads, pastEvents)
	if err != nil {
		return nil, "", err
	}
	s, err := newState(past)
	if err != nil {
		return nil, "the stored product cannot be read", nil //nolint:nilerr // told as the reason
	}
	scope := t.Scope(*v.AckedAt)
	for i := 0; ; i++ {
		for _, p := range programs {
			document, err := s.render(ctx, p, v, schema, scope, func(subject *connectors.Subject) error {
				if t.Test && reads.Has(pim.Content) { // as they are now: what they were is not kept
					if err := c.tell(ctx, t, []*connectors.Subject{subject}); err != nil {
						return err
					}
				}
				shows := p.Records().Has(v.Lane)
				if shows { // as they are now, too
					if err := c.relate(ctx, []*connectors.Subject{subject}, schema); err != nil {
						return err
					}
				}
				if p.Associations().Has(v.Lane) {
					if err := c.associate(ctx, t, []*connectors.Subject{subject}, schema); err != nil {
						return err
					}
				}
				if !shows && !reads.Has(pim.Media) {
					return nil
				}
				return c.illustrate(ctx, t, []*connectors.Subject{subject}, schema)
			})
			if err != nil {
				return nil, "", err
			}
			if document != nil {
				return document, "", nil
			}
		}
		if i == len(past.Events) {
			break
		}
		if err := s.undo(past.Events[i]); err != nil {
			return nil, "an event of its history cannot be read", nil //nolint:nilerr // told as the reason
		}
	}
	if past.More {
		return nil, fmt.Sprintf("none of its last %d changes leads back to it", pastEvents), nil
	}
	return nil, "nothing in its history leads back to it: the channel's settings or the attributes themselves were others then, or it was listed anew since", nil
}

// state is a product on its way back through its history.
type state struct {
	there   bool // else it is before its creation, or behind its deletion
	subject connectors.Subject
	own     pim.Values
	above   [2]pim.Values // its parent's, and that one's parent's
}

func newState(p *postgres.Past) (*state, error) {
	s := &state{there: !p.Deleted, subject: connectors.Subject{
		SKU: p.SKU, Parent: p.Group, Variant: p.ParentVariant, Family: p.Family, Enabled: p.Enabled, Categories: p.Categories,
		Prices: p.Prices, Stock: p.Stock,
	}}
	if p.Parent != p.Group {
		s.subject.SubModel = p.Parent
	}
	var err error
	if s.own, err = pim.DecodeStored(p.Values); err != nil {
		return nil, err
	}
	ancestors, err := p.Inherited.Values()
	for i, values := range ancestors { // the root model's first
		s.above[len(ancestors)-1-i] = values
	}
	return s, err
}

// render gives the state's document where it is the acknowledged one. The error
// is only of ctx: a state that cannot be rendered was not acknowledged.
func (s *state) render(ctx context.Context, p *connectors.Program, v *postgres.Surveyed, schema *pim.Schema, scope connectors.Scope, illustrate func(*connectors.Subject) error) (json.RawMessage, error) {
	if !s.there {
		return nil, nil
	}
	subject := s.subject
	subject.Values = pim.MergeVariant(pim.MergeVariant(s.above[1], s.above[0]), s.own)
	if err := illustrate(&subject); err != nil {
		return nil, err
	}
	document, err := p.Render(ctx, v.Lane, &subject, schema, scope)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, nil //nolint:nilerr // it was not this one
	}
	if document == nil {
		document = json.RawMessage("{}")
	}
	if !bytes.Equal(hashOf(document, v.Lane, abs(v.Born)), v.AckedHash) {
		return nil, nil
	}
	return document, nil
}

// pastData is what events say of what was there before them.
type pastData struct {
	Values     map[string]was[any] `json:"values"`
	Family     *was[string]        `json:"family"`
	Enabled    *was[bool]          `json:"enabled"`
	Categories *was[[]string]      `json:"categories"`
	Variant    *was[string]        `json:"family_variant"`
	Prices     []struct {
		pim.Price                  // its key, and what it is until
		Old       *decimal.Decimal `json:"old"`
		OldTo     *time.Time       `json:"old_valid_to"`
	} `json:"prices"`
	Stock []struct {
		Location string     `json:"location"`
		Old      *pim.Stock `json:"old"`
	} `json:"stock"`
}

type was[T any] struct {
	Old T `json:"old"`
}

// undo takes one event back.
func (s *state) undo(e postgres.PastEvent) error {
	if e.Type == pim.EventProductCreated {
		if e.Above == 0 { // its data says what it began as; before it was nothing, or an earlier life
			s.there, s.own = false, pim.Values{}
		}
		return nil
	}
	var data pastData
	d := json.NewDecoder(bytes.NewReader(e.Data))
	d.UseNumber()
	if err := d.Decode(&data); err != nil {
		return fmt.Errorf("decode an event: %w", err)
	}
	if e.Above > 0 {
		s.above[e.Above-1] = undoValues(s.above[e.Above-1], data.Values)
		if data.Variant != nil {
			s.subject.Variant = data.Variant.Old
		}
		return nil
	}
	if e.Type == pim.EventProductDeleted {
		s.there, s.own, s.subject.Categories = true, pim.Values{}, []string{}
	}
	s.own = undoValues(s.own, data.Values)
	if data.Family != nil {
		s.subject.Family = data.Family.Old
	}
	if data.Enabled != nil {
		s.subject.Enabled = data.Enabled.Old
	}
	if data.Categories != nil {
		s.subject.Categories = data.Categories.Old
	}
	s.undoOffers(&data)
	return nil
}

func undoValues(v pim.Values, changed map[string]was[any]) pim.Values {
	if len(changed) == 0 {
		return v
	}
	v = maps.Clone(v)
	for code, c := range changed {
		if c.Old == nil {
			delete(v, code)
		} else {
			v[code] = c.Old
		}
	}
	return v
}

func (s *state) undoOffers(data *pastData) {
	for i := len(data.Prices) - 1; i >= 0; i-- {
		p := data.Prices[i]
		s.subject.Prices = slices.DeleteFunc(slices.Clone(s.subject.Prices), func(o pim.Price) bool {
			return o.PriceList == p.PriceList && o.Currency == p.Currency && o.MinQuantity == p.MinQuantity && sameTime(o.ValidFrom, p.ValidFrom)
		})
		if p.Old != nil {
			before := p.Price
			before.Amount, before.ValidTo = *p.Old, p.OldTo
			s.subject.Prices = append(s.subject.Prices, before)
		}
	}
	for i := len(data.Stock) - 1; i >= 0; i-- {
		l := data.Stock[i]
		s.subject.Stock = slices.DeleteFunc(slices.Clone(s.subject.Stock), func(o pim.Stock) bool { return o.Location == l.Location })
		if l.Old != nil {
			before := *l.Old
			before.Location = l.Location
			s.subject.Stock = append(s.subject.Stock, before)
		}
	}
}

func sameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}
