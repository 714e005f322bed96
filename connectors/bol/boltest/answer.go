package boltest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// answer is what an operation says. A nil body is no body.
type answer struct {
	status int
	media  string
	body   any
	header map[string]string
}

func (a answer) with(l left) answer {
	h := l.headers()
	maps.Copy(h, a.header)
	a.header = h
	return a
}

func (a answer) write(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	w.Header().Set("Content-Type", a.media)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.raw()) // the reader may have left
}

func (a answer) raw() []byte {
	raw, err := json.Marshal(a.body)
	if err != nil {
		return []byte(`{}`) // nothing that is answered can fail to be JSON
	}
	return raw
}

func ok(media string, body any) answer {
	return answer{status: http.StatusOK, media: media, body: body}
}

// violation is one fault of a request, in bol's words.
type violation struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// problem is bol's error body.
func (f *Fake) problem(media string, status int, detail string, violations ...violation) answer {
	if violations == nil {
		violations = []violation{}
	}
	title := http.StatusText(status)
	if len(violations) > 0 {
		title = "Error validating request. Consult the bol API documentation for more information."
	}
	return answer{status: status, media: media, body: map[string]any{
		"type": "https://api.bol.com/problems", "title": title, "status": status, "detail": detail,
		"host": "Instance-001", "instance": "https://api.bol.com/retailer", "violations": violations,
	}}
}

func (f *Fake) throttled(media string, after time.Duration) answer {
	seconds := strconv.Itoa(int((after + time.Second - 1) / time.Second))
	a := f.problem(media, http.StatusTooManyRequests, "Too many requests, retry in "+seconds+" seconds.")
	a.header = map[string]string{"Retry-After": seconds, "X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": seconds}
	return a
}

// decode reads a body strictly. What bol's contract does not know is a breach,
// whatever document it was made of.
func (f *Fake) decode(op string, body []byte, v any) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	d.UseNumber()
	err := d.Decode(v)
	if err == nil && d.More() {
		err = fmt.Errorf("something follows the JSON")
	}
	if err != nil {
		f.noteLocked("%s: %v", op, err)
	}
	return err == nil
}
