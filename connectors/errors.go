package connectors

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// Verdict is what a failed call means for what happens next.
type Verdict string

// The verdicts. Success and pending are not errors; see Status.
const (
	// Throttled: nothing was applied; the channel waits for Error.After.
	Throttled Verdict = "throttled"
	// Unavailable: the target could not be reached or broke; the breaker counts it.
	Unavailable Verdict = "unavailable"
	// Auth: the target refuses our credentials; the channel waits as if it were down.
	Auth Verdict = "auth"
	// Validation: the target refuses this item; it is parked with its issues.
	Validation Verdict = "validation"
	// Conflict: the target holds something newer; the item is rendered and tried again.
	Conflict Verdict = "conflict"
	// Permanent: this request can never succeed as it is; the item is parked.
	Permanent Verdict = "permanent"
)

// Error is the only error that connectors return for a target's answer.
type Error struct {
	Verdict Verdict
	// After is when to come back, as the target said; 0 when it did not.
	After time.Duration
	// Uncertain: the request may have been, or may yet be, applied.
	Uncertain bool
	Issues    []pim.Issue
	Err       error // for people; holds no secret
}

// Error says the verdict and its cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return string(e.Verdict)
	}
	return fmt.Sprintf("%s: %v", e.Verdict, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// AsError finds the *Error in err. What no connector classified counts as
// Unavailable and uncertain: the safe reading of the unknown.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Verdict: Unavailable, Uncertain: true, Err: err}
}

// Certain reports whether err says that the target did not and will not apply
// the request.
func Certain(err error) bool { return !AsError(err).Uncertain }
