package jobs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// preview gives one lane of a product's preview.
func (r *road) preview(sku pim.SKU, lane pim.Lane, m *connectors.Mapping) jobs.LanePreview {
	r.Helper()
	p, err := r.channels.Preview(r.ctx, "shop", sku, m)
	if err != nil {
		r.Fatal(err)
	}
	for _, l := range p.Lanes {
		if l.Lane == lane {
			return l
		}
	}
	r.Fatalf("no lane %s in %+v", lane, p)
	return jobs.LanePreview{}
}

// held fails unless the preview's acknowledged document is what the fake holds.
func (r *road) held(fake *webhooktest.Server, sku pim.SKU, lane pim.Lane, m *connectors.Mapping) jobs.LanePreview {
	r.Helper()
	p := r.preview(sku, lane, m)
	l, ok := fake.Listing(sku, lane)
	if !ok || p.Acknowledged == nil || !sameDocument(p.Acknowledged.Document, l.Document) {
		r.Fatalf("%s of %s: acknowledged %+v, the target holds %s", lane, sku, p.Acknowledged, l.Document)
	}
	if p.Acknowledged.Status == "" || p.Acknowledged.Revision == 0 || p.Acknowledged.At.IsZero() {
		r.Errorf("%+v", p.Acknowledged)
	}
	return p
}

func sameDocument(a, b json.RawMessage) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	s, _ := json.Marshal(x)
	t, _ := json.Marshal(y)
	return string(s) == string(t)
}

func (r *road) price(sku pim.SKU, amount string, until *time.Time) {
	r.Helper()
	_, err := r.store.SetPrices(r.ctx, "test", []pim.PriceRow{
		{SKU: sku, Price: pim.Price{PriceList: "default", Currency: "EUR", MinQuantity: 1, Amount: decimal.MustParse(amount), ValidTo: until}},
	}, postgres.Idempotency{})
	if err != nil {
		r.Fatal(err)
	}
}

func (r *road) stock(sku pim.SKU, n int64) {
	r.Helper()
	if _, err := r.store.SetStock(r.ctx, "test", []pim.StockRow{{SKU: sku, Stock: pim.Stock{Location: "default", OnHand: n}}}, postgres.Idempotency{}); err != nil {
		r.Fatal(err)
	}
}

// edit makes one edit that has to succeed.
func (r *road) edit(e postgres.Edit) {
	r.Helper()
	res, err := r.store.Edit(r.ctx, "test", []postgres.Edit{e})
	if err != nil || res[0].Err != nil {
		r.Fatal(err, res[0].Err)
	}
}

// TestPreview: a product is previewed as it is sent, and what was acknowledged
// is found again behind every kind of change: of values, family fields,
// categories, the parent, prices, stock, a deletion, and of the mapping.
func TestPreview(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	m := connectors.DefaultMapping()
	m.Content["enabled"], m.Content["label"] = "enabled", "firstOf([values.name, '-']) + '/' + parent"
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Mapping = &m })
	stop := r.work()
	family, variant, parent, on := "thing", "by-colour", pim.SKU("P"), []string{"a", "b"}
	r.edit(postgres.Edit{SKU: "P", Mode: postgres.Merge, Family: &family, FamilyVariant: &variant, Values: title("Parent")})
	r.edit(postgres.Edit{SKU: "V", Mode: postgres.Merge, Family: &family, Parent: &parent, Values: pim.Values{"colour": "red", "picture": "https://m.example/1.jpg"}, Categories: &on})
	for _, sku := range []pim.SKU{"V", "P"} {
		r.price(sku, "19.90", nil)
		r.stock(sku, 3)
	}
	r.settled("shop")

	for _, lane := range pim.AllLanes {
		p := r.held(fake, "V", lane, nil)
		if p.Outlook != jobs.OutlookSame || len(p.Differences) != 0 || p.Differences == nil || !sameDocument(p.Document, p.Acknowledged.Document) {
			t.Errorf("%s: %+v", lane, p)
		}
	}
	if p := r.preview("P", pim.Media, nil); p.Outlook != jobs.OutlookEmpty || p.Document != nil || p.Acknowledged != nil {
		t.Errorf("a lane without document: %+v", p)
	}

	// With nobody at work, what was acknowledged is an older state.
	stop()
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	other := []string{"c"}
	r.edit(postgres.Edit{SKU: "P", Mode: postgres.Patch, Values: title("Parent, renamed")})
	r.edit(postgres.Edit{SKU: "V", Mode: postgres.Patch, Values: pim.Values{"picture": "https://m.example/2.jpg"}})
	r.edit(postgres.Edit{SKU: "V", Mode: postgres.Patch, Categories: &other, Values: pim.Values{"name": map[string]any{"en-GB": "own"}}})
	r.price("V", "18.50", nil)
	r.price("V", "18.50", &until)
	r.price("V", "18.5", &until)
	r.stock("V", 7)
	p := r.held(fake, "V", pim.Content, nil)
	if fields := fieldsOf(p); p.Outlook != jobs.OutlookSend || !slices.Equal(fields, []string{"categories", "label", "values"}) {
		t.Errorf("%s, differences in %v", p.Outlook, fields)
	}
	p = r.held(fake, "V", pim.Offer, nil)
	if fields := fieldsOf(p); p.Outlook != jobs.OutlookSend || !slices.Equal(fields, []string{"price", "stock"}) || string(p.Differences[0].Old) != `"19.90"` {
		t.Errorf("%s, differences %s", p.Outlook, p.Differences)
	}
	p = r.held(fake, "V", pim.Media, nil)
	if p.Outlook != jobs.OutlookSend || len(p.Differences) != 1 || !strings.Contains(string(p.Differences[0].New), "2.jpg") {
		t.Errorf("%s, differences %s", p.Outlook, p.Differences)
	}
	if before, after := r.held(fake, "P", pim.Content, nil), `"Parent, renamed/"`; !slices.ContainsFunc(before.Differences, func(d jobs.FieldDifference) bool {
		return d.Field == "label" && string(d.Old) == `"Parent/"` && string(d.New) == after
	}) {
		t.Errorf("%s", before.Differences)
	}

	// Another mapping is tried, and saved, and what was acknowledged stays what it was.
	tried := connectors.DefaultMapping()
	tried.Content = map[string]string{"title": "values.name", "enabled": "enabled"}
	if p := r.held(fake, "V", pim.Content, &tried); !slices.Equal(fieldsOf(p), []string{"categories", "family", "label", "parent", "sku", "title", "values"}) {
		t.Errorf("differences in %v", fieldsOf(p))
	}
	if _, err := r.channels.SetMapping(r.ctx, "shop", tried, "test", ""); err != nil {
		t.Fatal(err)
	}
	r.held(fake, "V", pim.Content, nil)

	// Disabled, deleted, and there again.
	r.edit(postgres.Edit{SKU: "V", Mode: postgres.Patch, Enabled: new(bool)})
	if p := r.held(fake, "V", pim.Content, nil); p.Outlook != jobs.OutlookWithdraw || p.Document != nil {
		t.Errorf("disabled: %+v", p)
	}
	r.edit(postgres.Edit{SKU: "V", Mode: postgres.Delete})
	if p := r.held(fake, "V", pim.Content, nil); p.Outlook != jobs.OutlookWithdraw {
		t.Errorf("deleted: %+v", p)
	}
	r.edit(postgres.Edit{SKU: "V", Mode: postgres.Merge, Family: &family, Parent: &parent, Values: pim.Values{"colour": "green"}})
	r.held(fake, "V", pim.Content, nil)

	r.work()
	r.edit(postgres.Edit{SKU: "V", Mode: postgres.Delete})
	r.settled("shop")
	if p := r.preview("V", pim.Content, nil); p.Outlook != jobs.OutlookWithdrawn || p.Acknowledged == nil || p.Acknowledged.Document != nil || p.Acknowledged.Reason == "" {
		t.Errorf("withdrawn: %+v", p)
	}
}

func fieldsOf(p jobs.LanePreview) (names []string) {
	for _, d := range p.Differences {
		names = append(names, d.Field)
	}
	return names
}

// TestPreviewGivesUp: where no change leads back to what was acknowledged, the
// preview says so instead of guessing.
func TestPreviewGivesUp(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.channel("shop", webhooktest.Options{}, nil)
	stop := r.work()
	r.put(skus(2), title("first"))
	r.settled("shop")
	stop()
	for i := range 201 {
		r.put(skus(1), title("change %d", i))
	}
	p := r.preview("SKU-0001", pim.Content, nil)
	if a := p.Acknowledged; a == nil || a.Document != nil || !strings.Contains(a.Reason, "200 changes") || p.Differences != nil {
		t.Errorf("%+v", a)
	}
	// A history that was thrown away leads nowhere.
	if _, err := r.store.Pool().Exec(r.ctx, `delete from event`); err != nil {
		t.Fatal(err)
	}
	r.put(skus(2)[1:], title("second"))
	if _, err := r.store.Pool().Exec(r.ctx, `delete from event`); err != nil {
		t.Fatal(err)
	}
	if a := r.preview("SKU-0002", pim.Content, nil).Acknowledged; a == nil || a.Document != nil || a.Reason == "" {
		t.Errorf("%+v", a)
	}
	for _, err := range []error{
		second(r.channels.Preview(r.ctx, "nowhere", "SKU-0001", nil)), second(r.channels.Preview(r.ctx, "shop", "nothing", nil)),
	} {
		if !errors.Is(err, postgres.ErrNotFound) {
			t.Error(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestRefusedPreview: issues of the mapping are in preview, dry run and on the
// listing, warnings beside a success.
func TestRefusedPreview(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	m := connectors.DefaultMapping()
	m.Content["colour"] = "mapped('colour')"
	m.Values = map[string]connectors.ValueMapping{"colour": {Options: map[string]string{"red": "ROT"}}}
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Mapping = &m })
	r.work()
	all := skus(3)
	r.put(all[:1], pim.Values{"colour": "red"})
	r.put(all[1:], pim.Values{"colour": "mauve"})
	r.settled("shop")
	listed := func(sku pim.SKU) pim.Listing {
		t.Helper()
		list, _, err := r.store.Listings(r.ctx, postgres.ListingFilter{Channel: "shop", SKU: sku, Lane: pim.Content}, postgres.Page{})
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		return list[0]
	}
	warned := func(issues []pim.Issue, severity pim.Severity) bool {
		return len(issues) == 1 && issues[0].Code == connectors.CodeUnmapped && issues[0].Attribute == "colour" && issues[0].Severity == severity
	}
	if l := listed(all[1]); l.State != pim.StateLive && l.State != pim.StateAccepted || !warned(l.Issues, pim.SeverityWarning) {
		t.Errorf("%+v", l)
	}
	if p := r.preview(all[1], pim.Content, nil); p.Outlook != jobs.OutlookSame || !warned(p.Issues, pim.SeverityWarning) {
		t.Errorf("%+v", p)
	}
	if l := listed(all[0]); len(l.Issues) != 0 {
		t.Errorf("%+v", l)
	}
	sent := fake.Counts().Received

	m.Unmapped = connectors.UnmappedError
	if p := r.preview(all[1], pim.Content, &m); p.Outlook != jobs.OutlookRefused || p.Document != nil || !warned(p.Issues, pim.SeverityError) || p.Acknowledged.Document == nil {
		t.Errorf("%+v", p)
	}
	run, err := r.channels.DryRun(r.ctx, "shop", jobs.DryRun{Mapping: &m})
	if err != nil || run.Products != 3 || run.Next != "" || run.Lanes[pim.Content][jobs.OutlookSame] != 1 || run.Lanes[pim.Content][jobs.OutlookRefused] != 2 {
		t.Fatalf("%+v %v", run, err)
	}
	for i, f := range run.Refused {
		if f.SKU != all[i+1] || f.Lane != pim.Content || !warned(f.Issues, pim.SeverityError) {
			t.Errorf("%+v", f)
		}
	}
	if fake.Counts().Received != sent {
		t.Error("a dry run sent something")
	}
	// Saved, it refuses; with an entry more, the warning goes without anything being sent that was not to change.
	if _, err := r.channels.SetMapping(r.ctx, "shop", m, "test", ""); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	if l := listed(all[1]); l.State != pim.StateRejected || !warned(l.Issues, pim.SeverityError) {
		t.Errorf("%+v", l)
	}
	m.Unmapped, m.Content["colour"] = connectors.UnmappedWarn, "mapped('colour')"
	if _, err := r.channels.SetMapping(r.ctx, "shop", m, "test", ""); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	if l := listed(all[1]); l.State == pim.StateRejected || !warned(l.Issues, pim.SeverityWarning) {
		t.Errorf("a skip lost the mapping's warning: %+v", l)
	}
	m.Values["colour"].Options["mauve"] = "LILA"
	m.Content["colour"] = "'' != mapped('colour') ? 'any' : 'none'"
	if _, err := r.channels.SetMapping(r.ctx, "shop", m, "test", ""); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	if l := listed(all[1]); len(l.Issues) != 0 {
		t.Errorf("%+v", l)
	}
	if fake.Counts().Received <= sent {
		t.Error("nothing was sent")
	}
}

// TestDryRun walks a catalogue in small pages by filters, and counts what is to
// come: it finds what the drains then do.
func TestDryRun(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	all := skus(450)
	r.put(all, title("A"))
	off := false
	r.edit(postgres.Edit{SKU: all[0], Mode: postgres.Patch, Enabled: &off})
	count := func(d jobs.DryRun) (products int, lanes map[jobs.Outlook]int) {
		t.Helper()
		lanes = map[jobs.Outlook]int{}
		for turn := 0; ; turn++ {
			run, err := r.channels.DryRun(r.ctx, "shop", d)
			if err != nil || turn > 1000 {
				t.Fatal(turn, err)
			}
			products += run.Products
			for o, n := range run.Lanes[pim.Content] {
				lanes[o] += n
			}
			if d.Cursor = run.Next; run.Next == "" {
				return products, lanes
			}
		}
	}
	if n, lanes := count(jobs.DryRun{Limit: 70}); n != 450 || lanes[jobs.OutlookSend] != 449 || lanes[jobs.OutlookWithdrawn] != 1 {
		t.Errorf("%d %v", n, lanes)
	}
	run, err := r.channels.DryRun(r.ctx, "shop", jobs.DryRun{})
	if err != nil || run.Products != 450 || run.Lanes[pim.Offer][jobs.OutlookWaits] != 449 {
		t.Errorf("%+v %v", run, err)
	}
	r.work()
	r.settled("shop")
	if n, lanes := count(jobs.DryRun{}); n != 450 || lanes[jobs.OutlookSame] != 449 || lanes[jobs.OutlookWithdrawn] != 1 || fake.Counts().Received != 449 {
		t.Errorf("%d %v, %d sent", n, lanes, fake.Counts().Received)
	}
	if n, _ := count(jobs.DryRun{Filter: postgres.ProductFilter{SKUPrefix: "SKU-04"}}); n != 51 {
		t.Errorf("%d of SKU-04", n)
	}
	if n, _ := count(jobs.DryRun{Filter: postgres.ProductFilter{Category: "none"}}); n != 0 {
		t.Errorf("%d of a category that there is not", n)
	}
	bad := connectors.Mapping{Content: map[string]string{"x": "mapped('nothing')"}, Values: map[string]connectors.ValueMapping{"nothing": {Unit: "g"}}}
	_, err = r.channels.DryRun(r.ctx, "shop", jobs.DryRun{Mapping: &bad})
	if invalid, ok := errors.AsType[*pim.Invalid](err); !ok || invalid.Problems[0].Pointer != "/mapping/values/nothing" {
		t.Error(err)
	}
}

// TestMappingVersions: a change of the mapping, and its rollback, send exactly
// what differs, and each is kept.
func TestMappingVersions(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	all := skus(50)
	r.put(all, title("A"))
	r.put(all[:10], pim.Values{"colour": "red"})
	r.settled("shop")
	sent := func() map[pim.SKU]int {
		n := map[pim.SKU]int{}
		for _, sku := range all {
			n[sku] = len(fake.History(sku, pim.Content)) + len(fake.History(sku, pim.Offer)) + len(fake.History(sku, pim.Media))
		}
		return n
	}
	differs := func(what string, before map[pim.SKU]int) {
		t.Helper()
		r.settled("shop")
		for i, sku := range all {
			want := 0
			if i < 10 {
				want = 1
			}
			if got := sent()[sku] - before[sku]; got != want {
				t.Errorf("%s: %s was sent %d times, want %d", what, sku, got, want)
			}
		}
	}
	m := connectors.DefaultMapping()
	m.Content["colour"] = "values.colour"
	before := sent()
	if _, err := r.channels.SetMapping(r.ctx, "shop", m, "anna", "colours, too"); err != nil {
		t.Fatal(err)
	}
	differs("a change", before)
	before = sent()
	ch, err := r.channels.RollBack(r.ctx, "shop", 1, "ben")
	if err != nil {
		t.Fatal(err)
	}
	differs("a rollback", before)
	// What changes no mapping makes no version.
	if _, err := r.channels.RollBack(r.ctx, "shop", 3, "ben"); err != nil {
		t.Fatal(err)
	}
	list, next, err := r.store.Mappings(r.ctx, ch.ID, postgres.Page{})
	if err != nil || len(list) != 3 || next != "" {
		t.Fatal(list, next, err)
	}
	var told []string
	for _, v := range list {
		told = append(told, fmt.Sprintf("%d %s %s", v.Version, v.Actor, v.Note))
	}
	if want := []string{"3 ben rollback to version 1", "2 anna colours, too", "1  "}; !slices.Equal(told, want) {
		t.Errorf("%q", told)
	}
	if !sameDocument(list[0].Mapping, list[2].Mapping) || sameDocument(list[0].Mapping, list[1].Mapping) {
		t.Errorf("%+v", list)
	}
	if _, err := r.channels.RollBack(r.ctx, "shop", 99, "ben"); !errors.Is(err, postgres.ErrNotFound) {
		t.Error(err)
	}
}

// TestPreviewOfLanesWithoutListing: what the drains will never send is not
// announced: an offer that the mapping makes of nothing, and a lane that it lost.
func TestPreviewOfLanesWithoutListing(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	m := connectors.DefaultMapping()
	m.Offer["stock"], m.Media["badge"] = "firstOf([stock.available, 0])", "'new'"
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Mapping = &m })
	r.work()
	r.put([]pim.SKU{"bare", "sold"}, title("A"))
	r.stock("sold", 3)
	r.settled("shop")
	run, err := r.channels.DryRun(r.ctx, "shop", jobs.DryRun{})
	if err != nil {
		t.Fatal(err)
	}
	if offer, media := run.Lanes[pim.Offer], run.Lanes[pim.Media]; offer[jobs.OutlookEmpty] != 1 || offer[jobs.OutlookSame] != 1 || media[jobs.OutlookEmpty] != 2 {
		t.Errorf("%v", run.Lanes)
	}
	for _, lane := range []pim.Lane{pim.Offer, pim.Media} {
		if p := r.preview("bare", lane, nil); p.Outlook != jobs.OutlookEmpty || p.Document != nil {
			t.Errorf("%s: %+v", lane, p)
		}
	}
	// One that reads the content is sent of every product.
	m.Offer["name"] = "firstOf([values.name, '-'])"
	if p := r.preview("bare", pim.Offer, &m); p.Outlook != jobs.OutlookSend {
		t.Errorf("%+v", p)
	}
	before := fake.Counts().Received
	if _, err := r.channels.SetMapping(r.ctx, "shop", m, "test", ""); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	if p := r.held(fake, "bare", pim.Offer, nil); p.Outlook != jobs.OutlookSame || fake.Counts().Received != before+2 {
		t.Errorf("%+v, %d sent", p, fake.Counts().Received-before)
	}
	// The lane goes: nothing is said to be sent, and nothing is.
	before = fake.Counts().Received
	m.Offer = nil
	if p := r.preview("sold", pim.Offer, &m); p.Outlook != jobs.OutlookEmpty || p.Differences != nil || p.Acknowledged == nil {
		t.Errorf("%+v", p)
	}
	if _, err := r.channels.SetMapping(r.ctx, "shop", m, "test", ""); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	if p := r.held(fake, "sold", pim.Offer, nil); p.Outlook != jobs.OutlookEmpty || fake.Counts().Received != before {
		t.Errorf("%+v, %d sent", p, fake.Counts().Received-before)
	}
}
