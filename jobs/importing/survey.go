package importing

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/sluicehub/sluice/pim"
)

const (
	defaultMaxLength = 65535     // of a text attribute, in characters; see pim.Attribute
	mostMaxLength    = 1_000_000 // that an attribute may have
	minGTINs         = 10        // values it takes to call a column GTINs by what it holds
)

// survey is what a first reading of the whole file found. Types that fit every
// value can only be known then; the number of rows comes with it.
type survey struct {
	table  *table
	rows   int64
	stats  []stat          // by column
	mapped map[string]stat // by field of Options.Map; only when a family is to be made
	found  *catalogue      // of a supplier's catalogue
	*reading
	*links
}

// stat is what a column's values have in common.
type stat struct {
	filled              int64 // values that are not empty
	numbers, booleans   int64
	links, gtins        int64
	points, commas      int64 // numbers in which these stand for decimals beyond doubt
	nested              int64 // objects and arrays other than of links
	notText             int64 // JSON that was no text
	characters          int   // of the longest text
	firstRow, nestedRow int64
}

// take looks at one value. sniff: text may be a number or a boolean, as in CSV.
func (s *stat) take(row int64, v any, sniff, media bool) {
	if v == nil {
		return
	}
	if s.filled++; s.filled == 1 {
		s.firstRow = row
	}
	text := ""
	switch v := v.(type) {
	case string:
		text = v
		if sniff && isNumber(v) {
			s.numbers++
		}
		if sniff {
			s.decimals(v)
		}
		if sniff && isBoolean(v) {
			s.booleans++
		}
		if media && areLinks(v) {
			s.links++
		}
	case json.Number:
		s.notText++
		if text = string(v); isNumber(text) {
			s.numbers++
		}
	case bool:
		s.notText++
		s.booleans++
		return
	default:
		s.notText++
		if media && isLinks(v) {
			s.links++
			return
		}
		if s.nested++; s.nested == 1 {
			s.nestedRow = row
		}
		text = compact(v)
	}
	if n := len(text); n > s.characters {
		s.characters = max(s.characters, utf8.RuneCountInString(text))
	}
	if n := len(text); n >= 8 && n <= 14 {
		if code, _ := pim.GTINFault(text); code == "" {
			s.gtins++
		}
	}
}

// decimals looks at which character parts a number's decimals.
func (s *stat) decimals(text string) {
	if text == "" || len(text) > 30 || text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return
	}
	switch i := strings.LastIndexAny(text, ".,"); {
	case i < 0:
	case text[i] == '.' && plainAmount.MatchString(text) && !dotGroup.MatchString(text):
		s.points++
	case text[i] == ',' && commaCents.MatchString(text) && !ambiguous.MatchString(text):
		s.commas++
	}
}

// attributeType is the type that every value fits.
func (s *stat) attributeType(name string) pim.AttributeType {
	switch {
	case s.filled == 0:
		return pim.TypeText
	case s.booleans == s.filled:
		return pim.TypeBoolean
	case s.links == s.filled:
		return pim.TypeMedia
	case s.numbers == s.filled && !isIDName(name) && !s.isGTIN(name):
		return pim.TypeNumber
	}
	return pim.TypeText
}

// isGTIN reports trade item numbers by the column's name or its values.
func (s *stat) isGTIN(name string) bool {
	return hasWord(name, gtinWords) || s.filled >= minGTINs && s.gtins*100 >= s.filled*80
}

// probe is a schema to ask package pim's rules about single values.
var probe = &pim.Schema{
	Attributes: map[string]*pim.Attribute{"number": {Code: "number", Type: pim.TypeNumber}, "media": {Code: "media", Type: pim.TypeMedia}},
	Families:   map[string]*pim.Family{"probe": {Code: "probe", Attributes: []pim.FamilyAttribute{{Code: "number"}, {Code: "media"}}}},
}

func passes(code string, v any) bool {
	_, _, err := probe.CheckValues("probe", pim.Values{code: v}, "")
	return err == nil
}

// isNumber reports text that is a number of the store: written as in JSON, so
// without leading zeros or plus sign, and within its digits.
func isNumber(s string) bool {
	if s == "" || len(s) > 400 || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
		return false
	}
	whole, part, dot := s, "", false
	if s[0] == '-' {
		whole = s[1:]
	}
	if whole, part, dot = strings.Cut(whole, "."); len(s) <= 30 && allDigits(whole) && (!dot || allDigits(part)) {
		return len(whole) == 1 || whole[0] != '0'
	}
	return passes("number", json.Number(s)) // an exponent, many digits, or no number
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func isBoolean(s string) bool { return strings.EqualFold(s, "true") || strings.EqualFold(s, "false") }

// isLink reports an http(s) URL. An asset's code would do for the store, but
// nothing tells it from any other word.
func isLink(s string) bool {
	return (strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")) && passes("media", s)
}

// areLinks reports a text of one or more links, as lists of them are written.
func areLinks(s string) bool {
	if isLink(s) {
		return true
	}
	list := linksOf(s, "|\n")
	for _, e := range list {
		if !isLink(e.(string)) {
			return false
		}
	}
	return len(list) > 1
}

func isLinks(v any) bool {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return false
	}
	for _, e := range list {
		if s, ok := e.(string); !ok || !isLink(s) {
			return false
		}
	}
	return passes("media", v)
}

// look reads the whole file. A fault behind the first record is not told here,
// unless it throws doubt on what is before it: the import will come to it
// again, with everything before it stored.
func look(ctx context.Context, r io.Reader, o *Options, mapped map[string]*expression) (*survey, error) {
	in, err := open(r, o.form())
	if err != nil {
		return nil, err
	}
	defer in.close()
	s := &survey{table: in.columns(), mapped: map[string]stat{}, reading: newReading(o, in.columns()), links: newLinks()}
	if c, is := in.(*catalogueReader); is {
		s.found = c.found
	}
	sniff := o.Family == ""
	var (
		g      = grouper{reading: s.reading, in: in}
		media  []bool // by column: its name says so
		fields = map[string]*stat{}
	)
	for name := range mapped {
		if !isOffer(name) && name != MapSKU && name != MapParent {
			fields[name] = &stat{}
		}
	}
	for done := int64(0); ; {
		if s.rows-done > 1024 {
			if done = s.rows; ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
		group, err := g.next()
		if over(err) {
			for name, st := range fields {
				s.mapped[name] = *st
			}
			for len(s.stats) < len(s.table.names) {
				s.stats = append(s.stats, stat{})
			}
			if f, ok := errors.AsType[*fault](err); ok && (f.damaged || s.rows == 0) {
				return nil, err
			}
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		s.rows += int64(len(group.records))
		for _, rec := range group.records {
			s.learn(rec)
		}
		if err := s.link(s.reading, group, mapped[MapParent]); err != nil {
			return nil, err
		}
		for _, rec := range group.records {
			if rec.bad != nil {
				continue
			}
			for len(s.stats) < len(rec.cells) {
				media = append(media, hasWord(s.table.names[len(s.stats)], mediaWords))
				s.stats = append(s.stats, stat{})
			}
			for i, v := range rec.cells {
				s.stats[i].take(rec.row, v, s.table.csv, media[i] && sniff)
			}
			if len(fields) == 0 || !sniff {
				continue
			}
			row := rowOf(rec, s.table)
			for name, st := range fields {
				// What fails here fails its row when that is imported.
				if v, err := mapped[name].value(row); err == nil && v != "" {
					st.take(rec.row, v, false, hasWord(name, mediaWords))
				}
			}
		}
	}
}

// rowOf is the record as expressions see it.
func rowOf(r *record, t *table) map[string]any {
	if r.object != nil {
		return r.object
	}
	row := make(map[string]any, len(r.cells))
	for i, v := range r.cells {
		if v == nil {
			v = ""
		}
		row[t.names[i]] = v
	}
	return row
}
