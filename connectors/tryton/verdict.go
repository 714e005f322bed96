package tryton

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
)

// Tryton answers almost every error with HTTP 200 and {"error": [name, details]}
// (trytond/protocols/jsonrpc.py). All errors of the user's making, access rights
// and validation alike, have the one name "UserError" and a translated text, so
// the call that failed says more than the text. Errors without a name of the
// table are Python exceptions, [text, traceback].
type rule struct {
	name      string // of the error; "" is a Python exception
	text      string // that an exception's text contains; "" is any
	calls     calls
	code      string // of the issue
	verdict   connectors.Verdict
	uncertain bool
	after     time.Duration
}

// calls are the calls that a rule is for.
type calls int

const (
	all calls = iota
	reads
	writes
)

// verdicts is the connector's table: the first rule that fits counts. Below it,
// at HTTP's level, stands httpx.Check's table with statuses. An answer with an
// error means that the transaction was rolled back, so almost no row is uncertain.
var verdicts = []rule{
	{name: "LoginException", code: "tryton.login", verdict: connectors.Auth},
	{name: "RateLimitException", code: "tryton.rate_limit", verdict: connectors.Throttled},
	{name: "ConcurrencyException", code: "tryton.concurrency", verdict: connectors.Conflict, after: again},

	// What a reading call refuses is about no item: nothing is parked, and the
	// channel waits until somebody grants the right that is missing.
	{name: "UserError", calls: reads, code: "tryton.user_error", verdict: connectors.Auth},
	{name: "UserError", calls: writes, code: "tryton.user_error", verdict: connectors.Validation},
	// A question that a person would be asked before going on.
	{name: "UserWarning", calls: reads, code: "tryton.warning", verdict: connectors.Auth},
	{name: "UserWarning", calls: writes, code: "tryton.warning", verdict: connectors.Validation},

	// PostgreSQL's words for two transactions in each other's way; Tryton has
	// repeated the call five times by then.
	{text: "could not serialize access", code: "tryton.serialization", verdict: connectors.Conflict, after: again},
	{text: "deadlock detected", code: "tryton.deadlock", verdict: connectors.Conflict, after: again},
	{text: "could not obtain lock", code: "tryton.lock", verdict: connectors.Conflict, after: again},
	// Tryton lost its database. Where that was while it committed, nobody knows
	// whether the database did.
	{text: "server closed the connection", code: "tryton.database", verdict: connectors.Unavailable, uncertain: true},
	{text: "terminating connection", code: "tryton.database", verdict: connectors.Unavailable, uncertain: true},
	{text: "connection already closed", code: "tryton.database", verdict: connectors.Unavailable, uncertain: true},
	{text: "could not receive data from server", code: "tryton.database", verdict: connectors.Unavailable, uncertain: true},
	{text: "connection has been closed unexpectedly", code: "tryton.database", verdict: connectors.Unavailable, uncertain: true},
	{text: "could not send data to server", code: "tryton.database", verdict: connectors.Unavailable},
	{text: "connection slots", code: "tryton.database", verdict: connectors.Unavailable},
	// libpq before version 14, and since.
	{text: "could not connect to server", code: "tryton.database", verdict: connectors.Unavailable},
	{text: "connection to server", code: "tryton.database", verdict: connectors.Unavailable},
	{text: "the database system is", code: "tryton.database", verdict: connectors.Unavailable}, // starting up, shutting down, in recovery mode
	{text: "could not extend file", code: "tryton.database", verdict: connectors.Unavailable},
	{text: "No space left on device", code: "tryton.database", verdict: connectors.Unavailable},
	{text: "read-only transaction", code: "tryton.database", verdict: connectors.Unavailable}, // a standby
	{calls: writes, code: "tryton.exception", verdict: connectors.Permanent},
	{calls: reads, code: "tryton.exception", verdict: connectors.Unavailable},
}

// statuses are the answers that mean something else in Tryton than elsewhere.
var statuses = map[int]struct {
	verdict connectors.Verdict
	note    string
}{
	// trytond/protocols/dispatcher.py: a method that no module offers to clients.
	http.StatusForbidden: {connectors.Auth, "Tryton does not offer this method: a module is not activated, or a proxy refuses the call"},
	// The database does not answer, or there is none of that name.
	http.StatusNotFound: {connectors.Unavailable, "there is no such database, or it cannot be reached"},
	// Nothing of ours is there: the items are not to blame.
	http.StatusMethodNotAllowed: {connectors.Unavailable, "this is no Tryton server"},
	http.StatusGone:             {connectors.Unavailable, "this is no Tryton server"},
}

// again is when to come back where two transactions, or a variant and its
// parent, met.
const again = 2 * time.Second

// refusal is an error that Tryton answered. Its texts are Tryton's, uncleaned.
type refusal struct {
	name string // of the table; "" is a Python exception
	text string
	more string // the description beside the text
}

// readRefusal reads the "error" of an answer.
func readRefusal(raw json.RawMessage) refusal {
	var parts []json.RawMessage
	if json.Unmarshal(raw, &parts) != nil || len(parts) == 0 {
		return refusal{} // an exception without arguments, or no form that is known
	}
	var name, text string
	_ = json.Unmarshal(parts[0], &name) // what is no string stays empty
	known := slices.ContainsFunc(verdicts, func(r rule) bool { return name != "" && r.name == name })
	if !known || len(parts) < 2 {
		return refusal{text: name} // the second part is a traceback: not for people
	}
	if json.Unmarshal(parts[1], &text) == nil {
		return refusal{name: name, text: text} // ConcurrencyException
	}
	var details []any
	_ = json.Unmarshal(parts[1], &details)
	said := func(i int) string {
		if i >= len(details) {
			return ""
		}
		s, _ := details[i].(string)
		return s
	}
	switch name {
	case "UserWarning": // [name of the warning, text, description]
		return refusal{name, said(1), said(2)}
	case "LoginException": // [parameter, text, kind of the parameter]
		return refusal{name, said(1), ""}
	}
	return refusal{name, said(0), said(1)} // [text, description, domain]
}

// classify finds the rule of an error.
func classify(e refusal, call calls) rule {
	for _, r := range verdicts {
		if r.name == e.name && (r.calls == all || r.calls == call) && strings.Contains(e.text, r.text) {
			return r
		}
	}
	return rule{code: "tryton.exception", verdict: connectors.Unavailable}
}

// fields are the labels by which Tryton's English texts name a field, and the
// document's fields that fill it.
var fields = []struct{ text, attribute string }{
	{`field "Name"`, "name"},
	{`field "Description"`, "description"},
	{`field "Default UOM"`, "unit"},
	{`field "Sale UOM"`, "unit"},
	{`field "Type"`, "type"},
	{"International Article Number", "gtin"},
	{"Code of active product", "sku"},
	{`field "Code"`, "sku"},
	{`field "Suffix Code"`, "sku"},
}

// errorOf makes the contract's error of Tryton's. The client cleans the texts.
func errorOf(client *httpx.Client, method string, e refusal, call calls) *connectors.Error {
	r := classify(e, call)
	text := strings.TrimSpace(e.text + " " + e.more)
	if text == "" {
		text = "an error without a text"
	}
	text = client.Scrub(errors.New(text)).Error()
	failed := &connectors.Error{Verdict: r.verdict, Uncertain: r.uncertain, After: r.after, Err: &refusedError{method + ": " + text, r.code == "tryton.database" || r.verdict == connectors.Conflict || r.verdict == connectors.Throttled}}
	if r.verdict == connectors.Validation || r.verdict == connectors.Permanent {
		failed.Issues = []pim.Issue{{Code: r.code, Severity: pim.SeverityError, Attribute: attributeOf(e.text), Text: text}}
	}
	return failed
}

// refusedError is what Tryton itself said no to, unlike what did not reach it.
type refusedError struct {
	text  string
	other bool // it is about the database or other transactions, and no record
}

func (e *refusedError) Error() string { return e.text }

func attributeOf(text string) string {
	for _, f := range fields {
		if strings.Contains(text, f.text) {
			return f.attribute
		}
	}
	return ""
}

// checkStatus is httpx.Check with Tryton's own meanings.
func checkStatus(resp *httpx.Response) error {
	err := httpx.Check(resp)
	if err == nil {
		return nil
	}
	if s, ok := statuses[resp.Status]; ok {
		return &connectors.Error{Verdict: s.verdict, Err: fmt.Errorf("%w: %s", plain(err), s.note)}
	}
	if resp.Status >= 300 && resp.Status < 400 {
		return &connectors.Error{Verdict: connectors.Unavailable, Err: plain(err)}
	}
	e := *connectors.AsError(err)
	if e.Verdict == connectors.Validation { // what stands before Tryton dislikes the call's content
		e.Issues = []pim.Issue{{Code: "http." + strconv.Itoa(resp.Status), Severity: pim.SeverityError, Text: plain(err).Error()}}
	}
	return &e
}

// plain is the text of an error of ours, without its verdict.
func plain(err error) error { return connectors.AsError(err).Err }

// ofRead is the error of a call that changes nothing: it leaves no doubt, and
// parks no item, since it is about none.
func ofRead(err error) error {
	if err == nil {
		return nil
	}
	e := *connectors.AsError(err)
	e.Uncertain = false
	switch e.Verdict {
	case connectors.Validation, connectors.Permanent, connectors.Conflict:
		e.Verdict, e.After, e.Issues = connectors.Unavailable, 0, nil
	}
	return &e
}
