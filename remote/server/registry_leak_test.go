package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/internal/guard/guardtest"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
)

// secrets are objects of a project whose names occur nowhere else.
func secrets(r *rand.Rand, project string) (objects []registry.Object) {
	name := func(kind string, i int) string { return fmt.Sprintf("%s_%s_%d_", project, kind, i) }
	tags := func() map[string]string { return map[string]string{"team": string(rune('a' + r.IntN(2)))} }
	var entities []string
	var sources []*registry.DataSource
	for i := range 3 {
		e := &registry.Entity{Name: name("ent", i), JoinKey: "k", ValueType: types.Int64, Tags: tags()}
		d := &registry.DataSource{Name: name("src", i), TimestampField: "ts", Options: registry.FileOptions{Path: fmt.Sprintf("%d.parquet", i)}, Tags: tags()}
		objects, entities, sources = append(objects, e, d), append(entities, e.Name), append(sources, d)
	}
	fields := func(view string) []registry.Field {
		return []registry.Field{{Name: view + "feature", Type: types.Int64}}
	}
	var projections []registry.FeatureViewProjection
	for i := range 4 {
		v := &registry.FeatureView{Name: name("view", i), Entities: []string{entities[r.IntN(3)]}, Source: sources[r.IntN(3)], Tags: tags()}
		v.Schema = fields(v.Name)
		objects, projections = append(objects, v), append(projections, registry.FeatureViewProjection{Name: v.Name, Features: v.Schema})
	}
	for i := range 2 {
		objects = append(objects, &registry.FeatureService{Name: name("svc", i), Features: projections[i : i+1+r.IntN(2)], Tags: tags()}, &registry.SavedDataset{
			Name: name("set", i), Features: []string{projections[r.IntN(4)].Name + ":x"}, FeatureServiceName: name("svc", i),
			Storage: registry.FileOptions{Path: fmt.Sprintf("%d.parquet", r.IntN(3))}, Tags: tags(),
		})
	}
	kinds := permissions.AllResourceTypes()
	for i := range 3 {
		p := &permissions.Permission{
			Name: name("perm", i), Actions: []permissions.Action{permissions.Describe}, Policy: permissions.RoleBased{Roles: []string{fmt.Sprint(i)}},
		}
		for range 1 + r.IntN(4) {
			if k := kinds[r.IntN(len(kinds))]; !slices.Contains(p.Types, k) {
				p.Types = append(p.Types, k)
			}
		}
		if r.IntN(2) == 0 {
			p.NamePatterns = []string{".*_[" + []string{"01", "12", "0-9"}[r.IntN(3)] + "]_"}
		}
		if r.IntN(3) == 0 {
			p.RequiredTags = map[string]string{"team": "a"}
		}
		objects = append(objects, p)
	}
	if r.IntN(4) > 0 { // roles 1 and 2 mostly see the projects
		objects = append(objects, &permissions.Permission{
			Name: name("perm", 9), Types: []permissions.Kind{permissions.Project}, Actions: []permissions.Action{permissions.Describe},
			Policy: permissions.RoleBased{Roles: []string{"1", "2"}},
		})
	}
	return objects
}

// TestRegistryTellsNothing: whatever permissions there are, lists have exactly what the enforcer permits, and of what it does not
// nothing is in any answer over either form, but what stands in the messages of objects that may be seen.
func TestRegistryTellsNothing(t *testing.T) {
	for seed := range uint64(30) {
		tellsNothing(t, rand.New(rand.NewPCG(seed, 1)), seed)
	}
}

func tellsNothing(t *testing.T, r *rand.Rand, seed uint64) {
	b := memory.New()
	projects := []string{"alpha", "beta"}
	for _, project := range projects {
		w := registry.Writer{Backend: b, Project: project}
		if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: secrets(r, project)}); err != nil {
			t.Fatal(err)
		}
	}
	fs, err := feast.New(t.Context(), config.Default("alpha"), feast.WithRegistry(b))
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	users := guardtest.Users{"0": {Name: "u0", Roles: []string{"0"}}, "1": {Name: "u1", Roles: []string{"1"}}, "2": {Name: "u2", Roles: []string{"0", "2"}}, "none": {Name: "n"}}
	s := newRegistry(t, fs, Options{Authenticator: users})
	g := s.NewServer()
	c := registrygrpc.NewRegistryServerClient(dial(t, g))
	for token, user := range users {
		visible, hidden, told := map[string][]string{}, []string{}, &strings.Builder{}
		for _, project := range projects {
			state, tk, err := b.Load(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			mine := *state
			mine.Records = slices.DeleteFunc(slices.Clone(state.Records), func(r registry.Record) bool { return r.Project != project })
			snap := registry.NewSnapshot(project, &mine, tk, nil)
			for _, rec := range mine.Records {
				if rec.Kind == registry.KindProjectMetadata || rec.Kind == registry.KindInfra || rec.Kind == registry.KindViewVersion {
					continue
				}
				o, err := registry.Decode(rec)
				if err != nil {
					t.Fatal(err)
				}
				if snap.Enforcer().Check(user, o.Resource(), permissions.Describe) == nil {
					visible[project+rec.Kind.String()] = append(visible[project+rec.Kind.String()], rec.Name)
					told.Write(rec.Proto)
					told.WriteByte(' ')
				} else if rec.Kind != registry.KindProject {
					hidden = append(hidden, rec.Name)
				}
			}
		}
		answers := map[string]string{}
		keep := func(what string, m proto.Message, err error) {
			if err == nil {
				answers[what] = protojson.Format(m)
			}
		}
		look := func(path string) {
			a := restCall(t, s.Handler(), http.MethodGet, "/api/v1/"+path, "", token, nil)
			switch a.Code {
			case http.StatusOK:
				answers[path] = a.Body.String()
			case http.StatusForbidden: // which names the permissions that refuse, as in Feast
			default:
				t.Errorf("seed %d: %s for %s: %d", seed, path, token, a.Code)
			}
		}
		ctx := as(t, token)
		names := func(m proto.Message) (names []string) {
			fields := m.ProtoReflect().Descriptor().Fields()
			list := m.ProtoReflect().Get(fields.Get(0)).List()
			for i := range list.Len() {
				o := list.Get(i).Message()
				if spec := o.Descriptor().Fields().ByName("spec"); spec != nil {
					o = o.Get(spec).Message()
				}
				names = append(names, o.Get(o.Descriptor().Fields().ByName("name")).String())
			}
			return names
		}
		for _, project := range projects {
			for kind, list := range map[registry.Kind]func(context.Context) (proto.Message, error){
				registry.KindEntity: func(ctx context.Context) (proto.Message, error) {
					return c.ListEntities(ctx, &pb.ListEntitiesRequest{Project: project})
				},
				registry.KindDataSource: func(ctx context.Context) (proto.Message, error) {
					return c.ListDataSources(ctx, &pb.ListDataSourcesRequest{Project: project})
				},
				registry.KindFeatureView: func(ctx context.Context) (proto.Message, error) {
					return c.ListFeatureViews(ctx, &pb.ListFeatureViewsRequest{Project: project})
				},
				registry.KindFeatureService: func(ctx context.Context) (proto.Message, error) {
					return c.ListFeatureServices(ctx, &pb.ListFeatureServicesRequest{Project: project})
				},
				registry.KindSavedDataset: func(ctx context.Context) (proto.Message, error) {
					return c.ListSavedDatasets(ctx, &pb.ListSavedDatasetsRequest{Project: project})
				},
				registry.KindPermission: func(ctx context.Context) (proto.Message, error) {
					return c.ListPermissions(ctx, &pb.ListPermissionsRequest{Project: project})
				},
			} {
				m, err := list(ctx)
				if err != nil {
					t.Fatal(err)
				}
				keep(kind.String(), m, nil)
				if got, want := names(m), visible[project+kind.String()]; !slices.Equal(got, want) {
					t.Errorf("seed %d: %s of %s for %s: %q, want %q", seed, kind, project, token, got, want)
				}
			}
			features, err := c.ListFeatures(ctx, &pb.ListFeaturesRequest{Project: project})
			if err != nil || len(features.Features) != len(visible[project+registry.KindFeatureView.String()]) {
				t.Errorf("seed %d: features for %s: %v, %v", seed, token, features, err)
			}
			keep("features", features, err)
			for i := range 4 {
				view := fmt.Sprintf("%s_view_%d_", project, i)
				_, err := c.GetFeature(ctx, &pb.GetFeatureRequest{Project: project, FeatureView: view, Name: view + "feature"})
				if see := slices.Contains(visible[project+registry.KindFeatureView.String()], view); see != (err == nil) {
					t.Errorf("seed %d: feature of %s for %s: %v", seed, view, token, err)
				}
				all, err := c.ListAllFeatureViews(ctx, &pb.ListAllFeatureViewsRequest{Project: project, FeatureService: fmt.Sprintf("%s_svc_%d_", project, i)})
				keep(fmt.Sprintf("views of service %d", i), all, err)
				related, err := c.GetObjectRelationships(ctx, &pb.GetObjectRelationshipsRequest{Project: project, ObjectType: "dataSource", ObjectName: fmt.Sprintf("%s_src_%d_", project, i), IncludeIndirect: true})
				if err == nil && len(related.Relationships) > 0 {
					answers[fmt.Sprintf("relations of source %d", i)] = strings.ReplaceAll(protojson.Format(related), fmt.Sprintf("%s_src_%d_", project, i), "")
				}
			}
			lineage, err := c.GetRegistryLineage(ctx, &pb.GetRegistryLineageRequest{Project: project})
			keep("lineage of "+project, lineage, err)
			all, err := c.ListAllFeatureViews(ctx, &pb.ListAllFeatureViewsRequest{Project: project})
			keep("all views of "+project, all, err)
			for _, path := range []string{
				"lineage/complete?project=" + project, "lineage/registry?project=" + project, "metrics/resource_counts?project=" + project,
				"metrics/popular_tags?project=" + project, "entities?include_relationships=true&project=" + project,
				"feature_views?include_relationships=true&project=" + project, "feature_services?include_relationships=true&project=" + project,
				"saved_datasets?include_relationships=true&project=" + project, "data_sources?include_relationships=true&project=" + project,
				"features?include_relationships=true&project=" + project, "permissions?project=" + project,
			} {
				look(path)
			}
		}
		all, err := c.Proto(ctx, new(emptypb.Empty))
		keep("everything", all, err)
		for _, path := range []string{
			"search?query=_", "lineage/complete/all", "lineage/registry/all", "metrics/resource_counts", "metrics/popular_tags", "feature_views/all?include_relationships=true",
			"saved_datasets/all", "features/all", "projects",
		} {
			look(path)
		}
		for what, text := range answers {
			for _, name := range hidden {
				if strings.Contains(text, name) && !strings.Contains(told.String(), name) {
					t.Errorf("seed %d: %s tells %s of %s", seed, what, token, name)
				}
			}
		}
	}
	g.Stop()
}
