// Package registryserver answers the calls of Feast's registry service from any registry backend, with those rules that
// clients go by: what is applied is checked and kept as [registry.Writer] does, objects are answered without their project,
// and errors are written as Feast writes them. Lists are whole: they are not filtered, sorted or cut into pages. There is no
// authentication. What is not answered is UNIMPLEMENTED.
package registryserver

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/exceptions"
	"github.com/feastgo/feast/internal/protos/feast/core"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/registry"
)

// Server implements the service. Its backend has the records of all projects.
type Server struct {
	registrygrpc.UnimplementedRegistryServerServer

	Backend registry.Backend
	// Now gives the time of changes; nil: time.Now.
	Now func() time.Time
}

func (s *Server) writer(project string) *registry.Writer {
	return &registry.Writer{Backend: s.Backend, Project: project, Now: s.Now}
}

// records returns the records of some kinds, of one kind after the other, and of all projects when project is empty.
func (s *Server) records(ctx context.Context, project string, kinds ...registry.Kind) ([]registry.Record, error) {
	state, _, err := s.Backend.Load(ctx, "")
	if errors.Is(err, feasterr.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, failed(err)
	}
	var found []registry.Record
	for _, kind := range kinds {
		for _, r := range state.Records {
			if r.Kind == kind && (project == "" || r.Project == project) {
				found = append(found, r)
			}
		}
	}
	return found, nil
}

// record returns the record of that name.
func (s *Server) record(ctx context.Context, project, name string, kinds ...registry.Kind) (registry.Record, error) {
	found, err := s.records(ctx, project, kinds...)
	if err != nil {
		return registry.Record{}, err
	}
	for _, r := range found {
		if r.Name == name {
			return r, nil
		}
	}
	return registry.Record{}, failed(&feasterr.NotFoundError{Kind: kinds[0].String(), Name: name, Project: project})
}

// get answers one object.
func get[P proto.Message](ctx context.Context, s *Server, kind registry.Kind, project, name string, into P) (P, error) {
	r, err := s.record(ctx, project, name, kind)
	if err != nil {
		var none P
		return none, err
	}
	return into, decode(r, into)
}

// list answers all objects of a kind.
func list[M any, P interface {
	*M
	proto.Message
}](ctx context.Context, s *Server, kind registry.Kind, project string) ([]*M, *pb.PaginationMetadata, error) {
	found, err := s.records(ctx, project, kind)
	page := new(pb.PaginationMetadata)
	if err != nil || len(found) == 0 {
		return nil, page, err
	}
	objects := make([]*M, len(found))
	for i, r := range found {
		objects[i] = new(M)
		if err := decode(r, P(objects[i])); err != nil {
			return nil, page, err
		}
	}
	page.TotalCount, page.TotalPages = int32(len(found)), 1
	return objects, page, nil
}

// decode reads a record as it is answered, without its project.
func decode(r registry.Record, into proto.Message) error {
	if err := proto.Unmarshal(r.Proto, into); err != nil {
		return failed(feasterr.Invalid("%s cannot be read: %w", r.ID, err))
	}
	if r.Kind == registry.KindProject {
		return nil
	}
	m := into.ProtoReflect()
	if spec := m.Descriptor().Fields().ByName("spec"); spec != nil && m.Has(spec) {
		m = m.Mutable(spec).Message()
	}
	if f := m.Descriptor().Fields().ByName("project"); f != nil && f.Kind() == protoreflect.StringKind {
		m.Clear(f)
	}
	return nil
}

// apply applies one object.
func (s *Server) apply(ctx context.Context, kind registry.Kind, project string, message proto.Message) (*emptypb.Empty, error) {
	b, err := proto.Marshal(message)
	if err != nil {
		return nil, failed(err)
	}
	r, err := registry.ReadRecord(kind, project, b)
	if err != nil {
		return nil, failed(err)
	}
	o, err := registry.Decode(r)
	if err != nil {
		return nil, failed(err)
	}
	_, err = s.writer(project).Apply(ctx, registry.ApplyRequest{Objects: []registry.Object{o}})
	return empty(err)
}

// delete deletes one object.
func (s *Server) delete(ctx context.Context, project string, o registry.Object) (*emptypb.Empty, error) {
	_, err := s.writer(project).Apply(ctx, registry.ApplyRequest{Delete: []registry.Object{o}})
	return empty(err)
}

func empty(err error) (*emptypb.Empty, error) {
	if err != nil {
		return nil, failed(err)
	}
	return new(emptypb.Empty), nil
}

// ApplyFeatureView implements registrygrpc.RegistryServerServer.
func (s *Server) ApplyFeatureView(ctx context.Context, r *pb.ApplyFeatureViewRequest) (*emptypb.Empty, error) {
	switch v := r.GetBaseFeatureView().(type) {
	case *pb.ApplyFeatureViewRequest_FeatureView:
		return s.apply(ctx, registry.KindFeatureView, r.GetProject(), v.FeatureView)
	case *pb.ApplyFeatureViewRequest_StreamFeatureView:
		return s.apply(ctx, registry.KindStreamFeatureView, r.GetProject(), v.StreamFeatureView)
	case *pb.ApplyFeatureViewRequest_OnDemandFeatureView:
		return s.apply(ctx, registry.KindOnDemandFeatureView, r.GetProject(), v.OnDemandFeatureView)
	case *pb.ApplyFeatureViewRequest_LabelView:
		return s.apply(ctx, registry.KindLabelView, r.GetProject(), v.LabelView)
	}
	return nil, failed(feasterr.Invalid("Unexpected feature view type: None"))
}

// viewKinds is the order in which a view is looked for by its name.
var viewKinds = []registry.Kind{
	registry.KindFeatureView, registry.KindStreamFeatureView, registry.KindOnDemandFeatureView, registry.KindLabelView,
}

// DeleteFeatureView implements registrygrpc.RegistryServerServer, for views of all kinds.
func (s *Server) DeleteFeatureView(ctx context.Context, r *pb.DeleteFeatureViewRequest) (*emptypb.Empty, error) {
	v, err := s.record(ctx, r.GetProject(), r.GetName(), viewKinds...)
	if err != nil {
		return nil, err
	}
	views := map[registry.Kind]registry.Object{
		registry.KindFeatureView: &registry.FeatureView{Name: v.Name}, registry.KindStreamFeatureView: &registry.StreamFeatureView{Name: v.Name},
		registry.KindOnDemandFeatureView: &registry.OnDemandFeatureView{Name: v.Name}, registry.KindLabelView: &registry.LabelView{Name: v.Name},
	}
	return s.delete(ctx, v.Project, views[v.Kind])
}

// GetAnyFeatureView implements registrygrpc.RegistryServerServer.
func (s *Server) GetAnyFeatureView(ctx context.Context, r *pb.GetAnyFeatureViewRequest) (*pb.GetAnyFeatureViewResponse, error) {
	v, err := s.record(ctx, r.GetProject(), r.GetName(), viewKinds...)
	if err != nil {
		return nil, err
	}
	any := new(pb.AnyFeatureView)
	switch v.Kind {
	case registry.KindFeatureView:
		m := new(core.FeatureView)
		any.AnyFeatureView, err = &pb.AnyFeatureView_FeatureView{FeatureView: m}, decode(v, m)
	case registry.KindStreamFeatureView:
		m := new(core.StreamFeatureView)
		any.AnyFeatureView, err = &pb.AnyFeatureView_StreamFeatureView{StreamFeatureView: m}, decode(v, m)
	case registry.KindOnDemandFeatureView:
		m := new(core.OnDemandFeatureView)
		any.AnyFeatureView, err = &pb.AnyFeatureView_OnDemandFeatureView{OnDemandFeatureView: m}, decode(v, m)
	case registry.KindLabelView:
		m := new(core.LabelView)
		any.AnyFeatureView, err = &pb.AnyFeatureView_LabelView{LabelView: m}, decode(v, m)
	}
	return &pb.GetAnyFeatureViewResponse{AnyFeatureView: any}, err
}

// ApplyMaterialization implements registrygrpc.RegistryServerServer. A view that is not there is no error, as in Feast.
func (s *Server) ApplyMaterialization(ctx context.Context, r *pb.ApplyMaterializationRequest) (*emptypb.Empty, error) {
	err := s.writer(r.GetProject()).ApplyMaterialization(ctx, r.GetFeatureView().GetSpec().GetName(),
		r.GetStartDate().AsTime(), r.GetEndDate().AsTime())
	if errors.Is(err, feasterr.ErrNotFound) {
		err = nil
	}
	return empty(err)
}

// GetInfra implements registrygrpc.RegistryServerServer.
func (s *Server) GetInfra(ctx context.Context, r *pb.GetInfraRequest) (*core.Infra, error) {
	found, err := s.records(ctx, "", registry.KindInfra)
	if err != nil {
		return nil, err
	}
	for _, project := range []string{r.GetProject(), ""} {
		for _, rec := range found {
			if rec.Project == project {
				m := new(core.Infra)
				return m, decode(rec, m)
			}
		}
	}
	return new(core.Infra), nil
}

// UpdateInfra implements registrygrpc.RegistryServerServer.
func (s *Server) UpdateInfra(ctx context.Context, r *pb.UpdateInfraRequest) (*emptypb.Empty, error) {
	b, err := proto.Marshal(r.GetInfra())
	if err != nil {
		return nil, failed(err)
	}
	id := registry.ID{Kind: registry.KindInfra, Project: r.GetProject(), Name: registry.InfraName}
	_, err = s.Backend.Update(ctx, r.GetProject(), func(tx registry.Tx) error {
		return tx.Put(ctx, registry.Record{ID: id, Proto: b})
	})
	return empty(err)
}

// ListProjectMetadata implements registrygrpc.RegistryServerServer.
func (s *Server) ListProjectMetadata(ctx context.Context, r *pb.ListProjectMetadataRequest) (*pb.ListProjectMetadataResponse, error) {
	found, err := s.records(ctx, r.GetProject(), registry.KindProjectMetadata)
	if err != nil {
		return nil, err
	}
	answer := new(pb.ListProjectMetadataResponse)
	for _, rec := range found {
		m := new(core.ProjectMetadata)
		if err := proto.Unmarshal(rec.Proto, m); err != nil {
			return nil, failed(err)
		}
		answer.ProjectMetadata = append(answer.ProjectMetadata, m)
	}
	return answer, nil
}

// Commit implements registrygrpc.RegistryServerServer: every change is committed already.
func (s *Server) Commit(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return new(emptypb.Empty), nil
}

// Refresh implements registrygrpc.RegistryServerServer: every call reads the registry as it is.
func (s *Server) Refresh(context.Context, *pb.RefreshRequest) (*emptypb.Empty, error) {
	return new(emptypb.Empty), nil
}

// failed writes an error as Feast does: Feast's own exceptions as JSON, others as text.
func failed(err error) error {
	if e, ok := exceptions.Of(err); ok {
		code := codes.NotFound
		switch e.Class {
		case exceptions.Permission:
			code = codes.PermissionDenied
		case exceptions.PushSource:
			code = codes.Internal
		}
		return status.Error(code, e.JSON())
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, feasterr.ErrUnavailable):
		return status.Error(codes.Unavailable, "Exception calling application: "+err.Error())
	}
	return status.Error(codes.Unknown, "Exception calling application: "+err.Error())
}
