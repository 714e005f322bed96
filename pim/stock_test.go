package pim

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func pieces(n int64) *int64 { return &n }

func TestCheckStock(t *testing.T) {
	s := testSchema()
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	level := func(location string, onHand, reserved int64) Stock {
		return Stock{Location: location, OnHand: onHand, Reserved: reserved}
	}
	for _, c := range []struct {
		row  StockRow
		want string
	}{
		{StockRow{Stock: level("main", -5, 3)}, ""},
		{StockRow{Stock: level("main", maxStock, maxStock)}, ""},
		{StockRow{Stock: level("moon", maxStock+1, -1)}, "location.unknown /location,stock.range /on_hand,stock.range /reserved"},
		{StockRow{Stock: level("main", -maxStock-1, maxStock+1)}, "stock.range /on_hand,stock.range /reserved"},
		{StockRow{Stock: level("main", -3, -2), Delta: true}, ""},
		{StockRow{Stock: level("main", -maxStock-1, -maxStock-1), Delta: true}, "stock.range /delta,stock.range /reserved_delta"},
		{StockRow{Stock: Stock{Location: "main", SafetyStock: pieces(-1)}, Message: strings.Repeat("x", 201)}, "stock.range /safety_stock,stock.message /message_id"},
		{StockRow{Stock: level("main", 1, 0), Message: "a\x00"}, "stock.message /message_id"},
		{StockRow{Stock: level("main", 1, 0), Stamp: Stamp{AsOf: new(now.Add(24 * time.Hour))}}, ""},
		{StockRow{Stock: level("main", 1, 0), Stamp: Stamp{AsOf: new(now.Add(27 * time.Hour))}}, "stock.ahead /as_of"},
	} {
		if got := strings.Join(problemCodes(s.CheckStockRow(c.row, now)), ","); got != c.want {
			t.Errorf("CheckStockRow(%+v) = %s, want %s", c.row, got, c.want)
		}
	}
	got := strings.Join(problemCodes(s.CheckLocation(&Location{Code: "a b", Labels: map[Locale]string{"xx-XX": "x"}, SafetyStock: -1})), ",")
	if want := "code /code,locale.tag /labels/xx-XX,stock.range /safety_stock"; got != want {
		t.Errorf("CheckLocation = %s, want %s", got, want)
	}
}

func TestSells(t *testing.T) {
	s := &Schema{Places: map[string]Location{"shop": {Code: "shop", SafetyStock: 2}, "shut": {Code: "shut", Enabled: new(false)}}}
	for i, c := range []struct {
		levels    []Stock
		locations []string
		rule      StockRule
		want      Sale
		kept      bool
	}{
		{nil, nil, StockRule{}, Sale{}, false},
		{[]Stock{{Location: "a", OnHand: -5, Reserved: 3}}, nil, StockRule{}, Sale{OnHand: -5, Reserved: 3}, true},
		{[]Stock{{Location: "a", OnHand: 5, Reserved: 3}, {Location: "b", OnHand: -9}}, nil, StockRule{}, Sale{OnHand: -4, Reserved: 3, Free: 2, Shown: 2}, true},
		{[]Stock{{Location: "a", OnHand: 5}}, []string{"b"}, StockRule{}, Sale{}, true},
		{[]Stock{{Location: "shut", OnHand: 5}}, nil, StockRule{}, Sale{}, true},
		{[]Stock{{Location: "shop", OnHand: 5}, {Location: "a", OnHand: 1}}, nil, StockRule{}, Sale{OnHand: 6, Free: 4, Shown: 4}, true},
		{[]Stock{{Location: "shop", OnHand: 5, SafetyStock: pieces(0)}}, nil, StockRule{}, Sale{OnHand: 5, Free: 5, Shown: 5}, true},
		{[]Stock{{Location: "a", OnHand: 5}}, nil, StockRule{Buffer: 5}, Sale{OnHand: 5, Free: 5, HeldBack: 5}, true},
		{[]Stock{{Location: "a", OnHand: 5}}, nil, StockRule{Buffer: 9}, Sale{OnHand: 5, Free: 5, HeldBack: 5}, true},
		{[]Stock{{Location: "a", OnHand: 101}}, nil, StockRule{Buffer: 3, BufferPercent: 10}, Sale{OnHand: 101, Free: 101, HeldBack: 11, Shown: 90}, true},
		{[]Stock{{Location: "a", OnHand: 1}}, nil, StockRule{BufferPercent: 1}, Sale{OnHand: 1, Free: 1, HeldBack: 1}, true},
		{[]Stock{{Location: "a", OnHand: 50}}, nil, StockRule{Buffer: 10, Cap: 7}, Sale{OnHand: 50, Free: 50, HeldBack: 10, Shown: 7}, true},
	} {
		if got, kept := s.Sells(c.levels, c.locations, c.rule); got != c.want || kept != c.kept {
			t.Errorf("%d: %+v %v, want %+v %v", i, got, kept, c.want, c.kept)
		}
	}
}

// What is shown is never more than what is free, never less than none, and never
// falls when there is more: sqlStock tells by that what may be sold out.
func TestSellsRisesWithStock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := StockRule{
			Buffer: rapid.Int64Range(0, 20).Draw(t, "buffer"), BufferPercent: rapid.Int64Range(0, 100).Draw(t, "percent"), Cap: rapid.Int64Range(0, 20).Draw(t, "cap"),
		}
		n := rapid.OneOf(rapid.Int64Range(-5, 300), rapid.Int64Range(0, maxStock)).Draw(t, "on hand")
		s := &Schema{}
		less, _ := s.Sells([]Stock{{OnHand: n}}, nil, rule)
		more, _ := s.Sells([]Stock{{OnHand: n + 1}}, nil, rule)
		if less.Shown < 0 || less.Shown > max(0, n) || more.Shown < less.Shown || less.Shown+less.HeldBack > less.Free {
			t.Fatalf("%d: %+v, one more: %+v", n, less, more)
		}
	})
}

// However rows are ordered in time, the order is one: what is older than something
// is not newer than what is older still.
func TestStampsAreOrdered(t *testing.T) {
	at := func(sec int64) *time.Time { t := time.Unix(sec, 0); return &t }
	for _, c := range []struct {
		a, b Stamp
		want int
	}{
		{Stamp{}, Stamp{}, 0},
		{Stamp{AsOf: at(1)}, Stamp{}, 0},
		{Stamp{AsOf: at(1)}, Stamp{AsOf: at(2)}, -1},
		{Stamp{AsOf: at(2), Sequence: pieces(1)}, Stamp{AsOf: at(1), Sequence: pieces(9)}, 1},
		{Stamp{AsOf: at(1), Sequence: pieces(1)}, Stamp{AsOf: at(1), Sequence: pieces(2)}, -1},
		{Stamp{Sequence: pieces(3)}, Stamp{AsOf: at(1), Sequence: pieces(2)}, 1},
	} {
		if got := c.a.Compare(c.b); got != c.want || c.b.Compare(c.a) != -c.want {
			t.Errorf("%+v, %+v: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
