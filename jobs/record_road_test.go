package jobs_test

import (
	"encoding/json"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// branded is a mapping that shows brands.
func branded(s *jobs.ChannelSpec) {
	s.Mapping = &connectors.Mapping{Content: map[string]string{"sku": "sku", "brand": "records.brand.label + ', ' + records.brand.values.country"}}
}

func (r *road) brands() {
	r.Helper()
	e := pim.ReferenceEntity{Code: "brand", Attributes: []pim.Attribute{{Code: "country", Type: pim.TypeText}}}
	if _, _, err := r.store.PutReferenceEntity(r.ctx, e, 0); err != nil {
		r.Fatal(err)
	}
	schema := r.store.Schema()
	family := *schema.Families["thing"]
	family.Attributes = append(family.Attributes[:len(family.Attributes):len(family.Attributes)], pim.FamilyAttribute{Code: "brand"})
	if _, err := r.store.ChangeSchema(r.ctx, postgres.SchemaChange{Attributes: []pim.Attribute{{Code: "brand", Type: pim.TypeEntity, Entity: "brand"}}, Families: []pim.Family{family}}); err != nil {
		r.Fatal(err)
	}
}

func (r *road) brand(code, label, country string) {
	r.Helper()
	e := postgres.RecordEdit{Code: code, Mode: postgres.Merge, Labels: map[pim.Locale]string{"en-GB": label}, Values: pim.Values{"country": country}}
	res, err := r.store.EditRecords(r.ctx, "test", "brand", []postgres.RecordEdit{e})
	if err != nil || res[0].Err != nil {
		r.Fatal(err, res[0].Err)
	}
}

func (r *road) naming(sku pim.SKU, values pim.Values) {
	r.Helper()
	family := "thing"
	res, err := r.store.Edit(r.ctx, "test", []postgres.Edit{{SKU: sku, Mode: postgres.Merge, Family: &family, Values: values}})
	if err != nil || res[0].Err != nil {
		r.Fatal(err, res[0].Err)
	}
}

func brandOf(fake *webhooktest.Server, sku pim.SKU) string {
	l, _ := fake.Listing(sku, pim.Content)
	var doc struct {
		Brand string `json:"brand"`
	}
	_ = json.Unmarshal(l.Document, &doc)
	return doc.Brand
}

// A changed record is pushed to the channels that show it, for the products that
// name it, and to nobody else.
func TestRecordReachesChannel(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	shows := r.channel("shows", webhooktest.Options{}, branded)
	plain := r.channel("plain", webhooktest.Options{}, nil)
	r.work()
	r.brands()
	r.brand("acme", "Acme", "NL")
	r.brand("umbra", "Umbra", "CA")
	r.naming("A", pim.Values{"brand": "acme"})
	r.naming("U", pim.Values{"brand": "umbra"})
	r.settled("shows", "plain")
	if a, u := brandOf(shows, "A"), brandOf(shows, "U"); a != "Acme, NL" || u != "Umbra, CA" {
		t.Fatalf("at first: %q, %q", a, u)
	}
	before, others := len(plain.History("A", pim.Content)), len(shows.History("U", pim.Content))
	r.brand("acme", "ACME", "DE")
	r.settled("shows", "plain")
	if a := brandOf(shows, "A"); a != "ACME, DE" {
		t.Errorf("changed: %q", a)
	}
	if n := len(plain.History("A", pim.Content)); n != before {
		t.Errorf("a channel that shows no records was sent %d more", n-before)
	}
	if n := len(shows.History("U", pim.Content)); n != others {
		t.Errorf("a product of another brand was sent %d more", n-others)
	}
}

// So does one that a record names which products name: by one step, and no further.
func TestRecordOfRecordReachesChannel(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.brands()
	edit := func(entity, code, label string, values pim.Values) {
		t.Helper()
		e := postgres.RecordEdit{Code: code, Mode: postgres.Merge, Labels: map[pim.Locale]string{"en-GB": label}, Values: values}
		if res, err := r.store.EditRecords(r.ctx, "test", entity, []postgres.RecordEdit{e}); err != nil || res[0].Err != nil {
			t.Fatal(err, res)
		}
	}
	for _, e := range []pim.ReferenceEntity{
		{Code: "land"},
		{Code: "maker", Attributes: []pim.Attribute{{Code: "land", Type: pim.TypeEntity, Entity: "land"}}},
		{Code: "brand", Attributes: []pim.Attribute{{Code: "country", Type: pim.TypeText}, {Code: "maker", Type: pim.TypeEntity, Entity: "maker"}}},
	} {
		if _, _, err := r.store.PutReferenceEntity(r.ctx, e, 0); err != nil {
			t.Fatal(err)
		}
	}
	shows := r.channel("shows", webhooktest.Options{}, func(s *jobs.ChannelSpec) {
		s.Mapping = &connectors.Mapping{Content: map[string]string{"sku": "sku", "brand": "records.brand.label + ' by ' + records.brand.records.maker.label + ' of ' + records.brand.records.maker.values.land"}}
	})
	r.work()
	edit("land", "nl", "Netherlands", nil)
	edit("maker", "ajax", "Ajax", pim.Values{"land": "nl"})
	edit("brand", "acme", "Acme", pim.Values{"maker": "ajax"})
	edit("brand", "umbra", "Umbra", pim.Values{"maker": "ajax"})
	r.naming("A", pim.Values{"brand": "acme"})
	r.naming("U", pim.Values{"brand": "umbra"})
	r.naming("N", pim.Values{})
	r.settled("shows")
	if a := brandOf(shows, "A"); a != "Acme by Ajax of nl" {
		t.Fatalf("at first: %q", a)
	}
	none := len(shows.History("N", pim.Content))
	edit("maker", "ajax", "AJAX", nil)
	r.settled("shows")
	if a, u := brandOf(shows, "A"), brandOf(shows, "U"); a != "Acme by AJAX of nl" || u != "Umbra by AJAX of nl" {
		t.Errorf("changed: %q, %q", a, u)
	}
	sent := len(shows.History("A", pim.Content))
	edit("land", "nl", "Holland", nil) // two steps away: nobody shows it
	r.settled("shows")
	if n, m := len(shows.History("A", pim.Content)), len(shows.History("N", pim.Content)); n != sent || m != none {
		t.Errorf("%d and %d more were sent", n-sent, m-none)
	}
}
