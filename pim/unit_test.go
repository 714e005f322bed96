package pim

import (
	"math/big"
	"strings"
	"testing"

	"github.com/govalues/decimal"
	"pgregory.net/rapid"
)

func TestConvertUnit(t *testing.T) {
	for _, c := range []struct{ amount, from, to, want string }{
		{"1", "lb", "kg", "0.45359237"},
		{"1", "kg", "lb", "2.204622621848775807"},
		{"12", "in", "ft", "1"},
		{"16", "oz", "lb", "1"},
		{"1500.50", "g", "KGM", "1.5005"},
		{"0", "°C", "degF", "32"},
		{"-40", "°F", "°C", "-40"},
		{"100", "degC", "K", "373.15"},
		{"36", "km/h", "m/s", "10"},
		{"1", "gal_us", "fl oz", "128"},
		{"24", "mo", "yr", "2"},
		{"8", "bit", "B", "1"},
		{"1", "nm", "km", "0.000000000001"},
		{"2.50", "kg", "kgs", "2.50"},
		{"1", "lbf_ft", "Nm", "1.3558179483314004"},
		{"9999999999999999999", "g", "kg", "9999999999999999.999"},
		{"0.0000000000000000015", "mg", "kg", "0"},
	} {
		got, err := ConvertUnit(decimal.MustParse(c.amount), c.from, c.to)
		if err != nil || got.String() != c.want {
			t.Errorf("ConvertUnit(%s %s → %s) = %s, %v; want %s", c.amount, c.from, c.to, got, err, c.want)
		}
	}
}

func TestConvertUnitRefuses(t *testing.T) {
	for _, c := range []struct{ amount, from, to, want string }{
		{"1", "stone", "kg", `"stone" is not known`},
		{"1", "kg", "pfund", `"pfund" is not known`},
		{"1", "kg", "m", "mass is no length"},
		{"9999999999999999999", "t", "mg", "overflow"},
	} {
		if got, err := ConvertUnit(decimal.MustParse(c.amount), c.from, c.to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ConvertUnit(%s %s → %s) = %s, %v; want an error with %q", c.amount, c.from, c.to, got, err, c.want)
		}
	}
}

// Every line of the table can be read, no symbol stands twice, and every alias leads somewhere.
func TestUnitTable(t *testing.T) {
	seen := map[string]string{}
	for _, m := range measurements {
		for _, u := range m.units {
			if f, ok := new(big.Rat).SetString(u.factor); !ok || f.Sign() <= 0 {
				t.Errorf("%s %s: factor %q", m.family, u.name, u.factor)
			}
			if _, ok := new(big.Rat).SetString(u.offset); !ok && u.offset != "" {
				t.Errorf("%s %s: offset %q", m.family, u.name, u.offset)
			}
			if other, dup := seen[u.name]; dup {
				t.Errorf("unit %s is in %s and in %s", u.name, other, m.family)
			}
			seen[u.name] = m.family
		}
		if f, ok := UnitFamily(m.units[0].name); !ok || f != m.family || m.units[0].factor != "1" {
			t.Errorf("standard unit of %s: family %s, factor %s", m.family, f, m.units[0].factor)
		}
	}
	for alias, name := range unitAliases {
		if _, isSymbol := seen[alias]; isSymbol {
			t.Errorf("alias %s is a symbol too", alias)
		}
		if symbol, ok := UnitSymbol(alias); !ok || symbol != name || seen[name] == "" {
			t.Errorf("alias %s leads to %q, table says %q", alias, symbol, name)
		}
	}
	// Each code of Rec 20 is taken for the unit that has it, and for no other.
	by := map[string]string{}
	for name, code := range unitCodes {
		if symbol, _ := UnitSymbol(code); symbol != name || seen[name] == "" || by[code] != "" {
			t.Errorf("code %s leads to %q; units %s and %s have it", code, symbol, name, by[code])
		}
		by[code] = name
		if _, twice := unitAliases[code]; twice {
			t.Errorf("code %s is an alias, too", code)
		}
	}
	for unit, want := range map[string]string{"kg": "KGM", "KGM": "KGM", "GRM": "GRM", "cm": "CMT", "µm": "4H", "psi": "", "PS": "", "none": ""} {
		if code, ok := UnitCode(unit); code != want || ok != (want != "") {
			t.Errorf("UnitCode(%s) = %s, %v", unit, code, ok)
		}
	}
	listed := 0
	for _, f := range MeasurementFamilies() {
		for _, u := range f.Units {
			listed++
			if f.Units[0].Factor != "1" || unitTable()[u.Symbol].factor.Cmp(rational(u.Factor)) != 0 || unitCodes[u.Symbol] != u.Code {
				t.Errorf("%s: %+v", f.Code, u)
			}
		}
	}
	if listed != len(seen) {
		t.Errorf("%d of %d units are listed", listed, len(seen))
	}
	if UnitsOf("mass")[0] != "kg" || UnitsOf("taste") != nil {
		t.Errorf("UnitsOf: %v, %v", UnitsOf("mass"), UnitsOf("taste"))
	}
}

// There and back is the same amount, as far as 19 digits can tell.
func TestConvertUnitRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(measurements).Draw(t, "family")
		from, to := rapid.SampledFrom(m.units).Draw(t, "from"), rapid.SampledFrom(m.units).Draw(t, "to")
		a := decimal.MustNew(rapid.Int64Range(-1_000_000, 1_000_000).Draw(t, "coef"), rapid.IntRange(0, 3).Draw(t, "scale"))
		there, err := ConvertUnit(a, from.name, to.name)
		if err != nil {
			return
		}
		back, err := ConvertUnit(there, to.name, from.name)
		if err != nil {
			t.Fatal(err)
		}
		// What a Decimal cannot hold of `there` (1e-19 of its unit) is all that may be lost.
		f, g := unitTable()[from.name].factor, unitTable()[to.name].factor
		lost, _ := new(big.Rat).Quo(g, f).Float64()
		bound := 1e-19*lost + 1e-12
		diff, _ := new(big.Rat).Sub(ratOf(a), ratOf(back)).Float64()
		if diff > bound || -diff > bound {
			t.Fatalf("%s %s → %s %s → %s", a, from.name, there, to.name, back)
		}
	})
}
