package connectortest

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/sluicehub/sluice/connectors"
)

// give uploads a file and notes what was said.
func (r *run) give(ctx context.Context, to connectors.Uploader, f connectors.File) (string, error) {
	r.Helper()
	remote, err := to.Upload(ctx, f)
	r.hear(err)
	if err != nil && remote != "" {
		r.Errorf("an upload gives both a name, %q, and an error: %v", remote, err)
	}
	return remote, err
}

// arrives uploads a file and expects the target to keep it, byte by byte.
func (r *run) arrives(to connectors.Uploader, f connectors.File) string {
	r.Helper()
	remote, err := r.give(r.ctx, to, f)
	if err != nil {
		r.Fatalf("upload of %s: %v", f.Name, err)
	}
	if content, ok := r.Uploaded(remote); remote == "" || !ok || !bytes.Equal(content, f.Content) {
		r.Fatalf("upload of %s: the target keeps %d of %d bytes under %q, or others", f.Name, len(content), len(f.Content), remote)
	}
	return remote
}

// upload holds an Uploader against its promise and the verdicts.
func upload(r *run) {
	to, ok := r.Connector.(connectors.Uploader)
	if !ok {
		r.Log("the connector does not upload")
		return
	}
	every := make([]byte, 256) // what no text is
	for i := range every {
		every[i] = byte(i)
	}
	red := connectors.File{Name: "kettle.png", MediaType: "image/png", Content: append([]byte("\x89PNG\r\n\x1a\n"), every...)}
	blue := connectors.File{Name: "kettle.png", MediaType: "image/png", Content: append([]byte("\x89PNG\r\n\x1a\n--"), every...)}
	first := r.arrives(to, red)
	r.arrives(to, red) // again is allowed
	r.arrives(to, blue)
	// Neither a second copy nor another file of the same name changes the first.
	if content, ok := r.Uploaded(first); !ok || !bytes.Equal(content, red.Content) {
		r.Error("a later upload changed an earlier one")
	}

	const after = 7 * time.Second
	for _, c := range []struct {
		name      string
		fault     func()
		verdict   connectors.Verdict
		uncertain bool
	}{
		{"throttle", func() { r.Throttle(after) }, connectors.Throttled, false},
		{"credentials", r.Unauthorize, connectors.Auth, false},
		{"500", r.Fail, connectors.Unavailable, true},
		{"a lost answer", r.Lose, connectors.Unavailable, true},
		{"a broken answer", r.Garble, connectors.Unavailable, true},
	} {
		c.fault()
		_, err := r.give(r.ctx, to, red)
		if err == nil {
			r.Fatalf("upload under %s succeeds", c.name)
		}
		e := r.isError(err, c.verdict, c.uncertain)
		if e.Verdict == connectors.Throttled && e.After != after {
			r.Errorf("come back after %s, the target said %s", e.After, after)
		}
		r.Heal()
	}
	r.Endless()
	if _, err := r.give(r.ctx, to, red); err == nil || connectors.Certain(err) || r.ctx.Err() != nil {
		r.Errorf("an answer without an end: %v", err)
	}
	r.Heal()
	r.Refuse()
	// The first call may have gone out on the connection that died just now.
	if _, err := r.give(r.ctx, to, red); err == nil {
		r.Error("upload to a closed port succeeds")
	}
	_, err := r.give(r.ctx, to, red)
	r.isError(err, connectors.Unavailable, false)
	r.Heal()

	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	before := r.Calls()
	_, err = r.give(ctx, to, red)
	r.isError(err, connectors.Unavailable, false)
	if r.Calls() != before {
		r.Error("a cancelled upload was sent")
	}
	r.uploadHangs(to, red)
	r.arrives(to, red)
}

// uploadHangs cancels an upload that the target does not answer.
func (r *run) uploadHangs(to connectors.Uploader, f connectors.File) {
	r.Helper()
	r.Hang()
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := to.Upload(ctx, f)
		done <- err
	}()
	if err := r.WaitHanging(r.ctx); err != nil {
		r.Fatal(err)
	}
	cancel()
	select {
	case err := <-done:
		r.hear(err)
		r.isError(err, connectors.Unavailable, true)
		if !errors.Is(err, context.Canceled) {
			r.Errorf("the error does not tell of the cancellation: %v", err)
		}
	case <-r.ctx.Done():
		r.Fatal("the upload goes on after it was cancelled")
	}
	r.Heal()
}
