package postgres

import (
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// What a page of a state is looked for by is what the state is told by, of whatever a
// listing can hold.
func TestStatesAreLookedForAsTheyAreTold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const all = `
(select dirty, token, error, status, verified.at as verified_at, acked.at as acked_at, lane::smallint, priority::smallint
 from (values (true), (false)) d (dirty), (values (null), ('t')) t (token), (values (null), ('no')) e (error),
      (values (null), ('accepted'), ('live'), ('withdrawn'), ('sold_out'), ('none')) s (status),
      (values (null::timestamptz), ('2026-01-01'), ('2026-01-02')) verified (at), (values (null::timestamptz), ('2026-01-01'), ('2026-01-02')) acked (at),
      (values (1), (2), (4)) l (lane), (values (0), (1), (2)) p (priority)) l`
	for _, state := range pim.ListingStates {
		test := stateTests[state]
		if test == "" {
			t.Errorf("nothing is looked for as %s", state)
			continue
		}
		is := "(" + stateOf + ") = '" + string(state) + "'"
		if n := h.number(`select count(*) from ` + all + ` where ` + is); n == 0 {
			t.Errorf("nothing is %s", state)
		}
		if n := h.number(`select count(*) from ` + all + ` where (` + is + `) is distinct from coalesce(` + test + `, false)`); n != 0 {
			t.Errorf("%d listings are %s or are looked for as such, and not both", n, state)
		}
	}
	if len(stateTests) != len(pim.ListingStates) {
		t.Errorf("%d states, %d tests of them", len(pim.ListingStates), len(stateTests))
	}
}
