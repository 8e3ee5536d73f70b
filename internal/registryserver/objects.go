package registryserver

import (
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/feastgo/feast/internal/protos/feast/core"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
)

// GetEntity implements registrygrpc.RegistryServerServer.
func (s *Server) GetEntity(ctx context.Context, r *pb.GetEntityRequest) (*core.Entity, error) {
	return get[*core.Entity](ctx, s, registry.KindEntity, r.GetProject(), r.GetName())
}

// ListEntities implements registrygrpc.RegistryServerServer.
func (s *Server) ListEntities(ctx context.Context, r *pb.ListEntitiesRequest) (*pb.ListEntitiesResponse, error) {
	found, page, err := list[*core.Entity](ctx, s, registry.KindEntity, r.GetProject(), query{r.GetTags(), r.GetPagination(), r.GetSorting(), nil})
	if err != nil {
		return nil, err
	}
	return &pb.ListEntitiesResponse{Entities: found, Pagination: page}, nil
}

// ApplyEntity implements registrygrpc.RegistryServerServer.
func (s *Server) ApplyEntity(ctx context.Context, r *pb.ApplyEntityRequest) (*emptypb.Empty, error) {
	return s.apply(ctx, registry.KindEntity, r.GetProject(), r.GetEntity())
}

// DeleteEntity implements registrygrpc.RegistryServerServer.
func (s *Server) DeleteEntity(ctx context.Context, r *pb.DeleteEntityRequest) (*emptypb.Empty, error) {
	return s.delete(ctx, r.GetProject(), r.GetName(), registry.KindEntity)
}

// GetDataSource implements registrygrpc.RegistryServerServer.
func (s *Server) GetDataSource(ctx context.Context, r *pb.GetDataSourceRequest) (*core.DataSource, error) {
	return get[*core.DataSource](ctx, s, registry.KindDataSource, r.GetProject(), r.GetName())
}

// ListDataSources implements registrygrpc.RegistryServerServer.
func (s *Server) ListDataSources(ctx context.Context, r *pb.ListDataSourcesRequest) (*pb.ListDataSourcesResponse, error) {
	found, page, err := list[*core.DataSource](ctx, s, registry.KindDataSource, r.GetProject(), query{r.GetTags(), r.GetPagination(), r.GetSorting(), nil})
	if err != nil {
		return nil, err
	}
	return &pb.ListDataSourcesResponse{DataSources: found, Pagination: page}, nil
}

// ApplyDataSource implements registrygrpc.RegistryServerServer.
func (s *Server) ApplyDataSource(ctx context.Context, r *pb.ApplyDataSourceRequest) (*emptypb.Empty, error) {
	return s.apply(ctx, registry.KindDataSource, r.GetProject(), r.GetDataSource())
}

// DeleteDataSource implements registrygrpc.RegistryServerServer.
func (s *Server) DeleteDataSource(ctx context.Context, r *pb.DeleteDataSourceRequest) (*emptypb.Empty, error) {
	return s.delete(ctx, r.GetProject(), r.GetName(), registry.KindDataSource)
}

// GetFeatureView implements registrygrpc.RegistryServerServer.
func (s *Server) GetFeatureView(ctx context.Context, r *pb.GetFeatureViewRequest) (*core.FeatureView, error) {
	return get[*core.FeatureView](ctx, s, registry.KindFeatureView, r.GetProject(), r.GetName())
}

// ListFeatureViews implements registrygrpc.RegistryServerServer.
func (s *Server) ListFeatureViews(ctx context.Context, r *pb.ListFeatureViewsRequest) (*pb.ListFeatureViewsResponse, error) {
	found, page, err := list[*core.FeatureView](ctx, s, registry.KindFeatureView, r.GetProject(), query{r.GetTags(), r.GetPagination(), r.GetSorting(), nil})
	if err != nil {
		return nil, err
	}
	return &pb.ListFeatureViewsResponse{FeatureViews: found, Pagination: page}, nil
}

// GetStreamFeatureView implements registrygrpc.RegistryServerServer.
func (s *Server) GetStreamFeatureView(ctx context.Context, r *pb.GetStreamFeatureViewRequest) (*core.StreamFeatureView, error) {
	return get[*core.StreamFeatureView](ctx, s, registry.KindStreamFeatureView, r.GetProject(), r.GetName())
}

// ListStreamFeatureViews implements registrygrpc.RegistryServerServer.
func (s *Server) ListStreamFeatureViews(ctx context.Context, r *pb.ListStreamFeatureViewsRequest) (*pb.ListStreamFeatureViewsResponse, error) {
	found, page, err := list[*core.StreamFeatureView](ctx, s, registry.KindStreamFeatureView, r.GetProject(), query{r.GetTags(), r.GetPagination(), r.GetSorting(), nil})
	if err != nil {
		return nil, err
	}
	return &pb.ListStreamFeatureViewsResponse{StreamFeatureViews: found, Pagination: page}, nil
}

// GetOnDemandFeatureView implements registrygrpc.RegistryServerServer.
func (s *Server) GetOnDemandFeatureView(ctx context.Context, r *pb.GetOnDemandFeatureViewRequest) (*core.OnDemandFeatureView, error) {
	return get[*core.OnDemandFeatureView](ctx, s, registry.KindOnDemandFeatureView, r.GetProject(), r.GetName())
}

// ListOnDemandFeatureViews implements registrygrpc.RegistryServerServer.
func (s *Server) ListOnDemandFeatureViews(ctx context.Context, r *pb.ListOnDemandFeatureViewsRequest) (*pb.ListOnDemandFeatureViewsResponse, error) {
	found, page, err := list[*core.OnDemandFeatureView](ctx, s, registry.KindOnDemandFeatureView, r.GetProject(), query{r.GetTags(), r.GetPagination(), r.GetSorting(), nil})
	if err != nil {
		return nil, err
	}
	return &pb.ListOnDemandFeatureViewsResponse{OnDemandFeatureViews: found, Pagination: page}, nil
}

// GetLabelView implements registrygrpc.RegistryServerServer.
func (s *Server) GetLabelView(ctx context.Context, r *pb.GetLabelViewRequest) (*core.LabelView, error) {
	return get[*core.LabelView](ctx, s, registry.KindLabelView, r.GetProject(), r.GetName())
}

// ListLabelViews implements registrygrpc.RegistryServerServer.
func (s *Server) ListLabelViews(ctx context.Context, r *pb.ListLabelViewsRequest) (*pb.ListLabelViewsResponse, error) {
	found, page, err := list[*core.LabelView](ctx, s, registry.KindLabelView, r.GetProject(), query{r.GetTags(), r.GetPagination(), r.GetSorting(), nil})
	if err != nil {
		return nil, err
	}
	return &pb.ListLabelViewsResponse{LabelViews: found, Pagination: page}, nil
}

// GetFeatureService implements registrygrpc.RegistryServerServer.
func (s *Server) GetFeatureService(ctx context.Context, r *pb.GetFeatureServiceRequest) (*core.FeatureService, error) {
	return get[*core.FeatureService](ctx, s, registry.KindFeatureService, r.GetProject(), r.GetName())
}

// ListFeatureServices implements registrygrpc.RegistryServerServer.
func (s *Server) ListFeatureServices(ctx context.Context, r *pb.ListFeatureServicesRequest) (*pb.ListFeatureServicesResponse, error) {
	found, page, err := list[*core.FeatureService](ctx, s, registry.KindFeatureService, r.GetProject(),
		query{r.GetTags(), r.GetPagination(), r.GetSorting(), func(i *item) bool {
			return r.GetFeatureView() == "" || slices.ContainsFunc(i.object.(*registry.FeatureService).Features,
				func(p registry.FeatureViewProjection) bool { return p.Name == r.GetFeatureView() })
		}})
	if err != nil {
		return nil, err
	}
	return &pb.ListFeatureServicesResponse{FeatureServices: found, Pagination: page}, nil
}

// ApplyFeatureService implements registrygrpc.RegistryServerServer.
func (s *Server) ApplyFeatureService(ctx context.Context, r *pb.ApplyFeatureServiceRequest) (*emptypb.Empty, error) {
	return s.apply(ctx, registry.KindFeatureService, r.GetProject(), r.GetFeatureService())
}

// DeleteFeatureService implements registrygrpc.RegistryServerServer.
func (s *Server) DeleteFeatureService(ctx context.Context, r *pb.DeleteFeatureServiceRequest) (*emptypb.Empty, error) {
	return s.delete(ctx, r.GetProject(), r.GetName(), registry.KindFeatureService)
}

// GetSavedDataset implements registrygrpc.RegistryServerServer.
func (s *Server) GetSavedDataset(ctx context.Context, r *pb.GetSavedDatasetRequest) (*core.SavedDataset, error) {
	return get[*core.SavedDataset](ctx, s, registry.KindSavedDataset, r.GetProject(), r.GetName())
}

// ListSavedDatasets implements registrygrpc.RegistryServerServer.
func (s *Server) ListSavedDatasets(ctx context.Context, r *pb.ListSavedDatasetsRequest) (*pb.ListSavedDatasetsResponse, error) {
	found, page, err := list[*core.SavedDataset](ctx, s, registry.KindSavedDataset, r.GetProject(),
		query{r.GetTags(), r.GetPagination(), r.GetSorting(), func(i *item) bool {
			d := i.object.(*registry.SavedDataset)
			return (r.GetNamespace() == "" || d.Namespace == r.GetNamespace()) && (r.GetCollection() == "" || d.Collection == r.GetCollection())
		}})
	if err != nil {
		return nil, err
	}
	return &pb.ListSavedDatasetsResponse{SavedDatasets: found, Pagination: page}, nil
}

// ApplySavedDataset implements registrygrpc.RegistryServerServer.
func (s *Server) ApplySavedDataset(ctx context.Context, r *pb.ApplySavedDatasetRequest) (*emptypb.Empty, error) {
	return s.apply(ctx, registry.KindSavedDataset, r.GetProject(), r.GetSavedDataset())
}

// DeleteSavedDataset implements registrygrpc.RegistryServerServer.
func (s *Server) DeleteSavedDataset(ctx context.Context, r *pb.DeleteSavedDatasetRequest) (*emptypb.Empty, error) {
	return s.delete(ctx, r.GetProject(), r.GetName(), registry.KindSavedDataset)
}

// GetValidationReference implements registrygrpc.RegistryServerServer.
func (s *Server) GetValidationReference(ctx context.Context, r *pb.GetValidationReferenceRequest) (*core.ValidationReference, error) {
	return get[*core.ValidationReference](ctx, s, registry.KindValidationReference, r.GetProject(), r.GetName())
}

// ListValidationReferences implements registrygrpc.RegistryServerServer.
func (s *Server) ListValidationReferences(ctx context.Context, r *pb.ListValidationReferencesRequest) (*pb.ListValidationReferencesResponse, error) {
	found, page, err := list[*core.ValidationReference](ctx, s, registry.KindValidationReference, r.GetProject(), query{r.GetTags(), r.GetPagination(), r.GetSorting(), nil})
	if err != nil {
		return nil, err
	}
	return &pb.ListValidationReferencesResponse{ValidationReferences: found, Pagination: page}, nil
}

// ApplyValidationReference implements registrygrpc.RegistryServerServer.
func (s *Server) ApplyValidationReference(ctx context.Context, r *pb.ApplyValidationReferenceRequest) (*emptypb.Empty, error) {
	return s.apply(ctx, registry.KindValidationReference, r.GetProject(), r.GetValidationReference())
}

// DeleteValidationReference implements registrygrpc.RegistryServerServer.
func (s *Server) DeleteValidationReference(ctx context.Context, r *pb.DeleteValidationReferenceRequest) (*emptypb.Empty, error) {
	return s.delete(ctx, r.GetProject(), r.GetName(), registry.KindValidationReference)
}

// GetPermission implements registrygrpc.RegistryServerServer.
func (s *Server) GetPermission(ctx context.Context, r *pb.GetPermissionRequest) (*core.Permission, error) {
	return get[*core.Permission](ctx, s, registry.KindPermission, r.GetProject(), r.GetName())
}

// ListPermissions implements registrygrpc.RegistryServerServer.
func (s *Server) ListPermissions(ctx context.Context, r *pb.ListPermissionsRequest) (*pb.ListPermissionsResponse, error) {
	found, page, err := list[*core.Permission](ctx, s, registry.KindPermission, r.GetProject(), query{r.GetTags(), r.GetPagination(), r.GetSorting(), nil})
	if err != nil {
		return nil, err
	}
	return &pb.ListPermissionsResponse{Permissions: found, Pagination: page}, nil
}

// ApplyPermission implements registrygrpc.RegistryServerServer.
func (s *Server) ApplyPermission(ctx context.Context, r *pb.ApplyPermissionRequest) (*emptypb.Empty, error) {
	return s.apply(ctx, registry.KindPermission, r.GetProject(), r.GetPermission())
}

// DeletePermission implements registrygrpc.RegistryServerServer.
func (s *Server) DeletePermission(ctx context.Context, r *pb.DeletePermissionRequest) (*emptypb.Empty, error) {
	return s.delete(ctx, r.GetProject(), r.GetName(), registry.KindPermission)
}

// GetProject implements registrygrpc.RegistryServerServer.
func (s *Server) GetProject(ctx context.Context, r *pb.GetProjectRequest) (*core.Project, error) {
	return get[*core.Project](ctx, s, registry.KindProject, r.GetName(), r.GetName())
}

// ListProjects implements registrygrpc.RegistryServerServer. Those that Feast's operator protects are not among them.
func (s *Server) ListProjects(ctx context.Context, r *pb.ListProjectsRequest) (*pb.ListProjectsResponse, error) {
	st, err := s.state(ctx)
	if err != nil {
		return nil, failed(err)
	}
	q := query{r.GetTags(), r.GetPagination(), r.GetSorting(), func(i *item) bool { return i.resource.Tags[protectedTag] != "true" }}
	found, err := s.visibleProjects(ctx, st, permissions.Describe, q.wants)
	if err != nil {
		return nil, failed(err)
	}
	sortBy(found, q.sorting, (*item).attribute)
	found, page := paged(found, q.pagination)
	answer := &pb.ListProjectsResponse{Pagination: page, Projects: make([]*core.Project, len(found))}
	for at, i := range found {
		m, err := i.proto()
		if err != nil {
			return nil, failed(err)
		}
		answer.Projects[at] = m.(*core.Project)
	}
	return answer, nil
}

const protectedTag = "feast.dev/protected-project"

// ApplyProject implements registrygrpc.RegistryServerServer.
func (s *Server) ApplyProject(ctx context.Context, r *pb.ApplyProjectRequest) (*emptypb.Empty, error) {
	return s.apply(ctx, registry.KindProject, r.GetProject().GetSpec().GetName(), r.GetProject())
}

// DeleteProject implements registrygrpc.RegistryServerServer.
func (s *Server) DeleteProject(ctx context.Context, r *pb.DeleteProjectRequest) (*emptypb.Empty, error) {
	return s.delete(ctx, r.GetName(), r.GetName(), registry.KindProject)
}
