package pim

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"

	"github.com/govalues/decimal"
)

// Amounts that rules work with are fractions, so that nothing is rounded but
// where a rule says so: a Decimal's products round by themselves at 19 digits.

// Number is a decimal number by its digits. JSON may have it as a text or as a
// number, and gets it as a text.
type Number string

// UnmarshalJSON takes a text or a number, whatever its digits.
func (n *Number) UnmarshalJSON(b []byte) error {
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
	case string:
		*n = Number(v)
	case json.Number:
		*n = Number(v)
	default:
		return errors.New("a number or its text is expected")
	}
	return nil
}

func wholeRat(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }

func powerOfTen(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// round gives the amount of g that x, which is more than 0, becomes by mode. It
// is more than 0: where rounding would leave nothing, it is the lowest that is.
func (g grid) round(x *big.Rat, mode string) *big.Rat {
	q := new(big.Rat).Sub(x, g.at)
	q.Quo(q, g.step)
	k, rest := new(big.Int).DivMod(q.Num(), q.Denom(), new(big.Int)) // k is the floor: a denominator is more than 0
	up := false
	if rest.Sign() != 0 {
		half := new(big.Int).Lsh(rest, 1).Cmp(q.Denom())
		switch mode {
		case RoundUp:
			up = true
		case RoundDown:
		case RoundHalfEven:
			up = half > 0 || half == 0 && k.Bit(0) == 1
		default: // amounts are above 0: away from it is up
			up = half >= 0
		}
	}
	if up {
		k.Add(k, big.NewInt(1))
	}
	y := new(big.Rat).SetInt(k)
	y.Mul(y, g.step).Add(y, g.at)
	for y.Sign() <= 0 {
		y.Add(y, g.step)
	}
	return y
}

// amount is x, which has at most digits after the point, as a Decimal; false
// where it is beyond what amounts may be.
func amountOf(x *big.Rat, digits int) (decimal.Decimal, bool) {
	d, err := decimal.ParseExact(x.FloatString(digits), digits)
	return d, err == nil && d.Prec()-d.Scale() <= maxAmountWhole && d.MinScale() <= maxAmountPart && ratOf(d).Cmp(x) == 0
}
