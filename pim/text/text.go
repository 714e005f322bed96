// Package text cuts a product's text, plain or HTML, into the sentences that a
// translator gets, hides in them what no translator may touch, checks what comes
// back and puts it together again. It also checks the facts of generated texts.
// It is pure: no SQL, no HTTP, no clock, nothing kept between calls.
//
// # Fragments
//
// What is sent is a fragment: text in which only '&', '<' and '>' are escaped,
// with two elements, named as XLIFF 1.2 names its inline elements:
//
//	<x id="1"/>         stands for a protected span, a lone tag, a comment
//	<g id="2">…</g>     stands for an inline element such as <b> or <a href>
//
// A fragment is well-formed XML content, which strict parsers ask for (DeepL with
// tag_handling=xml, its version 2), and both elements are left whole by Apertium
// with format=html, which takes any tag for a blank between words. Parsers of
// HTML know no empty element named x and would put what follows into it, so
// [Segment.HTML] has the same fragment with <x id="1"></x>. All spellings, also
// those that translators like to return (<x id='1' />, <x id=1>), are read.
//
// Placeholders are empty on purpose: "Width <x id="1"/>" is the same fragment, and
// so has the same [Segment.Key], for a product of 5 cm and one of 7 cm, and is
// paid for once. The price is that the translator cannot see what stands there.
// Therefore only what no language inflects around is hidden: amounts with unit
// symbols, not bare numbers nor amounts with unit words ("3 pieces", "2 years"),
// which stay in the text, where [Segment.Check] counts them afterwards.
//
// # What is not translated
//
// Attributes (alt, title) stay as they are. Amounts stay as the source writes
// them, decimal separator included: "1.5 kg" is "1.5 kg" in a German text, too,
// since "1.500" means one thing or another by a locale that the source text does
// not carry, and a wrong amount is worse than a foreign comma. Numbers that are
// text may be written in the target's way; they are compared by value.
package text

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxLength is the most characters that a text may have, markup included: the
// most that an attribute holds.
const MaxLength = 65535

// ErrTooLong is wrapped by the error of a text of more than MaxLength characters.
var ErrTooLong = errors.New("the text is too long")

// ErrNotUTF8 is wrapped by the error of a text that is not valid UTF-8.
var ErrNotUTF8 = errors.New("the text is not valid UTF-8")

// Document is a text cut up: skeleton, which is kept byte for byte, and
// segments between. Only Cut makes one; the zero Document is an empty text.
type Document struct {
	// Segments are what there is to translate, in the text's order. A passage
	// with nothing to translate (only amounts, placeholders, brands, signs)
	// belongs to the skeleton and is not among them.
	Segments []Segment

	html   bool
	source string
	places []place // of Segments, in source
}

// place is a half-open range of bytes.
type place struct{ start, end int }

// Segment is one sentence, list item, title: what a translator gets at once.
type Segment struct {
	// Source is the fragment (see the package's words on fragments).
	Source string
	// Key is the SHA-256 of Source. It says nothing of what the placeholders
	// stand for, so that a translation serves all products that differ in
	// nothing else; nor of languages, provider or glossary, which the caller adds.
	Key [sha256.Size]byte
	// Spans are what the placeholders stand for; number n is Spans[n-1].
	Spans []Span

	html bool
}

// Span is what one placeholder stands for.
type Span struct {
	Kind Kind
	// Open is the source's own spelling: of the whole span, or of the start tag
	// of an Element.
	Open string
	// Close is the end tag of an Element, "" of all others.
	Close string
	// Text is what a reader sees: "5 cm"; "" of tags.
	Text string
}

// Kind says why a span is protected.
type Kind string

// The kinds of spans. Element is the only one that is written <g>.
const (
	Element     Kind = "element"     // an inline element with its content outside the span
	Tag         Kind = "tag"         // a lone tag, a comment, an element that is not to be translated
	Placeholder Kind = "placeholder" // {name}, %s, ${x}, [[x]], an ICU message
	Amount      Kind = "amount"      // numbers with a unit or currency, dimensions
	Code        Kind = "code"        // SKU, GTIN, model number
	Address     Kind = "address"     // URL, e-mail address
	Term        Kind = "term"        // a given term, a word with ® or ™
	Symbol      Kind = "symbol"      // an emoji
	Control     Kind = "control"     // a character that no XML may hold
)

// Cut cuts a text into segments. html says that source is HTML, as
// pim.CheckValues leaves it or any other; else it is plain text. Block elements,
// list items, line breaks, tabs of a plain text, list markers and the space
// around sentences are skeleton. A sentence ends only where that is sure: never
// within an inline element, after an abbreviation, a single letter or a number.
//
// The effort is linear in the text's length. Errors wrap ErrTooLong, ErrNotUTF8.
func Cut(source string, html bool, p Protect) (Document, error) {
	if len(source) > MaxLength {
		if n := utf8.RuneCountInString(source); n > MaxLength {
			return Document{}, fmt.Errorf("cut a text of %d characters, more than %d: %w", n, MaxLength, ErrTooLong)
		}
	}
	if !utf8.ValidString(source) {
		return Document{}, fmt.Errorf("cut a text: %w", ErrNotUTF8)
	}
	d := Document{html: html, source: source}
	emit := func(r *run) {
		for _, s := range r.sentences(p) {
			d.Segments = append(d.Segments, s.segment)
			d.places = append(d.places, s.place)
		}
	}
	if html {
		htmlRuns(source, emit)
	} else {
		plainRuns(source, emit)
	}
	return d, nil
}

// Assemble puts the translations, one for each of the document's Segments and in
// their order, in the places of the segments. A translation that equals its
// segment's Source gives back the source's own bytes. In HTML the result has the
// source's tags and comments, in the source's spelling; a translation can add
// none, since its text is escaped.
//
// It refuses a wrong number of translations, and one whose placeholders are not
// those of its segment; the other rules are Segment.Check's.
func (d Document) Assemble(translations []string) (string, error) {
	if len(translations) != len(d.Segments) {
		return "", fmt.Errorf("assemble a text of %d segments from %d translations", len(d.Segments), len(translations))
	}
	var b strings.Builder
	b.Grow(len(d.source) + len(d.source)/4)
	at := 0
	for i, t := range translations {
		b.WriteString(d.source[at:d.places[i].start])
		at = d.places[i].end
		s := &d.Segments[i]
		if t == s.Source {
			b.WriteString(d.source[d.places[i].start:at])
			continue
		}
		tokens, fault := s.parse(t)
		if fault != nil {
			return "", fmt.Errorf("assemble segment %d: %s", i+1, fault.Text)
		}
		s.write(&b, tokens)
	}
	b.WriteString(d.source[at:])
	return b.String(), nil
}

// write gives a translation's tokens in the document's own form.
func (s *Segment) write(b *strings.Builder, tokens []token) {
	for _, t := range tokens {
		switch {
		case t.kind == tokenText && s.html:
			escapeText(b, t.text)
		case t.kind == tokenText:
			b.WriteString(t.text)
		case t.kind == tokenClose:
			b.WriteString(s.Spans[t.id-1].Close)
		default:
			b.WriteString(s.Spans[t.id-1].Open)
		}
	}
}

// Visible is what a reader of the segment sees, or of a translation of it:
// text without tags, protected spans included. ok is false where the
// translation's placeholders are not those of the segment.
func (s Segment) Visible(translated string) (visible string, ok bool) {
	tokens, fault := s.parse(translated)
	if fault != nil {
		return "", false
	}
	return s.visible(tokens), true
}

func (s *Segment) visible(tokens []token) string {
	var b strings.Builder
	for _, t := range tokens {
		switch t.kind {
		case tokenText:
			b.WriteString(t.text)
		case tokenAlone:
			b.WriteString(s.Spans[t.id-1].Text)
		case tokenOpen, tokenClose:
		}
	}
	return b.String()
}

// HTML is the segment's Source for translators that read HTML: it has
// <x id="1"></x> for <x id="1"/>.
func (s Segment) HTML() string {
	// Each '>' of a fragment is a placeholder's: those of the text are escaped.
	return strings.ReplaceAll(s.Source, `"/>`, `"></x>`)
}
