package api

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/media"
	"github.com/sluicehub/sluice/pim/postgres"
)

const (
	typeForm = "multipart/form-data"
	// maxIntake is how many files a process looks at at once: each is in memory
	// as a whole for that.
	maxIntake = 4
	// formSlack is what a form may have around its file, in bytes.
	formSlack = 1 << 20
	// storeMay bounds what follows when a file has come.
	storeMay = 2 * time.Minute
)

// RawRequest takes the request itself from huma: a file is not read into memory.
type RawRequest struct {
	w http.ResponseWriter
	r *http.Request
}

// Resolve implements huma.Resolver.
func (in *RawRequest) Resolve(ctx huma.Context) []error {
	in.r, in.w = humago.Unwrap(ctx)
	return nil
}

type createAsset struct{ RawRequest }

type putAsset struct {
	CodePath
	Preconditions
	RawRequest
}

func (s *server) registerAssetUploads() {
	text := &huma.Schema{Type: huma.TypeString}
	form := func(code bool) *huma.MediaType {
		fields := map[string]*huma.Schema{
			"file":     {Type: huma.TypeString, Format: "binary"},
			"filename": {Type: huma.TypeString, Description: "Left out: the file's own"},
			"labels":   {Type: huma.TypeString, Description: "JSON object: alternative texts by locale"},
			"focal":    {Type: huma.TypeString, Description: "What crops keep, as x,y from 0 to 1, counted from the upper left: 0.5,0.3"},
		}
		if code {
			fields["code"] = text
		}
		return &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeObject, Required: []string{"file"}, Properties: fields}}
	}
	// Bodies are told only when huma has registered: it would read them itself, into memory.
	o := op("create-asset", http.MethodPost, "/v1/assets", tagMedia, "Store a file, or have one fetched from a URL",
		says("A form's file is stored at once, under its code or one made of its content: 201, or 200 when it is there already. What is no image that can "+
			"be read is stored as well, and error says so. A URL, as JSON, is a 202: it is fetched by a task."),
		takesLong, creates)
	handle(s, o, s.createAsset)
	post := s.api.OpenAPI().Paths[o.Path].Post
	post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{typeForm: form(true), typeJSON: {Schema: schemaOf[AssetURL](s)}}}
	later := *post.Responses["200"]
	later.Description = http.StatusText(http.StatusAccepted)
	post.Responses["202"] = &later

	o = op("put-asset", http.MethodPut, "/v1/assets/{code}", tagMedia, "Replace an asset's file, creating the asset when there is none",
		says("What the form does not say of labels and focal point stays. What was made of the old file is made anew of this one, and channels are sent that."),
		takesLong, creates)
	handle(s, o, s.putAsset)
	s.api.OpenAPI().Paths[o.Path].Put.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{typeForm: form(false)}}
}

// sentFile is a file that has come whole, and what its form says of it.
type sentFile struct {
	*upload
	code   string
	focal  *media.Point
	labels map[pim.Locale]string // nil: the form says nothing of them
}

// receiveFile reads a form into a temporary file.
func (s *server) receiveFile(w http.ResponseWriter, r *http.Request, withCode bool) (*sentFile, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != typeForm {
		return nil, problem(http.StatusUnsupportedMediaType, "media-type", "the body's Content-Type is to be "+typeForm)
	}
	const most = jobs.MaxAsset + formSlack
	if r.ContentLength > most {
		return nil, jobs.ErrTooLarge
	}
	fields := map[string]string{"filename": "", "labels": "", "focal": ""}
	if withCode {
		fields["code"] = ""
	}
	body := &paced{rc: http.NewResponseController(w), from: http.MaxBytesReader(w, r.Body, most), end: time.Now().Add(uploadMost)}
	f := &sentFile{upload: &upload{formed: map[string]bool{}}}
	err := s.fill(f.upload, r, body, fields)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		err = jobs.ErrTooLarge
	}
	if err == nil {
		err = f.read(fields)
	}
	if err == nil {
		err = f.measure()
	}
	if err != nil {
		f.discard()
		return nil, err
	}
	_ = body.rc.SetReadDeadline(time.Time{}) // nothing more is to come
	return f, nil
}

// read makes sense of the form's fields.
func (f *sentFile) read(fields map[string]string) error {
	f.code = fields["code"]
	if f.code != "" {
		if err := pim.ValidCode("asset", f.code); err != nil {
			return badParameter("form.code", "code", err.Error())
		}
	}
	if f.formed["filename"] {
		f.filename = fields["filename"]
	}
	if f.filename != "" {
		f.filename = fileName(f.filename, "")
	}
	if text := fields["focal"]; text != "" {
		p, err := ReadFocal(text)
		if err != nil {
			return badParameter("form.focal", "focal", err.Error())
		}
		f.focal = p
	}
	if text := fields["labels"]; text != "" {
		labels, err := decode[map[pim.Locale]string]([]byte(text), nil)
		if err != nil {
			return f.placed(pim.Under("/labels", err))
		}
		f.labels = labels
	}
	return nil
}

// ReadFocal reads a focal point as forms and flags have it, such as 0.5,0.3.
func ReadFocal(text string) (*media.Point, error) {
	x, y, _ := strings.Cut(text, ",")
	px, err := strconv.ParseFloat(strings.TrimSpace(x), 64)
	py, err2 := strconv.ParseFloat(strings.TrimSpace(y), 64)
	p := media.Point{X: px, Y: py}
	if errors.Join(err, err2, checkFocal(p)) != nil {
		return nil, errors.New("a focal point is two numbers from 0 to 1 with a comma between them, such as 0.5,0.3")
	}
	return &p, nil
}

// measure refuses a file that is empty, or too large.
func (f *sentFile) measure() error {
	st, err := f.file.Stat()
	switch {
	case err != nil:
		return err
	case st.Size() > jobs.MaxAsset:
		return jobs.ErrTooLarge
	case st.Size() == 0:
		return badParameter("form.file", "file.empty", "the file is empty")
	}
	return nil
}

func (s *server) createAsset(ctx context.Context, in *createAsset) (*storedAnswer, error) {
	m, err := s.media()
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(in.r.Header.Get("Content-Type"))
	if kind != typeForm { // JSON, or nothing, which counts as JSON
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return s.promiseAsset(ctx, m, in)
	}
	f, err := s.receiveFile(in.w, in.r, true)
	if err != nil {
		return nil, err
	}
	defer f.discard()
	return s.storeFile(ctx, m, f, false, func(*postgres.Asset) error { return nil })
}

func (s *server) putAsset(ctx context.Context, in *putAsset) (*storedAnswer, error) {
	m, err := s.media()
	if err != nil {
		return nil, err
	}
	if err := pim.ValidCode("asset", in.Code); err != nil {
		return nil, badParameter("path.code", "code", err.Error())
	}
	want, p := parseIfMatch(in.IfMatch)
	if p != nil {
		return nil, p
	}
	f, err := s.receiveFile(in.w, in.r, false)
	if err != nil {
		return nil, err
	}
	defer f.discard()
	f.code = in.Code
	return s.storeFile(ctx, m, f, true, func(old *postgres.Asset) error {
		switch {
		case !want.given:
		case old == nil:
			return problem(http.StatusPreconditionFailed, "stale", "there is no such asset")
		case !want.any && !slices.Contains(want.revisions, old.Rev):
			return stale(old.Rev)
		}
		return nil
	})
}

// storeFile stores a file under its code, if may allows what it is to replace
// (nil: nothing). What the form does not say is as it was.
func (s *server) storeFile(ctx context.Context, m *jobs.Media, f *sentFile, replace bool, may func(old *postgres.Asset) error) (*storedAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, storeMay)
	defer cancel()
	select {
	case s.intake <- struct{}{}:
		defer func() { <-s.intake }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	a, created, changed, err := m.Keep(ctx, jobs.Sent{
		Code: f.code, Filename: f.filename, Named: f.formed["filename"], Focal: f.focal, Labels: f.labels, Replace: replace,
		Check: func(old *postgres.Asset) error {
			var known map[pim.Locale]string
			if old != nil {
				known = old.Labels
			}
			if err := may(old); err != nil {
				return err
			}
			return f.placed(s.checkLabels(ctx, f.labels, known))
		},
	}, f.file)
	if errors.Is(err, postgres.ErrExists) {
		return nil, problem(http.StatusConflict, "exists", "there is another file under this code; PUT replaces it")
	}
	if err != nil {
		return nil, err
	}
	if changed {
		s.wakeMedia()
	}
	v, err := s.showAsset(ctx, m, a.Code)
	if err != nil {
		return nil, err
	}
	out := &storedAnswer{Status: http.StatusOK, ETag: etag(v.Revision), Body: StoredAsset{Created: created, Changed: changed, Asset: v}}
	if created {
		out.Status, out.Location = http.StatusCreated, assetAddress(a.Code)
	}
	return out, nil
}

func assetAddress(code string) string { return "/v1/assets/" + url.PathEscape(code) }

// promiseAsset has an asset fetched.
func (s *server) promiseAsset(ctx context.Context, m *jobs.Media, in *createAsset) (*storedAnswer, error) {
	body, err := io.ReadAll(http.MaxBytesReader(in.w, in.r.Body, maxEdit))
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, err
		}
		return nil, problem(http.StatusBadRequest, "bad-request", "the body cannot be read to its end")
	}
	if len(body) == 0 {
		return nil, problem(http.StatusBadRequest, "bad-request", "request body is required")
	}
	want, err := decode[AssetURL](body, nil)
	if err != nil {
		return nil, err
	}
	if err := want.Check(); err != nil {
		return nil, err
	}
	code := want.Code
	if code == "" {
		code = postgres.AssetCode(want.URL)
	}
	old, err := s.Store.Asset(ctx, code)
	there := err == nil
	switch {
	case there && old.Source != want.URL:
		return nil, problem(http.StatusConflict, "exists", "that code is another asset's")
	case !there && !errors.Is(err, postgres.ErrNotFound):
		return nil, err
	}
	if _, err := s.Store.AddURLAsset(ctx, want.Code, want.URL); err != nil {
		return nil, err
	}
	s.Wake(postgres.Consumer{Kind: postgres.Fetch})
	v, err := s.showAsset(ctx, m, code)
	if err != nil {
		return nil, err
	}
	return &storedAnswer{
		Status: http.StatusAccepted, ETag: etag(v.Revision), Location: assetAddress(code), Body: StoredAsset{Created: !there, Changed: !there, Asset: v},
	}, nil
}

// Check says what is wrong with it, as a *pim.Invalid.
func (a AssetURL) Check() error {
	var problems []pim.Problem
	u, err := url.Parse(a.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(a.URL) > maxAssetURL:
		problems = append(problems, pim.Problem{Pointer: "/url", Code: "url", Detail: "an http or https URL of at most " + strconv.Itoa(maxAssetURL) + " characters is expected"})
	case u.User != nil:
		problems = append(problems, pim.Problem{Pointer: "/url", Code: "url.secret", Detail: "a user and password in a URL would be shown to all who see the asset"})
	}
	if a.Code != "" {
		if err := pim.ValidCode("asset", a.Code); err != nil {
			problems = append(problems, pim.Problem{Pointer: "/code", Code: "code", Detail: err.Error()})
		}
	}
	if len(problems) > 0 {
		return &pim.Invalid{Problems: problems}
	}
	return nil
}
