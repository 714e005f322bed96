package api

import (
	"context"
	"slices"
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// What a product lacks is told for each channel in its locale, and so is what
// would be refused there, before anything is sent.
func TestCompleteness(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	if _, err := k.store.ChangeSchema(t.Context(), postgres.SchemaChange{Families: []pim.Family{{
		Code: "shoe", Variants: []pim.FamilyVariant{{Code: "by_color", Axes: []string{"color"}}},
		Attributes: []pim.FamilyAttribute{
			{Code: "name", Required: true}, {Code: "gtin", RequiredFor: []pim.ChannelCode{"market"}}, {Code: "strict_gtin"}, {Code: "weight"}, {Code: "count"}, {Code: "color", Required: true},
		},
	}}}); err != nil {
		t.Fatal(err)
	}
	k.want(k.do(Editor, "PUT", "/v1/products/P", map[string]any{"family": "shoe", "family_variant": "by_color", "values": map[string]any{"name": map[string]any{"de-DE": "Schuh"}}}), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/P%2FR", map[string]any{"family": "shoe", "parent": "P", "values": map[string]any{"color": "red"}}), 201, nil)
	ask := func(path string) []readinessView {
		t.Helper()
		var body struct {
			SKU      string
			Channels []readinessView
		}
		k.want(k.do(Viewer, "GET", "/v1/products/"+path, nil), 200, &body)
		return body.Channels
	}
	if got := ask("P/completeness"); len(got) != 0 {
		t.Errorf("without channels: %+v", got)
	}
	if got := ask("P/completeness?locale=de-DE&locale=en-GB"); len(got) != 2 || got[0].Share != 1 || !slices.Equal(got[1].Missing, []string{"name"}) || got[1].Ready != nil {
		t.Errorf("without channels: %+v", got)
	}
	k.want(k.channel("shop", "http://127.0.0.1:1"), 201, nil)
	k.want(k.channel("market", "http://127.0.0.1:1"), 201, nil)
	by := map[string]readinessView{}
	for _, r := range ask("P%2FR/completeness") {
		by[r.Channel] = r
	}
	shop, market := by["shop"], by["market"]
	if len(by) != 2 || shop.Locale != "en-GB" || shop.Required != 2 || shop.Filled != 1 || shop.Share != 0.5 || !slices.Equal(shop.Missing, []string{"name"}) || shop.Ready == nil || *shop.Ready {
		t.Errorf("%+v", shop)
	}
	if market.Required != 3 || market.Share != 0.33 || !slices.Equal(market.Missing, []string{"name", "gtin"}) {
		t.Errorf("%+v", market)
	}
	k.want(k.do(Editor, "PATCH", "/v1/products/P", map[string]any{"values": map[string]any{"name": map[string]any{"en-GB": "Shoe"}}}), 200, nil)
	if got := ask("P%2FR/completeness?channel=shop"); len(got) != 1 || got[0].Share != 1 || len(got[0].Missing) != 0 || got[0].Ready == nil || !*got[0].Ready {
		t.Errorf("complete: %+v", got)
	}
	// A window that is not open, here the parent's, keeps it away, and is nothing against it.
	k.want(k.do(Editor, "POST", "/v1/publication:batch", `[{"sku":"P","channel":"shop","from":"2090-01-01T00:00:00Z"}]`), 200, nil)
	if got := ask("P%2FR/completeness?channel=shop"); len(got) != 1 || got[0].Ready == nil || !*got[0].Ready || len(got[0].Issues) != 1 ||
		got[0].Issues[0] != (pim.Issue{Code: "publication.closed", Severity: pim.SeverityWarning, Text: "the product is not published here before 2090-01-01T00:00:00Z"}) {
		t.Errorf("not published: %+v", got)
	}
	k.want(k.do(Editor, "POST", "/v1/publication:batch", `[{"sku":"P","channel":"shop","delete":true}]`), 200, nil)
	k.want(k.do(ChannelManager, "PATCH", "/v1/channels/shop", map[string]any{"mapping": map[string]any{
		"content": map[string]any{"n": `int(sku)`},
	}}), 200, nil)
	if got := ask("P%2FR/completeness?channel=shop"); len(got) != 1 || got[0].Share != 1 || got[0].Ready == nil || *got[0].Ready || len(got[0].Issues) == 0 {
		t.Errorf("complete, and not ready: %+v", got)
	}
	// What the target refused without saying why is an issue, too.
	exec := func(sql string) {
		t.Helper()
		if tag, err := k.store.Pool().Exec(t.Context(), sql); err != nil || tag.RowsAffected() == 0 {
			t.Fatal(tag, err)
		}
	}
	exec(`insert into listing (channel_id, product_id, lane, dirty, error) select c.id, p.id, 1, false, 'no' from channel c, product p where c.code = 'market' and p.sku = 'P/R'
on conflict (product_id, channel_id, lane) do update set dirty = false, error = 'no', issues = null`)
	if got := ask("P%2FR/completeness?channel=market"); len(got) != 1 || *got[0].Ready || len(got[0].Issues) != 1 || got[0].Issues[0].Code != "lane.refused" ||
		got[0].Issues[0].Text != "content: the target refused it, and nothing has changed since: no" {
		t.Errorf("refused without an issue: %+v", got)
	}
	// A channel that cannot be opened is told as that; the others answer.
	exec(`update channel set connector = 'gone', version = version + 1 where code = 'shop'`)
	by = map[string]readinessView{}
	for _, r := range ask("P%2FR/completeness") {
		by[r.Channel] = r
	}
	if shop := by["shop"]; len(by) != 2 || shop.Share != 1 || shop.Ready == nil || *shop.Ready || len(shop.Issues) != 1 || shop.Issues[0].Code != "channel.closed" || shop.Issues[0].Severity != pim.SeverityError {
		t.Errorf("closed: %+v", by)
	}
	var family FamilyCompleteness
	k.want(k.do(Viewer, "GET", "/v1/families/shoe/completeness?channel=market", nil), 200, &family)
	if len(family.Channels) != 1 || family.Channels[0].Products != 2 || family.Channels[0].Complete != 0 || len(family.Channels[0].Missing) != 1 || family.Channels[0].Missing[0].Products != 2 {
		t.Errorf("of the family: %+v", family)
	}
	k.want(k.do(Viewer, "GET", "/v1/families/none/completeness", nil), 404, nil)
	k.want(k.do(Viewer, "GET", "/v1/products/none/completeness", nil), 404, nil)
	k.want(k.do(Viewer, "GET", "/v1/products/P/completeness?channel=none", nil), 404, nil)
	k.refused(k.do(Viewer, "GET", "/v1/products/P/completeness?locale=xx-YY", nil), 422, "query.locale", "locale.unknown")
}

// A channel that is deleted while the answer is made is left out of it.
func TestCompletenessOfAChannelDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.do(Editor, "PUT", "/v1/products/P", map[string]any{"family": "shoe", "values": map[string]any{}}), 201, nil)
	k.want(k.channel("shop", "http://127.0.0.1:1"), 201, nil)
	k.want(k.channel("market", "http://127.0.0.1:1"), 201, nil)
	// The schema, of which somebody else has made another, is read after the list of the channels: it waits for us there.
	if _, err := k.store.Pool().Exec(t.Context(), `update catalogue set version = version + 1`); err != nil {
		t.Fatal(err)
	}
	tx, err := k.store.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }() // committed, if all went well
	if _, err := tx.Exec(t.Context(), `lock table attribute in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	answered := make(chan reply, 1)
	go func() { answered <- k.do(Viewer, "GET", "/v1/products/P/completeness", nil) }()
	for waits := false; !waits; {
		if err := tx.QueryRow(t.Context(), `select exists (select from pg_locks where not granted and relation = 'attribute'::regclass and database = (select oid from pg_database where datname = current_database()))`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	if tag, err := tx.Exec(t.Context(), `update channel set deleted_at = now(), enabled = false where code = 'market'`); err != nil || tag.RowsAffected() != 1 {
		t.Fatal(tag, err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	var body struct{ Channels []readinessView }
	if k.want(<-answered, 200, &body); len(body.Channels) != 1 || body.Channels[0].Channel != "shop" {
		t.Errorf("%+v", body.Channels)
	}
}

type readinessView struct {
	Channel, Locale  string
	Required, Filled int
	Share            float64
	Missing          []string
	Ready            *bool
	Issues           []pim.Issue
}
