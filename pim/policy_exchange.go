package pim

import (
	"cmp"
	"fmt"
	"slices"
)

// Exchanges says what is kept of the requests that a channel's target was made,
// and of what it answered.
type Exchanges struct {
	Keep      Keep `json:"keep,omitempty" enum:"all,some,failed,none" doc:"all; some (the default): what failed or was refused, ten a second on average, and of the others two; failed: only what failed or was refused, as many; none"`
	Days      int  `json:"days,omitempty" minimum:"1" maximum:"30" doc:"For how long; left out: 3"`
	BodyBytes int  `json:"body_bytes,omitempty" minimum:"100" maximum:"32768" doc:"How much of each body; left out: 4096"`
}

// Keep is which exchanges are kept.
type Keep string

// Which exchanges are kept.
const (
	KeepAll    Keep = "all"
	KeepSome   Keep = "some"
	KeepFailed Keep = "failed"
	KeepNone   Keep = "none"
)

// ExchangeDays is for how many days exchanges are kept by default.
const ExchangeDays = 3

// Keeping is Keep, or its default.
func (e Exchanges) Keeping() Keep { return cmp.Or(e.Keep, KeepSome) }

// Body is BodyBytes, or its default.
func (e Exchanges) Body() int { return cmp.Or(e.BodyBytes, 4096) }

func (e Exchanges) check(problems []Problem) []Problem {
	if !slices.Contains([]Keep{"", KeepAll, KeepSome, KeepFailed, KeepNone}, e.Keep) {
		problems = append(problems, Problem{Pointer: "/exchanges/keep", Code: "keep.unknown", Detail: fmt.Sprintf("%q is none of all, some, failed and none", e.Keep)})
	}
	for _, n := range []struct {
		name              string
		v, floor, ceiling int
	}{{"days", e.Days, 1, 30}, {"body_bytes", e.BodyBytes, 100, 32768}} {
		if n.v != 0 && (n.v < n.floor || n.v > n.ceiling) {
			problems = append(problems, Problem{Pointer: "/exchanges/" + n.name, Code: "limit", Detail: fmt.Sprintf("is from %d to %d", n.floor, n.ceiling)})
		}
	}
	return problems
}
