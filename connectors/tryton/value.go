package tryton

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/govalues/decimal"
)

// Tryton's JSON marks what JSON has no type for by a "__class__"
// (trytond/protocols/jsonrpc.py).

// number is a decimal amount on the wire: {"__class__":"Decimal","decimal":"12.50"}.
type number struct{ decimal.Decimal }

// UnmarshalJSON reads the wire form. Other forms are refused: a bare JSON number
// would be a float, and has lost digits already.
func (n *number) UnmarshalJSON(raw []byte) error {
	var wire struct {
		Class   string `json:"__class__"`
		Decimal string `json:"decimal"`
	}
	if err := json.Unmarshal(raw, &wire); err != nil || wire.Class != "Decimal" {
		return fmt.Errorf("an amount is no Decimal: %.40q", raw)
	}
	const longest = 100 // Tryton's digits, and exponents such as "0E-14"
	if len(wire.Decimal) > longest {
		return fmt.Errorf("an amount has %d characters", len(wire.Decimal))
	}
	d, err := decimal.Parse(wire.Decimal)
	if err != nil {
		return fmt.Errorf("an amount is no decimal number: %.40q", wire.Decimal)
	}
	n.Decimal = d
	return nil
}

// instant is a datetime on the wire, in UTC: Tryton's servers run in UTC
// (trytond/__init__.py sets TZ), and its datetimes carry no zone.
type instant struct{ time.Time }

// MarshalJSON writes {"__class__":"datetime","year":…,"microsecond":…}.
func (i instant) MarshalJSON() ([]byte, error) {
	t := i.UTC()
	return fmt.Appendf(nil, `{"__class__":"datetime","year":%d,"month":%d,"day":%d,"hour":%d,"minute":%d,"second":%d,"microsecond":%d}`,
		t.Year(), int(t.Month()), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond()/1000), nil
}
