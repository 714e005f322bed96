package translation

import (
	"fmt"
	"unicode/utf8"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// Unsupported is the error of a pair that a service does not have.
func Unsupported(from, to pim.Locale, why string) *connectors.Error {
	return &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%w: %s to %s: %s", ErrPair, from, to, why)}
}

// TooLarge is the error of a call that is beyond a bound, such as "51 texts, of
// at most 50".
func TooLarge(format string, args ...any) *connectors.Error {
	return &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%w: %s", ErrTooLarge, fmt.Sprintf(format, args...))}
}

// Unusable is the error of an answer that does not hold what was asked for. It
// was given, and may have been paid for.
func Unusable(format string, args ...any) *connectors.Error {
	return &connectors.Error{Verdict: connectors.Unavailable, Uncertain: true, Err: fmt.Errorf("%w: %s", ErrAnswer, fmt.Sprintf(format, args...))}
}

// Check holds a request against limits, before anything is sent: an *Error with
// ErrTooLarge, or of verdict validation for what is no fragment.
func (r Request) Check(l Limits) error {
	if len(r.Texts) > max(1, l.Texts) {
		return TooLarge("%d texts, of at most %d", len(r.Texts), max(1, l.Texts))
	}
	bytes, characters := 0, 0
	for i, text := range r.Texts {
		if _, err := Pieces(text); err != nil {
			return &connectors.Error{Verdict: connectors.Validation, Err: fmt.Errorf("text %d: %w", i+1, err)}
		}
		if !utf8.ValidString(text) {
			return &connectors.Error{Verdict: connectors.Validation, Err: fmt.Errorf("text %d is not UTF-8", i+1)}
		}
		bytes += len(text)
		characters += utf8.RuneCountInString(text)
	}
	if !fits(bytes, l.Bytes) {
		return TooLarge("%d bytes, of at most %d", bytes, l.Bytes)
	}
	if !fits(characters, l.Characters) {
		return TooLarge("%d characters, of at most %d", characters, l.Characters)
	}
	return nil
}

// Characters are the code points of a request's texts, without tags.
func (r Request) Characters() int {
	n := 0
	for _, text := range r.Texts {
		n += Characters(text)
	}
	return n
}
