package jobs_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/govalues/decimal"
	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// TestAnyPastIsFound: whatever was done to a product and its parent, the
// document of any moment is found again from its hash and that time.
func TestAnyPastIsFound(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	m := connectors.Mapping{
		Content: map[string]string{
			"values": "values", "categories": "categories", "enabled": "enabled", "price": "price.amount", "axes": "axes", "raw": "raw",
		},
		Offer: map[string]string{"prices": "prices", "stock": "stock", "colour": "values.colour"},
		Media: map[string]string{"media": "media"},
	}
	r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Mapping = &m })
	ch, err := r.store.Channel(r.ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		p := &pastProduct{road: r, sku: pim.SKU(fmt.Sprint("V-", round)), parent: pim.SKU(fmt.Sprint("P-", round))}
		p.create()
		type moment struct {
			at        time.Time
			documents map[pim.Lane]json.RawMessage
		}
		var moments []moment
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			p.change(rt)
			if !p.there {
				continue
			}
			preview, err := r.channels.Preview(r.ctx, "shop", p.sku, nil)
			if err != nil {
				rt.Fatal(err)
			}
			now, err := r.store.Now(r.ctx)
			if err != nil {
				rt.Fatal(err)
			}
			at := moment{now, map[pim.Lane]json.RawMessage{}}
			for _, l := range preview.Lanes {
				at.documents[l.Lane] = l.Document
			}
			moments = append(moments, at)
		}
		if len(moments) == 0 {
			return
		}
		then := moments[rapid.IntRange(0, len(moments)-1).Draw(rt, "moment")]
		for lane, document := range then.documents {
			if document == nil {
				continue // disabled then
			}
			_, err := r.store.Pool().Exec(r.ctx, `
insert into listing (channel_id, lane, product_id, born, acked_rev, acked_at, acked_hash, status)
select $1, $2, id, 7, 1, $3, $4, 'accepted' from product where sku = $5`,
				ch.ID, int16(lane), then.at, jobs.HashOf(document, lane, 7), p.sku)
			if err != nil {
				rt.Fatal(err)
			}
		}
		preview, err := r.channels.Preview(r.ctx, "shop", p.sku, nil)
		if err != nil {
			rt.Fatal(err)
		}
		for _, l := range preview.Lanes {
			if want := then.documents[l.Lane]; want != nil && (l.Acknowledged == nil || string(l.Acknowledged.Document) != string(want)) {
				rt.Fatalf("%s of %s: found %+v, was %s", l.Lane, p.sku, l.Acknowledged, want)
			}
		}
	})
}

// pastProduct is a variant and its parent, to which anything is done.
type pastProduct struct {
	*road
	sku, parent pim.SKU
	there       bool
}

func (p *pastProduct) create() {
	family, variant := "thing", "by-colour"
	p.edit(postgres.Edit{SKU: p.parent, Mode: postgres.Merge, Family: &family, FamilyVariant: &variant, Values: title("Parent")})
	p.born()
}

func (p *pastProduct) born() {
	family := "thing"
	p.edit(postgres.Edit{SKU: p.sku, Mode: postgres.Merge, Family: &family, Parent: &p.parent, Values: pim.Values{"colour": "red"}})
	p.there = true
}

// change does one thing to the product.
func (p *pastProduct) change(rt *rapid.T) {
	if !p.there {
		p.born()
		return
	}
	text := rapid.SampledFrom([]string{"a", "b", "ü", ""}).Draw(rt, "text")
	value := func() any {
		if text == "" {
			return nil
		}
		return text
	}
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	switch rapid.IntRange(0, 9).Draw(rt, "what") {
	case 0:
		p.edit(postgres.Edit{SKU: p.sku, Mode: postgres.Patch, Values: pim.Values{"name": map[string]any{"en-GB": value()}}})
	case 1:
		p.edit(postgres.Edit{SKU: p.sku, Mode: postgres.Patch, Values: pim.Values{"colour": "colour " + text, "picture": "https://m.example/" + text}})
	case 2:
		p.edit(postgres.Edit{SKU: p.parent, Mode: postgres.Patch, Values: pim.Values{"name": map[string]any{"de-DE": text + "!", "en-GB": value()}}})
	case 3:
		p.edit(postgres.Edit{SKU: p.sku, Mode: postgres.Patch, Categories: &[]string{"c" + rapid.SampledFrom([]string{"1", "2"}).Draw(rt, "category")}})
	case 4:
		p.edit(postgres.Edit{SKU: p.sku, Mode: postgres.Patch, Categories: &[]string{}})
	case 5:
		on := rapid.Bool().Draw(rt, "enabled")
		p.edit(postgres.Edit{SKU: p.sku, Mode: postgres.Patch, Enabled: &on})
	case 6:
		p.price(p.sku, rapid.SampledFrom([]string{"1.90", "1.9", "20"}).Draw(rt, "amount"), rapid.SampledFrom([]*time.Time{nil, &until}).Draw(rt, "until"))
	case 7:
		row := pim.PriceRow{SKU: p.sku, Price: pim.Price{PriceList: "default", Currency: "EUR", MinQuantity: 1, Amount: decimal.MustParse("1")}, Delete: true}
		if _, err := p.store.SetPrices(p.ctx, "test", []pim.PriceRow{row}, postgres.Idempotency{}); err != nil {
			rt.Fatal(err)
		}
	case 8:
		p.stock(p.sku, rapid.Int64Range(0, 3).Draw(rt, "stock"))
	case 9:
		p.edit(postgres.Edit{SKU: p.sku, Mode: postgres.Delete})
		p.there = false
	}
}
