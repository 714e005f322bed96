package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// pairsTimeout bounds how long a rule's providers are asked for their pairs.
const pairsTimeout = 5 * time.Second

// RuleWarnings asks the providers of a rule whether they have its pairs of
// languages, a few seconds at most. A pair that none of them has, as far as they
// say, is told with a pointer into the rule, and so is who could not be asked.
// Nothing of it keeps a rule from being stored: services learn languages, and a
// provider can be added later.
func (t *Texts) RuleWarnings(ctx context.Context, r postgres.TextRule) ([]pim.Problem, error) {
	if r.Action != postgres.TextTranslate {
		return nil, nil
	}
	book, err := t.bookOf(ctx, nil) // of a batch, each row would read all rules
	if err != nil {
		return nil, err
	}
	providers := book.candidates(&r)
	if len(providers) == 0 {
		return []pim.Problem{{Pointer: "/providers", Code: "provider.none", Detail: "there is no enabled provider that could be asked: the texts wait for one"}}, nil
	}
	asked, cancel := context.WithTimeout(ctx, pairsTimeout)
	defer cancel()
	told := make([]map[string][]string, len(providers))
	failed := make([]error, len(providers))
	var wg sync.WaitGroup
	for i, p := range providers {
		wg.Go(func() { told[i], failed[i] = t.ProviderPairs(asked, p.Code) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var names []string
	sure := true
	for i, p := range providers {
		switch {
		case errors.Is(failed[i], ErrNoPower):
			return nil, nil // it may have any
		case failed[i] != nil:
			sure = false
		default:
			names = append(names, p.Code)
		}
	}
	var out []pim.Problem
	for i, to := range r.To {
		if !slices.ContainsFunc(told, func(pairs map[string][]string) bool { return translation.Offers(pairs, r.From, to) }) && sure {
			out = append(out, pim.Problem{
				Pointer: fmt.Sprintf("/to/%d", i), Code: "pair.unknown",
				Detail: fmt.Sprintf("%s to %s is not among the pairs of %s: these texts will fail", r.From, to, strings.Join(names, ", ")),
			})
		}
	}
	for i, p := range providers {
		if failed[i] != nil {
			out = append(out, pim.Problem{
				Pointer: "/providers", Code: "pair.unasked",
				Detail: fmt.Sprintf("%s could not be asked which pairs it has: %s", p.Code, errorText(connectors.AsError(failed[i]))),
			})
		}
	}
	return out, nil
}
