package remote_test

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/internal/registryserver"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
)

// BenchmarkLoad loads a project of 1,000 views with 50 features each, and 200 services; beside it a bare gRPC client that
// makes the same calls, the large ones one after the other or as many at a time, and keeps the answers as they are. The
// server answers from memory.
func BenchmarkLoad(b *testing.B) {
	backend := memory.New()
	source := &registry.DataSource{Name: "file", TimestampField: "ts", Options: registry.FileOptions{Path: "d.parquet"}}
	list := []registry.Object{&registry.Project{Name: "demo"}, &registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}, source}
	for v := range 1000 {
		view := &registry.FeatureView{Name: fmt.Sprintf("view_%d", v), Entities: []string{"driver"}, Source: source, Online: true}
		for f := range 50 {
			view.Schema = append(view.Schema, registry.Field{Name: fmt.Sprintf("feature_%d_%d", v, f), Type: types.Float64})
		}
		list = append(list, view)
		if v < 200 {
			list = append(list, &registry.FeatureService{
				Name: fmt.Sprintf("service_%d", v), Features: []registry.FeatureViewProjection{{Name: view.Name, Features: view.Schema}},
			})
		}
	}
	if err := backend.Put(b.Context(), "demo", list...); err != nil {
		b.Fatal(err)
	}
	// What the server answers is made beforehand: it would be most of what is measured.
	answers := map[string][]byte{}
	server := &registryserver.Server{Backend: backend}
	keep := func(method string, answer proto.Message, err error) {
		if err != nil {
			b.Fatal(err)
		}
		if answers[method], err = proto.Marshal(answer); err != nil {
			b.Fatal(err)
		}
	}
	ctx := b.Context()
	projects, err := server.ListProjects(ctx, &pb.ListProjectsRequest{})
	keep("ListProjects", projects, err)
	entities, err := server.ListEntities(ctx, &pb.ListEntitiesRequest{Project: "demo"})
	keep("ListEntities", entities, err)
	sources, err := server.ListDataSources(ctx, &pb.ListDataSourcesRequest{Project: "demo"})
	keep("ListDataSources", sources, err)
	views, err := server.ListFeatureViews(ctx, &pb.ListFeatureViewsRequest{Project: "demo"})
	keep("ListFeatureViews", views, err)
	services, err := server.ListFeatureServices(ctx, &pb.ListFeatureServicesRequest{Project: "demo"})
	keep("ListFeatureServices", services, err)
	size := 0
	for _, a := range answers {
		size += len(a)
	}
	p := &player{answer: func(method string) ([]byte, error) { return answers[method], nil }}
	address := serveOnly(b, grpc.UnknownServiceHandler(p.handle), grpc.ForceServerCodecV2(raw{}), grpc.MaxSendMsgSize(1<<30))

	b.Run("Bare", func(b *testing.B) {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.ForceCodecV2(raw{})))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		request, err := proto.Marshal(&pb.ListFeatureViewsRequest{Project: "demo"})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.SetBytes(int64(size))
		var held [][]byte
		for b.Loop() {
			held = held[:0]
			for _, method := range []string{
				registrygrpc.RegistryServer_ListProjects_FullMethodName, registrygrpc.RegistryServer_ListEntities_FullMethodName,
				registrygrpc.RegistryServer_ListDataSources_FullMethodName, registrygrpc.RegistryServer_ListFeatureViews_FullMethodName,
				registrygrpc.RegistryServer_ListStreamFeatureViews_FullMethodName, registrygrpc.RegistryServer_ListOnDemandFeatureViews_FullMethodName,
				registrygrpc.RegistryServer_ListLabelViews_FullMethodName, registrygrpc.RegistryServer_ListFeatureServices_FullMethodName,
				registrygrpc.RegistryServer_ListSavedDatasets_FullMethodName, registrygrpc.RegistryServer_ListValidationReferences_FullMethodName,
				registrygrpc.RegistryServer_ListPermissions_FullMethodName, registrygrpc.RegistryServer_GetInfra_FullMethodName,
				registrygrpc.RegistryServer_ListProjectMetadata_FullMethodName,
			} {
				var answer []byte
				if err := conn.Invoke(b.Context(), method, &request, &answer); err != nil {
					b.Fatal(err)
				}
				held = append(held, answer)
			}
		}
	})
	load := func(b *testing.B, change func(ctx context.Context, r *registry.Registry) error) {
		r := registry.New(connect(b, address, "demo"), "demo", registry.Options{})
		defer r.Close()
		if _, err := r.Snapshot(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.SetBytes(int64(size))
		for b.Loop() {
			if err := change(b.Context(), r); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("First", func(b *testing.B) {
		backend := connect(b, address, "demo")
		defer backend.Close()
		b.ReportAllocs()
		b.SetBytes(int64(size))
		for b.Loop() {
			r := registry.New(unclosed{backend}, "demo", registry.Options{})
			s, err := r.Snapshot(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := s.FeatureView("view_7"); err != nil {
				b.Fatal(err)
			}
			if err := r.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Unchanged", func(b *testing.B) {
		load(b, func(ctx context.Context, r *registry.Registry) error { _, err := r.Refresh(ctx); return err })
	})
}

// unclosed keeps its backend open.
type unclosed struct{ registry.Backend }

func (unclosed) Close() error { return nil }
