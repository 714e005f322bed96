package pim

import "fmt"

// GTINFault says what is wrong with a trade item number: gtin.digits (anything
// but the digits 0 to 9), gtin.length (not 8, 12, 13 or 14 of them),
// gtin.check_digit. The code is "" when nothing is. Rules: GS1 General
// Specifications, section 7.9 (check digit) and 3.3 (lengths); that a prefix was
// ever given out is not checked.
func GTINFault(s string) (code, detail string) {
	if digitRun(s) != len(s) || s == "" {
		return "gtin.digits", "a GTIN has digits only"
	}
	switch len(s) {
	case 8, 12, 13, 14:
	default:
		return "gtin.length", fmt.Sprintf("a GTIN has 8, 12, 13 or 14 digits, this one %d", len(s))
	}
	sum := 0
	for i := range len(s) - 1 {
		weight := 1
		if (len(s)-i)%2 == 0 { // the digit beside the check digit weighs 3, the next 1, and so on
			weight = 3
		}
		sum += weight * int(s[i]-'0')
	}
	if want := (10 - sum%10) % 10; int(s[len(s)-1]-'0') != want {
		return "gtin.check_digit", fmt.Sprintf("the check digit is %c, %d is expected", s[len(s)-1], want)
	}
	return "", ""
}
