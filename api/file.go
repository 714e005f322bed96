package api

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim/blob"
)

const (
	// maxSending is how many files a process sends at once. Each takes a buffer
	// and a few goroutines; who finds none free comes back.
	maxSending = 256
	// sendMost is how long the sending of one file may take.
	sendMost = 15 * time.Minute
	// forEver is how long caches may keep what never changes: a year (RFC 9111 has no longer).
	forEver = 365 * 24 * time.Hour
	// filePolicy keeps what a browser is shown from doing anything, and from being
	// of our origin: an SVG, a PDF or an HTML page may hold scripts.
	filePolicy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)

type getFile struct {
	Hash string `path:"hash" maxLength:"64"`
	Name string `path:"name" maxLength:"200"`
}

func (s *server) registerFiles() {
	binary := map[string]*huma.MediaType{typeAny: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
	responses := func() map[string]*huma.Response {
		return map[string]*huma.Response{
			"200": {Description: "OK", Content: binary},
			"206": {Description: "Partial Content", Content: binary},
			"304": {Description: "Not Modified"},
		}
	}
	o := op("get-media", http.MethodGet, "/media/{hash}/{name}", tagMedia, "Get a file by an address that this API has signed",
		says("For targets, browsers and caches: no key. The address is made here, never by hand: `url` of an asset or rendition, a document's picture, or a link. "+
			"Ranges and conditional requests are answered; the file behind an address never changes."), noKey, anyQuery)
	o.Responses = responses()
	handle(s, o, s.getFile)
	o = op("get-asset-file", http.MethodGet, "/v1/assets/{code}/file", tagMedia, "Get an asset's file",
		says("Ranges and conditional requests are answered; the ETag is the file's SHA-256."))
	o.Responses = responses()
	handle(s, o, s.getAssetFile)
}

func (s *server) getFile(_ context.Context, in *getFile) (*huma.StreamResponse, error) {
	m, err := s.media()
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		r, w := humago.Unwrap(c)
		hash, err := blob.ParseHash(in.Hash)
		now := time.Now()
		if err != nil || m.Signer().Check(r.URL.Path, r.URL.Query(), now) != nil {
			problem(http.StatusForbidden, "forbidden", "").write(w)
			return
		}
		f := file{hash: hash, name: in.Name, mediaType: jobs.MediaTypeOf(in.Name), cache: "public, max-age=" + seconds(forEver) + ", immutable"}
		if end, err := strconv.ParseInt(r.URL.Query().Get("e"), 10, 64); err == nil { // signed, so ours
			f.cache = "public, max-age=" + seconds(max(0, time.Unix(end, 0).Sub(now)))
		}
		s.send(w, r, m, f)
	}}, nil
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d.Seconds()), 10) }

func (s *server) getAssetFile(ctx context.Context, in *CodePath) (*huma.StreamResponse, error) {
	m, err := s.media()
	if err != nil {
		return nil, err
	}
	a, err := s.Store.Asset(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	if a.Hash == nil {
		return nil, problem(http.StatusNotFound, "no-file", "there is no file yet, or there will be none: the asset says why")
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		r, w := humago.Unwrap(c)
		// Another file may come under this address: it is asked for each time, and sent when it is another one.
		s.send(w, r, m, file{hash: blob.Hash(a.Hash), name: fileOf(&a), mediaType: a.MediaType, cache: "private, no-cache"})
	}}, nil
}

// file is what is to be sent, and how.
type file struct {
	hash      blob.Hash
	name      string
	mediaType string
	cache     string // Cache-Control
}

// shown are the types that a browser may show in its window: pictures without
// scripts. All others are offered to be saved.
var shown = map[string]bool{
	"image/jpeg": true, "image/png": true, "image/gif": true, "image/webp": true, "image/avif": true, "image/bmp": true, "image/tiff": true,
}

// send answers with a file, or the part of it that is asked for.
func (s *server) send(w http.ResponseWriter, r *http.Request, m *jobs.Media, f file) {
	select {
	case s.sending <- struct{}{}:
		defer func() { <-s.sending }()
	default:
		problem(http.StatusServiceUnavailable, "busy", "").with("Retry-After", "2").write(w)
		return
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // net/http takes one that passes for a client that left
	o, err := m.Blobs().Open(r.Context(), f.hash)
	if err != nil {
		if errors.Is(err, blob.ErrNotFound) {
			problem(http.StatusNotFound, "not-found", "").write(w)
			return
		}
		s.problem(r.Context(), err).write(w)
		return
	}
	defer o.Close()
	h := w.Header()
	h.Set("Etag", `"`+f.hash.String()+`"`)
	h.Set("Cache-Control", f.cache)
	h.Set("Content-Security-Policy", filePolicy)
	h.Set("Content-Type", f.mediaType)
	kind := "attachment"
	if shown[f.mediaType] {
		kind = "inline"
	}
	h.Set("Content-Disposition", kind)
	if d := mime.FormatMediaType(kind, map[string]string{"filename": strings.ToValidUTF8(f.name, "")}); d != "" {
		h.Set("Content-Disposition", d)
	}
	http.ServeContent(&unhurried{w, rc, time.Now().Add(sendMost)}, r, "", time.Time{}, o)
}

// unhurried lifts the server's limit on an answer's time for as long as the
// client takes bytes.
type unhurried struct {
	http.ResponseWriter
	rc  *http.ResponseController
	end time.Time
}

// Write writes on, and sets the time by which the bytes must be gone.
func (u *unhurried) Write(b []byte) (int, error) {
	limit := time.Now().Add(stall)
	if limit.After(u.end) {
		limit = u.end
	}
	_ = u.rc.SetWriteDeadline(limit) // a test's recorder knows none
	return u.ResponseWriter.Write(b)
}
