package jobs_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// strict are channels of a process without --allow-private-targets.
func (r *road) strict() *jobs.Channels {
	r.Helper()
	keys, err := seal.OpenOrCreate(r.keyset)
	if err != nil {
		r.Fatal(err)
	}
	return jobs.NewChannels(r.store, all.Registry(), keys, connectors.Env{Version: "test"})
}

// The permission to dial loopback is the channel's: a process without it works
// those that have it, and neither gives nor takes it but with a new config.
func TestPrivateTargets(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("ours", webhooktest.Options{}, nil)
	strict := r.strict()
	if err := strict.Test(r.ctx, "ours"); err != nil {
		t.Errorf("a channel with the permission: %v", err)
	}
	config, _ := json.Marshal(map[string]any{"url": fake.URL(), "status_url": fake.StatusURL(), "secret": fake.Secret()})
	spec := jobs.ChannelSpec{Code: "theirs", Connector: "webhook", Locale: "en-GB", Currency: "EUR", Config: config}
	if _, err := strict.Create(r.ctx, spec); err != nil {
		t.Fatal(err)
	}
	refused := func(code pim.ChannelCode) {
		t.Helper()
		for name, c := range map[string]*jobs.Channels{"strict": strict, "lenient": r.channels} {
			if e := connectors.AsError(c.Test(r.ctx, code)); e.Err == nil || e.Verdict != connectors.Unavailable {
				t.Errorf("%s: %s dials loopback: %v", name, code, e)
			}
		}
	}
	refused("theirs")
	// What is not the config changes nothing.
	spec.Batch = 7
	if _, err := strict.Update(r.ctx, "ours", spec, 0); err != nil {
		t.Fatal(err)
	}
	if err := strict.Test(r.ctx, "ours"); err != nil {
		t.Errorf("after an update of the batch: %v", err)
	}
	if _, err := r.channels.Update(r.ctx, "theirs", spec, 0); err != nil {
		t.Fatal(err)
	}
	refused("theirs")
	spec.Config, _ = json.Marshal(map[string]any{"url": fake.URL() + "/elsewhere", "secret": fake.Secret()})
	if _, err := strict.Update(r.ctx, "ours", spec, 0); err != nil {
		t.Fatal(err)
	}
	refused("ours")
}

// Another mapping, and an earlier one again, leave all else of a channel as it is: were
// its policy to go, its quota, its buffer of stock and its way to withdraw would.
func TestMappingLeavesTheRest(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.category("web", "", "Web shop")
	if _, _, err := r.store.PutPriceList(r.ctx, pim.PriceList{Code: "sale"}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.PutRenditionDefinition(r.ctx, postgres.RenditionDefinition{Code: "small", Definition: []byte(`{"width":10}`), Spec: []byte("x")}, 0); err != nil {
		t.Fatal(err)
	}
	yes := true
	r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) {
		s.PriceList, s.CategoryRoot, s.Locations, s.Renditions, s.Batch, s.Concurrency, s.Test = "sale", "web", []string{"default"}, []string{"small"}, 7, 3, &yes
		s.Policy = pim.Policy{Withdrawal: pim.WithdrawDisable, Stock: pim.StockRule{Buffer: 3}, Flow: pim.Flow{RequestsPerDay: 1000}}
	})
	spec := func() jobs.ChannelSpec {
		t.Helper()
		ch, err := r.store.Channel(r.ctx, "shop")
		if err != nil {
			t.Fatal(err)
		}
		spec, err := jobs.SpecOf(ch)
		if err != nil {
			t.Fatal(err)
		}
		return spec
	}
	first := spec()
	for _, f := range reflect.VisibleFields(reflect.TypeFor[jobs.ChannelSpec]()) {
		if reflect.ValueOf(first).FieldByIndex(f.Index).IsZero() && !slices.Contains([]string{"Actor", "MappingNote"}, f.Name) {
			t.Errorf("%s is not told of a channel as it stands", f.Name)
		}
	}
	m := connectors.DefaultMapping()
	m.Content["colour"] = "values.colour"
	if _, err := r.channels.SetMapping(r.ctx, "shop", m, "anna", ""); err != nil {
		t.Fatal(err)
	}
	got := spec()
	if got.Mapping.Content["colour"] == "" {
		t.Error("the mapping is the old one")
	}
	if got.Mapping = first.Mapping; cmp.Diff(first, got) != "" {
		t.Errorf("another mapping: %s", cmp.Diff(first, got))
	}
	if _, err := r.channels.RollBack(r.ctx, "shop", 1, "ben"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, spec()); diff != "" {
		t.Errorf("the first mapping again: %s", diff)
	}
}
