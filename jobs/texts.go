package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// TextsConfig is what Texts is made of.
type TextsConfig struct {
	Store        *postgres.Store
	Registry     *translation.Registry
	Keys         *seal.Keyset
	Log          *slog.Logger
	AllowPrivate bool // what providers get that are created here, or whose config is changed here
	Version      string
}

// Texts keeps translation and text services, the rules by which they work, and
// what they made. It is safe for concurrent use.
type Texts struct {
	store    *postgres.Store
	registry *translation.Registry
	keys     *seal.Keyset
	log      *slog.Logger
	private  bool
	version  string

	mu   sync.Mutex
	open map[string]*service
	// refused are segments that providers gave no good answer to, failed the texts
	// that came to nothing, and when.
	refused *lru.Cache[refusal, refusedAt]
	failed  *lru.Cache[int64, time.Time]

	afterAnswer func(context.Context) // tests stand between a service's answer and the edit
}

// NewTexts makes Texts.
func NewTexts(c TextsConfig) *Texts {
	refused, err := lru.New[refusal, refusedAt](refusals)
	if err != nil {
		panic(err) // the size is a constant above zero
	}
	failed, err := lru.New[int64, time.Time](failures)
	if err != nil {
		panic(err)
	}
	return &Texts{
		store: c.Store, registry: c.Registry, keys: c.Keys, log: c.Log, private: c.AllowPrivate, version: c.Version, open: map[string]*service{}, refused: refused, failed: failed,
	}
}

// Registry is the kinds of providers that there are.
func (t *Texts) Registry() *translation.Registry { return t.registry }

// Bounds of a rule.
const (
	maxTemplate  = 8000         // characters
	maxRuleNames = 1000         // families, attributes, locales, providers
	maxHold      = 30 * 24 * 60 // minutes
)

// PutRule checks a rule and makes or replaces it; the same again changes
// nothing. ifMatch, when not 0, is the revision that it must have
// (postgres.ErrStale). The error is a *pim.Invalid of all that is wrong with it.
func (t *Texts) PutRule(ctx context.Context, r postgres.TextRule, ifMatch int64) (_ postgres.TextRule, created bool, err error) {
	book, err := t.bookOf(ctx, nil) // of a batch, each row would read all rules
	if err != nil {
		return r, false, err
	}
	if r.Review == "" {
		r.Review = UsualReview(r.Action)
	}
	if problems := t.checkRule(book, &r); len(problems) > 0 {
		return r, false, &pim.Invalid{Problems: problems}
	}
	return t.store.PutTextRule(ctx, r, ifMatch)
}

// UsualReview is the review of a rule that says none.
func UsualReview(action postgres.TextAction) string {
	if action == postgres.TextGenerate {
		return postgres.ReviewProposal
	}
	return postgres.ReviewAuto
}

func (t *Texts) checkRule(b *ruleBook, r *postgres.TextRule) (problems []pim.Problem) {
	add := func(pointer, code, format string, args ...any) {
		problems = append(problems, pim.Problem{Pointer: pointer, Code: code, Detail: fmt.Sprintf(format, args...)})
	}
	if err := pim.ValidCode("rule", r.Code); err != nil {
		add("/code", "code", "%v", err)
	}
	generate := r.Action == postgres.TextGenerate
	if !generate && r.Action != postgres.TextTranslate {
		add("/action", "action", "is one of translate, generate")
	}
	if r.Review != postgres.ReviewAuto && r.Review != postgres.ReviewProposal {
		add("/review", "review", "is one of proposal, auto")
	}
	each := func(at string, list []string, check func(i int, s string)) {
		if len(list) > maxRuleNames {
			add(at, "list.long", "has at most %d entries", maxRuleNames)
			return
		}
		for i, s := range list {
			if slices.Contains(list[:i], s) {
				add(fmt.Sprintf("%s/%d", at, i), "code.twice", "%q is named twice", s)
				continue
			}
			check(i, s)
		}
	}
	each("/families", r.Families, func(i int, s string) {
		if b.schema.Families[s] == nil {
			add(fmt.Sprintf("/families/%d", i), "family.unknown", "there is no family %q", s)
		}
	})
	each("/attributes", r.Attributes, func(i int, s string) {
		at := fmt.Sprintf("/attributes/%d", i)
		switch a := b.schema.Attributes[s]; {
		case a == nil:
			add(at, "attribute.unknown", "there is no attribute %q", s)
		case !isText(a):
			add(at, "attribute.type", "%q is no localizable text", s)
		case generate && a.Scopable && r.Channel == "":
			add("/channel", "channel.missing", "attribute %q is scopable: say for which channel it is written", s)
		}
	})
	for at, list := range map[string][]string{"/protect": r.Protect, "/facts": r.Facts} {
		each(at, list, func(i int, s string) {
			if b.schema.Attributes[s] == nil {
				add(fmt.Sprintf("%s/%d", at, i), "attribute.unknown", "there is no attribute %q", s)
			}
		})
	}
	if r.Channel != "" && !b.schema.Channels[r.Channel] {
		add("/channel", "channel.unknown", "there is no channel %q", r.Channel)
	}
	if r.From != "" && !b.schema.Locales[r.From] {
		add("/from", "locale.unknown", "there is no locale %q", r.From)
	} else if r.From == "" && !generate {
		add("/from", "from.missing", "say from which locale")
	}
	to := make([]string, len(r.To))
	for i, l := range r.To {
		to[i] = string(l)
	}
	if len(to) == 0 {
		add("/to", "to.missing", "say into which locales")
	}
	each("/to", to, func(i int, s string) {
		at := fmt.Sprintf("/to/%d", i)
		if !b.schema.Locales[pim.Locale(s)] {
			add(at, "locale.unknown", "there is no locale %q", s)
		} else if !generate && pim.Locale(s) == r.From {
			add(at, "to.same", "is the locale that it is translated from")
		}
	})
	each("/providers", r.Providers, func(i int, s string) {
		at := fmt.Sprintf("/providers/%d", i)
		n := slices.IndexFunc(b.providers, func(p *postgres.Provider) bool { return p.Code == s })
		if n < 0 {
			add(at, "provider.unknown", "there is no provider %q", s)
			return
		}
		if kind, err := t.registry.Kind(b.providers[n].Kind); generate && (err != nil || !slices.Contains(kind.Powers(), translation.CanWrite)) {
			add(at, "provider.power", "provider %q cannot write texts", s)
		}
	})
	if m := r.HoldMinutes; m != nil && (*m < 0 || *m > maxHold) {
		add("/hold_minutes", "hold_minutes", "is between 0 and %d", maxHold)
	}
	if r.MaxLength < 0 {
		add("/max_length", "max_length", "is not below 0")
	}
	if generate {
		if len(r.Attributes) == 0 {
			add("/attributes", "attributes.missing", "say which texts are written")
		}
		if strings.TrimSpace(r.Template) == "" {
			add("/template", "template.missing", "say what is to be written")
		} else if utf8.RuneCountInString(r.Template) > maxTemplate {
			add("/template", "template.long", "has at most %d characters", maxTemplate)
		}
	} else if r.Template != "" {
		add("/template", "template.extra", "has no meaning for a translation")
	} else if len(r.Facts) > 0 {
		add("/facts", "facts.extra", "has no meaning for a translation")
	}
	return problems
}

// Retry has machines work once more on the texts of f that failed, at most
// 10,000 at a time, and says how many these are.
func (t *Texts) Retry(ctx context.Context, f postgres.TextFilter) (n int, err error) {
	f.Failed = true
	for page := (postgres.Page{Limit: 1000}); n < 10_000; {
		list, next, err := t.store.Texts(ctx, f, page)
		if err != nil {
			return n, err
		}
		ids := make([]int64, len(list))
		for i, x := range list {
			ids[i] = x.ID
		}
		if len(ids) > 0 {
			asked, err := t.store.AskTexts(ctx, ids)
			if err != nil {
				return n, err
			}
			n += asked
		}
		if next == "" {
			break
		}
		page.After = next
	}
	return n, nil
}

// originMemory stands among a text's origins for what was translated before.
const originMemory = "memory"
