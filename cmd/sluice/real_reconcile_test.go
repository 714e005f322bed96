//go:build real && unix

package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// readsBack has what the real shop holds compared with what it acknowledged: as
// it is, nothing differs; what somebody changes there is found by its field, and
// put right.
func (h *hub) readsBack(t *testing.T) {
	products, variants := h.sample.products()
	all := slices.Concat(products, variants)
	run := h.reconcile(t, all)
	if run.Drifted != 0 || run.Same < int64(len(all)) {
		h.drift(t)
		t.Errorf("of an untouched shop: %+v", run)
	}

	type held struct {
		ID       string `json:"id"`
		External string `json:"external_id"`
		Variants []struct {
			ID  string `json:"id"`
			SKU string `json:"sku"`
		} `json:"variants"`
	}
	shop := pagesOf[held](h.shop, "/admin/products", url.Values{"fields": {"id,external_id,variants.id,variants.sku"}})
	if len(shop) < 4 {
		t.Fatalf("the shop has %d products", len(shop))
	}
	texts, prices, gone, hidden := shop[0], shop[1], shop[2], shop[3]
	var ignored json.RawMessage
	h.shop.ask(http.MethodPost, "/admin/products/"+texts.ID, nil, map[string]any{"title": "Somebody's own words"}, &ignored)
	h.shop.ask(http.MethodPost, "/admin/products/"+prices.ID+"/variants/"+prices.Variants[0].ID, nil,
		map[string]any{"prices": []map[string]any{{"currency_code": "eur", "amount": 1}, {"currency_code": "usd", "amount": 2}}}, &ignored)
	h.shop.ask(http.MethodPost, "/admin/products/"+hidden.ID, nil, map[string]any{"status": "draft"}, &ignored)
	h.shop.ask(http.MethodDelete, "/admin/products/"+gone.ID, nil, nil, &ignored)

	run = h.reconcile(t, all)
	found := h.drift(t)
	has := func(sku, lane string, kind pim.DriftKind, field string) {
		t.Helper()
		if !slices.ContainsFunc(found, func(d pim.Drift) bool {
			return string(d.SKU) == sku && d.Lane.String() == lane && d.Kind == kind &&
				(field == "" || slices.ContainsFunc(d.Fields, func(f pim.DriftField) bool { return strings.HasPrefix(f.Field, field) }))
		}) {
			t.Errorf("%s of %s %s is not found: %+v", kind, sku, lane, run)
		}
	}
	has(texts.External, "content", pim.DriftChanged, "title")
	has(prices.Variants[0].SKU, "offer", pim.DriftChanged, "prices")
	has(gone.External, "content", pim.DriftAbsent, "")
	has(hidden.External, "content", pim.DriftHidden, "")
	touched := func(d pim.Drift) bool {
		return slices.ContainsFunc([]held{texts, prices, gone, hidden}, func(p held) bool {
			return string(d.SKU) == p.External || slices.ContainsFunc(p.Variants, func(v struct {
				ID  string `json:"id"`
				SKU string `json:"sku"`
			},
			) bool {
				return string(d.SKU) == v.SKU
			})
		})
	}
	for _, d := range found {
		if !touched(d) {
			t.Errorf("drift of what nobody touched: %+v", d)
		}
	}

	began := time.Now()
	h.run(append([]string{"reconcile", "shop", "--wait", "--repair"}, named(all)...)...)
	t.Logf("put right %s after that was asked for", h.settled(t, "shop", began))
	h.inShop(t, h.sample)
	if run = h.reconcile(t, all); run.Drifted != 0 {
		h.drift(t)
		t.Errorf("after the repair: %+v", run)
	}
}

func named(skus []string) (args []string) {
	for _, sku := range skus {
		args = append(args, "--sku", sku)
	}
	return args
}

// reconcile reads products back; while nothing differs, until nothing is left out since it was
// acknowledged a moment ago.
func (h *hub) reconcile(t *testing.T, skus []string) (run pim.ReconcileRun) {
	t.Helper()
	for began := time.Now(); ; {
		if err := json.Unmarshal([]byte(h.run(append([]string{"reconcile", "shop", "--wait", "--json"}, named(skus)...)...)), &run); err != nil {
			t.Fatal(err)
		}
		if run.LeftOut == 0 || run.Drifted > 0 || time.Since(began) > 3*time.Minute {
			t.Logf("read back in %s: %d products, %d listings the same, %d differ, %d left out, %d not told",
				run.EndedAt.Sub(run.AskedAt).Round(time.Millisecond), run.Seen, run.Same, run.Drifted, run.LeftOut, run.Unread)
			return run
		}
		<-time.After(5 * time.Second) // the settle time is the shop's
	}
}

// drift tells what differs.
func (h *hub) drift(t *testing.T) (found []pim.Drift) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, h.url+"/v1/channels/shop/drift?limit=1000", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct {
		Items []pim.Drift `json:"items"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.StatusCode, err)
	}
	for _, d := range page.Items {
		line, _ := json.Marshal(d) // came from JSON
		t.Logf("drift: %.600s", line)
	}
	return page.Items
}
