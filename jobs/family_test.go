package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/medusa/medusatest"
	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// nursery is a target that holds no variant before its parent, and notes who
// asked for it.
type nursery struct {
	mu      sync.Mutex
	held    map[pim.SKU]bool
	refused map[pim.SKU]*connectors.Error // what is answered for a SKU instead of taking it
	orphans []pim.SKU
	pushes  int
}

func (n *nursery) Push(_ context.Context, items []connectors.Item) ([]connectors.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pushes++
	results := make([]connectors.Result, len(items))
	with := map[pim.SKU]bool{} // in this call, the variants of a parent that is refused with them
	for i, it := range items {
		var d struct {
			Parent pim.SKU `json:"parent"`
		}
		if it.Lane == pim.Content && it.Action == connectors.Upsert {
			if err := json.Unmarshal(it.Document, &d); err != nil {
				return nil, err
			}
		}
		results[i].Status = connectors.Accepted
		switch e := n.refused[it.SKU]; {
		case e != nil && it.Lane == pim.Content:
			results[i].Err, with[it.SKU] = e, true
		case d.Parent != "" && !n.held[d.Parent]:
			if !with[d.Parent] {
				n.orphans = append(n.orphans, it.SKU)
			}
			results[i].Err = &connectors.Error{Verdict: connectors.Conflict, Err: errors.New("there is no such parent")}
		case it.Lane == pim.Content:
			n.held[it.SKU] = it.Action == connectors.Upsert
		}
	}
	return results, nil
}

func (*nursery) Probe(context.Context) error { return nil }

// refuse has a SKU answered by e from now on; nil: it is taken.
func (n *nursery) refuse(sku pim.SKU, e *connectors.Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused[sku] = e
}

func (n *nursery) told() (pushes int, orphans []pim.SKU) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pushes, n.orphans
}

// nursery makes the channel "shop" on one.
func (r *road) nursery(batch int) *nursery {
	r.Helper()
	n := &nursery{held: map[pim.SKU]bool{}, refused: map[pim.SKU]*connectors.Error{}}
	kind := &connectors.Kind{
		Name: "nursery", Title: "Nursery", Lanes: pim.AllLanes, Config: &struct{}{}, MaxBatch: 100, Makes: []connectors.Connector{n}, ParentField: "parent",
		Limits: connectors.Limits{Batch: batch, Concurrency: 4, Timeout: 30 * time.Second, Settle: time.Second},
		New:    func(json.RawMessage, connectors.Env) (connectors.Connector, error) { return n, nil },
	}
	keys, err := seal.OpenOrCreate(r.keyset)
	if err != nil {
		r.Fatal(err)
	}
	r.channels = jobs.NewChannels(r.store, connectors.NewRegistry(kind), keys, connectors.Env{})
	spec := jobs.ChannelSpec{Code: "shop", Connector: "nursery", Locale: "en-GB", Currency: "EUR", Mapping: &connectors.Mapping{
		Content: map[string]string{"name": "values.name", "parent": "firstOf([parent])"}, Offer: map[string]string{"price": "price.amount"},
	}}
	if _, err := r.channels.Create(r.ctx, spec); err != nil {
		r.Fatal(err)
	}
	return n
}

// family makes a parent P with variants, and gives these.
func (r *road) family(variants int) (skus []pim.SKU) {
	r.Helper()
	family, axes, parent := "thing", "by-colour", pim.SKU("P")
	edits := []postgres.Edit{{SKU: parent, Mode: postgres.Put, Family: &family, FamilyVariant: &axes, Values: title("parent")}}
	for n := range variants {
		sku := pim.SKU(fmt.Sprintf("P-%d", n))
		skus = append(skus, sku)
		edits = append(edits, postgres.Edit{SKU: sku, Mode: postgres.Put, Family: &family, Parent: &parent, Values: pim.Values{"colour": fmt.Sprint("colour ", n)}})
	}
	for _, part := range [][]postgres.Edit{edits[:1], edits[1:]} {
		res, err := r.store.Edit(r.ctx, "test", part)
		if err != nil {
			r.Fatal(err)
		}
		for _, x := range res {
			if x.Err != nil {
				r.Fatal(x.SKU, x.Err)
			}
		}
	}
	return skus
}

// A variant is sent when the target holds its parent, or in the call that brings
// it, and not asked for before, however the parent fares; then it is sent at once.
func TestParentBeforeVariant(t *testing.T) {
	t.Parallel()
	for _, batch := range []int{1, 4} {
		for name, e := range map[string]*connectors.Error{
			"taken":   nil,
			"refused": {Verdict: connectors.Validation, Err: errors.New("no title")},
			"doubted": {Verdict: connectors.Unavailable, Uncertain: true, Err: errors.New("the answer was lost")},
		} {
			t.Run(fmt.Sprintf("%s in batches of %d", name, batch), func(t *testing.T) {
				t.Parallel()
				r := newRoad(t)
				n := r.nursery(batch)
				n.refuse("P", e)
				variants := r.family(7) // before anybody works: they are claimed together
				r.work()
				if e != nil {
					r.until(func() bool { return r.listing("shop", "P", pim.Content).Error != "" })
					for _, sku := range variants {
						r.is(sku, pim.Content, jobs.ReasonWaitsForParent)
						if l := r.listing("shop", sku, pim.Content); l.Attempts != 0 || l.Error != "" {
							t.Errorf("%s was tried: %+v", sku, l)
						}
					}
					n.refuse("P", nil)
					if name == "refused" {
						if _, err := r.store.Pool().Exec(r.ctx, `
update listing l set want = want + 1, dirty = true, due_at = now() from product p where p.id = l.product_id and p.sku = 'P' and l.lane = 1`); err != nil {
							t.Fatal(err)
						}
					}
				}
				r.settled("shop")
				if pushes, orphans := n.told(); len(orphans) > 0 || name == "taken" && batch == 4 && pushes > 2 {
					t.Errorf("%d calls; asked for without their parent: %v", pushes, orphans)
				}
				for _, sku := range variants {
					if l := r.listing("shop", sku, pim.Content); l.State != pim.StateAccepted || l.Attempts != 0 {
						t.Errorf("%s: %+v", sku, l)
					}
				}
				if name != "taken" {
					return
				}
				// What is there already waits for nothing.
				n.refuse("P", &connectors.Error{Verdict: connectors.Validation, Err: errors.New("no title")})
				r.put([]pim.SKU{"P"}, title("renamed"))
				r.until(func() bool { return r.listing("shop", "P", pim.Content).State == pim.StateRejected })
				r.until(func() bool { return r.listing("shop", variants[0], pim.Content).State == pim.StateAccepted })
			})
		}
	}
}

// At shops whose variants live below their parents, a parent that is refused keeps
// them away, without a call about them, and they follow it.
func TestParentBeforeVariantAtShops(t *testing.T) {
	t.Parallel()
	for kind, start := range map[string]func(t *testing.T) (config map[string]any, reject, accept func(), there func(pim.SKU) bool, bad func() []string){
		"woocommerce": func(t *testing.T) (map[string]any, func(), func(), func(pim.SKU) bool, func() []string) {
			shop := woocommercetest.Start(t, woocommercetest.Options{})
			return map[string]any{"url": shop.URL(), "consumer_key": shop.Key(), "consumer_secret": shop.Secret()},
				func() { shop.Reject("P") }, func() { shop.Accept("P") },
				func(sku pim.SKU) bool { _, ok := shop.Held(sku); return ok }, shop.Violations
		},
		"medusa": func(t *testing.T) (map[string]any, func(), func(), func(pim.SKU) bool, func() []string) {
			shop, err := medusatest.NewServer("", medusatest.Options{Key: "sk_test"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = shop.Close() })
			return map[string]any{"url": shop.URL(), "api_key": "sk_test"},
				func() { shop.Reject("P", "") }, shop.Accept,
				func(sku pim.SKU) bool {
					_, variant := shop.Variant(sku)
					_, product := shop.Product(sku)
					return variant || product
				}, shop.Violations
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := newRoad(t)
			config, reject, accept, there, bad := start(t)
			raw, _ := json.Marshal(config)
			if _, err := r.channels.Create(r.ctx, jobs.ChannelSpec{Code: "shop", Connector: kind, Locale: "en-GB", Currency: "EUR", Config: raw, Batch: 5, SettleSeconds: 1}); err != nil {
				t.Fatal(err)
			}
			reject()
			variants := r.family(7)
			r.work()
			r.until(func() bool { return r.listing("shop", "P", pim.Content).State == pim.StateRejected })
			r.is(variants[6], pim.Content, jobs.ReasonWaitsForParent)
			if there(variants[6]) || r.listing("shop", variants[6], pim.Content).Attempts != 0 {
				t.Error("a variant was asked for without its parent")
			}
			accept()
			r.put([]pim.SKU{"P"}, title("renamed"))
			r.settled("shop")
			for _, sku := range append(variants, "P") {
				if !there(sku) {
					t.Errorf("%s is not there", sku)
				}
			}
			// All leave at once, and come back.
			r.enable("P", false)
			r.settled("shop")
			for _, sku := range append(variants, "P") {
				if there(sku) {
					t.Errorf("%s is still there", sku)
				}
			}
			r.enable("P", true)
			r.settled("shop")
			for _, sku := range append(variants, "P") {
				if !there(sku) {
					t.Errorf("%s is not back", sku)
				}
			}
			if v := bad(); len(v) > 0 {
				t.Error(v)
			}
		})
	}
}

// A preview says that a variant waits for its parent, as its drain would have it.
func TestPreviewOfAnOrphan(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.nursery(1)
	variant := r.family(1)[0]
	fan, lease := r.fanner(10, time.Hour)
	if err := fan.Step(r.ctx, lease); err != nil {
		t.Fatal(err)
	}
	if p := r.preview(variant, pim.Content, nil); p.Outlook != jobs.OutlookWaits || !strings.Contains(p.Reason, "its parent, P,") || p.Document == nil {
		t.Errorf("%+v", p)
	}
	if p := r.preview("P", pim.Content, nil); p.Outlook != jobs.OutlookSend {
		t.Errorf("%+v", p)
	}
	r.exec(`update consumer set released = true where kind = 'fanout'`) // the fan-out by hand is over
	r.work()
	r.settled("shop")
	if p := r.preview(variant, pim.Content, nil); p.Outlook != jobs.OutlookSame {
		t.Errorf("%+v", p)
	}
}
