package remote

import (
	"google.golang.org/protobuf/proto"

	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/registry"
)

// methods are how objects of a kind are read.
type methods struct {
	kind    registry.Kind
	list    string // answers with objects as field 1
	request func(project string) proto.Message
	get     string
	named   func(project, name string) proto.Message
}

// kinds are those that the server lists, in the order of kinds. Nothing is read from its cache, which may be as old as
// its configuration allows.
var kinds = []methods{
	{
		registry.KindEntity, registrygrpc.RegistryServer_ListEntities_FullMethodName,
		func(project string) proto.Message { return &pb.ListEntitiesRequest{Project: project} },
		registrygrpc.RegistryServer_GetEntity_FullMethodName,
		func(project, name string) proto.Message { return &pb.GetEntityRequest{Project: project, Name: name} },
	},
	{
		registry.KindDataSource, registrygrpc.RegistryServer_ListDataSources_FullMethodName,
		func(project string) proto.Message { return &pb.ListDataSourcesRequest{Project: project} },
		registrygrpc.RegistryServer_GetDataSource_FullMethodName,
		func(project, name string) proto.Message {
			return &pb.GetDataSourceRequest{Project: project, Name: name}
		},
	},
	{
		registry.KindFeatureView, registrygrpc.RegistryServer_ListFeatureViews_FullMethodName,
		func(project string) proto.Message { return &pb.ListFeatureViewsRequest{Project: project} },
		registrygrpc.RegistryServer_GetFeatureView_FullMethodName,
		func(project, name string) proto.Message {
			return &pb.GetFeatureViewRequest{Project: project, Name: name}
		},
	},
	{
		registry.KindStreamFeatureView, registrygrpc.RegistryServer_ListStreamFeatureViews_FullMethodName,
		func(project string) proto.Message { return &pb.ListStreamFeatureViewsRequest{Project: project} },
		registrygrpc.RegistryServer_GetStreamFeatureView_FullMethodName,
		func(project, name string) proto.Message {
			return &pb.GetStreamFeatureViewRequest{Project: project, Name: name}
		},
	},
	{
		registry.KindOnDemandFeatureView, registrygrpc.RegistryServer_ListOnDemandFeatureViews_FullMethodName,
		func(project string) proto.Message { return &pb.ListOnDemandFeatureViewsRequest{Project: project} },
		registrygrpc.RegistryServer_GetOnDemandFeatureView_FullMethodName,
		func(project, name string) proto.Message {
			return &pb.GetOnDemandFeatureViewRequest{Project: project, Name: name}
		},
	},
	{
		registry.KindLabelView, registrygrpc.RegistryServer_ListLabelViews_FullMethodName,
		func(project string) proto.Message { return &pb.ListLabelViewsRequest{Project: project} },
		registrygrpc.RegistryServer_GetLabelView_FullMethodName,
		func(project, name string) proto.Message { return &pb.GetLabelViewRequest{Project: project, Name: name} },
	},
	{
		registry.KindFeatureService, registrygrpc.RegistryServer_ListFeatureServices_FullMethodName,
		func(project string) proto.Message { return &pb.ListFeatureServicesRequest{Project: project} },
		registrygrpc.RegistryServer_GetFeatureService_FullMethodName,
		func(project, name string) proto.Message {
			return &pb.GetFeatureServiceRequest{Project: project, Name: name}
		},
	},
	{
		registry.KindSavedDataset, registrygrpc.RegistryServer_ListSavedDatasets_FullMethodName,
		func(project string) proto.Message { return &pb.ListSavedDatasetsRequest{Project: project} },
		registrygrpc.RegistryServer_GetSavedDataset_FullMethodName,
		func(project, name string) proto.Message {
			return &pb.GetSavedDatasetRequest{Project: project, Name: name}
		},
	},
	{
		registry.KindValidationReference, registrygrpc.RegistryServer_ListValidationReferences_FullMethodName,
		func(project string) proto.Message { return &pb.ListValidationReferencesRequest{Project: project} },
		registrygrpc.RegistryServer_GetValidationReference_FullMethodName,
		func(project, name string) proto.Message {
			return &pb.GetValidationReferenceRequest{Project: project, Name: name}
		},
	},
	{
		registry.KindPermission, registrygrpc.RegistryServer_ListPermissions_FullMethodName,
		func(project string) proto.Message { return &pb.ListPermissionsRequest{Project: project} },
		registrygrpc.RegistryServer_GetPermission_FullMethodName,
		func(project, name string) proto.Message {
			return &pb.GetPermissionRequest{Project: project, Name: name}
		},
	},
	{
		registry.KindProject, registrygrpc.RegistryServer_ListProjects_FullMethodName,
		func(string) proto.Message { return &pb.ListProjectsRequest{} },
		registrygrpc.RegistryServer_GetProject_FullMethodName,
		func(_, name string) proto.Message { return &pb.GetProjectRequest{Name: name} },
	},
}

// methodsOf returns how objects of a kind are read; the zero value for records that are no objects.
func methodsOf(kind registry.Kind) methods {
	for _, k := range kinds {
		if k.kind == kind {
			return k
		}
	}
	return methods{}
}
