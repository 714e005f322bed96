package pim

import "slices"

// unitCodes are the common codes of units in UN/ECE Recommendation 20, revision
// 17 of 2021 (unece.org/trade/uncefact/cl-recommendations), without those that it
// marks as deleted. psi has none here, since its code PS is the symbol of another
// unit, nor have units that the recommendation lists for a unit of another size.
var unitCodes = map[string]string{
	"kg": "KGM", "g": "GRM", "mg": "MGM", "ug": "MC", "t": "TNE", "lb": "LBR", "oz": "ONZ", "st": "STI",
	"ct": "CTM", "ton_us": "STN", "ton_uk": "LTN",
	"m": "MTR", "km": "KMT", "dm": "DMT", "cm": "CMT", "mm": "MMT", "um": "4H", "nm": "C45", "in": "INH",
	"ft": "FOT", "yd": "YRD", "mi": "SMI", "nmi": "NMI",
	"m2": "MTK", "km2": "KMK", "dm2": "DMK", "cm2": "CMK", "mm2": "MMK", "ha": "H18", "in2": "INK", "ft2": "FTK",
	"yd2": "YDK", "acre": "ACR", "mi2": "MIK",
	"l": "LTR", "hl": "HLT", "dl": "DLT", "cl": "CLT", "ml": "MLT", "ul": "4G", "m3": "MTQ", "dm3": "DMQ",
	"cm3": "CMQ", "mm3": "MMQ", "in3": "INQ", "ft3": "FTQ", "yd3": "YDQ", "gal_us": "GLL", "qt_us": "QTL", "pt_us": "PTL",
	"cup_us": "G21", "fl_oz_us": "OZA", "tbsp_us": "G24", "tsp_us": "G25", "gal_uk": "GLI", "qt_uk": "QTI", "pt_uk": "PTI", "fl_oz_uk": "OZI",
	"K": "KEL", "°C": "CEL", "°F": "FAH",
	"s": "SEC", "ms": "C26", "us": "B98", "min": "MIN", "h": "HUR", "d": "DAY", "wk": "WEE",
	"mo": "MON", "yr": "ANN",
	"Hz": "HTZ", "kHz": "KHZ", "MHz": "MHZ", "GHz": "A86",
	"rpm": "RPM", "rps": "RPS",
	"m/s": "MTS", "km/h": "KMH", "mph": "HM", "kn": "KNT",
	"l/min": "L2", "l/h": "E32", "l/s": "G51", "m3/h": "MQH",
	"W": "WTT", "mW": "C31", "kW": "KWT", "MW": "MAW", "VA": "D46", "kVA": "KVA", "hp": "BHP",
	"J": "JOU", "kJ": "KJO", "MJ": "3B", "Wh": "WHR", "kWh": "KWH", "kcal": "K53", "BTU": "BTU",
	"V": "VLT", "mV": "2Z", "kV": "KVT",
	"A": "AMP", "mA": "4K", "uA": "B84",
	"Ah": "AMH", "mAh": "E09",
	"ohm": "OHM", "kohm": "B49", "Mohm": "B75",
	"F": "FAR", "mF": "C10", "uF": "4O", "nF": "C41", "pF": "4T",
	"Pa": "PAL", "hPa": "A97", "kPa": "KPA", "MPa": "MPA", "bar": "BAR", "mbar": "MBR", "atm": "ATM",
	"N": "NEW", "kN": "B47", "lbf": "C78",
	"Nm": "NU", "Ncm": "J72", "lbf_ft": "M92",
	"deg": "DD", "arcmin": "D61", "arcsec": "D62", "turn": "M44",
	"B": "AD", "bit": "A99", "kB": "2P", "MB": "4L", "GB": "E34", "TB": "E35", "PB": "E36", "KiB": "E64",
	"MiB": "E63", "GiB": "E62", "TiB": "E61",
	"bit/s": "B10", "kbit/s": "C74", "Mbit/s": "E20", "Gbit/s": "B80", "B/s": "P93", "kB/s": "P94", "MB/s": "P95", "GB/s": "E68",
	"lm":    "LUM",
	"cd":    "CDL",
	"cd/m2": "A24",
	"lx":    "LUX",
	"dB":    "2N",
	"px":    "E37", "MP": "E38",
	"dpi":   "E39",
	"kg/m3": "KMQ", "g/cm3": "23", "g/l": "GL",
	"g/m2": "GM", "oz/yd2": "ON",
	"pc": "H87", "pair": "PR", "dozen": "DZN", "gross": "GRO",
	"%": "P1", "‰": "NX", "ppm": "59",
}

// Unit is a unit of a measurement family: value in the family's standard unit =
// amount × Factor + Offset. Both are exact, as decimals or, where no decimal is,
// as fractions such as "5/18".
type Unit struct {
	Symbol  string   `json:"symbol" doc:"Under which it is stored"`
	Code    string   `json:"code,omitempty" doc:"Common code of UN/ECE Recommendation 20"`
	Factor  string   `json:"factor" doc:"Its size in the standard unit, exactly: a decimal, or a fraction such as 5/18"`
	Offset  string   `json:"offset,omitempty" doc:"Of a temperature: what is added after the factor"`
	Aliases []string `json:"aliases,omitempty" doc:"Other spellings that are taken, its code apart"`
}

// MeasurementFamily is a kind of measurement, the standard unit first.
type MeasurementFamily struct {
	Code  string `json:"code"`
	Units []Unit `json:"units"`
}

// MeasurementFamilies lists all there are, with their units.
func MeasurementFamilies() []MeasurementFamily {
	aliases := map[string][]string{}
	for alias, symbol := range unitAliases {
		if unitCodes[symbol] != alias {
			aliases[symbol] = append(aliases[symbol], alias)
		}
	}
	list := make([]MeasurementFamily, len(measurements))
	for i, m := range measurements {
		list[i].Code = m.family
		for _, u := range m.units {
			slices.Sort(aliases[u.name])
			list[i].Units = append(list[i].Units, Unit{Symbol: u.name, Code: unitCodes[u.name], Factor: u.factor, Offset: u.offset, Aliases: aliases[u.name]})
		}
	}
	return list
}

// UnitCode gives the common code of a unit in UN/ECE Recommendation 20 ("kg" →
// "KGM"), and false for a unit that has none or is not known.
func UnitCode(unit string) (string, bool) {
	symbol, ok := UnitSymbol(unit)
	code := unitCodes[symbol]
	return code, ok && code != ""
}
