package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

const (
	maxRows = 1000
	// maxRowDepth is generous for rows that are flat: what is deeper is told
	// as an unknown field or a wrong type, not as depth.
	maxRowDepth = 8
)

// splitRows cuts a batch's body into its rows. A JSON array must be
// well-formed as a whole; what is wrong within a row is that row's own fault,
// as is any line of NDJSON.
func splitRows(body []byte, contentType string) ([]json.RawMessage, error) {
	if t, _, err := mime.ParseMediaType(contentType); err == nil && t == typeNDJSON {
		return splitLines(body)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, syntax(d, err, "a JSON array of rows is expected")
	}
	var rows []json.RawMessage
	for d.More() {
		if len(rows) == maxRows {
			return nil, tooMany()
		}
		var row json.RawMessage
		if err := d.Decode(&row); err != nil {
			return nil, syntax(d, err, "the array cannot be read")
		}
		rows = append(rows, row)
	}
	if _, err := d.Token(); err != nil {
		return nil, syntax(d, err, "the array does not end")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, syntax(d, nil, "something follows the array")
	}
	return rows, nil
}

func splitLines(body []byte) (rows []json.RawMessage, err error) {
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(rows) == maxRows {
			return nil, tooMany()
		}
		rows = append(rows, json.RawMessage(line))
	}
	return rows, nil
}

func syntax(d *json.Decoder, err error, detail string) error {
	at := d.InputOffset()
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = e.Offset
	}
	return &pim.Invalid{Problems: []pim.Problem{{Code: "json.syntax", Detail: fmt.Sprintf("%s, at byte %d", detail, at)}}}
}

func tooMany() error {
	return problem(http.StatusRequestEntityTooLarge, "too-large", "a batch has at most 1000 rows",
		inBody("/"+strconv.Itoa(maxRows), "batch.rows", "a batch has at most 1000 rows"))
}

// decodeRow reads one row; its problems have pointers into the row. sku is
// what it says of its SKU, as far as that can be read.
func decodeRow[R any](row json.RawMessage, read func(*binder, map[string]any) R) (r R, sku pim.SKU, problems []pim.Problem) {
	v, err := pim.DecodeJSON(row, maxRowDepth)
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
		return r, "", invalid.Problems
	}
	m, ok := v.(map[string]any)
	if !ok {
		return r, "", []pim.Problem{{Code: "field.type", Detail: "an object is expected, not " + kindOf(v)}}
	}
	var b binder
	if text, ok := m["sku"].(string); ok {
		sku = pim.SKU(strings.Clone(clipSKU(text)))
	}
	r = read(&b, m)
	slices.SortFunc(b.problems, func(x, y pim.Problem) int { return strings.Compare(x.Pointer, y.Pointer) })
	return r, sku, b.problems
}

// clipSKU keeps what is said back of a wrong SKU short.
func clipSKU(s string) string {
	if pim.ValidSKU(s) == nil {
		return s
	}
	return clip(s)
}

// finish tells the members of a row that there are not.
func (b *binder) finish(m map[string]any, known ...string) {
	for name := range m {
		if !slices.Contains(known, name) {
			b.fault(pim.JoinPointer("", name), "field.unknown", fmt.Sprintf("there is no field %q here", clip(name)))
		}
	}
}

func (b *binder) rowSKU(m map[string]any) pim.SKU {
	v, there := m["sku"]
	text, ok := v.(string)
	switch {
	case !there:
		b.fault("/sku", "field.missing", `"sku" is missing`)
	case !ok:
		b.wrong("/sku", "a string", v)
	default:
		if err := pim.ValidSKU(text); err != nil {
			b.fault("/sku", "sku", err.Error())
		}
	}
	return pim.SKU(text)
}

// rowText reads an optional text; null stands for none.
func (b *binder) rowText(m map[string]any, name string) string {
	v := m[name]
	text, ok := v.(string)
	if !ok && v != nil {
		b.wrong("/"+name, "a string", v)
	}
	return text
}

// rowInt reads a whole number. No digit is lost: 1.5 and 1e3 are refused.
func (b *binder) rowInt(m map[string]any, name string, most int64, must bool) int64 {
	v := m[name]
	if v == nil {
		if must {
			b.fault("/"+name, "field.missing", fmt.Sprintf("%q is missing", name))
		}
		return 0
	}
	n, _ := v.(json.Number)
	i, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil || i > most || i < -most {
		b.wrong("/"+name, "a whole number", v)
	}
	return i
}

// rowQuantity reads a minimum quantity: 1 where a row has none. One that is
// written down as 0 is refused rather than taken for 1.
func (b *binder) rowQuantity(m map[string]any) int {
	before := len(b.problems)
	n := b.rowInt(m, "min_quantity", math.MaxInt64, false)
	if m["min_quantity"] == nil || len(b.problems) > before {
		return 1
	}
	if n < 1 || n > math.MaxInt32 {
		b.fault("/min_quantity", "price.min_quantity", fmt.Sprintf("the minimum quantity is from 1 to %d", math.MaxInt32))
		return 1
	}
	return int(n)
}

func (b *binder) rowTime(m map[string]any, name string) *time.Time {
	v := m[name]
	if v == nil {
		return nil
	}
	text, _ := v.(string)
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		b.fault("/"+name, "field.time", "a time by RFC 3339 is expected, such as 2026-11-27T09:00:00Z")
	}
	return &t
}

// rowStamp reads as of when a row is.
func (b *binder) rowStamp(m map[string]any) (s pim.Stamp) {
	s.AsOf = b.rowTime(m, "as_of")
	if m["sequence"] != nil {
		n := b.rowInt(m, "sequence", math.MaxInt64, false)
		s.Sequence = &n
	}
	return s
}

func (b *binder) rowAmount(m map[string]any, must bool) (d decimal.Decimal) {
	var n json.Number
	switch v := m["amount"].(type) {
	case nil:
		if must {
			b.fault("/amount", "field.missing", `"amount" is missing`)
		}
		return d
	case json.Number:
		n = v
	case string:
		n = json.Number(v)
	default:
		b.wrong("/amount", "a number, or its text,", v)
		return d
	}
	d, err := pim.ParseAmount(n)
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
		b.fault("/amount", invalid.Problems[0].Code, invalid.Problems[0].Detail)
	} else if err != nil {
		b.fault("/amount", "value.number", "it is no decimal number")
	}
	return d
}

func priceRow(b *binder, m map[string]any) pim.PriceRow {
	b.finish(m, "sku", "price_list", "currency", "amount", "min_quantity", "valid_from", "valid_to", "delete", "as_of", "sequence")
	r := pim.PriceRow{SKU: b.rowSKU(m), Stamp: b.rowStamp(m)}
	if v := m["delete"]; v != nil {
		is, ok := v.(bool)
		if !ok {
			b.wrong("/delete", "true or false", v)
		}
		r.Delete = is
	}
	if m["currency"] == nil {
		b.fault("/currency", "field.missing", `"currency" is missing`)
	}
	r.Price = pim.Price{
		PriceList: b.rowText(m, "price_list"), Currency: pim.Currency(b.rowText(m, "currency")), Amount: b.rowAmount(m, !r.Delete),
		MinQuantity: b.rowQuantity(m),
		ValidFrom:   b.rowTime(m, "valid_from"), ValidTo: b.rowTime(m, "valid_to"),
	}
	return r
}

// stockRow reads a count, which has on_hand, or what came or went, or a safety
// stock alone.
func stockRow(b *binder, m map[string]any) pim.StockRow {
	b.finish(m, "sku", "location", "on_hand", "reserved", "delta", "reserved_delta", "safety_stock", "message_id", "as_of", "sequence")
	r := pim.StockRow{SKU: b.rowSKU(m), Stock: pim.Stock{Location: b.rowText(m, "location")}, Message: b.rowText(m, "message_id")}
	r.Stamp = b.rowStamp(m)
	safety, named := m["safety_stock"]
	if r.Resets = named && safety == nil; safety != nil {
		n := b.rowInt(m, "safety_stock", math.MaxInt64, false)
		r.SafetyStock = &n
	}
	r.Delta = m["delta"] != nil || m["reserved_delta"] != nil || named && m["on_hand"] == nil && m["reserved"] == nil
	if !r.Delta {
		r.OnHand, r.Reserved = b.rowInt(m, "on_hand", math.MaxInt64, true), b.rowInt(m, "reserved", math.MaxInt64, false)
		return r
	}
	for _, name := range []string{"on_hand", "reserved"} {
		if m[name] != nil {
			b.fault("/"+name, "stock.both", "a row says either what there is, by on_hand and reserved, or what came and went, by delta and reserved_delta")
		}
	}
	r.OnHand, r.Reserved = b.rowInt(m, "delta", math.MaxInt64, false), b.rowInt(m, "reserved_delta", math.MaxInt64, false)
	return r
}
