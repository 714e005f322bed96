package text

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

// Facts are what a product says of itself, for the check of texts that were
// written about it by a machine. Only Check uses them.
type Facts struct {
	// Texts are the product's own: texts of attributes, labels of options,
	// names, codes, in any language. The amounts, numbers, codes and brands in them are facts.
	Texts []string
	// Amounts are its measurements and numbers.
	Amounts []Quantity
	// Brands are its own; Known are those of the house, its own among them or
	// not, made with NewProtect. One of Known that is neither in Brands nor in Texts is a fault.
	Brands []string
	Known  Protect
	// FactsLocale and Locale (BCP 47) say how Texts and the checked text write
	// decimals. Without one, "1.500" may be 1.5 and 1500.
	FactsLocale, Locale string
}

// Quantity is a measurement. Unit is a symbol of pim's table or another; "" for a plain number.
type Quantity struct {
	Value decimal.Decimal
	Unit  string
}

// The codes of faults that Facts.Check adds.
const (
	CodeFactNumber = "fact.number" // a number that the product has not
	CodeFactUnit   = "fact.unit"   // its number with another unit, or of another size
	CodeFactCode   = "fact.code"   // a model number, standard or code that the product has not
	CodeFactBrand  = "fact.brand"  // another brand of the house
	CodeFactLength = "fact.length" // too long to check
	// CodeFactAddress is of a web or e-mail address that the product has not: what
	// stands in a product's texts must not make a model send customers elsewhere.
	CodeFactAddress = "fact.address"
)

// maxFaults bounds a report: a text with so many is not worth more words.
const maxFaults = 50

// Check finds what a text says and the product does not: each number, with its
// unit where it has one, by value ("1,5 kg" is 1500 g; a result of converting
// that would have to be rounded is another number), each code, each brand. Years
// and the numbers of a list are numbers, too. So are web and e-mail addresses, and
// of a plain text tags, Markdown and places that were not filled in ("{{name}}"),
// unless a text of the product has such. A unit is one of the symbols that
// Cut protects or a common unit's name in a few languages ("5 Liter").
//
// Left alone are number words ("two", "zwei"), units without a number, and what
// the text says of the numbers it rightly has.
func (f Facts) Check(text string, html bool) []Fault {
	if len(text) > MaxLength && utf8.RuneCountInString(text) > MaxLength {
		return []Fault{*fault(CodeFactLength, "the text has more than %d characters", MaxLength)}
	}
	if !utf8.ValidString(text) {
		return []Fault{*fault(CodeUTF8, "the text is not valid UTF-8")}
	}
	text = Visible(text, html)
	book := f.book()
	var faults []Fault
	said := map[Fault]bool{}
	add := func(code, format string, args ...any) {
		if one := *fault(code, format, args...); !said[one] && len(faults) < maxFaults {
			said[one] = true
			faults = append(faults, one)
		}
	}
	walkFacts(text, pointOf(f.Locale), func(c claim) {
		switch {
		case c.code != "":
			if !book.codes[strings.ToLower(c.code)] {
				add(CodeFactCode, "the product has no %s", quote(c.code))
			}
		case book.holds(c):
		case c.unit != "" && book.number(c):
			add(CodeFactUnit, "the product's %s is not one of %s", c.written, quote(c.unit))
		default:
			add(CodeFactNumber, "the product has no %s", strings.TrimSpace(c.written+" "+c.unit))
		}
	})
	f.brands(text, add)
	f.foreign(text, html, add)
	return faults
}

// foreign looks for addresses, and for markup that a plain text would show.
func (f Facts) foreign(text string, html bool, add func(code, format string, args ...any)) {
	texts := strings.ToLower(strings.Join(f.Texts, "\n"))
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRuneInString(text[i:])
		if isWord(c) && wordBegins(text, i) {
			if n := addressAt(text[i:]); n > 0 {
				if address := text[i : i+n]; !strings.Contains(texts, strings.ToLower(address)) {
					add(CodeFactAddress, "the product has no %s", quote(address))
				}
				size = n
			}
		}
		i += size
	}
	for _, re := range [...]*regexp.Regexp{tagLike, fenceLike} {
		if mark := re.FindString(text); !html && mark != "" && !strings.Contains(texts, strings.ToLower(mark)) {
			add(CodeMarkupLeft, "the text shows markup: %s", quote(mark))
		}
	}
}

// brands looks for other brands of the house.
func (f Facts) brands(text string, add func(code, format string, args ...any)) {
	if len(f.Known.sets) == 0 {
		return
	}
	own := NewProtect(f.Brands)
	has := map[string]bool{} // whether the product's texts have a brand
	texts := strings.ToLower(strings.Join(f.Texts, "\n"))
	for i := 0; i < len(text); {
		_, size := utf8.DecodeRuneInString(text[i:])
		if !wordBegins(text, i) {
			i += size
			continue
		}
		mine := own.term(text, i, len(text), true)
		longest, brand := 0, ""
		for _, set := range f.Known.sets {
			if n, term := set.at(text, i, len(text)); n > longest {
				longest, brand = n, term
			}
		}
		if longest > mine {
			allowed, known := has[brand]
			if !known {
				allowed = hasTerm(texts, brand, false)
				for _, b := range f.Brands {
					allowed = allowed || strings.EqualFold(b, brand)
				}
				has[brand] = allowed
			}
			if !allowed {
				add(CodeFactBrand, "the product is not of %s", quote(brand))
			}
		}
		i += max(size, longest, mine)
	}
}

// claim is a number with its unit, or a code, that a text has.
type claim struct {
	written string
	unit    string // as written
	values  []decimal.Decimal
	count   bool // the unit is a word for pieces
	code    string
}

// factBook is what a product may say.
type factBook struct {
	sizes   map[string]bool // family and value in the family's first unit, or unit and value
	numbers map[string]bool
	codes   map[string]bool // in small letters
}

func (f Facts) book() factBook {
	b := factBook{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, q := range f.Amounts {
		b.numbers[q.Value.Trim(0).String()] = true
		if q.Unit != "" {
			b.sizes[sizeKey(q.Value, q.Unit)] = true
		}
	}
	p := pointOf(f.FactsLocale)
	for _, t := range f.Texts {
		t = strings.ToValidUTF8(t, "\uFFFD")
		walkFacts(t, p, func(c claim) {
			if c.code != "" {
				code := strings.ToLower(c.code)
				b.codes[code] = true
				for part := range strings.SplitSeq(code, "/") {
					b.codes[part] = true
				}
				return
			}
			for _, v := range c.values {
				b.numbers[v.String()] = true
				if c.unit != "" {
					b.sizes[sizeKey(v, c.unit)] = true
				}
			}
		})
		// A text that is a code as a whole, though it does not look like one, is one, too.
		if s := strings.TrimFunc(t, isSpace); len(s) <= maxToken {
			b.codes[strings.ToLower(s)] = true
		}
	}
	return b
}

func (b factBook) holds(c claim) bool {
	for _, v := range c.values {
		if c.unit == "" && b.numbers[v.String()] || c.unit != "" && b.sizes[sizeKey(v, c.unit)] {
			return true
		}
	}
	return c.count && b.number(c)
}

func (b factBook) number(c claim) bool {
	for _, v := range c.values {
		if b.numbers[v.String()] {
			return true
		}
	}
	return false
}

// sizeKey is one string for all ways to write a size.
func sizeKey(v decimal.Decimal, unit string) string {
	if s, ok := unitNames[unit]; ok {
		unit = s
	}
	if symbol, ok := pim.UnitSymbol(unit); ok {
		family, _ := pim.UnitFamily(symbol)
		if d, err := pim.ConvertUnit(v, symbol, pim.UnitsOf(family)[0]); err == nil {
			return family + " " + d.Trim(0).String()
		}
	}
	return unit + " " + v.Trim(0).String()
}

// walkFacts visits the numbers and codes of a text in their order.
func walkFacts(text string, p point, visit func(claim)) {
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRuneInString(text[i:])
		if !wordBegins(text, i) {
			// A number within a word: "mp3".
			if unicode.IsDigit(c) {
				n := numberAt(text[i:], false)
				visitNumber(text[i:i+n], p, visit)
				size = n
			}
			i += size
			continue
		}
		a := amount{end: i}
		if !unicode.IsLetter(c) && !isSpace(c) {
			a = amountAt(text, i, len(text))
		}
		if isWord(c) {
			if n := codeAt(text, i, len(text)); i+n > a.end && n > 0 {
				visit(claim{code: text[i : i+n], written: text[i : i+n]})
				i += n
				continue
			}
		}
		if a.end > i {
			negative := c == '-' || c == '−'
			i = visitAmount(text, a, negative, p, visit)
			continue
		}
		if unicode.IsDigit(c) {
			size = numberAt(text[i:], false)
			visitNumber(text[i:i+size], p, visit)
		}
		i += size
	}
}

// visitNumber visits a plain number, or the numbers of what is none, such as a version.
func visitNumber(s string, p point, visit func(claim)) {
	if vs := values(s, p); len(vs) > 0 {
		visit(claim{written: s, values: vs})
		return
	}
	for _, d := range digitRuns(s) {
		visit(claim{written: d, values: values(d, p)})
	}
}

// visitAmount visits an amount's numbers, each with the unit that is meant, and
// gives where to go on.
func visitAmount(text string, a amount, negative bool, p point, visit func(claim)) int {
	last := len(a.parts) - 1
	end := a.end
	count := false
	if a.parts[last].unit == "" {
		var name string
		if name, end = unitWord(text, a.end); name != "" {
			a.parts[last].unit = name
			count = unitNames[name] == "pc"
		}
	}
	units := make([]string, last+1)
	unit := ""
	for i := last; i >= 0; i-- {
		if a.parts[i].unit != "" {
			unit = a.parts[i].unit
		}
		units[i] = unit
	}
	for i, part := range a.parts {
		if units[i] == "" && i > 0 && !part.times { // "€ 5–10"
			units[i] = units[i-1]
		}
		vs := values(part.number, p)
		if len(vs) == 0 {
			visitNumber(part.number, p, visit)
			continue
		}
		if i == 0 && negative {
			for j := range vs {
				vs[j] = vs[j].Neg()
			}
		}
		// A fraction is one number, unless its halves are facts each: "50/60 Hz".
		if i < last && a.parts[i+1].slash {
			if whole, err := vs[0].Quo(decimalOr(values(a.parts[i+1].number, p), decimal.One)); err == nil {
				vs = append(vs, whole.Trim(0))
			}
		} else if part.slash {
			if whole, err := decimalOr(values(a.parts[i-1].number, p), decimal.One).Quo(vs[0]); err == nil {
				vs = append(vs, whole.Trim(0))
			}
		}
		visit(claim{written: part.number, unit: units[i], values: vs, count: count})
	}
	return end
}

func decimalOr(vs []decimal.Decimal, or decimal.Decimal) decimal.Decimal {
	if len(vs) == 0 {
		return or
	}
	return vs[0]
}

// unitWord reads the name of a unit behind a number: its name in unitNames, and where it ends.
func unitWord(text string, at int) (name string, end int) {
	const most = 24
	i := at
	if c, size := utf8.DecodeRuneInString(text[i:]); isSpace(c) || c == '-' {
		i += size
	}
	j := i
	for j < len(text) && j-i < most {
		c, size := utf8.DecodeRuneInString(text[j:])
		if !unicode.IsLetter(c) {
			break
		}
		j += size
		if freeScript(c) {
			if _, ok := unitNames[text[i:j]]; ok {
				break
			}
		}
	}
	if name = strings.ToLower(text[i:j]); unitNames[name] == "" {
		return "", at
	}
	return name, j
}

// unitNames are the units' signs and names that pim's table has otherwise.
var unitNames = unitTable(map[string]string{
	"in":    `" ″ inch inches zoll pouce pouces pulgada pulgadas pollici duim tum 英寸`,
	"ft":    "' foot feet fuß pied pieds",
	"ohm":   "Ω",
	"kohm":  "kΩ",
	"Mohm":  "MΩ",
	"m3/h":  "m³/h",
	"l/min": "L/min",
	"l/h":   "L/h",
	"MP":    "Mpx",
	"cm3":   "ccm",
	"EUR":   "€ euro euros",
	"USD":   "$ US$ dollar dollars",
	"GBP":   "£",
	"mm":    "millimeter millimetre millimeters millimetres millimètre millimètres milímetro milímetros millimetri 毫米",
	"cm":    "centimeter centimetre centimeters centimetres zentimeter centimètre centimètres centímetro centímetros centimetri 厘米 公分",
	"m":     "meter metre meters metres metern mètre mètres metro metros metri 米",
	"mi":    "mile miles meile meilen",
	"ha":    "hectare hectares hektar hectárea hectáreas",
	"cal":   "calorie calories kalorien",
	"km":    "kilometer kilometre kilometers kilometres kilomètres kilómetros 公里",
	"g":     "gram grams gramm grammes gramme gramo gramos grammi grammo 克",
	"kg":    "kilogram kilograms kilogramm kilo kilos kilogrammes kilogramme kilogramo kilogramos 公斤 千克",
	"lb":    "pound pounds libras",
	"oz":    "ounce ounces unze unzen onces onzas",
	"l":     "liter litre liters litres litern litro litros litri 升",
	"ml":    "milliliter millilitre milliliters millilitres mililitro mililitros 毫升",
	"V":     "volt volts voltios",
	"W":     "watt watts vatios 瓦",
	"kW":    "kilowatt kilowatts",
	"A":     "ampere amperes amps amp",
	"Hz":    "hertz",
	"h":     "hour hours stunde stunden uur uren heure heures hora horas ore 小时",
	"min":   "minute minutes minuten minuto minutos minuti 分钟",
	"s":     "second seconds sekunde sekunden seconde secondes segundo segundos",
	"d":     "day days tag tage tagen dag dagen jour jours día días giorni 天",
	"wk":    "week weeks woche wochen weken semaine semaines semana semanas",
	"mo":    "month months monat monate monaten maand maanden mois mes meses mesi",
	"yr":    "year years jahr jahre jahren jaar an ans année années año años anni 年",
	"%":     "percent prozent procent",
	"pc":    "pc pcs piece pieces stück stuk stuks pièce pièces pieza piezas unidad unidades pezzi st",
	"°C":    "celsius",
})

func unitTable(names map[string]string) map[string]string {
	table := map[string]string{}
	for symbol, list := range names {
		for name := range strings.FieldsSeq(list) {
			table[name] = symbol
		}
	}
	return table
}
