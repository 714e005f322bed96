package pim

import (
	"cmp"
	"time"
)

// Stamp says as of when a row of stock or of prices is, by its sender. A sender
// uses one of the two, or both: then the sequence tells rows of the same time
// apart.
type Stamp struct {
	AsOf     *time.Time `json:"as_of,omitempty"`
	Sequence *int64     `json:"sequence,omitempty"`
}

// None reports that it says nothing.
func (s Stamp) None() bool { return s.AsOf == nil && s.Sequence == nil }

// Compare is below 0 where s is older than o, above where it is newer, and 0
// where they are the same or neither can be told.
func (s Stamp) Compare(o Stamp) int {
	if s.AsOf != nil && o.AsOf != nil {
		if c := s.AsOf.Compare(*o.AsOf); c != 0 {
			return c
		}
	}
	if s.Sequence != nil && o.Sequence != nil {
		return cmp.Compare(*s.Sequence, *o.Sequence)
	}
	return 0
}

// Then is what stands when o, which is not older, was told after s: a later time
// begins its sequence anew.
func (s Stamp) Then(o Stamp) Stamp {
	if o.Sequence == nil && (s.AsOf == nil || o.AsOf == nil || !o.AsOf.After(*s.AsOf)) {
		o.Sequence = s.Sequence
	}
	if o.AsOf == nil {
		o.AsOf = s.AsOf
	}
	return o
}

// maxAhead is how far a stamp may lie ahead of our clock, for clocks and time
// zones that are wrong: one that lies further ahead would shut all later rows out.
const maxAhead = 26 * time.Hour

// stamp tells what is wrong with a row's stamp; now is our clock, and code what
// one too far ahead is called.
func (ps *problems) stamp(code string, s Stamp, now time.Time) {
	if ps.instant("/as_of", s.AsOf); s.AsOf != nil && s.AsOf.After(now.Add(maxAhead)) {
		ps.add("/as_of", code, "it lies more than a day ahead, and would shut out what is told until then")
	}
}
