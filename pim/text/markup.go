package text

import (
	stdhtml "html"
	"strings"

	"golang.org/x/net/html"
)

// inlineTags are the elements that are part of a sentence. All others, unknown
// ones included, end it. A br ends it, too, unless it is within one of these.
var inlineTags = tagSet("a abbr acronym b bdi bdo big cite data del dfn em font i ins label mark q rp rt ruby s small span strike strong sub sup time u wbr img")

// untouchedTags are inline elements whose content is not language.
var untouchedTags = tagSet("code kbd samp tt var svg math")

// voidTags have no end tag (HTML Living Standard, 13.1.2).
var voidTags = tagSet("area base br col embed hr img input link meta source track wbr")

// rawTags hold text that is not markup (HTML Living Standard, 13.2.5); it is kept.
var rawTags = tagSet("iframe noembed noframes noscript plaintext script style textarea title xmp")

func tagSet(names string) map[string]bool {
	set := map[string]bool{}
	for name := range strings.FieldsSeq(names) {
		set[name] = true
	}
	return set
}

// node is one token of an HTML text.
type node struct {
	place
	kind      html.TokenType
	name      string
	untouched bool // a start tag whose element is not to be translated
	match     int  // of such a start tag: its end tag, else -1
}

// nodes reads the tokens of an HTML text, each with its place. What the
// tokenizer gives up on, such as a tag that never ends, is no token of the list.
func nodes(source string) []node {
	var list []node
	z := html.NewTokenizer(strings.NewReader(source))
	at := 0
	open := map[string][]int{}
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return list
		}
		n := node{place: place{at, at + len(z.Raw())}, kind: kind, match: -1}
		at = n.end
		if kind == html.StartTagToken || kind == html.EndTagToken || kind == html.SelfClosingTagToken {
			name, more := z.TagName()
			n.name = string(name)
			n.untouched = kind == html.StartTagToken && untouchedTags[n.name]
			for more && kind == html.StartTagToken {
				var key, value []byte
				key, value, more = z.TagAttr()
				if string(key) == "translate" && strings.EqualFold(string(value), "no") ||
					string(key) == "class" && strings.Contains(" "+string(value)+" ", " notranslate ") {
					n.untouched = true
				}
			}
		}
		// Elements of one name nest properly among themselves, whatever stands between.
		switch {
		case kind == html.StartTagToken && !voidTags[n.name]:
			open[n.name] = append(open[n.name], len(list))
		case kind == html.EndTagToken && len(open[n.name]) > 0:
			stack := open[n.name]
			list[stack[len(stack)-1]].match = len(list)
			open[n.name] = stack[:len(stack)-1]
		}
		list = append(list, n)
	}
}

// builder makes runs of an HTML text's tokens.
type builder struct {
	source string
	emit   func(*run)
	run    *run
	text   strings.Builder
	open   []int          // marks of the run that are open
	named  map[string]int // how many of them have a name
	names  []string       // of open
	pre    int            // depth of pre
}

// htmlRuns gives what stands between the block tags of an HTML text.
func htmlRuns(source string, emit func(*run)) {
	b := &builder{source: source, emit: emit, named: map[string]int{}}
	list := nodes(source)
	for i := 0; i < len(list); i++ {
		n := list[i]
		inline := inlineTags[n.name] || untouchedTags[n.name]
		switch {
		case n.kind == html.TextToken:
			b.words(n.place)
		case n.kind == html.CommentToken:
			b.alone(n.place, "")
		case n.kind == html.DoctypeToken:
			b.flush()
		case n.untouched && n.match >= 0:
			whole := place{n.start, list[n.match].end}
			if inline {
				b.alone(whole, Visible(source[whole.start:whole.end], true))
			} else {
				b.flush()
			}
			i = n.match
		case n.kind == html.StartTagToken && rawTags[n.name]:
			b.flush()
			if i+1 < len(list) && list[i+1].kind == html.TextToken {
				i++
			}
		case n.name == "br" && len(b.open) > 0, inline && (voidTags[n.name] || n.kind == html.SelfClosingTagToken):
			b.alone(n.place, "")
		case inline && n.kind == html.StartTagToken:
			b.start(n)
		case inline && n.kind == html.EndTagToken:
			b.end(n)
		default:
			b.flush()
			if n.name == "pre" && n.kind == html.StartTagToken {
				b.pre++
			} else if n.name == "pre" && n.kind == html.EndTagToken {
				b.pre = max(0, b.pre-1)
			}
		}
	}
	b.flush()
}

func (b *builder) flush() {
	if b.run != nil {
		b.run.text = b.text.String()
		b.emit(b.run)
	}
	b.run, b.open, b.names = nil, nil, nil
	b.text.Reset()
	clear(b.named)
}

func (b *builder) begin(at int) {
	if b.run == nil {
		b.run = &run{source: b.source, html: true, start: at, preserve: b.pre > 0}
	}
}

func (b *builder) alone(at place, visible string) {
	b.begin(at.start)
	b.run.marks = append(b.run.marks, mark{at: b.text.Len(), place: at, text: visible})
	b.chunk(at.start, at.end)
}

// chunk notes that the text up to here ends at before in the source and goes on at raw.
func (b *builder) chunk(before, raw int) {
	cs := b.run.chunks
	if n := len(cs); n > 0 && cs[n-1].at == b.text.Len() {
		cs[n-1].raw = raw
		return
	}
	b.run.chunks = append(cs, chunk{b.text.Len(), before, raw})
}

func (b *builder) start(n node) {
	b.alone(n.place, "")
	b.open = append(b.open, len(b.run.marks)-1)
	b.names = append(b.names, n.name)
	b.named[n.name]++
}

// end closes the innermost open element of the name. Those that it leaves open
// within are misnested: their tags stand alone, as does an end without a start.
func (b *builder) end(n node) {
	b.alone(n.place, "")
	if b.named[n.name] == 0 {
		return
	}
	for {
		last := len(b.open) - 1
		at, name := b.open[last], b.names[last]
		b.open, b.names = b.open[:last], b.names[:last]
		b.named[name]--
		if name != n.name {
			continue
		}
		marks := b.run.marks
		closing := len(marks) - 1
		if at == closing-1 && marks[at].at == marks[closing].at {
			// An element without content is one lone mark.
			marks[at].end = marks[closing].end
			b.run.marks = marks[:closing]
			return
		}
		marks[at].kind, marks[at].pair = markOpen, closing
		marks[closing].kind, marks[closing].pair = markClose, at
		return
	}
}

// words adds text, its entities decoded.
func (b *builder) words(at place) {
	for start := at.start; start < at.end; {
		if b.pre > 0 {
			// A line of preformatted text is a line.
			if c := b.source[start]; c == '\n' || c == '\r' {
				b.newline()
				start++
				continue
			}
		}
		b.begin(start)
		rest := b.source[start:at.end]
		n := strings.IndexByte(rest, '&')
		if b.pre > 0 {
			if m := strings.IndexAny(rest, "&\n\r"); m >= 0 {
				n = m
			}
		}
		if n < 0 {
			n = len(rest)
		}
		if n > 0 {
			b.chunk(start, start)
			b.text.WriteString(rest[:n])
			start += n
			continue
		}
		size, decoded := entity(rest)
		b.chunk(start, start)
		b.text.WriteString(decoded)
		start += size
		b.chunk(start, start)
	}
}

// newline ends a run of preformatted text where no element is open.
func (b *builder) newline() {
	if b.run == nil {
		return
	}
	if len(b.open) == 0 {
		b.flush()
		return
	}
	// Within an element the break cannot be skeleton; the text keeps it.
	b.text.WriteByte('\n')
}

// entity reads the character reference at the start of s, an ampersand: its
// length and what it stands for. What is none is an ampersand of length 1.
func entity(s string) (size int, decoded string) {
	const longest = 33 // &CounterClockwiseContourIntegral;
	n := 1
	for n < len(s) && n < longest && (s[n] == '#' && n == 1 || '0' <= s[n] && s[n] <= '9' || 'a' <= s[n]|0x20 && s[n]|0x20 <= 'z') {
		n++
	}
	if n < len(s) && s[n] == ';' {
		n++
	} else if n > 1 && s[1] != '#' {
		n = min(n, len("&frac12")) // the old names, which stand without a semicolon
	}
	// The longest that is a reference as a whole, its last character too.
	for ; n > 2; n-- {
		if d := stdhtml.UnescapeString(s[:n]); (d == "&" || d[0] != '&') && d != stdhtml.UnescapeString(s[:n-1])+s[n-1:n] {
			return n, d
		}
	}
	return 1, "&"
}

// Visible is what a reader sees of a text: the text itself, or of HTML the words
// without tags, entities decoded, with a line end for each block tag and br.
func Visible(source string, markup bool) string {
	if !markup {
		return source
	}
	var b strings.Builder
	list := nodes(source)
	for i := 0; i < len(list); i++ {
		n := list[i]
		switch {
		case n.kind == html.TextToken:
			b.WriteString(stdhtml.UnescapeString(source[n.start:n.end]))
		case n.kind == html.CommentToken:
		case n.kind == html.StartTagToken && rawTags[n.name] && i+1 < len(list) && list[i+1].kind == html.TextToken:
			i++
		case !inlineTags[n.name] && !untouchedTags[n.name]:
			b.WriteByte('\n')
		}
	}
	return b.String()
}
