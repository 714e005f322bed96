package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// TextRuleView is a rule as the API shows it.
type TextRuleView struct {
	postgres.TextRule
	Revision  int64     `json:"revision" doc:"What the ETag names"`
	UpdatedAt time.Time `json:"updated_at"`
	// Of a PUT alone.
	Warnings []pim.Problem `json:"warnings,omitempty" doc:"Of a PUT: pairs of languages that no provider of the rule has, as they say, and providers that could not be asked"`
}

type textRuleAnswer struct {
	Status int
	ETag   string `header:"ETag" doc:"The rule's revision"`
	Body   TextRuleView
}

func (s *server) registerTextRules() {
	handle(s, op("list-text-rules", http.MethodGet, "/v1/text-rules", tagTexts, "List the rules by which texts are translated and written, by code",
		says("Of several rules that cover one text the first of this list counts.")), s.listTextRules)
	handle(s, op("get-text-rule", http.MethodGet, "/v1/text-rules/{code}", tagTexts, "Get a rule for texts"), s.getTextRule)
	handle(s, op("put-text-rule", http.MethodPut, "/v1/text-rules/{code}", tagTexts, "Say what machines translate or write", creates,
		says("All products of its families are looked at at once, and what is missing is made. The same again changes nothing. Providers are asked whether they have the rule's pairs of languages; what they have not is told in warnings."),
		takesLong, means(meantTextRule),
		takesJSON[postgres.TextRule](s, "code")), s.putTextRule)
	deletes(s, op("delete-text-rule", http.MethodDelete, "/v1/text-rules/{code}", tagTexts, "Delete a rule for texts; the texts stay"),
		func(ctx context.Context, code string, rev int64) error {
			err := s.Store.DeleteTextRule(ctx, code, rev)
			if err == nil {
				s.wakeTexts()
			}
			return err
		})
}

// meantTextRule is a body of PUT with the review that it leaves out.
func meantTextRule(_, body map[string]any) (map[string]any, error) {
	whole := maps.Clone(body)
	if action, _ := body["action"].(string); body["review"] == nil {
		whole["review"] = jobs.UsualReview(postgres.TextAction(action))
	}
	return whole, nil
}

// ViewTextRule is a rule as the API shows it.
func ViewTextRule(r postgres.TextRule) TextRuleView {
	return TextRuleView{TextRule: r, Revision: r.Rev, UpdatedAt: r.UpdatedAt}
}

func (s *server) listTextRules(ctx context.Context, _ *struct{}) (*answer[page[TextRuleView]], error) {
	list, err := s.Store.TextRules(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]TextRuleView, len(list))
	for i, r := range list {
		items[i] = ViewTextRule(r)
	}
	return pageOf(items, ""), nil
}

func (s *server) getTextRule(ctx context.Context, in *CodePath) (*textRuleAnswer, error) {
	r, err := s.Store.TextRule(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	return &textRuleAnswer{http.StatusOK, etag(r.Rev), ViewTextRule(r)}, nil
}

// ReadTextRule reads a rule from JSON; code is told elsewhere. The error is a
// *pim.Invalid.
func ReadTextRule(body []byte, code string) (postgres.TextRule, error) {
	return decode[postgres.TextRule](body, map[string]string{"code": code})
}

func (s *server) putTextRule(ctx context.Context, in *putCode) (*textRuleAnswer, error) {
	t, err := s.texts()
	if err != nil {
		return nil, err
	}
	want, p := parseIfMatch(in.IfMatch)
	if p != nil {
		return nil, p
	}
	rule, err := ReadTextRule(in.RawBody, in.Code)
	if err != nil {
		return nil, err
	}
	for race := 0; ; race++ {
		var rev int64
		if want.given {
			old, err := s.Store.TextRule(ctx, in.Code)
			if errors.Is(err, postgres.ErrNotFound) {
				return nil, problem(http.StatusPreconditionFailed, "stale", "there is no such rule")
			}
			if err != nil {
				return nil, err
			}
			if rev = old.Rev; !want.any && !slices.Contains(want.revisions, rev) {
				return nil, stale(rev)
			}
		}
		now, fresh, err := t.PutRule(ctx, rule, rev)
		if errors.Is(err, postgres.ErrStale) && race < maxRaces {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.wakeTexts()
		v := ViewTextRule(now)
		if v.Warnings, err = t.RuleWarnings(ctx, now); err != nil {
			return nil, err
		}
		return &textRuleAnswer{created(!fresh), etag(now.Rev), v}, nil
	}
}
