package api

import (
	"context"
	"net/http"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// ReferenceEntityView is a reference entity as the API shows it.
type ReferenceEntityView struct {
	pim.ReferenceEntity
	Records   int64     `json:"records" doc:"How many it has"`
	Revision  int64     `json:"revision" doc:"What the ETag names"`
	UpdatedAt time.Time `json:"updated_at"`
}

type entityAnswer struct {
	Status int
	ETag   string `header:"ETag" doc:"The reference entity's revision"`
	Body   ReferenceEntityView
}

func (s *server) registerEntities() {
	handle(s, op("list-reference-entities", http.MethodGet, "/v1/reference-entities", tagSchema, "List all reference entities by code"), s.listEntities)
	handle(s, op("get-reference-entity", http.MethodGet, "/v1/reference-entities/{code}", tagSchema, "Get a reference entity"), s.getEntity)
	handle(s, op("put-reference-entity", http.MethodPut, "/v1/reference-entities/{code}", tagSchema, "Create or replace a reference entity", creates,
		says("Its attributes keep their type, unit and localizable. Where they are others, products that show its records are looked at again. The same again changes nothing."),
		takesJSON[pim.ReferenceEntity](s, "code")), s.putEntity)
	deletes(s, op("delete-reference-entity", http.MethodDelete, "/v1/reference-entities/{code}", tagSchema, "Delete a reference entity that has no records, and that no attribute names"),
		s.Store.DeleteReferenceEntity)
}

// ViewReferenceEntity is a reference entity as the API shows it.
func ViewReferenceEntity(e postgres.ReferenceEntity) ReferenceEntityView {
	return ReferenceEntityView{ReferenceEntity: e.ReferenceEntity, Records: e.Records, Revision: e.Rev, UpdatedAt: e.UpdatedAt}
}

// ReadReferenceEntity reads a reference entity from JSON; code is told elsewhere.
// The error is a *pim.Invalid.
func ReadReferenceEntity(body []byte, code string) (pim.ReferenceEntity, error) {
	return decode[pim.ReferenceEntity](body, map[string]string{"code": code})
}

func (s *server) listEntities(ctx context.Context, _ *struct{}) (*answer[page[ReferenceEntityView]], error) {
	list, err := s.Store.ReferenceEntities(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]ReferenceEntityView, len(list))
	for i, e := range list {
		items[i] = ViewReferenceEntity(e)
	}
	return pageOf(items, ""), nil
}

func (s *server) getEntity(ctx context.Context, in *CodePath) (*entityAnswer, error) {
	e, err := s.Store.ReferenceEntity(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	return &entityAnswer{http.StatusOK, etag(e.Rev), ViewReferenceEntity(e)}, nil
}

func (s *server) entityRevision(ctx context.Context, code string) (int64, error) {
	e, err := s.Store.ReferenceEntity(ctx, code)
	return e.Rev, err
}

func (s *server) putEntity(ctx context.Context, in *putCode) (*entityAnswer, error) {
	e, err := ReadReferenceEntity(in.RawBody, in.Code)
	if err != nil {
		return nil, err
	}
	var a *entityAnswer
	err = s.atRevision(in.IfMatch, func() (int64, error) { return s.entityRevision(ctx, in.Code) }, func(rev int64) error {
		now, fresh, err := s.Store.PutReferenceEntity(ctx, e, rev)
		if err == nil {
			a = &entityAnswer{created(!fresh), etag(now.Rev), ViewReferenceEntity(now)}
		}
		return err
	})
	return a, err
}
