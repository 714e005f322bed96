package tryton_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/tryton"
	"github.com/sluicehub/sluice/connectors/tryton/trytontest"
	"github.com/sluicehub/sluice/pim"
)

// Every problem is told at once, with its place and without its value.
func TestConfig(t *testing.T) {
	const good = `"url":"https://erp.example:8000/","database":"db","user":"sluice","password":"p-e1b0"`
	for raw, want := range map[string]string{
		`{` + good + `}`: "",
		`{` + good + `,"company":3,"unit":"kg","withdraw":"keep","overlap_minutes":60,"full_hours":1}`: "",
		`{}`: "field.missing /database, field.missing /password, field.missing /url, field.missing /user",
		`[]`: "config ",
		`{` + good + `,"hook_secret":"short","nosuch":1}`:                                          "config.secret /hook_secret, field.unknown /nosuch",
		`{` + good + `,"hook_secret":"long-enough-secret"}`:                                        "config.hook /hook_secret",
		`{` + good + `,"overlap_minutes":-1,"full_hours":9999,"company":-1,"withdraw":"delete"}`:   "config.company /company, config.range /full_hours, config.range /overlap_minutes, config.withdraw /withdraw",
		`{` + good + `,"price_list":"a","price_lists":{"a":"A","b":""},"locations":{" ":"WH"}}`:    "config.price_list /price_lists, field.missing /locations, field.missing /price_lists",
		`{"url":"ftp://p-e1b0","database":"a/b","user":"a:b","password":"p-e1b0","company":"one"}`: "config.database /database, config.url /url, config.user /user, field.type /company",
		`{"url":"https://erp.example?x=p-e1b0","database":"db","user":"u","password":"p-e1b0"}`:    "config.url /url",
	} {
		_, err := tryton.Kind.New(json.RawMessage(raw), connectors.Env{Limits: limits(5)})
		var got []string
		if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
			for _, p := range invalid.Problems {
				got = append(got, p.Code+" "+p.Pointer)
				if strings.Contains(p.Detail, "p-e1b0") {
					t.Errorf("%s: a value is told: %s", raw, p.Detail)
				}
			}
		} else if err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		slices.Sort(got)
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s: %q, want %q", raw, s, want)
		}
	}
}

// What a channel can do depends on its config; Makes tells all of it.
func TestPowers(t *testing.T) {
	fake := trytontest.Start(t, trytontest.Options{Password: password})
	for _, c := range []struct {
		change       func(*tryton.Config)
		pulls, hooks bool
	}{
		{func(*tryton.Config) {}, false, false},
		{func(c *tryton.Config) { c.Locations = map[string]string{"main": "WH"} }, true, false},
		{func(c *tryton.Config) { c.PriceList, c.HookSecret = "default", hookSecret }, true, true},
	} {
		config := configOf(fake)
		c.change(&config)
		conn := connect(t, config, 5)
		_, pulls := conn.(connectors.Puller)
		_, hooks := conn.(connectors.Hooker)
		if pulls != c.pulls || hooks != c.hooks {
			t.Errorf("%+v: pulls %v, hooks %v", config, pulls, hooks)
		}
		if !slices.ContainsFunc(tryton.Kind.Makes, func(m connectors.Connector) bool { return reflect.TypeOf(m) == reflect.TypeOf(conn) }) {
			t.Errorf("Makes does not tell of %T", conn)
		}
	}
}

func TestHook(t *testing.T) {
	_, c := start(t, trytontest.Options{}, func(c *tryton.Config) { c.PriceList, c.HookSecret = "default", hookSecret })
	for _, h := range []struct {
		authorization, query string
		ok                   bool
	}{
		{"Bearer " + hookSecret, "", true},
		{"bearer  " + hookSecret, "", true},
		{"", "secret=" + hookSecret, true},
		{"Bearer wrong", "a=b&secret=" + hookSecret, true},
		{"Bearer wrong-but-long-enough", "secret=wrong", false},
		{"Bearer " + hookSecret[:len(hookSecret)-1], "", false},
		{hookSecret, hookSecret, false},
		{"Bearer ", "secret=", false},
		{"", "%zz&secret=" + hookSecret, false},
		{"", "", false},
	} {
		header := http.Header{}
		header.Set("Authorization", h.authorization)
		header.Set(connectors.HookQuery, h.query)
		err := c.(connectors.Hooker).Hook(header, []byte(`[]`))
		if (err == nil) != h.ok || err != nil && strings.Contains(err.Error(), "wrong") {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

// A price that changes in Tryton is here after one call and one pull.
func TestHookToPull(t *testing.T) {
	calls := make(chan *http.Request, 10)
	hub := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { calls <- r }))
	defer hub.Close()
	fake, c := start(t, trytontest.Options{HubURL: hub.URL + "/v1/hooks/erp?secret=" + hookSecret}, func(c *tryton.Config) {
		c.PriceList, c.HookSecret = "default", hookSecret
	})
	must(t, fake.Add("", "A", "x", ""))
	cursor := pulled(t, c, "").Cursor
	must(t, fake.SetListPrice("A", "33.10"))
	r := <-calls
	header := r.Header.Clone()
	header.Set(connectors.HookQuery, r.URL.RawQuery)
	must(t, c.(connectors.Hooker).Hook(header, nil))
	if p := pulled(t, c, cursor); len(p.Prices) == 0 || fmt.Sprint(p.Prices[len(p.Prices)-1].Amount) != "33.10" {
		t.Errorf("%+v", p.Prices)
	}
}
