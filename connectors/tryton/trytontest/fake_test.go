package trytontest_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors/fakeworks"
	"github.com/sluicehub/sluice/connectors/tryton/trytontest"
	"github.com/sluicehub/sluice/pim"
)

// The admin paths are how people move the fake beside a demo.
func TestAdmin(t *testing.T) {
	s := trytontest.Start(t, trytontest.Options{})
	if err := s.Add("", "A/1", "Kettle", "10"); err != nil {
		t.Fatal(err)
	}
	call := func(method, path string, status int, into any) {
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
		if resp.StatusCode != status {
			t.Errorf("%s %s: %s", method, path, resp.Status)
		}
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	var sum trytontest.Summary
	call("POST", "price/A/1?amount=12.50", 200, &sum)
	call("POST", "receive/A/1?quantity=4", 200, &sum)
	call("POST", "ship/A/1?quantity=1", 200, &sum)
	call("POST", "expire", 200, &sum)
	var p fakeworks.Item
	if call("GET", "items/A/1", 200, &p); p.Price != "12.50" || p.Title != "Kettle" || p.Status != "active" || p.Stock == nil || *p.Stock != 3 {
		t.Errorf("%+v", p)
	}
	call("POST", "count/A/1?quantity=0", 200, &sum)
	if call("GET", "items/A/1", 200, &p); *p.Stock != 0 {
		t.Errorf("%+v", p)
	}
	if call("POST", "down?how=hang", 200, &sum); sum.Down != trytontest.Hang || sum.Products != 1 {
		t.Errorf("%+v", sum)
	}
	sum = trytontest.Summary{}
	if call("POST", "up", 200, &sum); sum.Down != "" {
		t.Errorf("%+v", sum)
	}
	var problem map[string]string
	for path, status := range map[string]int{"price/B?amount=1": 400, "price/A/1?amount=much": 400, "receive/A/1?quantity=-1": 400, "count/A/1?quantity=-1": 400, "count/A/1?quantity=1&location=x": 400} {
		if call("POST", path, status, &problem); strings.TrimSpace(problem["error"]) == "" {
			t.Errorf("%s: %v", path, problem)
		}
	}
	call("GET", "items/B", 404, &problem)
}

// What is known of a product before it comes is entered when it comes; after a
// restart all of it is there again.
func TestLedger(t *testing.T) {
	opts := trytontest.Options{Warehouses: []string{"north"}, Ledger: filepath.Join(t.TempDir(), "ledger"), Languages: []string{"nl"}}
	open := func() *trytontest.Server {
		t.Helper()
		s, err := trytontest.NewServer("", opts)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	if !s.Fresh() {
		t.Error("a new fake is not fresh")
	}
	for _, sku := range []pim.SKU{"LATER", "A"} {
		if err := s.Know(sku, trytontest.Opening{ListPrice: "12.50", Stock: map[string]trytontest.Level{"north": {OnHand: 9, Reserved: 2}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Add("", "A", "Kettle", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Add("", "A", "of the same code", ""); err == nil {
		t.Error("a code was taken twice")
	}
	if err := s.Know("A", trytontest.Opening{Stock: map[string]trytontest.Level{"north": {OnHand: 5, Reserved: 1}}}); err != nil {
		t.Fatal(err)
	}
	before, _ := s.Item("A")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s = open(); s.Fresh() {
			t.Error("an old fake is fresh")
		}
	}
	defer s.Close()
	after, ok := s.Item("A")
	if !ok || !reflect.DeepEqual(before, after) || *after.Stock != 5 || after.Title != "Kettle" {
		t.Errorf("%+v, was %+v", after, before)
	}
	if err := s.Add("", "LATER", "Radio", ""); err != nil {
		t.Fatal(err)
	}
	if item, _ := s.Item("LATER"); item.Price != "12.50" || item.Stock == nil || *item.Stock != 9 {
		t.Errorf("%+v", item)
	}
}
