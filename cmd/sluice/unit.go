//go:build unix

package main

import (
	"strings"

	"github.com/sluicehub/sluice/pim"
)

type unitCmd struct {
	List unitListCmd `cmd:"" help:"List measurement families and their units, with their UN/ECE codes."`
}

type unitListCmd struct {
	Family string `arg:"" optional:"" help:"Only this measurement family, such as mass."`
	JSON   bool   `name:"json" help:"Print a JSON array."`
}

// Run lists the units; it asks no database, since they are the same everywhere.
func (l unitListCmd) Run(c console) error {
	families := []pim.MeasurementFamily{}
	rows := [][]string{}
	for _, f := range pim.MeasurementFamilies() {
		if l.Family != "" && l.Family != f.Code {
			continue
		}
		families = append(families, f)
		for _, u := range f.Units {
			rows = append(rows, []string{f.Code, u.Symbol, dash(u.Code), u.Factor, dash(strings.Join(u.Aliases, " "))})
		}
	}
	if l.JSON {
		return printJSON(c.out, families)
	}
	return table(c.out, []string{"FAMILY", "UNIT", "UN/ECE", "FACTOR", "ALSO"}, rows)
}
