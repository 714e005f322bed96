// Package connectortest is the conformance suite of connectors: what
// connectors.Connector promises, run against a connector and a stateful fake of
// its target. A connector's test builds a Harness and calls Run.
package connectortest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// Harness is what the suite needs to know of one connector.
type Harness struct {
	Kind *connectors.Kind
	// New starts a fresh fake target, ended with t, and a connector to it whose
	// batch limit is at least 3 (and best low: one test fills it). The target
	// must be as rude as it can: every refusal's text and issues repeat what it
	// was sent, secrets included.
	New func(t *testing.T) Target
	// Document writes a document that the target takes for the SKU. Different
	// versions differ. Nil writes {"sku":…,"version":…}.
	Document func(lane pim.Lane, sku pim.SKU, version int) json.RawMessage
	// Stays, optional, are lanes of which the target keeps everything at a
	// withdrawal, because it offers no way to delete it. There, what is held must
	// then not change.
	Stays pim.Lanes
	// Unheld says that Held and Records tell nothing of what is disabled.
	Unheld bool
	// Vague, optional, are lanes of which a read cannot tell all.
	Vague pim.Lanes
	// Prompt says that the target refuses at once, also where it takes the rest on a
	// ticket.
	Prompt bool
}

// Target is one fake target with a connector to it. The functions switch the
// fake; a fault lasts until Heal. Those marked optional may be nil where the
// target has no such thing; without another, the suite fails.
type Target struct {
	Connector connectors.Connector
	// Secrets are all that must appear in no error or issue: keys, tokens, the
	// query string of the configured URL.
	Secrets []string

	// Held is what the target holds of a SKU in a lane, in any canonical form
	// that leaves out times, counters and revisions; "" is nothing.
	Held func(sku pim.SKU, lane pim.Lane) string
	// Records is how many products the target holds.
	Records func() int
	// Calls is how many requests reached the target, probes and polls included.
	Calls func() int
	// WaitHanging returns when a request hangs at the target.
	WaitHanging func(ctx context.Context) error
	// Violations are breaches of the target's rules by the connector.
	Violations func() []string

	Heal        func()
	Refuse      func()                    // connections are refused
	Lose        func()                    // requests are applied, their answers lost
	Fail        func()                    // requests are answered 500
	Garble      func()                    // requests are applied, the answers break off
	Endless     func()                    // answers have no end
	Hang        func()                    // requests are not answered
	Unauthorize func()                    // our credentials are refused
	Throttle    func(after time.Duration) // requests are refused until after, in whole seconds
	Reject      func(sku pim.SKU)         // upserts of one SKU fail validation

	// Shows, needed of a kind that disables, reports whether the target shows the SKU
	// to customers.
	Shows func(sku pim.SKU) bool
	// Sells, needed of a kind that sells out, reports whether customers could order
	// the SKU at the target: there is stock, or it takes orders without. Documents of
	// the offer lane must have stock.
	Sells func(sku pim.SKU) bool
	// Drop, optional, deletes a product at the target, as people there do.
	Drop func(sku pim.SKU)
	// Vanish, needed of a Reader without Drop, is Drop of a target that does not
	// say what it made anew.
	Vanish func(sku pim.SKU)
	// MeetReads, optional, has the faults that are set from now on meet calls that
	// only read; for targets whose faults otherwise meet writes alone.
	MeetReads func()
	// Alter, needed of a Reader, changes what the target holds of a SKU in a lane, as
	// people there do.
	Alter func(sku pim.SKU, lane pim.Lane)
	// Versioned, optional, makes the target refuse lower revisions.
	Versioned func()
	// Async, needed of a Poller, makes the target answer pending from now on.
	Async func()
	// Process, needed of a Poller, does the work that the target put off.
	Process func()
	// Uploaded, needed of an Uploader, is what the target keeps under the name that
	// Upload gave. The connector's settings must let it upload.
	Uploaded func(remote string) (content []byte, ok bool)
}

// bound is how long any single step may take before the suite gives up on it.
const bound = 3 * time.Minute

// run is one subtest's target with what the checks share.
type run struct {
	*testing.T
	Target
	h   Harness
	ctx context.Context

	mu   sync.Mutex
	said []string // every text the connector gave out
}

// limits are its kind's; a harness makes the connector with them.
func (r *run) limits() connectors.Limits { return r.h.Kind.Limits }

// upsert is an item of a SKU; its revision is the version.
func (r *run) upsert(lane pim.Lane, sku pim.SKU, version int) connectors.Item {
	doc := json.RawMessage(fmt.Sprintf(`{"sku":%q,"version":%d}`, sku, version))
	if r.h.Document != nil {
		doc = r.h.Document(lane, sku, version)
	}
	return connectors.Item{SKU: sku, Lane: lane, Revision: int64(version), Action: connectors.Upsert, Document: doc}
}

// leave is an item that withdraws by a policy.
func (r *run) leave(sku pim.SKU, version int, a connectors.Action) connectors.Item {
	it := connectors.Item{SKU: sku, Lane: pim.Content, Revision: int64(version), Action: a}
	if a == connectors.SellOut {
		it.Lane, it.Document = pim.Offer, json.RawMessage(`{}`)
	}
	return it
}

func (r *run) withdraw(sku pim.SKU, version int) connectors.Item {
	return connectors.Item{SKU: sku, Lane: pim.Content, Revision: int64(version), Action: connectors.Withdraw}
}

// push calls Push and notes all that was said.
func (r *run) push(ctx context.Context, items ...connectors.Item) ([]connectors.Result, error) {
	r.Helper()
	results, err := r.Connector.Push(ctx, items)
	r.hear(err)
	for i := range results {
		r.hearResult(results[i])
	}
	if err == nil && len(results) != len(items) {
		r.Fatalf("%d results for %d items", len(results), len(items))
	}
	return results, err
}

// ok pushes and expects every item to be taken.
func (r *run) ok(items ...connectors.Item) []connectors.Result {
	r.Helper()
	results, err := r.push(r.ctx, items...)
	if err != nil {
		r.Fatalf("push: %v", err)
	}
	for i, res := range results {
		if res.Err != nil {
			r.Fatalf("push of %s (item %d): %v", items[i].SKU, i, res.Err)
		}
		switch res.Status {
		case connectors.Live, connectors.Accepted:
		case connectors.Pending:
			if res.Token == "" {
				r.Fatalf("item %d is pending without a token", i)
			}
		default:
			r.Fatalf("item %d has the status %q", i, res.Status)
		}
	}
	return results
}

// withdrawn checks that a lane's document went with the withdrawal, or stayed
// where the target has no way to delete it.
func (r *run) withdrawn(sku pim.SKU, lane pim.Lane, before string) {
	r.Helper()
	want := ""
	if r.h.Stays.Has(lane) {
		want = before
	}
	if got := r.Held(sku, lane); got != want {
		r.Errorf("lane %s: withdrawn, the target holds %q, want %q", lane, got, want)
	}
}

// refused pushes one item and expects an error with this verdict, for the call
// or for the item.
func (r *run) refused(item connectors.Item, verdict connectors.Verdict, uncertain bool) *connectors.Error {
	r.Helper()
	results, err := r.push(r.ctx, item)
	if err == nil {
		err = results[0].Err
	}
	return r.isError(err, verdict, uncertain)
}

// isError holds an error against the contract.
func (r *run) isError(err error, verdict connectors.Verdict, uncertain bool) *connectors.Error {
	r.Helper()
	if err == nil {
		r.Fatalf("no error, want %s", verdict)
	}
	e := connectors.AsError(err)
	if e.Verdict != verdict || e.Uncertain != uncertain {
		r.Fatalf("verdict %s (uncertain %v), want %s (uncertain %v): %v", e.Verdict, e.Uncertain, verdict, uncertain, err)
	}
	return e
}

// hear notes an error's texts.
func (r *run) hear(err error) {
	if err == nil {
		return
	}
	e := connectors.AsError(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, err.Error(), fmt.Sprintf("%+v", e.Issues), fmt.Sprintf("%+v", e.Err))
}

func (r *run) hearResult(res connectors.Result) {
	r.hear(res.Err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf("%+v", res.Issues))
}

// discreet checks that nothing said holds a secret.
func (r *run) discreet() {
	r.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range r.said {
		for _, secret := range r.Secrets {
			if strings.Contains(text, secret) {
				r.Errorf("a secret was told: %s", text)
			}
		}
	}
}
