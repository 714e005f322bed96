//go:build unix

package main

import (
	"strings"
	"testing"
)

// A channel without a connector is made, dumped, and made so elsewhere; a command and
// a file give it a connector, and nothing takes that away.
func TestChannelConnectCommand(t *testing.T) {
	t.Parallel()
	env, dir := codeHouse(t), t.TempDir()
	if said := commanded(t, env, 0, "channel", "create", "print", "--connector", "none", "--locale", "en-GB", "--currency", "EUR"); !strings.Contains(said, "sluice channel connect print") {
		t.Error(said)
	}
	commanded(t, env, 0, "channel", "create", "poster", "--connector", "none", "--locale", "de-DE", "--currency", "EUR")
	for want, args := range map[string][]string{
		"no connector": {"channel", "list"}, "it has no connector": {"doctor"}, "there is no product": {"explain", "print", "A-1"}, "no_connector": {"channel", "forecast", "print"},
		"None (a channel without a target)": {"connector", "list"},
	} {
		if said, complained, _ := output(t, env, args...); !strings.Contains(said, want) {
			t.Errorf("%v: %s%s", args, said, complained)
		}
	}
	for _, args := range [][]string{{"channel", "test", "print"}, {"channel", "pause", "print"}, {"channel", "resume", "print"}, {"channel", "resync", "print"}, {"reconcile", "print"}} {
		if said := commanded(t, env, 1, args...); !strings.Contains(said, "channel print: the channel has no connector") {
			t.Errorf("%v: %s", args, said)
		}
	}
	commanded(t, env, 0, "dump", dir)
	files := texts(t, dir)["channels.yaml"]
	for _, absent := range []string{"enabled", "batch", "mapping", "timeout"} {
		if strings.Contains(files, absent) {
			t.Errorf("it is dumped with %s:\n%s", absent, files)
		}
	}
	other := codeHouse(t)
	commanded(t, other, 0, "apply", "-f", dir, "--yes")
	commanded(t, other, 0, "diff", "-f", dir)

	if said := commanded(t, env, 1, "channel", "connect", "print", "--connector", "webhook", "--set", "url=https://shop.example/items"); !strings.Contains(said, "/config/secret") {
		t.Error(said)
	}
	document(t, dir, "config.json", `{"url": "https://shop.example/items"}`)
	if said := commanded(t, env, 0, "channel", "connect", "print", "--connector", "webhook", "--config", dir+"/config.json", "--set", "secret=whsec_"+strings.Repeat("QUJD", 10)); !strings.Contains(said, "has the connector webhook") {
		t.Error(said)
	}
	if said := commanded(t, env, 1, "channel", "connect", "print", "--connector", "feed"); !strings.Contains(said, "has the connector webhook, and keeps it") {
		t.Error(said)
	}
	// A file says no more than what is new, as for any other field.
	document(t, dir, "house.yaml", "resource: channel\ncode: poster\nconnector: webhook\nconfig: {url: {from_env: SHOP_URL}, secret: {from_env: SHOP_SECRET}}\n")
	if said := commanded(t, env, 3, "diff", "-f", dir+"/house.yaml"); !strings.Contains(said, `connector: "none" → "webhook"`) {
		t.Error(said)
	}
	commanded(t, env, 0, "apply", "-f", dir+"/house.yaml", "--yes")
	commanded(t, env, 0, "diff", "-f", dir+"/house.yaml")
	db := connect(t, strings.TrimPrefix(env[0], "DATABASE_URL="))
	expect(t, db, "select count(*) from channel where connector = 'webhook' and enabled and mark_after = 0 and batch > 10 and locale in ('en-GB', 'de-DE')", 2)
	document(t, dir, "house.yaml", "resource: channel\ncode: poster\nconnector: none\n")
	if said := commanded(t, env, 1, "apply", "-f", dir+"/house.yaml", "--yes"); !strings.Contains(said, "pause the channel, or delete it") {
		t.Error(said)
	}
}
