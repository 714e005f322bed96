package connectors

import (
	"html"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/text/unicode/norm"
)

var strict = sync.OnceValue(bluemonday.StrictPolicy)

// blockTag finds tags that stand for a break between words.
var blockTag = regexp.MustCompile(`(?i)</?(?:address|article|blockquote|br|dd|div|dl|dt|figcaption|figure|footer|h[1-6]|header|hr|li|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul)\b`)

// stripTags gives the text of HTML on one line: tags, comments, scripts and
// styles go, entities are decoded, runs of white space become one space. The
// result is text, and must be escaped again where it is put into HTML.
func stripTags(s string) string {
	if strings.ContainsRune(s, '<') {
		s = strict().Sanitize(blockTag.ReplaceAllString(s, " $0"))
	}
	return strings.Join(strings.Fields(html.UnescapeString(s)), " ")
}

// truncate shortens a text to at most n characters, at the end of a word where
// there is one, and never between a letter and its accents.
func truncate(s string, n int64) string {
	if n <= 0 {
		return ""
	}
	if int64(len(s)) <= n || int64(utf8.RuneCountInString(s)) <= n {
		return s
	}
	cut := 0
	for range n {
		_, size := utf8.DecodeRuneInString(s[cut:])
		cut += size
	}
	head := s[:cut]
	if next, _ := utf8.DecodeRuneInString(s[cut:]); !unicode.IsSpace(next) {
		if word := strings.LastIndexFunc(head, unicode.IsSpace); word > 0 {
			head = head[:word]
		} else {
			head = wholeCharacters(head, next)
		}
	}
	return strings.TrimRightFunc(head, unicode.IsSpace)
}

// wholeCharacters takes the last letter away whose accents, or whose joined
// parts, would begin with next.
func wholeCharacters(head string, next rune) string {
	const joiner = '\u200d'
	for head != "" {
		last, size := utf8.DecodeLastRuneInString(head)
		if !unicode.Is(unicode.M, next) && next != joiner && last != joiner {
			return head
		}
		head, next = head[:len(head)-size], last
	}
	return head
}

// letters that are no base letter with an accent.
var letters = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "đ", "d", "ð", "d", "ł", "l", "þ", "th", "ı", "i")

// slug writes a text as a part of a URL: lower case, letters without accents,
// digits, and single '-' for everything else. Other scripts keep their letters.
func slug(s string) string {
	var b strings.Builder
	pending := false
	for _, r := range letters.Replace(norm.NFD.String(strings.ToLower(s))) {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if pending && b.Len() > 0 {
				b.WriteByte('-')
			}
			pending = false
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r) && r < 0x370, r == '\'', r == '’':
		case unicode.Is(unicode.M, r): // vowel signs of other scripts belong to their letter
			if !pending {
				b.WriteRune(r)
			}
		default:
			pending = true
		}
	}
	return norm.NFC.String(b.String())
}

func lower(s string) string { return strings.ToLower(s) }

func upper(s string) string { return strings.ToUpper(s) }

// TextLimits bound those functions of CEL's strings extension whose work can be
// the product of their arguments' lengths. CEL counts a call's cost after it,
// which is too late for them.
type TextLimits struct {
	Result int // bytes that a function may make
	Search int // length of a text times that of what is looked for in it
}

// Functions are the bounded functions by their names in CEL. Their results are
// the extension's own.
func (l TextLimits) Functions() map[string]func(args ...ref.Val) ref.Val {
	return map[string]func(args ...ref.Val) ref.Val{
		"replace":     l.replace,
		"join":        l.join,
		"indexOf":     func(args ...ref.Val) ref.Val { return l.find(args, false) },
		"lastIndexOf": func(args ...ref.Val) ref.Val { return l.find(args, true) },
	}
}

// boundedText are the functions of mappings.
var boundedText = TextLimits{Result: 1 << 20, Search: 1 << 26}.Functions()

func (l TextLimits) replace(args ...ref.Val) ref.Val {
	s, ok1 := args[0].(types.String)
	from, ok2 := args[1].(types.String)
	to, ok3 := args[2].(types.String)
	if !ok1 || !ok2 || !ok3 {
		return types.NoSuchOverloadErr()
	}
	times := -1
	if len(args) == 4 {
		n, ok := args[3].(types.Int)
		if !ok {
			return types.NoSuchOverloadErr()
		}
		times = int(max(-1, min(n, types.Int(l.Result))))
	}
	count := strings.Count(string(s), string(from))
	if times >= 0 {
		count = min(count, times)
	}
	if len(s)+count*max(0, len(to)-len(from)) > l.Result {
		return types.WrapErr(errTooLarge)
	}
	return types.String(strings.Replace(string(s), string(from), string(to), times))
}

func (l TextLimits) join(args ...ref.Val) ref.Val {
	list, ok := args[0].(traits.Lister)
	if !ok {
		return types.NoSuchOverloadErr()
	}
	separator := types.String("")
	if len(args) == 2 {
		if separator, ok = args[1].(types.String); !ok {
			return types.NoSuchOverloadErr()
		}
	}
	var b strings.Builder
	first := true
	for it := list.Iterator(); it.HasNext() == types.True; first = false {
		s, ok := it.Next().(types.String)
		if !ok {
			return types.NewErr("join takes a list of texts")
		}
		if !first {
			b.WriteString(string(separator))
		}
		b.WriteString(string(s))
		if b.Len() > l.Result {
			return types.WrapErr(errTooLarge)
		}
	}
	return types.String(b.String())
}

// find is indexOf and lastIndexOf; places are counted in characters. What is
// looked for in vain is at -1; an empty text is found at once, a start below 0
// is an error, and one beyond the end finds nothing, or the end when going back.
func (l TextLimits) find(args []ref.Val, last bool) ref.Val {
	s, ok1 := args[0].(types.String)
	sub, ok2 := args[1].(types.String)
	if !ok1 || !ok2 {
		return types.NoSuchOverloadErr()
	}
	length := utf8.RuneCountInString(string(s))
	from := 0
	if last {
		from = length
	}
	if len(args) == 3 {
		offset, ok := args[2].(types.Int)
		if !ok {
			return types.NoSuchOverloadErr()
		}
		if offset < 0 {
			return types.NewErr("index out of range: %d", offset)
		}
		from = int(min(offset, types.Int(length)))
		if sub != "" && offset >= types.Int(length) {
			return types.Int(-1)
		}
	}
	if len(s)*len(sub) > l.Search {
		return types.WrapErr(errTooLarge)
	}
	start := byteOffset(string(s), from)
	if !last {
		if i := strings.Index(string(s[start:]), string(sub)); i >= 0 {
			return types.Int(from + utf8.RuneCountInString(string(s[start:start+i])))
		}
		return types.Int(-1)
	}
	if i := strings.LastIndex(string(s[:min(len(s), start+len(sub))]), string(sub)); i >= 0 {
		return types.Int(utf8.RuneCountInString(string(s[:i])))
	}
	return types.Int(-1)
}

// byteOffset is where the nth character begins.
func byteOffset(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}
