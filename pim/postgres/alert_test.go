package postgres

import (
	"testing"
	"time"
)

// However many listings are rejected, and of however many lanes: what is looked
// at of them has more products than may be rejected, and little more.
func TestWatchedRejectsAreEnough(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("shop")
	h.fill(c.ID, 3000)
	h.exec(`update listing set dirty = false, error = '{}'`)
	for policy, most := range map[string]int64{
		`{}`:                                  2000,
		`{"alerts": {"rejected": 2500}}`:      3000,
		`{"alerts": {"rejected_share": 0.9}}`: 3000,
		`{"alerts": {"rejected": 1, "rejected_share": 0.01}}`: 2000,
	} {
		h.exec(`update channel set policy = $1::jsonb`, policy)
		h.exec(`update watch set next_at = now()`)
		looked := false
		turn, err := h.Watch(h.ctx, time.Hour, func(_ time.Time, channels []Watched, _ []AlertState) ([]AlertChange, error) {
			looked = true
			if w := channels[0]; !w.Policy.Alerts.Rejecting(w.Rejected, w.Products) || w.Rejected > most || w.Products != 3000 {
				t.Errorf("%s: %d of %d are rejected", policy, w.Rejected, w.Products)
			}
			return nil, nil
		})
		if err != nil || !turn || !looked {
			t.Fatal(turn, looked, err)
		}
	}
}
