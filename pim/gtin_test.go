package pim

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func TestGTINFault(t *testing.T) {
	for in, want := range map[string]string{
		"4006381333931":        "", // EAN-13
		"036000291452":         "", // UPC-A
		"73513537":             "", // EAN-8
		"10614141000415":       "", // GTIN-14
		"4006381333932":        "gtin.check_digit",
		"0406381333931":        "gtin.check_digit",
		"123456789":            "gtin.length",
		"00000000001111111111": "gtin.length",
		"":                     "gtin.digits",
		"400638133393X":        "gtin.digits",
		" 4006381333931":       "gtin.digits",
		"٤006381333931":        "gtin.digits",
	} {
		if code, _ := GTINFault(in); code != want {
			t.Errorf("GTINFault(%q) = %q, want %q", in, code, want)
		}
	}
}

// A check digit is there to catch one wrong digit, wherever it is.
func TestGTINFaultCatchesOneWrongDigit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{7, 11, 12, 13}).Draw(t, "length")
		body := rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), n, n, -1).Draw(t, "digits")
		valid := ""
		for d := range 10 {
			if code, _ := GTINFault(body + strconv.Itoa(d)); code == "" {
				if valid != "" {
					t.Fatalf("%s has two check digits", body)
				}
				valid = body + strconv.Itoa(d)
			}
		}
		if valid == "" {
			t.Fatalf("%s has no check digit", body)
		}
		at := rapid.IntRange(0, n).Draw(t, "at")
		wrong := []byte(valid)
		wrong[at] = '0' + (wrong[at]-'0'+byte(rapid.IntRange(1, 9).Draw(t, "by")))%10
		if code, _ := GTINFault(string(wrong)); code != "gtin.check_digit" {
			t.Fatalf("%s passes beside %s", wrong, valid)
		}
	})
}
