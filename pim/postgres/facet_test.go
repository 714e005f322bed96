package postgres

import (
	"fmt"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// Facets of a search count all that it finds, also where a page of it would
// come to its end at searchCandidates.
func TestFacetsCountWhatIsFound(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const products = searchCandidates + 50
	for i := 0; i < products; i += 525 {
		var edits []Edit
		for j := i; j < i+525; j++ {
			edits = append(edits, thing(pim.SKU(fmt.Sprintf("F-%d", j)), Put, `{"name":{"en-GB":"A lamp"},"colour":"teal"}`))
		}
		h.do(edits...)
	}
	h.indexed()
	f, err := h.Facets(h.ctx, &Search{"lamp", "en-GB"}, ProductFilter{}, []string{"family"})
	if err != nil {
		t.Fatal(err)
	}
	if f.Products != products || f.Capped || len(f.Facets[0].Values) != 1 || f.Facets[0].Values[0].Count != products {
		t.Errorf("%+v, of %d products", f, products)
	}
}
