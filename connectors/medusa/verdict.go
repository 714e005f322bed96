package medusa

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
)

// refusal is an answer that is not 2xx, with what Medusa said.
type refusal struct {
	cause         *connectors.Error
	status        int
	kind, message string // type and message of the body; "" where it is none of Medusa's
}

// Error says the verdict and its cause.
func (r *refusal) Error() string { return r.cause.Error() }

// Unwrap gives the classified error.
func (r *refusal) Unwrap() error { return r.cause }

// verdicts is the one table of Medusa's answers: the first row whose status and
// type hold. A type of "" is any, "-" a body that is none of Medusa's. What no
// row has is as httpx.Check says. Source: Medusa's error handler
// (framework/http/middlewares/error-handler, 2.21.2), and what was seen of it.
var verdicts = []struct {
	status    int
	kind      string
	verdict   connectors.Verdict
	uncertain bool
	note      string // for people, before Medusa's own words
}{
	{http.StatusBadRequest, "", connectors.Validation, false, ""},                    // invalid_data, not_allowed
	{http.StatusUnprocessableEntity, "", connectors.Validation, false, ""},           // duplicate_error
	{http.StatusUnauthorized, "", connectors.Auth, false, ""},                        // the key is wrong or revoked
	{http.StatusForbidden, "", connectors.Auth, false, ""},                           // the key lacks a right
	{http.StatusNotFound, "-", connectors.Unavailable, false, "this is no Medusa: "}, // a wrong address, or one that is being deployed
	{http.StatusNotFound, "", connectors.Conflict, false, ""},                        // an id that went stale: look up anew
	{http.StatusConflict, "", connectors.Conflict, false, ""},                        // another request was quicker
	{http.StatusRequestEntityTooLarge, "", connectors.Permanent, false, ""},
	{http.StatusRequestHeaderFieldsTooLarge, "", connectors.Permanent, false, ""},
	{http.StatusTooManyRequests, "", connectors.Throttled, false, ""}, // Medusa has no limits; what stands before it may
	{http.StatusInternalServerError, "", connectors.Unavailable, true, ""},
	{http.StatusMovedPermanently, "", connectors.Unavailable, false, ""},
	{http.StatusFound, "", connectors.Unavailable, false, ""},
	{http.StatusTemporaryRedirect, "", connectors.Unavailable, false, ""},
	{http.StatusPermanentRedirect, "", connectors.Unavailable, false, ""},
	{http.StatusMethodNotAllowed, "", connectors.Unavailable, false, ""},
	{http.StatusGone, "", connectors.Unavailable, false, ""},
}

// complaints are the words that Medusa has for what is wrong, and the issue that
// they become. An attribute of "$1" is the pattern's own. Where a verdict stands,
// it counts instead of the status's: Medusa says invalid_data, too, when what was
// looked up a moment ago has changed meanwhile.
var complaints = []struct {
	pattern         *regexp.Regexp
	code, attribute string
	verdict         connectors.Verdict
}{
	{regexp.MustCompile(`^Product with handle: .*, already exists`), "medusa.handle_taken", "handle", ""},
	{regexp.MustCompile(`^Product variant with sku: .*, already exists`), "medusa.sku_taken", "sku", connectors.Conflict},
	{regexp.MustCompile(`^Product variant with (ean|upc|barcode): .*, already exists`), "medusa.code_taken", "$1", ""},
	{regexp.MustCompile(`^Inventory item with sku: .*, already exists`), "medusa.inventory_taken", "sku", connectors.Conflict},
	{regexp.MustCompile(`^Inventory level with .*, already exists`), "medusa.stock", "stock", connectors.Conflict},
	{regexp.MustCompile(`^Cannot update non-existing variants`), "medusa.gone", "", connectors.Conflict},
	{regexp.MustCompile(`^Product has 0 option values`), "medusa.gone", "", connectors.Conflict},
	{regexp.MustCompile(`^Some product options (?:were not found|are not linked)`), "medusa.gone", "", connectors.Conflict},
	{regexp.MustCompile(`^Invalid product handle`), "medusa.handle", "handle", ""},
	{regexp.MustCompile(`^Product title is required`), "medusa.title", "title", ""},
	{regexp.MustCompile(`^Option value .* does not exist for option`), "medusa.options", "options", ""},
	{regexp.MustCompile(`^Product has \d+ option values but there were \d+`), "medusa.options", "options", ""},
	{regexp.MustCompile(`^Product ".*" has variants with missing options`), "medusa.options", "options", ""},
	{regexp.MustCompile(`^Cannot unassign (?:product option|option values)`), "medusa.options", "options", ""},
	{regexp.MustCompile(`^Product option with title: .*, already exists`), "medusa.options", "options", ""},
	{regexp.MustCompile(`^Variant .* with provided options already exists`), "medusa.options_taken", "options", ""},
	{regexp.MustCompile(`^Variant .* has same combination of option values`), "medusa.options_taken", "options", ""},
	{regexp.MustCompile(`^Invalid request: [^']*'(?:[^']*, )?([a-z_]+)(?:, \d+)*'`), "medusa.field", "$1", ""},
}

// classify turns an answer that is not 2xx into an error; e is httpx.Check's.
func (p *push) classify(resp *httpx.Response, e *connectors.Error) error {
	r := &refusal{cause: e, status: resp.Status}
	var said struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	if json.Unmarshal(resp.Body, &said) == nil && said.Message != "" {
		r.kind, r.message = said.Type, said.Message
		if r.kind == "" {
			r.kind = "unauthorized" // the one answer without a type
		}
	}
	for _, row := range verdicts {
		if row.status != r.status || row.kind == "-" && r.kind != "" || row.kind != "-" && row.kind != "" && row.kind != r.kind {
			continue
		}
		e.Verdict, e.Uncertain = row.verdict, row.uncertain
		if row.note != "" {
			e.Err = &noted{row.note, e.Err}
		}
		break
	}
	if e.Verdict == connectors.Validation || e.Verdict == connectors.Permanent {
		p.complain(r)
	}
	return r
}

// noted puts words of ours before an error's.
type noted struct {
	note string
	err  error
}

func (n *noted) Error() string { return n.note + n.err.Error() }

func (n *noted) Unwrap() error { return n.err }

// complain fills in the issue that an item's owner sees.
func (p *push) complain(r *refusal) {
	i := pim.Issue{Code: "medusa.refused", Severity: pim.SeverityError, Text: p.text(r.message)}
	switch {
	case r.status == http.StatusRequestEntityTooLarge:
		i.Code = "medusa.too_large"
	case r.kind != "":
		i.Code = "medusa." + p.text(r.kind)
	}
	if i.Text == "" {
		i.Text = "Medusa refuses it, and says nothing more (" + http.StatusText(r.status) + ")."
	}
	for _, c := range complaints {
		m := c.pattern.FindStringSubmatch(r.message)
		if m == nil {
			continue
		}
		i.Code, i.Attribute = c.code, c.attribute
		if c.attribute == "$1" {
			i.Attribute = p.text(m[1])
		}
		if c.verdict != "" {
			r.cause.Verdict = c.verdict
		}
		break
	}
	r.cause.Issues = []pim.Issue{i}
}

// text makes Medusa's words fit to be shown: no secret of ours, one line, at
// most 600 bytes.
func (p *push) text(s string) string {
	if s == "" {
		return ""
	}
	return strings.TrimSpace(p.client.Scrub(errText(s)).Error())
}

// errText is a text that is an error, for the scrubber.
type errText string

func (e errText) Error() string { return string(e) }
