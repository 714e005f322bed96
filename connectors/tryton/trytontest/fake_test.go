package trytontest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors/tryton/trytontest"
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
	var p trytontest.Product
	if call("GET", "items/A/1", 200, &p); p.ListPrice != "12.50" || p.Name != "Kettle" || !p.Active {
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
	for path, status := range map[string]int{"price/B?amount=1": 400, "price/A/1?amount=much": 400, "receive/A/1?quantity=-1": 400} {
		if call("POST", path, status, &problem); strings.TrimSpace(problem["error"]) == "" {
			t.Errorf("%s: %v", path, problem)
		}
	}
	call("GET", "items/B", 404, &problem)
}
