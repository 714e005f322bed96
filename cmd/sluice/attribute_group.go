//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type groupCmd struct {
	List   groupListCmd   `cmd:"" help:"List the groups of attributes in their order."`
	Put    groupPutCmd    `cmd:"" help:"Create or replace a group of attributes."`
	Delete groupDeleteCmd `cmd:"" help:"Delete a group that no attribute names."`
}

type groupListCmd struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the groups.
func (l groupListCmd) Run(ctx context.Context, c console) error {
	read := func(_ context.Context, store *postgres.Store) ([]*pim.AttributeGroup, error) {
		return api.GroupsInOrder(store.Schema()), nil
	}
	return list(ctx, c, l.JSON, []string{"GROUP", "POSITION", "LABEL"}, read, func(g *pim.AttributeGroup) []string {
		return []string{g.Code, strconv.Itoa(g.Position), dash(labelOf(g.Labels, ""))}
	})
}

type groupPutCmd struct {
	Code     string                `arg:"" help:"The group's code."`
	Position int                   `placeholder:"NUMBER" help:"Among the groups, the lowest first."`
	Label    map[pim.Locale]string `placeholder:"LOCALE=TEXT" mapsep:"none" help:"What it is called in a locale; all of its labels."`
}

// Run makes or replaces the group.
func (p groupPutCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	change := postgres.SchemaChange{Groups: []pim.AttributeGroup{{Code: p.Code, Position: p.Position, Labels: p.Label}}}
	if _, err := store.ChangeSchema(ctx, change); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "Attribute group %s is set.\n", p.Code)
	return err
}

type groupDeleteCmd struct {
	Code string `arg:"" help:"The group's code."`
}

// Run deletes the group.
func (d groupDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return changing(ctx, log, func(store *postgres.Store) error {
		return deleted(c, store.DeleteGroup(ctx, d.Code, 0), "attribute group", d.Code, "attributes are in group "+d.Code)
	})
}
