package importing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

// Bounds of Options.
const (
	maxMapped     = 200  // fields of Map
	maxExpression = 4096 // bytes of one expression
	maxName       = 1000 // bytes of a column's name
)

// MapSKU is the key of Options.Map that makes the SKU; all others are codes of
// attributes.
const MapSKU = "sku"

// Options say how a file becomes products. Their JSON is what an import's row
// keeps; the zero value makes everything from the columns.
type Options struct {
	SKUColumn string            `json:"sku_column,omitempty" doc:"Column with the SKU; without it one that is called so, else one that is called GTIN, EAN or barcode"`
	Map       map[string]string `json:"map,omitempty" doc:"sku, or an attribute's code → CEL expression over row, e.g. regexFind(row.image, '/([0-9]+)_')"`
	Family    string            `json:"family,omitempty" doc:"Family of the products; without it one is made from the file's name and columns"`
	DryRun    bool              `json:"dry_run,omitempty" doc:"Check and report, store no product"`
	Locale    pim.Locale        `json:"locale,omitempty" doc:"Locale of columns for localizable attributes that name none themselves"`
}

// ParseOptions reads Options strictly, and checks them as Check does. Empty
// raw is the zero value. The error is a *pim.Invalid.
func ParseOptions(raw json.RawMessage) (Options, error) {
	var o Options
	if len(bytes.TrimSpace(raw)) == 0 {
		return o, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, invalid("", "options", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); err != io.EOF {
		return o, invalid("", "options", "something follows the options")
	}
	return o, o.Check()
}

// Check compiles the expressions and looks at everything else that needs no
// file. The error is a *pim.Invalid with pointers into the options' JSON
// ("/map/sku").
func (o Options) Check() error {
	_, err := o.compile()
	return err
}

// compile gives the mapped fields in the order of their names.
func (o Options) compile() (map[string]*expression, error) {
	var ps []pim.Problem
	add := func(pointer, code, detail string) {
		ps = append(ps, pim.Problem{Pointer: pointer, Code: code, Detail: detail})
	}
	if o.Family != "" {
		if err := pim.ValidCode("family", o.Family); err != nil {
			add("/family", "family.code", err.Error())
		}
	}
	if o.Locale != "" {
		if err := pim.ValidLocale(o.Locale); err != nil {
			add("/locale", "locale.tag", err.Error())
		}
	}
	if o.SKUColumn != "" && o.Map[MapSKU] != "" {
		add("/sku_column", "options", "the SKU comes from a column or from the map, not from both")
	}
	if len(o.SKUColumn) > maxName {
		add("/sku_column", "options", fmt.Sprintf("the name of a column has at most %d bytes", maxName))
	}
	if len(o.Map) > maxMapped {
		add("/map", "map.size", fmt.Sprintf("at most %d fields can be mapped", maxMapped))
		return nil, &pim.Invalid{Problems: ps}
	}
	fields := make(map[string]*expression, len(o.Map))
	for _, name := range slices.Sorted(maps.Keys(o.Map)) {
		at := pim.JoinPointer("/map", name)
		if err := pim.ValidCode("attribute", name); err != nil {
			add(at, "attribute.code", err.Error())
		}
		e, problems := compileExpression(at, o.Map[name])
		ps = append(ps, problems...)
		fields[name] = e
	}
	if len(ps) > 0 {
		return nil, &pim.Invalid{Problems: ps}
	}
	return fields, nil
}

func invalid(pointer, code, detail string) error {
	return &pim.Invalid{Problems: []pim.Problem{{Pointer: pointer, Code: code, Detail: detail}}}
}
