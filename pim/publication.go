package pim

import "time"

// Publication is when a product is published on one channel: from From, inclusive,
// to To, exclusive. nil is no bound. A variant is published when its parent is, too.
type Publication struct {
	Channel ChannelCode `json:"channel"`
	From    *time.Time  `json:"from,omitempty" doc:"Inclusive; none: since ever"`
	To      *time.Time  `json:"to,omitempty" doc:"Exclusive; none: for ever"`
}

// Open reports whether the product is published at now.
func (p Publication) Open(now time.Time) bool {
	return (p.From == nil || !now.Before(*p.From)) && (p.To == nil || now.Before(*p.To))
}

// PublicationRow is one row of a batch.
type PublicationRow struct {
	SKU SKU
	Publication
	Delete bool // no bounds any more
}

// EventPublicationChanged is the event of other windows of a product; see
// Publication.
const EventPublicationChanged = "publication.changed"

// MovedWindow is no lane: beside those of an outbox row or event it says that the
// product's publication on channels began, ended, or has other bounds.
const MovedWindow Lanes = 64

// CheckPublication finds what is wrong with a row; channels are those there are.
//
// Bounds count in whole microseconds, as the store keeps them.
func CheckPublication(r PublicationRow, channels map[ChannelCode]bool) []Problem {
	var ps problems
	if !channels[r.Channel] {
		ps.add("/channel", "channel.unknown", "there is no such channel")
	}
	ps.instant("/from", r.From)
	ps.instant("/to", r.To)
	switch {
	case r.From != nil && r.To != nil && !r.From.Truncate(time.Microsecond).Before(r.To.Truncate(time.Microsecond)):
		ps.add("/to", "publication.window", "must be after from")
	case r.From == nil && r.To == nil && !r.Delete:
		ps.add("/from", "field.missing", "from, to or both are needed; delete takes the window away")
	case r.Delete && (r.From != nil || r.To != nil):
		ps.add("/delete", "publication.window", "what is deleted has no from and no to")
	}
	return ps
}
