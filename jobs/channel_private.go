package jobs

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim/postgres"
)

// Warnings tell what a channel's settings will not do as they stand, though
// nothing forbids them: what its connector doubts, and addresses on this machine or in
// a private network, which the channel is not permitted to send to. Nobody's target is
// asked, and of addresses only what the config itself says is looked at; what a name
// resolves to may change at any time, and is judged when a connection is made.
func (c *Channels) Warnings(ch *postgres.Channel) (list []string) {
	if kind, err := c.registry.Kind(ch.Connector); err == nil && kind.Doubts != nil {
		list = kind.Doubts(ch.Config, ch.AllowPrivate)
	}
	if ch.AllowPrivate {
		return list
	}
	var config map[string]any
	if json.Unmarshal(ch.Config, &config) != nil {
		return list
	}
	for _, name := range slices.Sorted(maps.Keys(config)) {
		if text, ok := config[name].(string); ok && isPrivate(text) {
			list = append(list, fmt.Sprintf(
				"%s is a loopback or private address, and this channel may not send to such: nothing will arrive. "+
					"Create it again, or change its config, by a process with --allow-private-targets (SLUICE_ALLOW_PRIVATE_TARGETS)", name))
		}
	}
	return list
}

// isPrivate reports an http(s) URL whose host says that it is on no public
// network.
func isPrivate(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()
}
