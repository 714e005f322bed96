package jobs_test

import (
	"encoding/json"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
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
