package connectortest

import (
	"context"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// pending follows tickets from the push to their outcome.
func pending(r *run) {
	p, ok := r.Connector.(connectors.Poller)
	if !ok {
		r.Log("the connector does not poll")
		return
	}
	r.Async()
	r.Reject("B")
	if r.h.Prompt {
		r.refused(r.upsert(pim.Content, "B", 1), connectors.Validation, false)
		r.Heal()
	}
	results := r.ok(r.upsert(pim.Content, "A", 1), r.upsert(pim.Content, "B", 1), r.upsert(pim.Content, "C", 1))
	tokens := make([]string, len(results))
	for i, res := range results {
		if res.Status != connectors.Pending {
			r.Fatalf("item %d is %s, want pending", i, res.Status)
		}
		tokens[i] = res.Token
	}
	tokens[0], tokens[2] = tokens[2], tokens[0] // the answers follow the tokens, not the push

	polled := func() []connectors.Result {
		r.Helper()
		results, err := p.Poll(r.ctx, tokens)
		r.hear(err)
		if err != nil || len(results) != len(tokens) {
			r.Fatalf("poll: %v, error %v", results, err)
		}
		for i := range results {
			r.hearResult(results[i])
		}
		return results
	}
	for i, res := range polled() {
		if res.Err != nil || res.Status != connectors.Pending || res.Token == "" {
			r.Fatalf("token %d before the work is done: %+v", i, res)
		}
	}
	if r.Held("A", pim.Content) != "" {
		r.Fatal("the harness's Async applies at once")
	}
	r.Process()
	results = polled()
	if !r.h.Prompt {
		r.isError(results[1].Err, connectors.Validation, false)
	}
	for i := range results {
		if i == 1 && !r.h.Prompt {
			continue
		}
		if results[i].Err != nil || results[i].Status == connectors.Pending {
			r.Errorf("token %d after the work: %+v", i, results[i])
		}
	}
	if r.Held("A", pim.Content) == "" || (r.Held("B", pim.Content) != "") != r.h.Prompt {
		r.Error("the target does not hold what the answers say")
	}
	if got, err := p.Poll(r.ctx, nil); err != nil || len(got) != 0 {
		r.Errorf("poll of nothing: %v, %v", got, err)
	}
	r.Hang()
	ctx, cancel := context.WithTimeout(r.ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := p.Poll(ctx, tokens); err == nil {
		r.Error("poll of a hanging target succeeds")
	}
	r.Heal()
}
