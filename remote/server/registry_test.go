package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/guard/guardtest"
	"github.com/feastgo/feast/internal/protos/feast/core"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/internal/registryserver"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/registry/registrytest"
	registryremote "github.com/feastgo/feast/registry/remote"
	"github.com/feastgo/feast/remote"
)

// as returns a context of a call with a token.
func as(t testing.TB, token string) context.Context {
	t.Helper()
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
}

func code(err error) codes.Code { return status.Code(err) }

// Without the compatible reading a list shows what the caller may see: docs/compatibility.md, line 19.
func TestRegistryLists(t *testing.T) {
	s := newRegistry(t, captureStore(t), Options{Authenticator: captureUsers})
	c := registrygrpc.NewRegistryServerClient(dial(t, s.NewServer()))
	for user, want := range map[string][]string{
		"admin": {"driver_stats", "risky_stats"}, "reader": {"driver_stats"}, "writer": nil, "norole": nil,
	} {
		list, err := c.ListFeatureViews(as(t, user), &pb.ListFeatureViewsRequest{
			Project: "perm_demo", Sorting: &pb.SortingParams{SortBy: "name"}, Pagination: &pb.PaginationParams{Page: 1, Limit: 5},
		})
		if err != nil {
			t.Errorf("%s: %v", user, err)
			continue
		}
		var names []string
		for _, v := range list.FeatureViews {
			names = append(names, v.GetSpec().GetName())
		}
		if !slices.Equal(names, want) || int(list.GetPagination().GetTotalCount()) != len(want) {
			t.Errorf("%s sees %q, %v", user, names, list.Pagination)
		}
		features, err := c.ListFeatures(as(t, user), &pb.ListFeaturesRequest{Project: "perm_demo", Kind: "feature"})
		if err != nil {
			t.Errorf("%s: %v", user, err)
		}
		for _, f := range features.GetFeatures() {
			if !slices.Contains(want, f.FeatureView) && f.FeatureView != "odfv" {
				t.Errorf("%s sees %s of %s", user, f.Name, f.FeatureView)
			}
		}
	}
	all, err := c.Proto(as(t, "reader"), new(emptypb.Empty))
	if err != nil || len(all.Projects) != 1 || len(all.FeatureViews) != 1 || len(all.FeatureServices) != 2 || len(all.Entities)+len(all.Permissions) > 0 {
		t.Errorf("reader sees %v, %v", all, err)
	}
}

// tenants is a registry of two projects with permissions of their own, behind the project of the server.
func tenants(t *testing.T) *feast.FeatureStore {
	t.Helper()
	b := memory.New()
	role := func(project string, kinds ...permissions.Kind) *permissions.Permission {
		return &permissions.Permission{
			Name: "of_" + project, Types: kinds, Actions: permissions.AllActions(), Policy: permissions.RoleBased{Roles: []string{project}},
		}
	}
	for project, p := range map[string]*permissions.Permission{"a": role("a"), "b": role("b"), "platform": role("platform")} {
		w := registry.Writer{Backend: b, Project: project}
		if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{&registry.Entity{Name: "driver"}, p}}); err != nil {
			t.Fatal(err)
		}
	}
	w := registry.Writer{Backend: b, Project: "open"}
	if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{&registry.Entity{Name: "driver"}}}); err != nil {
		t.Fatal(err)
	}
	fs, err := feast.New(t.Context(), config.Default("platform"), feast.WithRegistry(b))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Error(err)
		}
	})
	return fs
}

var tenantUsers = guardtest.Users{
	"a": {Name: "a", Roles: []string{"a"}}, "b": {Name: "b", Roles: []string{"b"}}, "platform": {Name: "p", Roles: []string{"platform"}},
	"nobody": {Name: "nobody"},
}

// What tenants of a shared registry can do and cannot: docs/compatibility.md, line 16.
func TestRegistryTenants(t *testing.T) {
	var log bytes.Buffer
	fs := tenants(t)
	s := newRegistry(t, fs, Options{Authenticator: tenantUsers, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	c := registrygrpc.NewRegistryServerClient(dial(t, s.NewServer()))
	entity := func(project, name string) *pb.ApplyEntityRequest {
		return &pb.ApplyEntityRequest{Project: project, Entity: &core.Entity{Spec: &core.EntitySpecV2{Name: name, JoinKey: name}}}
	}
	project := func(name string) *core.Project {
		return &core.Project{Spec: &core.ProjectSpec{Name: name, Description: "x"}}
	}
	calls := []struct {
		what string
		do   func(context.Context) error
		may  string // users
	}{
		{"read of a", func(ctx context.Context) error {
			_, err := c.GetEntity(ctx, &pb.GetEntityRequest{Project: "a", Name: "driver"})
			return err
		}, "a"},
		{"see project a", func(ctx context.Context) error {
			_, err := c.GetProject(ctx, &pb.GetProjectRequest{Name: "a"})
			return err
		}, "a"},
		{"change of a", func(ctx context.Context) error { _, err := c.ApplyEntity(ctx, entity("a", "more")); return err }, "a"},
		{"change of project a", func(ctx context.Context) error {
			_, err := c.ApplyProject(ctx, &pb.ApplyProjectRequest{Project: project("a")})
			return err
		}, "a"},
		{"a project that has no permissions", func(ctx context.Context) error {
			_, err := c.ApplyProject(ctx, &pb.ApplyProjectRequest{Project: project("open")})
			return err
		}, "platform"},
		{"objects of it", func(ctx context.Context) error { _, err := c.ApplyEntity(ctx, entity("open", "more")); return err }, "a b platform nobody"},
		{"a new project", func(ctx context.Context) error {
			_, err := c.ApplyProject(ctx, &pb.ApplyProjectRequest{Project: project("new")})
			return err
		}, "platform"},
		{"a new project by its first object", func(ctx context.Context) error { _, err := c.ApplyEntity(ctx, entity("newer", "e")); return err }, "platform"},
		{"a new project by its infrastructure", func(ctx context.Context) error {
			_, err := c.UpdateInfra(ctx, &pb.UpdateInfraRequest{Project: "newest"})
			return err
		}, "platform"},
		{"deletion of b", func(ctx context.Context) error {
			_, err := c.DeleteProject(ctx, &pb.DeleteProjectRequest{Name: "b"})
			return err
		}, "b"},
	}
	for _, call := range calls {
		for _, user := range []string{"nobody", "a", "b", "platform"} {
			if user == "platform" && strings.HasPrefix(call.what, "deletion") {
				continue // b is gone
			}
			want := codes.PermissionDenied
			if slices.Contains(strings.Fields(call.may), user) {
				want = codes.OK
			}
			if err := call.do(as(t, user)); code(err) != want {
				t.Errorf("%s by %s: %v, want %s", call.what, user, err, want)
			}
		}
	}
	all, err := c.Proto(as(t, "a"), new(emptypb.Empty))
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, p := range all.Projects {
		seen = append(seen, p.GetSpec().GetName())
	}
	if !slices.Equal(seen, []string{"a"}) || len(all.Entities) != 3 { // __dummy is one of them
		t.Errorf("a sees %q with %d entities", seen, len(all.Entities))
	}
	if !strings.Contains(log.String(), "has no permissions") || !strings.Contains(log.String(), "project=open") {
		t.Errorf("nothing is said of the open project: %s", &log)
	}

	closed := registrygrpc.NewRegistryServerClient(dial(t, newRegistry(t, fs, Options{Authenticator: tenantUsers, RequirePermissions: true}).NewServer()))
	if _, err := closed.GetEntity(as(t, "a"), &pb.GetEntityRequest{Project: "open", Name: "driver"}); code(err) != codes.PermissionDenied {
		t.Error(err)
	}
	if _, err := closed.GetEntity(as(t, "a"), &pb.GetEntityRequest{Project: "a", Name: "driver"}); err != nil {
		t.Error(err)
	}
}

// A view brings its data source along, which takes the permission for data sources when it changes.
func TestRegistryImplicitChanges(t *testing.T) {
	b := memory.New()
	source := &registry.DataSource{Name: "src", TimestampField: "ts", Options: registry.FileOptions{Path: "a.parquet"}}
	w := registry.Writer{Backend: b, Project: "platform"}
	if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{source, &permissions.Permission{
		Name: "views", Types: []permissions.Kind{permissions.FeatureView}, Actions: permissions.AllActions(),
		Policy: permissions.RoleBased{Roles: []string{"a"}},
	}}}); err != nil {
		t.Fatal(err)
	}
	fs, err := feast.New(t.Context(), config.Default("platform"), feast.WithRegistry(b))
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	c := registrygrpc.NewRegistryServerClient(dial(t, newRegistry(t, fs, Options{Authenticator: tenantUsers}).NewServer()))
	apply := func(path string) error {
		view := &core.FeatureView{Spec: &core.FeatureViewSpec{
			Name: "v", Features: []*core.FeatureSpecV2{{Name: "f", ValueType: 4}}, Entities: []string{"__dummy"},
			BatchSource: &core.DataSource{
				Name: "src", Type: core.DataSource_BATCH_FILE, TimestampField: "ts",
				Options: &core.DataSource_FileOptions_{FileOptions: &core.DataSource_FileOptions{Uri: path}},
			},
		}}
		_, err := c.ApplyFeatureView(as(t, "a"), &pb.ApplyFeatureViewRequest{
			Project: "platform", BaseFeatureView: &pb.ApplyFeatureViewRequest_FeatureView{FeatureView: view},
		})
		return err
	}
	if err := apply("a.parquet"); err != nil {
		t.Error("with the source as it is:", err)
	}
	if err := apply("stolen.parquet"); code(err) != codes.PermissionDenied {
		t.Error("with another source:", err)
	}
}

// Health and reflection are as Feast has them: a token is needed where calls need one.
func TestRegistryHealth(t *testing.T) {
	s := newRegistry(t, tenants(t), Options{Authenticator: tenantUsers})
	conn := dial(t, s.NewServer())
	health := grpc_health_v1.NewHealthClient(conn)
	if _, err := health.Check(t.Context(), new(grpc_health_v1.HealthCheckRequest)); code(err) != codes.Unauthenticated {
		t.Error(err)
	}
	answer, err := health.Check(as(t, "nobody"), new(grpc_health_v1.HealthCheckRequest))
	if err != nil || answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Error(answer, err)
	}
	services := func(ctx context.Context) (names []string, err error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			return nil, err
		}
		request := &grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}
		if err := stream.Send(request); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		list, err := stream.Recv()
		for _, s := range list.GetListServicesResponse().GetService() {
			names = append(names, s.Name)
		}
		return names, err
	}
	if _, err := services(t.Context()); code(err) != codes.Unauthenticated {
		t.Error(err)
	}
	names, err := services(as(t, "nobody"))
	for _, want := range []string{"feast.registry.RegistryServer", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} {
		if !slices.Contains(names, want) {
			t.Errorf("%q, %v: no %s", names, err, want)
		}
	}
}

// A server that is drained says that it goes, lets calls end, and cuts off who only watches.
func TestRegistryDrain(t *testing.T) {
	s := goldenRegistry(t, Options{})
	g := s.NewServer()
	conn := dial(t, g)
	watch, err := grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), new(grpc_health_v1.HealthCheckRequest))
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := watch.Recv(); err != nil || answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatal(answer, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Drain(ctx) }()
	if answer, err := watch.Recv(); err != nil || answer.Status != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Error(answer, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := watch.Recv(); err == nil {
		t.Error("the watch goes on")
	}
}

// What is not served says so: docs/servers.md.
func TestRegistryUnsupported(t *testing.T) {
	s := goldenRegistry(t, Options{})
	c := registrygrpc.NewRegistryServerClient(dial(t, s.NewServer()))
	if _, err := c.CreateDatasetFromRetrieval(t.Context(), new(pb.CreateDatasetFromRetrievalRequest)); code(err) != codes.Unimplemented {
		t.Error(err)
	}
	if _, err := c.GetDatasetData(t.Context(), new(pb.GetDatasetDataRequest)); code(err) != codes.Unimplemented {
		t.Error(err)
	}
	if jobs, err := c.ListDatasetJobs(t.Context(), new(pb.ListDatasetJobsRequest)); err != nil || len(jobs.Jobs) > 0 {
		t.Error(jobs, err)
	}
	if _, err := c.GetDatasetJobStatus(t.Context(), &pb.GetDatasetJobStatusRequest{JobId: "1"}); code(err) != codes.NotFound {
		t.Error(err)
	}
	conn, err := remote.Dial(remote.Options{Address: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	behind := registryremote.New(conn, "demo")
	fs, err := feast.New(t.Context(), config.Default("demo"), feast.WithRegistry(behind))
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	if _, err := Registry(fs, Options{}); !errors.Is(err, feasterr.ErrUnsupported) {
		t.Error(err)
	}
}

// Proto has everything, as the file has it.
func TestRegistryProto(t *testing.T) {
	s := goldenRegistry(t, Options{})
	c := registrygrpc.NewRegistryServerClient(dial(t, s.NewServer()))
	got, err := c.Proto(t.Context(), new(emptypb.Empty))
	if err != nil {
		t.Fatal(err)
	}
	counts := []int{
		len(got.Projects), len(got.Entities), len(got.DataSources), len(got.FeatureViews), len(got.StreamFeatureViews), len(got.OnDemandFeatureViews),
		len(got.LabelViews), len(got.FeatureServices), len(got.SavedDatasets), len(got.Permissions),
	}
	if want := []int{1, 5, 23, 11, 1, 4, 1, 4, 1, 4}; !slices.Equal(counts, want) {
		t.Errorf("%v, want %v", counts, want)
	}
	if got.VersionId == "" || !got.LastUpdated.AsTime().Equal(recordedAt) || got.Infra != nil || len(got.ProjectMetadata) > 0 || got.FeatureViews[0].Spec.Project != "" {
		t.Errorf("version %q at %v", got.VersionId, got.LastUpdated)
	}
}

// A client of this library works through the server as on any registry.
func TestRegistryConformance(t *testing.T) {
	registrytest.Run(t, registrytest.Harness{New: func(t *testing.T) registrytest.Place {
		b := memory.New()
		fs, err := feast.New(t.Context(), config.Default("demo"), feast.WithRegistry(b))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = fs.Close() })
		s := newRegistry(t, fs, Options{})
		target := dial(t, s.NewServer()).Target()
		open := func(t *testing.T, project string) registry.Backend {
			t.Helper()
			conn, err := remote.Dial(remote.Options{Address: target, Idempotent: registryremote.Idempotent()})
			if err != nil {
				t.Fatal(err)
			}
			return registryremote.New(conn, project)
		}
		return registrytest.Place{
			Open:   func(t *testing.T) registry.Backend { return open(t, "demo") },
			For:    open,
			Behind: func(*testing.T) registry.Backend { return b },
			Clock:  func(now func() time.Time) { s.service.Now = now },
			Write: func(t *testing.T, records []registry.Record) {
				t.Helper()
				if err := b.Teardown(t.Context()); err != nil {
					t.Fatal(err)
				}
				for _, r := range records {
					put := func(tx registry.Tx) error { return tx.Put(t.Context(), r) }
					if _, err := b.Update(t.Context(), r.Project, put); err != nil {
						t.Fatal(err)
					}
				}
			},
		}
	}})
}

// Clients that read while others write see whole states, one after the other.
func TestRegistryConcurrent(t *testing.T) {
	s := goldenRegistry(t, Options{MaxConcurrent: 4})
	c := registrygrpc.NewRegistryServerClient(dial(t, s.NewServer()))
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := range 5 {
				name := fmt.Sprintf("e%d_%d", w, n)
				if _, err := c.ApplyEntity(t.Context(), &pb.ApplyEntityRequest{
					Project: "golden", Entity: &core.Entity{Spec: &core.EntitySpecV2{Name: name, JoinKey: name}},
				}); err != nil {
					t.Error(err)
				}
				if _, err := c.GetEntity(t.Context(), &pb.GetEntityRequest{Project: "golden", Name: name, AllowCache: true}); err != nil {
					t.Error("its own write is not seen:", err)
				}
				if _, err := c.ListFeatureViews(t.Context(), &pb.ListFeatureViewsRequest{Project: "golden"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// restCall makes a request of the REST form.
func restCall(t testing.TB, h http.Handler, method, path, contentType, token string, body io.Reader) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, body)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Bad requests of the REST form get the right status, and an error in Feast's form.
func TestRegistryRESTAbuse(t *testing.T) {
	s := goldenRegistry(t, Options{MaxBody: 64 << 10})
	h := s.Handler()
	deep := strings.Repeat("[", 20000)
	nested := `{"name":"n","project":"golden","tags":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000) + "}"
	for _, c := range []struct {
		method, path, contentType, body string
		status                          int
		kind                            string
	}{
		{"POST", "/entities", "application/json", "", 422, "RequestValidationError"},
		{"POST", "/entities", "application/json", "{", 422, "RequestValidationError"},
		{"POST", "/entities", "application/json", deep, 422, "RequestValidationError"},
		{"POST", "/entities", "application/json", nested, 422, "RequestValidationError"},
		{"POST", "/entities", "application/json", "{} {}", 422, "RequestValidationError"},
		{"POST", "/entities", "application/json", `[1]`, 422, "RequestValidationError"},
		{"POST", "/entities", "text/plain", `{"name":"n","project":"golden"}`, 422, "RequestValidationError"},
		{"POST", "/entities", "application/json", `{"name":1,"project":"golden"}`, 422, "RequestValidationError"},
		{"POST", "/entities", "application/json", `{"name":"n","project":"golden","value_type":"x"}`, 422, "RequestValidationError"},
		{"POST", "/entities", "application/json", `{"name":"n","project":"golden","value_type":99999999999}`, 422, "RequestValidationError"},
		{"POST", "/entities", "application/json", `{"name":"n","project":"golden","tags":{"a":1}}`, 422, "RequestValidationError"},
		{"POST", "/entities", "application/json", `{"name":"` + strings.Repeat("x", 64<<10) + `","project":"golden"}`, 413, "HTTPException"},
		{"POST", "/feature_views", "application/json", `{"name":"n","project":"golden","features":[1]}`, 422, "RequestValidationError"},
		{"POST", "/feature_views", "application/json", `{"name":"n","project":"golden","batch_source":"nope"}`, 404, "FeastObjectNotFoundException"},
		{"POST", "/permissions", "application/json", `{"name":"n","project":"golden","actions":["DESCRIBE"],"policy":{}}`, 422, "ValueError"},
		{"POST", "/saved_datasets", "application/json", `{"name":"saved_ds","project":"golden","storage_path":"x"}`, 409, "HTTPException"},
		{"POST", "/saved_datasets/create", "application/json", `{}`, 501, "HTTPException"},
		{"GET", "/saved_datasets/data/x?project=golden&limit=1", "", "", 501, "HTTPException"},
		{"GET", "/saved_datasets/jobs/1", "", "", 404, "FeastObjectNotFoundException"},
		{"GET", "/entities?project=golden&page=x", "", "", 422, "RequestValidationError"},
		{"GET", "/entities?project=golden&page=99999999999999999999", "", "", 422, "RequestValidationError"},
		{"GET", "/entities?project=golden&allow_cache=maybe", "", "", 422, "RequestValidationError"},
		{"GET", "/search?query=x&sort_by=nope", "", "", 400, "HTTPException"},
		{"GET", "/search?query=x&page=0", "", "", 400, "HTTPException"},
		// Feast answers these with 500: docs/compatibility.md, line 20.
		{"DELETE", "/data_sources/nope?project=golden", "", "", 404, "FeastObjectNotFoundException"},
		{"DELETE", "/permissions/nope?project=golden", "", "", 404, "FeastObjectNotFoundException"},
		{"DELETE", "/entities/%00?project=golden", "", "", 404, "FeastObjectNotFoundException"},
	} {
		w := restCall(t, h, c.method, registryserver.Prefix+c.path, c.contentType, "", strings.NewReader(c.body))
		var e struct {
			Status int    `json:"status_code"`
			Detail string `json:"detail"`
			Kind   string `json:"error_type"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != c.status || e.Status != c.status || e.Kind != c.kind || e.Detail == "" {
			t.Errorf("%s %s %.60s: %d %.300s, want %d %s", c.method, c.path, c.body, w.Code, w.Body, c.status, c.kind)
		}
	}
	for path, want := range map[string]int{"/nope": 404, "/": 404, "//": 404, "/entities/": 404, "/%zz": 404, "/entities/a/b/c": 404} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL.Path, r.URL.RawPath = path, ""
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || w.Body.String() != `{"detail":"Not Found"}` {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := restCall(t, h, http.MethodPut, "/entities", "", "", nil); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %d", w.Code)
	}
	// A name with a slash can be addressed.
	if w := restCall(t, h, http.MethodGet, "/data_sources/data%2Fdriver_stats.parquet?project=golden", "", "", nil); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Every list that there is answers.
func TestRegistryRESTRoutes(t *testing.T) {
	h := goldenRegistry(t, Options{}).Handler()
	for _, path := range []string{
		"/data_sources/all?include_relationships=true", "/feature_views/all?sort_by=name&sort_order=desc", "/feature_services/all", "/features/all",
		"/labels/all", "/label_views/all?include_relationships=true", "/saved_datasets/all", "/saved_datasets/jobs", "/lineage/registry/all",
		"/lineage/complete?project=golden", "/lineage/complete/all", "/metrics/resource_counts", "/metrics/popular_tags",
		"/metrics/recently_visited?project=golden", "/search?query=driver&projects=golden&projects=nope", "/projects?sort_by=name",
		"/feature_views?project=golden&updated_since=2024-01-01T00:00:00Z", "/features?project=golden&include_relationships=true&limit=3&page=2",
		"/data_sources/kafka?project=golden&include_relationships=true", "/feature_views/stream_fv?project=golden",
	} {
		w := restCall(t, h, http.MethodGet, registryserver.Prefix+path, "", "", nil)
		var v map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != http.StatusOK || len(v) == 0 {
			t.Errorf("%s: %d %.200s", path, w.Code, w.Body)
		}
	}
	var found struct {
		Results []struct{ Name, Type string }
		Errors  []string
	}
	w := restCall(t, h, http.MethodGet, "/search?query=odfv_sing&projects=golden&projects=nope", "", "", nil)
	if err := json.Unmarshal(w.Body.Bytes(), &found); err != nil || len(found.Results) == 0 || found.Results[0].Name != "odfv_singleton" ||
		!slices.Equal(found.Errors, []string{"Following projects do not exist: nope"}) {
		t.Errorf("%s", w.Body)
	}
}

// Too large and malformed calls are refused one by one, and the server goes on.
func TestRegistryAbuse(t *testing.T) {
	s := goldenRegistry(t, Options{MaxBody: 1 << 20})
	conn := dial(t, s.NewServer())
	c := registrygrpc.NewRegistryServerClient(conn)
	huge := &core.Entity{Spec: &core.EntitySpecV2{Name: "x", Description: strings.Repeat("x", 2<<20)}}
	if _, err := c.ApplyEntity(t.Context(), &pb.ApplyEntityRequest{Project: "golden", Entity: huge}); code(err) != codes.ResourceExhausted {
		t.Error(err)
	}
	for _, garbage := range [][]byte{{0xff}, {0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, bytes.Repeat([]byte{0x0b}, 10000)} {
		var answer []byte
		err := conn.Invoke(t.Context(), registrygrpc.RegistryServer_ApplyFeatureView_FullMethodName, &garbage, &answer, grpc.ForceCodecV2(bytesCodec{}))
		if code(err) != codes.Internal {
			t.Errorf("% x: %v", garbage[:min(8, len(garbage))], err)
		}
	}
	empty := []proto.Message{
		new(pb.ApplyEntityRequest), new(pb.ApplyDataSourceRequest), new(pb.ApplyFeatureViewRequest), new(pb.ApplyFeatureServiceRequest),
		new(pb.ApplySavedDatasetRequest), new(pb.ApplyValidationReferenceRequest), new(pb.ApplyPermissionRequest), new(pb.ApplyProjectRequest),
		new(pb.ApplyMaterializationRequest), new(pb.DeleteProjectRequest), new(pb.GetAnyFeatureViewRequest), new(pb.GetFeatureRequest),
		new(pb.GetObjectRelationshipsRequest), new(pb.DeleteFeatureViewRequest),
	}
	for _, m := range empty {
		name := string(m.ProtoReflect().Descriptor().Name())
		err := conn.Invoke(t.Context(), "/feast.registry.RegistryServer/"+strings.TrimSuffix(name, "Request"), m, new(emptypb.Empty))
		if got := code(err); got != codes.Unknown && got != codes.NotFound && name != "ApplyMaterializationRequest" {
			t.Errorf("%s: %v", name, err)
		}
	}
	nowhere := &pb.ApplyEntityRequest{Entity: &core.Entity{Spec: &core.EntitySpecV2{Name: "x", JoinKey: "x"}}}
	if _, err := c.ApplyEntity(t.Context(), nowhere); code(err) != codes.Unknown || !strings.Contains(err.Error(), "in which project") {
		t.Error(err)
	}
	if _, err := c.UpdateInfra(t.Context(), new(pb.UpdateInfraRequest)); code(err) != codes.Unknown {
		t.Error(err)
	}
	if _, err := c.ListEntities(t.Context(), &pb.ListEntitiesRequest{
		Project: "golden", Pagination: &pb.PaginationParams{Page: 1<<31 - 1, Limit: 1<<31 - 1}, Sorting: &pb.SortingParams{SortBy: strings.Repeat("a.", 10000)},
	}); err != nil {
		t.Error(err)
	}
}

// Thousands of connections that ask nothing do not keep others from being answered.
func TestRegistryIdleConnections(t *testing.T) {
	s := goldenRegistry(t, Options{})
	conn := dial(t, s.NewServer())
	var d net.Dialer
	var idle []net.Conn
	defer func() {
		for _, c := range idle {
			_ = c.Close()
		}
	}()
	for range 2000 {
		c, err := d.DialContext(t.Context(), "tcp", conn.Target())
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	if _, err := registrygrpc.NewRegistryServerClient(conn).GetEntity(t.Context(), &pb.GetEntityRequest{Project: "golden", Name: "driver"}); err != nil {
		t.Error(err)
	}
}

// A request waits no longer than its time for a free place.
func TestRegistryBusy(t *testing.T) {
	s := goldenRegistry(t, Options{MaxConcurrent: 1, Timeout: 50 * time.Millisecond})
	done, err := s.gate.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	c := registrygrpc.NewRegistryServerClient(dial(t, s.NewServer()))
	if _, err := c.GetEntity(t.Context(), &pb.GetEntityRequest{Project: "golden", Name: "driver"}); code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
	if w := restCall(t, s.Handler(), http.MethodGet, "/version", "", "", nil); w.Code != http.StatusGatewayTimeout {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// failing refuses with errors whose text quotes the token, as a careless authenticator might; the log has what it says, and
// clients do not.
func TestRegistryTokens(t *testing.T) {
	var log bytes.Buffer
	s := newRegistry(t, tenants(t), Options{Authenticator: tenantUsers, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	const secret = "eyJhbGciOiJub25lIn0.secret."
	c := registrygrpc.NewRegistryServerClient(dial(t, s.NewServer()))
	_, err := c.GetEntity(as(t, secret), &pb.GetEntityRequest{Project: "a", Name: "driver"})
	if code(err) != codes.Unauthenticated || strings.Contains(err.Error(), secret) {
		t.Error(err)
	}
	w := restCall(t, s.Handler(), http.MethodGet, "/entities?project=a", "", secret, nil)
	if w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), secret) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if strings.Contains(log.String(), secret) || !strings.Contains(log.String(), "a call was refused") {
		t.Errorf("%s", &log)
	}
}

// FuzzRegistryREST sends any request to the REST form; seeds are recorded.
func FuzzRegistryREST(f *testing.F) {
	var recording struct{ Calls []*recordedExchange }
	readJSON(f, "rest.json", &recording)
	for _, x := range recording.Calls {
		f.Add(x.Method, x.Path, []byte(x.Body))
	}
	b := memory.New()
	fs, err := feast.New(f.Context(), config.Default("golden"), feast.WithRegistry(b))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = fs.Close() })
	h := newRegistry(f, fs, Options{MaxBody: 1 << 16}).Handler()
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://host/", bytes.NewReader(body))
		if err != nil {
			return
		}
		if u, err := r.URL.Parse(path); err == nil {
			r.URL = u
		}
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %q %q: %s", method, path, body, w.Body)
		}
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q: %q is not JSON", method, path, w.Body)
		}
	})
}
