package api

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sluicehub/sluice/jobs/importing"
	"github.com/sluicehub/sluice/pim"
)

const (
	// stall is how long an upload may bring nothing; uploadMost is how long it
	// may take in all.
	stall       = 20 * time.Second
	uploadMost  = time.Hour
	maxField    = 256 << 10 // bytes of one field of a form
	maxFileName = 255
)

// upload is a file that has come whole, with its options.
type upload struct {
	filename string
	options  importing.Options
	file     *os.File
	formed   map[string]bool // fields that the form said, not the address
}

func (u *upload) discard() {
	if u.file != nil {
		_ = u.file.Close()
		_ = os.Remove(u.file.Name()) // a left-over is the system's temporary file
	}
}

// receive reads an upload into a temporary file. It is stored from there: a
// slow client must hold no transaction open, and the fields of a form may come
// behind its file.
func (s *server) receive(in *createImport) (*upload, error) {
	if in.r.ContentLength > s.MaxUpload {
		return nil, &http.MaxBytesError{Limit: s.MaxUpload}
	}
	body := &paced{
		rc: http.NewResponseController(in.w), from: http.MaxBytesReader(in.w, in.r.Body, s.MaxUpload), end: time.Now().Add(uploadMost),
	}
	fields := in.fields()
	u := &upload{filename: in.Filename, formed: map[string]bool{}}
	err := s.fill(u, in.r, body, fields)
	if err == nil {
		u.options, err = readOptions(fields)
		err = u.placed(err)
	}
	if err == nil {
		_, err = u.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		u.discard()
		return nil, err
	}
	_ = body.rc.SetReadDeadline(time.Time{}) // nothing more is to come
	u.filename = fileName(u.filename, in.r.Header.Get("Content-Type"))
	return u, nil
}

// fill stores the file, and the fields of a form over those of the address.
func (s *server) fill(u *upload, r *http.Request, body io.Reader, fields map[string]string) error {
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "multipart/form-data" {
		return s.keep(u, body)
	}
	if params["boundary"] == "" {
		return problem(http.StatusBadRequest, "bad-request", "the form names no boundary")
	}
	r.Body = io.NopCloser(body)
	form, err := r.MultipartReader()
	if err != nil {
		return problem(http.StatusBadRequest, "bad-request", "the form cannot be read")
	}
	for parts := 0; ; parts++ {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return formError(err)
		}
		name := part.FormName()
		_, known := fields[name]
		switch {
		case parts > len(fields):
			return problem(http.StatusUnprocessableEntity, "invalid", "the form has too many fields")
		case name == "file" && u.file != nil:
			return badParameter("form.file", "field.twice", "one file at a time")
		case name == "file":
			if part.FileName() != "" {
				u.filename = part.FileName()
			}
			if err := s.keep(u, part); err != nil {
				return formError(err)
			}
		case known:
			text, err := io.ReadAll(io.LimitReader(part, maxField+1))
			if err != nil {
				return formError(err)
			}
			if len(text) > maxField {
				return badParameter("form."+name, "field.size", "the field is too long")
			}
			if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
				return badParameter("form."+name, "text", "not UTF-8, or with U+0000")
			}
			fields[name], u.formed[name] = string(text), true
		default:
			return badParameter("form."+clip(name), "field.unknown", "there is no such field")
		}
	}
	if u.file == nil {
		return badParameter("form.file", "field.missing", "the form has no file")
	}
	return nil
}

// formError keeps what paced and MaxBytesReader say; else the form is broken.
func formError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return err
	}
	return problem(http.StatusBadRequest, "bad-request", "the form cannot be read to its end")
}

func (s *server) keep(u *upload, from io.Reader) (err error) {
	if u.file, err = os.CreateTemp(s.TempDir, "sluice-upload-"); err != nil {
		return err
	}
	_, err = io.Copy(u.file, from)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return problem(http.StatusBadRequest, "bad-request", "the file ended before its announced length")
	}
	return err
}

// readOptions makes importing.Options of the fields, each a parameter's text.
func readOptions(fields map[string]string) (importing.Options, error) {
	o := map[string]any{}
	for name, text := range fields {
		switch name {
		case "dry_run", "map":
		case "axes":
			if text != "" {
				var axes []any
				for part := range strings.SplitSeq(text, ",") {
					axes = append(axes, strings.TrimSpace(part))
				}
				o[name] = axes
			}
		default:
			if text != "" {
				o[name] = text
			}
		}
	}
	if text := fields["dry_run"]; text != "" {
		is, err := strconv.ParseBool(text)
		if err != nil {
			return importing.Options{}, badParameter("form.dry_run", "field.type", "true or false is expected")
		}
		o["dry_run"] = is
	}
	if fields["map"] != "" {
		m, err := pim.DecodeJSON([]byte(fields["map"]), 0)
		if err != nil {
			return importing.Options{}, pim.Under("/map", err)
		}
		o["map"] = m
	}
	out, err := bind[importing.Options](o, nil)
	if err != nil {
		return out, err
	}
	return out, out.Check()
}

// placed says where the faults of options stand: in a parameter of the address,
// or in a field of the form. The file is the body, so no pointer leads to them;
// what it says beyond the option's name, as of one field of a map, goes before
// the detail.
func (u *upload) placed(err error) error {
	invalid, ok := errors.AsType[*pim.Invalid](err)
	if !ok {
		return err
	}
	p := badParameter("", "", "")
	p.Errors = nil
	for _, f := range invalid.Problems {
		name, within, _ := strings.Cut(strings.TrimPrefix(f.Pointer, "/"), "/")
		if within != "" {
			f.Detail = "/" + within + ": " + f.Detail
		}
		in := "query."
		if u.formed[name] {
			in = "form."
		}
		p.Errors = append(p.Errors, inParameter(in+name, f.Code, f.Detail))
	}
	return p
}

// fileName is a name fit to be shown; its ending says what the file is, and
// one is made up of the media type where there is none.
func fileName(name, contentType string) string {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
	if len(name) > maxFileName { // from the front: the ending counts
		name = strings.ToValidUTF8(name[len(name)-maxFileName:], "")
	}
	if name != "" && name != "." && name != ".." && name != "/" {
		return name
	}
	kind, _, _ := mime.ParseMediaType(contentType)
	switch kind {
	case typeJSON:
		return "upload.json"
	case typeNDJSON, "application/jsonl":
		return "upload.jsonl"
	case typeCSV:
		return "upload.csv"
	case typeTSV:
		return "upload.tsv"
	case typeXLSX:
		return "upload.xlsx"
	}
	return "upload"
}

// paced lifts the server's limit on a request's time for as long as bytes keep
// coming.
type paced struct {
	rc   *http.ResponseController
	from io.Reader
	end  time.Time
}

// Read reads on, and sets the time by which the next bytes must be there.
func (p *paced) Read(b []byte) (int, error) {
	limit := time.Now().Add(stall)
	if limit.After(p.end) {
		limit = p.end
	}
	_ = p.rc.SetReadDeadline(limit) // a test's recorder knows none
	return p.from.Read(b)
}
