package jobs

import (
	"encoding/json"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// The parent rule. Where a target holds variants only below their parents
// (connectors.Kind.ParentField), a variant that it does not hold yet waits as long
// as its parent's content is to be there and is not: on its way, in doubt, pending
// or refused. The receipt by which the parent begins its life wakes it. Where both
// are claimed together they go in one call, since connectors put parents first and
// may make a whole family at once. What is there already is only changed, and
// waits for nothing.

// parentMost is after how long a variant is looked at again whose parent nobody
// has brought to the target.
const parentMost = 10 * time.Minute

func (s *step) orphan(t *task) bool { return s.t.orphan(t) }

// orphan reports whether the task is a variant that the target cannot hold yet.
func (t *Target) orphan(k *task) bool {
	field := t.Kind.ParentField
	if !k.ParentAwaited || field == "" || k.item.Action != connectors.Upsert || k.lane != pim.Content || k.Born > 0 {
		return false
	}
	var named map[string]json.RawMessage
	var sku pim.SKU
	return json.Unmarshal(k.item.Document, &named) == nil && json.Unmarshal(named[field], &sku) == nil && sku == k.Parent
}

// families puts variants behind their parents and gives the batches to be sent.
// Variants whose parent is in none of them, or in an earlier one, wait.
func (s *step) families(sends []*task) (batches [][]*task) {
	parents, children := map[pim.SKU]bool{}, map[pim.SKU][]*task{}
	for _, t := range sends {
		parents[t.SKU] = t.item.Action == connectors.Upsert
	}
	ordered := make([]*task, 0, len(sends))
	for _, t := range sends {
		switch {
		case !s.orphan(t):
			ordered = append(ordered, t)
		case parents[t.Parent]:
			children[t.Parent] = append(children[t.Parent], t)
		default:
			s.waitForParent(t)
		}
	}
	most := s.t.batch() // which a call that ends meanwhile may change
	var batch []*task
	for _, t := range ordered {
		family := append([]*task{t}, children[t.SKU]...)
		if room := most - len(batch); len(family) > room && len(family) > 1 || room == 0 {
			if len(batch) > 0 {
				batches = append(batches, batch)
			}
			batch = nil
		}
		fit := min(len(family), most)
		for _, late := range family[fit:] {
			s.waitForParent(late)
		}
		batch = append(batch, family[:fit]...)
	}
	if len(batch) > 0 {
		batches = append(batches, batch)
	}
	return batches
}

// missesParent reports whether e is of a variant whose parent, which it went with,
// was not taken: it was not its fault.
func (s *step) missesParent(t *task, e *connectors.Error) bool {
	return e.Verdict == connectors.Conflict && !e.Uncertain && s.orphan(t)
}

// withoutOrphans keeps back what is no use as a probe.
func (s *step) withoutOrphans(sends []*task) []*task {
	kept := sends[:0]
	for _, t := range sends {
		if s.orphan(t) {
			s.waitForParent(t)
		} else {
			kept = append(kept, t)
		}
	}
	return kept
}

// waitForParent keeps a variant until its parent is there.
func (s *step) waitForParent(t *task) {
	o := t.keep()
	o.Again, o.After, o.Parent = true, parentMost, t.ParentID
	s.add("waits", o)
}

// inBatches cuts what is to be sent into calls.
func (s *step) inBatches(sends []*task) [][]*task {
	if s.t.Kind.ParentField != "" && s.l.Lane == pim.Content {
		return s.families(sends)
	}
	var batches [][]*task
	for batch := range chunks(sends, s.t.batch()) {
		batches = append(batches, batch)
	}
	return batches
}
