package importing

import (
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"
)

// Bounds of workbooks. A sheet is unpacked to disk and read row by row; what
// goes into memory whole is small.
const (
	maxBook    = 1 << 30  // bytes of the workbook as it was uploaded
	maxSheet   = 4 << 30  // bytes of a sheet, or of the shared texts, unpacked
	maxBookXML = 16 << 20 // bytes of each other part, unpacked
	maxStrings = 2_000_000
	inMemory   = 2 << 20 // bytes up to which a part is not unpacked to disk
)

// oleMagic begins the files of old Excel, and encrypted ones of the new.
var oleMagic = []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")

// sheetReader reads one sheet of an XLSX workbook. Its first row with a value
// is the header; rows without any are passed over.
//
// excelize gives what stands in the cells as text: numbers with the 15 digits
// that Excel itself keeps, dates as ISO 8601 whatever their format, other
// formats left off, but for those of nothing but zeros, which codes are shown by.
type sheetReader struct {
	book  *excelize.File
	rows  *excelize.Rows
	files []string // to be removed
	name  string
	at    int // row of the sheet
	last  int // row of the sheet that its file ends with
	row   int64
	t     table
}

// openSheet copies the workbook to disk, since a ZIP archive is read from its
// end, checks that it can be read within bounds, and opens the sheet: "" is the
// first one, a number counts from 1.
func openSheet(r *bufio.Reader, sheet string, known bool) (in reader, err error) {
	s := &sheetReader{t: newTable(true)}
	s.t.sheet = true
	defer func() {
		if panicked := recover(); panicked != nil { // of a library on a file that is out to break it
			err = faultf("the workbook is damaged: it cannot be opened")
		}
		if err != nil {
			s.close()
		}
	}()
	path, err := s.spool(r)
	if err != nil {
		return nil, err
	}
	if path, err = s.prune(path); err != nil {
		return nil, err
	}
	s.book, err = excelize.OpenFile(path, excelize.Options{UnzipSizeLimit: 3 * maxSheet, UnzipXMLSizeLimit: inMemory})
	if err != nil {
		return nil, faultf("the workbook cannot be opened: %v", err)
	}
	if err := s.choose(sheet, known); err != nil {
		return nil, err
	}
	s.plainFormats()
	if s.rows, err = s.book.Rows(s.name); err != nil {
		return nil, faultf("sheet %q cannot be read: %v", s.name, err)
	}
	fields, err := s.fields()
	if errors.Is(err, io.EOF) {
		return nil, faultf("sheet %q is empty", s.name)
	}
	if err != nil {
		return nil, err
	}
	if err := s.t.header(fields, fmt.Sprintf("row %d of sheet %s", s.at, s.name)); err != nil {
		return nil, err
	}
	return s, nil
}

// spool copies r to a file.
func (s *sheetReader) spool(r *bufio.Reader) (path string, err error) {
	head, _ := r.Peek(4096)
	if bytes.HasPrefix(head, oleMagic) {
		// The names of an OLE file's parts stand in its directory, in UTF-16.
		all, err := io.ReadAll(io.LimitReader(r, 4<<20))
		if err != nil {
			return "", err
		}
		if bytes.Contains(all, []byte("E\x00n\x00c\x00r\x00y\x00p\x00t\x00e\x00d\x00P\x00a\x00c\x00k\x00a\x00g\x00e\x00")) {
			return "", faultf("the workbook is password protected; save it without a password")
		}
		return "", faultf("the file is a workbook of old Excel (.xls), or another old Office file; save it as .xlsx or as CSV")
	}
	if !bytes.HasPrefix(head, []byte("PK")) {
		return "", faultf("the file is no XLSX workbook")
	}
	f, err := os.CreateTemp("", "sluice-import-*.xlsx")
	if err != nil {
		return "", err
	}
	s.files = append(s.files, f.Name())
	n, err := io.Copy(f, io.LimitReader(r, maxBook+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	if n > maxBook {
		return "", faultf("the workbook has more than %d bytes; save the sheet as CSV", maxBook)
	}
	return f.Name(), nil
}

// prune leaves only those parts of a workbook that its cells need, so that
// pictures and the like take no memory, and checks the bounds of these.
func (s *sheetReader) prune(path string) (string, error) {
	all, err := zip.OpenReader(path)
	if err != nil {
		return "", faultf("the workbook cannot be unpacked: %v", err)
	}
	defer func() { _ = all.Close() }()
	out, err := os.CreateTemp("", "sluice-import-*.xlsx")
	if err != nil {
		return "", err
	}
	defer out.Close()
	s.files = append(s.files, out.Name())
	w := zip.NewWriter(out)
	book := false
	seen := map[string]bool{}
	for _, f := range all.File {
		name := strings.ToLower(strings.ReplaceAll(f.Name, `\`, "/"))
		isSheet := strings.HasPrefix(name, "xl/worksheets/sheet")
		isTexts := name == "xl/sharedstrings.xml"
		book = book || name == "xl/workbook.xml"
		switch {
		case name == "mimetype":
			return "", faultf("the file is an OpenDocument or another archive, no XLSX workbook; save it as .xlsx or as CSV")
		case seen[name]:
			return "", faultf("the workbook has the part %s twice", clip(f.Name, 100))
		case isSheet || isTexts:
			if f.UncompressedSize64 > maxSheet {
				return "", faultf("part %s of the workbook has more than %d bytes; save the sheet as CSV", clip(f.Name, 100), int64(maxSheet))
			}
		case !isPart(name):
			continue
		case f.UncompressedSize64 > maxBookXML:
			return "", faultf("part %s of the workbook has more than %d bytes", clip(f.Name, 100), maxBookXML)
		}
		seen[name] = true
		if err := w.Copy(f); err != nil {
			return "", faultf("the workbook is damaged: %v", err)
		}
	}
	if !book {
		return "", faultf("the file is a ZIP archive, but no XLSX workbook; save the table as .xlsx or as CSV")
	}
	return out.Name(), w.Close()
}

// isPart reports the small parts of a workbook that are needed to read cells.
func isPart(name string) bool {
	switch name {
	case "[content_types].xml", "_rels/.rels", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml":
		return true
	}
	return strings.HasPrefix(name, "xl/worksheets/") && strings.HasSuffix(name, ".xml")
}

// choose finds the sheet, and scans what is read of the book row by row.
func (s *sheetReader) choose(want string, known bool) error {
	var names []string
	for _, name := range s.book.GetSheetList() {
		if _, err := s.book.GetSheetVisible(name); err == nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return faultf("the workbook has no sheets")
	}
	at := 0
	if want != "" {
		if at = slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, want) }); at < 0 {
			n, err := strconv.Atoi(want)
			if err != nil || n < 1 || n > len(names) {
				return faultf("the workbook has no sheet %q; there are: %s", want, some(names))
			}
			at = n - 1
		}
	}
	if want == "" && len(names) > 1 && !known {
		var err error
		if at, err = s.withSKUs(names); err != nil {
			return err
		}
	}
	if s.name = names[at]; want == "" && len(names) > 1 {
		s.t.note("file.sheet", "the workbook has the sheets %s: %s is read (sheet)", some(names), s.name)
	}
	return s.scan(at)
}

// maxTried is how many sheets of a workbook are tried for products.
const maxTried = 12

// withSKUs finds the first sheet whose header has a column of SKUs or GTINs; of
// a workbook that has none it is the first.
func (s *sheetReader) withSKUs(names []string) (int, error) {
	defer func() { s.name, s.at, s.last, s.rows = "", 0, 0, nil }()
	for at, name := range names[:min(len(names), maxTried)] {
		s.name, s.at, s.last = name, 0, 0
		if err := s.scan(at); err != nil {
			if at == 0 {
				return 0, err // as it would be without the others
			}
			continue
		}
		rows, err := s.book.Rows(name)
		if err != nil {
			continue
		}
		s.rows = rows
		fields, err := s.fields()
		if err == nil {
			_, err = s.fields() // a header alone is nobody's
		}
		_ = rows.Close() // it was only read
		if err == nil && slices.ContainsFunc(fields, func(f string) bool { return isSKUName(f) || hasWord(f, gtinWords) }) {
			return at, nil
		}
	}
	return 0, nil
}

// scan goes over the texts and the sheet once, so that nothing in them can
// take memory without bound, and a file that is broken off is noticed: excelize
// ends there as if that were the end.
func (s *sheetReader) scan(at int) error {
	z, err := zip.OpenReader(s.files[len(s.files)-1])
	if err != nil {
		return faultf("the workbook cannot be unpacked: %v", err)
	}
	defer func() { _ = z.Close() }()
	path, err := sheetPath(&z.Reader, s.name, at)
	if err != nil {
		return err
	}
	found := false
	for _, f := range z.File {
		name := strings.ToLower(strings.ReplaceAll(f.Name, `\`, "/"))
		isTexts := name == "xl/sharedstrings.xml"
		if !isTexts && name != strings.ToLower(path) {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return faultf("the workbook is damaged: %v", err)
		}
		tag := "row"
		if isTexts {
			tag = "si"
		}
		n, last, err := scanXML(r, tag)
		_ = r.Close()
		switch {
		case err != nil:
			return faultf("part %s of the workbook: %v", clip(f.Name, 100), err)
		case isTexts && n > maxStrings:
			return faultf("the workbook has more than %d different texts; save the sheet as CSV", maxStrings)
		case !isTexts:
			s.last, found = last, true
		}
	}
	if !found {
		return faultf("the workbook has no sheet %q", s.name)
	}
	return nil
}

// codeFormat is a number format that shows leading zeros, as codes have them.
var codeFormat = regexp.MustCompile(`^0{2,}$`)

// plainFormats takes the number formats off that would take digits from
// values, and makes those of dates ISO's.
func (s *sheetReader) plainFormats() {
	styles := s.book.Styles
	if styles == nil || styles.CellXfs == nil {
		return
	}
	formats := map[int]string{}
	if styles.NumFmts != nil {
		for _, f := range styles.NumFmts.NumFmt {
			if f != nil {
				formats[f.NumFmtID] = f.FormatCode
			}
		}
	}
	count := len(styles.CellXfs.Xf)
	own := func(code string) int {
		id, err := s.book.NewStyle(&excelize.Style{CustomNumFmt: &code})
		if err != nil || id >= len(styles.CellXfs.Xf) || styles.CellXfs.Xf[id].NumFmtID == nil {
			return 0
		}
		return *styles.CellXfs.Xf[id].NumFmtID
	}
	day, moment, hour := own("yyyy-mm-dd"), own("yyyy-mm-dd hh:mm:ss"), own("hh:mm:ss")
	none := 100 // the number of no format: the general one shows but ten digits of a long number
	for _, taken := formats[none]; taken; _, taken = formats[none] {
		none++
	}
	for i := range styles.CellXfs.Xf[:count] {
		xf := &styles.CellXfs.Xf[i]
		id := 0
		if xf.NumFmtID != nil {
			id = *xf.NumFmtID
		}
		code, custom := formats[id]
		plain := none
		switch date, clock := dateFormat(id, code); {
		case date && clock:
			plain = moment
		case date:
			plain = day
		case clock:
			plain = hour
		case custom && codeFormat.MatchString(code):
			continue
		}
		xf.NumFmtID = &plain
	}
}

// dateFormat tells what a number format shows: the built-in ones by their
// number (ECMA-376 part 1, 18.8.30), others by the letters outside of texts.
func dateFormat(id int, code string) (date, clock bool) {
	if code == "" {
		switch {
		case id >= 14 && id <= 17, id >= 27 && id <= 31, id == 36, id >= 50 && id <= 58:
			return true, false
		case id >= 18 && id <= 21, id >= 32 && id <= 35, id >= 45 && id <= 47:
			return false, true
		}
		return id == 22, id == 22
	}
	for i := 0; i < len(code); i++ {
		switch c := code[i]; c {
		case '"':
			if end := strings.IndexByte(code[i+1:], '"'); end >= 0 {
				i += end + 1
			}
		case '\\', '_', '*':
			i++
		case '[':
			end := strings.IndexByte(code[i:], ']')
			if end < 0 {
				return date, clock
			}
			if in := strings.ToLower(code[i+1 : i+end]); strings.Trim(in, "hms") == "" {
				clock = true
			}
			i += end
		case 'y', 'Y', 'd', 'D':
			date = true
		case 'h', 'H', 's', 'S':
			clock = true
		case 'G', 'g': // General
			if strings.HasPrefix(strings.ToLower(code[i:]), "general") {
				i += len("general") - 1
			}
		}
	}
	return date, clock
}

func (s *sheetReader) columns() *table { return &s.t }

func (s *sheetReader) close() {
	if s.rows != nil {
		_ = s.rows.Close()
	}
	if s.book != nil {
		_ = s.book.Close()
	}
	for _, f := range s.files {
		_ = os.Remove(f) // what is left over is the system's temporary file
	}
	s.files = nil
}

// fields gives the next row with a value in it.
func (s *sheetReader) fields() (fields []string, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = faultf("row %d of sheet %s cannot be read: the workbook is damaged", s.at, s.name)
		}
	}()
	for s.rows.Next() {
		s.at++
		fields, err := s.rows.Columns()
		if err != nil {
			return nil, faultf("row %d of sheet %s cannot be read: %v", s.at, s.name, err)
		}
		for len(fields) > 0 && strings.TrimSpace(fields[len(fields)-1]) == "" {
			fields = fields[:len(fields)-1]
		}
		if len(fields) > 0 {
			return fields, nil
		}
	}
	if err := s.rows.Error(); err != nil {
		return nil, faultf("sheet %s cannot be read behind row %d: %v", s.name, s.at, err)
	}
	if s.at < s.last {
		return nil, faultf("sheet %s cannot be read behind row %d, of %d: the workbook is damaged", s.name, s.at, s.last)
	}
	return nil, io.EOF
}

func (s *sheetReader) next(r *record) error {
	fields, err := s.fields()
	if err != nil {
		return err
	}
	s.row++
	r.row, r.bad, r.object, r.nul, r.stripped = s.row, nil, nil, false, r.stripped[:0]
	r.size = 0
	for _, f := range fields {
		r.size += len(f) + 1
	}
	switch {
	case r.size > maxRecord:
		r.bad = &problem{code: "row.too_large", text: fmt.Sprintf("row %d of the sheet has more than %d bytes", s.at, maxRecord)}
	case len(fields) > len(s.t.names):
		r.bad = &problem{
			value: clip(strings.Join(fields[len(s.t.names):], ","), 400), code: "row.columns",
			text: fmt.Sprintf("row %d of the sheet has values in %d columns, the header has %d", s.at, len(fields), len(s.t.names)),
		}
	default:
		for i, f := range fields {
			fields[i] = strings.ToValidUTF8(f, "\uFFFD")
		}
		for len(fields) < len(s.t.names) {
			fields = append(fields, "")
		}
		s.t.cells(r, fields)
	}
	return nil
}
