//go:build unix

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/cmd/sluice/skeleton"
	"github.com/sluicehub/sluice/connectors/all"
)

type connectorCmd struct {
	List connectorListCmd `cmd:"" default:"1" help:"List the connectors of this program."`
	New  connectorNewCmd  `cmd:"" help:"Write the beginning of a new connector into a checkout of Sluice."`
}

type connectorListCmd struct{}

// Run prints a line for each connector.
func (connectorListCmd) Run(c console) error {
	var rows [][]string
	for _, k := range all.Registry().Kinds() {
		rows = append(rows, []string{k.Name, k.Title, words(k.Lanes), words(k.Powers()), words(k.Withdrawals)})
	}
	return table(c.out, []string{"connector", "title", "lanes", "powers", "withdrawals"}, rows)
}

// words writes a list in a cell.
func words[T any](list []T) string {
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = fmt.Sprint(v)
	}
	return strings.Join(all, ", ")
}

type connectorNewCmd struct {
	Name string `arg:"" help:"The connector's name, as it names a Go package: lower-case letters and digits."`
	Dir  string `default:"." type:"existingdir" help:"The checkout."`
}

// Run writes the files and says what is to be done next.
func (n *connectorNewCmd) Run(c console) error {
	paths, err := skeleton.Write(n.Dir, n.Name)
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for _, p := range paths {
		fmt.Fprintln(c.out, p)
	}
	_, err = fmt.Fprintf(c.out, `
It passes the conformance suite as it is:

  go test ./connectors/%[1]s/...

Make it speak to the real target, function by function. To have it in the program, add one line to connectors/all/all.go:

  %[1]s.Kind,
`, n.Name)
	return err
}
