//go:build unix

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/media"
	"github.com/sluicehub/sluice/pim/postgres"
)

type renditionCmd struct {
	List   renditionListCmd   `cmd:"" help:"List what is made of images, and which channels show it."`
	Put    renditionPutCmd    `cmd:"" help:"Say what shall be made of images under a name."`
	Delete renditionDeleteCmd `cmd:"" help:"Delete a definition that no channel shows."`
}

type renditionListCmd struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the definitions.
func (l renditionListCmd) Run(ctx context.Context, c console) error {
	header := []string{"RENDITION", "PIXELS", "FIT", "FORMAT", "CHANNELS", "UPDATED"}
	return list(ctx, c, l.JSON, header, renditionViews, func(r api.Rendition) []string {
		d := r.Definition
		channels := make([]string, len(r.Channels))
		for i, code := range r.Channels {
			channels[i] = string(code)
		}
		return []string{r.Code, pixelsOf(d), string(cmp.Or(d.Fit, media.Contain)), string(cmp.Or(d.Format, media.JPEG)), dash(strings.Join(channels, " ")), r.UpdatedAt.Format("2006-01-02 15:04:05")}
	})
}

// pixelsOf says how large a definition's renditions are; a free side is "*".
func pixelsOf(d media.Definition) string {
	side := func(n int) string {
		if n == 0 {
			return "*"
		}
		return fmt.Sprint(n)
	}
	return side(d.Width) + "x" + side(d.Height)
}

func renditionViews(ctx context.Context, store *postgres.Store) ([]api.Rendition, error) {
	return pages(0, func(page postgres.Page) ([]api.Rendition, string, error) {
		list, next, err := store.RenditionDefinitions(ctx, page)
		if err != nil {
			return nil, "", err
		}
		views := make([]api.Rendition, len(list))
		for i := range list {
			if views[i], err = api.ViewRendition(&list[i]); err != nil {
				return nil, "", err
			}
		}
		return views, next, nil
	})
}

type renditionPutCmd struct {
	files
	Code   string   `arg:"" help:"The definition's code."`
	File   string   `placeholder:"FILE" type:"path" help:"JSON file with the definition, as PUT /v1/renditions/CODE takes it; - is standard input."`
	Preset string   `help:"Begin with what a target publishes of its images: amazon, bol, google or shopify."`
	Set    []string `sep:"none" placeholder:"KEY=VALUE" help:"A member of the definition, such as width=800, fit=pad or require.min_width=500; can be repeated."`
}

// Run makes or replaces the definition.
func (p renditionPutCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	definition, err := p.definition(c)
	if err != nil {
		return err
	}
	return p.use(ctx, func(store *postgres.Store, m *jobs.Media) error {
		d, err := m.PutDefinition(ctx, p.Code, definition)
		if err != nil {
			return err
		}
		wakeAll(ctx, log, store, mediaConsumers()...)
		said := "no channel shows it yet"
		if n := len(d.Channels); n > 0 {
			said = fmt.Sprintf("running workers make what %d channels show of it", n)
		}
		_, err = fmt.Fprintf(c.out, "Rendition %s is defined; %s.\n", p.Code, said)
		return err
	})
}

// definition puts file, preset and flags together; flags win.
func (p renditionPutCmd) definition(c console) (media.Definition, error) {
	whole := map[string]any{}
	if p.File != "" {
		text, err := readBounded(p.File, c.in)
		if err != nil {
			return media.Definition{}, err
		}
		v, err := pim.DecodeJSON(text, 0)
		if err != nil {
			return media.Definition{}, err
		}
		ok := false
		if whole, ok = v.(map[string]any); !ok {
			return media.Definition{}, errors.New("the file holds no JSON object")
		}
	}
	if p.Preset != "" {
		whole["preset"] = p.Preset
	}
	if len(whole) == 0 && len(p.Set) == 0 {
		return media.Definition{}, errors.New("--file, --preset or --set say what shall be made")
	}
	for _, s := range p.Set {
		name, text, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return media.Definition{}, fmt.Errorf("--set %s: KEY=VALUE is expected", s)
		}
		v, err := pim.DecodeJSON([]byte(text), 0)
		if err != nil {
			v = text // a word, such as pad, or a colour
		}
		at := whole
		if outer, inner, ok := strings.Cut(name, "."); ok {
			within, is := whole[outer].(map[string]any)
			if !is {
				within = map[string]any{}
				whole[outer] = within
			}
			at, name = within, inner
		}
		at[name] = v
	}
	raw, err := json.Marshal(whole)
	if err != nil {
		return media.Definition{}, err
	}
	return api.ReadRendition(raw)
}

type renditionDeleteCmd struct {
	Code string `arg:"" help:"The definition's code."`
}

// Run deletes the definition.
func (d renditionDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return changing(ctx, log, func(store *postgres.Store) error {
		return deleted(c, store.DeleteRenditionDefinition(ctx, d.Code, 0), "rendition", d.Code, "channels show rendition "+d.Code+": take it from their renditions first")
	})
}
