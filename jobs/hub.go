package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim/postgres"
)

const (
	// wakeChannel carries pokes between processes. They are only faster than
	// the sweeper, so losing one is harmless.
	wakeChannel = "sluice_wake"
	// coalesce is how long wakes that need the database are gathered: a
	// thousand edits a second are two hundred wakes.
	coalesce = 5 * time.Millisecond
)

// hub knows which consumers this process holds, and wakes consumers wherever
// they are.
type hub struct {
	mu      sync.Mutex
	live    map[postgres.Consumer]chan struct{}
	pending map[postgres.Consumer]bool
	timers  map[postgres.Consumer]*time.Timer
	kick    chan struct{}
}

func newHub() *hub {
	return &hub{
		live: map[postgres.Consumer]chan struct{}{}, pending: map[postgres.Consumer]bool{},
		timers: map[postgres.Consumer]*time.Timer{}, kick: make(chan struct{}, 1),
	}
}

// arrive registers this process as c's holder and gives its poke channel.
func (h *hub) arrive(c postgres.Consumer) chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	poke := make(chan struct{}, 1)
	h.live[c] = poke
	if t := h.timers[c]; t != nil {
		t.Stop()
		delete(h.timers, c)
	}
	return poke
}

// leave says that the holder of poke holds c no more; a later holder stays.
func (h *hub) leave(c postgres.Consumer, poke chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.live[c] == poke {
		delete(h.live, c)
	}
}

// poke nudges c's holder if it is here.
func (h *hub) poke(c postgres.Consumer) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pokeLocked(c)
}

func (h *hub) pokeLocked(c postgres.Consumer) bool {
	poke := h.live[c]
	if poke == nil {
		return false
	}
	select {
	case poke <- struct{}{}:
	default: // one is waiting already, and its look comes after this
	}
	return true
}

// wake pokes those that are held here, and leaves the others to flush.
func (h *hub) wake(cs ...postgres.Consumer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range cs {
		if !h.pokeLocked(c) {
			h.pending[c] = true
		}
	}
	if len(h.pending) > 0 {
		select {
		case h.kick <- struct{}{}:
		default:
		}
	}
}

func (h *hub) take() []postgres.Consumer {
	h.mu.Lock()
	defer h.mu.Unlock()
	cs := make([]postgres.Consumer, 0, len(h.pending))
	for c := range h.pending {
		cs = append(cs, c)
	}
	clear(h.pending)
	return cs
}

// Wake makes sure that the consumers look at their work soon, wherever their
// holders are. It never blocks and never fails: the sweeper stands behind it.
func (r *Runner) Wake(cs ...postgres.Consumer) { r.hub.wake(cs...) }

// wakeIn wakes c when d has passed: sooner than the sweeper would.
func (r *Runner) wakeIn(c postgres.Consumer, d time.Duration) {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	if t := r.hub.timers[c]; t != nil {
		t.Stop()
	}
	r.hub.timers[c] = time.AfterFunc(d, func() { r.Wake(c) })
}

// flush serves wakes of consumers that are not held here.
func (r *Runner) flush(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.hub.kick:
		}
		gather := time.NewTimer(coalesce)
		select {
		case <-ctx.Done():
			gather.Stop()
			return
		case <-gather.C:
		}
		cs := r.hub.take()
		if len(cs) == 0 {
			continue
		}
		if err := r.WakeNow(ctx, cs...); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "wake; the sweeper will", "err", err)
		}
	}
}

// WakeNow is Wake for a process that may end at once: the consumers have a job,
// or their holders were poked, when it returns. It needs no Start.
func (r *Runner) WakeNow(ctx context.Context, cs ...postgres.Consumer) error {
	idle, held, err := r.store.Wake(ctx, cs)
	if err != nil {
		return err
	}
	r.ensure(ctx, idle...)
	var failed error
	for _, c := range held {
		if r.hub.poke(c) {
			continue
		}
		payload, err := json.Marshal(c)
		if err == nil {
			_, err = r.store.WorkPool().Exec(ctx, `select pg_notify($1, $2)`, wakeChannel, string(payload))
		}
		if err != nil {
			failed = fmt.Errorf("poke another process: %w", err)
		}
	}
	return failed
}

// listen hears pokes from other processes, for as long as ctx lasts.
func (r *Runner) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.listenOnce(ctx); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "listen for pokes; trying again", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

func (r *Runner) listenOnce(ctx context.Context) error {
	// A connection of its own: one from the pool would be missed there.
	conn, err := pgx.ConnectConfig(ctx, r.store.WorkPool().Config().ConnConfig)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "listen "+wakeChannel); err != nil {
		return err
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		var c postgres.Consumer
		if json.Unmarshal([]byte(n.Payload), &c) == nil {
			r.hub.poke(c)
		}
	}
}
