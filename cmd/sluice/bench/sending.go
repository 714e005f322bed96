//go:build unix

package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"
)

// push times how fast a channel that was away gets all that waits for it,
// beside the bare River's way and beside plain calls.
func (b *bench) push(ctx context.Context) error {
	b.say("plain POST")
	posts, err := b.posts(ctx)
	if err != nil {
		return err
	}
	jobs := min(b.Products, 20_000)
	b.say("bare River: %d jobs that do nothing", jobs)
	took, err := b.bare.drain(ctx, jobs, func(int) river.JobArgs { return nothingArgs{} })
	if err != nil {
		return fmt.Errorf("bare River: %w", err)
	}
	idle := perSecond(jobs, took)
	b.say("bare River: %d jobs that send", jobs)
	took, err = b.bare.drain(ctx, jobs, func(i int) river.JobArgs {
		return deliverArgs{Channel: i % channels, Product: i, Revision: 1}
	})
	if err != nil {
		return fmt.Errorf("bare River: %w", err)
	}
	sending := perSecond(jobs, took)
	note := fmt.Sprintf("one channel, %d calls in flight", pushConcurrency)
	one, err := b.drainChannels(ctx, "batch1", 0)
	if err != nil {
		return err
	}
	b.report.beside("listings pushed, batch 1", one, "listings/s", "bare River: claim, POST, complete", sending, atLeast(1), note)
	b.report.beside("listings pushed, batch 1", one, "listings/s", "plain POST", posts, nil, "")
	hundred, err := b.drainChannels(ctx, "batch100", 1)
	if err != nil {
		return err
	}
	b.report.beside("listings pushed, batch 100", hundred, "listings/s", "bare River: jobs that do nothing", idle, atLeast(1.5), note)
	more, err := b.drainChannels(ctx, "batch100x3", 2, 3, 4)
	if err != nil {
		return err
	}
	b.report.beside("listings pushed, batch 100, three channels", more, "listings/s", "bare River: jobs that do nothing", idle, nil, "")
	sold, err := b.sell(ctx)
	if err != nil {
		return err
	}
	b.report.beside("products made in a WooCommerce shop, batch 100", sold, "listings/s", "the same to the sink", hundred, atLeast(0.5),
		"looked for by SKU first, then made in batches")
	return nil
}

// sell times how long a shop that has nothing yet takes to have the whole
// catalogue: each product is looked for, and made.
func (b *bench) sell(ctx context.Context) (float64, error) {
	number, err := b.house.shop(ctx, b.sink)
	if err != nil {
		return 0, err
	}
	if err := b.house.marked(ctx); err != nil {
		return 0, err
	}
	b.say("push %d listings (woocommerce)", b.Products)
	stop, err := b.profile(ctx, "woocommerce")
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := b.house.resume(ctx, number); err != nil {
		return 0, err
	}
	if err := b.house.clean(ctx, number); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if err := stop(); err != nil {
		return 0, err
	}
	if n, err := b.sink.sold(ctx); err != nil || n != b.Products {
		return 0, errors.Join(fmt.Errorf("the shop has %d products, not %d", n, b.Products), err)
	}
	return perSecond(b.Products, took), b.house.remove(ctx, number)
}

// drainChannels resumes channels whose every listing waits, and times how long
// it takes until all are acknowledged.
func (b *bench) drainChannels(ctx context.Context, name string, numbers ...int) (float64, error) {
	b.say("push %d listings (%s)", b.Products*len(numbers), name)
	if err := b.sink.begin(ctx); err != nil {
		return 0, err
	}
	stop, err := b.profile(ctx, name)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := b.house.resume(ctx, numbers...); err != nil {
		return 0, err
	}
	want := b.Products * len(numbers)
	for n := 0; n < want; {
		if n, err = b.sink.count(ctx, want); err != nil {
			return 0, err
		}
	}
	for _, i := range numbers {
		if err := b.house.clean(ctx, i); err != nil {
			return 0, err
		}
	}
	took := time.Since(began)
	if err := stop(); err != nil {
		return 0, err
	}
	n, err := b.sink.count(ctx, want)
	if err != nil {
		return 0, err
	}
	if n != want {
		return 0, fmt.Errorf("%d listings arrived, not %d", n, want)
	}
	return perSecond(n, took), nil
}

// posts is the rate of plain calls to the target, with as many connections as
// a channel has.
func (b *bench) posts(ctx context.Context) (float64, error) {
	p, err := newPoster(b.sink, b.catalog, pushConcurrency)
	if err != nil {
		return 0, err
	}
	defer p.client.CloseIdleConnections()
	var next, done atomic.Int64
	began := time.Now()
	end := began.Add(b.span() / 2)
	g, gctx := errgroup.WithContext(ctx)
	for range pushConcurrency {
		g.Go(func() error {
			for time.Now().Before(end) {
				i := int(next.Add(1))
				if err := p.post(gctx, 0, i%b.Products, int64(i)); err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, fmt.Errorf("plain POST: %w", err)
	}
	rate := perSecond(int(done.Load()), time.Since(began))
	b.report.add("plain POST, keep-alive", rate, "calls/s", fmt.Sprintf("%d connections, one signed item of %d bytes", pushConcurrency, len(p.document)))
	return rate, nil
}
