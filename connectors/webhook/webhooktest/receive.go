package webhooktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// The paths a fake answers.
const (
	ItemsPath  = "/items"
	StatusPath = "/status"
	AdminPath  = "/_fake/"
)

// ServeHTTP answers the target's endpoints and the admin paths.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	for name, values := range f.says {
		w.Header()[name] = values
	}
	f.mu.Unlock()
	switch {
	case r.URL.Path == ItemsPath:
		f.receive(w, r)
	case r.URL.Path == StatusPath:
		f.status(w, r)
	case r.URL.Path == HeldPath:
		f.tell(w, r)
	case strings.HasPrefix(r.URL.Path, AdminPath):
		f.admin.ServeHTTP(w, r)
	default:
		f.breach(w, http.StatusNotFound, "%s %s: there is no such path here", r.Method, r.URL.Path)
	}
}

// breach records a violation and answers it.
func (f *Fake) breach(w http.ResponseWriter, status int, format string, args ...any) {
	f.mu.Lock()
	f.violate(format, args...)
	f.bump()
	f.mu.Unlock()
	http.Error(w, fmt.Sprintf(format, args...)+f.echo(), status)
}

// open reads and verifies a request; it has answered when ok is false.
func (f *Fake) open(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	if r.Method != http.MethodPost {
		f.breach(w, http.StatusMethodNotAllowed, "method %s instead of POST", r.Method)
		return nil, false
	}
	body, err := readAll(http.MaxBytesReader(w, r.Body, f.opts.MaxBody), r.ContentLength, f.opts.MaxBody)
	if tooLong, is := errors.AsType[*http.MaxBytesError](err); is {
		f.breach(w, http.StatusRequestEntityTooLarge, "body of more than %d bytes", tooLong.Limit)
		return nil, false
	} else if err != nil {
		// The sender went away in the middle: nothing arrived.
		panic(http.ErrAbortHandler)
	}
	if err := f.verify.Verify(body, r.Header); err != nil {
		f.breach(w, http.StatusUnauthorized, "signature: %v", err)
		return nil, false
	}
	if ct := r.Header.Get("Content-Type"); ct != "application/json" {
		f.breach(w, http.StatusUnsupportedMediaType, "content type %q", ct)
		return nil, false
	}
	if id := r.Header.Get(standardwebhooks.HeaderWebhookID); !f.fresh(id) {
		f.breach(w, http.StatusBadRequest, "webhook-id %q came twice", id)
		return nil, false
	}
	return body, true
}

// readAll reads a body of a known length without growing a buffer over and over.
func readAll(r io.Reader, length, limit int64) ([]byte, error) {
	if length < 0 || length > limit {
		return io.ReadAll(io.LimitReader(r, limit+1))
	}
	b := make([]byte, length)
	_, err := io.ReadFull(r, b)
	return b, err
}

// remembered is how many webhook-ids are known again.
const remembered = 8192

// fresh remembers a webhook-id and reports whether it is new: a sender that
// used one twice would lose pushes at a target that drops duplicates.
func (f *Fake) fresh(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ids[id] {
		return false
	}
	f.ids[id] = true
	if f.idRing = append(f.idRing, id); len(f.idRing) > remembered {
		delete(f.ids, f.idRing[0])
		f.idRing = f.idRing[1:]
	}
	return true
}

// decode reads strict JSON: no unknown field, nothing after the value.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is something after the JSON value")
	}
	return nil
}

// check holds items against the contract.
func (f *Fake) check(items []Item) error {
	if len(items) > f.opts.Batch {
		return fmt.Errorf("%d items in one call, at most %d are taken", len(items), f.opts.Batch)
	}
	type key struct {
		sku  pim.SKU
		lane pim.Lane
	}
	var seen map[key]bool
	if len(items) > 1 {
		seen = make(map[key]bool, len(items))
	}
	for i := range items {
		it := &items[i]
		switch {
		case it.SKU == "" || len(it.SKU) > 4*128:
			return fmt.Errorf("items/%d: sku %q", i, it.SKU)
		case it.Lane == 0:
			return fmt.Errorf("items/%d: no lane", i)
		case it.Revision < 1:
			return fmt.Errorf("items/%d: revision %d is below 1", i, it.Revision)
		case (it.Action == connectors.Upsert || it.Action == connectors.SellOut) && (len(it.Document) == 0 || it.Document[0] != '{'):
			return fmt.Errorf("items/%d: the document is not an object", i)
		case it.Action.Withdraws() && it.Document != nil:
			return fmt.Errorf("items/%d: a withdrawal with a document", i)
		case it.Action.Withdraws() && it.Lane != pim.Content:
			return fmt.Errorf("items/%d: a withdrawal in lane %s", i, it.Lane)
		case it.Action == connectors.SellOut && it.Lane != pim.Offer:
			return fmt.Errorf("items/%d: sold out in lane %s", i, it.Lane)
		case !slices.Contains([]connectors.Action{connectors.Upsert, connectors.Withdraw, connectors.Disable, connectors.SellOut}, it.Action):
			return fmt.Errorf("items/%d: action %q", i, it.Action)
		}
		if seen != nil {
			k := key{it.SKU, it.Lane}
			if seen[k] {
				return fmt.Errorf("items/%d: %s %s twice in one call", i, it.SKU, it.Lane)
			}
			seen[k] = true
		}
		if len(items) > 1 {
			// Else one document that lives on would hold the whole call's body.
			it.Document = bytes.Clone(it.Document)
		}
	}
	return nil
}

// receive answers one call of items.
func (f *Fake) receive(w http.ResponseWriter, r *http.Request) {
	body, ok := f.open(w, r)
	if !ok {
		return
	}
	var call struct {
		Items *[]Item `json:"items"`
	}
	err := decode(body, &call)
	if err == nil && call.Items == nil {
		err = errors.New("no items")
	}
	if err == nil {
		err = f.check(*call.Items)
	}
	if err != nil {
		f.breach(w, http.StatusBadRequest, "body: %v", err)
		return
	}
	items := *call.Items

	f.mu.Lock()
	f.count.Calls++
	number := f.count.Calls
	if len(items) == 0 {
		f.count.Probes++
	}
	f.arrive(items)
	f.countLate()
	fault := f.meet(items, atItems)
	if fault != nil {
		f.mu.Unlock()
		f.misbehave(w, r, number, items, *fault, func(how Entry) answer { return f.handle(number, items, how) })
		return
	}
	answer := f.handle(number, items, Entry{})
	f.mu.Unlock()
	answer.write(w)
}

// handle applies a call's items, or takes tickets for them. Callers hold mu.
func (f *Fake) handle(call int64, items []Item, how Entry) answer {
	now := time.Now()
	if f.async != nil && len(items) > 0 {
		a := f.take(call, items, now)
		f.bump()
		return a
	}
	verdicts := make([]verdict, len(items))
	fine := true
	for i, it := range items {
		verdicts[i] = f.apply(it, now)
		fine = fine && verdicts[i].outcome == Applied
		how.Call, how.At, how.Outcome, how.Item = call, now, verdicts[i].outcome, it
		f.note(how)
	}
	f.bump()
	if fine && f.opts.Quiet {
		return answer{status: http.StatusNoContent}
	}
	b := append(make([]byte, 0, 16+64*len(items)), `{"items":[`...)
	for i, it := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"sku":`...)
		b = pim.AppendJSONString(b, string(it.SKU))
		b = append(b, `,"lane":"`...)
		b = append(b, it.Lane.String()...)
		b = append(b, '"', ',')
		b = f.appendVerdict(b, verdicts[i])
		b = append(b, '}')
	}
	return answer{status: http.StatusOK, body: append(b, "]}"...)}
}

// appendVerdict writes the fields of an outcome, without the braces.
func (f *Fake) appendVerdict(b []byte, v verdict) []byte {
	code := ""
	switch v.outcome {
	case Applied:
		b = append(b, `"status":"`...)
		b = append(b, f.opts.Answer...)
		return append(b, '"')
	case Conflict:
		code = "conflict"
	case Rejected:
		code = "validation"
	default:
		code = "unavailable"
	}
	b = append(b, `"status":"error","code":"`...)
	b = append(b, code...)
	b = append(b, `","message":`...)
	b = pim.AppendJSONString(b, v.text)
	if len(v.issues) > 0 {
		issues, _ := json.Marshal(v.issues) // strings only: cannot fail
		b = append(append(b, `,"issues":`...), issues...)
	}
	return b
}

// answer is what goes back when nothing goes wrong.
type answer struct {
	status int
	body   []byte
}

func (a answer) write(w http.ResponseWriter) {
	if len(a.body) > 0 {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the sender may have left; that is its affair
}

// misbehave lets a fault happen to a call.
// Finish, called under mu, does what the call asks for.
func (f *Fake) misbehave(w http.ResponseWriter, r *http.Request, call int64, items []Item, fault Fault, finish func(Entry) answer) {
	switch fault.Kind {
	case Fail, Throttle, Unauthorized:
		f.refuse(w, call, items, fault, finish)
	case Reset:
		f.noteAll(call, items, Entry{Outcome: Refused, Fault: Reset, Lost: true})
		panic(http.ErrAbortHandler)
	case Page:
		f.noteAll(call, items, Entry{Outcome: Refused, Fault: Page, Lost: true})
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>Sign in</title><p>Sign in to go on."+f.echo())
	case Hang, Slow:
		f.hold(w, r, call, items, fault, finish)
	case Late:
		f.mu.Lock()
		left := fault.Calls
		if left == 0 {
			left = -1
		}
		f.late = append(f.late, &lateCall{call: call, items: items, left: left})
		f.mu.Unlock()
		f.noteAll(call, items, Entry{Outcome: Held, Fault: Late, Lost: true})
		panic(http.ErrAbortHandler)
	default: // Lose, Garbage, Endless
		f.mu.Lock()
		finish(Entry{Fault: fault.Kind, Lost: true})
		f.mu.Unlock()
		f.spoil(w, fault.Kind)
	}
}

// spoil answers applied items in a way that tells the sender nothing.
func (f *Fake) spoil(w http.ResponseWriter, kind FaultKind) {
	switch kind {
	case Garbage:
		answer{http.StatusOK, []byte(`{"items":[{"sku":`)}.write(w)
	case Endless:
		w.Header().Set("Content-Type", "application/json")
		chunk := bytes.Repeat([]byte(" "), 32<<10)
		for {
			n, err := w.Write(chunk)
			f.mu.Lock()
			f.count.Written += int64(n)
			f.mu.Unlock()
			if err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	default:
		panic(http.ErrAbortHandler)
	}
}

// refuse answers a call with an error status.
func (f *Fake) refuse(w http.ResponseWriter, call int64, items []Item, fault Fault, finish func(Entry) answer) {
	status := fault.Status
	switch fault.Kind {
	case Throttle:
		status = http.StatusTooManyRequests
		if fault.After == 0 {
			fault.After = time.Second
		}
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(fault.After.Seconds()))))
	case Unauthorized:
		status = http.StatusUnauthorized
	default:
		if status == 0 {
			status = http.StatusInternalServerError
		}
	}
	if fault.Apply {
		f.mu.Lock()
		finish(Entry{Fault: fault.Kind, Lost: true})
		f.mu.Unlock()
	} else {
		f.noteAll(call, items, Entry{Outcome: Refused, Fault: fault.Kind})
	}
	http.Error(w, "told to "+string(fault.Kind)+f.echo(), status)
}

// hold keeps a call open.
func (f *Fake) hold(w http.ResponseWriter, r *http.Request, call int64, items []Item, fault Fault, finish func(Entry) answer) {
	f.noteAll(call, items, Entry{Outcome: Held, Fault: fault.Kind})
	f.mu.Lock()
	f.count.Hanging++
	released := f.released
	f.bump()
	f.mu.Unlock()
	gone := false
	if fault.Kind == Hang {
		select {
		case <-released:
		case <-r.Context().Done():
			gone = true
		case <-f.closed:
			gone = true
		}
	} else {
		if fault.After == 0 {
			fault.After = time.Second
		}
		timer := time.NewTimer(fault.After)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-released:
		case <-f.closed:
			gone = true
		}
	}
	f.mu.Lock()
	f.count.Hanging--
	if gone {
		f.bump()
		f.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	a := finish(Entry{Fault: fault.Kind, Late: true, Lost: r.Context().Err() != nil})
	f.mu.Unlock()
	a.write(w)
}

// noteAll writes the same entry for each item.
func (f *Fake) noteAll(call int64, items []Item, e Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e.Call, e.At = call, time.Now()
	for _, it := range items {
		e.Item = it
		f.note(e)
	}
	switch {
	case e.Fault == Throttle:
		f.count.Throttled++
		f.count.Refused += int64(len(items))
	case e.Outcome == Refused:
		f.count.Refused += int64(len(items))
	}
	f.bump()
}
