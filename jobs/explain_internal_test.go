package jobs

import (
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// What needs a row that is lost, or one that nobody writes by now, to come about.
func TestBecauseOfWhatIsRare(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 10, 0, 0, time.UTC)
	soon := now.Add(time.Minute)
	seen := func() (*postgres.Explained, *postgres.ExplainedLane) {
		e := &postgres.Explained{Now: now, Channel: &postgres.Channel{Enabled: true}, Product: &postgres.ExplainedProduct{Enabled: true}, Workers: true}
		return e, &postgres.ExplainedLane{Lane: pim.Offer, Listed: true, Mapped: true, Has: true, ContentStatus: string(pim.StateLive)}
	}
	for name, c := range map[string]struct {
		change func(*postgres.Explained, *postgres.ExplainedLane)
		want   Reason
		text   string
		until  bool
	}{
		"no listing": {func(_ *postgres.Explained, l *postgres.ExplainedLane) { l.Listed = false }, ReasonUnlisted, "resync", false},
		"dropped": {func(_ *postgres.Explained, l *postgres.ExplainedLane) {
			l.Status, l.AckedAt = string(pim.StateWithdrawn), &now
		}, ReasonWithdrawn, "was told to drop it", false},
		"a lane that is held for what is not known here": {func(_ *postgres.Explained, l *postgres.ExplainedLane) {
			l.Dirty, l.DirtyAt, l.WaitUntil, l.WaitFor = true, now, &soon, "another version's reason"
		}, ReasonHeld, "another version's reason", true},
		"later, for no reason": {func(_ *postgres.Explained, l *postgres.ExplainedLane) { l.Dirty, l.DirtyAt, l.Due = true, now, &soon }, ReasonHeld, "then", true},
	} {
		e, l := seen()
		c.change(e, l)
		b := because(e, l)
		if b.Reason != c.want || !strings.Contains(b.Text, c.text) || (b.Until != nil) != c.until {
			t.Errorf("%s: %+v, want %s with %q", name, b, c.want, c.text)
		}
	}
}
