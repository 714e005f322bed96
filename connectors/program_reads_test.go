package connectors_test

import (
	"testing"

	"github.com/sluicehub/sluice/connectors"
)

func TestReads(t *testing.T) {
	for _, c := range []struct {
		expression string
		own, other bool // reads name in the channel's locale, de-DE; reads colour
	}{
		{"sku", false, false},
		{"values.name", true, false},
		{"values['name']", true, false},
		{"has(values.name) ? 'a' : 'b'", true, false},
		{"raw.name", true, false},
		{"values", true, true},
		{"values.exists(code, code == 'x')", true, true},
		{"text('name', 'de-DE')", true, false},
		{"text('name', 'en-GB')", false, false},
		{"value('name', locale)", true, false},
		{"text(sku, 'en-GB')", true, true},
		{"firstOf([text('name', 'en-GB'), values.colour])", false, true},
	} {
		p, err := connectors.Compile(connectors.Mapping{Content: map[string]string{"sku": "sku"}, Media: map[string]string{"field": c.expression}})
		if err != nil {
			t.Fatalf("%s: %v", c.expression, err)
		}
		if got := p.Reads("name", "de-DE"); got != c.own {
			t.Errorf("%s reads name: %v", c.expression, got)
		}
		if got := p.Reads("colour", "de-DE"); got != c.other {
			t.Errorf("%s reads colour: %v", c.expression, got)
		}
	}
}
