package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/interpreter"
	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

// try evaluates each expression on invented products and reports those that
// reach a limit. Other errors say nothing: an invented value may be of a type
// that the expression does not take. See Compile.
func (c *compiler) try(p *Program) {
	ctx, cancel := context.WithTimeout(context.Background(), maxTrial)
	defer cancel()
	for _, lane := range p.lanes.List() {
		total := uint64(0)
		for _, f := range p.fields[lane] {
			pointer := "/" + lane.String() + "/" + escapePointer(f.name)
			cost, err := f.tryAll(ctx, lane, &p.tables)
			switch {
			case ctx.Err() != nil:
				c.problem(pointer, "mapping.cost", "trying the mapping took longer than %s, and ended at this field", maxTrial)
				return
			case err != nil:
				c.problem(pointer, "mapping.cost", "tried on an invented product, the expression went too far: %v", err)
			}
			total += cost
		}
		if total > maxCost && len(c.problems) == 0 {
			c.problem("/"+lane.String(), "mapping.cost", "tried on an invented product, the lane's fields cost %d steps together; %d are allowed", total, maxCost)
		}
	}
}

// tryAll evaluates one field on every kind of invented product, and gives the
// highest cost, or the limit that was reached. A field without interpreter
// costs nothing.
func (f *field) tryAll(ctx context.Context, lane pim.Lane, tables *Mapping) (highest uint64, reached error) {
	if f.direct {
		return 0, nil
	}
	kinds := trialKinds
	if len(f.codes) == 0 {
		kinds = kinds[:1]
	}
	for _, program := range []cel.Program{f.eval, f.trial} {
		if program == nil {
			continue
		}
		for _, value := range kinds {
			cost, err := tryOn(ctx, program, trialView(lane, tables, f.codes, value))
			highest = max(highest, cost)
			if err != nil {
				return highest, err
			}
		}
	}
	return highest, nil
}

func tryOn(ctx context.Context, program cel.Program, v *view) (uint64, error) {
	frame, err := interpreter.NewExecutionFrame(v)
	if err != nil {
		return 0, fmt.Errorf("open an execution frame: %w", err)
	}
	defer frame.Close()
	if err := frame.SetContext(ctx, interruptEvery); err != nil {
		return 0, fmt.Errorf("open an execution frame: %w", err)
	}
	result, details, err := program.Eval(frame)
	cost := uint64(0)
	if actual := details.ActualCost(); actual != nil {
		cost = *actual
	}
	if err == nil {
		_, err = (&writer{}).value(result, 0)
	}
	if err != nil && tooCostly(err) && !errors.Is(err, interpreter.InterruptError{}) {
		return cost, err
	}
	return cost, nil
}

// The invented product: far larger than most, so that what only just passes
// still passes in real life.
const (
	trialWords  = 800
	trialList   = 200
	trialOthers = 200 // attributes that the expression does not name
	trialMany   = 50  // categories, media, prices, locations, records that one attribute names

	trialRecordValues = 10 // of each record
)

var trialLongText = "<p>" + strings.Repeat("lorem 12.5 ", trialWords/2) + "</p>"

// trialKinds are what a named attribute may hold.
var trialKinds = []any{
	trialLongText,
	func() []any {
		l := make([]any, trialList)
		for i := range l {
			l[i] = fmt.Sprintf("option-%d", i)
		}
		return l
	}(),
	json.Number("12.5"),
	map[string]any{"amount": json.Number("12.5"), "unit": "kg"},
}

// trialView is an invented product whose named attributes all hold value.
func trialView(lane pim.Lane, tables *Mapping, codes []string, value any) *view {
	s := &Subject{SKU: "SKU-1", Parent: "SKU", Family: "family", Enabled: true, Values: pim.Values{}, Associations: pim.Associations{}}
	schema := &pim.Schema{Attributes: map[string]*pim.Attribute{}}
	var categories []*pim.Category
	set := func(code string, t pim.AttributeType, v any) {
		s.Values[code] = v
		schema.Attributes[code] = &pim.Attribute{Code: code, Type: t}
	}
	for i := range trialOthers {
		set(fmt.Sprintf("attribute_%d", i), pim.TypeText, "Some words that say little")
	}
	for i := range trialMany {
		code := fmt.Sprintf("category_%d", i)
		s.Categories = append(s.Categories, code)
		categories = append(categories, trialCategory(code))
		set(fmt.Sprintf("picture_%d", i), pim.TypeMedia, "https://media.example/"+code+".jpg")
		s.Prices = append(s.Prices, pim.Price{Currency: "EUR", MinQuantity: i, Amount: decimal.MustNew(1990, 2)})
		s.Stock = append(s.Stock, pim.Stock{Location: code, OnHand: 10, Reserved: 1})
	}
	for _, code := range codes {
		set(code, pim.TypeText, value)
	}
	schema.Tree = pim.NewTree(1, categories)
	s.Variant = "variant"
	schema.Families = map[string]*pim.Family{"family": {Code: "family", Variants: []pim.FamilyVariant{{Code: "variant", Axes: codes}}}}
	scope := &Scope{Channel: "channel", Locale: "en-GB", Currency: "EUR", Now: time.Unix(0, 0)}
	for i := range trialMany {
		s.Associations["X_SELL"] = append(s.Associations["X_SELL"], pim.Association{SKU: pim.SKU(fmt.Sprintf("SKU-%d", i))})
	}
	return &view{lane: lane, subject: s, schema: schema, scope: scope, mapping: tables, records: trialRecords(codes, value)}
}

// trialRecords are invented records, of each code one or, where the attributes hold
// lists, many.
func trialRecords(codes []string, value any) map[string]any {
	values := map[string]any{}
	for i := range trialRecordValues {
		values[fmt.Sprintf("attribute_%d", i)] = "Some words that say little"
	}
	one := map[string]any{"code": "record", "label": "A record with a long name", "labels": map[string]any{"en-GB": "A record with a long name"}, "values": values}
	named := maps.Clone(one)
	one["records"] = map[string]any{"attribute_0": named}
	records := map[string]any{}
	for _, code := range codes {
		records[code] = one
		if _, many := value.([]any); many {
			all := make([]any, trialMany)
			for i := range all {
				all[i] = one
			}
			records[code] = all
		}
	}
	return records
}

// trialCategory is an invented category, deep in a tree.
func trialCategory(code string) *pim.Category {
	path := make([]string, 10, 11)
	for i := range path {
		path[i] = fmt.Sprintf("a_category_above_%d", i)
	}
	return &pim.Category{Code: code, Labels: map[pim.Locale]string{"en-GB": "A category with a long name"}, Path: append(path, code)}
}
