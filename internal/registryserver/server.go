// Package registryserver answers the calls of Feast's registry service, and of its REST form, from any registry backend. What
// is applied is checked and kept as [registry.Writer] does; objects are answered without their project, lists filtered,
// sorted and cut into pages, and errors written as Feast does. What a caller may see and change is decided here, by a
// [guard.Guard], for both forms.
package registryserver

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/exceptions"
	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/internal/protos/feast/core"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
)

// Server implements the service. Its backend has the records of all projects. It is safe for concurrent use, and must not be
// copied after the first call.
type Server struct {
	registrygrpc.UnimplementedRegistryServerServer

	Backend registry.Backend
	// Guard decides on calls; nil: all are allowed. Who calls is in the context, see [guard.Guard.Enter].
	Guard *guard.Guard
	// Project is the server's own: its permissions decide where a call names no project, or one that is not there.
	Project string
	// Now gives the time of changes; nil: time.Now.
	Now func() time.Time
	// PurgeMetadata is Feast's purge_feast_metadata.
	PurgeMetadata bool

	cache cache
}

var open = new(guard.Guard)

func (s *Server) guard() *guard.Guard {
	if s.Guard == nil {
		return open
	}
	return s.Guard
}

// StateHeader is metadata of answers over gRPC, which Feast does not have: it stands for the state of the registry that the
// answer was made from. A client that makes several calls sees by it whether the registry changed between them.
const StateHeader = "feast-registry-state"

func (s *Server) state(ctx context.Context) (*state, error) {
	pinned, _ := ctx.Value(pinKey{}).(*state)
	if pinned != nil {
		return pinned, nil
	}
	st, err := s.cache.get(ctx, s.Backend)
	if err == nil && st.token != "" {
		_ = grpc.SetHeader(ctx, metadata.Pairs(StateHeader, st.digest)) // the REST form has none
	}
	return st, err
}

type pinKey struct{}

// pinned returns a context whose calls all see the registry as it is now: for answers that several calls are made for.
func (s *Server) pinned(ctx context.Context) (context.Context, error) {
	st, err := s.state(ctx)
	if err != nil {
		return nil, err
	}
	return context.WithValue(ctx, pinKey{}, st), nil
}

// rules are the permissions that decide on objects of a project.
func (s *Server) rules(st *state, project string) *registry.Snapshot {
	if project == "" {
		project = s.Project
	}
	return st.project(project).snapshot()
}

// ruling are the permissions that decide on a project itself: its own, or the server's where it has none, so that nobody
// becomes the owner of what does not belong to anybody.
func (s *Server) ruling(st *state, project string) *registry.Snapshot {
	if own := st.project(project).snapshot(); len(own.Enforcer().Permissions()) > 0 {
		return own
	}
	return s.rules(st, "")
}

// of are the rules for an object.
func (s *Server) of(st *state, kind registry.Kind, project string) *registry.Snapshot {
	if kind == registry.KindProject {
		return s.ruling(st, project)
	}
	return s.rules(st, project)
}

func resource(i *item) permissions.Resource { return i.resource }

func projectNamed(name string) permissions.Resource {
	return permissions.Resource{Kind: permissions.Project, Name: name, Project: name}
}

// find returns an object that the caller may do the action with.
func (s *Server) find(ctx context.Context, project, name string, action permissions.Action, kinds ...registry.Kind) (*item, *state, error) {
	st, err := s.state(ctx)
	if err != nil {
		return nil, nil, err
	}
	i, err := s.findIn(ctx, st, project, name, action, kinds...)
	return i, st, err
}

func (s *Server) findIn(ctx context.Context, st *state, project, name string, action permissions.Action, kinds ...registry.Kind) (*item, error) {
	i, err := st.project(project).find(name, kinds...)
	if err != nil {
		return nil, err
	}
	return i, s.guard().Check(ctx, s.of(st, kinds[0], project), i.resource, action)
}

// get answers one object.
func get[P proto.Message](ctx context.Context, s *Server, kind registry.Kind, project, name string) (P, error) {
	var none P
	i, _, err := s.find(ctx, project, name, permissions.Describe, kind)
	if err != nil {
		return none, failed(err)
	}
	m, err := i.proto()
	if err != nil {
		return none, failed(err)
	}
	return m.(P), nil
}

// list answers objects of a kind.
func list[P proto.Message](ctx context.Context, s *Server, kind registry.Kind, project string, q query) ([]P, *pb.PaginationMetadata, error) {
	st, err := s.state(ctx)
	if err != nil {
		return nil, nil, failed(err)
	}
	found, page, err := s.list(ctx, st, project, q, kind)
	if err != nil {
		return nil, nil, failed(err)
	}
	messages := make([]P, len(found))
	for at, i := range found {
		m, err := i.proto()
		if err != nil {
			return nil, nil, failed(err)
		}
		messages[at] = m.(P)
	}
	return messages, page, nil
}

// list returns the objects that a caller may see, sorted, and those of a page.
func (s *Server) list(ctx context.Context, st *state, project string, q query, kinds ...registry.Kind) ([]*item, *pb.PaginationMetadata, error) {
	found, err := s.visible(ctx, st, project, q.wants, kinds...)
	if err != nil {
		return nil, nil, err
	}
	sortBy(found, q.sorting, (*item).attribute)
	found, page := paged(found, q.pagination)
	return found, page, nil
}

// visible returns the objects of the kinds that are wanted and that the caller may see.
func (s *Server) visible(ctx context.Context, st *state, project string, wanted func(*item) bool, kinds ...registry.Kind) ([]*item, error) {
	var found []*item
	for i := range st.project(project).all(kinds...) {
		if wanted(i) {
			found = append(found, i)
		}
	}
	return guard.Filter(ctx, s.guard(), s.rules(st, project), found, resource, permissions.Describe)
}

// visibleProjects returns the projects that the caller may do the action with.
func (s *Server) visibleProjects(ctx context.Context, st *state, action permissions.Action, wanted func(*item) bool) ([]*item, error) {
	var visible []*item
	for _, name := range st.names {
		i, err := st.project(name).find(name, registry.KindProject)
		if err != nil || !wanted(i) {
			continue
		}
		kept, err := guard.Filter(ctx, s.guard(), s.ruling(st, name), []*item{i}, resource, action)
		if err != nil {
			return nil, err
		}
		visible = append(visible, kept...)
	}
	return visible, nil
}

// describes checks that the caller may see a project, if it is there. There may be objects of a project without a record of
// it.
func (s *Server) describes(ctx context.Context, project string) (st *state, there bool, err error) {
	if st, err = s.state(ctx); err != nil {
		return nil, false, err
	}
	about := projectNamed(project)
	switch i, err := st.project(project).find(project, registry.KindProject); {
	case err == nil:
		about = i.resource
	case !errors.Is(err, feasterr.ErrNotFound):
		return nil, false, err
	case !st.has(project):
		return st, false, nil
	}
	return st, true, s.guard().Check(ctx, s.ruling(st, project), about, permissions.Describe)
}

func (s *Server) writer(project string) *registry.Writer {
	return &registry.Writer{Backend: s.Backend, Project: project, Now: s.Now, PurgeMetadata: s.PurgeMetadata}
}

// apply applies one object.
func (s *Server) apply(ctx context.Context, kind registry.Kind, project string, message proto.Message) (*emptypb.Empty, error) {
	return empty(s.applyObject(ctx, kind, project, message))
}

func (s *Server) applyObject(ctx context.Context, kind registry.Kind, project string, message proto.Message) error {
	if err := checkMessage(message); err != nil {
		return err
	}
	b, err := proto.Marshal(message)
	if err != nil {
		return err
	}
	r, err := registry.ReadRecord(kind, project, b)
	if err != nil {
		return err
	}
	o, err := registry.Decode(r)
	if err != nil {
		return err
	}
	st, err := s.state(ctx)
	if err != nil {
		return err
	}
	p := st.project(project)
	var existing *permissions.Resource
	if i, err := p.find(r.Name, kind); err == nil {
		existing = &i.resource
	}
	rules := s.of(st, kind, project)
	if kind != registry.KindProject {
		if err := s.creates(ctx, st, project); err != nil {
			return err
		}
	}
	if kind == registry.KindProject || s.checked(st, project) {
		if err := s.guard().CheckApply(ctx, rules, existing, o.Resource()); err != nil {
			return err
		}
	}
	if err := checkReferences(p, kind, o); err != nil {
		return err
	}
	w := s.writer(project)
	if !s.guard().Free(ctx) && s.checked(st, project) {
		w.BeforeCommit = func(ctx context.Context, c *registry.Commit) error { return s.checkChanges(ctx, rules, c.Diff) }
	}
	_, err = w.Apply(ctx, registry.ApplyRequest{Objects: []registry.Object{o}})
	return err
}

// creates checks that the caller may create the project that a change is about to make.
func (s *Server) creates(ctx context.Context, st *state, project string) error {
	switch {
	case project == "":
		return feasterr.Invalid("the call does not say in which project")
	case st.has(project):
		return nil
	}
	return s.guard().Check(ctx, s.ruling(st, project), projectNamed(project), permissions.Create)
}

// checked reports whether permissions decide on objects of a project: one that is not there yet has none.
func (s *Server) checked(st *state, project string) bool {
	return st.has(project) || s.guard().RequirePermissions
}

// checkChanges checks what is about to be written: what comes along with an object that is applied, such as the data sources
// of a view, and the object again, which somebody may have made or changed since it was looked at.
func (s *Server) checkChanges(ctx context.Context, rules *registry.Snapshot, d *registry.Diff) error {
	for _, c := range d.Changes {
		if c.New == nil || c.ID.Kind == registry.KindProject || c.ID.Name == registry.DummyEntity {
			continue
		}
		var existing *permissions.Resource
		switch c.Action {
		case registry.ActionCreate:
		case registry.ActionUpdate:
			existing = new(c.Old.Resource())
		default:
			continue
		}
		if err := s.guard().CheckApply(ctx, rules, existing, c.New.Resource()); err != nil {
			return err
		}
	}
	return nil
}

// delete deletes one object, of the first kind that has one of the name.
func (s *Server) delete(ctx context.Context, project, name string, kinds ...registry.Kind) (*emptypb.Empty, error) {
	i, _, err := s.find(ctx, project, name, permissions.Delete, kinds...)
	if err != nil {
		return nil, failed(err)
	}
	_, err = s.writer(project).Apply(ctx, registry.ApplyRequest{Delete: []registry.Object{i.object}})
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

// servedKinds are those that a list of all views shows.
var servedKinds = viewKinds[:3]

// DeleteFeatureView implements registrygrpc.RegistryServerServer, for views of all kinds.
func (s *Server) DeleteFeatureView(ctx context.Context, r *pb.DeleteFeatureViewRequest) (*emptypb.Empty, error) {
	return s.delete(ctx, r.GetProject(), r.GetName(), viewKinds...)
}

// GetAnyFeatureView implements registrygrpc.RegistryServerServer.
func (s *Server) GetAnyFeatureView(ctx context.Context, r *pb.GetAnyFeatureViewRequest) (*pb.GetAnyFeatureViewResponse, error) {
	i, _, err := s.find(ctx, r.GetProject(), r.GetName(), permissions.Describe, viewKinds...)
	if err != nil {
		return nil, failed(err)
	}
	v, err := i.any()
	if err != nil {
		return nil, failed(err)
	}
	return &pb.GetAnyFeatureViewResponse{AnyFeatureView: v}, nil
}

// any returns a view as the message for views of any kind.
func (i *item) any() (*pb.AnyFeatureView, error) {
	m, err := i.proto()
	switch m := m.(type) {
	case *core.FeatureView:
		return &pb.AnyFeatureView{AnyFeatureView: &pb.AnyFeatureView_FeatureView{FeatureView: m}}, nil
	case *core.StreamFeatureView:
		return &pb.AnyFeatureView{AnyFeatureView: &pb.AnyFeatureView_StreamFeatureView{StreamFeatureView: m}}, nil
	case *core.OnDemandFeatureView:
		return &pb.AnyFeatureView{AnyFeatureView: &pb.AnyFeatureView_OnDemandFeatureView{OnDemandFeatureView: m}}, nil
	case *core.LabelView:
		return &pb.AnyFeatureView{AnyFeatureView: &pb.AnyFeatureView_LabelView{LabelView: m}}, nil
	}
	return nil, err
}

// ListAllFeatureViews implements registrygrpc.RegistryServerServer. As in Feast, label views are not among them.
func (s *Server) ListAllFeatureViews(ctx context.Context, r *pb.ListAllFeatureViewsRequest) (*pb.ListAllFeatureViewsResponse, error) {
	st, err := s.state(ctx)
	if err != nil {
		return nil, failed(err)
	}
	q := query{r.GetTags(), r.GetPagination(), r.GetSorting(), nil}
	var since time.Time
	if r.GetUpdatedSince() != nil {
		since = r.GetUpdatedSince().AsTime()
	}
	var inService map[string]bool
	if r.GetFeatureService() != "" {
		inService = map[string]bool{}
		i, err := s.findIn(ctx, st, r.GetProject(), r.GetFeatureService(), permissions.Describe, registry.KindFeatureService)
		switch {
		case err == nil:
			for _, p := range i.object.(*registry.FeatureService).Features {
				inService[p.Name] = true
			}
		case errors.Is(err, feasterr.ErrNotFound), errors.Is(err, feasterr.ErrDenied): // no views are of it, as in Feast
		default:
			return nil, failed(err)
		}
	}
	q.keep = func(i *item) bool {
		info := i.object.(registry.View).Info()
		switch {
		case !since.IsZero() && i.updated().Before(since),
			r.GetEntity() != "" && !slices.Contains(info.Entities, r.GetEntity()),
			r.GetFeature() != "" && !slices.ContainsFunc(info.Features, func(f registry.Field) bool { return f.Name == r.GetFeature() }),
			inService != nil && !inService[info.Name],
			r.GetDataSource() != "" && !i.reads(r.GetDataSource()):
			return false
		}
		return true
	}
	found, page, err := s.list(ctx, st, r.GetProject(), q, servedKinds...)
	if err != nil {
		return nil, failed(err)
	}
	answer := &pb.ListAllFeatureViewsResponse{Pagination: page, FeatureViews: make([]*pb.AnyFeatureView, len(found))}
	for at, i := range found {
		if answer.FeatureViews[at], err = i.any(); err != nil {
			return nil, failed(err)
		}
	}
	return answer, nil
}

// reads reports whether a view has a data source of the name.
func (i *item) reads(name string) bool {
	if v, ok := i.object.(*registry.OnDemandFeatureView); ok {
		return slices.ContainsFunc(v.RequestSources, func(d *registry.DataSource) bool { return d.Name == name })
	}
	info := i.object.(registry.View).Info()
	return info.Source != nil && info.Source.Name == name || info.StreamSource != nil && info.StreamSource.Name == name
}

// ApplyMaterialization implements registrygrpc.RegistryServerServer. A view that is not there is no error, as in Feast.
func (s *Server) ApplyMaterialization(ctx context.Context, r *pb.ApplyMaterializationRequest) (*emptypb.Empty, error) {
	st, err := s.state(ctx)
	if err != nil {
		return nil, failed(err)
	}
	name := r.GetFeatureView().GetSpec().GetName()
	i, err := st.project(r.GetProject()).find(name, viewKinds...)
	if err != nil {
		return empty(ignoreNotFound(err))
	}
	if err := s.guard().Check(ctx, s.rules(st, r.GetProject()), i.resource, permissions.WriteOnline); err != nil {
		return nil, failed(err)
	}
	err = s.writer(r.GetProject()).ApplyMaterialization(ctx, name, r.GetStartDate().AsTime(), r.GetEndDate().AsTime())
	return empty(ignoreNotFound(err))
}

func ignoreNotFound(err error) error {
	if errors.Is(err, feasterr.ErrNotFound) {
		return nil
	}
	return err
}

// GetInfra implements registrygrpc.RegistryServerServer.
func (s *Server) GetInfra(ctx context.Context, r *pb.GetInfraRequest) (*core.Infra, error) {
	st, there, err := s.describes(ctx, r.GetProject())
	if err == nil && !there {
		err = s.guard().Check(ctx, s.ruling(st, r.GetProject()), projectNamed(r.GetProject()), permissions.Create)
	}
	if err != nil {
		return nil, failed(err)
	}
	m := new(core.Infra)
	for _, project := range []string{r.GetProject(), ""} {
		for _, rec := range st.Records {
			if rec.Kind == registry.KindInfra && rec.Project == project {
				if err := proto.Unmarshal(rec.Proto, m); err != nil {
					return nil, failed(feasterr.Invalid("%s cannot be read: %w", rec.ID, err))
				}
				return m, nil
			}
		}
	}
	return m, nil
}

// UpdateInfra implements registrygrpc.RegistryServerServer.
func (s *Server) UpdateInfra(ctx context.Context, r *pb.UpdateInfraRequest) (*emptypb.Empty, error) {
	if err := s.updates(ctx, r.GetProject()); err != nil {
		return nil, failed(err)
	}
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

// updates checks that the caller may change a project, or create it.
func (s *Server) updates(ctx context.Context, project string) error {
	st, err := s.state(ctx)
	if err != nil {
		return err
	}
	if !st.has(project) {
		return s.creates(ctx, st, project)
	}
	return s.mayUpdate(ctx, st, project)
}

// mayUpdate checks that the caller may change a project that is there.
func (s *Server) mayUpdate(ctx context.Context, st *state, project string) error {
	existing := projectNamed(project)
	if i, err := st.project(project).find(project, registry.KindProject); err == nil {
		existing = i.resource
	}
	return s.guard().CheckApply(ctx, s.ruling(st, project), &existing, projectNamed(project))
}

// ListProjectMetadata implements registrygrpc.RegistryServerServer.
func (s *Server) ListProjectMetadata(ctx context.Context, r *pb.ListProjectMetadataRequest) (*pb.ListProjectMetadataResponse, error) {
	st, _, err := s.describes(ctx, r.GetProject())
	if err != nil {
		return nil, failed(err)
	}
	answer := new(pb.ListProjectMetadataResponse)
	for _, rec := range st.Records {
		if rec.Kind != registry.KindProjectMetadata || rec.Project != r.GetProject() {
			continue
		}
		m := new(core.ProjectMetadata)
		if err := proto.Unmarshal(rec.Proto, m); err != nil {
			return nil, failed(feasterr.Invalid("%s cannot be read: %w", rec.ID, err))
		}
		answer.ProjectMetadata = append(answer.ProjectMetadata, m)
	}
	return answer, nil
}

// Commit implements registrygrpc.RegistryServerServer: every change is committed already. As in Feast it is refused to who
// may neither create nor change any project.
func (s *Server) Commit(ctx context.Context, _ *emptypb.Empty) (*emptypb.Empty, error) {
	if s.guard().Free(ctx) {
		return new(emptypb.Empty), nil
	}
	st, err := s.state(ctx)
	if err != nil {
		return nil, failed(err)
	}
	for _, action := range []permissions.Action{permissions.Update, permissions.Create} {
		can, err := s.visibleProjects(ctx, st, action, func(*item) bool { return true })
		if err != nil {
			return nil, failed(err)
		}
		if len(can) > 0 || len(st.names) == 0 {
			return new(emptypb.Empty), nil
		}
	}
	return nil, failed(&exceptions.Error{Exception: exceptions.Exception{
		Class:   exceptions.Permission,
		Message: "Permission error:\nNot authorized to commit registry changes: CREATE or UPDATE permission required on at least one project",
	}, Kind: feasterr.ErrDenied})
}

// Refresh implements registrygrpc.RegistryServerServer: every call sees the registry as it is.
func (s *Server) Refresh(ctx context.Context, r *pb.RefreshRequest) (*emptypb.Empty, error) {
	st, err := s.state(ctx)
	if err != nil {
		return nil, failed(err)
	}
	if !st.has(r.GetProject()) {
		return empty(nil) // as in Feast, whose clients refresh before they create a project
	}
	return empty(s.mayUpdate(ctx, st, r.GetProject()))
}

// Proto implements registrygrpc.RegistryServerServer: what the caller may see of all projects. Feast decides by the
// permissions of its own project alone; here those of each project decide on what is in it.
func (s *Server) Proto(ctx context.Context, _ *emptypb.Empty) (*core.Registry, error) {
	st, err := s.state(ctx)
	if err != nil {
		return nil, failed(err)
	}
	projects, err := s.visibleProjects(ctx, st, permissions.Describe, func(*item) bool { return true })
	if err != nil {
		return nil, failed(err)
	}
	answer := &core.Registry{VersionId: st.VersionID}
	if !st.LastUpdated.IsZero() {
		answer.LastUpdated = timestamp(st.LastUpdated)
	}
	m := answer.ProtoReflect()
	add := func(i *item) error {
		one, err := i.proto()
		if err != nil {
			return err
		}
		for at := range m.Descriptor().Fields().Len() {
			f := m.Descriptor().Fields().Get(at)
			if f.IsList() && f.Message() != nil && f.Message().FullName() == one.ProtoReflect().Descriptor().FullName() {
				m.Mutable(f).List().Append(protoValue(one))
			}
		}
		return nil
	}
	for _, p := range projects {
		if err := add(p); err != nil {
			return nil, failed(err)
		}
		name := p.resource.Name
		var found []*item
		for i := range st.project(name).all(objectKinds...) {
			found = append(found, i)
		}
		found, err := guard.Filter(ctx, s.guard(), s.ruling(st, name), found, resource, permissions.Describe)
		if err != nil {
			return nil, failed(err)
		}
		for _, i := range found {
			if err := add(i); err != nil {
				return nil, failed(err)
			}
		}
	}
	return answer, nil
}

// objectKinds are those of objects in a project.
var objectKinds = []registry.Kind{
	registry.KindEntity, registry.KindDataSource, registry.KindFeatureView, registry.KindStreamFeatureView,
	registry.KindOnDemandFeatureView, registry.KindLabelView, registry.KindFeatureService, registry.KindSavedDataset,
	registry.KindValidationReference, registry.KindPermission,
}

// GetDatasetJobStatus implements registrygrpc.RegistryServerServer: there are no such jobs, see CreateDatasetFromRetrieval.
func (s *Server) GetDatasetJobStatus(_ context.Context, r *pb.GetDatasetJobStatusRequest) (*pb.GetDatasetJobStatusResponse, error) {
	return nil, failed(notFound("Dataset job '" + r.GetJobId() + "' not found"))
}

// ListDatasetJobs implements registrygrpc.RegistryServerServer: there are none.
func (s *Server) ListDatasetJobs(context.Context, *pb.ListDatasetJobsRequest) (*pb.ListDatasetJobsResponse, error) {
	return new(pb.ListDatasetJobsResponse), nil
}

// CreateDatasetFromRetrieval implements registrygrpc.RegistryServerServer. It is not served: it makes the server of the
// registry read and write files by paths that callers name.
func (s *Server) CreateDatasetFromRetrieval(context.Context, *pb.CreateDatasetFromRetrievalRequest) (*pb.CreateDatasetFromRetrievalResponse, error) {
	return nil, failed(feasterr.Unsupported("this server makes no datasets: retrieve one with an offline store, and apply it"))
}

// GetDatasetData implements registrygrpc.RegistryServerServer. It is not served: the server keeps no offline store.
func (s *Server) GetDatasetData(context.Context, *pb.GetDatasetDataRequest) (*pb.GetDatasetDataResponse, error) {
	return nil, failed(feasterr.Unsupported("this server reads no datasets: read it with an offline store"))
}

// failure is an error of a call. Over gRPC it is a status as Feast writes it; the REST form looks at the error in it.
type failure struct{ error }

func failed(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}

func (f failure) Unwrap() error { return f.error }

// GRPCStatus returns the error as Feast writes it: Feast's own exceptions as JSON, others as text.
func (f failure) GRPCStatus() *status.Status {
	err := f.error
	if e, ok := exceptions.Of(err); ok {
		code := codes.Internal
		switch {
		case e.Class == exceptions.Permission:
			code = codes.PermissionDenied
		case errors.Is(err, feasterr.ErrNotFound) && e.Class != exceptions.PushSource:
			code = codes.NotFound
		}
		return status.New(code, e.JSON())
	}
	code := codes.Unknown
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err)
	case errors.Is(err, feasterr.ErrUnauthenticated):
		return status.New(codes.Unauthenticated, "Invalid or expired access token")
	case errors.Is(err, feasterr.ErrUnavailable):
		code = codes.Unavailable
	case errors.Is(err, feasterr.ErrUnsupported):
		code = codes.Unimplemented
	case errors.Is(err, feasterr.ErrConflict):
		code = codes.Aborted
	}
	return status.New(code, "Exception calling application: "+err.Error())
}

func notFound(text string) error {
	return &exceptions.Error{Exception: exceptions.Exception{Class: exceptions.NotFound, Message: text}, Kind: feasterr.ErrNotFound}
}
