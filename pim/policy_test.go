package pim_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

func TestPolicyCheck(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string][]string{
		`{}`: nil,
		`{"flow": {"requests_per_second": 2.5, "burst": 10, "requests_per_day": 5000, "day_begins": "06:00", "time_zone": "Europe/Amsterdam",
			"windows": [{"days": ["mon"], "from": "22:00", "to": "06:00", "lanes": ["content"]}], "debounce_seconds": 5}}`: nil,
		`{"exchanges": {"keep": "all", "days": 30, "body_bytes": 100}}`: nil,
		`{"exchanges": {"keep": "most", "days": 31, "body_bytes": 99}}`: {"/exchanges/keep", "/exchanges/days", "/exchanges/body_bytes"},
		`{"flow": {"requests_per_second": 1e9, "burst": -1, "requests_per_day": -5, "day_begins": "6:00", "time_zone": "Mars/Olympus", "debounce_seconds": 9999,
			"windows": [{"from": "24:00", "to": "", "days": ["monday"], "lanes": ["texts"]}]}}`: {
			"/flow/requests_per_second", "/flow/burst", "/flow/requests_per_day", "/flow/debounce_seconds", "/flow/day_begins", "/flow/time_zone",
			"/flow/windows/0/from", "/flow/windows/0/to", "/flow/windows/0/days/0", "/flow/windows/0/lanes/0",
		},
	} {
		var p pim.Policy
		if err := json.Unmarshal([]byte(raw), &p); err != nil {
			t.Fatal(err)
		}
		var at []string
		for _, problem := range p.Check() {
			at = append(at, problem.Pointer)
		}
		if !slices.Equal(at, want) {
			t.Errorf("%s: problems at %q, want %q", raw, at, want)
		}
	}
}
