package api

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicehub/sluice/connectors/translation/deepl/deepltest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// seedTexts adds a family with texts.
func (k *kit) seedTexts() *kit {
	k.t.Helper()
	_, err := k.store.ChangeSchema(context.Background(), postgres.SchemaChange{
		Locales: []pim.Locale{"en-GB", "de-DE", "es-ES"}, Currencies: []pim.Currency{"EUR"},
		Attributes: []pim.Attribute{
			{Code: "name", Type: pim.TypeText, Localizable: true, MaxLength: 60},
			{Code: "blurb", Type: pim.TypeRichText, Localizable: true},
			{Code: "pitch", Type: pim.TypeText, Localizable: true},
		},
		Families: []pim.Family{{Code: "item", Attributes: []pim.FamilyAttribute{{Code: "name"}, {Code: "blurb"}, {Code: "pitch"}}}},
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return k
}

// work starts workers for texts.
func (k *kit) work() {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	k.t.Cleanup(cancel)
	runner, err := jobs.New(jobs.Config{
		Store: k.store, Channels: k.s.Channels, Texts: k.texts, Log: k.s.Log, Metrics: prometheus.NewRegistry(), Holder: "test", Work: true, Sweep: 50 * time.Millisecond,
	})
	if err != nil {
		k.t.Fatal(err)
	}
	if err := runner.Start(ctx); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := runner.Stop(ctx); err != nil {
			k.t.Error("stop:", err)
		}
	})
}

// quiet waits until nothing is to be looked at or worked on.
func (k *kit) quiet() {
	k.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(2 * time.Minute); ; {
		var n int
		if err := k.store.Pool().QueryRow(context.Background(), `
			select (select count(*) from outbox) + (select count(*) from derive) + (select count(*) from task where state = 'waiting')`).Scan(&n); err != nil {
			k.t.Fatal(err)
		}
		if n == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			k.t.Fatalf("%d things are still to be done\nlog: %s", n, k.log)
		}
	}
}

// deepl makes a provider with a fake service.
func (k *kit) deepl(code string) *deepltest.Fake {
	k.t.Helper()
	fake := deepltest.New("s3cret-key", 1000)
	srv := httptest.NewServer(fake)
	k.t.Cleanup(srv.Close)
	k.want(k.do(ChannelManager, "POST", "/v1/providers", map[string]any{
		"code": code, "kind": "deepl", "config": map[string]any{"url": srv.URL, "key": "s3cret-key", "price_per_million": "20", "currency": "EUR"},
	}), 201, nil)
	return fake
}

// texts lists texts by a query.
func (k *kit) listed(query string) []Text {
	k.t.Helper()
	var list page[Text]
	k.want(k.do(Viewer, "GET", "/v1/texts"+query, nil), 200, &list)
	return list.Items
}

func text1(k *kit, query string) Text {
	k.t.Helper()
	list := k.listed(query)
	if len(list) != 1 {
		k.t.Fatalf("%s lists %d texts: %+v", query, len(list), list)
	}
	return list[0]
}

const german = `{"action":"translate","families":["item"],"attributes":["name","blurb"],"from":"en-GB","to":["de-DE"]}`

// put makes a product equal to values.
func (k *kit) putItem(sku, values string) {
	k.t.Helper()
	if r := k.do(Editor, "PUT", "/v1/products/"+sku, `{"family":"item","values":`+values+`}`); r.StatusCode != 200 && r.StatusCode != 201 {
		k.t.Fatalf("put %s: %d %s", sku, r.StatusCode, r.body)
	}
}

func (k *kit) patchItem(sku, values string) {
	k.t.Helper()
	k.want(k.do(Editor, "PATCH", "/v1/products/"+sku, `{"values":`+values+`}`), 200, nil)
}

// A product's texts go through a service, a person's stay, and what a person
// decides is an edit in their name.
func TestTextsFromServiceToReview(t *testing.T) {
	t.Parallel()
	k := newKit(t).seedTexts()
	fake := k.deepl("main")
	var rule TextRuleView
	k.want(k.do(Editor, "PUT", "/v1/text-rules/german", german), 201, &rule)
	if rule.Review != postgres.ReviewAuto || rule.Revision != 1 {
		t.Errorf("rule %+v", rule)
	}
	k.work()
	k.putItem("A", `{"name":{"en-GB":"Red kettle"},"blurb":{"en-GB":"<p>Boils water.</p>","de-DE":"<p>Kocht Wasser.</p>"}}`)
	k.quiet()
	x := text1(k, "?sku=A&attribute=name")
	if x.State != postgres.TextMachine || *x.Target != "RED KETTLE" || *x.Source != "Red kettle" || x.Provenance == nil || x.Provenance.Providers[0] != "main" || x.Task != "" {
		t.Errorf("a machine's text: %+v", x)
	}
	if x := text1(k, "?state=reviewed"); x.Attribute != "blurb" || x.Proposal != nil {
		t.Errorf("a person's text: %+v", x)
	}
	k.patchItem("A", `{"blurb":{"en-GB":"<p>Boils milk.</p>"}}`)
	k.quiet()
	x = text1(k, "?waiting_for_review=true&locale=de-DE&family=item&rule=german&action=translate")
	if x.State != postgres.TextOutdated || *x.Target != "<p>Kocht Wasser.</p>" || *x.Proposal != "<p>BOILS MILK.</p>" {
		t.Errorf("an outdated text: %+v", x)
	}
	for _, none := range []string{"?state=missing", "?failed=true", "?family=x", "?locale=es-ES", "?sku=B", "?rule=x", "?action=generate", "?channel=x", "?attribute=pitch"} {
		if list := k.listed(none); len(list) != 0 {
			t.Errorf("%s lists %+v", none, list)
		}
	}
	var counts TextCounts
	k.want(k.do(Viewer, "GET", "/v1/texts/summary", nil), 200, &counts)
	if !slices.Equal(counts.Counts, []TextCount{
		{Rule: "german", Locale: "de-DE", State: postgres.TextMachine, Texts: 1}, {Rule: "german", Locale: "de-DE", State: postgres.TextOutdated, Texts: 1, Proposals: 1},
	}) {
		t.Errorf("counts %+v", counts)
	}

	items := fmt.Sprintf(`{"items":[
		{"sku":"A","attribute":"blurb","locale":"de-DE","action":"accept","source":"<p>Boils milk.</p>"},
		{"id":%d,"action":"edit","text":"Roter Kessel","revision":%d},
		{"id":%d,"action":"reject"},
		{"sku":"A","attribute":"pitch","locale":"de-DE","action":"accept"},
		{"id":999999,"action":"accept"},
		{"action":"accept"},
		{"id":1,"sku":"A","action":"accept"}]}`, text1(k, "?attribute=name").ID, text1(k, "?attribute=name").Revision, text1(k, "?attribute=name").ID)
	k.want(k.do(ChannelManager, "POST", "/v1/texts/review", items), 403, nil)
	var a TextReviewAnswer
	k.want(k.do(Editor, "POST", "/v1/texts/review", items), 200, &a)
	var told []string
	for _, r := range a.Results {
		s := r.Status + " " + string(r.State)
		for _, p := range r.Problems {
			s += p.Pointer + " " + p.Code
		}
		told = append(told, s)
	}
	if want := []string{
		"stored reviewed", "stored reviewed", "refused /items/2 text.stale", "refused /items/3 text.unknown", "refused /items/4 text.unknown",
		"refused /items/5 text.unnamed", "refused /items/6/id text.twice",
	}; !slices.Equal(told, want) || a.Stored != 2 || a.Refused != 5 {
		t.Errorf("became of it %q, want %q", told, want)
	}
	k.quiet()
	if list := k.listed("?state=reviewed"); len(list) != 2 || list[0].Proposal != nil || list[1].Proposal != nil {
		t.Errorf("reviewed %+v", list)
	}
	var p Product
	k.want(k.do(Viewer, "GET", "/v1/products/A", nil), 200, &p)
	if p.Revision != 4 || !strings.Contains(string(p.Values), "Roter Kessel") || !strings.Contains(string(p.Values), "BOILS MILK.") {
		t.Errorf("revision %d of the product: %s", p.Revision, p.Values)
	}
	var history page[pim.Event]
	k.want(k.do(Viewer, "GET", "/v1/products/A/history?limit=1", nil), 200, &history)
	if history.Items[0].Actor != "editor key" {
		t.Errorf("by %q", history.Items[0].Actor)
	}

	// What is paid for is counted, and what the service says beside it.
	var u ProviderUsage
	k.want(k.do(Viewer, "GET", "/v1/providers/main/usage", nil), 200, &u)
	if u.Used == 0 || u.Used != u.Characters || u.Calls == 0 || u.Costs["EUR"] == "" || u.Service == nil || u.Service.Used != u.Used || u.Service.Limit != 1000 {
		t.Errorf("usage %+v %+v", u, u.Service)
	}
	if fake.Texts() != 2 {
		t.Errorf("%d texts were translated", fake.Texts())
	}
	if r := k.do(Viewer, "GET", "/v1/products/A", nil); strings.Contains(k.log.String()+string(r.body), "s3cret-key") {
		t.Error("a secret is told")
	}
}

// What a provider for tests made is shown, and accepted by nobody.
func TestTestTexts(t *testing.T) {
	t.Parallel()
	k := newKit(t).seedTexts()
	k.want(k.do(Admin, "POST", "/v1/providers", `{"code":"trial","kind":"pseudo"}`), 201, nil)
	k.want(k.do(Admin, "PUT", "/v1/text-rules/german", german), 201, nil)
	k.work()
	k.putItem("A", `{"name":{"en-GB":"Market"}}`)
	k.quiet()
	x := text1(k, "?sku=A")
	if !x.Test || x.TestValue == nil || !strings.HasPrefix(*x.TestValue, "[Ḿåŕķéţ") || x.Target != nil {
		t.Errorf("a test's text: %+v", x)
	}
	var a TextReviewAnswer
	k.want(k.do(Editor, "POST", "/v1/texts/review", `{"items":[{"sku":"A","attribute":"name","locale":"de-DE","action":"accept"}]}`), 200, &a)
	if a.Refused != 1 || a.Results[0].Problems[0].Code != "text.test" || a.Results[0].Problems[0].Pointer != "/items/0/action" {
		t.Errorf("accepted: %+v", a)
	}
	if x = text1(k, "?sku=A"); x.Target != nil {
		t.Errorf("stored: %+v", x)
	}
	var c Channel
	k.want(k.do(Admin, "POST", "/v1/channels", `{"code":"t","connector":"webhook","locale":"de-DE","currency":"EUR","enabled":false,"test":true,
		"config":{"url":"http://127.0.0.1:9","secret":"`+testSecret+`"}}`), 201, &c)
	if !c.Test {
		t.Error("the channel is no test")
	}
	if k.want(k.do(Admin, "PATCH", "/v1/channels/t", `{"batch":3}`), 200, &c); !c.Test {
		t.Error("a patch of something else made it none")
	}
	if k.want(k.do(Admin, "PATCH", "/v1/channels/t", `{"test":false}`), 200, &c); c.Test {
		t.Error("it is still a test")
	}
}

// An agency gets a file and sends it back; what has changed meanwhile is refused
// with its row and column.
func TestTextsAsCSV(t *testing.T) {
	t.Parallel()
	k := newKit(t).seedTexts()
	k.deepl("main")
	k.want(k.do(Admin, "PUT", "/v1/text-rules/german", strings.Replace(german, `"from"`, `"review":"proposal","from"`, 1)), 201, nil)
	k.work()
	for _, sku := range []string{"A", "B", "C", "D", "E", "F"} {
		k.putItem(sku, `{"name":{"en-GB":"=Item `+sku+`, red"},"pitch":{"en-GB":"x"}}`)
	}
	k.quiet()
	r := k.want(k.do(Viewer, "GET", "/v1/texts.csv?waiting_for_review=true&attribute=name", nil), 200, nil)
	if ct := r.Header.Get("Content-Type"); ct != "text/csv; charset=utf-8" {
		t.Error(ct)
	}
	rows, err := csv.NewReader(strings.NewReader(string(r.body))).ReadAll()
	if err != nil || len(rows) != 7 {
		t.Fatalf("%d rows, %v: %s", len(rows), err, r.body)
	}
	at := func(name string) int { return slices.Index(rows[0], name) }
	if rows[1][at("source")] != "'=Item A, red" || rows[1][at("proposal")] != "'=ITEM A, RED" || rows[1][at("sku")] != "A" {
		t.Errorf("row %q", rows[1])
	}
	rows[1][at("text")] = "Ding A, rot"
	rows[2][at("action")] = "accept"
	rows[3][at("action")] = "Reject"
	rows[4][at("text")] = "Ding D, rot" // whose source changes
	rows[5][at("text")] = strings.Repeat("zu lang ", 10)
	rows = append(rows, slices.Clone(rows[1]), slices.Clone(rows[1]), slices.Clone(rows[1]))
	rows[7][at("id")], rows[8][at("id")], rows[9][at("action")] = "x", "999999", "accept"
	k.patchItem("D", `{"name":{"en-GB":"Another"}}`)
	var file strings.Builder
	w := csv.NewWriter(&file)
	w.Comma = ';'
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	var a FileAnswer
	k.want(k.do(Editor, "POST", "/v1/texts.csv", file.String(), "Content-Type", "text/csv"), 200, &a)
	var told []string
	for _, f := range a.Refused {
		told = append(told, fmt.Sprintf("%d %d %s %s", f.Row, f.Line, f.Column, f.Code))
	}
	if want := []string{"4 5 source source.changed", "5 6 text text.too_long", "7 8 id csv.id", "8 9 id text.unknown", "9 10 text text.extra"}; a.Rows != 8 || a.Stored != 3 || !slices.Equal(told, want) {
		t.Errorf("%d of %d rows are stored, refused %q, want %q", a.Stored, a.Rows, told, want)
	}
	k.quiet()
	for sku, want := range map[string]string{"A": "reviewed Ding A, rot", "B": "reviewed =ITEM B, RED", "C": "missing ", "D": "missing ", "E": "missing ", "F": "missing "} {
		x := text1(k, "?attribute=name&sku="+sku)
		target := ""
		if x.Target != nil {
			target = *x.Target
		}
		if got := string(x.State) + " " + target; got != want {
			t.Errorf("%s is %q, want %q", sku, got, want)
		}
		if waits := x.Proposal != nil; waits != (sku >= "D") {
			t.Errorf("%s waits for review: %v", sku, waits)
		}
	}
	k.want(k.do(Editor, "POST", "/v1/texts.csv", file.String(), "Content-Type", "text/csv"), 200, &a)
	if a.Stored != 0 {
		t.Errorf("the file once more: %d rows are stored", a.Stored)
	}
	k.refused(k.do(Editor, "POST", "/v1/texts.csv", "id,rev\n1,2\n", "Content-Type", "text/csv"), 422, "", "csv.column")
	k.refused(k.do(Editor, "POST", "/v1/texts.csv", "id,rev,text\n1,\"2\n", "Content-Type", "text/csv"), 422, "", "csv")
	k.want(k.do(Editor, "POST", "/v1/texts.csv", "[]"), 415, nil)
	long := strings.Repeat("x", 64<<10)
	k.want(k.do(Editor, "POST", "/v1/texts.csv", endless{strings.NewReader("id,rev,text\n"), long}, "Content-Type", "text/csv"), 413, nil)
	k.want(k.do(Integration, "POST", "/v1/texts.csv", file.String(), "Content-Type", "text/csv"), 403, nil)
	k.want(k.do(Viewer, "GET", "/v1/texts.csv?state=x", nil), 422, nil)
}

// endless is a file that does not end.
type endless struct {
	head io.Reader
	row  string
}

func (e endless) Read(b []byte) (int, error) {
	if n, err := e.head.Read(b); err == nil {
		return n, nil
	}
	return copy(b, "1,,"+e.row[:min(len(e.row), max(0, len(b)-4))]+"\n"), nil
}

func TestTextCommandsAreChecked(t *testing.T) {
	t.Parallel()
	k := newKit(t).seedTexts()
	for body, want := range map[string][2]string{
		`{}`: {"/items", "field.missing"}, `{"items":[]}`: {"/items", "limit"}, `{"items":[{"id":0,"action":"accept"}]}`: {"/items/0/id", "limit"},
		`{"items":[{"id":1}]}`: {"/items/0/action", "field.missing"}, `{"items":[{"id":1,"action":"accept","x":1}]}`: {"/items/0/x", "field.unknown"}, `[]`: {"", "field.type"},
		`{"items":[` + strings.Repeat(`{"id":1,"action":"accept"},`, 1000) + `{"id":1,"action":"accept"}]}`: {"/items", "limit"},
	} {
		k.refused(k.do(Editor, "POST", "/v1/texts/review", body), 422, want[0], want[1])
	}
	k.refused(k.do(Viewer, "GET", "/v1/texts?cursor=x", nil), 422, "query.cursor", "cursor")
	k.want(k.do(Viewer, "GET", "/v1/texts?state=x", nil), 422, nil)
	without := newKit(t, func(c *Config) { c.Texts = nil })
	for _, path := range []string{"/v1/providers", "/v1/provider-kinds", "/v1/texts.csv", "/v1/glossary.csv"} {
		without.want(without.do(Admin, "GET", path, nil), 503, nil)
	}
}
