package jobs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/sluicehub/sluice/pim"
)

// CategoryFormat is how a file of categories is written.
type CategoryFormat string

// The formats. CSV has the columns code, parent and label-LOCALE, as Akeneo
// exports them (https://docs.akeneo.com/latest/import_and_export_data/index.html); google is the
// taxonomy of Google Merchant Center with ids, a line "ID - A > B > C" each
// (https://support.google.com/merchants/answer/6324436), one language a file.
const (
	CategoriesCSV    CategoryFormat = "csv"
	CategoriesGoogle CategoryFormat = "google"
)

// CategoryFile is a file of categories, and how it is to be understood.
type CategoryFile struct {
	Name   string         // for messages, and for what is not said below
	Format CategoryFormat // "": by the first line
	Locale pim.Locale     // google: of its labels; "": by the name, as in taxonomy-with-ids.de-DE.txt
	Prefix string         // before each code
	Root   string         // code of the root that all roots of the file stand below; "": none
	Body   io.Reader
}

// maxCategoryLine bounds a line of a file, in bytes.
const maxCategoryLine = 1 << 20

// CategoryEdits makes edits of files of categories. A category that stands in
// several, as in a taxonomy of several languages, is one with the labels of all;
// its parent is the first file's. Labels that no file names stay, as do positions; what is
// new goes last among its siblings, in the files' order. The error is *pim.Invalid with
// pointers into the file of the fault, such as "/line/7".
func CategoryEdits(files ...CategoryFile) ([]pim.CategoryEdit, error) {
	j := joining{at: map[string]int{}}
	for i := range files {
		f := &files[i]
		if f.Root != "" {
			j.add(pim.CategoryEdit{Code: f.Root}, "")
		}
		in := bufio.NewReaderSize(f.Body, maxCategoryLine)
		format, err := formatOf(f, in)
		if err != nil {
			return nil, fmt.Errorf("read categories from %s: %w", f.Name, err)
		}
		if format == CategoriesGoogle {
			err = j.google(f, in)
		} else {
			err = j.csv(f, in)
		}
		if err != nil {
			return nil, fmt.Errorf("read categories from %s: %w", f.Name, err)
		}
	}
	return j.edits, nil
}

// formatOf looks at the beginning of a file: a taxonomy begins with a comment, or
// with a number.
func formatOf(f *CategoryFile, in *bufio.Reader) (CategoryFormat, error) {
	if f.Format != "" {
		return f.Format, nil
	}
	head, err := in.Peek(200)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line, _, _ := bytes.Cut(bytes.TrimPrefix(head, []byte("\uFEFF")), []byte("\n"))
	if _, _, ok := taxon(string(line)); ok || bytes.HasPrefix(line, []byte("# Google")) {
		return CategoriesGoogle, nil
	}
	return CategoriesCSV, nil
}

// joining are the edits that files come to.
type joining struct {
	edits []pim.CategoryEdit
	at    map[string]int // code → its edit
}

// add adds a category, or its labels to the one that there is.
func (j *joining) add(e pim.CategoryEdit, root string) {
	if e.Parent == "" && e.Code != root {
		e.Parent = root
	}
	e.Merge = true
	if i, known := j.at[e.Code]; known {
		for l, label := range e.Labels {
			if j.edits[i].Labels == nil {
				j.edits[i].Labels = map[pim.Locale]string{}
			}
			if j.edits[i].Labels[l] == "" {
				j.edits[i].Labels[l] = label
			}
		}
		return
	}
	j.at[e.Code] = len(j.edits)
	j.edits = append(j.edits, e)
}

func (j *joining) csv(f *CategoryFile, in io.Reader) error {
	s, err := openSheet(in, pim.MaxCategories, "code")
	if err != nil {
		return err
	}
	locales := map[string]pim.Locale{}
	for name := range s.at {
		written, is := strings.CutPrefix(name, "label-")
		if !is {
			continue
		}
		tag, err := language.Raw.Parse(written)
		if err != nil {
			return invalidText("", "csv.column", fmt.Sprintf("the column %q names no locale", name))
		}
		locales[name] = pim.Locale(tag.String())
	}
	seen := map[string]int{}
	for {
		err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		place := "/line/" + strconv.Itoa(s.line)
		e := pim.CategoryEdit{Code: prefixed(f.Prefix, s.cell("code")), Parent: prefixed(f.Prefix, s.cell("parent")), Labels: map[pim.Locale]string{}}
		for column, locale := range locales {
			label := strings.TrimSpace(s.cell(column))
			if !utf8.ValidString(label) {
				return invalidText(place, "csv.encoding", fmt.Sprintf("column %s is not UTF-8 text", column))
			}
			if label != "" {
				e.Labels[locale] = label
			}
		}
		if line := seen[e.Code]; line > 0 {
			return invalidText(place, "category.twice", fmt.Sprintf("category %q stands in line %d already", e.Code, line))
		}
		seen[e.Code] = s.line
		j.add(e, f.Root)
	}
}

func prefixed(prefix, code string) string {
	if code = strings.TrimSpace(code); code == "" {
		return ""
	}
	return prefix + code
}

func (j *joining) google(f *CategoryFile, in io.Reader) error {
	locale := f.Locale
	if locale == "" {
		parts := strings.Split(path.Base(f.Name), ".")
		if len(parts) > 2 {
			locale = pim.Locale(parts[len(parts)-2])
		}
		if pim.ValidLocale(locale) != nil {
			return invalidText("", "locale", "the file's name does not tell the language of its labels: say it")
		}
	}
	codes := map[string]string{} // whole path → code
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxCategoryLine)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\uFEFF"))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		place := "/line/" + strconv.Itoa(n)
		id, names, ok := taxon(line)
		switch {
		case !ok || !utf8.ValidString(line):
			return invalidText(place, "category.line", "is no line such as 537 - A > B > C")
		case n > pim.MaxCategories:
			return invalidText(place, "category.many", fmt.Sprintf("there are at most %d categories", pim.MaxCategories))
		}
		code, parent := f.Prefix+id, ""
		if above := names[:len(names)-1]; len(above) > 0 {
			if parent = codes[strings.Join(above, "\x00")]; parent == "" {
				return invalidText(place, "category.parent", fmt.Sprintf("no line before it is %q", strings.Join(above, " > ")))
			}
		}
		codes[strings.Join(names, "\x00")] = code
		j.add(pim.CategoryEdit{Code: code, Parent: parent, Labels: map[pim.Locale]string{locale: names[len(names)-1]}}, f.Root)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return invalidText("", "category.line", fmt.Sprintf("has a line of more than %d bytes", maxCategoryLine))
	}
	return lines.Err()
}

// taxon takes a line "ID - A > B > C" apart.
func taxon(line string) (id string, names []string, ok bool) {
	id, rest, ok := strings.Cut(strings.TrimSpace(line), " - ")
	if _, err := strconv.ParseUint(id, 10, 63); err != nil || !ok {
		return "", nil, false
	}
	for name := range strings.SplitSeq(rest, " > ") {
		names = append(names, strings.TrimSpace(name))
	}
	return id, names, !slices.Contains(names, "")
}

// NamedCategories gives problems of edits, whose pointers count edits, the codes
// of the categories instead: "/shoes/parent".
func NamedCategories(invalid *pim.Invalid, edits []pim.CategoryEdit) *pim.Invalid {
	out := &pim.Invalid{Problems: slices.Clone(invalid.Problems)}
	for i, p := range out.Problems {
		head, rest, _ := strings.Cut(strings.TrimPrefix(p.Pointer, "/"), "/")
		if n, err := strconv.Atoi(head); err == nil && n >= 0 && n < len(edits) {
			out.Problems[i].Pointer = pim.JoinPointer("", edits[n].Code) + "/" + rest
		}
	}
	return out
}
