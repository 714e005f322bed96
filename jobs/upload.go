package jobs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim/blob"
)

// filesPath is where files are fetched, below the public address.
const filesPath = "/media/"

// fileAt reads one of our own addresses: which file it is, and its name.
func (m *Media) fileAt(address string) (h blob.Hash, name string, ok bool) {
	rest, ok := strings.CutPrefix(address, m.public+filesPath)
	if !ok {
		return h, "", false
	}
	rest, _, _ = strings.Cut(rest, "?")
	sum, name, _ := strings.Cut(rest, "/")
	h, err := blob.ParseHash(sum)
	return h, name, err == nil
}

// upload gives the target the files that the tasks' documents show, those that
// it was not given yet, and puts its names for them in the place of our
// addresses. What is compared with the acknowledged document keeps the addresses.
//
// It gives the tasks that can be pushed. A file that the target does not take is
// its listings' trouble and nobody else's: they are refused, or tried again by
// themselves. The target's file storage may be away while all else is well, so
// this opens no breaker. The error is a *connectors.Error that holds for the
// channel, errLeaveAlone, or the store's.
func (s *step) upload(ctx context.Context, tasks []*task) ([]*task, error) {
	m := s.d.r.channels.media
	to, ok := s.t.Connector.(connectors.Uploader)
	if !ok || m == nil || s.t.links.Load() {
		return tasks, nil
	}
	var (
		documents = make([]map[string]any, len(tasks))
		names     = map[blob.Hash]string{}
		shown     = map[blob.Hash][]*task{} // by whom
		hashes    [][]byte
	)
	for i, t := range tasks {
		if !bytes.Contains(t.item.Document, []byte(filesPath)) {
			continue
		}
		document, err := connectors.DecodeDocument(t.item.Document)
		if err != nil {
			continue // the target shall say so
		}
		walkTexts(document, func(text string) string {
			if h, name, ok := m.fileAt(text); ok {
				documents[i] = document
				if by := shown[h]; len(by) == 0 || by[len(by)-1] != t {
					shown[h] = append(by, t)
				}
				if _, seen := names[h]; !seen {
					names[h] = name
					hashes = append(hashes, h[:])
				}
			}
			return text
		})
	}
	if len(hashes) == 0 {
		return tasks, nil
	}
	remote, err := s.d.r.store.Uploads(ctx, s.l.Channel, hashes)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	refused := map[string]*connectors.Error{} // by file
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.allowed)
	for h, name := range names {
		mu.Lock()
		_, given := remote[h.String()]
		mu.Unlock()
		if given {
			continue
		}
		g.Go(func() error {
			// Steps overlap: who comes second waits for the first, and finds it done.
			v, err, _ := s.f.uploads.Do(h.String(), func() (any, error) { return s.give(gctx, to, m, h, name, shown[h]) })
			mu.Lock()
			defer mu.Unlock()
			e, told := errors.AsType[*connectors.Error](err)
			switch {
			case err == nil:
				remote[h.String()], _ = v.(string)
			case !told || e.Verdict == connectors.Throttled || e.Verdict == connectors.Auth:
				return err
			default:
				own := *e
				own.Uncertain = false // the listing itself was not sent
				refused[h.String()] = &own
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	left := make([]*task, 0, len(tasks))
	for i, t := range tasks {
		var e *connectors.Error
		if documents[i] != nil {
			walkTexts(documents[i], func(text string) string {
				if h, _, ok := m.fileAt(text); ok {
					if e == nil {
						e = refused[h.String()]
					}
					return cmp.Or(remote[h.String()], text)
				}
				return text
			})
			// As rendered, in the order of the keys.
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(documents[i]); err != nil {
				return nil, fmt.Errorf("write the document of %s: %w", t.SKU, err)
			}
			t.item.Document = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
		}
		if e != nil {
			s.add(string(e.Verdict), s.failed(t, e))
			continue
		}
		left = append(left, t)
	}
	return left, nil
}

// give uploads one file, which the tasks show, unless that was done meanwhile.
func (s *step) give(ctx context.Context, to connectors.Uploader, m *Media, h blob.Hash, name string, tasks []*task) (string, error) {
	known, err := s.d.r.store.Uploads(ctx, s.l.Channel, [][]byte{h[:]})
	if err != nil {
		return "", err
	}
	if remote, ok := known[hex.EncodeToString(h[:])]; ok {
		return remote, nil
	}
	content, err := m.read(ctx, h)
	if err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", &connectors.Error{Verdict: connectors.Unavailable, Err: errors.New("read a file to upload: " + err.Error())}
	}
	var remote string
	_, err = s.call(s.errandFor(errandUpload, tasks).on(ctx), errandUpload, 1, func(ctx context.Context) ([]connectors.Result, error) {
		var err error
		remote, err = to.Upload(ctx, connectors.File{Name: name, MediaType: MediaTypeOf(name), Content: content})
		return []connectors.Result{{}}, err
	})
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, errLeaveAlone) {
			return "", err
		}
		s.d.r.metrics.uploads.WithLabelValues(string(s.t.Code), "failed").Inc()
		return "", connectors.AsError(err)
	}
	if remote == "" { // it stays where it is
		s.t.links.Store(true)
		return "", nil
	}
	s.d.r.metrics.uploads.WithLabelValues(string(s.t.Code), "ok").Inc()
	return remote, s.d.r.store.Uploaded(ctx, s.l.Channel, h[:], remote)
}

// walkTexts puts what change says in the place of each text below v.
func walkTexts(v any, change func(string) string) any {
	switch v := v.(type) {
	case string:
		return change(v)
	case []any:
		for i := range v {
			v[i] = walkTexts(v[i], change)
		}
	case map[string]any:
		for k := range v {
			v[k] = walkTexts(v[k], change)
		}
	}
	return v
}
