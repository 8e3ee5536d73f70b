package registry_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
)

func TestDiffString(t *testing.T) {
	w, _ := newWriter("p")
	driver := &registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}
	was := view("v", func(v *registry.FeatureView) {
		v.Entities, v.TTL, v.Tags = []string{"driver"}, time.Hour, map[string]string{"a": "1", "b": "2"}
	})
	mustApply(t, w, objects(driver, was, &registry.Entity{Name: "old"}, &registry.DataSource{
		Name: "ms", TimestampField: "ts", Options: registry.MsSQLOptions{TableRef: "t", ConnectionString: "Password=hunter2"},
	}))
	is := view("v", func(v *registry.FeatureView) {
		v.Entities, v.TTL, v.Tags = []string{"driver"}, 2*time.Hour, map[string]string{"a": "1", "c": "3"}
		v.Schema = []registry.Field{{Name: "f", Type: types.Float64}, {Name: "g", Type: types.StringList}}
		v.Source.Options = registry.FileOptions{Path: "other", Format: registry.FormatDelta}
	})
	d := mustApply(t, w, registry.ApplyRequest{DryRun: true, Delete: []registry.Object{&registry.Entity{Name: "old"}},
		Objects: []registry.Object{driver, is, &registry.Entity{Name: "new"}, &registry.DataSource{
			Name: "ms", TimestampField: "ts", Options: registry.MsSQLOptions{TableRef: "t", ConnectionString: "Password=secret"},
		}}})
	want := `+ entity "new"
- entity "old"
~ data source "ms"
    connection_string: (as stored) -> (as defined)
~ data source "s"
    path: s.parquet -> other
    format: (none) -> delta
~ feature view "v"
    tags.b: 2 -> (none)
    tags.c: (none) -> 3
    schema.f.type: Int64 -> Float64
    schema.g: (none) -> Array(String)
    ttl: 1h -> 2h
    source.path: s.parquet -> other
    source.format: (none) -> delta
+ version 1 of feature view "v"
2 to create, 3 to update, 1 to delete, 1 unchanged
`
	if d.String() != want {
		t.Errorf("got\n%s\nwant\n%s", d, want)
	}
}

// Every kind of object is created, found equal, changed and deleted, alone and with all others.
func TestKinds(t *testing.T) {
	w, b := newWriter("p")
	driver := &registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}
	keyed := func(v *registry.FeatureView) { v.Entities = []string{"driver"} }
	all := []registry.Object{
		&registry.Project{Name: "p", Owner: "me"}, driver, file("alone"), view("v", keyed),
		stream(func(v *registry.StreamFeatureView) { v.Name = "stream" }),
		onDemand(func(v *registry.OnDemandFeatureView) {
			v.Name, v.Sources = "odfv", []registry.FeatureViewProjection{{Name: "v:f"}}
			v.RequestSources = []*registry.DataSource{{Name: "request", Options: registry.RequestOptions{Schema: fields("r")}}}
		}),
		&registry.LabelView{Name: "labels", Entities: []string{"driver"}, Schema: fields("good"), Source: push("label_push", file("s"))},
		&registry.FeatureService{Name: "service", Features: []registry.FeatureViewProjection{{Name: "v"}, {Name: "odfv"}, {Name: "labels"}}},
		&registry.SavedDataset{Name: "dataset", Storage: registry.FileOptions{Path: "d.parquet"}, MinEventTimestamp: noon},
		&registry.ValidationReference{Name: "reference", DatasetName: "dataset", Profiler: []byte("pickle")},
		&permissions.Permission{Name: "permission", Actions: permissions.AllActions(), Policy: permissions.RoleBased{Roles: []string{"r"}}},
	}
	d := mustApply(t, w, objects(all...))
	if counts := count(d); counts != [4]int{0, 16, 0, 0} { // 5 sources and the placeholder came along
		t.Errorf("%v\n%s", counts, d)
	}
	if d := mustApply(t, w, objects(all...)); count(d) != [4]int{16, 0, 0, 0} {
		t.Errorf("again:\n%s", d)
	}
	s := snapshot(t, b, "p")
	service, err := s.FeatureService("service")
	if err != nil {
		t.Fatal(err)
	}
	if p := service.Features[2]; p.ViewType != "labelView" || p.Source == nil || p.Source.Name != "s" || p.Features[0].Type != types.Int64 {
		t.Errorf("%+v", p)
	}
	if p := service.Features[1]; p.ViewType != "featureView" || p.Source != nil {
		t.Errorf("%+v", p)
	}
	source, err := s.DataSource("label_push")
	if err != nil || source.TimestampField != "ts" || !source.Created.Equal(noon.Truncate(time.Microsecond)) {
		t.Error(source, err)
	}
	if odfv, err := s.OnDemandFeatureView("odfv"); err != nil || odfv.Mode != "pandas" || len(odfv.Sources[0].Features) != 1 {
		t.Error(odfv, err)
	}

	later := noon.Add(time.Hour).Truncate(time.Microsecond)
	w.Now = func() time.Time { return later }
	for _, o := range all {
		changed, err := registry.Clone(o)
		if err != nil {
			t.Fatal(err)
		}
		switch o := changed.(type) {
		case *registry.Project:
			o.Description = "d"
		case *registry.Entity:
			o.Description = "d"
		case *registry.DataSource:
			o.Description = "d"
		case *registry.FeatureView:
			o.Disabled = true // departure 13
		case *registry.StreamFeatureView:
			o.Disabled = true
		case *registry.OnDemandFeatureView:
			o.Tags = map[string]string{"t": "1"} // departure 13
		case *registry.LabelView:
			o.Tags = map[string]string{"t": "1"}
		case *registry.FeatureService:
			o.Logging = &registry.LoggingConfig{SampleRate: 1, Destination: registry.FileDestination{Path: "log"}}
		case *registry.SavedDataset:
			o.Description, o.MinEventTimestamp = "d", time.Time{}
		case *registry.ValidationReference:
			o.Profile = []byte("profile")
		case *permissions.Permission:
			o.Tags = map[string]string{"t": "1"}
		}
		d := mustApply(t, w, objects(changed))
		if c := count(d); c[registry.ActionUpdate] != 1 || c[registry.ActionCreate]+c[registry.ActionDelete] != 0 {
			t.Errorf("%T:\n%s", o, d)
		}
		if d := mustApply(t, w, objects(changed)); !d.Empty() {
			t.Errorf("%T again:\n%s", o, d)
		}
	}
	s = snapshot(t, b, "p")
	if v, err := s.FeatureView("v"); err != nil || !v.Disabled || v.Created.Equal(v.LastUpdated) || !v.LastUpdated.Equal(later) {
		t.Error(v, err)
	}
	if d, err := s.SavedDataset("dataset"); err != nil || !d.MinEventTimestamp.Equal(noon) || !d.Created.Before(later) {
		t.Error(d, err)
	}
	if n := len(slices.Collect(s.Versions("labels"))); n != 1 {
		t.Errorf("%d versions of the label view", n)
	}

	for _, o := range all[1:] {
		d := mustApply(t, w, registry.ApplyRequest{Delete: []registry.Object{o}})
		if count(d) != [4]int{0, 0, 0, 1} {
			t.Errorf("%T:\n%s", o, d)
		}
	}
	state, _, err := b.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range state.Records {
		if r.Kind == registry.KindViewVersion {
			t.Errorf("%s is left", r.ID)
		}
	}
	if d := mustApply(t, w, registry.ApplyRequest{Delete: all[:1]}); count(d)[registry.ActionDelete] != 6 {
		t.Errorf("the project:\n%s", d)
	}
	if state, _, err = b.Load(t.Context(), ""); err != nil || len(state.Records) > 0 {
		t.Error(state.Records, err)
	}
}

func count(d *registry.Diff) (counts [4]int) {
	for _, c := range d.Changes {
		counts[c.Action]++
	}
	return counts
}

// What the registry keeps about a view is not lost when it is applied again.
func TestKept(t *testing.T) {
	for name, o := range map[string]registry.View{
		"v": view("v", func(*registry.FeatureView) {}),
		"b": view("b", func(v *registry.FeatureView) { v.Transformation = &registry.Transformation{Name: "f"} }), // departure 13
		"s": stream(func(v *registry.StreamFeatureView) { v.Name = "s" }),
	} {
		w, b := newWriter("p")
		mustApply(t, w, objects(o))
		if err := w.ApplyMaterialization(t.Context(), name, noon.Add(-time.Hour), noon); err != nil {
			t.Fatal(err)
		}
		check := func(what string, state registry.ViewState, tags, fields int) {
			t.Helper()
			v, err := snapshot(t, b, "p").View(name)
			if err != nil {
				t.Fatal(err)
			}
			info := v.Info()
			var intervals []registry.Interval
			switch v := v.(type) {
			case *registry.FeatureView:
				intervals = v.MaterializationIntervals
			case *registry.StreamFeatureView:
				intervals = v.MaterializationIntervals
			}
			if info.State != state || len(intervals) != 1 || len(info.Tags) != tags || len(info.Features) != fields {
				t.Errorf("%s, %s: %+v, %v", name, what, info, intervals)
			}
		}
		if d := mustApply(t, w, objects(o)); !d.Empty() {
			t.Error(d)
		}
		check("the same", registry.StateAvailableOnline, 0, 1)
		switch v := o.(type) {
		case *registry.FeatureView:
			v.Tags = map[string]string{"t": "1"}
		case *registry.StreamFeatureView:
			v.Tags = map[string]string{"t": "1"}
		}
		mustApply(t, w, objects(o))
		check("tags", registry.StateAvailableOnline, 1, 1)
		switch v := o.(type) {
		case *registry.FeatureView:
			v.State = registry.StateMaterializing
		case *registry.StreamFeatureView:
			v.State = registry.StateMaterializing
		}
		if d := mustApply(t, w, objects(o)); !strings.Contains(d.String(), "state: AVAILABLE_ONLINE -> MATERIALIZING") {
			t.Error(d)
		}
		check("state", registry.StateMaterializing, 1, 1)
		switch v := o.(type) {
		case *registry.FeatureView:
			v.Schema, v.State = fields("f", "g"), 0
		case *registry.StreamFeatureView:
			v.Schema, v.State = fields("f", "g"), 0
		}
		mustApply(t, w, objects(o))
		check("schema", registry.StateUnspecified, 1, 2)
	}
}

func TestMaterializationErrors(t *testing.T) {
	w, _ := newWriter("p")
	mustApply(t, w, objects(&registry.Entity{Name: "e"}, onDemand(func(*registry.OnDemandFeatureView) {}),
		&registry.LabelView{Name: "labels", Entities: []string{"e"}, Schema: fields("f")}))
	for name, want := range map[string]error{"v": feasterr.ErrInvalid, "labels": feasterr.ErrInvalid, "nope": feasterr.ErrNotFound} {
		if err := w.ApplyMaterialization(t.Context(), name, noon, noon); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A run marks the view, unless no state is known of it, and takes over what a run that was killed left.
func TestMaterializationStates(t *testing.T) {
	for state, want := range map[registry.ViewState]struct {
		was, during, restored registry.ViewState
		is, exclusive         error
	}{
		registry.StateUnspecified:     {registry.StateUnspecified, registry.StateUnspecified, registry.StateUnspecified, nil, nil},
		registry.StateCreated:         {registry.StateCreated, registry.StateCreated, registry.StateCreated, feasterr.ErrInvalid, feasterr.ErrInvalid},
		registry.StateGenerated:       {registry.StateGenerated, registry.StateMaterializing, registry.StateGenerated, nil, nil},
		registry.StateMaterializing:   {registry.StateGenerated, registry.StateMaterializing, registry.StateGenerated, nil, feasterr.ErrConflict},
		registry.StateAvailableOnline: {registry.StateAvailableOnline, registry.StateMaterializing, registry.StateAvailableOnline, nil, nil},
	} {
		for _, exclusive := range []bool{false, true} {
			w, b := newWriter("p")
			mustApply(t, w, objects(view("v", func(v *registry.FeatureView) { v.State = state })))
			is, after := want.is, want.during
			if exclusive {
				is = want.exclusive
			}
			was, err := w.StartMaterialization(t.Context(), "v", exclusive)
			if !errors.Is(err, is) || err == nil && was != want.was {
				t.Errorf("%s: was %s, %v", state, was, err)
			}
			now := func() registry.ViewState {
				v, err := snapshot(t, b, "p").FeatureView("v")
				if err != nil {
					t.Fatal(err)
				}
				return v.State
			}
			if got := now(); got != after {
				t.Errorf("%s: is %s while materialized", state, got)
			}
			if err != nil {
				continue
			}
			if err := w.RestoreState(t.Context(), "v", was); err != nil || now() != want.restored {
				t.Errorf("%s: restored %s, %v", state, now(), err)
			}
		}
	}
	w, b := newWriter("p")
	mustApply(t, w, objects(view("v", func(*registry.FeatureView) {})))
	if err := w.ApplyMaterialization(t.Context(), "v", noon, noon); err != nil {
		t.Fatal(err)
	}
	if err := w.RestoreState(t.Context(), "v", registry.StateGenerated); err != nil { // somebody else was faster
		t.Fatal(err)
	}
	if v, err := snapshot(t, b, "p").FeatureView("v"); err != nil || v.State != registry.StateAvailableOnline {
		t.Error(v, err)
	}
}

// A view that an older Feast stored without a history gets one, and can be pinned to its first version.
func TestFirstVersion(t *testing.T) {
	for _, change := range []func(*registry.FeatureView){
		func(v *registry.FeatureView) { v.Schema = fields("f", "g") },
		func(v *registry.FeatureView) { v.Version = "V0" },
	} {
		w, b := newWriter("p")
		if err := b.Put(t.Context(), "p", view("v", func(*registry.FeatureView) {})); err != nil {
			t.Fatal(err)
		}
		mustApply(t, w, objects(view("v", change)))
		s := snapshot(t, b, "p")
		old, err := s.ViewVersion("v", 0)
		if err != nil || len(old.Info().Features) != 1 {
			t.Error(old, err)
		}
	}
	w, b := newWriter("p")
	if err := b.Put(t.Context(), "p", view("v", func(*registry.FeatureView) {})); err != nil {
		t.Fatal(err)
	}
	_, err := w.Apply(t.Context(), objects(view("v", func(v *registry.FeatureView) { v.Version, v.Owner = "v0", "me" })))
	if !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(fmt.Sprint(err), "pinned to v0 and changed (owner) at once") {
		t.Error(err)
	}
}

// conflicted runs the function of every transaction twice, as a backend does after a conflict.
type conflicted struct{ registry.Backend }

func (c conflicted) Update(ctx context.Context, project string, fn func(registry.Tx) error) (registry.Token, error) {
	errAgain := errors.New("again")
	if _, err := c.Backend.Update(ctx, project, func(tx registry.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errAgain
	}); !errors.Is(err, errAgain) {
		return "", err
	}
	return c.Backend.Update(ctx, project, fn)
}

func TestRerun(t *testing.T) {
	w, b := newWriter("p")
	w.Backend = conflicted{b}
	o := view("v", func(*registry.FeatureView) {})
	if d := mustApply(t, w, objects(o)); count(d) != [4]int{0, 4, 0, 0} {
		t.Error(d)
	}
	if err := w.ApplyMaterialization(t.Context(), "v", noon, noon); err != nil {
		t.Fatal(err)
	}
	v, err := snapshot(t, b, "p").FeatureView("v")
	if err != nil || len(v.MaterializationIntervals) != 1 {
		t.Error(v, err)
	}
	if o.Created != (time.Time{}) || o.Project != "" || o.Source.TimestampField != "ts" || !o.Source.Created.IsZero() {
		t.Errorf("the definition was modified: %+v", o)
	}
}

func TestBeforeCommit(t *testing.T) {
	w, b := newWriter("p")
	var told []string
	errNo := errors.New("no")
	w.BeforeCommit = func(_ context.Context, c *registry.Commit) error {
		told = append(told, fmt.Sprint(c.Diff.Changes[0].ID, len(slices.Collect(c.Before().Views())), len(slices.Collect(c.After().Views())), c.DryRun))
		return errNo
	}
	o := view("v", func(*registry.FeatureView) {})
	if _, err := w.Apply(t.Context(), objects(o)); !errors.Is(err, errNo) {
		t.Error(err)
	}
	if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{o}, DryRun: true}); !errors.Is(err, errNo) {
		t.Error(err)
	}
	if state, _, err := b.Load(t.Context(), ""); err != nil || len(state.Records) > 0 {
		t.Error(state, err)
	}
	w.BeforeCommit = nil
	mustApply(t, w, objects(o))
	w.BeforeCommit = func(context.Context, *registry.Commit) error { return errNo }
	mustApply(t, w, objects(o)) // nothing to commit
	if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{o}, Repair: true}); !errors.Is(err, errNo) {
		t.Error(err)
	}
	if want := []string{`project "p" 0 1 false`, `project "p" 0 1 true`}; !slices.Equal(told, want) {
		t.Error(told)
	}
}

func TestBase(t *testing.T) {
	w, _ := newWriter("p")
	o := view("v", func(*registry.FeatureView) {})
	plan := mustApply(t, w, registry.ApplyRequest{Objects: []registry.Object{o}, DryRun: true})
	mustApply(t, w, objects(&registry.Entity{Name: "other"}))
	r := registry.ApplyRequest{Objects: []registry.Object{o}, Base: plan.Base}
	if _, err := w.Apply(t.Context(), r); !errors.Is(err, feasterr.ErrConflict) {
		t.Error(err)
	}
	r.Base, r.DryRun = "", true
	plan = mustApply(t, w, r)
	r.Base, r.DryRun = plan.Base, false
	mustApply(t, w, r)
}

// absent is a backend whose registry does not exist yet.
type absent struct{ *memory.Backend }

func (absent) Load(context.Context, registry.Token) (*registry.State, registry.Token, error) {
	return nil, "", &feasterr.NotFoundError{Kind: "registry", Name: "data/registry.db"}
}

func TestDryRunOfNothing(t *testing.T) {
	w := &registry.Writer{Backend: absent{memory.New()}, Project: "p"}
	d, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{file("s")}, DryRun: true})
	if err != nil || count(d) != [4]int{0, 3, 0, 0} {
		t.Error(d, err)
	}
}

func TestPurgeMetadata(t *testing.T) {
	for _, purge := range []bool{false, true} {
		w, b := newWriter("p")
		w.PurgeMetadata = purge
		mustApply(t, w, objects(file("s")))
		state, _, err := b.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		has := slices.ContainsFunc(state.Records, func(r registry.Record) bool { return r.Kind == registry.KindProjectMetadata })
		if has == purge {
			t.Errorf("purge %t: metadata %t", purge, has)
		}
	}
}

// A name can pass from one kind of view to another in one request: deletions come first.
func TestNamePasses(t *testing.T) {
	w, b := newWriter("p")
	mustApply(t, w, objects(view("v", func(*registry.FeatureView) {})))
	od := onDemand(func(*registry.OnDemandFeatureView) {})
	if _, err := w.Apply(t.Context(), objects(od)); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
	mustApply(t, w, registry.ApplyRequest{Objects: []registry.Object{od}, Prune: true})
	v, err := snapshot(t, b, "p").View("v")
	if err != nil || v.Info().Kind != registry.KindOnDemandFeatureView || v.Info().CurrentVersion != 0 {
		t.Error(v, err)
	}
	for _, r := range []registry.ApplyRequest{
		{Objects: []registry.Object{od}, Delete: []registry.Object{od}},
		{Objects: []registry.Object{od}, Delete: []registry.Object{&registry.Project{Name: "p"}}},
	} {
		if _, err := w.Apply(t.Context(), r); !errors.Is(err, feasterr.ErrInvalid) {
			t.Error(err)
		}
	}
}

// A service keeps its copies when it is read, changed and applied, and gets new ones from its definition.
func TestFrozenProjections(t *testing.T) {
	w, b := newWriter("p")
	definition := &registry.FeatureService{Name: "s", Features: []registry.FeatureViewProjection{{Name: "v"}}}
	mustApply(t, w, objects(view("v", func(*registry.FeatureView) {}), definition))
	mustApply(t, w, objects(view("v", func(v *registry.FeatureView) { v.Schema = fields("f", "g") })))
	read, err := snapshot(t, b, "p").FeatureService("s")
	if err != nil {
		t.Fatal(err)
	}
	if read, err = registry.Clone(read); err != nil {
		t.Fatal(err)
	}
	read.Owner = "me"
	for _, tc := range []struct {
		service *registry.FeatureService
		want    int
	}{{read, 1}, {definition, 2}} {
		mustApply(t, w, objects(tc.service))
		if s, err := snapshot(t, b, "p").FeatureService("s"); err != nil || len(s.Features[0].Features) != tc.want {
			t.Error(s, err)
		}
	}
}

// A record that cannot be read is not silently replaced, but can be deleted.
func TestGarbage(t *testing.T) {
	w, b := newWriter("p")
	driver := &registry.Entity{Name: "driver"}
	mustApply(t, w, objects(driver))
	garbage := registry.Record{ID: registry.ID{Kind: registry.KindEntity, Project: "p", Name: "driver"}, Proto: []byte{0xff}}
	if _, err := b.Update(t.Context(), "p", func(tx registry.Tx) error { return tx.Put(t.Context(), garbage) }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Apply(t.Context(), objects(driver)); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
	mustApply(t, w, registry.ApplyRequest{Delete: []registry.Object{driver}})
	mustApply(t, w, objects(driver))
}

// Data sources without a name are called by what they read, and push sources look like their history.
func TestSourceDefaults(t *testing.T) {
	w, b := newWriter("p")
	w.Describe = describe
	batch := &registry.DataSource{Options: registry.FileOptions{Path: "data/one_ts.parquet"}, FieldMapping: map[string]string{"a": "b"}}
	list := []registry.Object{push("push", batch)}
	want := []string{"data/one_ts.parquet", "push"}
	for name, o := range map[string]registry.SourceOptions{
		"bq": registry.BigQueryOptions{Table: "bq"}, "rs": registry.RedshiftOptions{Table: "rs"},
		"sf": registry.SnowflakeOptions{Table: "sf"}, "sp": registry.SparkOptions{Table: "sp"},
		"tr": registry.TrinoOptions{Table: "tr"}, "at": registry.AthenaOptions{Table: "at"},
		"pg": registry.PostgresOptions{Table: "pg"},
	} {
		s := source(o)
		s.Name = ""
		list = append(list, s)
		want = append(want, name)
	}
	mustApply(t, w, objects(list...))
	s := snapshot(t, b, "p")
	var got []string
	for d := range s.DataSources() {
		got = append(got, d.Name)
		if d.TimestampField == "" {
			t.Errorf("%s has no event timestamp", d.Name)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	p, err := s.DataSource("push")
	if err != nil || p.TimestampField != "event_timestamp" || p.BatchSource.TimestampField != "event_timestamp" || p.FieldMapping["a"] != "b" {
		t.Error(p, err)
	}
}

func TestActionNames(t *testing.T) {
	got := fmt.Sprint(registry.ActionUnchanged, registry.ActionCreate, registry.ActionUpdate, registry.ActionDelete, registry.Action(9))
	if got != "unchanged create update delete Action(9)" {
		t.Error(got)
	}
}

// Attributes of every form are shown, and a plug-in's configuration is not.
func TestFieldChanges(t *testing.T) {
	w, _ := newWriter("p")
	all := permissions.AllActions()
	was := []registry.Object{
		&permissions.Permission{Name: "p", Actions: all[:1], Policy: permissions.RoleBased{Roles: []string{"r"}}},
		view("v", func(v *registry.FeatureView) { v.Transformation = &registry.Transformation{Name: "f", Body: []byte{1}} }),
		stream(func(v *registry.StreamFeatureView) {
			v.Name, v.TimestampField = "s", "ts"
			v.Aggregations = []registry.Aggregation{{Column: "c", Function: "sum", TimeWindow: time.Hour}}
		}),
		&registry.FeatureService{Name: "svc", Features: []registry.FeatureViewProjection{{Name: "v"}}, Logging: &registry.LoggingConfig{
			Destination: registry.CustomDestination{Kind: "k", Config: map[string]string{"password": "hunter2"}},
		}},
	}
	is := []registry.Object{
		&permissions.Permission{Name: "p", Actions: all[:2], Policy: permissions.GroupBased{Groups: []string{"g"}}},
		view("v", func(v *registry.FeatureView) {
			v.Transformation = &registry.Transformation{Name: "f", Body: []byte{1, 2}}
		}),
		stream(func(v *registry.StreamFeatureView) {
			v.Name, v.TimestampField = "s", "ts"
			v.Aggregations = []registry.Aggregation{{Column: "c", Function: "sum", TimeWindow: 2 * time.Hour}}
		}),
		&registry.FeatureService{Name: "svc", Features: []registry.FeatureViewProjection{{Name: "v@v0"}, {Name: "s"}}, Logging: &registry.LoggingConfig{
			SampleRate: 0.5, Destination: registry.CustomDestination{Kind: "k", Config: map[string]string{"password": "secret"}},
		}},
	}
	mustApply(t, w, objects(was...))
	want := `~ feature view "v"
    transformation.body: 1 bytes -> 2 bytes
~ stream feature view "s"
    aggregations.sum of c over 1h: sum of c over 1h -> (none)
    aggregations.sum of c over 2h: (none) -> sum of c over 2h
~ feature service "svc"
    features.s: (none) -> f
    features.v: f -> (none)
    features.v@v0: (none) -> f
    logging.sample_rate: 0 -> 0.5
    logging.destination.config.password: (as stored) -> (as defined)
~ permission "p"
    actions: CREATE -> CREATE, DESCRIBE
    policy: RoleBased{[r]} -> GroupBased{[g]}
+ version 1 of feature view "s"
+ version 1 of feature view "v"
2 to create, 4 to update, 0 to delete, 2 unchanged
`
	if d := mustApply(t, w, objects(is...)); d.String() != want {
		t.Errorf("got\n%s\nwant\n%s", d, want)
	}
}

func TestPins(t *testing.T) {
	w, b := newWriter("p")
	apply := func(noPromote bool, version, owner string, features ...string) (*registry.Diff, error) {
		return w.Apply(t.Context(), registry.ApplyRequest{NoPromote: noPromote, Objects: []registry.Object{
			view("v", func(v *registry.FeatureView) { v.Version, v.Owner, v.Schema = version, owner, fields(features...) }),
		}})
	}
	for i, step := range []struct {
		noPromote      bool
		version, owner string
		features       []string

		want        registry.Action // of the view
		wantErr     error
		current     int // version, number of features and pin that are active then
		wantColumns int
		wantPin     string
	}{
		{features: []string{"f"}, want: registry.ActionCreate, wantColumns: 1},
		{features: []string{"f", "g"}, want: registry.ActionUpdate, current: 1, wantColumns: 2},
		{features: []string{"g", "f"}, want: registry.ActionUnchanged, current: 1, wantColumns: 2},
		{version: "Version0", features: []string{"f", "g"}, want: registry.ActionUpdate, wantColumns: 1, wantPin: "Version0"},
		{version: "v0", features: []string{"f"}, want: registry.ActionUnchanged, wantColumns: 1, wantPin: "Version0"},
		{version: "v0", owner: "me", features: []string{"f"}, wantErr: feasterr.ErrInvalid, wantColumns: 1, wantPin: "Version0"},
		{version: "v1", features: []string{"f"}, want: registry.ActionUpdate, current: 1, wantColumns: 2, wantPin: "v1"},
		{version: "latest", features: []string{"f", "g"}, want: registry.ActionUpdate, wantColumns: 2},
		{noPromote: true, version: "v5", features: []string{"f"}, want: registry.ActionUnchanged, wantColumns: 2},
		{features: []string{"h"}, want: registry.ActionUpdate, current: 6, wantColumns: 1},
		{noPromote: true, features: []string{"f"}, want: registry.ActionUnchanged, current: 6, wantColumns: 1},
		{noPromote: true, owner: "me", features: []string{"h"}, want: registry.ActionUpdate, wantColumns: 1}, // no version
	} {
		d, err := apply(step.noPromote, step.version, step.owner, step.features...)
		if !errors.Is(err, step.wantErr) {
			t.Fatalf("step %d: %v", i, err)
		}
		if err == nil {
			at := slices.IndexFunc(d.Changes, func(c registry.Change) bool { return c.ID.Kind == registry.KindFeatureView })
			if d.Changes[at].Action != step.want {
				t.Errorf("step %d:\n%s", i, d)
			}
		}
		v, err := snapshot(t, b, "p").FeatureView("v")
		if err != nil || v.CurrentVersion != step.current || len(v.Schema) != step.wantColumns || v.Version != step.wantPin {
			t.Errorf("step %d: %+v, %v", i, v, err)
		}
	}
	var numbers []int
	for v := range snapshot(t, b, "p").Versions("v") {
		numbers = append(numbers, v.Number)
		if len(v.ID) != 36 || !v.Created.Equal(noon.Truncate(time.Microsecond)) || v.Kind != registry.KindFeatureView {
			t.Errorf("%+v", v)
		}
	}
	if want := []int{0, 1, 5, 6, 7}; !slices.Equal(numbers, want) {
		t.Errorf("versions %v, want %v", numbers, want)
	}
}

// The copies of views within a view are as complete as the views themselves.
func TestSourceViews(t *testing.T) {
	w, b := newWriter("p")
	base := view("base", func(v *registry.FeatureView) {
		v.Entities, v.Source = []string{"e"}, push("push", file("s"))
	})
	middle := view("middle", func(v *registry.FeatureView) { v.SourceViews = []registry.FeatureView{*base} })
	top := view("top", func(v *registry.FeatureView) { v.SourceViews = []registry.FeatureView{*middle} })
	mustApply(t, w, objects(&registry.Entity{Name: "e", JoinKey: "k", ValueType: types.Int64}, base, middle, top))
	read, err := snapshot(t, b, "p").FeatureView("top")
	if err != nil {
		t.Fatal(err)
	}
	inner := read.SourceViews[0].SourceViews[0]
	want := []registry.Field{{Name: "k", Type: types.Int64}}
	if !reflect.DeepEqual(inner.EntityColumns, want) || inner.StreamSource.TimestampField != file("s").TimestampField {
		t.Errorf("columns %v, stream source %+v", inner.EntityColumns, inner.StreamSource)
	}
	if base.EntityColumns != nil || base.Source.TimestampField != "" {
		t.Error("the definition was modified")
	}
	diff := mustApply(t, w, objects(base, middle, top))
	if !diff.Empty() {
		t.Errorf("applied again:\n%s", diff)
	}
	gone := view("gone", func(v *registry.FeatureView) { v.Entities = []string{"nobody"} })
	_, err = w.Apply(t.Context(), objects(view("top", func(v *registry.FeatureView) { v.SourceViews = []registry.FeatureView{*gone} })))
	if !errors.Is(err, feasterr.ErrInvalid) || !errors.Is(err, feasterr.ErrNotFound) {
		t.Error(err)
	}
}

// A definition of an on-demand view without a function is one that Go computes: Feast finds a function that says so, or the
// one that it stored itself.
func TestOnDemandWithoutFunction(t *testing.T) {
	w, b := newWriter("p")
	od := func(change func(*registry.OnDemandFeatureView)) *registry.OnDemandFeatureView {
		return onDemand(func(v *registry.OnDemandFeatureView) {
			v.RequestSources = []*registry.DataSource{{Name: "request", Options: registry.RequestOptions{Schema: fields("r")}}}
			change(v)
		})
	}
	stored := func() *registry.Transformation {
		t.Helper()
		r := registry.New(b, "p", registry.Options{})
		defer r.Close()
		s, err := r.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.OnDemandFeatureView("v")
		if err != nil {
			t.Fatal(err)
		}
		return v.Transformation
	}
	none := od(func(*registry.OnDemandFeatureView) {})
	mustApply(t, w, objects(none))
	want := registry.Transformation{
		Name: "go_function", Mode: "pandas",
		Text: "def go_function(inputs):\n    raise NotImplementedError(\"this on-demand feature view is computed by a Go function\")\n",
	}
	if got := stored(); !reflect.DeepEqual(*got, want) {
		t.Errorf("stored is %+v, want %+v", *got, want)
	}
	if d := mustApply(t, w, objects(none)); !d.Empty() {
		t.Errorf("the same again changes\n%s", d)
	}
	if none.Transformation != nil {
		t.Error("the definition was changed")
	}

	python := registry.Transformation{Name: "f", Body: []byte("pickle"), Text: "def f(inputs): ...", Mode: "pandas"}
	mustApply(t, w, objects(od(func(v *registry.OnDemandFeatureView) { v.Transformation = new(python) })))
	if d := mustApply(t, w, objects(none)); !d.Empty() {
		t.Errorf("a definition that leaves the function to Go changes\n%s", d)
	}
	if got := stored(); !reflect.DeepEqual(*got, python) {
		t.Errorf("stored is %+v, want %+v", *got, python)
	}
	mustApply(t, w, registry.ApplyRequest{Delete: []registry.Object{none}})
	mustApply(t, w, objects(od(func(v *registry.OnDemandFeatureView) { v.Mode = "substrait" })))
	if got := stored(); got != nil {
		t.Errorf("a plan was made up: %+v", got)
	}
}

// The highest version there can be costs no more than another, and no version comes after it.
func TestHighestVersion(t *testing.T) {
	w, b := newWriter("p")
	pinned := func(version, feature string) registry.ApplyRequest {
		return objects(view("v", func(v *registry.FeatureView) { v.Version, v.Schema = version, fields(feature) }))
	}
	mustApply(t, w, pinned("", "a"))
	mustApply(t, w, pinned("v2147483647", "b"))
	mustApply(t, w, pinned("", "b")) // the pin goes, and what it made stays
	for _, noPromote := range []bool{false, true} {
		r := pinned("", "c")
		r.NoPromote = noPromote
		_, err := w.Apply(t.Context(), r)
		want := `feature view "v" needs a new version, and there is none after v2147483647, which its history has: give it a Version ` +
			`that the history does not have, as "v1", or delete the view and apply it again`
		if !errors.Is(err, feasterr.ErrInvalid) || fmt.Sprint(err) != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	mustApply(t, w, pinned("v1", "c"))
	mustApply(t, w, registry.ApplyRequest{Delete: []registry.Object{&registry.FeatureView{Name: "v"}}})
	state, _, err := b.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range state.Records {
		if r.Kind == registry.KindFeatureView || r.Kind == registry.KindViewVersion {
			t.Errorf("left behind: %s", r.ID)
		}
	}
}
