package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

// hookCall is a call of a channel's target.
type hookCall struct {
	CodePath
	RawInput
	HookHeader
}

// HookHeader takes a call's query and header as they came.
type HookHeader struct {
	query  string
	header http.Header
}

// Resolve implements huma.Resolver.
func (h *HookHeader) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	h.query, h.header = u.RawQuery, http.Header{}
	ctx.EachHeader(func(name, value string) { h.header.Add(name, value) })
	return nil
}

func (s *server) registerHooks() {
	handle(s, op("hook", http.MethodPost, "/v1/hooks/{code}", tagChannels, "Take a call of a channel's target, which says that something changed there",
		says("For the target's own webhooks, signed in its own way with the secret that the channel's config holds; no API key. "+
			"The target is read at once, and pending outcomes are asked for. What the body says beyond its signature does not matter."),
		noKey, anyQuery, takes(maxHook, map[string]*huma.Schema{typeAny: {}})), s.hook)
}

// anyQuery lets a target put what it likes into the address.
func anyQuery(o *huma.Operation) { o.SkipValidateParams = true }

func (s *server) hook(ctx context.Context, in *hookCall) (*struct{}, error) {
	code := pim.ChannelCode(in.Code)
	id, err := s.Channels.Hook(ctx, code, in.query, in.header, in.RawBody)
	if errors.Is(err, jobs.ErrRefused) {
		s.Log.InfoContext(ctx, "a hook's call was refused", "channel", code, "err", err)
		return nil, problem(http.StatusUnauthorized, "hook", "the call is not signed as the channel's connector asks for")
	}
	if closed, ok := errors.AsType[*jobs.ClosedError](err); ok { // why is nothing to a caller without a key
		s.Log.ErrorContext(ctx, "a hook's channel cannot be opened", "channel", code, "err", closed)
		return nil, problem(http.StatusServiceUnavailable, "unavailable", "the channel takes no calls at the moment")
	}
	if err != nil {
		return nil, err
	}
	s.wakeChannel(id)
	return nil, nil
}
