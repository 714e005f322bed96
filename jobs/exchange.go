package jobs

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// The exchange log. What a target was asked and what it answered is written
// down behind the road, which never waits for it: exchanges wait in memory, of
// bounded size, and what finds no room is lost and counted.

const (
	// exchangeBytes bounds what waits to be written, by the size of its texts.
	exchangeBytes = 16 << 20
	// exchangeRows is how many one statement writes.
	exchangeRows = 1000
	// exchangeGather is for how long they are gathered.
	exchangeGather = 200 * time.Millisecond
	// exchangeWrite bounds one statement.
	exchangeWrite = 10 * time.Second
	// heldMost is how many exchanges of a call wait for its end, which tells
	// whether they are worth keeping; what is beyond is judged by itself.
	heldMost = 16
	// exchangeRate and exchangeBurst bound what is kept of a channel's
	// uneventful exchanges where its policy keeps some.
	exchangeRate, exchangeBurst = 2.0, 60.0
	// failedRate and failedBurst bound what is kept of those that failed, unless
	// its policy keeps all: of a target that is ill, more of the same tells nobody
	// anything.
	failedRate, failedBurst = 10.0, 1000.0
)

// exchangeLog writes exchanges. It works while there is something to write, and
// has no end of its own.
type exchangeLog struct {
	store  *postgres.Store
	counts *prometheus.CounterVec

	mu      sync.Mutex
	room    int          // bytes that may wait
	log     *slog.Logger // nil: nobody is told
	waiting []keptExchange
	size    int
	writing chan struct{} // closed when the writer is through; nil: there is none
	hurry   chan struct{} // the writer need not gather
	buckets map[bucketOf]*bucket
}

type keptExchange struct {
	postgres.Exchange
	began  time.Time
	bodies func() (request, answer string) // until it is to be kept
}

func (x *keptExchange) size() int {
	n := 300 + len(x.Request) + len(x.Answer) + len(x.URL) + len(x.Error)
	for _, sku := range x.SKUs {
		n += 16 + len(sku)
	}
	return n
}

// The outcomes that exchanges are counted by.
const (
	exchangeKept = "kept"
	exchangeLeft = "left_out"
	exchangeLost = "lost"
)

// tells has the log's troubles and figures told.
func (l *exchangeLog) tells(log *slog.Logger, reg prometheus.Registerer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = log
	if reg != nil {
		reg.MustRegister(l.counts)
	}
}

func newExchangeLog(store *postgres.Store) *exchangeLog {
	l := &exchangeLog{
		store: store, room: exchangeBytes, hurry: make(chan struct{}, 1), buckets: map[bucketOf]*bucket{},
		counts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_exchanges_total",
			Help: "Requests to targets by what became of their record: kept, left_out (by the channel's policy, or too many failed), or lost (there was no room, or it could not be written).",
		}, []string{"outcome"}),
	}
	for _, o := range []string{exchangeKept, exchangeLeft, exchangeLost} {
		l.counts.WithLabelValues(o)
	}
	return l
}

// bucket is a token bucket.
type bucket struct {
	left float64
	at   time.Time
}

// bucketOf is which exchanges a bucket is for.
type bucketOf struct {
	channel pim.ChannelID
	failed  bool
}

// some reports whether one more exchange of the channel is kept, of those that
// failed or of the others.
func (l *exchangeLog) some(channel pim.ChannelID, failed bool, now time.Time) bool {
	rate, burst := exchangeRate, exchangeBurst
	if failed {
		rate, burst = failedRate, failedBurst
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	of := bucketOf{channel, failed}
	b := l.buckets[of]
	if b == nil {
		b = &bucket{left: burst, at: now}
		l.buckets[of] = b
	}
	b.left = min(burst, b.left+max(0, now.Sub(b.at).Seconds())*rate)
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// keep has x written, when there is room.
func (l *exchangeLog) keep(x keptExchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := x.size()
	if l.size+size > l.room {
		l.counts.WithLabelValues(exchangeLost).Inc()
		return
	}
	l.waiting, l.size = append(l.waiting, x), l.size+size
	if l.writing == nil {
		l.writing = make(chan struct{})
		go l.write(l.writing)
	} else if len(l.waiting) >= exchangeRows {
		l.hurryLocked()
	}
}

func (l *exchangeLog) hurryLocked() {
	select {
	case l.hurry <- struct{}{}:
	default:
	}
}

func (l *exchangeLog) write(done chan struct{}) {
	defer close(done)
	for {
		gather := time.NewTimer(exchangeGather)
		select {
		case <-gather.C:
		case <-l.hurry:
		}
		gather.Stop()
		batch, size := l.take()
		ctx, cancel := context.WithTimeout(context.Background(), exchangeWrite)
		err := l.store.KeepExchanges(ctx, batch)
		cancel()
		outcome := exchangeKept
		if err != nil {
			outcome = exchangeLost
		}
		l.counts.WithLabelValues(outcome).Add(float64(len(batch)))
		l.mu.Lock()
		if err != nil && l.log != nil {
			l.log.Warn("exchanges are lost", "err", err, "exchanges", len(batch))
		}
		l.size -= size
		if len(l.waiting) == 0 {
			l.writing = nil
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
	}
}

// take gives the next to be written, with their size, which still counts until
// they are.
func (l *exchangeLog) take() (batch []postgres.Exchange, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), exchangeRows)
	batch = make([]postgres.Exchange, n)
	for i := range batch {
		x := &l.waiting[i]
		batch[i], size = x.Exchange, size+x.size()
		batch[i].Ago = max(0, time.Since(x.began))
	}
	if l.waiting = slices.Delete(l.waiting, 0, n); len(l.waiting) > 0 && len(l.waiting) >= exchangeRows {
		l.hurryLocked()
	}
	return batch, size
}

// flush waits until what was kept before is written, or ctx ends.
func (l *exchangeLog) flush(ctx context.Context) {
	for {
		l.mu.Lock()
		done := l.writing
		if done != nil {
			l.hurryLocked()
		}
		l.mu.Unlock()
		if done == nil {
			return
		}
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}

// Flush waits until the exchanges with targets so far are written down, or ctx
// ends: a process that is about to end calls it.
func (c *Channels) Flush(ctx context.Context) { c.exchanges.flush(ctx) }

// exchanged is what is kept of x.
func (w *wire) exchanged(e *errand, x *connectors.Exchange, skus []pim.SKU) keptExchange {
	row := keptExchange{began: x.Began, bodies: x.Bodies, Exchange: postgres.Exchange{
		Channel: w.channel.ID, Of: e.lane, Attempt: e.attempt, Kind: e.what, SKUs: skus[:min(len(skus), postgres.MaxExchangeSKUs)],
		TookMS: x.Took.Seconds() * 1000, Method: x.Method, URL: x.URL, Status: x.Status, Error: x.Err, Sent: x.Sent, Received: x.Received,
		Header: x.Header,
	}}
	// Not there is an answer like any other to the question whether it is.
	missing := x.Status == http.StatusNotFound && (x.Method == http.MethodGet || x.Method == http.MethodHead)
	row.Failed = x.Err != "" || x.Status == 0 || x.Status >= http.StatusBadRequest && !missing
	if row.Kind == "" {
		row.Kind = errandOther
	}
	return row
}

// cut shortens a body, and says so.
func cut(body string, most int) string {
	if len(body) <= most {
		return body
	}
	const ellipsis = "…"
	for most = max(0, most-len(ellipsis)); most > 0 && !utf8.RuneStart(body[most]); most-- {
	}
	return body[:most] + ellipsis
}

// log keeps an exchange as the channel's policy says. What went well waits for
// the end of the call that it belongs to: the target may have refused a listing
// in it all the same.
func (w *wire) log(ctx context.Context, x *connectors.Exchange) {
	if w.channel.ID == 0 || w.channel.Policy.Exchanges.Keeping() == pim.KeepNone { // 0: it is only being checked
		return
	}
	e := errandOf(ctx)
	skus := connectors.AboutOf(ctx)
	if skus == nil {
		skus = e.skus
	}
	row := w.exchanged(e, x, skus)
	if row.Failed || !e.hold(w, row) {
		w.settle(row)
	}
}

// settle keeps an exchange, or does not.
func (w *wire) settle(row keptExchange) {
	l := w.channels.exchanges
	switch keep := w.channel.Policy.Exchanges.Keeping(); {
	case keep == pim.KeepAll, (row.Failed || keep == pim.KeepSome) && l.some(w.channel.ID, row.Failed, row.began):
		most := w.channel.Policy.Exchanges.Body()
		request, answer := row.bodies()
		row.Request, row.Answer, row.bodies = cut(request, most), cut(answer, most), nil
		l.keep(row)
	default:
		l.counts.WithLabelValues(exchangeLeft).Inc()
	}
}
