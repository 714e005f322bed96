package connectors

import "slices"

// Power names one of the small interfaces that a connector may have beyond
// Connector.
type Power string

// The powers, in the order in which they are listed.
const (
	CanPoll      Power = "poll"      // Poller
	CanPreflight Power = "preflight" // Preflighter
	CanPull      Power = "pull"      // Puller
	CanHook      Power = "hook"      // Hooker
	CanUpload    Power = "upload"    // Uploader
	CanRead      Power = "read"      // Reader
)

// Powers are those that a channel of this kind can have: the union over what
// New makes. A channel may have fewer, where they depend on its config: a
// webhook polls only with a status_url.
func (k *Kind) Powers() []Power {
	powers := []Power{}
	for _, p := range []struct {
		power Power
		has   func(Connector) bool
	}{
		{CanPoll, is[Poller]},
		{CanPreflight, is[Preflighter]},
		{CanPull, is[Puller]},
		{CanHook, is[Hooker]},
		{CanUpload, is[Uploader]},
		{CanRead, is[Reader]},
	} {
		if slices.ContainsFunc(k.Makes, p.has) {
			powers = append(powers, p.power)
		}
	}
	return powers
}

func is[T any](c Connector) bool {
	_, ok := c.(T)
	return ok
}
