//go:build unix

package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const (
	family = "bench"
	locale = pim.Locale("en-GB")
)

// attributes are of a usual product: texts, some of them per locale, options,
// numbers, a date.
var attributes = []pim.Attribute{
	{Code: "name", Type: pim.TypeText, Localizable: true},
	{Code: "summary", Type: pim.TypeText, Localizable: true},
	{Code: "description", Type: pim.TypeRichText, Localizable: true},
	{Code: "brand", Type: pim.TypeText},
	{Code: "gtin", Type: pim.TypeText, Check: pim.CheckGTIN},
	{Code: "colour", Type: pim.TypeOption, Options: options(colours)},
	{Code: "material", Type: pim.TypeOption, Options: options(materials)},
	{Code: "weight", Type: pim.TypeNumber},
	{Code: "pieces", Type: pim.TypeNumber},
	{Code: "washable", Type: pim.TypeBoolean},
	{Code: "since", Type: pim.TypeDate},
	{Code: "care", Type: pim.TypeText},
}

var (
	colours   = []string{"black", "blue", "brown", "green", "grey", "orange", "red", "white", "yellow"}
	materials = []string{"aluminium", "ceramic", "cotton", "glass", "leather", "linen", "oak", "steel", "wool"}
	words     = strings.Fields(`sturdy light everyday kitchen garden folding narrow lid handle drawer shelf lamp
		cord washable lining pocket buckle season travel quiet brushed woven stacked corner window holder hook
		basket cover cushion spare simple matte rounded warm storage weekend table bottle frame carrier`)
)

func options(codes []string) []pim.Option {
	out := make([]pim.Option, len(codes))
	for i, c := range codes {
		out[i].Code = c
	}
	return out
}

// schemaChange is what the catalogue needs of the store.
func schemaChange() postgres.SchemaChange {
	f := pim.Family{Code: family}
	for _, a := range attributes {
		f.Attributes = append(f.Attributes, pim.FamilyAttribute{Code: a.Code})
	}
	return postgres.SchemaChange{
		Locales: []pim.Locale{locale}, Currencies: []pim.Currency{"EUR"}, Attributes: attributes, Families: []pim.Family{f},
	}
}

// catalogue is the run's products, the same at each run.
type catalogue struct {
	values [][]byte // by product: its values as the store keeps them
	file   []byte   // JSON Lines for the import
	size   int      // bytes of values of a product on average
}

func newCatalogue(n int) *catalogue {
	c := &catalogue{values: make([][]byte, n)}
	var file bytes.Buffer
	total := 0
	for i := range n {
		rnd := rand.New(rand.NewPCG(uint64(i), 1))
		text := func(length int) string {
			var b strings.Builder
			for b.Len() < length {
				if b.Len() > 0 {
					b.WriteByte(' ')
				}
				b.WriteString(words[rnd.IntN(len(words))])
			}
			return b.String()
		}
		flat := map[string]any{
			"name": text(40), "summary": text(160), "description": "<p>" + text(420) + "</p><p><strong>" + text(30) + "</strong> " + text(220) + "</p>",
			"brand": text(8), "gtin": gtin(i), "colour": colours[rnd.IntN(len(colours))], "material": materials[rnd.IntN(len(materials))],
			"weight": rnd.IntN(100000), "pieces": 1 + rnd.IntN(12), "washable": rnd.IntN(2) == 0,
			"since": fmt.Sprintf("20%02d-%02d-%02d", rnd.IntN(26), 1+rnd.IntN(12), 1+rnd.IntN(28)), "care": text(190),
		}
		scoped := make(map[string]any, len(flat))
		for _, a := range attributes {
			scoped[a.Code] = flat[a.Code]
			if a.Localizable {
				scoped[a.Code] = map[pim.Locale]any{locale: flat[a.Code]}
			}
		}
		c.values[i] = encode(scoped)
		total += len(c.values[i])
		flat["sku"] = sku(i)
		file.Write(encode(flat))
		file.WriteByte('\n')
	}
	c.file, c.size = file.Bytes(), total/n
	return c
}

// encode writes JSON as it is usual in files, without escaping what needs none.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings, numbers and booleans: cannot fail
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

const skuPrefix = "B-"

// sku is the SKU of the product numbered i.
func sku(i int) pim.SKU { return pim.SKU(fmt.Sprintf("%s%07d", skuPrefix, i)) }

// gtin is a valid GTIN-13 of the range for internal use (GS1 General
// Specifications, prefix 200).
func gtin(i int) string {
	s := fmt.Sprintf("200%09d", i)
	sum := 0
	for k, c := range s {
		sum += int(c-'0') * (1 + 2*(k%2))
	}
	return fmt.Sprintf("%s%d", s, (10-sum%10)%10)
}
