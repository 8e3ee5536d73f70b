package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/registry"
)

// ApplyObjects implements registry.Applier: one call for each change, in which the server commits it. To let it commit
// them together is no option: what it holds back is lost when somebody else reads its registry afresh.
//
// Times of objects, versions of views and the metadata of a project are the server's. Changes that others make between
// the reading and the writing are not noticed.
func (b *Backend) ApplyObjects(ctx context.Context, c *registry.ChangeSet) error {
	type change struct {
		id registry.ID
		do func(context.Context) error
	}
	var changes []change
	remove := func(id registry.ID) {
		changes = append(changes, change{id, func(ctx context.Context) error { return b.delete(ctx, c.Project, id) }})
	}
	for _, id := range c.Delete {
		if id.Kind == registry.KindProject {
			return b.delete(ctx, c.Project, id) // with all that is in it
		}
	}
	names := map[string]bool{} // of views that are put
	for _, r := range c.Put {
		if r.Kind.IsView() {
			names[r.Name] = true
		}
	}
	for _, id := range c.Delete {
		if id.Kind.IsView() && names[id.Name] { // of another kind
			remove(id)
		}
	}
	for _, r := range c.Put {
		do, err := b.put(c, r)
		if err != nil {
			return err
		}
		changes = append(changes, change{r.ID, do})
	}
	for _, id := range c.Delete {
		if !id.Kind.IsView() || !names[id.Name] {
			remove(id)
		}
	}

	var done []registry.ID
	for i, ch := range changes {
		err := ch.do(ctx)
		if err == nil {
			done = append(done, ch.id)
			continue
		}
		if errors.Is(err, feasterr.ErrDenied) && slices.Contains(c.Along, ch.id) {
			continue
		}
		if feasterr.Retryable(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w (it may have been done all the same)", err)
		}
		if len(done) == 0 {
			return fmt.Errorf("%s: %w", ch.id, err)
		}
		return &registry.UnfinishedError{Done: done, Failed: ch.id, Left: len(changes) - i - 1, Err: err}
	}
	return nil
}

// Teardown implements registry.Backend: it deletes all projects that the server lists. The registry itself stays, where
// the server keeps it.
func (b *Backend) Teardown(ctx context.Context) error {
	l, err := b.list(ctx, methodsOf(registry.KindProject), "")
	for _, r := range l.records {
		if err == nil {
			err = b.delete(ctx, r.Name, r.ID)
		}
	}
	return err
}

// put returns the call that puts a record.
func (b *Backend) put(c *registry.ChangeSet, r registry.Record) (func(context.Context) error, error) {
	if c.Window != nil {
		return b.materialized(c, r)
	}
	const commit = true
	project := c.Project
	switch r.Kind {
	case registry.KindProject:
		return send(b.client.ApplyProject, r, func(o *core.Project) *pb.ApplyProjectRequest {
			return &pb.ApplyProjectRequest{Project: o, Commit: commit}
		})
	case registry.KindEntity:
		return send(b.client.ApplyEntity, r, func(o *core.Entity) *pb.ApplyEntityRequest {
			return &pb.ApplyEntityRequest{Entity: o, Project: project, Commit: commit}
		})
	case registry.KindDataSource:
		return send(b.client.ApplyDataSource, r, func(o *core.DataSource) *pb.ApplyDataSourceRequest {
			return &pb.ApplyDataSourceRequest{DataSource: o, Project: project, Commit: commit}
		})
	case registry.KindFeatureView:
		return send(b.client.ApplyFeatureView, r, func(o *core.FeatureView) *pb.ApplyFeatureViewRequest {
			return &pb.ApplyFeatureViewRequest{
				BaseFeatureView: &pb.ApplyFeatureViewRequest_FeatureView{FeatureView: o}, Project: project, Commit: commit,
			}
		})
	case registry.KindStreamFeatureView:
		return send(b.client.ApplyFeatureView, r, func(o *core.StreamFeatureView) *pb.ApplyFeatureViewRequest {
			return &pb.ApplyFeatureViewRequest{
				BaseFeatureView: &pb.ApplyFeatureViewRequest_StreamFeatureView{StreamFeatureView: o}, Project: project, Commit: commit,
			}
		})
	case registry.KindOnDemandFeatureView:
		return send(b.client.ApplyFeatureView, r, func(o *core.OnDemandFeatureView) *pb.ApplyFeatureViewRequest {
			return &pb.ApplyFeatureViewRequest{
				BaseFeatureView: &pb.ApplyFeatureViewRequest_OnDemandFeatureView{OnDemandFeatureView: o}, Project: project, Commit: commit,
			}
		})
	case registry.KindLabelView:
		return send(b.client.ApplyFeatureView, r, func(o *core.LabelView) *pb.ApplyFeatureViewRequest {
			return &pb.ApplyFeatureViewRequest{
				BaseFeatureView: &pb.ApplyFeatureViewRequest_LabelView{LabelView: o}, Project: project, Commit: commit,
			}
		})
	case registry.KindFeatureService:
		return send(b.client.ApplyFeatureService, r, func(o *core.FeatureService) *pb.ApplyFeatureServiceRequest {
			return &pb.ApplyFeatureServiceRequest{FeatureService: o, Project: project, Commit: commit}
		})
	case registry.KindSavedDataset:
		return send(b.client.ApplySavedDataset, r, func(o *core.SavedDataset) *pb.ApplySavedDatasetRequest {
			return &pb.ApplySavedDatasetRequest{SavedDataset: o, Project: project, Commit: commit}
		})
	case registry.KindValidationReference:
		return send(b.client.ApplyValidationReference, r, func(o *core.ValidationReference) *pb.ApplyValidationReferenceRequest {
			return &pb.ApplyValidationReferenceRequest{ValidationReference: o, Project: project, Commit: commit}
		})
	case registry.KindPermission:
		return send(b.client.ApplyPermission, r, func(o *core.Permission) *pb.ApplyPermissionRequest {
			return &pb.ApplyPermissionRequest{Permission: o, Project: project, Commit: commit}
		})
	case registry.KindInfra:
		return send(b.client.UpdateInfra, r, func(o *core.Infra) *pb.UpdateInfraRequest {
			return &pb.UpdateInfraRequest{Infra: o, Project: project, Commit: commit}
		})
	}
	return nil, feasterr.Unsupported("%s cannot be applied through a registry server", r.ID)
}

// materialized returns the call that notes a materialization. The server finds the view by its name and keeps its kind;
// it is sent as a feature view, also a stream feature view.
func (b *Backend) materialized(c *registry.ChangeSet, r registry.Record) (func(context.Context) error, error) {
	request := func(v *core.FeatureView) *pb.ApplyMaterializationRequest {
		return &pb.ApplyMaterializationRequest{
			FeatureView: v, Project: c.Project, Commit: true,
			StartDate: timestamppb.New(c.Window.Start), EndDate: timestamppb.New(c.Window.End),
		}
	}
	if r.Kind == registry.KindStreamFeatureView {
		var stream core.StreamFeatureView
		if err := proto.Unmarshal(r.Proto, &stream); err != nil {
			return nil, feasterr.Invalid("%s cannot be read: %w", r.ID, err)
		}
		s := stream.GetSpec()
		v := &core.FeatureView{Spec: &core.FeatureViewSpec{
			Name: s.GetName(), Entities: s.GetEntities(), Features: s.GetFeatures(), EntityColumns: s.GetEntityColumns(),
			Tags: s.GetTags(), Ttl: s.GetTtl(), BatchSource: s.GetBatchSource(), Online: s.GetOnline(), Owner: s.GetOwner(),
		}}
		return call(b.client.ApplyMaterialization, request(v)), nil
	}
	return send(b.client.ApplyMaterialization, r, request)
}

// delete deletes an object. One that is not there is deleted: somebody else was first.
func (b *Backend) delete(ctx context.Context, project string, id registry.ID) error {
	const commit = true
	var do func(context.Context) error
	switch id.Kind {
	case registry.KindProject:
		do = call(b.client.DeleteProject, &pb.DeleteProjectRequest{Name: id.Name, Commit: commit})
	case registry.KindEntity:
		do = call(b.client.DeleteEntity, &pb.DeleteEntityRequest{Name: id.Name, Project: project, Commit: commit})
	case registry.KindDataSource:
		do = call(b.client.DeleteDataSource, &pb.DeleteDataSourceRequest{Name: id.Name, Project: project, Commit: commit})
	case registry.KindFeatureView, registry.KindStreamFeatureView, registry.KindOnDemandFeatureView, registry.KindLabelView:
		do = call(b.client.DeleteFeatureView, &pb.DeleteFeatureViewRequest{Name: id.Name, Project: project, Commit: commit})
	case registry.KindFeatureService:
		do = call(b.client.DeleteFeatureService, &pb.DeleteFeatureServiceRequest{Name: id.Name, Project: project, Commit: commit})
	case registry.KindSavedDataset:
		do = call(b.client.DeleteSavedDataset, &pb.DeleteSavedDatasetRequest{Name: id.Name, Project: project, Commit: commit})
	case registry.KindValidationReference:
		do = call(b.client.DeleteValidationReference, &pb.DeleteValidationReferenceRequest{Name: id.Name, Project: project, Commit: commit})
	case registry.KindPermission:
		do = call(b.client.DeletePermission, &pb.DeletePermissionRequest{Name: id.Name, Project: project, Commit: commit})
	default:
		return feasterr.Unsupported("%s cannot be deleted through a registry server", id)
	}
	if err := do(ctx); !errors.Is(err, feasterr.ErrNotFound) {
		return err
	}
	return nil
}
