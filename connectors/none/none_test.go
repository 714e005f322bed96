package none_test

import (
	"encoding/json"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/none"
	"github.com/sluicehub/sluice/pim"
)

// It takes no settings, and nothing is taken for sent.
func TestNone(t *testing.T) {
	t.Parallel()
	c, err := none.Kind.New(json.RawMessage(`{}`), connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.Kind.New(json.RawMessage(`{"url":"https://shop.example"}`), connectors.Env{}); err == nil {
		t.Error("it takes a setting")
	}
	_, err = c.Push(t.Context(), []connectors.Item{{SKU: "A", Lane: pim.Content, Action: connectors.Upsert}})
	for what, err := range map[string]error{"push": err, "probe": c.Probe(t.Context())} {
		if e := connectors.AsError(err); err == nil || e.Verdict != connectors.Permanent {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(none.Kind.Powers()) > 0 || len(none.Kind.Lanes) > 0 {
		t.Errorf("%+v", none.Kind)
	}
}
