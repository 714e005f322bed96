package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/sluicehub/sluice/jobs/importing"
	"github.com/sluicehub/sluice/pim/postgres"
)

// ImportProfile is a name for options of imports.
type ImportProfile struct {
	Code      string            `json:"code"`
	Options   importing.Options `json:"options"`
	CreatedAt time.Time         `json:"created_at"`
	UpdatedAt time.Time         `json:"updated_at"`
}

// ImportProfileSpec is what a profile is made of.
type ImportProfileSpec struct {
	Code    string            `json:"code,omitempty"`
	Options importing.Options `json:"options"`
}

func (s *server) registerImportProfiles() {
	handle(s, op("list-import-profiles", http.MethodGet, "/v1/import-profiles", tagImports, "List saved options of imports"), s.listImportProfiles)
	handle(s, op("get-import-profile", http.MethodGet, "/v1/import-profiles/{code}", tagImports, "Get saved options of imports"), s.getImportProfile)
	handle(s, op("put-import-profile", http.MethodPut, "/v1/import-profiles/{code}", tagImports, "Save options of imports under a name",
		says("An import takes them with the option profile; what it says itself counts more."), creates, takesJSON[ImportProfileSpec](s)), s.putImportProfile)
	deletes(s, op("delete-import-profile", http.MethodDelete, "/v1/import-profiles/{code}", tagImports, "Delete saved options of imports"),
		s.Store.DeleteImportProfile)
}

func viewProfile(p postgres.ImportProfile) (ImportProfile, error) {
	v := ImportProfile{Code: p.Code, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt}
	return v, json.Unmarshal(p.Options, &v.Options)
}

func (s *server) listImportProfiles(ctx context.Context, in *sortedPages) (*answer[page[ImportProfile]], error) {
	list, next, err := s.Store.ImportProfiles(ctx, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	items := make([]ImportProfile, len(list))
	for i, p := range list {
		if items[i], err = viewProfile(p); err != nil {
			return nil, err
		}
	}
	return pageOf(items, next), nil
}

func (s *server) getImportProfile(ctx context.Context, in *CodePath) (*definitionAnswer[ImportProfile], error) {
	p, err := s.Store.ImportProfile(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	v, err := viewProfile(p)
	return &definitionAnswer[ImportProfile]{http.StatusOK, etag(p.Rev), v}, err
}

func (s *server) putImportProfile(ctx context.Context, in *putCode) (*definitionAnswer[ImportProfile], error) {
	spec, err := decode[ImportProfileSpec](in.RawBody, map[string]string{"code": in.Code})
	if err != nil {
		return nil, err
	}
	revision := func() (int64, error) {
		p, err := s.Store.ImportProfile(ctx, in.Code)
		return p.Rev, err
	}
	var a *definitionAnswer[ImportProfile]
	err = s.atRevision(in.IfMatch, revision, func(rev int64) error {
		was, err := revision()
		if err != nil && !errors.Is(err, postgres.ErrNotFound) {
			return err
		}
		p, err := importing.SaveProfile(ctx, s.Store, in.Code, spec.Options, rev)
		if err != nil {
			return err
		}
		v, err := viewProfile(p)
		a = &definitionAnswer[ImportProfile]{created(was > 0), etag(p.Rev), v}
		return err
	})
	return a, err
}
