package connectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

// ConfigCheck gathers the problems of one channel's settings, so that people
// hear of all at once. Its problems quote no value: it may be a secret.
type ConfigCheck struct {
	problems []pim.Problem
	unread   map[string]bool // fields that Decode could not read
}

// Add notes a problem of a field, named as in the config's JSON; "" is the
// config as a whole. Of a field that Decode could not read nothing more is
// noted: what it lacks then is only a consequence.
func (c *ConfigCheck) Add(field, code, detail string) {
	if c.unread[field] || c.unread[""] {
		return
	}
	pointer := ""
	if field != "" {
		pointer = "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(field)
	}
	c.problems = append(c.problems, pim.Problem{Pointer: pointer, Code: code, Detail: detail})
}

// Err is nil or a *pim.Invalid with pointers into the config.
func (c *ConfigCheck) Err() error {
	if len(c.problems) == 0 {
		return nil
	}
	return &pim.Invalid{Problems: c.problems}
}

// Decode reads raw into the struct that config points to, field by field:
// unknown fields and wrong types are problems, and the other fields are read
// nevertheless.
func (c *ConfigCheck) Decode(raw json.RawMessage, config any) {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(raw, &given); err != nil {
		c.cannotRead("", "config", "the config is not a JSON object")
		return
	}
	v := reflect.ValueOf(config).Elem()
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		fields[name] = v.Field(i)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		field, ok := fields[name]
		if !ok {
			c.Add(name, "field.unknown", fmt.Sprintf("there is no field %q; there are: %s", name, strings.Join(slices.Sorted(maps.Keys(fields)), ", ")))
			continue
		}
		err := json.Unmarshal(given[name], field.Addr().Interface())
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			c.cannotRead(name, "field.type", "cannot be a "+wrong.Value)
		} else if err != nil {
			c.cannotRead(name, "field.type", "has the wrong form")
		}
	}
}

func (c *ConfigCheck) cannotRead(field, code, detail string) {
	c.Add(field, code, detail)
	if c.unread == nil {
		c.unread = map[string]bool{}
	}
	c.unread[field] = true
}

// URL reads a target's address: http or https, a host, no credentials. It is
// nil, and a problem, when it is no such thing.
func (c *ConfigCheck) URL(field, raw string) *url.URL {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		c.Add(field, "field.missing", "is needed")
	case err != nil: // its text would quote the URL, query included
		c.Add(field, "config.url", "is not a URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		c.Add(field, "config.url", "must begin with http:// or https:// and a host")
	case u.User != nil:
		c.Add(field, "config.url", "holds a user name or password; there are fields for them")
	default:
		u.Fragment = ""
		return u
	}
	return nil
}

// Need notes fields that are empty: name and value in turn.
func (c *ConfigCheck) Need(pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if strings.TrimSpace(pairs[i+1]) == "" {
			c.Add(pairs[i], "field.missing", "is needed")
		}
	}
}
