package jobs

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// What fails again and again is kept up to a bound, unless all is to be kept, and
// takes nothing away from what went well.
func TestFailedExchangesAreBounded(t *testing.T) {
	t.Parallel()
	for keep, want := range map[pim.Keep][3]float64{ // of the failed, of those a second later, of the others
		pim.KeepAll:    {1500, 100, 100},
		pim.KeepSome:   {failedBurst, failedRate, exchangeBurst},
		pim.KeepFailed: {failedBurst, failedRate, 0},
	} {
		l := newExchangeLog(nil)
		l.room = 0 // what would be kept counts as lost
		w := &wire{channels: &Channels{exchanges: l}, channel: &postgres.Channel{ID: 1}}
		w.channel.Policy.Exchanges.Keep = keep
		now := time.Unix(1e9, 0)
		reg := prometheus.NewRegistry()
		reg.MustRegister(l.counts)
		count := func(outcome string) (n float64) {
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range families[0].Metric {
				if m.Label[0].GetValue() == outcome {
					n = m.Counter.GetValue()
				}
			}
			return n
		}
		settle := func(n int, failed bool, at time.Time) float64 {
			kept, left := count(exchangeLost), count(exchangeLeft)
			for range n {
				w.settle(keptExchange{Exchange: postgres.Exchange{Failed: failed}, began: at, bodies: func() (string, string) { return "", "" }})
			}
			kept, left = count(exchangeLost)-kept, count(exchangeLeft)-left
			if kept+left != float64(n) {
				t.Errorf("%s: of %d, %v are kept and %v left out", keep, n, kept, left)
			}
			return kept
		}
		if got := [3]float64{settle(1500, true, now), settle(100, true, now.Add(time.Second)), settle(100, false, now)}; got != want {
			t.Errorf("%s: %v are kept, want %v", keep, got, want)
		}
	}
}
