package jobs

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Bounds of a dry run.
const (
	// MaxDryRun is how many products one dry run looks at, and DryRunDefault how
	// many where nothing is said; those behind them are the next one's.
	MaxDryRun     = 10_000
	DryRunDefault = 1_000
	// dryPage is how many products one statement reads, and dryStride how many
	// of them are rendered between two looks at the clock.
	dryPage   = 200
	dryStride = 16
	// dryTime is when a dry run ends, as far as it got.
	dryTime = 15 * time.Second
	// dryIssues bounds what one dry run tells, in issues and refusals.
	dryIssues = 5_000
)

// DryRun says what to look at: the products that Filter lets through, by the
// channel's mapping or by another one.
type DryRun struct {
	Mapping *connectors.Mapping
	Filter  postgres.ProductFilter
	Limit   int    // of products; 0 is DryRunDefault
	Cursor  string // Next of the dry run before
}

// DryRunResult is what would become of the products' listings.
type DryRunResult struct {
	Products int // looked at
	// Lanes count listings by their outlook; the lanes that the mapping has.
	Lanes   map[pim.Lane]map[Outlook]int
	Refused []Refusal
	Next    string // cursor of the products behind these; "" where there are none
}

// Refusal is a listing that would not be sent as it stands, and why.
type Refusal struct {
	SKU    pim.SKU
	Lane   pim.Lane
	Reason string
	Issues []pim.Issue
}

// DryRun renders products as the channel's drains would, without sending or
// changing anything, and counts what would become of them. It ends after
// d.Limit products, after some seconds, or when it has enough to tell; Next
// goes on from there. The error is *pim.Invalid of the mapping or the cursor, or ErrNotFound of the channel.
func (c *Channels) DryRun(ctx context.Context, code pim.ChannelCode, d DryRun) (*DryRunResult, error) {
	saved, tried, err := c.trial(ctx, code, d.Mapping)
	if err != nil {
		return nil, err
	}
	limit := d.Limit
	if limit <= 0 {
		limit = DryRunDefault
	}
	limit = min(limit, MaxDryRun)
	run := &dryRun{
		c: c, t: tried, saved: tried == saved,
		out: &DryRunResult{Lanes: map[pim.Lane]map[Outlook]int{}, Refused: []Refusal{}, Next: d.Cursor},
	}
	for _, lane := range tried.Program.Lanes().List() {
		run.out.Lanes[lane] = map[Outlook]int{}
	}
	end := time.Now().Add(dryTime)
	for limit > run.out.Products {
		survey, err := c.store.Survey(ctx, saved.ID, d.Filter, postgres.Page{After: run.out.Next, Limit: min(dryPage, limit-run.out.Products)})
		if err != nil {
			return nil, err
		}
		if run.schema, err = c.store.SchemaOf(ctx, survey.Schema); err != nil {
			return nil, err
		}
		whole, err := run.page(ctx, survey, end)
		if err != nil {
			return nil, err
		}
		if !whole {
			return run.out, nil
		}
		if run.out.Next = survey.Next; survey.Next == "" {
			break
		}
	}
	return run.out, nil
}

// dryRun is a dry run on its way.
type dryRun struct {
	c      *Channels
	t      *Target
	saved  bool
	schema *pim.Schema
	waits  map[pim.ProductID]textWait // of the products at hand
	out    *DryRunResult
	issues int
}

// page looks at one page; false where it ended before the page did.
func (r *dryRun) page(ctx context.Context, survey *postgres.Survey, end time.Time) (whole bool, err error) {
	products := byProduct(survey.Items)
	for len(products) > 0 {
		n := min(dryStride, len(products))
		found, shown, failed := make([][]*looked, n), make([]*connectors.Subject, n), make([]error, n)
		var none *subjects // a walk through the catalogue would push out what the drains need
		for i := range n {
			shown[i], failed[i] = none.subject(&products[i][0].Claimed)
		}
		err := r.c.tell(ctx, r.t, shown)
		if err == nil {
			err = r.c.relate(ctx, shown, r.schema)
		}
		if err == nil {
			err = r.c.associate(ctx, r.t, shown, r.schema)
		}
		if err == nil {
			err = r.c.illustrate(ctx, r.t, shown, r.schema)
		}
		if err == nil {
			r.waits, err = r.c.surveyedWaits(ctx, r.t, survey, slices.Concat(products[:n]...), shown, r.schema)
		}
		if err == nil {
			err = inParallel(ctx, n, func(ctx context.Context, i int) (err error) {
				found[i], err = r.product(ctx, survey, products[i], shown[i], failed[i])
				return err
			})
		}
		if err != nil {
			return false, err
		}
		for i, lanes := range found {
			r.count(lanes)
			r.out.Next = strconv.FormatInt(int64(products[i][0].Product), 10)
		}
		products = products[n:]
		if time.Now().After(end) || r.issues >= dryIssues {
			return false, nil
		}
	}
	return true, nil
}

// product looks at the lanes of one product that the mapping has.
func (r *dryRun) product(ctx context.Context, survey *postgres.Survey, lanes []postgres.Surveyed, subject *connectors.Subject, failed error) (list []*looked, err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for i := range lanes {
		if r.out.Lanes[lanes[i].Lane] == nil {
			continue
		}
		k, err := r.t.look(ctx, survey, &lanes[i], subject, r.waits, failed, r.schema, r.saved)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, nil
}

func (r *dryRun) count(lanes []*looked) {
	r.out.Products++
	for _, k := range lanes {
		r.out.Lanes[k.lane][k.outlook]++
		if k.outlook == OutlookRefused {
			r.out.Refused = append(r.out.Refused, Refusal{SKU: k.SKU, Lane: k.lane, Reason: k.reason, Issues: k.told})
			r.issues += 1 + len(k.told)
		}
	}
}

// byProduct parts the lanes of one product from those of the next.
func byProduct(items []postgres.Surveyed) (list [][]postgres.Surveyed) {
	for len(items) > 0 {
		n := 1
		for n < len(items) && items[n].Product == items[0].Product {
			n++
		}
		list = append(list, items[:n:n])
		items = items[n:]
	}
	return list
}
