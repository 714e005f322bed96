package jobs

import (
	"context"
	"slices"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// relate reads the records that subjects name, and those that these name. It stands
// behind their claim, so that whatever made a listing due is seen.
func (c *Channels) relate(ctx context.Context, subjects []*connectors.Subject, schema *pim.Schema) error {
	of := make([][]string, len(subjects))
	var refs []string
	for i, s := range subjects {
		if s != nil {
			of[i] = schema.RecordRefs(s.Values)
			refs = append(refs, of[i]...)
		}
	}
	if len(refs) == 0 {
		return nil
	}
	known, named := map[string]*connectors.Record{}, map[string][]string{}
	if err := c.readRecords(ctx, schema, refs, known, named); err != nil {
		return err
	}
	var further []string
	for _, list := range named {
		further = append(further, list...)
	}
	further = slices.DeleteFunc(further, func(ref string) bool { return known[ref] != nil })
	if err := c.readRecords(ctx, schema, further, known, map[string][]string{}); err != nil {
		return err
	}
	for i, s := range subjects {
		if len(of[i]) == 0 {
			continue
		}
		s.Records = make(map[string]*connectors.Record, len(of[i]))
		for _, ref := range of[i] {
			for _, ref := range append([]string{ref}, named[ref]...) {
				if r := known[ref]; r != nil {
					s.Records[ref] = r
				}
			}
		}
	}
	return nil
}

// readRecords adds records to known, and to named which others each of them names.
func (c *Channels) readRecords(ctx context.Context, schema *pim.Schema, refs []string, known map[string]*connectors.Record, named map[string][]string) error {
	if len(refs) == 0 {
		return nil
	}
	slices.Sort(refs)
	list, err := c.store.RecordsOf(ctx, slices.Compact(refs))
	if err != nil {
		return err
	}
	of := map[string]*pim.Schema{} // of entities whose attributes refer to records
	for code, e := range schema.Entities {
		if slices.ContainsFunc(e.Attributes, func(a pim.Attribute) bool { return a.Entity != "" }) {
			of[code] = schema.RecordSchema(code)
		}
	}
	for i := range list {
		r := &list[i]
		values, err := pim.DecodeStored(r.Values)
		if err != nil {
			return undecodable("values of record "+r.Code, pim.SKU(r.Entity), err)
		}
		ref := pim.RecordRef(r.Entity, r.Code)
		known[ref] = &connectors.Record{Code: r.Code, Labels: r.Labels, Values: values}
		if s := of[r.Entity]; s != nil {
			named[ref] = s.RecordRefs(values)
		}
	}
	return nil
}

// recordMedia are the assets that the records of a subject name. Links in records
// are passed on as they stand: nothing fetches them.
func recordMedia(s *connectors.Subject, schema *pim.Schema) (refs []string) {
	for ref, r := range s.Records {
		entity, _ := pim.SplitRef(ref)
		e := schema.Entities[entity]
		if e == nil {
			continue
		}
		for _, a := range e.Attributes {
			if a.Type == pim.TypeMedia {
				refs = append(refs, mediaIn(r.Values[a.Code])...)
			}
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// associate reads the products that subjects are associated with and that t may show,
// as relate does records.
func (c *Channels) associate(ctx context.Context, t *Target, subjects []*connectors.Subject, schema *pim.Schema) error {
	if len(schema.Associations) == 0 {
		return nil
	}
	var skus []string
	for _, s := range subjects {
		if s != nil {
			skus = append(skus, string(s.SKU))
			for _, above := range s.Above() {
				skus = append(skus, string(above))
			}
		}
	}
	if len(skus) == 0 {
		return nil
	}
	slices.Sort(skus)
	shown, err := c.store.ShownAssociations(ctx, t.ID, slices.Compact(skus))
	if err != nil {
		return err
	}
	for _, s := range subjects {
		if s == nil {
			continue
		}
		s.Associations = shown[s.SKU]
		for _, above := range s.Above() {
			if shown[above] == nil {
				continue
			}
			both := s.Associations.Clone()
			for t, list := range shown[above] {
				for _, a := range list {
					if a.SKU != s.SKU && !both.Has(t, a.SKU) {
						both[t] = append(both[t], a)
					}
				}
			}
			s.Associations = both
		}
	}
	return nil
}
