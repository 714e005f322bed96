// Package ascode keeps the house's settings in files: what attributes, families,
// channels and so on there are, as YAML documents that are compared with the
// house, applied to it, and dumped from it. It speaks to the API alone, so that a
// file is checked by the rules that hold for everybody, and knows of each kind of
// resource no more than its address: which fields there are is taken from the
// API's own description.
package ascode

import (
	"encoding/json"
	"fmt"
)

// Kind is one kind of resource.
type Kind struct {
	Name   string // as documents name it: resource: attribute
	Plural string // the last part of its address, and the name of its file in a dump
	view   string // the member of what GET answers that PUT takes; "" is all of it
	stays  string // the one that is always there
	// above gives the others of the kind that one names, which are made before it; nil: it
	// names none.
	above func(fields map[string]any) []string

	shapes string   // the last part of the address of what shapes its config
	by     string   // the field that names one of those
	exact  []string // fields in which false, 0 and "" are not what an absent one is: the house keeps both
	unseen []string // fields that PUT takes and GET never shows
	keeps  []string // fields that PUT leaves as they are where it has none; all: every one
}

const (
	memberConfig = "config"
	all          = "*"
)

// member gives what a field names.
func member(field string) func(map[string]any) []string {
	return func(fields map[string]any) []string {
		code, _ := fields[field].(string)
		return []string{code}
	}
}

// referred are the reference entities that the attributes of one refer to.
func referred(fields map[string]any) (codes []string) {
	list, _ := fields["attributes"].([]any)
	for _, a := range list {
		attribute, _ := a.(map[string]any)
		if code, _ := attribute["entity"].(string); code != "" {
			codes = append(codes, code)
		}
	}
	return codes
}

// Kinds are in the order in which they are made: what others refer to comes first.
// Within one, documents are in the order of the files.
var Kinds = []Kind{
	{Name: "locale", Plural: "locales", above: member("fallback")},
	{Name: "currency", Plural: "currencies"},
	{Name: "price-list", Plural: "price-lists", above: member("base"), stays: "default"},
	{Name: "location", Plural: "locations", exact: []string{"enabled"}, stays: "default"},
	{Name: "attribute-group", Plural: "attribute-groups"},
	{Name: "reference-entity", Plural: "reference-entities", above: referred},
	{Name: "association-type", Plural: "association-types"},
	{Name: "attribute", Plural: "attributes"},
	{Name: "family", Plural: "families"},
	{Name: "category", Plural: "categories", above: member("parent")},
	{Name: "rendition", Plural: "renditions", view: "definition", unseen: []string{"preset"}},
	{Name: "import-profile", Plural: "import-profiles"},
	{
		Name: "channel", Plural: "channels", shapes: "connectors", by: "connector", exact: []string{memberConfig},
		unseen: []string{"mapping_note"}, keeps: []string{"enabled", "test"},
	},
	{Name: "price-rule", Plural: "price-rules", exact: []string{"enabled"}}, // behind channels, whose values its condition may name
	{Name: "provider", Plural: "providers", shapes: "provider-kinds", by: "kind", exact: []string{memberConfig}, keeps: []string{all}},
	{Name: "text-rule", Plural: "text-rules", exact: []string{"hold_minutes"}},
	{Name: "notifier", Plural: "notifiers", shapes: "notifier-kinds", by: "kind", exact: []string{memberConfig}, keeps: []string{all}},
}

func kindNamed(name string) (*Kind, bool) {
	for i := range Kinds {
		if Kinds[i].Name == name {
			return &Kinds[i], true
		}
	}
	return nil, false
}

// Document is one resource as a file wants it. A field that it leaves out stays as
// it is, or is the API's default where the resource is made; null takes it back to
// that.
type Document struct {
	Kind   *Kind
	Code   string
	Fields map[string]any // JSON values, numbers as json.Number; secrets as *Secret
	File   string
	Line   int
}

func (d *Document) String() string { return d.Kind.Name + " " + d.Code }

// at is the place of the document, for errors.
func (d *Document) at() string { return fmt.Sprintf("%s:%d", d.File, d.Line) }

// Secret is a value that no file has: it is read when it is sent. It need not be
// one that the API hides.
type Secret struct {
	Env  string // the environment variable that has it
	File string // or the file; its last line break is not part of it

	value *string // nil: it was not read yet
}

// MarshalJSON keeps the value out of everything that is written down: it says where
// it comes from.
func (s *Secret) MarshalJSON() ([]byte, error) {
	switch {
	case s.Env != "":
		return json.Marshal("(from " + s.Env + ")")
	case s.File != "":
		return json.Marshal("(from file " + s.File + ")")
	}
	return json.Marshal("(secret)") // one that the house has
}
