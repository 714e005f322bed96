package postgres

import (
	"fmt"
	"slices"
	"testing"
)

// tasks makes n assets to be fetched from a host, and gives their tasks.
func (h *house) tasks(host string, n int) (ids []int64) {
	h.Helper()
	for i := range n {
		if _, err := h.AddURLAsset(h.ctx, "", fmt.Sprintf("https://%s/%d.jpg", host, i)); err != nil {
			h.Fatal(err)
		}
	}
	list, _, err := h.Tasks(h.ctx, TaskFilter{Kind: Fetch, Lot: host}, Page{Limit: 1000})
	if err != nil || len(list) != n {
		h.Fatal(len(list), err)
	}
	for _, t := range list {
		ids = append(ids, t.ID)
	}
	return ids
}

func (h *house) counts(kind string) TaskCounts {
	h.Helper()
	all, err := h.TaskCounts(h.ctx)
	if err != nil {
		h.Fatal(err)
	}
	if len(all) != len(TaskKinds) {
		h.Fatalf("counts of %d kinds", len(all))
	}
	return all[slices.Index(TaskKinds, kind)]
}

func TestTasksAreListedAndCommanded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a, b := h.tasks("a.example", 3), h.tasks("b.example", 2)
	page, next, err := h.Tasks(h.ctx, TaskFilter{}, Page{Limit: 4})
	if err != nil || len(page) != 4 || next == "" {
		t.Fatal(len(page), next, err)
	}
	rest, next, err := h.Tasks(h.ctx, TaskFilter{}, Page{Limit: 4, After: next})
	if err != nil || len(rest) != 1 || next != "" || rest[0].ID != b[1] {
		t.Fatal(rest, next, err)
	}
	if first := page[0]; first.State != TaskDue || first.Asset != AssetCode("https://a.example/0.jpg") || first.Lot != "a.example" {
		t.Errorf("the first task: %+v", first)
	}
	if _, _, err := h.Tasks(h.ctx, TaskFilter{}, Page{After: "x"}); problemsOf(err)[0] != "cursor /cursor" {
		t.Error(err)
	}

	h.exec(`update task set state = 'failed', attempts = 12, error = 'it is gone' where id = $1`, a[0])
	h.exec(`update task set attempts = 1, due_at = now() + interval '1 hour', error = 'a hiccup' where id = $1`, a[1])
	h.exec(`update lot set wait_until = now() + interval '1 hour', fails = 3, error = 'no answer' where lot = 'b.example'`)
	for state, want := range map[TaskState][]int64{TaskFailed: {a[0]}, TaskDue: {a[2]}, TaskWaiting: {a[1], a[2], b[0], b[1]}, TaskCancelled: nil} {
		list, _, err := h.Tasks(h.ctx, TaskFilter{State: state}, Page{})
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, item := range list {
			got = append(got, item.ID)
			if held := item.Lot == "b.example"; (item.HeldUntil != nil) != held {
				t.Errorf("%d is held: %v", item.ID, item.HeldUntil)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", state, got, want)
		}
	}
	if c := h.counts(Fetch); c.Waiting != 4 || c.Due != 1 || c.Failed != 1 || c.LotsWaiting != 1 || c.OldestDue > 3000 {
		t.Errorf("counts %+v", c)
	}
	if c := h.counts(Translate); c != (TaskCounts{Kind: Translate}) {
		t.Errorf("counts %+v", c)
	}
	lots, err := h.Lots(h.ctx)
	if err != nil || len(lots) != 2 || lots[0].Lot != "a.example" || lots[1].WaitUntil == nil || lots[1].Error != "no answer" || lots[1].Fails != 3 || lots[1].Due != 0 {
		t.Fatalf("lots %+v, %v", lots, err)
	}

	n, err := h.CancelTasks(h.ctx, TaskChoice{Kind: Fetch, Lot: "b.example"})
	if err != nil || n != 2 {
		t.Fatal(n, err)
	}
	if n, err = h.CancelTasks(h.ctx, TaskChoice{Kind: Fetch, IDs: []int64{a[2], 999}}); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if n, err = h.CancelTasks(h.ctx, TaskChoice{Kind: Render}); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	if c := h.counts(Fetch); c.Cancelled != 3 || c.Waiting != 1 || c.Due != 0 {
		t.Errorf("counts %+v", c)
	}
	// What was cancelled comes back by its number only; a failed one with its kind.
	if n, err = h.RetryTasks(h.ctx, TaskChoice{Kind: Fetch}); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	if c := h.counts(Fetch); c.Cancelled != 3 || c.Due != 2 || c.Failed != 0 || c.LotsWaiting != 0 {
		t.Errorf("counts %+v", c)
	}
	if lots, err = h.Lots(h.ctx); err != nil || lots[1].WaitUntil != nil || lots[1].Fails != 0 {
		t.Fatalf("lots %+v, %v", lots, err)
	}
	if n, err = h.RetryTasks(h.ctx, TaskChoice{Kind: Fetch, IDs: b}); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	list, _, err := h.Tasks(h.ctx, TaskFilter{State: TaskDue}, Page{})
	if err != nil || len(list) != 4 || list[0].Attempts != 0 || list[0].Reason != "" {
		t.Fatal(list, err)
	}
}

// A text's task says which it is.
func TestTasksOfTexts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(`insert into product (sku, family) values ('A-1', 'thing')`)
	h.exec(`insert into product_text (product_id, attribute, locale, from_locale, rule, action, state)
		select id, 'name', 'de-DE', 'en-GB', 'r', 'translate', 'missing' from product`)
	h.exec(`insert into task (kind, subject, lot) select 'translate', id, 'en>de' from product_text`)
	list, _, err := h.Tasks(h.ctx, TaskFilter{Kind: Translate}, Page{})
	if err != nil || len(list) != 1 || list[0].SKU != "A-1" || list[0].Attribute != "name" || list[0].Locale != "de-DE" || list[0].State != TaskDue {
		t.Fatal(list, err)
	}
}

// A command goes through any number of tasks in parts.
func TestCommandsOfManyTasks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const many = 2*commandPart + 7
	h.exec(`insert into lot (kind, lot) values ('translate', 'en>de')`)
	h.exec(`insert into task (kind, subject, lot) select 'translate', n, 'en>de' from generate_series(1, $1) n`, many)
	if n, err := h.CancelTasks(h.ctx, TaskChoice{Kind: Translate}); err != nil || n != many {
		t.Fatal(n, err)
	}
	if c := h.counts(Translate); c.Cancelled != many {
		t.Errorf("counts %+v", c)
	}
	h.exec(`update task set state = 'failed'`)
	if n, err := h.RetryTasks(h.ctx, TaskChoice{Kind: Translate, Lot: "en>de"}); err != nil || n != many {
		t.Fatal(n, err)
	}
	if c := h.counts(Translate); c.Due != many {
		t.Errorf("counts %+v", c)
	}
}

// An asset that is promised while products name it already is in use.
func TestAPromisedAssetIsInUse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(`insert into product_asset (product_id, ref) values (7, 'front'), (8, 'front'), (7, 'https://x.example/front.jpg')`)
	if _, err := h.AddURLAsset(h.ctx, "front", "https://x.example/f.jpg"); err != nil {
		t.Fatal(err)
	}
	code, err := h.AddURLAsset(h.ctx, "", "https://x.example/front.jpg")
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]int64{"front": 2, code: 1} {
		a, err := h.Asset(h.ctx, code)
		if err != nil || a.UnusedAt != nil {
			t.Fatal(a, err)
		}
		uses, err := h.AssetUses(h.ctx, []int64{a.ID})
		if err != nil || uses[a.ID] != want {
			t.Errorf("%s has %d uses: %v", code, uses[a.ID], err)
		}
	}
}
