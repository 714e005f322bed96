package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// TextAction is what a rule has machines do.
type TextAction string

// The actions.
const (
	TextTranslate TextAction = "translate"
	TextGenerate  TextAction = "generate"
)

// The reviews of a rule: what becomes of a machine's text.
const (
	ReviewAuto     = "auto"     // it is the product's text at once
	ReviewProposal = "proposal" // it waits for a person
)

// TextRule says which texts machines translate or write. Of several rules that
// cover one text the first by their codes counts.
type TextRule struct {
	Code      string    `json:"code"`
	Rev       int64     `json:"-"` // the ETag
	UpdatedAt time.Time `json:"-"`

	Action      TextAction      `json:"action" enum:"translate,generate"`
	Families    []string        `json:"families,omitempty" doc:"Of which products; left out: all"`
	Channel     pim.ChannelCode `json:"channel,omitempty" doc:"Of scopable attributes the channel whose texts are meant; left out: every channel that has a source"`
	Attributes  []string        `json:"attributes,omitempty" doc:"Localizable attributes of type text or rich_text; left out: all of the family (translate only)"`
	From        pim.Locale      `json:"from,omitempty" doc:"Locale of the source; of a text that is written, the locale of the facts"`
	To          []pim.Locale    `json:"to" minItems:"1"`
	Providers   []string        `json:"providers,omitempty" doc:"Codes of the providers that may be asked, in that order; left out: all, by their priority"`
	Review      string          `json:"review,omitempty" enum:"proposal,auto" doc:"auto: the text is the product's at once (usual for translate); proposal: it waits for a person (usual for generate)"`
	Protect     []string        `json:"protect,omitempty" doc:"Attributes whose values are names that no translator may touch; brand is always among them"`
	Facts       []string        `json:"facts,omitempty" doc:"Of texts that are written: the attributes that may be told of; left out: all that no rule writes"`
	Template    string          `json:"template,omitempty" doc:"Of texts that are written: what is wanted, in which tone. {attribute}, {locale}, {family}, {channel}, {name} and {max} are filled in"`
	HoldMinutes *int            `json:"hold_minutes,omitempty" minimum:"0" maximum:"43200" doc:"How long a product that a channel has not got yet is kept back for this text; 0: not at all. Left out: 240, and 0 where review is proposal"`
	MaxLength   int             `json:"max_length,omitempty" minimum:"0" doc:"Characters at most, below what the attribute allows"`
}

// holdUsual is how long a new product waits for a text that a machine gives it.
const holdUsual = 4 * time.Hour

// Hold is how long a product that a channel has not got yet is kept back for a
// text of the rule.
func (r *TextRule) Hold() time.Duration {
	switch {
	case r.HoldMinutes != nil:
		return time.Duration(*r.HoldMinutes) * time.Minute
	case r.Review == ReviewProposal:
		return 0
	}
	return holdUsual
}

func scanRule(r pgx.CollectableRow) (rule TextRule, err error) {
	var (
		code, rev  = "", int64(0)
		at         time.Time
		definition []byte
	)
	if err := r.Scan(&code, &rev, &at, &definition); err != nil {
		return rule, err
	}
	err = json.Unmarshal(definition, &rule)
	rule.Code, rule.Rev, rule.UpdatedAt = code, rev, at
	return rule, err
}

const (
	sqlTextRules = `select code, rev, updated_at, definition from text_rule order by code`
	sqlTextRule  = `select code, rev, updated_at, definition from text_rule where code = @code`
)

// TextRules lists all rules, by their codes.
func (s *Store) TextRules(ctx context.Context) ([]TextRule, error) {
	rows, err := s.work.Query(ctx, sqlTextRules)
	if err != nil {
		return nil, fmt.Errorf("list text rules: %w", err)
	}
	return pgx.CollectRows(rows, scanRule)
}

// TextRule reads one rule; ErrNotFound.
func (s *Store) TextRule(ctx context.Context, code string) (TextRule, error) {
	rule, err := one(ctx, s.pool, sqlTextRule, pgx.NamedArgs{"code": storable(code)}, scanRule)
	if err != nil {
		return rule, fmt.Errorf("text rule %s: %w", code, err)
	}
	return rule, nil
}

const (
	sqlPutTextRule = `
insert into text_rule as r (code, definition) values (@code, @definition)
on conflict (code) do update set definition = excluded.definition, rev = r.rev + 1, updated_at = now()
where r.definition is distinct from excluded.definition`
	sqlTextRuleRev    = `select rev from text_rule where code = @code for update`
	sqlDeleteTextRule = `delete from text_rule where code = @code returning definition`
)

// PutTextRule makes or replaces a rule that the caller has checked, and looks at
// all products of its families, before and after. The same again changes
// nothing. ifMatch, when not 0, is the revision that it must have (ErrStale).
func (s *Store) PutTextRule(ctx context.Context, rule TextRule, ifMatch int64) (_ TextRule, created bool, err error) {
	err = inTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := s.ruleLocales(ctx, tx, rule); err != nil {
			return err
		}
		var rev int64
		err := tx.QueryRow(ctx, sqlTextRuleRev, pgx.NamedArgs{"code": rule.Code}).Scan(&rev)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if ifMatch != 0 && rev != ifMatch {
			return ErrStale
		}
		families := rule.Families
		if created = rev == 0; !created {
			old, err := ruleIn(ctx, tx, rule.Code)
			if err != nil {
				return err
			}
			families = joined(families, old.Families)
		}
		tag, err := tx.Exec(ctx, sqlPutTextRule, pgx.NamedArgs{"code": rule.Code, "definition": mustJSON(rule)})
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		if err := derives(ctx, tx, pim.Content); err != nil {
			return err
		}
		return backfill(ctx, tx, families)
	})
	if err != nil {
		return rule, false, fmt.Errorf("store text rule %s: %w", rule.Code, err)
	}
	rule, err = s.TextRule(ctx, rule.Code)
	return rule, created, err
}

func ruleIn(ctx context.Context, tx pgx.Tx, code string) (TextRule, error) {
	rows, err := tx.Query(ctx, sqlTextRule, pgx.NamedArgs{"code": code})
	if err != nil {
		return TextRule{}, err
	}
	return pgx.CollectExactlyOneRow(rows, scanRule)
}

// joined are the families of two rules; none is all.
func joined(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	return append(append([]string{}, a...), b...)
}

// DeleteTextRule removes a rule; ErrNotFound. Texts stay as they are; what
// waited by this rule goes with the next look at its products.
func (s *Store) DeleteTextRule(ctx context.Context, code string, ifMatch int64) error {
	err := inTx(ctx, s.pool, func(tx pgx.Tx) error {
		old, err := ruleIn(ctx, tx, storable(code))
		if errors.Is(err, pgx.ErrNoRows) {
			err = ErrNotFound
		}
		if err := leaves(err, old.Rev, ifMatch); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlDeleteTextRule, pgx.NamedArgs{"code": old.Code}); err != nil {
			return err
		}
		return backfill(ctx, tx, old.Families)
	})
	if err != nil {
		return fmt.Errorf("delete text rule %s: %w", code, err)
	}
	return nil
}

// covers reports that the rule is for a text of a family's products.
func (r *TextRule) covers(family, attribute string) bool {
	return (len(r.Families) == 0 || slices.Contains(r.Families, family)) && (len(r.Attributes) == 0 || slices.Contains(r.Attributes, attribute))
}

// textsOfChange looks again at the products of the families that a change of the
// schema gives, or takes, a text of a rule: no edit of theirs would tell.
func textsOfChange(ctx context.Context, tx pgx.Tx, before, now *pim.Schema, families []pim.Family) error {
	changed := map[string][]string{} // family → texts that it has got or lost
	for i := range families {
		f := &families[i]
		if before.Families[f.Code] == nil {
			continue // it has no products
		}
		had, has := members(before.Families[f.Code]), members(f)
		differ := func(some, others map[string]bool) {
			for code := range some {
				if a := now.Attributes[code]; !others[code] && a != nil && isText(a) {
					changed[f.Code] = append(changed[f.Code], code)
				}
			}
		}
		differ(had, has)
		differ(has, had)
	}
	if len(changed) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, sqlTextRules)
	if err != nil {
		return err
	}
	rules, err := pgx.CollectRows(rows, scanRule)
	if err != nil {
		return err
	}
	var touched []string
	for _, family := range slices.Sorted(maps.Keys(changed)) {
		if slices.ContainsFunc(rules, func(r TextRule) bool {
			return slices.ContainsFunc(changed[family], func(code string) bool { return r.covers(family, code) })
		}) {
			touched = append(touched, family)
		}
	}
	if len(touched) == 0 {
		return nil
	}
	return backfill(ctx, tx, touched)
}

func isText(a *pim.Attribute) bool {
	return a.Localizable && (a.Type == pim.TypeText || a.Type == pim.TypeRichText)
}

func members(f *pim.Family) map[string]bool {
	codes := make(map[string]bool, len(f.Attributes))
	for _, a := range f.Attributes {
		codes[a.Code] = true
	}
	return codes
}
