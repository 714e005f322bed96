package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/connectors"
)

// configSchema is the JSON Schema of a kind's config struct.
func configSchema(k *connectors.Kind) (object, error) { return schemaOfConfig(k.Name, k.Config) }

func schemaOfConfig(kind string, config any) (object, error) {
	t := reflect.TypeOf(config)
	if t == nil {
		return object(`{"type":"object"}`), nil
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	schema := huma.NewMapRegistry("#/", huma.DefaultSchemaNamer).Schema(t, false, "")
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if p := schema.Properties[name]; p != nil && t.Field(i).Tag.Get("secret") == "true" {
			p.WriteOnly = true
		}
	}
	raw, err := json.Marshal(schema)
	if err != nil {
		return nil, fmt.Errorf("describe the config of %s: %w", kind, err)
	}
	return raw, nil
}
