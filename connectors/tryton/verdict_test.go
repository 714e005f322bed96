package tryton_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/tryton/trytontest"
)

// What Tryton answers, and what becomes of it. The bodies are those that a real
// Tryton 6.0.29 was seen to answer; warnings and database errors are of its form.
func TestVerdicts(t *testing.T) {
	const (
		create = "model.product.template.create"
		lookUp = "model.product.product.search_read"
	)
	for _, c := range []struct {
		method, body string
		status       int // instead of the body
		verdict      connectors.Verdict
		uncertain    bool
		after        time.Duration
		issue, text  string // "code attribute", and part of the error's text
	}{
		{method: create, body: `["UserError",["A value is required for field \"Default UOM\" in \"Product Template\".","",null]]`, verdict: connectors.Validation, issue: "tryton.user_error unit", text: "Default UOM"},
		{method: create, body: `["UserError",["Code of active product must be unique.","",null]]`, verdict: connectors.Validation, issue: "tryton.user_error sku", text: "unique"},
		{method: create, body: `["UserError",["The International Article Number \"12\" for product \"NP\" is not valid.","",null]]`, verdict: connectors.Validation, issue: "tryton.user_error gtin", text: "is not valid"},
		{method: create, body: `["UserError",["Der Wert ist falsch.","Bitte prüfen",null]]`, verdict: connectors.Validation, issue: "tryton.user_error ", text: "Der Wert ist falsch. Bitte prüfen"},
		{method: create, body: `["UserWarning",["x.done","Stock moves \"5u\" have no origin.",""]]`, verdict: connectors.Validation, issue: "tryton.warning ", text: "have no origin"},
		{method: create, body: `["ConcurrencyException","Records were modified in the meanwhile"]`, verdict: connectors.Conflict, after: 2 * time.Second, text: "in the meanwhile"},
		{method: create, body: `["could not serialize access due to concurrent update\n",""]`, verdict: connectors.Conflict, after: 2 * time.Second, text: "serialize"},
		{method: create, body: `["deadlock detected\nDETAIL: x","trace"]`, verdict: connectors.Conflict, after: 2 * time.Second, text: "deadlock"},
		{method: create, body: `["server closed the connection unexpectedly\n\tThis probably means",""]`, verdict: connectors.Unavailable, uncertain: true, text: "server closed"},
		{method: create, body: `["connection already closed",""]`, verdict: connectors.Unavailable, uncertain: true, text: "already closed"},
		{method: create, body: `["could not connect to server: Connection refused\n\tIs the server running",""]`, verdict: connectors.Unavailable, text: "could not connect"},
		{method: create, body: `["connection to server at \"10.0.0.5\", port 5432 failed: FATAL:  the database system is starting up\n",""]`, verdict: connectors.Unavailable, text: "starting up"},
		{method: create, body: `["SSL connection has been closed unexpectedly\n",""]`, verdict: connectors.Unavailable, uncertain: true, text: "closed unexpectedly"},
		{method: lookUp, body: `["connection already closed",""]`, verdict: connectors.Unavailable, text: "already closed"},
		{method: create, body: `["[<class 'decimal.ConversionSyntax'>]","Traceback of ours"]`, verdict: connectors.Permanent, issue: "tryton.exception ", text: "ConversionSyntax"},
		{method: create, body: `[]`, verdict: connectors.Permanent, issue: "tryton.exception ", text: "without a text"},
		{method: create, body: `"odd"`, verdict: connectors.Permanent, issue: "tryton.exception ", text: "without a text"},
		{method: create, status: 500, verdict: connectors.Unavailable, uncertain: true, text: "500"},
		{method: create, status: 502, verdict: connectors.Unavailable, uncertain: true, text: "502"},
		{method: create, status: 400, verdict: connectors.Validation, issue: "http.400 ", text: "400"},
		{method: create, status: 403, verdict: connectors.Auth, text: "does not offer this method"},
		{method: create, status: 404, verdict: connectors.Unavailable, text: "no such database"},
		{method: create, status: 405, verdict: connectors.Unavailable, text: "no Tryton"},
		{method: create, status: 302, verdict: connectors.Unavailable, text: "302"},
		{method: create, status: 413, verdict: connectors.Permanent, text: "413"},

		// The same where nothing is written is about no item, and leaves no doubt.
		{method: lookUp, body: `["UserError",["You are not allowed to access \"Product Variant\".","",null]]`, verdict: connectors.Auth, text: "not allowed"},
		{method: lookUp, body: `["'product.product'",""]`, verdict: connectors.Unavailable, text: "'product.product'"},
		{method: lookUp, body: `["could not serialize access",""]`, verdict: connectors.Unavailable, text: "serialize"},
		{method: lookUp, status: 500, verdict: connectors.Unavailable, text: "500"},
		{method: lookUp, status: 400, verdict: connectors.Unavailable, text: "400"},
		{method: "common.db.login", body: `["LoginException",["password","Password for sluice","password"]]`, verdict: connectors.Auth, text: "Password for"},
		{method: "common.db.login", status: 429, verdict: connectors.Throttled, text: "429"},
		{method: "common.db.login", status: 503, verdict: connectors.Unavailable, text: "503"},
	} {
		t.Run(fmt.Sprint(c.method, " ", c.body, c.status), func(t *testing.T) {
			fake, conn := start(t, trytontest.Options{Echo: "password " + password}, nil)
			fault := trytontest.Fault{Kind: trytontest.Answer, Method: c.method, Body: c.body}
			if c.status != 0 {
				fault.Kind, fault.Status = trytontest.Fail, c.status
			}
			if c.status == http.StatusTooManyRequests {
				fault.Kind = trytontest.Throttle
			}
			fake.Script(fault)
			e := refusedItem(t, conn, content("A", `{"language":"en","name":"A"}`))
			if e.Verdict != c.verdict || e.Uncertain != c.uncertain || e.After != c.after || !strings.Contains(e.Error(), c.text) {
				t.Errorf("%s, uncertain %v, after %s: %v", e.Verdict, e.Uncertain, e.After, e)
			}
			issue := ""
			for _, i := range e.Issues {
				issue = i.Code + " " + i.Attribute
			}
			if issue != c.issue || len(e.Issues) > 1 {
				t.Errorf("issues %+v, want %q", e.Issues, c.issue)
			}
			if said := fmt.Sprintf("%v %+v", e, e.Issues); strings.Contains(said, password) || strings.Contains(said, "Traceback") {
				t.Errorf("a secret or a traceback was told: %s", said)
			}
		})
	}
}
