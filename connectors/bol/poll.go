package bol

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// ticket is what a pending item's token holds: the processes that bol works
// through, one for each language. A token is stored while it waits, so it says
// all that is needed to read the outcome; its text is
// "1|<unix seconds of the push>|<the document's own language>|<language>=<process id>|…".
type ticket struct {
	at        time.Time
	own       string
	processes []process
}

type process struct{ language, id string }

func (t ticket) String() string {
	parts := []string{"1", strconv.FormatInt(t.at.Unix(), 10), t.own}
	for _, p := range t.processes {
		parts = append(parts, p.language+"="+url.QueryEscape(p.id))
	}
	return strings.Join(parts, "|")
}

func readTicket(token string) (t ticket, ok bool) {
	parts := strings.Split(token, "|")
	if len(parts) < 4 || len(parts) > 3+len(languages) || parts[0] != "1" {
		return t, false
	}
	seconds, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return t, false
	}
	t.at, t.own = time.Unix(seconds, 0), parts[2]
	for _, part := range parts[3:] {
		language, escaped, _ := strings.Cut(part, "=")
		id, err := url.QueryUnescape(escaped)
		if err != nil || id == "" || !slices.Contains(languages, language) {
			return t, false
		}
		t.processes = append(t.processes, process{language, id})
	}
	return t, true
}

// processStatus is where bol stands with something that it does later.
type processStatus struct {
	ID      string `json:"processStatusId"`
	Entity  string `json:"entityId"` // of content: the upload's id, there on success
	Status  string `json:"status"`
	Message string `json:"errorMessage"`
}

// upload posts a product's content, each language by itself, and gives the
// token to ask for their outcomes. Content that was sent before is simply sent
// again: bol merges it by EAN and attribute.
func (c *Connector) upload(ctx context.Context, contents []*wireContent) (string, error) {
	t := ticket{at: c.session.now(), own: contents[0].own}
	for _, content := range contents {
		resp, err := c.do(ctx, request{op: opContent, path: []string{"retailer", "content", "products"}, body: content, field: content.field})
		var status processStatus
		if err == nil {
			err = read(opContent, resp, &status)
		}
		if err == nil && status.ID == "" {
			err = &connectors.Error{Verdict: connectors.Unavailable, Uncertain: true, Err: errors.New("bol took content without naming the process")}
		}
		if err != nil {
			return "", doubted(err, len(t.processes) > 0)
		}
		t.processes = append(t.processes, process{content.Language, status.ID})
	}
	return t.String(), nil
}

const (
	maxStatuses = 1000 // process ids in one question
	// patience is how long the upload report may lag behind its process before
	// the content counts as accepted: offers wait for that.
	patience = 10 * time.Minute
)

// Poll asks for the processes of all tokens, as many in one call as bol allows,
// and reads the upload reports of those that are through; see
// connectors.Poller. A process that bol does not know any more, or gave up, is
// a conflict: the content is sent again.
func (c *Connector) Poll(ctx context.Context, tokens []string) ([]connectors.Result, error) {
	if len(tokens) == 0 {
		return nil, nil
	}
	if ctx.Err() != nil {
		return nil, &connectors.Error{Verdict: connectors.Unavailable, Err: context.Cause(ctx)}
	}
	tickets := make([]ticket, len(tokens))
	results := make([]connectors.Result, len(tokens))
	var ids []string
	for i, token := range tokens {
		t, ok := readTicket(token)
		if !ok {
			results[i].Err = &connectors.Error{Verdict: connectors.Conflict, Err: errors.New("the token is not of this connector")}
			continue
		}
		tickets[i] = t
		for _, p := range t.processes {
			ids = append(ids, p.id)
		}
	}
	slices.Sort(ids)
	statuses, err := c.statuses(ctx, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	var through []int
	for i := range tokens {
		if results[i].Err != nil {
			continue
		}
		var done bool
		if results[i], done = c.progress(tickets[i], statuses); done {
			through = append(through, i)
		} else if results[i].Status == connectors.Pending {
			results[i].Token, results[i].After = tokens[i], c.again(tickets[i])
		}
	}
	later := func(i int) {
		results[i] = connectors.Result{Status: connectors.Pending, Token: tokens[i], After: time.Second}
	}
	muster(ctx).each(ctx, len(through), func(n int) error {
		i := through[n]
		result, err := c.outcome(ctx, tickets[i], statuses)
		if result.Status == connectors.Pending {
			result.Token, result.After = tokens[i], c.again(tickets[i])
		}
		results[i] = result
		return err
	}, func(n int, _ *connectors.Error) { later(through[n]) })
	return results, nil
}

// again is when to ask next: the longer it has taken, the longer it may take.
func (c *Connector) again(t ticket) time.Duration {
	return min(max(c.session.now().Sub(t.at)/2, 2*time.Second), time.Minute)
}

// statuses asks for processes by their ids.
func (c *Connector) statuses(ctx context.Context, ids []string) (map[string]processStatus, error) {
	type query struct {
		ID string `json:"processStatusId"`
	}
	found := make(map[string]processStatus, len(ids))
	for chunk := range slices.Chunk(ids, maxStatuses) {
		ask := struct {
			Queries []query `json:"processStatusQueries"`
		}{}
		for _, id := range chunk {
			ask.Queries = append(ask.Queries, query{id})
		}
		resp, err := c.do(ctx, request{op: opStatus, path: []string{"shared", "process-status"}, body: ask})
		if err != nil {
			return nil, err
		}
		var answer struct {
			Statuses []processStatus `json:"processStatuses"`
		}
		if err := read(opStatus, resp, &answer); err != nil {
			return nil, err
		}
		for _, s := range answer.Statuses {
			found[s.ID] = s
		}
	}
	return found, nil
}

// progress says what the statuses of a ticket's processes mean together; done
// when all came to an end and the upload reports tell the rest.
func (c *Connector) progress(t ticket, statuses map[string]processStatus) (result connectors.Result, done bool) {
	pending := false
	for _, p := range t.processes {
		s, ok := statuses[p.id]
		switch {
		case !ok:
			return conflict("bol does not know the process of %s any more", p.language), false
		case s.Status == "TIMEOUT":
			return conflict("bol did not get the content in %s done in time", p.language), false
		case s.Status == "SUCCESS", s.Status == "FAILURE":
		default: // PENDING, or a word of a later version
			pending = true
		}
	}
	if pending {
		return connectors.Result{Status: connectors.Pending}, false
	}
	return connectors.Result{}, true
}

func conflict(format string, args ...any) connectors.Result {
	return connectors.Result{Err: &connectors.Error{Verdict: connectors.Conflict, Err: fmt.Errorf(format, args...)}}
}

// outcome reads the upload reports of a ticket whose processes are through. Its
// error is for the crew: the result holds what is to be said.
func (c *Connector) outcome(ctx context.Context, t ticket, statuses map[string]processStatus) (connectors.Result, error) {
	v := &view{own: t.own, shown: c.text}
	var trouble error
	for _, p := range t.processes {
		s := statuses[p.id]
		failed := s.Status == "FAILURE"
		if failed {
			v.failed = true
			text := s.Message
			if text == "" {
				text = "bol refuses the content and gives no reason"
			}
			v.add(pim.Issue{Code: "bol.process_failure", Severity: pim.SeverityWarning, Text: c.text(text)})
		}
		if s.Entity == "" {
			if !failed { // which need not have an upload
				v.taken++
			}
			continue
		}
		report, err := c.report(ctx, s.Entity)
		switch {
		case err != nil:
			trouble, v.missing = err, v.missing || !failed
		case report == nil:
			v.missing = v.missing || !failed
		default:
			v.read(p.language, report)
		}
	}
	if (v.missing || v.working) && c.session.now().Sub(t.at) < patience {
		return connectors.Result{Status: connectors.Pending, Issues: v.issues}, trouble
	}
	// What was taken in one language only is taken: were it called refused, bol
	// would be thought to hold what it held, and content that goes back to that
	// would not be sent.
	if v.nothing() && !v.missing {
		return connectors.Result{Err: &connectors.Error{Verdict: connectors.Validation, Issues: v.issues, Err: errors.New(v.reason())}}, trouble
	}
	if v.missing || v.working {
		v.add(pim.Issue{
			Code: "bol.report_unfinished", Severity: pim.SeverityWarning,
			Text: "bol took the content; what became of each attribute is not known yet. See the upload report in the seller account.",
		})
	}
	result := connectors.Result{Status: connectors.Accepted, Issues: v.issues}
	if v.published > 0 && !v.missing && !v.working && !v.declined && !v.failed {
		result.Status = connectors.Live
	}
	return result, trouble
}

// report reads an upload report; nil where bol has none of this id.
func (c *Connector) report(ctx context.Context, id string) (*uploadReport, error) {
	resp, err := c.do(ctx, request{op: opReport, path: []string{"retailer", "content", "upload-report", id}})
	if resp != nil && resp.Status == http.StatusNotFound {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, err
	}
	report := &uploadReport{}
	if err := read(opReport, resp, report); err != nil {
		return nil, err
	}
	return report, nil
}
