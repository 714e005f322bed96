//go:build unix

package bench

import (
	"bufio"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/pim"
)

// The target is another process, as a channel's target is: what it spends is
// not spent by the process that is measured, and its answers cross a socket.

// targets is how many webhook targets there are: channels, or more, have them in
// turn.
const targets = 8

// arrival is one item that reached the target.
type arrival struct {
	Channel  int
	Product  int
	Revision int64
	At       int64 // Unix time in nanoseconds: both processes read the same clock
}

// greeting is what the target process says first.
type greeting struct {
	Control string   `json:"control"` // URL of its own affairs
	Targets []string `json:"targets"` // per channel, where items go
	Secret  string   `json:"secret"`
	Shop    shop     `json:"shop"`
}

// shop is the config of a channel to the fake WooCommerce shop.
type shop struct {
	URL    string `json:"url"`
	Key    string `json:"consumer_key"`
	Secret string `json:"consumer_secret"`
}

// arrivals is the target's log.
type arrivals struct {
	mu   sync.Mutex
	list []arrival
}

// serveSink is the target process: it says where it listens and serves until
// in ends, which it does with the process that started it.
func serveSink(in io.Reader, out io.Writer) (err error) {
	log := &arrivals{}
	hello := greeting{Secret: webhooktest.NewSecret()}
	var fakes []*webhooktest.Server
	defer func() {
		for _, f := range fakes {
			err = errors.Join(err, f.Close())
		}
	}()
	for i := range targets {
		// What a million documents say is of no use here: they are not kept.
		f, err := webhooktest.NewServer("", webhooktest.Options{
			Secret: hello.Secret, Quiet: true, History: 1, Mangle: func(json.RawMessage) json.RawMessage { return json.RawMessage("{}") },
		})
		if err != nil {
			return err
		}
		fakes = append(fakes, f)
		hello.Targets = append(hello.Targets, f.URL())
		f.Watch(func(e webhooktest.Entry) { log.note(i, e) })
	}
	woo, err := woocommercetest.NewServer("", woocommercetest.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, woo.Close()) }()
	hello.Shop = shop{URL: woo.URL(), Key: woo.Key(), Secret: woo.Secret()}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the bench: %w", err)
	}
	hello.Control = "http://" + listener.Addr().String()
	server := &http.Server{Handler: log.handler(fakes, woo.Fake), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()
	if err := json.NewEncoder(out).Encode(hello); err != nil {
		return fmt.Errorf("tell the bench where the target is: %w", err)
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// note is called by the fakes, each under its own lock.
func (a *arrivals) note(channel int, e webhooktest.Entry) {
	if e.Outcome != webhooktest.Applied || e.Lane != pim.Content {
		return
	}
	product, err := strconv.Atoi(strings.TrimPrefix(string(e.SKU), skuPrefix))
	if err != nil {
		return
	}
	a.mu.Lock()
	a.list = append(a.list, arrival{channel, product, e.Revision, e.At.UnixNano()})
	a.mu.Unlock()
}

func (a *arrivals) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.list)
}

func (a *arrivals) handler(fakes []*webhooktest.Server, woo *woocommercetest.Fake) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /begin", func(http.ResponseWriter, *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.list = make([]arrival, 0, 1<<16) // growing would be seen in the latencies
	})
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, r *http.Request) {
		least, err := strconv.Atoi(r.FormValue("least"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		timer := time.NewTimer(patience / 2)
		defer timer.Stop()
		for n := a.len(); ; n = a.len() {
			select {
			case <-tick.C:
				if n < least {
					continue
				}
			case <-timer.C:
			case <-r.Context().Done():
			}
			fmt.Fprint(w, n)
			return
		}
	})
	mux.HandleFunc("GET /arrivals", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		list := a.list[:len(a.list):len(a.list)]
		a.mu.Unlock()
		_ = gob.NewEncoder(w).Encode(list) // the bench sees a cut answer
	})
	mux.HandleFunc("POST /behave", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.FormValue("target"))
		if err != nil || n < 0 || n >= len(fakes) {
			http.Error(w, "there is no such target", http.StatusBadRequest)
			return
		}
		if r.FormValue("dead") != "" {
			fakes[n].Down(webhooktest.Hang)
		} else {
			fakes[n].Up()
		}
	})
	mux.HandleFunc("GET /shop", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, woo.Counts().Products) })
	mux.HandleFunc("GET /violations", func(w http.ResponseWriter, _ *http.Request) {
		var all []string
		for _, f := range fakes {
			all = append(all, f.Violations()...)
		}
		all = append(all, woo.Violations()...)
		_ = json.NewEncoder(w).Encode(all)
	})
	return mux
}

// sink is the bench's end of the target process.
type sink struct {
	greeting
	cmd   *exec.Cmd
	stdin io.Closer
}

// sinkArgs make this program the target process.
var sinkArgs = []string{"bench", "--sink"}

// patience bounds a single word with the target process.
const patience = 30 * time.Second

func startSink(ctx context.Context) (*sink, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program for the target process: %w", err)
	}
	s := &sink{cmd: exec.Command(self, sinkArgs...)}
	s.cmd.Stderr = os.Stderr
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start the target process: %w", err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the target process: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the target process: %w", err)
	}
	said := make(chan error, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(out, 1<<16)).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &s.greeting)
		}
		said <- err
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err = <-said:
	case <-timer.C:
		err = errors.New("it says nothing")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the target process: %w", err), s.cmd.Process.Kill(), ignoreExit(s.cmd.Wait()))
	}
	return s, nil
}

// ignoreExit drops the error of a process that was killed on purpose.
func ignoreExit(err error) error {
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil
	}
	return err
}

// close ends the target process: the end of its input is its sign.
func (s *sink) close() error {
	err := s.stdin.Close()
	timer := time.AfterFunc(closing, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	return errors.Join(err, s.cmd.Wait())
}

// ask calls one of the target process's own paths.
func (s *sink) ask(ctx context.Context, method, path string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.Control+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the target process: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the target process for %s: it answered %s", path, resp.Status)
	}
	if read == nil {
		return nil
	}
	if err := read(io.LimitReader(resp.Body, 1<<30)); err != nil {
		return fmt.Errorf("read the target process's answer to %s: %w", path, err)
	}
	return nil
}

// begin empties the log.
func (s *sink) begin(ctx context.Context) error { return s.ask(ctx, http.MethodPost, "/begin", nil) }

// count waits for least items, or a while, and says how many have arrived since
// begin. Asking the target costs the database nothing.
func (s *sink) count(ctx context.Context, least int) (n int, err error) {
	err = s.ask(ctx, http.MethodGet, "/count?least="+strconv.Itoa(least), func(r io.Reader) error {
		_, err := fmt.Fscan(r, &n)
		return err
	})
	return n, err
}

// some waits until something has arrived since begin.
func (s *sink) some(ctx context.Context) error {
	for {
		if n, err := s.count(ctx, 1); err != nil || n > 0 {
			return err
		}
	}
}

// arrived is everything that has arrived since begin.
func (s *sink) arrived(ctx context.Context) (list []arrival, err error) {
	err = s.ask(ctx, http.MethodGet, "/arrivals", func(r io.Reader) error { return gob.NewDecoder(r).Decode(&list) })
	return list, err
}

// dies makes a target one that accepts connections and never answers.
func (s *sink) dies(ctx context.Context, target int) error {
	return s.ask(ctx, http.MethodPost, fmt.Sprintf("/behave?target=%d&dead=1", target), nil)
}

// recovers makes a target well again.
func (s *sink) recovers(ctx context.Context, target int) error {
	return s.ask(ctx, http.MethodPost, fmt.Sprintf("/behave?target=%d", target), nil)
}

// sold is how many products the shop has.
func (s *sink) sold(ctx context.Context) (n int, err error) {
	err = s.ask(ctx, http.MethodGet, "/shop", func(r io.Reader) error {
		_, err := fmt.Fscan(r, &n)
		return err
	})
	return n, err
}

// violations are breaches of the target's contract.
func (s *sink) violations(ctx context.Context) (list []string) {
	err := s.ask(ctx, http.MethodGet, "/violations", func(r io.Reader) error { return json.NewDecoder(r).Decode(&list) })
	if err != nil {
		return []string{err.Error()}
	}
	return list
}
