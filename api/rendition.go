package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/media"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Rendition is a definition: what shall be made of every image, under a name.
type Rendition struct {
	Code       string            `json:"code"`
	Definition media.Definition  `json:"definition"`
	Channels   []pim.ChannelCode `json:"channels" doc:"Which channels show it; with none, nothing is made by it"`
	Revision   int64             `json:"revision"`
	UpdatedAt  time.Time         `json:"updated_at"`
}

// RenditionSpec is a definition, or a preset with what differs from it.
type RenditionSpec struct {
	Preset string `json:"preset,omitempty" doc:"Name of a preset that the other members are put over"`
	media.Definition
}

// RenditionPreset is a definition that keeps what a target publishes of its images.
type RenditionPreset struct {
	Name       string           `json:"name"`
	Definition media.Definition `json:"definition"`
}

func (s *server) registerRenditions() {
	handle(s, op("list-renditions", http.MethodGet, "/v1/renditions", tagMedia, "List rendition definitions by code"), s.listRenditions)
	handle(s, op("get-rendition", http.MethodGet, "/v1/renditions/{code}", tagMedia, "Get a rendition definition"), s.getRendition)
	handle(s, op("put-rendition", http.MethodPut, "/v1/renditions/{code}", tagMedia, "Say what shall be made of images under a name", creates,
		says("The body is a definition, or a preset with what differs from it. Where channels show it, what is missing is made at once, "+
			"and the channels go on showing nothing in between but what is made."),
		shownAs("definition"), means(meantRendition), takesJSON[RenditionSpec](s, "require")), s.putRendition)
	deletes(s, op("delete-rendition", http.MethodDelete, "/v1/renditions/{code}", tagMedia, "Delete a rendition definition that no channel shows"),
		func(ctx context.Context, code string, rev int64) error {
			if _, err := s.media(); err != nil {
				return err
			}
			return s.Store.DeleteRenditionDefinition(ctx, code, rev)
		})
	handle(s, op("list-rendition-presets", http.MethodGet, "/v1/rendition-presets", tagMedia, "List definitions that keep what targets publish of their images"),
		func(context.Context, *struct{}) (*answer[page[RenditionPreset]], error) {
			var items []RenditionPreset
			for _, name := range media.Presets() {
				d, _ := media.Preset(name)
				items = append(items, RenditionPreset{name, d})
			}
			return pageOf(items, ""), nil
		})
}

// ViewRendition is a definition as the API shows it.
func ViewRendition(d *postgres.RenditionDefinition) (Rendition, error) {
	v := Rendition{Code: d.Code, Channels: none(d.Channels), Revision: d.Rev, UpdatedAt: d.UpdatedAt}
	// What is stored was checked when it came.
	return v, json.Unmarshal(d.Definition, &v.Definition)
}

func (s *server) listRenditions(ctx context.Context, in *sortedPages) (*answer[page[Rendition]], error) {
	if _, err := s.media(); err != nil {
		return nil, err
	}
	list, next, err := s.Store.RenditionDefinitions(ctx, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	items := make([]Rendition, len(list))
	for i := range list {
		if items[i], err = ViewRendition(&list[i]); err != nil {
			return nil, err
		}
	}
	return pageOf(items, next), nil
}

// meantRendition is a body of PUT without a preset, and with its defaults.
func meantRendition(_, body map[string]any) (map[string]any, error) {
	d, err := ReadRendition(written(body))
	if err != nil {
		return nil, err
	}
	return asMembers(d)
}

// renditionAnswer is a definition with its revision as entity tag.
type renditionAnswer struct {
	Status int
	ETag   string `header:"ETag" doc:"The definition's revision"`
	Body   Rendition
}

func answerRendition(d *postgres.RenditionDefinition, status int) (*renditionAnswer, error) {
	v, err := ViewRendition(d)
	return &renditionAnswer{status, etag(d.Rev), v}, err
}

func (s *server) getRendition(ctx context.Context, in *CodePath) (*renditionAnswer, error) {
	if _, err := s.media(); err != nil {
		return nil, err
	}
	d, err := s.Store.RenditionDefinition(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	return answerRendition(&d, http.StatusOK)
}

func (s *server) putRendition(ctx context.Context, in *putCode) (*renditionAnswer, error) {
	m, err := s.media()
	if err != nil {
		return nil, err
	}
	want, p := parseIfMatch(in.IfMatch)
	if p != nil {
		return nil, p
	}
	definition, err := ReadRendition(in.RawBody)
	if err != nil {
		return nil, err
	}
	for race := 0; ; race++ {
		old, err := s.Store.RenditionDefinition(ctx, in.Code)
		before := err == nil
		if err != nil && !errors.Is(err, postgres.ErrNotFound) {
			return nil, err
		}
		var revision int64
		switch {
		case want.given && !before:
			return nil, problem(http.StatusPreconditionFailed, "stale", "there is no such rendition definition")
		case want.given && !want.any && !slices.Contains(want.revisions, old.Rev):
			return nil, stale(old.Rev)
		case want.given:
			revision = old.Rev
		}
		d, err := m.ReplaceDefinition(ctx, in.Code, definition, revision)
		if errors.Is(err, postgres.ErrStale) && race < maxRaces {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.wakeMedia()
		return answerRendition(&d, created(before))
	}
}

// ReadRendition reads a rendition definition from JSON: a media.Definition, or
// the name of a preset with what differs from it. The error is a *pim.Invalid.
func ReadRendition(body []byte) (media.Definition, error) {
	v, err := pim.DecodeJSON(body, 0)
	if err != nil {
		return media.Definition{}, err
	}
	m, ok := v.(map[string]any)
	if !ok || m["preset"] == nil {
		return media.ParseDefinition(body)
	}
	name, ok := m["preset"].(string)
	base, known := media.Preset(name)
	if !ok || !known {
		return media.Definition{}, &pim.Invalid{Problems: []pim.Problem{{
			Pointer: "/preset", Code: "preset.unknown", Detail: fmt.Sprintf("there is no such preset; there are %s", strings.Join(media.Presets(), ", ")),
		}}}
	}
	delete(m, "preset")
	raw, err := json.Marshal(base)
	if err != nil {
		return media.Definition{}, err
	}
	whole, err := pim.DecodeJSON(raw, 0)
	if err != nil {
		return media.Definition{}, err
	}
	if raw, err = json.Marshal(pim.MergePatch(whole, m)); err != nil {
		return media.Definition{}, err
	}
	return media.ParseDefinition(raw)
}
