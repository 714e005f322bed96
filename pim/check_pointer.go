package pim

import (
	"errors"
	"strings"
)

// JoinPointer appends tokens to a JSON pointer, escaped as RFC 6901 asks.
func JoinPointer(pointer string, tokens ...string) string {
	for _, t := range tokens {
		pointer += "/" + pointerToken(t)
	}
	return pointer
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

func pointerToken(s string) string {
	return pointerEscapes.Replace(strings.ToValidUTF8(s, "\uFFFD"))
}

// Under moves the problems of an *Invalid below pointer, for a checked part of
// a larger body: Under("/items/3", err). Every other error, and nil, comes back
// as it is.
func Under(pointer string, err error) error {
	var inv *Invalid
	if pointer == "" || !errors.As(err, &inv) {
		return err
	}
	moved := make([]Problem, len(inv.Problems))
	for i, p := range inv.Problems {
		p.Pointer = pointer + p.Pointer
		moved[i] = p
	}
	return &Invalid{Problems: moved}
}

// invalid is an input with one problem.
func invalid(pointer, code, detail string) *Invalid {
	return &Invalid{Problems: []Problem{{Pointer: pointer, Code: code, Detail: detail}}}
}

// problems gathers the faults of one input, up to maxProblems.
type problems []Problem

func (ps *problems) add(pointer, code, detail string) {
	if len(*ps) < maxProblems {
		*ps = append(*ps, Problem{Pointer: pointer, Code: code, Detail: detail})
	}
}

// note adds what a check of one text found, if anything.
func (ps *problems) note(pointer, code string, err error) {
	if err != nil {
		ps.add(pointer, code, err.Error())
	}
}

// under gives the problems below pointer.
func (ps problems) under(pointer string) []Problem {
	for i := range ps {
		ps[i].Pointer = pointer + ps[i].Pointer
	}
	return ps
}

// err is nil without problems, an *Invalid with them.
func (ps problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return &Invalid{Problems: ps}
}
