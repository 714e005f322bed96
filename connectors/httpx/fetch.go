package httpx

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/sluicehub/sluice/connectors"
)

// File is what a URL gave.
type File struct {
	Body      []byte
	MediaType string // as the server says, without parameters; "" when it says nothing
	Name      string // from Content-Disposition, or the last part of the path
	ETag      string
	Unchanged bool // it is still what etag names; there is no Body
}

// maxHops is how many redirections Fetch follows.
const maxHops = 5

// Fetch gets a file of any public place. Unlike Do it follows redirections to
// other hosts, each address being checked when it is dialled, and sends no
// credential anywhere. With etag it asks whether the file is still that one. The
// error is a *connectors.Error: Permanent for what is not there, or is longer
// than MaxBody. Its text holds nothing of what the server says.
func (c *Client) Fetch(ctx context.Context, address, etag string) (*File, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	at, err := url.Parse(address)
	if err != nil {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: errors.New("the URL cannot be read")}
	}
	for hop := 0; ; hop++ {
		if at.User != nil {
			return nil, &connectors.Error{Verdict: connectors.Permanent, Err: errors.New("a URL with user name or password in it is not fetched")}
		}
		req := (&http.Request{Method: http.MethodGet, URL: at, Header: http.Header{"Accept": {"image/*,*/*;q=0.5"}}}).WithContext(ctx)
		if etag != "" && hop == 0 {
			req.Header.Set("If-None-Match", etag)
		}
		resp, err := c.once(ctx, req)
		if err != nil {
			return nil, err
		}
		location := resp.Header.Get("Location")
		switch {
		case resp.Status == http.StatusNotModified && etag != "":
			return &File{ETag: etag, Unchanged: true}, nil
		case resp.Status >= 300 && resp.Status < 400 && location != "":
			if hop == maxHops {
				return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%s: more than %d redirections", resp.where, maxHops)}
			}
			to, err := at.Parse(location)
			if err != nil || at.Scheme == "https" && to.Scheme != "https" {
				return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%s: it redirects to where nothing is fetched", resp.where)}
			}
			at = to
			continue
		}
		if !isSuccess(resp.Status) {
			resp.Body = nil // storages quote the request in it, signature and all
		}
		if err := Check(resp); err != nil {
			return nil, err
		}
		if resp.Status != http.StatusOK {
			return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%s: answer %d has no file", resp.where, resp.Status)}
		}
		f := &File{Body: resp.Body, ETag: resp.Header.Get("ETag"), Name: fileName(resp.Header.Get("Content-Disposition"), at)}
		f.MediaType, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
		return f, nil
	}
}

func fileName(disposition string, at *url.URL) string {
	name := ""
	if _, params, err := mime.ParseMediaType(disposition); err == nil {
		name = path.Base(strings.ReplaceAll(params["filename"], `\`, "/"))
	}
	if name == "" || name == "." || name == "/" {
		name = path.Base(at.Path)
	}
	if name == "." || name == "/" {
		return ""
	}
	return name[:min(len(name), 200)]
}
