package text

import (
	"crypto/sha256"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// run is text that belongs together, with the tags in it: a line of a plain
// text, or what stands between two block tags of an HTML text.
type run struct {
	source   string // the document
	html     bool
	preserve bool   // white space means something
	text     string // what a reader sees of it, entities decoded
	start    int    // of the run in source
	marks    []mark // in order
	chunks   []chunk
}

// mark is a tag, comment or untranslatable element at a place of the run's text.
type mark struct {
	at    int // in text
	place     // in source
	kind  markKind
	pair  int // the other tag of an element, as index of marks
	// text is what a reader sees of an element that is not translated.
	text string
}

type markKind int

const (
	markAlone markKind = iota
	markOpen
	markClose
)

// chunk is where text and source run apart: up to text byte at they end at
// before in the source, from there on they go on at raw.
type chunk struct{ at, before, raw int }

// raw gives the place in source of a byte of text: where what begins there
// begins, or with end where what ends there ends. The two differ at tags. Places
// within a decoded entity count as its end.
func (r *run) raw(at int, end bool) int {
	next := sort.Search(len(r.chunks), func(i int) bool { return r.chunks[i].at > at })
	raw, from := r.start, 0
	if next > 0 {
		c := r.chunks[next-1]
		if end && c.at == at {
			return c.before
		}
		raw, from = c.raw, c.at
	}
	raw += at - from
	if next < len(r.chunks) {
		raw = min(raw, r.chunks[next].before)
	}
	return raw
}

// item is a piece of a run: text, a protected span, or a mark.
type item struct {
	start, end int // in text; equal for marks
	span       Kind
	mark       int // index of marks, or -1
}

// sentence is a segment and where it stands in the source.
type sentence struct {
	segment Segment
	place   place
}

// sentences cuts the run up.
func (r *run) sentences(p Protect) []sentence {
	items := r.trim(r.items(p))
	if len(items) == 0 {
		return nil
	}
	var out []sentence
	for _, part := range r.split(items) {
		part = r.trim(part)
		if !r.translatable(part) {
			continue
		}
		out = append(out, sentence{r.segment(part), place{r.itemStart(part[0]), r.itemEnd(part[len(part)-1])}})
	}
	return out
}

func (r *run) itemStart(it item) int {
	if it.mark >= 0 {
		return r.marks[it.mark].start
	}
	return r.raw(it.start, false)
}

func (r *run) itemEnd(it item) int {
	if it.mark >= 0 {
		return r.marks[it.mark].end
	}
	return r.raw(it.end, true)
}

// items lays text, protected spans and marks in a row.
func (r *run) items(p Protect) []item {
	items := make([]item, 0, 2*len(r.marks)+4)
	at := 0
	stretch := func(end int) {
		if at == end {
			return
		}
		from := at
		for _, s := range p.scan(r.text, at, end) {
			if from < s.start {
				items = append(items, item{from, s.start, "", -1})
			}
			items = append(items, item{s.start, s.end, s.kind, -1})
			from = s.end
		}
		if from < end {
			items = append(items, item{from, end, "", -1})
		}
		at = end
	}
	for i, m := range r.marks {
		stretch(m.at)
		items = append(items, item{m.at, m.at, "", i})
	}
	stretch(len(r.text))
	return items
}

// trim takes from both ends what needs no translator: space, lone tags, emojis,
// list markers, and an element that holds all the rest. None of them says
// anything of how the sentence is to be translated, and each makes a key of its own.
func (r *run) trim(items []item) []item {
	for len(items) > 0 {
		first, last := &items[0], &items[len(items)-1]
		switch {
		case first.mark >= 0 && r.marks[first.mark].kind == markAlone,
			first.span == Symbol, first.span == Control:
			items = items[1:]
		case last.mark >= 0 && r.marks[last.mark].kind == markAlone,
			last.span == Symbol, last.span == Control:
			items = items[:len(items)-1]
		case len(items) > 1 && first.mark >= 0 && r.marks[first.mark].kind == markOpen && r.marks[first.mark].pair == last.mark:
			items = items[1 : len(items)-1]
		case first.mark < 0 && first.span == "" && r.leading(*first) > 0:
			first.start += r.leading(*first)
			if first.start == first.end {
				items = items[1:]
			}
		case last.mark < 0 && last.span == "" && r.trailing(*last) > 0:
			last.end -= r.trailing(*last)
			if last.start == last.end {
				items = items[:len(items)-1]
			}
		default:
			return items
		}
	}
	return items
}

func (r *run) leading(it item) int {
	s := r.text[it.start:it.end]
	if n := len(s) - len(strings.TrimLeftFunc(s, isSpace)); n > 0 {
		return n
	}
	return listMarker(s)
}

func (r *run) trailing(it item) int {
	s := r.text[it.start:it.end]
	return len(s) - len(strings.TrimRightFunc(s, isSpace))
}

// listMarker is the length of a bullet or number, and the space after it, that
// makes a line a list's item: "- ", "• ", "3) "; 0 for none. A number with a
// point is none, since German writes ordinals so.
func listMarker(s string) int {
	n := 0
	if c, size := utf8.DecodeRuneInString(s); strings.ContainsRune("-*+•‣·▪▫●○◦■□►▶➤–—✓✔✗✘★☆", c) {
		n = size
	} else {
		for n < len(s) && n < 3 && '0' <= s[n] && s[n] <= '9' {
			n++
		}
		if n == 0 || n == len(s) || s[n] != ')' {
			return 0
		}
		n++
	}
	c, size := utf8.DecodeRuneInString(s[n:])
	if !isSpace(c) {
		return 0
	}
	return n + size
}

// isSpace reports white space, and what is as good as white space at the end of a text.
func isSpace(c rune) bool { return unicode.IsSpace(c) || c == '\u200B' || c == '\uFEFF' }

// translatable reports whether there is a letter in what a translator would see.
func (r *run) translatable(items []item) bool {
	for _, it := range items {
		if it.mark < 0 && it.span == "" && strings.ContainsFunc(r.text[it.start:it.end], unicode.IsLetter) {
			return true
		}
	}
	return false
}

// split cuts a run's items at the ends of sentences, outside of elements.
func (r *run) split(items []item) [][]item {
	ends := r.ends(items[0].start, items[len(items)-1].end)
	if len(ends) == 0 {
		return [][]item{items}
	}
	var out [][]item
	var part []item
	depth := 0
	cut := func() {
		if len(part) > 0 {
			out = append(out, part)
			part = nil
		}
	}
	for _, it := range items {
		for len(ends) > 0 && ends[0].end < it.start {
			ends = ends[1:]
		}
		if depth == 0 && len(ends) > 0 && ends[0].start <= it.start && it.start <= ends[0].end && len(part) > 0 {
			cut()
			ends = ends[1:]
		}
		if it.mark >= 0 {
			switch r.marks[it.mark].kind {
			case markOpen:
				depth++
			case markClose:
				depth--
			case markAlone:
			}
			part = append(part, it)
			continue
		}
		if it.span != "" {
			for len(ends) > 0 && ends[0].start < it.end {
				ends = ends[1:]
			}
			part = append(part, it)
			continue
		}
		for depth == 0 && len(ends) > 0 && it.start < ends[0].start && ends[0].start < it.end {
			part = append(part, item{it.start, ends[0].start, "", -1})
			it.start = ends[0].start
			cut()
			ends = ends[1:]
		}
		part = append(part, it)
	}
	cut()
	return out
}

// segment writes the fragment. Numbers start at 1 in each segment, so that a
// sentence has one key wherever it stands.
func (r *run) segment(items []item) Segment {
	s := Segment{html: r.html}
	var b strings.Builder
	ids := map[int]int{} // of open marks
	for _, it := range items {
		if it.mark < 0 && it.span == "" {
			text := r.text[it.start:it.end]
			if r.html && !r.preserve {
				text = foldSpace(text)
			}
			escapeFragment(&b, text)
			continue
		}
		if it.mark < 0 {
			s.Spans = append(s.Spans, Span{Kind: it.span, Open: r.source[r.raw(it.start, false):r.raw(it.end, true)], Text: r.text[it.start:it.end]})
			placeholder(&b, tokenAlone, len(s.Spans))
			continue
		}
		m := r.marks[it.mark]
		raw := r.source[m.start:m.end]
		switch m.kind {
		case markAlone:
			s.Spans = append(s.Spans, Span{Kind: Tag, Open: raw, Text: m.text})
			placeholder(&b, tokenAlone, len(s.Spans))
		case markOpen:
			other := r.marks[m.pair]
			s.Spans = append(s.Spans, Span{Kind: Element, Open: raw, Close: r.source[other.start:other.end]})
			ids[it.mark] = len(s.Spans)
			placeholder(&b, tokenOpen, len(s.Spans))
		case markClose:
			placeholder(&b, tokenClose, ids[m.pair])
		}
	}
	s.Source = b.String()
	s.Key = sha256.Sum256([]byte(s.Source))
	return s
}

// foldSpace makes each run of HTML's white space one space, which is what it is
// to a reader. No-break spaces are kept.
func foldSpace(s string) string {
	if !strings.ContainsAny(s, "\t\n\f\r") && !strings.Contains(s, "  ") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	within := false
	for i := range len(s) {
		c := s[i]
		space := c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'
		if !space {
			b.WriteByte(c)
		} else if !within {
			b.WriteByte(' ')
		}
		within = space
	}
	return b.String()
}

// plainRuns gives each line of a plain text, and each of its columns.
func plainRuns(source string, emit func(*run)) {
	start := 0
	line := func(end int) {
		if start < end {
			emit(&run{source: source, text: source[start:end], start: start})
		}
	}
	for i, c := range source {
		if isBreak(c) {
			line(i)
			start = i + utf8.RuneLen(c)
		}
	}
	line(len(source))
}

// isBreak reports characters that end a line (Unicode Standard Annex 14, class
// BK and its like) or, a tab, a column.
func isBreak(c rune) bool {
	switch c {
	case '\t', '\n', '\v', '\f', '\r', '\u0085', '\u2028', '\u2029':
		return true
	}
	return false
}
