//go:build unix

package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestStockCommands(t *testing.T) {
	t.Parallel()
	env, dir := codeHouse(t), t.TempDir()
	document(t, dir, "cups.csv", "code,title,stock\nCUP-1,Blue cup,9\n")
	document(t, dir, "house.yaml", "resource: channel\ncode: shop\nconnector: webhook\nlocale: en-GB\ncurrency: EUR\n"+
		"config: {url: {from_env: SHOP_URL}, secret: {from_env: SHOP_SECRET}}\npolicy: {stock: {buffer: 2, cap: 3}}\n")
	commanded(t, env, 0, "apply", "-f", filepath.Join(dir, "house.yaml"), "--yes")
	commanded(t, env, 0, "import", filepath.Join(dir, "cups.csv"), "--sku-column", "code", "--report", filepath.Join(dir, "report.csv"))
	spaces := regexp.MustCompile(` {2,}`)
	for _, c := range []struct {
		status     int
		args, want string
	}{
		{0, "location put berlin --safety-stock 1", "Location berlin is set."},
		{0, "location list", "berlin true 1"},
		{0, "stock show CUP-1", "default 9 0 - 9"},
		{0, "stock show CUP-1", "shop all 9 2 3"},
		{0, "stock set CUP-1 --delta=-5 --reserved 1", "is changed"},
		{0, "stock set CUP-1 --location berlin --on-hand 3", "is changed"},
		{0, "stock set CUP-1 --location berlin --safety-stock 3", "is changed"},
		{0, "stock show CUP-1", "shop all 3 2 1"},
		{0, "stock show CUP-1 --json", `"held_back": 2`},
		{0, "stock set CUP-1 --on-hand 8 --as-of 2026-01-02T00:00:00Z", "is changed"},
		{0, "stock set CUP-1 --on-hand 7 --as-of 2026-01-01T00:00:00Z", "is stale"},
		{1, "stock set CUP-1", "give --on-hand, --delta or --safety-stock"},
		{1, "stock set NONE --delta=1", `there is no product "NONE"`},
		{1, "stock show NONE", "there is no product NONE"},
		{0, "location put berlin --enabled=false", "Location berlin is set."},
		{0, "stock show CUP-1", "berlin 3 0 3 0"},
		{1, "location delete berlin", "in use"},
		{1, "location delete mars", "there is no location mars"},
	} {
		if said := spaces.ReplaceAllString(commanded(t, env, c.status, strings.Fields(c.args)...), " "); !strings.Contains(said, c.want) {
			t.Errorf("%s: %q is not in\n%s", c.args, c.want, said)
		}
	}
}
