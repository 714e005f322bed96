package api

import (
	"context"
	"net/http"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// AssociationTypeView is an association type as the API shows it.
type AssociationTypeView struct {
	pim.AssociationType
	Revision  int64     `json:"revision" doc:"What the ETag names"`
	UpdatedAt time.Time `json:"updated_at"`
}

type associationTypeAnswer struct {
	Status int
	ETag   string `header:"ETag" doc:"The association type's revision"`
	Body   AssociationTypeView
}

func (s *server) registerAssociationTypes() {
	handle(s, op("list-association-types", http.MethodGet, "/v1/association-types", tagSchema, "List all association types by code"), s.listAssociationTypes)
	handle(s, op("get-association-type", http.MethodGet, "/v1/association-types/{code}", tagSchema, "Get an association type"), s.getAssociationType)
	handle(s, op("put-association-type", http.MethodPut, "/v1/association-types/{code}", tagSchema, "Create or replace an association type", creates,
		says("two_way and quantified stay as they are once the type is there. The same again changes nothing."), takesJSON[pim.AssociationType](s, "code")), s.putAssociationType)
	deletes(s, op("delete-association-type", http.MethodDelete, "/v1/association-types/{code}", tagSchema, "Delete an association type that no product has associations of"),
		s.Store.DeleteAssociationType)
}

// ViewAssociationType is an association type as the API shows it.
func ViewAssociationType(t postgres.AssociationType) AssociationTypeView {
	return AssociationTypeView{AssociationType: t.AssociationType, Revision: t.Rev, UpdatedAt: t.UpdatedAt}
}

func (s *server) listAssociationTypes(ctx context.Context, _ *struct{}) (*answer[page[AssociationTypeView]], error) {
	list, err := s.Store.AssociationTypes(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]AssociationTypeView, len(list))
	for i, t := range list {
		items[i] = ViewAssociationType(t)
	}
	return pageOf(items, ""), nil
}

func (s *server) getAssociationType(ctx context.Context, in *CodePath) (*associationTypeAnswer, error) {
	t, err := s.Store.AssociationType(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	return &associationTypeAnswer{http.StatusOK, etag(t.Rev), ViewAssociationType(t)}, nil
}

func (s *server) associationTypeRevision(ctx context.Context, code string) (int64, error) {
	t, err := s.Store.AssociationType(ctx, code)
	return t.Rev, err
}

func (s *server) putAssociationType(ctx context.Context, in *putCode) (*associationTypeAnswer, error) {
	t, err := decode[pim.AssociationType](in.RawBody, map[string]string{"code": in.Code})
	if err != nil {
		return nil, err
	}
	var a *associationTypeAnswer
	err = s.atRevision(in.IfMatch, func() (int64, error) { return s.associationTypeRevision(ctx, in.Code) }, func(rev int64) error {
		now, fresh, err := s.Store.PutAssociationType(ctx, t, rev)
		if err == nil {
			a = &associationTypeAnswer{created(!fresh), etag(now.Rev), ViewAssociationType(now)}
		}
		return err
	})
	return a, err
}
