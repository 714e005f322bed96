package httpx

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors"
)

func TestFetch(t *testing.T) {
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("If-None-Match") != "" {
			t.Errorf("another host is told %v", r.Header)
		}
		w.Header().Set("Content-Disposition", `attachment; filename="..\\..\\chair front.png"`)
		w.Header().Set("Content-Type", "image/png; charset=x")
		w.Header().Set("ETag", `"1"`)
		io.WriteString(w, "picture")
	})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL+"/b.png?token=t", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/with":
			http.Redirect(w, r, strings.Replace(other.URL, "http://", "http://user:secret@", 1), http.StatusFound)
		case "/same.png":
			if r.Header.Get("If-None-Match") == `"7"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			io.WriteString(w, "same")
		case "/long":
			io.WriteString(w, strings.Repeat("x", 2000))
		case "/busy":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		case "/broken":
			w.WriteHeader(http.StatusBadGateway)
		case "/nothing":
			w.WriteHeader(http.StatusNoContent)
		default:
			http.NotFound(w, r)
		}
	})
	c := client(t, Options{MaxBody: 1000})
	f, err := c.Fetch(t.Context(), s.URL+"/away", `"old"`)
	if err != nil || string(f.Body) != "picture" || f.Name != "chair front.png" || f.MediaType != "image/png" || f.ETag != `"1"` {
		t.Errorf("elsewhere: %+v, %v", f, err)
	}
	if f, err := c.Fetch(t.Context(), s.URL+"/same.png", `"7"`); err != nil || !f.Unchanged || f.Body != nil {
		t.Errorf("unchanged: %+v, %v", f, err)
	}
	if f, err := c.Fetch(t.Context(), s.URL+"/same.png?token=t", ""); err != nil || f.Name != "same.png" {
		t.Errorf("by its path: %+v, %v", f, err)
	}
	for path, want := range map[string]connectors.Verdict{
		"/loop": connectors.Permanent, "/with": connectors.Permanent, "/long": connectors.Permanent, "/missing": connectors.Permanent, "/nothing": connectors.Permanent,
		"/busy": connectors.Throttled, "/broken": connectors.Unavailable,
	} {
		_, err := c.Fetch(t.Context(), s.URL+path+"?token=hidden", "")
		if err == nil || connectors.AsError(err).Verdict != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s tells a secret: %v", path, err)
		}
	}
	guarded := New(Options{})
	defer guarded.CloseIdle()
	for _, address := range []string{s.URL + "/same.png", "ftp://example.com/a", "http://", "http://user:secret@example.com/a.png", "::"} {
		if _, err := guarded.Fetch(t.Context(), address, ""); err == nil || connectors.AsError(err).Verdict != connectors.Permanent || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want permanent", address, err)
		}
	}
}
