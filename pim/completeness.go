package pim

// Completeness is how much a product has of what its family requires for one
// channel and locale.
type Completeness struct {
	Required int      `json:"required" doc:"Attributes that the family requires on the channel"`
	Filled   int      `json:"filled" doc:"Those of them that have a value for the channel and locale"`
	Missing  []string `json:"missing" doc:"The codes of the others, in the family's order"`
}

// Complete reports whether nothing is missing.
func (c Completeness) Complete() bool { return c.Filled == c.Required }

// Share is the filled part, from 0 to 1, cut to two digits so that 1 is said of
// what is complete alone; 1 where nothing is required.
func (c Completeness) Share() float64 {
	if c.Required == 0 {
		return 1
	}
	return float64(c.Filled*100/c.Required) / 100
}

// Completeness counts what values, a variant's own over its parent's, have of the
// attributes that a family requires on a channel. Empty text and an empty array
// are no value. by is the family variant of a model, else "", and level the model's
// own, 0 for a root model's: what is of a level below is for those to have that are
// there. Channel "" is none in particular. An unknown family requires nothing.
func (s *Schema) Completeness(family, by string, level int, values Values, channel ChannelCode, locale Locale) Completeness {
	c := Completeness{Missing: []string{}}
	f := s.Families[family]
	if f == nil {
		return c
	}
	variant := f.Variant(by)
	for _, fa := range f.Attributes {
		if !fa.RequiredOn(channel) {
			continue
		}
		if variant != nil {
			if own, _ := variant.LevelOf(fa.Code); own > level {
				continue
			}
		}
		c.Required++
		if a := s.Attributes[fa.Code]; a != nil && isFilled(scopeOf(a, values[fa.Code], channel, locale)) {
			c.Filled++
		} else {
			c.Missing = append(c.Missing, fa.Code)
		}
	}
	return c
}
