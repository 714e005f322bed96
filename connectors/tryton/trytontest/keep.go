package trytontest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors/fakeworks"
	"github.com/sluicehub/sluice/pim"
)

// indexed are the fields by which records are found at once, per model.
var indexed = map[string][]string{
	"product.product":         {"template", "code"},
	"product.list_price":      {"template"},
	"product.identifier":      {"product"},
	"product.price_list.line": {"price_list"},
	"stock.move":              {"product"},
}

// place names the records of a model that have a value in an indexed field.
type place struct {
	model, field string
	value        any
}

// change is what stood in a record's place before a transaction.
type change struct {
	model string
	id    int64
	old   rec
}

// put is the one way by which records change; nil removes one. Within a
// transaction it can be undone, and is kept at its commit. Callers hold mu.
func (f *Fake) put(model string, id int64, r rec) {
	old := f.table(model)[id]
	f.set(model, id, r)
	if f.tx != nil {
		f.tx.changes = append(f.tx.changes, change{model, id, old})
		return
	}
	f.keep(model, id)
}

// set puts a record into its table, and under what it is found by.
func (f *Fake) set(model string, id int64, r rec) {
	old := f.table(model)[id]
	for _, name := range indexed[model] {
		if old[name] == r[name] {
			continue
		}
		if old[name] != nil {
			at := place{model, name, old[name]}
			f.found[at] = slices.DeleteFunc(slices.Clone(f.found[at]), func(other int64) bool { return other == id })
		}
		if r[name] != nil {
			at := place{model, name, r[name]}
			ids := slices.Clone(f.found[at])
			n, _ := slices.BinarySearch(ids, id)
			f.found[at] = slices.Insert(ids, n, id)
		}
	}
	if f.ids[model] = max(f.ids[model], id); r == nil {
		delete(f.table(model), id)
		return
	}
	f.table(model)[id] = r
}

// with are the ids of the records that have a value in an indexed field, in order.
func (f *Fake) with(model, field string, value any) []int64 {
	return f.found[place{model, field, value}]
}

// The ledger's table of openings; the others are the models.
const tableOpenings = "opening"

// keep notes a record for the ledger.
func (f *Fake) keep(model string, id int64) {
	if f.ledger == nil {
		return
	}
	if r := f.table(model)[id]; r != nil {
		f.ledger.Put(model, strconv.FormatInt(id, 10), r.kept())
		return
	}
	f.ledger.Put(model, strconv.FormatInt(id, 10), nil)
}

// kept is a value with its type.
type kept struct {
	Type  string `json:"t"`
	Value any    `json:"v"`
}

func (r rec) kept() map[string]kept {
	out := make(map[string]kept, len(r))
	for name, v := range r {
		switch v := v.(type) {
		case nil:
		case decimal.Decimal:
			out[name] = kept{"decimal", v.String()}
		case time.Time:
			out[name] = kept{"time", v.Format(time.RFC3339Nano)}
		case int64:
			out[name] = kept{"int", strconv.FormatInt(v, 10)}
		case translated:
			out[name] = kept{"text", v}
		default: // string, bool, float64
			out[name] = kept{"", v}
		}
	}
	return out
}

// load takes one record of the ledger.
func (f *Fake) load(table, key string, value json.RawMessage) error {
	if table == tableOpenings {
		if delete(f.openings, pim.SKU(key)); value == nil {
			return nil
		}
		o := &Opening{}
		f.openings[pim.SKU(key)] = o
		return json.Unmarshal(value, o)
	}
	id, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		return fmt.Errorf("%s %q: %w", table, key, err)
	}
	if value == nil {
		f.set(table, id, nil)
		return nil
	}
	var fields map[string]struct {
		Type  string          `json:"t"`
		Value json.RawMessage `json:"v"`
	}
	if err := json.Unmarshal(value, &fields); err != nil {
		return err
	}
	r := rec{}
	for name, k := range fields {
		if r[name], err = unkept(k.Type, k.Value); err != nil {
			return fmt.Errorf("%s %q: %s: %w", table, key, name, err)
		}
	}
	f.set(table, id, r)
	return nil
}

func unkept(kind string, raw json.RawMessage) (any, error) {
	if kind == "text" {
		var t translated
		return t, json.Unmarshal(raw, &t)
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil || kind == "" {
		return v, err
	}
	s, _ := v.(string)
	switch kind {
	case "decimal":
		return decimal.Parse(s)
	case "time":
		return time.Parse(time.RFC3339Nano, s)
	case "int":
		return strconv.ParseInt(s, 10, 64)
	}
	return nil, fmt.Errorf("there is no type %q", kind)
}

// all gives every record.
func (f *Fake) all(put func(table, key string, value any)) {
	for model, t := range f.data {
		for id, r := range t {
			put(model, strconv.FormatInt(id, 10), r.kept())
		}
	}
	for sku, o := range f.openings {
		put(tableOpenings, string(sku), o)
	}
}

// open reads what an earlier process left at path, and keeps what comes there.
func (f *Fake) open(path string) (err error) {
	if f.ledger, err = fakeworks.Open(path, f.load, f.all); err != nil {
		return err
	}
	// The last process may have died between a product and what was known of it.
	for _, sku := range slices.Collect(maps.Keys(f.openings)) {
		f.arrive(f.with("product.product", "code", string(sku)))
	}
	return f.ledger.Flush()
}

// flush writes what the call at hand changed. Callers hold mu.
func (f *Fake) flush() {
	if err := f.ledger.Flush(); err != nil {
		f.violate("%v", err)
		f.ledger = nil
	}
}

// Fresh reports that the fake was to be kept in a file, and none was there.
func (f *Fake) Fresh() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ledger.Fresh()
}

// closeLedger ends the keeping; what is still going on is not kept.
func (f *Fake) closeLedger() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.ledger.Close() // every line was written already
	f.ledger = nil
}
