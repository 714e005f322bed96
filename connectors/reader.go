package connectors

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"strings"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

// Presence is whether a target holds a product, or the lane of it that was
// asked for.
type Presence string

// What a target can hold.
const (
	Absent Presence = "absent" // nothing of it, or, to an item that is a tombstone, just what that leaves there
	Kept   Presence = "held"   // it is there, and whether it is shown the target does not say
	Hidden Presence = "hidden" // it is there, and nobody is shown it
	Shown  Presence = "live"   // the target shows it
)

// Reader is the power of connectors that can ask what their target holds.
type Reader interface {
	// Readable are the lanes of which the target can be asked.
	Readable() pim.Lanes
	// Read asks what the target holds of up to Limits.Batch items of one lane. An
	// item's document is what the target is believed to hold, and says which fields
	// are of interest. It changes nothing, at the target and in what Push remembers
	// of it, gives one Held per item in order, and never an uncertain error.
	Read(ctx context.Context, items []Item) ([]Held, error)
}

// Held is what a target holds of one item. Err is as Result.Err.
type Held struct {
	Presence Presence
	// Document has the fields of the item's document as the target holds them. One
	// that is the same in the target's eyes, which may clean HTML, round, reorder
	// or add, is the item's own, byte for byte. null: the target holds none. A field
	// that the target cannot tell is left out.
	Document json.RawMessage
	// Exact: the target holds just what a push of the item would leave there, with
	// what that would empty, and could tell all of it; as it is sent, for what is
	// only the same in the target's eyes may be of an earlier request. Of a
	// tombstone: it holds nothing any more, or what the tombstone leaves of it. It may
	// be false where that is unknown, never true.
	Exact   bool
	Version string // of the target's own, where it has one
	// Revision is the last of ours that the target took, where it keeps that and may
	// refuse a lower one; else 0.
	Revision int64
	Err      error
}

// Matches reports whether every field that the target could tell is the item's.
func (h *Held) Matches(item Item) bool {
	if item.Action.Tombstone() || h.Presence == Absent {
		return item.Action.Tombstone() == (h.Presence == Absent)
	}
	var sent, held map[string]json.RawMessage
	if json.Unmarshal(item.Document, &sent) != nil || json.Unmarshal(h.Document, &held) != nil {
		return false
	}
	for name, v := range held {
		if was, ok := sent[name]; ok && !bytes.Equal(was, v) {
			return false
		}
	}
	return true
}

// Unsent is the held value of a field that no push of this item sends, such as
// what only says where the item goes: nothing is to be told of it.
type Unsent struct{}

// HeldDocument is Held.Document for a connector that compares field by field:
// held are the target's values of fields that it can tell, nil for none; same is
// asked for each field that the item has and the target holds: whether it is the
// same in the target's eyes, and whether it is so to the letter. exact reports
// that all of the item's fields are in held, to the letter.
func HeldDocument(document json.RawMessage, held map[string]any, same func(field string, sent, held any) (alike, exact bool)) (out json.RawMessage, exact bool, err error) {
	sent, err := DecodeDocument(document)
	if err != nil {
		return nil, false, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(document, &raw); err != nil {
		return nil, false, err
	}
	fields := make(map[string]any, len(sent))
	exact = true
	for name, v := range sent {
		there, tellable := held[name]
		if _, unsent := there.(Unsent); unsent || !tellable {
			exact = exact && unsent
			continue
		}
		none := v == nil && there == nil
		alike, letter := none, none
		if v != nil && there != nil {
			alike, letter = same(name, v, there)
		}
		exact = exact && alike && letter
		if fields[name] = there; alike {
			fields[name] = raw[name]
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // or what is the item's would not stay as it is
	if err := e.Encode(fields); err != nil {
		return nil, false, err
	}
	return bytes.TrimSpace(b.Bytes()), exact, nil
}

// SameText compares texts that a target may clean: without tags, entities and
// the kind and number of spaces.
func SameText(a, b string) bool {
	return a == b || stripTags(html.UnescapeString(a)) == stripTags(html.UnescapeString(b))
}

// SameAmount compares decimal numbers, whatever their digits behind the point.
// The empty text is no number, and is the same as itself.
func SameAmount(a, b string) bool {
	if a = strings.TrimSpace(a); a == strings.TrimSpace(b) {
		return true
	}
	x, err := decimal.Parse(a)
	if err != nil {
		return false
	}
	y, err := decimal.Parse(strings.TrimSpace(b))
	return err == nil && x.Cmp(y) == 0
}
