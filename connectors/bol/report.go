package bol

import (
	"cmp"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

// uploadReport says what became of each part of one language's content.
type uploadReport struct {
	Status     string `json:"status"` // IN_PROGRESS, COMPLETED
	Attributes []struct {
		ID string `json:"id"`
		fate
	} `json:"attributes"`
	Assets []struct {
		URL string `json:"url"`
		fate
	} `json:"assets"`
}

// fate is an attribute's or a picture's.
type fate struct {
	Status      string `json:"status"` // IN_PROGRESS, DECLINED, PUBLISHED
	SubStatus   string `json:"subStatus"`
	Description string `json:"subStatusDescription"`
}

// unchanged are the sub-statuses of what bol declined because it holds it
// already: there is nothing to tell.
var unchanged = map[string]bool{
	"IDENTICAL_VALUE_AS_BEFORE": true, "NOT_CHANGED": true, "LABEL_UPDATED": true,
}

// refusals begin the sub-statuses of what is wrong with the value itself. The
// others say that bol shows what somebody else supplied.
var refusals = []string{"VALIDATION_FAILED", "REJECTED_NO_DATA", "REJECTED_UNPROCESSABLE", "MATCH_TO_PRODUCT_FAILED"}

// view gathers the reports of a ticket's languages.
type view struct {
	own   string
	shown func(string) string

	issues                             []pim.Issue
	failed, missing, working, declined bool
	published, refused, taken          int
}

// nothing reports whether bol took nothing of the product in any language: its
// processes failed, or it declined the EAN, or each attribute for what it is.
func (v *view) nothing() bool { return (v.failed || v.refused > 0) && v.taken == 0 }

func (v *view) add(i pim.Issue) {
	if len(v.issues) < maxIssues {
		v.issues = append(v.issues, i)
	}
}

// read adds one language's report. bol takes content attribute by attribute, so
// a declined one is a warning while anything else was taken.
func (v *view) read(language string, r *uploadReport) {
	v.working = v.working || r.Status == "IN_PROGRESS"
	published, taken, unknown := v.published, v.taken, false
	defer func() {
		if unknown { // of a product that bol does not know, it takes nothing
			v.failed, v.published, v.taken = true, published, taken
		}
	}()
	for _, a := range r.Attributes {
		own := strings.EqualFold(a.ID, "EAN")
		switch {
		case a.Status == "DECLINED" && !unchanged[a.SubStatus]:
			unknown = unknown || own
			if bad := v.decline(mainField(v.shown(a.ID), language, v.own), a.fate); bad && !own {
				v.refused++
			} else if !own {
				v.taken++
			}
		case own:
		case a.Status == "PUBLISHED":
			v.published++
			v.taken++
		default:
			v.taken++
		}
	}
	for _, a := range r.Assets {
		switch {
		case a.Status == "DECLINED" && !unchanged[a.SubStatus]:
			v.decline("images", a.fate)
		case a.Status == "PUBLISHED":
			v.published++
			v.taken++
		default:
			v.taken++
		}
	}
}

// decline notes a declined part, and says whether its value is what is wrong.
func (v *view) decline(field string, f fate) (bad bool) {
	v.declined = true
	for _, prefix := range refusals {
		bad = bad || strings.HasPrefix(f.SubStatus, prefix)
	}
	v.add(pim.Issue{
		Code: v.shown(cmp.Or(f.SubStatus, "bol.declined")), Severity: pim.SeverityWarning, Attribute: field,
		Text: v.shown(cmp.Or(f.Description, f.SubStatus, "bol declined it and gives no reason")),
	})
	return bad
}

// reason is the first of the issues of content of which nothing was taken; its
// warnings become errors.
func (v *view) reason() string {
	for i := range v.issues {
		v.issues[i].Severity = pim.SeverityError
	}
	if len(v.issues) > 0 {
		return v.issues[0].Text
	}
	return "bol refuses the content"
}
