package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// TextState says how a text that a rule covers stands.
type TextState string

// The states.
const (
	TextMissing  TextState = "missing"  // there is no text yet, or only a proposal
	TextMachine  TextState = "machine"  // a machine's, of the source as it is
	TextReviewed TextState = "reviewed" // a person's, of the source as it is as far as known
	TextOutdated TextState = "outdated" // its source has changed since, or is gone
)

// TextStates are all states.
var TextStates = []TextState{TextMissing, TextMachine, TextReviewed, TextOutdated}

// Text is one place of a product's values that a rule covers: an attribute, a
// locale and, of scopable attributes, a channel. The text itself is among the
// product's values; here is what is known of it.
type Text struct {
	ID        int64
	Rev       int64 // the ETag
	UpdatedAt time.Time
	Product   pim.ProductID
	SKU       pim.SKU
	Family    string
	Slot
	From        pim.Locale // of the source; of a text that is written, of the facts ("": any)
	Rule        string
	Action      TextAction
	State       TextState
	SourceHash  string // of the source that the target is of
	TargetHash  string // of the target as it was last seen or written
	Machine     bool   // the target of TargetHash is a machine's
	Asked       string // for which work was last asked
	Test        bool   // what the machine gave is a test provider's
	TestValue   *string
	Proposal    *string
	Proposed    string // hash of the source that the proposal is of
	Suggestions []Suggestion
	Faults      []TextFault
	Provenance  *Provenance
	Error       string // why the last attempt came to nothing

	// As the product's values have them now; nil: none. Read only.
	Source, Target *string
	Task           string // state of its task: waiting, failed, cancelled; "": there is none
}

// Slot is a place of a product's values. Channel is "" for attributes that are
// not scopable.
type Slot struct {
	Attribute string          `json:"attribute"`
	Locale    pim.Locale      `json:"locale"`
	Channel   pim.ChannelCode `json:"channel"`
}

// Suggestion is what the translation memory has for a similar segment.
type Suggestion struct {
	Source     string  `json:"source"`
	Target     string  `json:"target"`
	Similarity float64 `json:"similarity" doc:"0 to 1"`
}

// TextFault is what is wrong with a machine's text.
type TextFault struct {
	Code     string       `json:"code"`
	Severity pim.Severity `json:"severity"`
	Text     string       `json:"text"`
}

// Provenance says where a machine's text is from.
type Provenance struct {
	Providers  []string     `json:"providers" doc:"Providers of its segments; memory for what was translated before, person for what people wrote"`
	Model      string       `json:"model,omitempty"`
	SourceHash string       `json:"source_hash"`
	Characters int64        `json:"characters" doc:"That a provider counted for it; 0 where all was known before"`
	Tokens     int64        `json:"tokens,omitempty"`
	Amount     string       `json:"amount,omitempty" doc:"Cost, as decimal text"`
	Currency   pim.Currency `json:"currency,omitempty"`
	Rev        int64        `json:"rev,omitempty" doc:"The product's content revision that brought it"`
	At         time.Time    `json:"at"`
	By         string       `json:"by,omitempty" doc:"Who accepted or edited it"`
}

const (
	// textPath is the place of a text among its product's values.
	textPath   = `array_remove(array[t.attribute, nullif(t.channel, ''), t.locale], null)`
	textSource = `array_remove(array[t.attribute, nullif(t.channel, ''), nullif(t.from_locale, '')], null)`

	textColumns = `
t.id, t.rev, t.updated_at, t.product_id, p.sku, p.family, t.attribute, t.locale, t.channel, t.from_locale, t.rule, t.action, t.state,
t.source_hash, t.target_hash, t.machine, t.asked, t.test, t.test_value, t.proposal, t.proposed, t.suggestions, t.faults, t.provenance, coalesce(t.error, ''),
case when t.action = 'translate' then p.values #>> ` + textSource + ` end, p.values #>> ` + textPath + `, coalesce(k.state, '')`

	textTables = `
from product_text t join product p on p.id = t.product_id left join task k on k.kind = t.action and k.subject = t.id`
)

func scanText(r pgx.CollectableRow) (t Text, err error) {
	return t, r.Scan(&t.ID, &t.Rev, &t.UpdatedAt, &t.Product, &t.SKU, &t.Family, &t.Attribute, &t.Locale, &t.Channel, &t.From, &t.Rule, &t.Action, &t.State,
		&t.SourceHash, &t.TargetHash, &t.Machine, &t.Asked, &t.Test, &t.TestValue, &t.Proposal, &t.Proposed, &t.Suggestions, &t.Faults, &t.Provenance, &t.Error,
		&t.Source, &t.Target, &t.Task)
}

// TextFilter says which texts are meant; zero fields: any.
type TextFilter struct {
	State     TextState
	Locale    pim.Locale
	Family    string
	Attribute string
	Channel   pim.ChannelCode
	SKU       pim.SKU
	Rule      string
	Action    TextAction
	Waits     bool // those with a proposal
	Failed    bool // those whose last attempt came to nothing
}

func (f TextFilter) args() pgx.NamedArgs {
	return pgx.NamedArgs{
		"state": string(f.State), "locale": storable(string(f.Locale)), "family": storable(f.Family), "attribute": storable(f.Attribute), "channel": storable(string(f.Channel)),
		"sku": storable(string(f.SKU)), "rule": storable(f.Rule), "action": string(f.Action), "waits": f.Waits, "failed": f.Failed,
	}
}

const (
	textWhere = `
where (@state = '' or t.state = @state) and (@locale = '' or t.locale = @locale) and (@family = '' or p.family = @family)
  and (@attribute = '' or t.attribute = @attribute) and (@channel = '' or t.channel = @channel) and (@rule = '' or t.rule = @rule)
  and (@action = '' or t.action = @action)
  and (@sku = '' or t.product_id = (select id from product where sku = @sku))
  and (not @waits::boolean or t.proposal is not null) and (not @failed::boolean or t.error is not null)`

	sqlTexts = `select ` + textColumns + textTables + textWhere + ` and t.id > @after order by t.id limit @limit`

	sqlTextsByID = `select ` + textColumns + textTables + ` where t.id = any(@id::bigint[]) order by t.id`

	sqlTextCounts = `
select t.rule, t.locale, t.state, count(*), count(t.proposal), count(t.error), count(k.id) filter (where k.state = 'waiting')
from product_text t left join task k on k.kind = t.action and k.subject = t.id group by 1, 2, 3 order by 1, 2, 3`
)

// Texts lists what rules cover, by ids.
func (s *Store) Texts(ctx context.Context, f TextFilter, page Page) (list []Text, next string, err error) {
	after, err := afterID(page.After)
	if err != nil {
		return nil, "", err
	}
	args := f.args()
	args["after"], args["limit"] = after, page.limit()
	rows, err := s.pool.Query(ctx, sqlTexts, args)
	if err != nil {
		return nil, "", fmt.Errorf("list texts: %w", err)
	}
	list, err = pgx.CollectRows(rows, scanText)
	if err == nil && len(list) == page.limit() {
		next = strconv.FormatInt(list[len(list)-1].ID, 10)
	}
	return list, next, err
}

// TextsByID reads texts by their rows: those that are there, by ids.
func (s *Store) TextsByID(ctx context.Context, ids []int64) ([]Text, error) {
	rows, err := s.pool.Query(ctx, sqlTextsByID, pgx.NamedArgs{"id": ids})
	if err != nil {
		return nil, fmt.Errorf("read texts: %w", err)
	}
	return pgx.CollectRows(rows, scanText)
}

// Text reads one text; ErrNotFound.
func (s *Store) Text(ctx context.Context, id int64) (Text, error) {
	list, err := s.TextsByID(ctx, []int64{id})
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Text{}, fmt.Errorf("text %d: %w", id, err)
	}
	return list[0], nil
}

// TextCount counts a rule's texts in one locale and state.
type TextCount struct {
	Rule      string
	Locale    pim.Locale
	State     TextState
	Texts     int64
	Proposals int64 // that wait for a person
	Failed    int64 // whose last attempt came to nothing
	Waiting   int64 // for a machine
}

// TextCounts counts all texts.
func (s *Store) TextCounts(ctx context.Context) ([]TextCount, error) {
	rows, err := s.pool.Query(ctx, sqlTextCounts)
	if err != nil {
		return nil, fmt.Errorf("count texts: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (c TextCount, err error) {
		return c, r.Scan(&c.Rule, &c.Locale, &c.State, &c.Texts, &c.Proposals, &c.Failed, &c.Waiting)
	})
}

// textJSON is one row of the table product_text as json_agg gives it.
type textJSON struct {
	ID         int64           `json:"id"`
	Rev        int64           `json:"rev"`
	Attribute  string          `json:"attribute"`
	Locale     pim.Locale      `json:"locale"`
	Channel    pim.ChannelCode `json:"channel"`
	From       pim.Locale      `json:"from_locale"`
	Rule       string          `json:"rule"`
	Action     TextAction      `json:"action"`
	State      TextState       `json:"state"`
	SourceHash string          `json:"source_hash"`
	TargetHash string          `json:"target_hash"`
	Machine    bool            `json:"machine"`
	Asked      string          `json:"asked"`
	Test       bool            `json:"test"`
	TestValue  *string         `json:"test_value"`
	Proposal   *string         `json:"proposal"`
	Proposed   string          `json:"proposed"`
	Error      *string         `json:"error"`
}

func (t textJSON) text(product pim.ProductID) Text {
	out := Text{
		ID: t.ID, Rev: t.Rev, Product: product, Slot: Slot{t.Attribute, t.Locale, t.Channel}, From: t.From, Rule: t.Rule, Action: t.Action, State: t.State,
		SourceHash: t.SourceHash, TargetHash: t.TargetHash, Machine: t.Machine, Asked: t.Asked, Test: t.Test, TestValue: t.TestValue, Proposal: t.Proposal, Proposed: t.Proposed,
	}
	if t.Error != nil {
		out.Error = *t.Error
	}
	return out
}

// TextProduct is a product with all of its texts, of one snapshot.
type TextProduct struct {
	ID      pim.ProductID
	SKU     pim.SKU
	Family  string
	Rev     int64
	Deleted bool
	Values  json.RawMessage // its own
	Texts   []Text          // without Source, Target, Suggestions, Faults, Provenance, Task
}

const (
	textProduct = `
select p.id, p.sku, p.family, p.rev, p.deleted_at is not null, p.values,
       (select json_agg(t order by t.id) from product_text t where t.product_id = p.id)
from product p where `
	sqlTextProducts   = textProduct + `p.id = any(@product::bigint[]) order by p.id`
	sqlTextProductsOf = textProduct + `p.id in (select product_id from product_text where id = any(@id::bigint[])) order by p.id`
)

// TextProducts reads products with what is known of their texts.
func (s *Store) TextProducts(ctx context.Context, ids []pim.ProductID) ([]TextProduct, error) {
	return s.textProducts(ctx, sqlTextProducts, pgx.NamedArgs{"product": ids})
}

// TextProductsOf reads the products of texts, with what is known of all theirs.
func (s *Store) TextProductsOf(ctx context.Context, texts []int64) ([]TextProduct, error) {
	return s.textProducts(ctx, sqlTextProductsOf, pgx.NamedArgs{"id": texts})
}

func (s *Store) textProducts(ctx context.Context, sql string, args pgx.NamedArgs) ([]TextProduct, error) {
	rows, err := s.work.Query(ctx, sql, args)
	if err != nil {
		return nil, fmt.Errorf("read products for their texts: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (p TextProduct, err error) {
		var texts []textJSON
		if err := r.Scan(&p.ID, &p.SKU, &p.Family, &p.Rev, &p.Deleted, (*[]byte)(&p.Values), &texts); err != nil {
			return p, err
		}
		for _, t := range texts {
			p.Texts = append(p.Texts, t.text(p.ID))
		}
		return p, nil
	})
}
