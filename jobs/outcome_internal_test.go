package jobs

import (
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// An offer that was claimed while its content was on the way back waits for that;
// content that turns out to stay away has to say so, though nothing of it is sent.
func TestWhatStaysAwayWakesWhatWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ was, policy pim.Withdrawal }{
		{"", ""},
		{pim.WithdrawDelete, pim.WithdrawDelete},
		{pim.WithdrawDisable, pim.WithdrawDisable},
		{pim.WithdrawDelete, pim.WithdrawDisable},
		{pim.WithdrawDelete, pim.WithdrawZeroStock},
		{pim.WithdrawDisable, pim.WithdrawZeroStock},
	} {
		for _, gone := range []bool{true, false} { // or the mapping makes nothing of it
			content := &task{lane: pim.Content, Claimed: &postgres.Claimed{Gone: gone, AckedHash: withdrawnAs(c.was), Status: string(pim.StateWithdrawn), Born: -7}}
			o, send := (&round{withdrawal: c.policy}).plan(content)
			if send || !o.Ack || !o.Wakes {
				t.Errorf("%q under %q, gone %t: sent %t, %+v", c.was, c.policy, gone, send, o)
			}
		}
	}
}
