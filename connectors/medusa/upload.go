package medusa

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/sluicehub/sluice/connectors"
)

const (
	// maxFile is what one upload may have, in bytes: the contract's bound. Medusa
	// itself has none, and keeps the file in memory three times over on its way.
	maxFile = 64 << 20
	// maxName bounds a file's name, in bytes: Medusa puts 14 before it, and a file
	// system takes 255.
	maxName = 120
	// maxAddress bounds what a file may be called there, in bytes.
	maxAddress = 2048
)

// Upload gives a file to Medusa, which hands it to its file provider, and tells
// the provider's public URL of it; see connectors.Uploader. With the setting
// pictures: "link" it does nothing.
//
// The name that is sent ends in a part of the content's hash. Medusa's local
// provider calls a file by the millisecond and its name: of two that meet in both,
// each would get the URL of the one that was written last.
func (c *Connector) Upload(ctx context.Context, f connectors.File) (string, error) {
	if c.Pictures == links {
		return "", nil
	}
	if len(f.Content) > maxFile {
		e := invalid(problem("medusa.too_large", "", fmt.Sprintf("The file has %d bytes; %d can be uploaded.", len(f.Content), maxFile)))
		e.Verdict = connectors.Permanent
		return "", e
	}
	body, err := form(f)
	if err != nil {
		return "", &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("writing the upload of a file: %w", err)}
	}
	var answer struct {
		Files []struct {
			URL string `json:"url"`
		} `json:"files"`
	}
	p := &push{Connector: c}
	if err := p.exchange(ctx, http.MethodPost, "/admin/uploads", nil, body, &answer); err != nil {
		return "", connectors.AsError(err)
	}
	if len(answer.Files) != 1 || answer.Files[0].URL == "" {
		return "", unnamed()
	}
	remote := answer.Files[0].URL
	if len(remote) > maxAddress || !loadable(remote) {
		// Tried again it would be one more copy under one more such name, so this is
		// certain: people have to mend the provider's settings first.
		e := invalid(problem("medusa.upload", "", "Medusa took the file, and gave no http address for it: its file provider lacks its own (backend_url, file_url)."))
		e.Verdict = connectors.Permanent
		return "", e
	}
	return remote, nil
}

// form writes a file as the one part of a form. The content is not copied.
func form(f connectors.File) (*payload, error) {
	var head bytes.Buffer
	w := multipart.NewWriter(&head)
	mediaType := "application/octet-stream"
	if kind, _, err := mime.ParseMediaType(f.MediaType); err == nil {
		mediaType = kind
	}
	if _, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="files"; filename="` + fileName(f) + `"`},
		"Content-Type":        {mediaType},
	}); err != nil {
		return nil, err
	}
	start := head.Len()
	if err := w.Close(); err != nil {
		return nil, err
	}
	before, after := head.Bytes()[:start], head.Bytes()[start:]
	return &payload{
		mediaType: w.FormDataContentType(),
		Reader:    io.MultiReader(bytes.NewReader(before), bytes.NewReader(f.Content), bytes.NewReader(after)),
		size:      int64(head.Len() + len(f.Content)),
	}, nil
}

// fileName is a file's name as it is sent: stem, 12 digits of the content's
// hash, extension. Medusa takes names for Latin-1, so only what is sure is left.
func fileName(f connectors.File) string {
	stem := strings.Trim(unsure.ReplaceAllString(f.Name, "-"), ".-")
	extension := extensions.FindString(stem)
	stem = strings.TrimSuffix(stem, extension)
	if len(stem) > maxName {
		stem = stem[:maxName]
	}
	sum := sha256.Sum256(f.Content)
	digits := hex.EncodeToString(sum[:6])
	if stem == "" {
		return digits + extension
	}
	return stem + "-" + digits + extension
}

var (
	unsure     = regexp.MustCompile(`[^A-Za-z0-9._-]+`)
	extensions = regexp.MustCompile(`\.[A-Za-z0-9]{1,10}$`)
)

var _ connectors.Uploader = (*Connector)(nil)
