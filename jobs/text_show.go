package jobs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// What providers for tests made is not among products' values, so no channel,
// export or subscription can come upon it. Here it is laid over the values that a
// channel marked as a test is shown. See docs/decisions/012.

// testTexts remembers for a while whether there are providers for tests.
type testTexts struct {
	mu  sync.Mutex
	has bool
	at  time.Time
}

// testTextsFor is how long another channel's warnings may be late.
const testTextsFor = 10 * time.Second

func (x *testTexts) any(ctx context.Context, store *postgres.Store) (bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.has || time.Since(x.at) < testTextsFor {
		return x.has, nil // once there, it stays
	}
	has, err := store.HasTestProviders(ctx)
	if err == nil {
		x.has, x.at = has, time.Now()
	}
	return has, err
}

// tell shows a test channel what providers for tests made, in the places of
// texts that the products have not. Others are told what they are not shown.
func (c *Channels) tell(ctx context.Context, t *Target, subjects []*connectors.Subject) error {
	if !t.Test {
		if has, err := c.tests.any(ctx, c.store); err != nil || !has {
			return err
		}
	}
	var skus []string
	for _, s := range subjects {
		if s == nil {
			continue
		}
		skus = append(skus, string(s.SKU))
		for _, above := range s.Above() {
			skus = append(skus, string(above))
		}
	}
	if len(skus) == 0 {
		return nil
	}
	list, err := c.store.TestTexts(ctx, skus)
	if err != nil || len(list) == 0 {
		return err
	}
	of := map[pim.SKU][]postgres.TestText{}
	for _, x := range list {
		of[x.SKU] = append(of[x.SKU], x)
	}
	for _, s := range subjects {
		if s == nil {
			continue
		}
		mine := of[s.SKU]
		for _, above := range s.Above() { // its own first
			mine = append(mine[:len(mine):len(mine)], of[above]...)
		}
		for _, x := range mine {
			switch {
			case textAt(s.Values, x.Slot) != "":
			case t.Test:
				s.Values = pim.PatchValues(s.Values, x.Values(x.Value)) // a copy: values are shared
			case x.Locale == t.Locale && (x.Channel == "" || x.Channel == t.Code):
				s.Issues = append(s.Issues, pim.Issue{
					Code: "mapping.text.test", Severity: pim.SeverityWarning, Attribute: x.Attribute,
					Text: fmt.Sprintf("%s in %s is left out: a provider for tests made it, and this channel is not marked as a test", x.Attribute, x.Locale),
				})
			}
		}
	}
	return nil
}
