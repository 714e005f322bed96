package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const tagTasks = "tasks"

type listTasks struct {
	Paging
	Sorting
	Kind  string `query:"kind" enum:"fetch,render,translate,generate"`
	Lot   string `query:"lot" maxLength:"300"`
	State string `query:"state" enum:"waiting,due,failed,cancelled" doc:"due: of the waiting ones, those that could be worked off now"`
}

// TaskSummary counts all tasks.
type TaskSummary struct {
	Kinds []postgres.TaskCounts `json:"kinds"`
	Lots  []postgres.LotCounts  `json:"lots" doc:"Those with most to do first, 1000 at most. A lot that waits does so as a whole, and no other waits for it"`
}

// TaskChoice says which tasks are meant.
type TaskChoice struct {
	Kind string  `json:"kind" enum:"fetch,render,translate,generate"`
	Lot  string  `json:"lot,omitempty" doc:"Only of this lot"`
	IDs  []int64 `json:"ids,omitempty" doc:"Only these, 1000 at most"`
}

// TasksChanged says how many tasks a command was for.
type TasksChanged struct {
	Tasks int64 `json:"tasks"`
}

// maxTaskIDs is how many tasks one command names.
const maxTaskIDs = 1000

func (s *server) registerTasks() {
	handle(s, op("list-tasks", http.MethodGet, "/v1/tasks", tagTasks, "List the pieces of work that are still to be done, or were given up, oldest first",
		says("Files to fetch, renditions to make, texts to translate or to write. What is done is not in the list any more.")), s.listTasks)
	handle(s, op("summarise-tasks", http.MethodGet, "/v1/tasks/summary", tagTasks, "Count tasks by kind and lot, with why a lot waits"), s.summariseTasks)
	handle(s, op("retry-tasks", http.MethodPost, "/v1/tasks/retry", tagTasks, "Try tasks again at once",
		says("Those that were given up and those that wait after a failure, of a kind, a lot or by number. Cancelled ones come back by their number only."),
		takesLong, takesJSON[TaskChoice](s)), s.retryTasks)
	handle(s, op("cancel-tasks", http.MethodPost, "/v1/tasks/cancel", tagTasks, "Take tasks out of the queue",
		says("What is being worked on at the moment may still be finished. A cancelled task comes back when it is retried, or asked for again."),
		takesLong, takesJSON[TaskChoice](s)), s.cancelTasks)
}

func (s *server) listTasks(ctx context.Context, in *listTasks) (*answer[page[postgres.TaskItem]], error) {
	list, next, err := s.Store.Tasks(ctx, postgres.TaskFilter{Kind: in.Kind, Lot: in.Lot, State: postgres.TaskState(in.State)}, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	return pageOf(list, next), nil
}

func (s *server) summariseTasks(ctx context.Context, _ *struct{}) (*answer[TaskSummary], error) {
	kinds, err := s.Store.TaskCounts(ctx)
	if err != nil {
		return nil, err
	}
	lots, err := s.Store.Lots(ctx)
	if err != nil {
		return nil, err
	}
	return &answer[TaskSummary]{TaskSummary{Kinds: kinds, Lots: none(lots)}}, nil
}

// readChoice reads which tasks a command is for.
func readChoice(body []byte) (postgres.TaskChoice, error) {
	c, err := decode[TaskChoice](body, nil)
	if err != nil {
		return postgres.TaskChoice{}, err
	}
	var problems []pim.Problem
	if !slices.Contains(postgres.TaskKinds, c.Kind) {
		problems = append(problems, pim.Problem{Pointer: "/kind", Code: "kind", Detail: "is one of " + strings.Join(postgres.TaskKinds, ", ")})
	}
	if len(c.IDs) > maxTaskIDs || c.IDs != nil && len(c.IDs) == 0 {
		problems = append(problems, pim.Problem{Pointer: "/ids", Code: "limit", Detail: fmt.Sprintf("is a list of 1 to %d numbers", maxTaskIDs)})
	}
	if len(problems) > 0 {
		return postgres.TaskChoice{}, &pim.Invalid{Problems: problems}
	}
	return postgres.TaskChoice{Kind: c.Kind, Lot: c.Lot, IDs: c.IDs}, nil
}

func (s *server) retryTasks(ctx context.Context, in *RawInput) (*answer[TasksChanged], error) {
	c, err := readChoice(in.RawBody)
	if err != nil {
		return nil, err
	}
	n, err := s.Store.RetryTasks(ctx, c)
	if err != nil {
		return nil, err
	}
	s.Wake(ConsumersOf(c.Kind)...)
	return &answer[TasksChanged]{TasksChanged{n}}, nil
}

func (s *server) cancelTasks(ctx context.Context, in *RawInput) (*answer[TasksChanged], error) {
	c, err := readChoice(in.RawBody)
	if err != nil {
		return nil, err
	}
	n, err := s.Store.CancelTasks(ctx, c)
	if err != nil {
		return nil, err
	}
	return &answer[TasksChanged]{TasksChanged{n}}, nil
}
