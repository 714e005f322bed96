package connectors

import (
	"context"
	"net/http"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// Wire is the hub's hand on each HTTP request that a channel's connector makes:
// it lets requests pass at the channel's pace, and hears what was said. httpx
// calls it for every request, so that connectors need only hand Env.Wire on.
// Both methods are for many goroutines at once.
type Wire interface {
	// Pass waits until the channel may make one more request. Its error, an
	// *Error, means that the request is not to be begun.
	Pass(ctx context.Context) error
	// Heard is told of each request that Pass let through, when it is over. ctx
	// is the request's, and may have ended.
	Heard(ctx context.Context, x *Exchange)
}

// Exchange is one HTTP request and its answer, without secrets: credentials are
// taken out of the URL, the headers and the bodies.
type Exchange struct {
	Began    time.Time
	Took     time.Duration
	Method   string
	URL      string // without query and user
	Sent     int64  // bytes of the whole body, as far as it was read
	Status   int    // 0: there was no answer
	Header   http.Header
	Received int64
	Err      string // why there was no whole answer
	// Bodies gives the bodies, at most MaxExchange bytes of each; "" where there is
	// none, it is no text, or it is confided. To take secrets out costs time: it is
	// called once, and only for what is kept.
	Bodies func() (request, answer string)
}

type aboutKey struct{}

// About says which of a call's products the requests under the context that it
// gives are about. A connector that makes requests of their own for single items
// calls it, so that each can be found by its product; else all requests count as
// about all items of the call.
func About(ctx context.Context, skus ...pim.SKU) context.Context {
	return context.WithValue(ctx, aboutKey{}, skus)
}

// AboutOf is what About said last; nil: nothing.
func AboutOf(ctx context.Context) []pim.SKU {
	skus, _ := ctx.Value(aboutKey{}).([]pim.SKU)
	return skus
}

type confidedKey struct{}

// Confide has the bodies of the requests under the context that it gives told to
// nobody: a connector calls it where it opens a session, whose key no field's
// name may give away.
func Confide(ctx context.Context) context.Context {
	return context.WithValue(ctx, confidedKey{}, true)
}

// Confided reports whether Confide was called.
func Confided(ctx context.Context) bool { return ctx.Value(confidedKey{}) != nil }

// MaxExchange bounds how much of a body an Exchange holds, in bytes.
const MaxExchange = 32 << 10
