package pim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"strconv"
)

// maxAxisKey is where a key becomes its hash, far below what a B-tree entry of
// PostgreSQL takes (2,704 bytes).
const maxAxisKey = 512

// AxisKey gives the canonical text of a variant's or sub-model's values of the
// axes of its level, in their order: two of one parent have the same key exactly when no axis
// tells them apart. Numbers count by what they are worth, amounts also across
// units (1 kg is 1000 g). A long key is replaced by its SHA-256. The problems
// name each axis without a single value, with their pointers below pointer,
// where the values stand; with any there is no key.
func AxisKey(axes []string, values Values, pointer string) (key string, faults []Problem) {
	var ps problems
	b := make([]byte, 0, 64)
	for i, axis := range axes {
		if i > 0 {
			b = append(b, ',')
		}
		v := values[axis]
		if s, isText := v.(string); v == nil || isText && isBlank(s) {
			ps.add(JoinPointer(pointer, axis), "axis.missing", "a variant has a value for each of its axes")
			continue
		}
		var ok bool
		if b, ok = appendAxis(b, v); !ok {
			ps.add(JoinPointer(pointer, axis), "axis.type", "an axis has one text, number, boolean or option, not "+jsonKind(v))
		}
	}
	if len(ps) > 0 {
		return "", ps
	}
	if len(b) > maxAxisKey {
		sum := sha256.Sum256(b)
		return "sha256:" + hex.EncodeToString(sum[:]), nil
	}
	return string(b), nil
}

// appendAxis writes one value so that its end and its type can be told: a text
// in quotes, a number such as 12e0, an amount such as =3/2 mass.
func appendAxis(b []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case string:
		return strconv.AppendQuote(b, v), true
	case bool:
		return strconv.AppendBool(b, v), true
	case json.Number:
		if !isNumber(string(v)) {
			return b, false
		}
		return append(b, numberKey(string(v))...), true
	case map[string]any:
		amount, isAmount := v["amount"].(json.Number)
		name, _ := v["unit"].(string)
		unit := unitTable()[name]
		if !isAmount || unit == nil || !isNumber(string(amount)) || len(v) != 2 {
			return b, false
		}
		r, ok := new(big.Rat).SetString(string(amount))
		if !ok {
			return b, false
		}
		b = append(b, '=')
		b = append(b, unit.toBase(r).RatString()...)
		b = append(b, ' ')
		return append(b, unit.family...), true
	}
	return b, false
}
