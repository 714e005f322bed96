package akeneo

import (
	"strings"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// Patterns of Akeneo's own checks of texts.
const (
	emailPattern = `[^@\s]+@[^@\s]+\.[^@\s]+`
	urlPattern   = `https?://\S+`
)

// rules takes over what Akeneo checks of an attribute's values. A rule that there is
// not here is told, and left out.
func (f *Folder) rules(a *attribute, l *line) {
	take := func(column string, set func(r *pim.Attribute)) {
		next := a.Attribute
		set(&next)
		bare := next
		bare.Group = "" // which is the folder's to make
		if len((&pim.Schema{}).CheckAttribute(&bare, "")) == 0 {
			a.Attribute = next
			return
		}
		f.note(Finding{File: l.file, Line: l.at, Column: column, Value: l.get(column), Code: "attribute.rule", Text: "there is no such rule here: it is left out"})
	}
	if l.get("unique") == "1" && a.kind != asIdentifier {
		take("unique", func(r *pim.Attribute) { r.Unique = true })
	}
	switch a.Type {
	case pim.TypeText:
		switch l.get("validation_rule") {
		case "email":
			take("validation_rule", func(r *pim.Attribute) { r.Pattern = emailPattern })
		case "url":
			take("validation_rule", func(r *pim.Attribute) { r.Pattern = urlPattern })
		case "regexp":
			take("validation_regexp", func(r *pim.Attribute) { r.Pattern = patternOf(l.get("validation_regexp")) })
		}
	case pim.TypeNumber:
		if l.get("decimals_allowed") == "0" {
			take("decimals_allowed", func(r *pim.Attribute) { r.Decimals = new(0) })
		}
		if l.get("negative_allowed") == "0" {
			take("negative_allowed", func(r *pim.Attribute) { r.Min = "0" })
		}
		if n := l.get("number_min"); n != "" {
			take("number_min", func(r *pim.Attribute) { r.Min = pim.Number(n) })
		}
		if n := l.get("number_max"); n != "" {
			take("number_max", func(r *pim.Attribute) { r.Max = pim.Number(n) })
		}
	case pim.TypeDate:
		if day := dayOf(l.get("date_min")); day != "" {
			take("date_min", func(r *pim.Attribute) { r.MinDate = day })
		}
		if day := dayOf(l.get("date_max")); day != "" {
			take("date_max", func(r *pim.Attribute) { r.MaxDate = day })
		}
	}
}

// dayOf is the day of a date that may have a time behind it.
func dayOf(s string) string {
	day := s[:min(len(s), len(time.DateOnly))]
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return ""
	}
	return day
}

// patternOf makes a pattern that the whole of a text matches of an expression as PHP
// has it, which is found anywhere in it: /^[a-z]+$/i.
func patternOf(s string) string {
	if s == "" {
		return ""
	}
	end := strings.LastIndexByte(s, s[0])
	if end < 1 || strings.ContainsAny(s[:1], `\abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789^(`) {
		return "(?s:.*)(?:" + s + ")(?s:.*)"
	}
	expression, flags := s[1:end], ""
	for _, flag := range s[end+1:] {
		switch flag {
		case 'i', 's', 'm':
			flags += string(flag)
		case 'u', 'D': // of PHP's own, and always so here
		default:
			return "(" // another language's: no pattern
		}
	}
	if flags != "" {
		expression = "(?" + flags + ")" + expression
	}
	if inner, ok := strings.CutPrefix(expression, "^"); ok && !strings.ContainsAny(inner, "|") && strings.HasSuffix(inner, "$") && !strings.HasSuffix(inner, `\$`) {
		return strings.TrimSuffix(inner, "$")
	}
	return "(?s:.*)(?:" + expression + ")(?s:.*)"
}
