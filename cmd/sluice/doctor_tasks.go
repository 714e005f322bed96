//go:build unix

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/sluicehub/sluice/pim/postgres"
)

// lotsTold is how many lots that wait are told of one by one.
const lotsTold = 20

func examineTasks(ctx context.Context, d *diagnosis, store *postgres.Store, now time.Time) error {
	kinds, err := store.TaskCounts(ctx)
	if err != nil {
		return err
	}
	lots, err := store.Lots(ctx)
	if err != nil {
		return err
	}
	tellTasks(d, kinds, lots, now)
	return nil
}

// tellTasks tells what was given up, and what waits for a host or a service that
// is not there. Both are notes: the road goes on without them.
func tellTasks(d *diagnosis, kinds []postgres.TaskCounts, lots []postgres.LotCounts, now time.Time) {
	before, waiting := len(d.Findings), int64(0)
	for _, k := range kinds {
		waiting += k.Waiting
		if k.Failed > 0 {
			d.add("tasks", levelNote, "%d of kind %s were given up; `sluice task list --kind %[2]s --state failed` says why", k.Failed, k.Kind)
		}
	}
	told := 0
	for _, l := range lots {
		if l.Waiting == 0 || l.Fails == 0 && (l.WaitUntil == nil || !l.WaitUntil.After(now)) {
			continue
		}
		if told++; told > lotsTold {
			continue
		}
		next, why := "", ""
		if l.WaitUntil != nil && l.WaitUntil.After(now) {
			next = " for another " + l.WaitUntil.Sub(now).Round(time.Second).String()
		}
		if l.Fails > 0 {
			why = fmt.Sprintf(", after %d failures", l.Fails)
		}
		d.add("tasks", levelNote, "%d of kind %s (%s) wait%s%s: %s", l.Waiting, l.Kind, l.Lot, next, why, or(oneLine(l.Error), "no reason is known"))
	}
	if told > lotsTold {
		d.add("tasks", levelNote, "%d more lots wait; `sluice task summary` lists them", told-lotsTold)
	}
	if len(d.Findings) == before {
		d.add("tasks", levelWell, "%d files, renditions and texts are still to be worked off, and none is held up", waiting)
	}
}
