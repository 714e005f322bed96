package webhooktest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// ticket is one item that the target took and works on later.
type ticket struct {
	token   string
	call    int64
	item    Item
	due     time.Time // zero: by polls
	polls   int
	done    bool
	verdict verdict
}

// finished bounds how many outcomes are kept for a late question.
const finished = 1 << 16

// SetAsync changes the way of answering for the calls to come; nil answers at
// once.
func (f *Fake) SetAsync(a *Async) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.async = a
}

// take gives a ticket per item. Callers hold mu.
func (f *Fake) take(call int64, items []Item, now time.Time) answer {
	b := append(make([]byte, 0, 128*len(items)), `{"items":[`...)
	for i, it := range items {
		f.ticketSeq++
		t := &ticket{token: "ticket-" + strconv.FormatInt(f.ticketSeq, 10), call: call, item: it}
		if f.async.Delay > 0 {
			t.due = now.Add(f.async.Delay)
		}
		f.tickets[t.token] = t
		f.queue = append(f.queue, t)
		f.note(Entry{Call: call, At: now, Outcome: Held, Item: it})
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"sku":`...)
		b = pim.AppendJSONString(b, string(it.SKU))
		b = append(b, `,"lane":"`...)
		b = append(b, it.Lane.String()...)
		b = append(b, `","status":"pending","token":"`...)
		b = append(b, t.token...)
		b = append(b, '"', '}')
	}
	if f.async.Delay > 0 {
		time.AfterFunc(f.async.Delay, f.ripen)
	}
	return answer{http.StatusAccepted, append(b, "]}"...)}
}

// ripen does the work that is due.
func (f *Fake) ripen() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.work(func(t *ticket) bool { return !t.due.IsZero() && !t.due.After(now) })
}

// Process does all work that waits, and says how many items that were.
func (f *Fake) Process() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.work(func(*ticket) bool { return true })
}

// work does the tickets that pick picks, in the order of receipt. Callers hold mu.
func (f *Fake) work(pick func(*ticket) bool) (n int) {
	now := time.Now()
	kept := f.queue[:0]
	for _, t := range f.queue {
		if !pick(t) {
			kept = append(kept, t)
			continue
		}
		t.verdict, t.done = f.apply(t.item, now), true
		f.note(Entry{Call: t.call, At: now, Outcome: t.verdict.outcome, Late: true, Item: t.item})
		f.done = append(f.done, t.token)
		n++
	}
	clear(f.queue[len(kept):])
	f.queue = kept
	for len(f.done) > finished {
		delete(f.tickets, f.done[0])
		f.done = f.done[1:]
	}
	if n > 0 {
		f.bump()
	}
	return n
}

// status answers the question for tokens.
func (f *Fake) status(w http.ResponseWriter, r *http.Request) {
	body, ok := f.open(w, r)
	if !ok {
		return
	}
	var call struct {
		Tokens []string `json:"tokens"`
	}
	err := decode(body, &call)
	if err == nil && len(call.Tokens) > f.opts.Batch {
		err = fmt.Errorf("%d tokens in one call, at most %d are taken", len(call.Tokens), f.opts.Batch)
	}
	if err != nil {
		f.breach(w, http.StatusBadRequest, "body: %v", err)
		return
	}
	f.mu.Lock()
	f.count.Polls++
	if fault := f.meet(nil, atStatus); fault != nil {
		f.mu.Unlock()
		f.misbehave(w, r, 0, nil, *fault, func(Entry) answer { return answer{http.StatusOK, f.outcomes(call.Tokens)} })
		return
	}
	b := f.outcomes(call.Tokens)
	f.bump()
	f.mu.Unlock()
	answer{http.StatusOK, b}.write(w)
}

// outcomes writes what there is to say of each token. Callers hold mu.
func (f *Fake) outcomes(tokens []string) []byte {
	b := []byte(`{"items":[`)
	for i, token := range tokens {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"token":`...)
		b = pim.AppendJSONString(b, token)
		b = append(b, ',')
		t := f.tickets[token]
		if t != nil {
			f.poll(t)
		}
		switch {
		case t == nil:
			// A restarted target knows no old ticket: whoever asks must send again.
			b = append(b, `"status":"error","code":"conflict","message":"this ticket is not known"`...)
		case !t.done:
			b = append(b, `"status":"pending"`...)
		default:
			b = f.appendVerdict(b, t.verdict)
		}
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// poll counts a question, which may be what the work waited for. Callers hold mu.
func (f *Fake) poll(t *ticket) {
	if t.done || !t.due.IsZero() {
		return
	}
	t.polls++
	if f.async != nil && t.polls < f.async.Polls {
		return
	}
	// What came earlier of the same SKU is done first: a target works in order.
	for i, q := range f.queue {
		if q == t {
			last := i
			at := -1
			f.work(func(o *ticket) bool {
				at++
				return at <= last && o.item.SKU == t.item.SKU
			})
			return
		}
	}
}
