package woocommercetest_test

import (
	"net/http"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
)

// After a restart the shop holds what it held, finds it, and gives no id twice.
func TestLedger(t *testing.T) {
	opts := woocommercetest.Options{Ledger: filepath.Join(t.TempDir(), "ledger")}
	open := func() *woocommercetest.Server {
		t.Helper()
		s, err := woocommercetest.NewServer("", opts)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	if !s.Fresh() {
		t.Error("a new shop is not fresh")
	}
	stock := int64(4)
	category := s.AddCategory("Tea", 0)
	s.Add(woocommercetest.Product{SKU: "A", Name: "Kettle", GlobalUniqueID: "4006381333931", ManageStock: true, StockQuantity: &stock, Categories: []woocommercetest.Category{{ID: category}}})
	s.Add(woocommercetest.Product{SKU: "B", Name: "Cup"})
	s.Edit("A", func(p *woocommercetest.Product) { p.Name, p.RegularPrice = "Tea kettle", "12.50" })
	last := s.Add(woocommercetest.Product{SKU: "GONE", Name: "Gone"})
	s.Delete("GONE")
	before, _ := s.Held("A")
	item, _ := s.Item("A")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s = open(); s.Fresh() {
			t.Error("an old shop is fresh")
		}
	}
	t.Cleanup(func() { _ = s.Close() })
	if after, ok := s.Held("A"); !ok || !reflect.DeepEqual(before, after) {
		t.Errorf("%+v, was %+v", after, before)
	}
	if after, _ := s.Item("A"); !reflect.DeepEqual(item, after) || *after.Stock != 4 || after.Title != "Tea kettle" {
		t.Errorf("%+v, was %+v", after, item)
	}
	if _, ok := s.Held("GONE"); ok {
		t.Error("a deleted product came back")
	}
	if c := s.Counts(); c.Products != 2 || c.Categories != 2 {
		t.Errorf("%+v", c)
	}
	if id := s.Add(woocommercetest.Product{SKU: "C", Name: "Jar"}); id <= last {
		t.Errorf("id %d was given before, the last was %d", id, last)
	}
}

// The admin paths are how people look at a shop beside a demo.
func TestAdmin(t *testing.T) {
	s := woocommercetest.Start(t, woocommercetest.Options{})
	s.Add(woocommercetest.Product{SKU: "A/1", Name: "Kettle"})
	call := func(method, path string, want int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.AdminURL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s %s: %s", method, path, resp.Status)
		}
	}
	call("GET", "items/A/1", 200)
	call("GET", "items/B", 404)
	call("GET", "log?sku=A/1", 200)
	call("GET", "state", 200)
	if call("POST", "down?how=maintenance", 200); !s.Summary().Down {
		t.Error("it is not down")
	}
	call("GET", "items/A/1", 200) // people still see it
	if call("POST", "up", 200); s.Summary().Down {
		t.Error("it is still down")
	}
}
