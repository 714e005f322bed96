package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/govalues/decimal"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

// point says how a text writes decimals.
type point int

const (
	pointUnknown point = iota // "1.500" may be either
	pointDot
	pointComma
)

// pointOf is the decimal separator of a locale by CLDR; unknown for a tag that is none.
func pointOf(locale string) point {
	tag, err := language.Parse(locale)
	if err != nil || tag == language.Und {
		return pointUnknown
	}
	switch s := message.NewPrinter(tag).Sprint(number.Decimal(1.5)); {
	case strings.ContainsAny(s, ",٫"):
		return pointComma
	case strings.Contains(s, "."):
		return pointDot
	}
	return pointUnknown
}

// vulgar are the fractions that have a character of their own.
var vulgar = map[rune]string{'¼': "0.25", '½': "0.5", '¾': "0.75", '⅛': "0.125", '⅜': "0.375", '⅝': "0.625", '⅞': "0.875", '⅕': "0.2", '⅖': "0.4", '⅗': "0.6", '⅘': "0.8"}

// numberAt gives the length of the number that s begins with, 0 for none:
// digits of any script, with '.', ',' and other separators between digits, and a
// fraction's character behind. spaced lets a plain space group thousands.
func numberAt(s string, spaced bool) int {
	const most = 64    // bytes, so that a text of nothing but digits takes linear time
	end, group := 0, 0 // group: digits since the last separator
	for i, c := range s {
		if i > most {
			break
		}
		if unicode.IsDigit(c) {
			if end != i {
				break
			}
			end = i + utf8.RuneLen(c)
			group++
			continue
		}
		if vulgar[c] != "" && end == i {
			return i + utf8.RuneLen(c)
		}
		if end != i || i == 0 || c == utf8.RuneError {
			break
		}
		after := s[i+utf8.RuneLen(c):]
		switch c {
		case '.', ',', '٫', '٬':
			if next, _ := utf8.DecodeRuneInString(after); !unicode.IsDigit(next) {
				return end
			}
		case '\'', '’', '\u00A0', '\u202F', '\u2009', ' ':
			if c == ' ' && !spaced || group > 3 || !threeDigits(after) {
				return end
			}
		default:
			return end
		}
		end = i + utf8.RuneLen(c)
		group = 0
	}
	return end
}

// threeDigits reports exactly three digits at the start of s.
func threeDigits(s string) bool {
	n := 0
	for _, c := range s {
		if !unicode.IsDigit(c) {
			break
		}
		if n++; n > 3 {
			return false
		}
	}
	return n == 3
}

// plainDigits writes s with ASCII digits, '.' and ',' in the places of others' like.
func plainDigits(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '٫':
			return ','
		case c == '٬':
			return '\''
		case c >= utf8.RuneSelf && unicode.IsDigit(c):
			return '0' + digitValue(c)
		case c == '’', unicode.IsSpace(c):
			return '\''
		}
		return c
	}, s)
}

// digitValue is a decimal digit's value: those of a script stand in a row of
// ten, the first of them at a place that unicode's table of digits begins a range with.
func digitValue(c rune) rune {
	for _, r := range unicode.Nd.R16 {
		if rune(r.Lo) <= c && c <= rune(r.Hi) {
			return (c - rune(r.Lo)) % 10
		}
	}
	for _, r := range unicode.Nd.R32 {
		if rune(r.Lo) <= c && c <= rune(r.Hi) {
			return (c - rune(r.Lo)) % 10
		}
	}
	return 0
}

var separators = strings.NewReplacer(".", "", ",", "")

// values gives what a number may be worth: nothing where it is no number
// ("1.2.3"), two values where a separator may be a decimal one or group
// thousands and p does not say which.
func values(s string, p point) []decimal.Decimal {
	s = plainDigits(s)
	var fraction decimal.Decimal
	for c, v := range vulgar {
		if strings.HasSuffix(s, string(c)) {
			fraction = decimal.MustParse(v)
			if s = strings.TrimSuffix(s, string(c)); s == "" {
				return []decimal.Decimal{fraction}
			}
		}
	}
	s = strings.ReplaceAll(s, "'", "")
	dots, commas := strings.Count(s, "."), strings.Count(s, ",")
	var forms []string
	grouped := separators.Replace(s)
	switch {
	case dots == 0 && commas == 0:
		forms = []string{s}
	case dots > 0 && commas > 0:
		last := strings.LastIndexAny(s, ".,")
		if strings.Count(s, s[last:last+1]) > 1 || !groups(s[:last]) {
			return nil
		}
		forms = []string{separators.Replace(s[:last]) + "." + s[last+1:]}
	case dots+commas > 1:
		if !groups(s) {
			return nil
		}
		forms = []string{grouped}
	default:
		one := strings.Replace(s, ",", ".", 1)
		switch groupsThousands := p == pointDot && commas == 1 || p == pointComma && dots == 1; {
		case !groups(s):
			forms = []string{one}
		case p == pointUnknown:
			forms = []string{one, grouped}
		case groupsThousands:
			forms = []string{grouped}
		default:
			forms = []string{one}
		}
	}
	var out []decimal.Decimal
	for _, f := range forms {
		d, err := decimal.Parse(f)
		if err == nil && !fraction.IsZero() {
			d, err = d.Add(fraction)
		}
		if err == nil {
			out = append(out, d.Trim(0))
		}
	}
	return out
}

// groups reports digits in groups of three, the first of one to three and not 0.
func groups(s string) bool {
	parts := strings.FieldsFunc(s, func(c rune) bool { return c == '.' || c == ',' })
	if len(parts) == 0 || len(parts[0]) > 3 || parts[0][0] == '0' {
		return false
	}
	for _, part := range parts[1:] {
		if len(part) != 3 {
			return false
		}
	}
	return true
}

// unitSigns are the units that stay as they are in every language: symbols. A
// unit that is a word, or its abbreviation, in some language is none (in, um, us,
// mi, ha, s, den, cal; st, d, pc, mo), nor a letter that is more often something
// else (B, F). They stay in the text, and their numbers are counted.
var unitSigns = unitHeads(`
	kg g mg µg μg ug t lb lbs oz Kg KG kgs gr
	m km dm cm mm µm μm nm ft yd nmi CM MM
	m² km² dm² cm² mm² ft² in² m2 km2 dm2 cm2 mm2 ft2 in2 yd2 mi2
	l L hl dl cl ml mL cL dL ML µl μl ul m³ dm³ cm³ mm³ ft³ in³ m3 dm3 cm3 mm3 in3 ft3 yd3 ccm cc
	°C °F ° ℃ ℉ K ms µs min h Hz kHz MHz GHz rpm rps fps m/s km/h mm/s mph
	l/min L/min l/h L/h l/s m³/h m3/h g/m² g/m2 gsm oz/yd2 kg/m³ kg/m3 g/cm³ g/cm3 g/l mg/l mg/kg kg/m
	W mW kW MW kWp Wp VA kVA hp PS J kJ MJ Wh kWh mWh kcal BTU W/m²
	V mV kV VAC VDC A mA µA uA Ah mAh ohm kohm Mohm Ω kΩ MΩ mF µF uF nF pF
	Pa hPa kPa MPa bar mbar psi atm mmHg N kN Nm N·m Ncm lbf
	KB kB MB GB TB PB KiB MiB GiB TiB bit bit/s kbit/s Mbit/s Gbit/s kbps Mbps Gbps B/s kB/s MB/s GB/s MT/s
	lm cd lx lux cd/m² cd/m2 nit nits dB dBA dB(A) dBi dBm px MP Mpx dpi dpcm ppi ppm dtex tex DEN % ‰ ct
	€ $ £ ¥ ₹ EUR USD GBP CHF PLN SEK DKK NOK CZK
`)

// unitHeads sorts units by their first rune, the longest first.
func unitHeads(names string) map[rune][]string {
	heads := map[rune][]string{'f': {"fl oz"}}
	for name := range strings.FieldsSeq(names) {
		c, _ := utf8.DecodeRuneInString(name)
		at := 0
		for at < len(heads[c]) && len(heads[c][at]) >= len(name) {
			at++
		}
		heads[c] = append(heads[c][:at:at], append([]string{name}, heads[c][at:]...)...)
	}
	return heads
}

// unitAt gives the unit at text[i:to], behind a number, and where it ends; "" for none.
func unitAt(text string, i, to int) (unit string, end int) {
	at := i
	c, size := utf8.DecodeRuneInString(text[i:to])
	if c == ' ' || c == '\u00A0' || c == '\u202F' || c == '\u2009' {
		at += size
		c, size = utf8.DecodeRuneInString(text[at:to])
	}
	if i == at {
		switch {
		case c == '″' || strings.HasPrefix(text[at:to], "''"):
			return `"`, at + max(size, 2)
		case c == '"' && wordEnds(text, at+1) && !quoted(text[:at]):
			return `"`, at + 1
		case (c == '\'' || c == '′') && inches(text[at+size:to]):
			return "'", at + size
		}
	}
	for _, name := range unitSigns[c] {
		if end := at + len(name); end <= to && text[at:end] == name {
			if last, _ := utf8.DecodeLastRuneInString(name); isWord(last) && !wordEnds(text, end) {
				continue
			}
			if next, _ := utf8.DecodeRuneInString(text[end:]); (name == "%" || name == "°" || name == "$") && isWord(next) && !freeScript(next) {
				continue // "100%ige"
			}
			return name, end
		}
	}
	return "", i
}

// quoted reports whether the last quotation mark before opens a quotation, so
// that one behind is its end and no inch sign.
func quoted(before string) bool {
	before = before[max(0, len(before)-80):]
	i := strings.LastIndexByte(before, '"')
	return i == 0 || i > 0 && strings.IndexByte(" \u00A0([-/=:", before[i-1]) >= 0
}

// inches reports a number behind a foot sign, as in 6' 2".
func inches(s string) bool {
	s = strings.TrimPrefix(s, " ")
	n := numberAt(s, false)
	return n > 0 && n < len(s) && (s[n] == '"' || s[n] == '\'' || strings.HasPrefix(s[n:], "″"))
}

// amount is a number, or several that belong together, with their units:
// "5 cm", "10 x 20 x 30 mm", "1,5–2 l", "€ 5", "3/4\"".
type amount struct {
	end   int
	parts []amountPart
}

type amountPart struct {
	number string // as written
	unit   string // as written; "" where a later part's is meant, or none
	times  bool   // joined to the part before by x
	slash  bool   // by a slash
}

// sure reports that an amount needs no translator: it has a unit, or is a product of numbers.
func (a amount) sure() bool {
	for _, p := range a.parts {
		if p.unit != "" || p.times {
			return true
		}
	}
	return false
}

// maxParts bounds how many numbers one amount may have.
const maxParts = 12

// amountAt reads the amount at text[i:to]. Its end is i where there is none.
func amountAt(text string, i, to int) amount {
	a := amount{end: i}
	at := i
	c, size := utf8.DecodeRuneInString(text[at:to])
	if strings.ContainsRune("+-−±~≈≤≥", c) {
		if before, _ := utf8.DecodeLastRuneInString(text[:i]); i > 0 && (isWord(before) || before == ')') {
			return a
		}
		at += size
		if c != '+' && c != '-' && c != '−' {
			at += len(text[at:to]) - len(strings.TrimLeft(text[at:to], " \u00A0"))
		}
	}
	currency := ""
	for _, name := range [...]string{"€", "$", "£", "¥", "₹", "US$", "EUR", "USD", "GBP", "CHF"} {
		if strings.HasPrefix(text[at:to], name) {
			currency = name
			at += len(name)
			if rest := text[at:to]; strings.HasPrefix(rest, " ") || strings.HasPrefix(rest, "\u00A0") {
				_, size := utf8.DecodeRuneInString(rest)
				at += size
			}
			break
		}
	}
	part := amountPart{}
	for len(a.parts) < maxParts {
		n := numberAt(text[at:to], false)
		if m := numberAt(text[at:to], true); m > n {
			// A plain space groups thousands only before a unit: "1 500 g".
			if unit, _ := unitAt(text, at+m, to); unit != "" {
				n = m
			}
		}
		if n == 0 {
			break
		}
		part.number = text[at : at+n]
		end := at + n
		part.unit, end = unitAt(text, end, to)
		if part.unit == "" && currency != "" && len(a.parts) == 0 {
			part.unit = currency
		}
		next, times, slash := joiner(text, end, to)
		if part.unit == "" && !wordEnds(text, end) && next == end {
			break // "2x4er": no number by itself
		}
		a.parts = append(a.parts, part)
		a.end = end
		if next == end {
			break
		}
		part = amountPart{times: times, slash: slash}
		at = next
	}
	return a.cut(text, i)
}

// joiner reads what joins two numbers: where the next begins, and how. at is end for none.
func joiner(text string, end, to int) (at int, times, slash bool) {
	at = end
	space := func() bool {
		c, size := utf8.DecodeRuneInString(text[at:to])
		if c == ' ' || c == '\u00A0' || c == '\u202F' {
			at += size
			return true
		}
		return false
	}
	space()
	c, size := utf8.DecodeRuneInString(text[at:to])
	switch c {
	case 'x', 'X', '×', '*':
		times = true
	case '/':
		slash = true
	case '-', '–', '—', '−', '+', '±', '…':
	default:
		return end, false, false
	}
	at += size
	space()
	if numberAt(text[at:to], false) == 0 {
		return end, false, false
	}
	return at, times, slash
}

// cut takes off numbers behind the last that has a unit, unless they are factors.
func (a amount) cut(text string, i int) amount {
	keep := len(a.parts)
	for keep > 1 && a.parts[keep-1].unit == "" && !a.parts[keep-1].times {
		keep--
	}
	if keep == len(a.parts) || !(amount{parts: a.parts[:keep]}).sure() {
		return a
	}
	// The end of the last part that stays is found by its own text.
	at := i
	for _, p := range a.parts[:keep] {
		at += strings.Index(text[at:a.end], p.number) + len(p.number)
		if p.unit != "" {
			if _, end := unitAt(text, at, a.end); end > at {
				at = end
			}
		}
	}
	return amount{end: at, parts: a.parts[:keep]}
}
