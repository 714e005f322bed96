package jobs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// A column is the attribute of its name, also where another one's name and a locale
// come to the same.
func TestRecordColumns(t *testing.T) {
	schema := &pim.Schema{Entities: map[string]*pim.ReferenceEntity{"brand": {Code: "brand", Attributes: []pim.Attribute{
		{Code: "Size", Type: pim.TypeText, Localizable: true}, {Code: "size-eu", Type: pim.TypeText}, {Code: "story", Type: pim.TypeText, Localizable: true},
	}}}}
	f, err := RecordEdits(schema, "brand", strings.NewReader("code,label-de_DE,size-EU,Size-de,story-en_GB\nacme,Akme,44,groß,Old\n"))
	if err != nil {
		t.Fatal(err)
	}
	values, err := json.Marshal(f.edits[0].Values)
	if want := `{"Size":{"de":"groß"},"size-eu":"44","story":{"en-GB":"Old"}}`; err != nil || string(values) != want || f.edits[0].Labels["de-DE"] != "Akme" {
		t.Errorf("%s, want %s (%v, %v)", values, want, f.edits[0].Labels, err)
	}
	if _, err := RecordEdits(schema, "brand", strings.NewReader("code,story\nacme,Old\n")); err == nil {
		t.Error("a localizable attribute without a locale is taken")
	}
}
