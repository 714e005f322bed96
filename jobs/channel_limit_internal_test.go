package jobs

import (
	"testing"

	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/pim/postgres"
)

// What a channel shows of its limits is taken back: a PATCH of anything else brings
// them along.
func TestConnectorsOwnLimitsAreTakenBack(t *testing.T) {
	t.Parallel()
	for _, kind := range all.Registry().Kinds() {
		ch := &postgres.Channel{}
		for range 2 {
			if problems := limits(kind, ch, nil); problems != nil {
				t.Errorf("%s: %+v", kind.Name, problems)
			}
		}
	}
}
