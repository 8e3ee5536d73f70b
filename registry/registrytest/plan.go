package registrytest

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// The plans that Feast made for five states of a repository, and the registry after each.
func testPlan(t *testing.T, p Place) {
	var golden struct {
		Steps []struct {
			Step string
			Diff []struct {
				Name, Type, Transition string
				Properties             []struct{ Name string }
			} `json:"registry_diff"`
			After struct {
				Names    map[string][]string
				Versions [][2]any
			} `json:"registry_after"`
		}
	}
	readJSON(t, "plan.json", &golden)

	source := &registry.DataSource{
		Name: "src", TimestampField: "event_timestamp", Options: registry.FileOptions{Path: "data/driver_stats.parquet"},
	}
	view := func(name string, features ...string) *registry.FeatureView {
		v := &registry.FeatureView{Name: name, Entities: []string{"driver"}, Source: source}
		v.Schema = []registry.Field{{Name: "driver_id", Type: types.Int64}, {Name: "conv_rate", Type: types.Float32}}
		for _, f := range features {
			v.Schema = append(v.Schema, registry.Field{Name: f, Type: types.Float64})
		}
		return v
	}
	project := &registry.Project{Name: "planp"}
	driver := &registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}
	changed := *driver
	changed.Description = "d"
	fv1 := view("fv1")
	fv1.Tags, fv1.TTL = map[string]string{"x": "y"}, time.Hour
	service := &registry.FeatureService{Name: "svc", Features: []registry.FeatureViewProjection{{Name: "fv1"}}}
	states := map[string][]registry.Object{
		"create":     {project, driver, view("fv1"), view("fv2"), service},
		"unchanged":  {project, driver, view("fv1"), view("fv2"), service},
		"update":     {project, &changed, fv1, view("fv2", "acc_rate"), service},
		"delete":     {project, &changed, fv1, view("fv3")},
		"delete_all": {project},
	}
	// Feast's names of attributes in the message, for those of the classes.
	renamed := map[string]string{"features": "schema"}
	kinds := map[string]registry.Kind{
		"project": registry.KindProject, "data source": registry.KindDataSource, "entity": registry.KindEntity,
		"feature service": registry.KindFeatureService, "feature view": registry.KindFeatureView,
	}
	actions := map[string]registry.Action{
		"CREATE": registry.ActionCreate, "UPDATE": registry.ActionUpdate, "DELETE": registry.ActionDelete,
		"UNCHANGED": registry.ActionUnchanged,
	}

	b := openFor(t, p, "planp")
	w := &registry.Writer{Backend: b, Project: "planp"}
	for _, step := range golden.Steps {
		request := registry.ApplyRequest{Objects: states[step.Step], Prune: true, DryRun: true}
		_, before, beforeErr := b.Load(t.Context(), "")
		plan := apply(t, w, request)
		_, after, err := b.Load(t.Context(), "")
		if before != after || (err == nil) != (beforeErr == nil) {
			t.Fatalf("%s: the dry run wrote: %v", step.Step, err)
		}

		type change struct {
			action registry.Action
			fields map[string]bool
		}
		got, want := map[registry.ID]change{}, map[registry.ID]change{}
		for _, c := range plan.Changes {
			if c.ID.Kind == registry.KindViewVersion {
				continue // below
			}
			fields := map[string]bool{}
			for _, f := range c.Fields {
				top, _, _ := strings.Cut(f.Name, ".")
				fields[top] = true
			}
			got[c.ID] = change{c.Action, fields}
		}
		for _, c := range step.Diff {
			fields := map[string]bool{}
			for _, p := range c.Properties {
				name := p.Name
				if to, ok := renamed[name]; ok {
					name = to
				}
				if name != "batch_source" { // differs in when the Python object was made
					fields[name] = true
				}
			}
			want[registry.ID{Kind: kinds[c.Type], Project: "planp", Name: c.Name}] = change{actions[c.Transition], fields}
		}
		equalChange := func(a, b change) bool { return a.action == b.action && maps.Equal(a.fields, b.fields) }
		if !maps.EqualFunc(got, want, equalChange) {
			t.Errorf("%s: got %v\nwant %v", step.Step, got, want)
		}

		// The plan carried out, on the state it was made for.
		request.DryRun, request.Base = false, plan.Base
		if done := apply(t, w, request); done.String() != plan.String() {
			t.Errorf("%s: planned\n%s\ndone\n%s", step.Step, plan, done)
		}
		s, err := snapshotOf(t.Context(), t, p, "planp")
		if err != nil {
			t.Fatal(err)
		}
		versions := map[[2]any]bool{}
		names := map[string][]string{}
		for e := range s.Entities() {
			names["entities"] = append(names["entities"], e.Name)
		}
		for v := range s.FeatureViews() {
			names["featureViews"] = append(names["featureViews"], v.Name)
			for n := range s.Versions(v.Name) {
				versions[[2]any{v.Name, float64(n.Number)}] = true
			}
		}
		for f := range s.FeatureServices() {
			names["featureServices"] = append(names["featureServices"], f.Name)
		}
		for d := range s.DataSources() {
			names["dataSources"] = append(names["dataSources"], d.Name)
		}
		if p, err := s.Project(); err == nil {
			names["projects"] = []string{p.Name}
		}
		for _, list := range []map[string][]string{names, step.After.Names} {
			for _, l := range list {
				slices.Sort(l)
			}
		}
		if !maps.EqualFunc(names, step.After.Names, slices.Equal[[]string]) {
			t.Errorf("%s: %v, want %v", step.Step, names, step.After.Names)
		}
		wantVersions := map[[2]any]bool{}
		for _, v := range step.After.Versions {
			wantVersions[v] = true
		}
		if !maps.Equal(versions, wantVersions) && p.Behind == nil {
			t.Errorf("%s: versions %v, want %v", step.Step, versions, wantVersions)
		}
	}
}

func apply(t *testing.T, w *registry.Writer, r registry.ApplyRequest) *registry.Diff {
	t.Helper()
	d, err := w.Apply(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
