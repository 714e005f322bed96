package exporting

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/jobs/importing"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// cell is what stands in a table: "" is nothing.
type cell struct {
	text   string
	number bool // a plain number, which a workbook may keep as one
}

// column is a column of a table.
type column struct {
	name string
	of   func(*row) cell
}

// row is a product on its way into a table.
type row struct {
	*postgres.FullProduct
	values pim.Values
}

func newRow(p *postgres.FullProduct) (*row, error) {
	values, err := pim.DecodeStored(p.Values)
	if err != nil {
		return nil, fmt.Errorf("decode the values of product %s: %w", p.SKU, err)
	}
	return &row{p, values}, nil
}

// columnsOf are the columns of a table in our own layout: what every product
// has, then what some product has.
func columnsOf(schema *pim.Schema, places postgres.ProductPlaces) []column {
	text := func(of func(*row) string) func(*row) cell {
		return func(r *row) cell { return cell{text: of(r)} }
	}
	own := []func(*row) cell{
		text(func(r *row) string { return string(r.SKU) }),
		text(func(r *row) string { return string(r.Parent) }),
		text(func(r *row) string { return r.Family }),
		text(func(r *row) string { return r.FamilyVariant }),
		text(func(r *row) string { return strconv.FormatBool(r.Enabled) }),
		text(func(r *row) string { return strings.Join(r.Categories, ",") }),
	}
	cols := make([]column, 0, len(own)+len(places.Values)+len(places.Prices)+3*len(places.Stock)+1)
	for i, name := range importing.OwnColumns {
		cols = append(cols, column{name: name, of: own[i]})
	}
	for _, place := range places.Values {
		a := schema.Attributes[place.Attribute]
		if a == nil {
			a = &pim.Attribute{Code: place.Attribute, Type: pim.TypeText} // gone since; kept for people to see
		}
		cols = append(cols, column{
			name: importing.AttributeColumn(place.Attribute, place.Channel, place.Locale),
			of:   func(r *row) cell { return valueCell(a, r.values[place.Attribute], place) },
		})
	}
	for _, place := range places.Prices {
		cols = append(cols, column{name: importing.PriceColumn(place.List, place.Currency), of: func(r *row) cell {
			for i := range r.Prices {
				if p := &r.Prices[i]; p.PriceList == place.List && p.Currency == place.Currency && postgres.PlainPrice(p) {
					return cell{p.Amount.String(), true}
				}
			}
			return cell{}
		}})
	}
	if places.Others {
		cols = append(cols, column{name: importing.PricesColumn, of: func(r *row) cell {
			var others []pim.Price
			for i := range r.Prices {
				if !postgres.PlainPrice(&r.Prices[i]) {
					others = append(others, r.Prices[i])
				}
			}
			return cell{text: asJSON(others, len(others))}
		}})
	}
	if len(schema.Associations) > 0 {
		cols = append(cols, column{name: importing.AssociationsColumn, of: func(r *row) cell {
			return cell{text: asJSON(r.Associations, len(r.Associations))}
		}})
	}
	for _, location := range places.Stock {
		cols = append(cols, column{name: importing.StockColumn(location), of: stockCell(location, func(s pim.Stock) *int64 { return &s.OnHand })})
	}
	for _, location := range places.Reserved {
		cols = append(cols, column{name: importing.ReservedColumn(location), of: stockCell(location, func(s pim.Stock) *int64 { return &s.Reserved })})
	}
	for _, location := range places.Safety {
		cols = append(cols, column{name: importing.SafetyColumn(location), of: stockCell(location, func(s pim.Stock) *int64 { return s.SafetyStock })})
	}
	for _, place := range places.Windows {
		if place.From {
			cols = append(cols, column{name: importing.PublishFromColumn(place.Channel), of: windowCell(place.Channel, func(w pim.Publication) *time.Time { return w.From })})
		}
		if place.To {
			cols = append(cols, column{name: importing.PublishToColumn(place.Channel), of: windowCell(place.Channel, func(w pim.Publication) *time.Time { return w.To })})
		}
	}
	return cols
}

func windowCell(channel pim.ChannelCode, of func(pim.Publication) *time.Time) func(*row) cell {
	return func(r *row) cell {
		for _, w := range r.Publication {
			if t := of(w); w.Channel == channel && t != nil {
				return cell{text: t.Format(time.RFC3339Nano)}
			}
		}
		return cell{}
	}
}

func stockCell(location string, of func(pim.Stock) *int64) func(*row) cell {
	return func(r *row) cell {
		for _, s := range r.Stock {
			if s.Location == location && of(s) != nil {
				return cell{strconv.FormatInt(*of(s), 10), true}
			}
		}
		return cell{}
	}
}

// asJSON writes a list of n as JSON; "" of none.
func asJSON(list any, n int) string {
	if n == 0 {
		return ""
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return "" // no list of ours can fail
	}
	return string(raw)
}

// valueCell is what a product has at a place.
func valueCell(a *pim.Attribute, v any, place postgres.ValuePlace) cell {
	for _, scope := range []string{string(place.Channel), string(place.Locale)} {
		if scope == "" {
			continue
		}
		m, _ := v.(map[string]any)
		v = m[scope]
	}
	switch v := v.(type) {
	case nil:
		return cell{}
	case bool:
		return cell{text: strconv.FormatBool(v)}
	case json.Number:
		return cell{string(v), true}
	case map[string]any:
		amount, isNumber := v["amount"].(json.Number)
		if unit, ok := v["unit"].(string); ok && isNumber {
			return cell{text: string(amount) + " " + unit}
		}
		return cell{text: string(appendSorted(nil, v))}
	case string:
		if a.Type == pim.TypeMedia || a.Type == pim.TypeReference {
			return cell{text: join(a, v)}
		}
		return cell{text: v}
	}
	return cell{text: join(a, v)}
}
