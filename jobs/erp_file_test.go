package jobs_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/jobs/importing"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// imported runs an import of a file to its end.
func (r *road) imported(filename, content string, o importing.Options) postgres.ImportRun {
	r.Helper()
	options, err := json.Marshal(o)
	if err != nil {
		r.Fatal(err)
	}
	id, err := r.store.CreateImport(r.ctx, filename, "erp", options, strings.NewReader(content))
	if err != nil {
		r.Fatal(err)
	}
	l, err := r.store.Take(r.ctx, postgres.Consumer{Kind: postgres.Import, Channel: pim.ChannelID(id)}, 0, "test", time.Hour)
	if err != nil {
		r.Fatal(err)
	}
	if err := importing.New(r.store, r.log, nil).Run(r.ctx, l); err != nil {
		r.Fatal(err)
	}
	run, err := r.store.ImportRun(r.ctx, id)
	if err != nil || run.State != "finished" {
		r.Fatalf("%+v, %v", run, err)
	}
	return run
}

// An ERP's file of prices moves each price that rules derive of them, on every
// channel that sells by one, once; and nothing else moves anywhere.
func TestERPFileMovesDerivedPrices(t *testing.T) {
	t.Parallel()
	const inFile, others = 10_000, 100
	r := newRoad(t)
	for _, l := range []pim.PriceList{{Code: "dealer"}, {Code: "friends", Base: "dealer"}, {Code: "fixed"}} {
		if _, _, err := r.store.PutPriceList(r.ctx, l, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []pim.PriceRule{{Code: "dealer", PriceList: "dealer", Percent: "-10"}, {Code: "friends", PriceList: "friends", Percent: "-50"}} {
		if _, _, err := r.store.PutPriceRule(r.ctx, x, 0); err != nil {
			t.Fatal(err)
		}
	}
	all := skus(inFile + others)
	for part := range slices.Chunk(all, 1000) {
		r.put(part, title("a thing"))
		var rows []pim.PriceRow
		for _, sku := range part {
			pounds, fixed := price("7"), price("5")
			pounds.Currency, fixed.PriceList = "GBP", "fixed"
			rows = append(rows, pim.PriceRow{SKU: sku, Price: price("10")}, pim.PriceRow{SKU: sku, Price: pounds}, pim.PriceRow{SKU: sku, Price: fixed})
		}
		for rows := range slices.Chunk(rows, 1000) {
			if _, err := r.store.SetPrices(r.ctx, "erp", rows, postgres.Idempotency{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	sells := map[pim.ChannelCode]struct {
		list  string
		in    pim.Currency
		after string // what it shows of the file's products behind it; "": what it showed before
	}{"shop": {"default", "EUR", "20.00"}, "trade": {"dealer", "EUR", "18.00"}, "friends": {"friends", "EUR", "9.00"}, "pounds": {"default", "GBP", ""}, "fixed": {"fixed", "EUR", ""}}
	codes := []pim.ChannelCode{}
	for code, c := range sells {
		codes = append(codes, code)
		r.channel(code, webhooktest.Options{History: 3 * (inFile + others)}, func(s *jobs.ChannelSpec) { s.PriceList, s.Currency = c.list, c.in })
	}
	r.work()
	r.settled(codes...)
	before, shown := map[pim.ChannelCode]int64{}, map[pim.ChannelCode]map[pim.SKU]webhooktest.Listing{}
	for code, fake := range r.fakes {
		before[code], shown[code] = fake.Log("", 1)[0].Seq, fake.Listings(pim.Offer)
	}
	var file strings.Builder
	file.WriteString("sku,price-EUR\n")
	for _, sku := range all[:inFile] {
		fmt.Fprintf(&file, "%s,20.00\n", sku)
	}
	if run := r.imported("prices.csv", file.String(), importing.Options{}); run.Changed != inFile {
		t.Fatalf("%+v", run)
	}
	r.settled(codes...)
	for code, fake := range r.fakes {
		sent := map[pim.SKU]int{}
		for _, e := range fake.Log("", 0) {
			if e.Seq <= before[code] {
				continue
			}
			if sent[e.SKU]++; e.Lane != pim.Offer || sent[e.SKU] > 1 {
				t.Fatalf("%s received %s of %s, %d in all", code, e.Lane, e.SKU, sent[e.SKU])
			}
		}
		offers := fake.Listings(pim.Offer)
		for i, sku := range all {
			moves := sells[code].after != "" && i < inFile
			doc, had := string(offers[sku].Document), string(shown[code][sku].Document)
			switch {
			case moves != (sent[sku] == 1):
				t.Fatalf("%s received %s %d times", code, sku, sent[sku])
			case moves && !strings.Contains(doc, `"price":"`+sells[code].after+`"`):
				t.Fatalf("%s shows %s of %s", code, doc, sku)
			case !moves && doc != had:
				t.Fatalf("%s shows %s of %s, not %s", code, doc, sku, had)
			}
		}
	}
}
