package medusatest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
)

const (
	uploadPath = "/admin/uploads"
	staticPath = "/static/"
	// uploadLimit is what the fake takes of one upload, in bytes: Medusa has no
	// bound, and a fake keeps all in memory.
	uploadLimit = 65 << 20
)

// file is one that the shop's local file provider keeps.
type file struct {
	mediaType string // by its name's extension, as it is served
	content   []byte
}

// limitOf is how many bytes a request's body may have.
func (f *Fake) limitOf(r *http.Request) int64 {
	switch {
	case r.URL.Path == uploadPath:
		return int64(cmp.Or(f.opts.MaxUpload, uploadLimit))
	case strings.HasSuffix(r.URL.Path, "/batch"):
		return batchLimit
	}
	return plainLimit
}

// Uploads are how often each distinct file was uploaded, by the SHA-256 of its
// content in hexadecimal digits.
func (f *Fake) Uploads() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.uploads)
}

// File is what the shop keeps under the URL that it gave.
func (f *Fake) File(remote string) ([]byte, bool) {
	u, err := url.Parse(remote)
	if err != nil {
		return nil, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	it, ok := f.state.files[path.Base(u.Path)]
	return bytes.Clone(it.content), ok
}

// upload takes the files of a form as Medusa's route and its local file provider
// do: each is called by the millisecond and its name, whatever has that name
// already. Callers hold mu.
func (f *Fake) upload(r *http.Request, body []byte, limit int64) (any, error) {
	if int64(len(body)) > limit {
		return nil, &refused{status: http.StatusRequestEntityTooLarge, page: true, message: "<html><body><h1>413 Request Entity Too Large</h1></body></html>"}
	}
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		f.violate("%s: the body is no form but %q", uploadPath, kind)
		return nil, invalid("No files were uploaded")
	}
	type sent struct {
		name    string
		content []byte
	}
	var taken []sent
	for parts := multipart.NewReader(bytes.NewReader(body), parameters["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(io.LimitReader(part, limit))
		}
		switch {
		case err != nil:
			f.violate("%s: the form cannot be read", uploadPath)
			return nil, unknown()
		case part.FileName() == "": // a field, which Medusa leaves alone
		case part.FormName() != "files":
			f.violate("%s: a file in the field %q", uploadPath, part.FormName())
			return nil, unknown()
		default:
			taken = append(taken, sent{latin1(part.FileName()), content})
		}
	}
	if len(taken) == 0 {
		f.violate("%s: a form without a file", uploadPath)
		return nil, invalid("No files were uploaded")
	}
	var files []map[string]any
	for _, s := range taken {
		key := strconv.FormatInt(f.opts.Now().UnixMilli(), 10) + "-" + s.name
		sum := sha256.Sum256(s.content)
		f.uploads[hex.EncodeToString(sum[:])]++
		f.state.files[key] = file{cmp.Or(mime.TypeByExtension(path.Ext(key)), "application/octet-stream"), s.content}
		prefix := cmp.Or(f.opts.Files, "http://"+r.Host+staticPath)
		files = append(files, map[string]any{"id": key, "url": prefix + url.PathEscape(key)})
	}
	return map[string]any{"files": files}, nil
}

// latin1 is what becomes of a name's UTF-8 in Medusa, which takes each byte for a
// character.
func latin1(name string) string {
	runes := make([]rune, len(name))
	for i := range len(name) {
		runes[i] = rune(name[i])
	}
	return string(runes)
}

// static serves a file to anybody; false is a path that is none of a file.
func (f *Fake) static(w http.ResponseWriter, r *http.Request) bool {
	key, ok := strings.CutPrefix(r.URL.Path, staticPath)
	if !ok || r.Method != http.MethodGet {
		return false
	}
	f.mu.Lock()
	it, found := f.state.files[key]
	f.mu.Unlock()
	if !found {
		return false
	}
	w.Header().Set("Content-Type", it.mediaType)
	_, _ = w.Write(it.content) // the sender may have left
	return true
}
