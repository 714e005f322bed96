package webhooktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// HeldPath is where the fake tells what it holds.
const HeldPath = "/held"

// HeldURL is where the target is asked what it holds.
func (s *Server) HeldURL() string { return s.Base() + HeldPath }

// tell answers the question for what is held.
func (f *Fake) tell(w http.ResponseWriter, r *http.Request) {
	body, ok := f.open(w, r)
	if !ok {
		return
	}
	var call struct {
		Items *[]asked `json:"items"`
	}
	err := decode(body, &call)
	switch {
	case err != nil:
	case call.Items == nil:
		err = errors.New("no items")
	case len(*call.Items) > f.opts.Batch:
		err = fmt.Errorf("%d items in one call, at most %d are told", len(*call.Items), f.opts.Batch)
	}
	if err != nil {
		f.breach(w, http.StatusBadRequest, "body: %v", err)
		return
	}
	f.mu.Lock()
	f.count.Reads++
	if fault := f.meet(nil, atHeld); fault != nil {
		f.mu.Unlock()
		f.misbehave(w, r, 0, nil, *fault, func(Entry) answer { return answer{http.StatusOK, f.told(*call.Items)} })
		return
	}
	b := f.told(*call.Items)
	f.bump()
	f.mu.Unlock()
	answer{http.StatusOK, b}.write(w)
}

// asked names what a question is about.
type asked struct {
	SKU  pim.SKU  `json:"sku"`
	Lane pim.Lane `json:"lane"`
}

// told writes what is held of each item. Callers hold mu.
func (f *Fake) told(items []asked) []byte {
	b := []byte(`{"items":[`)
	for i, it := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"sku":`...)
		b = pim.AppendJSONString(b, string(it.SKU))
		b = append(append(append(b, `,"lane":"`...), it.Lane.String()...), `","status":"`...)
		l, present := State{f}.Listing(it.SKU, it.Lane)
		if !present {
			b = append(b, `absent"}`...)
			continue
		}
		switch sh := f.shelves[it.SKU]; {
		case sh.hidden:
			b = append(b, "disabled"...)
		case sh.empty && it.Lane == pim.Offer:
			b = append(b, "sold_out"...)
		default:
			b = append(b, f.opts.Answer...)
		}
		b = fmt.Appendf(b, `","revision":%d,"document":`, l.Revision)
		b = append(append(b, l.Document...), '}')
	}
	return append(b, "]}"...)
}

// Alter changes what is held of a SKU in a lane, as people at the target do: no
// revision rises. It reports whether there is something to change.
func (f *Fake) Alter(sku pim.SKU, lane pim.Lane, document json.RawMessage) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, present := State{f}.Listing(sku, lane)
	if present {
		f.put(Item{SKU: sku, Lane: lane, Revision: l.Revision, Action: connectors.Upsert, Document: bytes.Clone(document)}, time.Now())
		f.bump()
	}
	return present
}

// Place puts a document where there is none, as people at the target do.
func (f *Fake) Place(sku pim.SKU, lane pim.Lane, document json.RawMessage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.shelf(sku).lanes[laneIndex(lane)].applied
	f.put(Item{SKU: sku, Lane: lane, Revision: at, Action: connectors.Upsert, Document: bytes.Clone(document)}, time.Now())
	f.bump()
}

// Drop deletes a SKU with all its lanes, as people at the target do.
func (f *Fake) Drop(sku pim.SKU) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.shelf(sku)
	f.put(Item{SKU: sku, Lane: pim.Content, Revision: s.lanes[0].applied, Action: connectors.Withdraw}, time.Now())
	s.listed = false // whose race it is cannot be told any more
	f.bump()
}
