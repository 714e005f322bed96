package pim

import (
	"fmt"
	"slices"
	"time"
)

// Policy says how a channel is treated beyond what its connector and mapping
// need. The zero Policy is the default in everything.
type Policy struct {
	Flow       Flow       `json:"flow,omitzero" doc:"How fast, how much and when is sent"`
	Exchanges  Exchanges  `json:"exchanges,omitzero" doc:"What is kept of requests and answers"`
	Alerts     Alerts     `json:"alerts,omitzero" doc:"When somebody is told that it needs them"`
	Reconcile  Reconcile  `json:"reconcile,omitzero" doc:"How what its target holds is compared with what it acknowledged"`
	Stock      StockRule  `json:"stock,omitzero" doc:"How much of the stock that is free it shows"`
	Withdrawal Withdrawal `json:"withdrawal,omitempty" enum:"delete,disable,zero_stock" doc:"What becomes at the target of a product that is to be there no more: it is deleted, kept and not shown, or kept with a stock of 0; left out: what the connector and its settings do"`
}

// Withdrawal is what becomes at a target of a product that leaves the channel:
// it, or its parent, is deleted or disabled, or the mapping makes nothing of it.
type Withdrawal string

// The withdrawals. The empty one is the connector's own, by its settings.
const (
	WithdrawDelete    Withdrawal = "delete"     // the target drops it with all it holds of it
	WithdrawDisable   Withdrawal = "disable"    // the target keeps it, and shows it to nobody
	WithdrawZeroStock Withdrawal = "zero_stock" // the target keeps and shows it, and sells none
)

// Withdrawals are all that can be chosen.
var Withdrawals = []Withdrawal{WithdrawDelete, WithdrawDisable, WithdrawZeroStock}

// Flow bounds what a channel's target is sent, over all processes together. Each
// bound is the connector's own where it is left out, if that has one.
type Flow struct {
	RequestsPerSecond float64  `json:"requests_per_second,omitempty" minimum:"0.01" maximum:"100000" doc:"HTTP requests that its target is made, on average"`
	Burst             int      `json:"burst,omitempty" minimum:"1" maximum:"100000" doc:"Requests that may be made at once after a rest; left out: a second's"`
	RequestsPerDay    int      `json:"requests_per_day,omitempty" minimum:"1" doc:"A quota. Its last quarter is kept for prices and stock until four hours before the day ends, the last twentieth for what is sold out"`
	DayBegins         string   `json:"day_begins,omitempty" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"When the quota begins anew, as HH:MM; left out: 00:00"`
	TimeZone          string   `json:"time_zone,omitempty" doc:"Of all times of day, as Europe/Amsterdam; left out: UTC"`
	Windows           []Window `json:"windows,omitempty" maxItems:"50" doc:"Times at which is sent; none: always. What is sold out is sent at any time"`
	DebounceSeconds   float64  `json:"debounce_seconds,omitempty" minimum:"0" maximum:"3600" doc:"How long a change waits for further ones of its product. What is sold out does not wait"`
}

// Window is a time of day, on some days of the week, at which is sent.
type Window struct {
	Days  []string `json:"days,omitempty" enum:"mon,tue,wed,thu,fri,sat,sun" doc:"On which the window opens; none: every day"`
	From  string   `json:"from" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"HH:MM"`
	To    string   `json:"to" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"HH:MM, not included; not after from: on the next day"`
	Lanes []string `json:"lanes,omitempty" enum:"content,offer,media" doc:"For which it holds; none: all. A lane that no window names is sent always"`
}

// weekdays are the days of a Window as it names them.
var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Check tells what is wrong with the policy, with pointers into its JSON.
func (p Policy) Check() (problems []Problem) {
	add := func(pointer, code, format string, args ...any) {
		problems = append(problems, Problem{Pointer: pointer, Code: code, Detail: fmt.Sprintf(format, args...)})
	}
	problems = p.Exchanges.check(problems)
	f := p.Flow
	for _, n := range []struct {
		name              string
		v, floor, ceiling float64
	}{
		{"requests_per_second", f.RequestsPerSecond, 0.01, 1e5},
		{"burst", float64(f.Burst), 1, 1e5},
		{"requests_per_day", float64(f.RequestsPerDay), 1, 1e12},
		{"debounce_seconds", f.DebounceSeconds, 0, 3600},
	} {
		if n.v != 0 && !(n.v >= n.floor && n.v <= n.ceiling) { // NaN too
			add("/flow/"+n.name, "limit", "is from %v to %v", n.floor, n.ceiling)
		}
	}
	if f.DayBegins != "" {
		if _, ok := clock(f.DayBegins); !ok {
			add("/flow/day_begins", "time", "%q is no time of day as HH:MM", f.DayBegins)
		}
	}
	if _, err := time.LoadLocation(f.TimeZone); err != nil || f.TimeZone == "Local" {
		add("/flow/time_zone", "time_zone.unknown", "there is no time zone %q", f.TimeZone)
	}
	if len(f.Windows) > 50 {
		add("/flow/windows", "windows.many", "a channel has at most 50 windows")
	}
	for i, w := range f.Windows {
		at := fmt.Sprintf("/flow/windows/%d/", i)
		for _, side := range []struct{ name, v string }{{"from", w.From}, {"to", w.To}} {
			if _, ok := clock(side.v); !ok {
				add(at+side.name, "time", "%q is no time of day as HH:MM", side.v)
			}
		}
		for k, day := range w.Days {
			if !slices.Contains(weekdays, day) {
				add(fmt.Sprintf("%sdays/%d", at, k), "day.unknown", "%q is no day; they are mon, tue, wed, thu, fri, sat and sun", day)
			}
		}
		for k, lane := range w.Lanes {
			if _, err := ParseLane(lane); err != nil {
				add(fmt.Sprintf("%slanes/%d", at, k), "lane.unknown", "%q is no lane; they are content, offer and media", lane)
			}
		}
	}
	if p.Withdrawal != "" && !slices.Contains(Withdrawals, p.Withdrawal) {
		add("/withdrawal", "withdrawal.unknown", "%q is none of delete, disable and zero_stock", p.Withdrawal)
	}
	p.Stock.check(add)
	p.Alerts.check(add)
	p.Reconcile.check(add)
	return problems
}

// clock reads HH:MM as the time since midnight.
func clock(s string) (time.Duration, bool) {
	t, err := time.Parse("15:04", s)
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, err == nil && len(s) == 5
}
