//go:build unix

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim/postgres"
)

func TestDoctorTellsOfTasks(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	later, past := now.Add(90*time.Second), now.Add(-time.Hour)
	say := func(kinds []postgres.TaskCounts, lots []postgres.LotCounts) string {
		d := &diagnosis{Well: true}
		tellTasks(d, kinds, lots, now)
		if !d.Well {
			t.Error("a task is no reason for the status 1")
		}
		var lines []string
		for _, f := range d.Findings {
			lines = append(lines, fmt.Sprintf("%s %s: %s", f.Level, f.Area, f.Text))
		}
		return strings.Join(lines, "\n")
	}
	well := []postgres.TaskCounts{{Kind: "render", Waiting: 7, Done: 3}, {Kind: "fetch"}}
	busy := []postgres.LotCounts{{Kind: "render", Lot: "0", Waiting: 7, WaitUntil: &past}, {Kind: "fetch", Lot: "a.example", Fails: 3, WaitUntil: &later, Error: "gone"}}
	if got := say(well, busy); got != "well tasks: 7 files, renditions and texts are still to be worked off, and none is held up" {
		t.Error(got)
	}
	ill := []postgres.TaskCounts{{Kind: "fetch", Failed: 2}, {Kind: "translate", Waiting: 100}}
	held := []postgres.LotCounts{{Kind: "translate", Lot: "en-GB>es-ES", Waiting: 100, Fails: 4, WaitUntil: &later, Error: "deepl: no such host"}}
	if got := say(ill, held); got != "note tasks: 2 of kind fetch were given up; `sluice task list --kind fetch --state failed` says why\n"+
		"note tasks: 100 of kind translate (en-GB>es-ES) wait for another 1m30s, after 4 failures: deepl: no such host" {
		t.Error(got)
	}
	many := make([]postgres.LotCounts, lotsTold+3)
	for i := range many {
		many[i] = postgres.LotCounts{Kind: "fetch", Lot: fmt.Sprint(i), Waiting: 1, WaitUntil: &later}
	}
	if got := say(nil, many); strings.Count(got, "\n") != lotsTold || !strings.HasSuffix(got, "3 more lots wait; `sluice task summary` lists them") {
		t.Error(got)
	}
}
