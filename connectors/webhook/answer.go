package webhook

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
)

// said is what a target says of one item, or of one token.
type said struct {
	SKU        pim.SKU `json:"sku"`
	Lane       string  `json:"lane"`
	Token      string  `json:"token"`
	Status     string  `json:"status"`
	RetryAfter float64 `json:"retry_after"`
	Code       string  `json:"code"`
	Message    string  `json:"message"`
	Issues     []issue `json:"issues"`
}

// issue is pim.Issue as a target writes it: anything may be missing.
type issue struct {
	Code      string `json:"code"`
	Severity  string `json:"severity"`
	Attribute string `json:"attribute"`
	Text      string `json:"text"`
}

// maxIssues bounds what is kept of one item's issues.
const maxIssues = 50

// verdicts is the one table of item error codes. A code that is not here is the
// target's own word for what is wrong with the item: Validation, with that code.
var verdicts = map[string]struct {
	verdict   connectors.Verdict
	uncertain bool
}{
	"validation":  {connectors.Validation, false},
	"conflict":    {connectors.Conflict, false},
	"throttled":   {connectors.Throttled, false},
	"unavailable": {connectors.Unavailable, true}, // it broke on the way: who knows how far it came
	"auth":        {connectors.Auth, false},
	"permanent":   {connectors.Permanent, false},
}

// list finds the items of a 2xx body. None means that the target says nothing
// of single items; the error that it began to and broke off.
func list(body []byte) ([]said, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff"))) // which no JSON reader takes
	switch {
	case len(body) == 0:
		return nil, nil
	case body[0] == '<': // of a gateway, a login, a parked domain: with a 200, as they do
		return nil, uncertain("the answer is a page, and no word of the target's")
	case body[0] != '{':
		return nil, nil
	}
	var outer struct {
		Items json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(body, &outer); err != nil {
		return nil, uncertain("the answer is no whole JSON")
	}
	// Some receivers count: {"items": 3} speaks of no single item.
	if len(outer.Items) == 0 || outer.Items[0] != '[' {
		return nil, nil
	}
	var items []said
	if err := json.Unmarshal(outer.Items, &items); err != nil {
		return nil, uncertain("the answer's items have another shape than agreed")
	}
	return items, nil
}

// read turns the body of a 2xx into one result per item.
func (c *Connector) read(items []connectors.Item, body []byte) ([]connectors.Result, error) {
	answers, err := list(body)
	if err != nil {
		return nil, err
	}
	results := make([]connectors.Result, len(items))
	if len(answers) == 0 {
		for i := range results {
			results[i].Status = connectors.Accepted
		}
		return results, nil
	}
	at := make(map[pim.SKU]int, len(items))
	for i := range items {
		at[items[i].SKU] = i
		// A target that names some items and not this one may have skipped it.
		results[i].Err = uncertain("the answer does not name this item")
	}
	heard := make([]bool, len(items))
	for _, a := range answers {
		i, ok := at[a.SKU]
		if !ok || a.Lane != "" && a.Lane != items[i].Lane.String() {
			continue
		}
		if heard[i] && results[i].Err != nil {
			continue // said twice: the bad news counts
		}
		heard[i], results[i] = true, c.result(a, false)
	}
	return results, nil
}

// readPoll turns the body of a status answer into one result per token.
func (c *Connector) readPoll(tokens []string, body []byte) ([]connectors.Result, error) {
	answers, err := list(body)
	if err != nil {
		return nil, harmless(err)
	}
	if len(answers) == 0 {
		return nil, &connectors.Error{Verdict: connectors.Unavailable, Err: errors.New("the status answer holds no items")}
	}
	by := make(map[string]said, len(answers))
	for _, a := range answers {
		by[a.Token] = a
	}
	results := make([]connectors.Result, len(tokens))
	for i, token := range tokens {
		a, ok := by[token]
		if !ok {
			results[i].Err = &connectors.Error{Verdict: connectors.Unavailable, Err: errors.New("the status answer does not name this token")}
			continue
		}
		results[i] = c.result(a, true)
	}
	return results, nil
}

// result reads what a target says of one item. Polled says that it is the
// answer for a token.
func (c *Connector) result(a said, polled bool) connectors.Result {
	after := after(a.RetryAfter)
	switch a.Status {
	case "live":
		return connectors.Result{Status: connectors.Live, Issues: c.issues(a, pim.SeverityWarning)}
	case "accepted", "":
		if a.Status == "" && (a.Code != "" || len(a.Issues) > 0) {
			break // an error without the word
		}
		return connectors.Result{Status: connectors.Accepted, Issues: c.issues(a, pim.SeverityWarning)}
	case "pending":
		if a.Token != "" && (c.status != nil || polled) {
			return connectors.Result{Status: connectors.Pending, Token: a.Token, After: after, Issues: c.issues(a, pim.SeverityWarning)}
		}
		// Nobody can ask for the outcome: held is all that is known.
		return connectors.Result{Status: connectors.Accepted, Issues: append(c.issues(a, pim.SeverityWarning), pim.Issue{
			Code: "webhook.outcome_unknown", Severity: pim.SeverityWarning,
			Text: "The target answered pending, but gave no token or the channel has no status_url: its outcome cannot be asked for.",
		})}
	case "error":
	default:
		return connectors.Result{Err: &connectors.Error{
			Verdict: connectors.Permanent, Uncertain: true,
			Err: fmt.Errorf("the target answered the status %q, which is not one of live, accepted, pending, error", c.text(a.Status)),
		}}
	}
	v, known := verdicts[a.Code]
	if !known {
		v.verdict = connectors.Validation
	}
	e := &connectors.Error{Verdict: v.verdict, Uncertain: v.uncertain, After: after, Issues: c.issues(a, pim.SeverityError)}
	text := c.text(cmp.Or(a.Message, a.Code, "the target refuses the item"))
	e.Err = errors.New(text)
	if len(e.Issues) == 0 && v.verdict == connectors.Validation {
		e.Issues = []pim.Issue{{Code: cmp.Or(c.text(a.Code), "validation"), Severity: pim.SeverityError, Text: text}}
	}
	return connectors.Result{Err: e}
}

// issues cleans what the target lists; usual is the severity of those without.
func (c *Connector) issues(a said, usual pim.Severity) []pim.Issue {
	if len(a.Issues) == 0 {
		return nil
	}
	out := make([]pim.Issue, 0, min(len(a.Issues), maxIssues))
	for _, i := range a.Issues[:min(len(a.Issues), maxIssues)] {
		severity := usual
		if s := pim.Severity(i.Severity); s == pim.SeverityError || s == pim.SeverityWarning {
			severity = s
		}
		code := cmp.Or(c.text(i.Code), "validation")
		out = append(out, pim.Issue{Code: code, Severity: severity, Attribute: c.text(i.Attribute), Text: cmp.Or(c.text(i.Text), code)})
	}
	return out
}

// text makes a target's words fit to be shown: no secret of ours, one line, at
// most 600 bytes.
func (c *Connector) text(s string) string {
	if s == "" {
		return ""
	}
	return c.client.Text(s)
}

// after reads retry_after: seconds, within the bounds of a Retry-After header.
func after(seconds float64) time.Duration {
	if !(seconds > 0) {
		return 0
	}
	return min(time.Duration(math.Ceil(min(seconds, httpx.MaxAfter.Seconds())*1000))*time.Millisecond, httpx.MaxAfter)
}
