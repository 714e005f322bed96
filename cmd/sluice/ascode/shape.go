package ascode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// shaped is what a connector, or a kind of provider or notifier, says of the
// resources that are of it.
type shaped struct {
	secrets  []string       // names of the config that the API never shows
	defaults map[string]any // what a field is that is left out
}

// shapedBy gives what shapes the document's resource.
func (h *House) shapedBy(ctx context.Context, d *Document, was *resource) (shaped, error) {
	k := d.Kind
	if k.shapes == "" {
		return shaped{}, nil
	}
	if h.shapes[k] == nil {
		all, err := h.readShapes(ctx, k)
		if err != nil {
			return shaped{}, err
		}
		h.shapes[k] = all
	}
	name, _ := d.Fields[k.by].(string)
	if name == "" && was != nil {
		name, _ = was.fields[k.by].(string)
	}
	s, known := h.shapes[k][name]
	if !known { // the API refuses it, but a plan is shown before that
		for _, other := range h.shapes[k] {
			s.secrets = append(s.secrets, other.secrets...)
		}
	}
	if was != nil {
		s.secrets = slices.Concat(s.secrets, was.secrets)
	}
	return s, nil
}

func (h *House) readShapes(ctx context.Context, k *Kind) (map[string]shaped, error) {
	var page struct {
		Items []struct {
			Name    string         `json:"name"`
			Lanes   []string       `json:"lanes"`
			Limits  map[string]any `json:"limits"`
			Mapping any            `json:"mapping"`
			Config  struct {
				Properties map[string]struct {
					WriteOnly bool `json:"writeOnly"`
				} `json:"properties"`
			} `json:"config_schema"`
		} `json:"items"`
	}
	if _, err := h.ask(ctx, http.MethodGet, "/v1/"+k.shapes, "", nil, &page); err != nil {
		return nil, fmt.Errorf("list %s: %w", k.shapes, err)
	}
	usual, err := usualMapping()
	if err != nil {
		return nil, err
	}
	all := map[string]shaped{}
	for _, i := range page.Items {
		s := shaped{defaults: map[string]any{}}
		for name, p := range i.Config.Properties {
			if p.WriteOnly {
				s.secrets = append(s.secrets, name)
			}
		}
		if i.Mapping != nil && len(i.Lanes) == 0 { // of a channel without a target
			s.defaults["price_list"] = "default"
		} else if i.Mapping != nil { // a channel's; its limits are those of the connector where it has none
			maps.Copy(s.defaults, i.Limits)
			if pim.EmptyJSON(i.Mapping) {
				i.Mapping = usual
			}
			s.defaults["mapping"], s.defaults["price_list"] = i.Mapping, "default"
		}
		all[i.Name] = s
	}
	return all, nil
}

// usualMapping is that of a channel whose connector brings none, as this version
// has it.
func usualMapping() (m map[string]any, err error) {
	raw, err := json.Marshal(connectors.DefaultMapping())
	if err != nil {
		return nil, err
	}
	return m, json.Unmarshal(raw, &m)
}

// check tells what of the document the API could not be told, or must not stand in
// a file.
func (d *Document) check(s shaped) error {
	var faults []error
	config, _ := d.Fields[memberConfig].(map[string]any)
	for _, name := range sorted(config) {
		_, drawn := config[name].(*Secret)
		if config[name] != nil && !drawn && slices.Contains(s.secrets, name) {
			faults = append(faults, fmt.Errorf("%s: %s: config.%s is a secret, and no file has one: write %s: {from_env: NAME} or %s: {from_file: PATH}", d.at(), d, name, name, name))
		}
	}
	for _, name := range sorted(d.Fields) {
		if d.Fields[name] == nil && (slices.Contains(d.Kind.keeps, name) || slices.Contains(d.Kind.keeps, all)) {
			faults = append(faults, fmt.Errorf("%s: %s: %s cannot be null: the API keeps what it is not given; write the value that is wanted, or leave %s out", d.at(), d, name, name))
		}
	}
	return errors.Join(faults...)
}

// warningsOf are those of an answer: texts, or problems with a detail.
func warningsOf(list []any) (texts []string) {
	for _, w := range list {
		switch w := w.(type) {
		case string:
			texts = append(texts, w)
		case map[string]any:
			pointer, _ := w["pointer"].(string)
			detail, _ := w["detail"].(string)
			texts = append(texts, strings.TrimPrefix(pointer+": "+detail, ": "))
		}
	}
	return texts
}
