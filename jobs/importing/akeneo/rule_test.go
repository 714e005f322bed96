package akeneo_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sluicehub/sluice/pim"
)

// What Akeneo checks of values is checked here, too, and what cannot be is told.
func TestRules(t *testing.T) {
	t.Parallel()
	files := small()
	rules := map[string]string{
		"code":   "unique;validation_rule;validation_regexp;number_min;number_max;decimals_allowed;negative_allowed;date_min;date_max",
		"sku":    "1;regexp;/^x$/;;;;;;", // which is the SKU
		"ean":    `1;regexp;/^\d{13}$/;;;;;;`,
		"note":   "0;regexp;/red|blue/i;;;;;;",
		"name":   "0;email;;;;;;;",
		"count":  "0;;;-5.0000;10.5;0;1;;",
		"weight": "0;;;;;1;0;;",
		"since":  "0;;;;;;;2014-01-01T00:00:00+00:00;2030-12-31",
		"color":  "1;;;;;;;;",
		"text":   "0;regexp;/a(?=b)/;;;;;;", // of HTML
		"hue":    "0;regexp;/a(?=b)/;;;;;;",
	}
	var lines []string
	for _, line := range append(strings.Split(strings.TrimSpace(string(files["attributes.csv"].Data)), "\n"), "hue;Hue;;m;0;;0;pim_catalog_text;") {
		code, _, _ := strings.Cut(line, ";")
		more, ok := rules[code]
		if !ok {
			more = ";;;;;;;;"
		}
		lines = append(lines, line+";"+more)
	}
	files["attributes.csv"] = &fstest.MapFile{Data: []byte(strings.Join(lines, "\n") + "\n")}
	f := open(t, files)
	change, _ := f.Change(&pim.Schema{})
	got := map[string]string{}
	for _, a := range change.Attributes {
		if a.HasRules() {
			b, err := json.Marshal(a.Rules)
			if err != nil {
				t.Fatal(err)
			}
			got[a.Code] = string(b)
		}
	}
	for code, want := range map[string]string{
		"ean": `{"pattern":"\\d{13}","unique":true}`, "note": `{"pattern":"(?s:.*)(?:(?i)red|blue)(?s:.*)"}`, "name": `{"pattern":"[^@\\s]+@[^@\\s]+\\.[^@\\s]+"}`,
		"count": `{"min":"-5.0000","max":"10.5","decimals":0}`, "weight": `{"min":"0"}`, "since": `{"min_date":"2014-01-01","max_date":"2030-12-31"}`,
	} {
		if got[code] != want {
			t.Errorf("%s: %s, want %s", code, got[code], want)
		}
		delete(got, code)
	}
	if len(got) > 0 {
		t.Errorf("further rules: %v", got)
	}
	var told []string
	for _, x := range f.Report() {
		if x.Code == "attribute.rule" {
			told = append(told, x.Column+" "+x.Value)
		}
	}
	if want := "unique 1|validation_regexp /a(?=b)/"; strings.Join(told, "|") != want {
		t.Errorf("told: %q, want %s", told, want)
	}
}
