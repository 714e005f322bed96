package pim

import (
	"errors"
	"strings"
	"testing"
)

func TestParseFilter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`enabled = true`:                    `enabled = true`,
		`sku=A-1`:                           `sku = "A-1"`,
		`values.color.en-GB in("red",blue)`: `values.color.en-GB in ("red", "blue")`,
		`a != 1 AND (b > 2 Or c is NOT empty) and not d starts with "x"`:   `a != 1 and (b > 2 or c is not empty) and not d starts with "x"`,
		`a = 1 or b = 2 and c = 3`:                                         `a = 1 or (b = 2 and c = 3)`,
		`not a not in (1,2)`:                                               `not a not in (1, 2)`,
		`((a contains "q\"\\"))`:                                           `a contains "q\"\\"`,
		`values.weight >= 2.50 kg`:                                         `values.weight >= 2.50 "kg"`,
		`values.t < -1e3 "°C" and updated_at >= 2026-11-27T09:00:00+01:00`: `values.t < -1e3 "°C" and updated_at >= "2026-11-27T09:00:00+01:00"`,
		`"not" = "true"`:                                                   `"not" = "true"`,
		`values."odd name".x is empty`:                                     `values."odd name".x is empty`,
		`a in (7)`:                                                         `a = 7`,
		`not (a = 1 and b = 2)`:                                            `not (a = 1 and b = 2)`,
		`n = 5 and m = 6`:                                                  `n = 5 and m = 6`,
		"name = \"e\u0301\"":                                               "name = \"\u00e9\"",
		`android = 1`:                                                      `android = 1`,
	} {
		f, err := ParseFilter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := f.String(); got != want {
			t.Errorf("%s: read as %s, want %s", text, got, want)
		}
	}
}

func TestFilterFaults(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]FilterError{
		``:                                   {At: 0, Code: "filter.syntax"},
		`  `:                                 {At: 2, Code: "filter.syntax"},
		`a`:                                  {At: 1, Code: "filter.syntax"},
		`a = `:                               {At: 4, Code: "filter.syntax"},
		`a = x b`:                            {At: 6, Code: "filter.syntax"},
		`a = 1 and`:                          {At: 9, Code: "filter.syntax"},
		`a = and`:                            {At: 4, Code: "filter.syntax"},
		`(a = x`:                             {At: 6, Code: "filter.syntax"},
		`a = x)`:                             {At: 5, Code: "filter.syntax"},
		`a = "x`:                             {At: 4, Code: "filter.syntax"},
		`a = "x\n"`:                          {At: 6, Code: "filter.syntax"},
		`a in ()`:                            {At: 6, Code: "filter.syntax"},
		`a in (x y)`:                         {At: 8, Code: "filter.syntax"},
		`a in x`:                             {At: 5, Code: "filter.syntax"},
		`a not x`:                            {At: 6, Code: "filter.syntax"},
		`a is full`:                          {At: 5, Code: "filter.syntax"},
		`a starts x`:                         {At: 9, Code: "filter.syntax"},
		`and = 1`:                            {At: 0, Code: "filter.syntax"},
		`a..b = 1`:                           {At: 2, Code: "filter.syntax"},
		`a.b.c.d.e = 1`:                      {At: 8, Code: "filter.field"},
		`a = '; drop table x`:                {At: 4, Code: "filter.syntax"},
		"a = \"\x00\"":                       {At: 0, Code: "filter.text"},
		"a = \"\xff\"":                       {At: 0, Code: "filter.text"},
		strings.Repeat("(", 20):              {At: 16, Code: "filter.depth"},
		strings.Repeat("not ", 20) + "a = 1": {At: 64, Code: "filter.depth"},
		strings.Repeat(" ", MaxFilterBytes) + "a":               {At: MaxFilterBytes, Code: "filter.too_long"},
		"a = x" + strings.Repeat(" or a = x", maxFilterTests):   {At: 5 + 9*maxFilterTests - 5, Code: "filter.tests"},
		"a in (1" + strings.Repeat(",1", maxFilterValues) + ")": {At: 7 + 2*maxFilterValues - 1, Code: "filter.values"},
	} {
		_, err := ParseFilter(text)
		e, ok := errors.AsType[*FilterError](err)
		if !ok || e.At != want.At || e.Code != want.Code || e.Detail == "" {
			t.Errorf("%.40q: %v (%+v), want %s at %d", text, err, e, want.Code, want.At)
		}
	}
}

// FuzzParseFilter holds that no text breaks the parser, that a fault lies within
// the text, and that a filter written out is read as the same.
func FuzzParseFilter(f *testing.F) {
	for _, seed := range []string{
		`values.color.en-GB in ("red","blue") and enabled = true and listing.shop.state = rejected`,
		`not (a = 1 or b != 2 kg) and c is not empty`, `a not in (1,2,"x\"y")`, `((`, `"a"."b" starts with x`, `a = 1e400`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseFilter(text)
		if err != nil {
			e, ok := errors.AsType[*FilterError](err)
			if !ok || e.At < 0 || e.At > len(text) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		once := a.String()
		if len(once) > MaxFilterBytes { // quotes make it longer
			return
		}
		b, err := ParseFilter(once)
		if err != nil {
			t.Fatalf("%q is written as %q, which cannot be read: %v", text, once, err)
		}
		if again := b.String(); again != once {
			t.Fatalf("%q is written as %q, and then as %q", text, once, again)
		}
	})
}
