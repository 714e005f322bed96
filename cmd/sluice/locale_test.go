//go:build unix

package main

import (
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// Locales and their fallbacks are set and listed, units are listed.
func TestLocaleAndUnitCommands(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=" + dbtest.New(t)}
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"locale", "put", "de-AT", "--fallback", "de-DE"}, 0, "Locale de-AT is set."},
		{[]string{"locale", "list"}, 0, "de-AT   de-DE\n"},
		{[]string{"locale", "put", "de-DE", "--fallback", "de-AT"}, 1, "de-DE → de-AT → de-DE"},
		{[]string{"locale", "put", "de-AT"}, 0, "Locale de-AT is set."},
		{[]string{"locale", "list", "--json"}, 0, `"fallback": "de-DE"`},
		{[]string{"locale", "put", "de-AT", "--fallback", ""}, 0, "Locale de-AT is set."},
		{[]string{"locale", "list"}, 0, "de-AT   -\n"},
		{[]string{"locale", "put", "de-AT", "--fallback", "en-US"}, 0, "Locale de-AT is set."},
		{[]string{"locale", "delete", "en-US"}, 1, "locale en-US is still in use: locale de-AT falls back to it"},
		{[]string{"locale", "delete", "de-AT"}, 0, "Locale de-AT is deleted."},
		{[]string{"locale", "delete", "de-AT"}, 1, "there is no locale de-AT"},
		{[]string{"price-list", "put", "sale"}, 0, "Price list sale is set."},
		{[]string{"price-list", "delete", "sale"}, 0, "Price list sale is deleted."},
		{[]string{"price-list", "delete", "default"}, 1, "a house keeps the price list that it began with"},
		{[]string{"unit", "list", "mass"}, 0, "KGM"},
		{[]string{"unit", "list", "--json"}, 0, `"code": "CMT"`},
	} {
		if stdout, stderr, status := output(t, env, c.args...); status != c.status || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%v: %d, %s%s", c.args, status, stdout, stderr)
		}
	}
}
