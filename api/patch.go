package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// What is got and put by its code can be patched (RFC 7396): what GET shows is
// merged with the body, and put at the revision that it was got at, again and again
// while others are faster. It is made of the operations that are registered, as
// batches are, so a new resource has its patch without a line of its own.

const putPrefix, patchPrefix = "put-", "patch-"

const (
	metaShown = "shown" // the member of what GET answers that PUT takes; none: all of it
	metaKept  = "kept"  // members that PUT leaves as they are where its body has none
	metaMeans = "means" // what a body stands for, see means
)

// shownAs says of a PUT that its body is a member of what GET answers.
func shownAs(member string) func(*huma.Operation) {
	return func(o *huma.Operation) { o.Metadata[metaShown] = member }
}

// keeps says of a PUT that it leaves members, or without a name all, as they are
// where its body has none.
func keeps(members ...string) func(*huma.Operation) {
	return func(o *huma.Operation) { o.Metadata[metaKept] = members }
}

// means says of a PUT what its body stands for, beside what GET shows: with the
// defaults of what is left out, where those are not nothing.
func means(of func(shown, body map[string]any) (map[string]any, error)) func(*huma.Operation) {
	return func(o *huma.Operation) { o.Metadata[metaMeans] = of }
}

// meantEnabled is a body of what is enabled where it does not say.
func meantEnabled(_, body map[string]any) (map[string]any, error) {
	whole := maps.Clone(body)
	if whole["enabled"] == nil {
		whole["enabled"] = true
	}
	return whole, nil
}

const patchText = "What the body names changes, null takes back to what PUT makes of a member that is left out, and the rest stays, secrets too."

// registerPatches makes a patch of each collection with a GET and a PUT by code that
// has none of its own.
func (s *server) registerPatches() {
	for _, key := range slices.Sorted(maps.Keys(s.singles)) {
		put := s.singles[key]
		path := put.op.Path
		get, read := s.singles[http.MethodGet+" "+path]
		_, own := s.singles[http.MethodPatch+" "+path]
		if put.op.Method != http.MethodPut || put.op.RequestBody == nil || !read || own {
			continue
		}
		p := &patched{server: s, get: get, put: put}
		taken := s.members(&put.op)
		p.members = slices.DeleteFunc(shows(get, put), func(name string) bool { return taken[name] == nil })
		if kept, is := put.op.Metadata[metaKept].([]string); is {
			if p.kept = kept; len(kept) == 0 {
				p.kept = p.members
			}
		}
		what := strings.TrimPrefix(put.op.OperationID, putPrefix)
		article := "a "
		if strings.ContainsAny(what[:1], "aeiou") {
			article = "an "
		}
		o := op(patchPrefix+what, http.MethodPatch, path, put.op.Tags[0], "Change what the body names of "+article+strings.ReplaceAll(what, "-", " ")+" (JSON merge patch, RFC 7396)",
			says(patchText), takes(maxEdit, map[string]*huma.Schema{typeMerge: anyObject(), typeJSON: anyObject()}))
		if put.op.Metadata[metaSlow] != nil {
			takesLong(&o)
		}
		put.patch(o, p.patch)
	}
}

type deleteCode struct {
	CodePath
	Preconditions
}

// deletes registers a deletion by code, under an If-Match where there is one: the
// revision is what the registered GET has as its ETag, and what is deleted has to be
// at it, where rev is not 0; else ErrStale.
func deletes(s *server, o huma.Operation, do func(ctx context.Context, code string, rev int64) error) {
	handle(s, o, func(ctx context.Context, in *deleteCode) (*struct{}, error) {
		current := func() (int64, error) {
			now, err := s.singles[http.MethodGet+" "+o.Path].run(ctx, in.Code, "", nil)
			if err != nil {
				return 0, err
			}
			return revisionOf(now), nil
		}
		return nil, s.atRevision(in.IfMatch, current, func(rev int64) error { return do(ctx, in.Code, rev) })
	})
}

// memberType is the type of a struct's member of that JSON name.
func memberType(t reflect.Type, name string) reflect.Type {
	for _, f := range reflect.VisibleFields(t) {
		if is, _, _ := strings.Cut(f.Tag.Get("json"), ","); is == name {
			return f.Type
		}
	}
	panic("api: no member " + name + " in " + t.String())
}

// shows are the members of what GET shows that a PUT of the same may take.
func shows(get, put single) []string {
	t := get.body
	if member, _ := put.op.Metadata[metaShown].(string); member != "" {
		t = memberType(t, member)
	}
	return membersOf(t)
}

// shownBy are those members of one answer of GET.
func shownBy(now any, put single) (map[string]any, error) {
	shown, err := asMembers(reflect.Indirect(reflect.ValueOf(now)).FieldByName("Body").Interface())
	if member, _ := put.op.Metadata[metaShown].(string); member != "" {
		shown, _ = shown[member].(map[string]any)
	}
	return shown, err
}

// patched is what a patch works on.
type patched struct {
	*server
	get, put single
	members  []string // that GET shows and PUT takes
	kept     []string
}

func (p *patched) patch(ctx context.Context, in *putCode) (any, error) {
	v, err := pim.DecodeJSON(in.RawBody, 0)
	if err != nil {
		return nil, err
	}
	body, err := p.check(v, in.Code)
	if err != nil {
		return nil, err
	}
	want, wrong := parseIfMatch(in.IfMatch)
	if wrong != nil {
		return nil, wrong
	}
	for race := 0; ; race++ {
		now, err := p.get.run(ctx, in.Code, "", nil)
		if err != nil {
			return nil, err
		}
		rev := revisionOf(now)
		if want.given && !want.any && !slices.Contains(want.revisions, rev) {
			return nil, stale(rev)
		}
		whole, err := p.merged(now, body)
		if err != nil {
			return nil, err
		}
		out, err := p.put.run(ctx, in.Code, etag(rev), written(whole))
		if refused, is := errors.AsType[*Problem](err); race < maxRaces && (errors.Is(err, postgres.ErrStale) || is && refused.Status == http.StatusPreconditionFailed) {
			continue
		}
		return out, err
	}
}

// check gives a patch's members, of those that there are.
func (p *patched) check(v any, code string) (map[string]any, error) {
	body, ok := v.(map[string]any)
	if !ok {
		return nil, &pim.Invalid{Problems: []pim.Problem{{Code: "field.type", Detail: "an object is expected, not " + kindOf(v)}}}
	}
	var b binder
	if told, has := body["code"]; has && told != code {
		b.fault("/code", "field.address", "the address says another one")
	}
	for _, name := range p.kept {
		if v, has := body[name]; has && v == nil {
			b.fault(pim.JoinPointer("", name), "field.null", "this cannot be taken away: give the value that it is to have")
		}
	}
	b.finish(body, append([]string{"code"}, p.members...)...)
	if len(b.problems) > 0 {
		return nil, &pim.Invalid{Problems: b.problems}
	}
	return body, nil
}

// merged is the body of the PUT that makes of now what a patch says. What PUT keeps
// anyway is told to it only where the patch names it.
func (p *patched) merged(now any, body map[string]any) (map[string]any, error) {
	shown, err := shownBy(now, p.put)
	if err != nil {
		return nil, err
	}
	whole := map[string]any{}
	for _, name := range p.members {
		_, named := body[name]
		if v, is := shown[name]; is && (named || !slices.Contains(p.kept, name)) {
			whole[name] = v
		}
	}
	out := mergeSettings(whole, body)
	if !slices.Contains(p.members, "code") {
		delete(out, "code")
	}
	return out, nil
}
