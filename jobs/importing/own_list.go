package importing

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// PublishFromColumn is the column of when a product's publication on a channel begins.
func PublishFromColumn(channel pim.ChannelCode) string { return ownFrom + string(channel) }

// PublishToColumn is the column of when it ends.
func PublishToColumn(channel pim.ChannelCode) string { return ownTo + string(channel) }

// windowColumn takes the name of such a column apart.
func windowColumn(name string) (kind, channel string, is bool) {
	for _, kind := range []string{ownFrom, ownTo} {
		if channel, is := strings.CutPrefix(name, kind); is {
			return kind, channel, true
		}
	}
	return "", "", false
}

// ownPublication are a record's windows of publication.
type ownPublication map[pim.ChannelCode]*pim.PublicationRow

func (o ownPublication) of(channel pim.ChannelCode) *pim.PublicationRow {
	if o[channel] == nil {
		o[channel] = &pim.PublicationRow{Publication: pim.Publication{Channel: channel}}
	}
	return o[channel]
}

// list reads windows as the API writes them; one without bounds takes the window away.
func (o ownPublication) list(column string, v any) *problem {
	var list []pim.Publication
	if bad := ownJSON(column, v, &list); bad != nil {
		return bad
	}
	for _, w := range list {
		row := o.of(w.Channel)
		row.From, row.To, row.Delete = w.From, w.To, w.From == nil && w.To == nil
	}
	return nil
}

// bound reads a cell: of the two of a channel the empty one is no bound.
func (o ownPublication) bound(col *ownColumn, v any) *problem {
	t, err := parseMoment(textOf(v))
	if err != nil {
		return &problem{column: col.name, value: show(v), code: "value.date", text: err.Error()}
	}
	if row := o.of(pim.ChannelCode(col.channel)); col.kind == ownFrom {
		row.From = &t
	} else {
		row.To = &t
	}
	return nil
}

// rows are the product's, by their channels, each of which check has seen.
func (o ownPublication) rows(sku pim.SKU, check func(pim.PublicationRow)) (out []pim.PublicationRow) {
	for _, channel := range slices.Sorted(maps.Keys(o)) {
		row := *o[channel]
		row.SKU = sku
		check(row)
		out = append(out, row)
	}
	return out
}

// ownAssociations reads associations as the API writes them.
func ownAssociations(column string, v any) (*pim.Associations, *problem) {
	raw := textOf(v)
	decoded, err := pim.DecodeJSON([]byte(raw), pim.MaxDepth)
	var a pim.Associations
	if err == nil {
		a, err = pim.DecodeAssociations(decoded, "")
	}
	if err != nil {
		return nil, &problem{column: column, value: raw, code: "json", text: "the cell holds no associations as JSON: " + err.Error()}
	}
	return &a, nil
}

// ownPriceList reads prices as the API writes them.
func ownPriceList(column string, v any) ([]pim.Price, *problem) {
	var rows []struct {
		PriceList   string       `json:"price_list"`
		Currency    pim.Currency `json:"currency"`
		MinQuantity int          `json:"min_quantity"`
		Amount      json.Number  `json:"amount"`
		ValidFrom   *time.Time   `json:"valid_from"`
		ValidTo     *time.Time   `json:"valid_to"`
	}
	if bad := ownJSON(column, v, &rows); bad != nil {
		return nil, bad
	}
	prices := make([]pim.Price, len(rows))
	for i, r := range rows {
		amount, err := pim.ParseAmount(r.Amount)
		if err != nil {
			return nil, &problem{column: column, value: string(r.Amount), code: "price.amount", text: fmt.Sprintf("the amount of price %d is no number", i+1)}
		}
		if r.PriceList == "" {
			r.PriceList = defaultCode
		}
		prices[i] = pim.Price{PriceList: r.PriceList, Currency: r.Currency, MinQuantity: max(1, r.MinQuantity), Amount: amount, ValidFrom: r.ValidFrom, ValidTo: r.ValidTo}
	}
	return prices, nil
}

// ownJSON reads a cell of JSON, or what stood there as JSON, strictly.
func ownJSON(column string, v, into any) *problem {
	raw := textOf(v)
	d := json.NewDecoder(strings.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &problem{column: column, value: raw, code: "json", text: "the cell holds no such list as JSON: " + strings.TrimPrefix(err.Error(), "json: ")}
	}
	return nil
}
