package pim

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"

	"github.com/govalues/decimal"
)

// The measurement families: each unit's exact size in the family's first unit.
// Decimal factors are definitions, not roundings: the international yard and
// pound of 1959, the US gallon of 231 cubic inches, the imperial gallon of
// 4.54609 l (NIST Handbook 44, appendix C; UK Units of Measurement Regulations
// 1995). Names are symbols as the SI brochure and UCUM write them, so case
// counts: "mB" is no "MB". Ambiguous words (ton, plain pint) mean what the
// alias table says, or nothing.
var measurements = []measurement{
	{"mass", []unitDef{
		{name: "kg", factor: "1"},
		{name: "g", factor: "0.001"},
		{name: "mg", factor: "0.000001"},
		{name: "ug", factor: "0.000000001"},
		{name: "t", factor: "1000"},
		{name: "lb", factor: "0.45359237"},
		{name: "oz", factor: "0.028349523125"},
		{name: "st", factor: "6.35029318"},
		{name: "ct", factor: "0.0002"},
		{name: "ton_us", factor: "907.18474"},
		{name: "ton_uk", factor: "1016.0469088"},
	}},
	{"length", []unitDef{
		{name: "m", factor: "1"},
		{name: "km", factor: "1000"},
		{name: "dm", factor: "0.1"},
		{name: "cm", factor: "0.01"},
		{name: "mm", factor: "0.001"},
		{name: "um", factor: "0.000001"},
		{name: "nm", factor: "0.000000001"},
		{name: "in", factor: "0.0254"},
		{name: "ft", factor: "0.3048"},
		{name: "yd", factor: "0.9144"},
		{name: "mi", factor: "1609.344"},
		{name: "nmi", factor: "1852"},
	}},
	{"area", []unitDef{
		{name: "m2", factor: "1"},
		{name: "km2", factor: "1000000"},
		{name: "dm2", factor: "0.01"},
		{name: "cm2", factor: "0.0001"},
		{name: "mm2", factor: "0.000001"},
		{name: "ha", factor: "10000"},
		{name: "in2", factor: "0.00064516"},
		{name: "ft2", factor: "0.09290304"},
		{name: "yd2", factor: "0.83612736"},
		{name: "acre", factor: "4046.8564224"},
		{name: "mi2", factor: "2589988.110336"},
	}},
	{"volume", []unitDef{
		{name: "l", factor: "1"},
		{name: "hl", factor: "100"},
		{name: "dl", factor: "0.1"},
		{name: "cl", factor: "0.01"},
		{name: "ml", factor: "0.001"},
		{name: "ul", factor: "0.000001"},
		{name: "m3", factor: "1000"},
		{name: "dm3", factor: "1"},
		{name: "cm3", factor: "0.001"},
		{name: "mm3", factor: "0.000001"},
		{name: "in3", factor: "0.016387064"},
		{name: "ft3", factor: "28.316846592"},
		{name: "yd3", factor: "764.554857984"},
		{name: "gal_us", factor: "3.785411784"},
		{name: "qt_us", factor: "0.946352946"},
		{name: "pt_us", factor: "0.473176473"},
		{name: "cup_us", factor: "0.2365882365"},
		{name: "fl_oz_us", factor: "0.0295735295625"},
		{name: "tbsp_us", factor: "0.01478676478125"},
		{name: "tsp_us", factor: "0.00492892159375"},
		{name: "gal_uk", factor: "4.54609"},
		{name: "qt_uk", factor: "1.1365225"},
		{name: "pt_uk", factor: "0.56826125"},
		{name: "fl_oz_uk", factor: "0.0284130625"},
	}},
	{"temperature", []unitDef{
		{name: "K", factor: "1"}, {name: "°C", factor: "1", offset: "273.15"}, {name: "°F", factor: "5/9", offset: "45967/180"},
	}},
	{"time", []unitDef{
		{name: "s", factor: "1"},
		{name: "ms", factor: "0.001"},
		{name: "us", factor: "0.000001"},
		{name: "min", factor: "60"},
		{name: "h", factor: "3600"},
		{name: "d", factor: "86400"},
		{name: "wk", factor: "604800"},
	}},
	// A month has no fixed number of seconds, so terms such as a warranty's are a family of their own.
	{"term", []unitDef{{name: "mo", factor: "1"}, {name: "yr", factor: "12"}}},
	{"frequency", []unitDef{
		{name: "Hz", factor: "1"}, {name: "kHz", factor: "1000"}, {name: "MHz", factor: "1000000"}, {name: "GHz", factor: "1000000000"},
	}},
	{"rotation", []unitDef{{name: "rpm", factor: "1"}, {name: "rps", factor: "60"}}},
	{"speed", []unitDef{
		{name: "m/s", factor: "1"}, {name: "km/h", factor: "5/18"}, {name: "mph", factor: "0.44704"}, {name: "kn", factor: "463/900"},
	}},
	{"flow", []unitDef{{name: "l/min", factor: "1"}, {name: "l/h", factor: "1/60"}, {name: "l/s", factor: "60"}, {name: "m3/h", factor: "50/3"}}},
	{"power", []unitDef{
		{name: "W", factor: "1"},
		{name: "mW", factor: "0.001"},
		{name: "kW", factor: "1000"},
		{name: "MW", factor: "1000000"},
		{name: "VA", factor: "1"},
		{name: "kVA", factor: "1000"},
		{name: "hp", factor: "745.69987158227022"},
		{name: "PS", factor: "735.49875"},
	}},
	{"energy", []unitDef{
		{name: "J", factor: "1"},
		{name: "kJ", factor: "1000"},
		{name: "MJ", factor: "1000000"},
		{name: "Wh", factor: "3600"},
		{name: "kWh", factor: "3600000"},
		{name: "cal", factor: "4.184"},
		{name: "kcal", factor: "4184"},
		{name: "BTU", factor: "1055.05585262"},
	}},
	{"voltage", []unitDef{{name: "V", factor: "1"}, {name: "mV", factor: "0.001"}, {name: "kV", factor: "1000"}}},
	{"current", []unitDef{{name: "A", factor: "1"}, {name: "mA", factor: "0.001"}, {name: "uA", factor: "0.000001"}}},
	{"charge", []unitDef{{name: "Ah", factor: "1"}, {name: "mAh", factor: "0.001"}}},
	{"resistance", []unitDef{{name: "ohm", factor: "1"}, {name: "kohm", factor: "1000"}, {name: "Mohm", factor: "1000000"}}},
	{"capacitance", []unitDef{{name: "F", factor: "1"}, {name: "mF", factor: "0.001"}, {name: "uF", factor: "0.000001"}, {name: "nF", factor: "0.000000001"}, {name: "pF", factor: "0.000000000001"}}},
	{"pressure", []unitDef{
		{name: "Pa", factor: "1"},
		{name: "hPa", factor: "100"},
		{name: "kPa", factor: "1000"},
		{name: "MPa", factor: "1000000"},
		{name: "bar", factor: "100000"},
		{name: "mbar", factor: "100"},
		{name: "psi", factor: "44482216152605/6451600000"},
		{name: "atm", factor: "101325"},
		{name: "mmHg", factor: "133.322387415"},
	}},
	{"force", []unitDef{{name: "N", factor: "1"}, {name: "kN", factor: "1000"}, {name: "lbf", factor: "4.4482216152605"}}},
	{"torque", []unitDef{{name: "Nm", factor: "1"}, {name: "Ncm", factor: "0.01"}, {name: "lbf_ft", factor: "1.3558179483314004"}}},
	{"angle", []unitDef{{name: "deg", factor: "1"}, {name: "arcmin", factor: "1/60"}, {name: "arcsec", factor: "1/3600"}, {name: "turn", factor: "360"}}},
	{"storage", []unitDef{
		{name: "B", factor: "1"},
		{name: "bit", factor: "0.125"},
		{name: "kB", factor: "1000"},
		{name: "MB", factor: "1000000"},
		{name: "GB", factor: "1000000000"},
		{name: "TB", factor: "1000000000000"},
		{name: "PB", factor: "1000000000000000"},
		{name: "KiB", factor: "1024"},
		{name: "MiB", factor: "1048576"},
		{name: "GiB", factor: "1073741824"},
		{name: "TiB", factor: "1099511627776"},
	}},
	{"data_rate", []unitDef{
		{name: "bit/s", factor: "1"},
		{name: "kbit/s", factor: "1000"},
		{name: "Mbit/s", factor: "1000000"},
		{name: "Gbit/s", factor: "1000000000"},
		{name: "B/s", factor: "8"},
		{name: "kB/s", factor: "8000"},
		{name: "MB/s", factor: "8000000"},
		{name: "GB/s", factor: "8000000000"},
	}},
	{"luminous_flux", []unitDef{{name: "lm", factor: "1"}}},
	{"luminous_intensity", []unitDef{{name: "cd", factor: "1"}}},
	{"luminance", []unitDef{{name: "cd/m2", factor: "1"}}},
	{"illuminance", []unitDef{{name: "lx", factor: "1"}}},
	{"sound_level", []unitDef{{name: "dB", factor: "1"}}},
	{"pixels", []unitDef{{name: "px", factor: "1"}, {name: "MP", factor: "1000000"}}},
	{"pixel_density", []unitDef{{name: "dpi", factor: "1"}, {name: "dpcm", factor: "2.54"}}},
	{"density", []unitDef{{name: "kg/m3", factor: "1"}, {name: "g/cm3", factor: "1000"}, {name: "g/l", factor: "1"}}},
	{"grammage", []unitDef{{name: "g/m2", factor: "1"}, {name: "oz/yd2", factor: "28349523125/836127360"}}},
	{"count", []unitDef{{name: "pc", factor: "1"}, {name: "pair", factor: "2"}, {name: "dozen", factor: "12"}, {name: "gross", factor: "144"}}},
	{"ratio", []unitDef{{name: "%", factor: "1"}, {name: "‰", factor: "0.1"}, {name: "ppm", factor: "0.0001"}}},
}

// unitAliases are other spellings → symbol: common ones, and codes of UN/ECE
// Recommendation 20 that it lists no more, or for a unit of the same size. Those
// that it lists are in unitCodes, and taken, too.
var unitAliases = map[string]string{
	"kgs": "kg", "KG": "kg", "gr": "g", "mcg": "ug", "µg": "ug", "μg": "ug",
	"lbs": "lb",
	"CM":  "cm", "MM": "mm", "µm": "um", "μm": "um",
	"m²": "m2", "dm²": "dm2", "cm²": "cm2", "mm²": "mm2", "km²": "km2", "HAR": "ha", "ft²": "ft2", "in²": "in2",
	"L": "l", "mL": "ml", "ML": "ml", "cL": "cl", "dL": "dl", "µl": "ul", "μl": "ul", "cc": "cm3",
	"m³": "m3", "dm³": "dm3", "cm³": "cm3", "mm³": "mm3", "ft³": "ft3", "in³": "in3",
	"gal": "gal_us", "fl oz": "fl_oz_us", "fl_oz": "fl_oz_us", "PT": "pt_us",
	"degC": "°C", "℃": "°C", "degF": "°F", "℉": "°F",
	"sec": "s", "hr": "h", "day": "d", "days": "d", "week": "wk", "weeks": "wk", "month": "mo", "months": "mo", "year": "yr", "years": "yr",
	"kmh":    "km/h",
	"\u2126": "ohm", "Ω": "ohm", "µF": "uF", "μF": "uF",
	"N·m": "Nm", "°": "deg",
	"KB": "kB", "kbps": "kbit/s", "Mbps": "Mbit/s", "Gbps": "Gbit/s",
	"nit": "cd/m2", "nits": "cd/m2", "cd/m²": "cd/m2", "ppi": "dpi",
	"kg/m³": "kg/m3", "g/cm³": "g/cm3", "gsm": "g/m2", "g/m²": "g/m2", "pcs": "pc", "C62": "pc", "EA": "pc", "NAR": "pc",
}

type measurement struct {
	family string
	units  []unitDef
}

// unitDef is a unit's size as people write it: value in the family's first unit = amount × factor + offset.
type unitDef struct{ name, factor, offset string }

// unitSize is a unitDef made ready to calculate with.
type unitSize struct {
	name, family   string
	factor, offset *big.Rat // offset nil: 0
}

// unitTable is built at first use; nothing changes it afterwards.
var unitTable = sync.OnceValue(func() map[string]*unitSize {
	table := make(map[string]*unitSize, 400)
	for _, m := range measurements {
		for _, u := range m.units {
			size := &unitSize{name: u.name, family: m.family, factor: rational(u.factor)}
			if u.offset != "" {
				size.offset = rational(u.offset)
			}
			table[u.name] = size
		}
	}
	for alias, name := range unitAliases {
		if _, taken := table[alias]; !taken {
			table[alias] = table[name]
		}
	}
	for name, code := range unitCodes {
		if _, taken := table[code]; !taken {
			table[code] = table[name]
		}
	}
	return table
})

// rational reads a number of the table above; a test holds that every one can be read.
func rational(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return new(big.Rat)
	}
	return r
}

// UnitFamily gives the measurement family of a unit ("kg" → "mass"), and false
// for a unit that is not known. Symbols and their aliases are taken as written.
func UnitFamily(unit string) (string, bool) {
	if u := unitTable()[unit]; u != nil {
		return u.family, true
	}
	return "", false
}

// UnitSymbol gives the symbol under which a unit is stored ("KGM" → "kg"), and
// false for a unit that is not known.
func UnitSymbol(unit string) (string, bool) {
	if u := unitTable()[unit]; u != nil {
		return u.name, true
	}
	return "", false
}

// UnitsOf lists the symbols of a measurement family, the standard one first;
// nil when there is no such family.
func UnitsOf(family string) []string {
	i := slices.IndexFunc(measurements, func(m measurement) bool { return m.family == family })
	if i < 0 {
		return nil
	}
	names := make([]string, len(measurements[i].units))
	for j, u := range measurements[i].units {
		names[j] = u.name
	}
	return names
}

// ConvertUnit turns an amount of one unit into another of the same measurement
// family. The arithmetic is exact; only the result is rounded, half to even, to
// the 19 digits that a Decimal holds, and carries no trailing zeros. Temperatures
// are points on their scale: 0 °C is 32 °F. An unknown unit, a unit of another
// family, and a result that needs more than 19 digits before the point are errors.
func ConvertUnit(amount decimal.Decimal, from, to string) (decimal.Decimal, error) {
	table := unitTable()
	a, b := table[from], table[to]
	switch {
	case a == nil:
		return decimal.Decimal{}, fmt.Errorf("unit %q is not known", from)
	case b == nil:
		return decimal.Decimal{}, fmt.Errorf("unit %q is not known", to)
	case a.family != b.family:
		return decimal.Decimal{}, fmt.Errorf("convert %s to %s: %s is no %s", from, to, a.family, b.family)
	case a == b:
		return amount, nil
	}
	r := a.toBase(ratOf(amount))
	if b.offset != nil {
		r.Sub(r, b.offset)
	}
	r.Quo(r, b.factor)
	d, err := decimalOf(r)
	if err != nil {
		return decimal.Decimal{}, fmt.Errorf("convert %s %s to %s: %w", amount, from, to, err)
	}
	return d, nil
}

// toBase turns r, an amount of this unit, into the family's first unit, in place.
func (u *unitSize) toBase(r *big.Rat) *big.Rat {
	r.Mul(r, u.factor)
	if u.offset != nil {
		r.Add(r, u.offset)
	}
	return r
}

func ratOf(d decimal.Decimal) *big.Rat {
	num := new(big.Int).SetUint64(d.Coef())
	if d.IsNeg() {
		num.Neg(num)
	}
	den := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.Scale())), nil)
	return new(big.Rat).SetFrac(num, den)
}

// decimalOf rounds r once, half to even, to the digits that a Decimal holds. A
// Decimal has at most 19 digits after the point, so 40 of them cut off, and one
// more that says whether anything followed, are enough to decide it.
func decimalOf(r *big.Rat) (decimal.Decimal, error) {
	const places = 40
	scaled := new(big.Int).Exp(big.NewInt(10), big.NewInt(places), nil)
	rest := new(big.Int)
	scaled.QuoRem(scaled.Mul(scaled, new(big.Int).Abs(r.Num())), r.Denom(), rest)
	sign, sticky := "", "0"
	if r.Sign() < 0 {
		sign = "-"
	}
	if rest.Sign() != 0 {
		sticky = "1"
	}
	digits := scaled.String()
	if len(digits) <= places {
		digits = strings.Repeat("0", places+1-len(digits)) + digits
	}
	point := len(digits) - places
	d, err := decimal.Parse(sign + digits[:point] + "." + digits[point:] + sticky)
	if err != nil {
		return decimal.Decimal{}, err
	}
	return d.Trim(0), nil
}
