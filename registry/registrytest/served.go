package registrytest

import (
	"errors"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// servedObjects are objects that can be applied: views of all kinds, and a service.
func servedObjects() []registry.Object {
	file := &registry.DataSource{Name: "file", TimestampField: "ts", Options: registry.FileOptions{Path: "d.parquet"}}
	push := &registry.DataSource{Name: "push", BatchSource: file, Options: registry.PushOptions{}}
	schema := func(name string) []registry.Field { return []registry.Field{{Name: name, Type: types.Int64}} }
	return []registry.Object{
		&registry.Project{Name: project, Description: "d"},
		&registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64},
		&registry.FeatureView{Name: "stats", Entities: []string{"driver"}, Schema: schema("f"), TTL: time.Hour, Source: file, Online: true},
		&registry.StreamFeatureView{Name: "stream", Entities: []string{"driver"}, Schema: schema("s"), Source: file, StreamSource: push},
		&registry.OnDemandFeatureView{Name: "odfv", Schema: schema("o"), Sources: []registry.FeatureViewProjection{{Name: "stats"}}},
		&registry.LabelView{Name: "labels", Entities: []string{"driver"}, Schema: schema("l"), Source: file},
		&registry.FeatureService{Name: "service", Features: []registry.FeatureViewProjection{{Name: "stats"}}},
	}
}

// testServed: what a server keeps to itself is refused before anything is changed, and the rest is as everywhere.
func testServed(t *testing.T, p Place) {
	b := open(t, p)
	if _, err := b.Update(t.Context(), project, func(registry.Tx) error { return nil }); !errors.Is(err, feasterr.ErrUnsupported) {
		t.Error("Update:", err)
	}
	w := &registry.Writer{Backend: b, Project: project}
	if d := apply(t, w, registry.ApplyRequest{Objects: servedObjects()}); len(d.Changes) == 0 {
		t.Fatal("nothing was applied")
	}
	if d := apply(t, w, registry.ApplyRequest{Objects: servedObjects()}); !d.Empty() {
		t.Errorf("applied again:\n%s", d)
	}
	_, before := load(t, b)
	unchanged := func(what string, err, class error) {
		t.Helper()
		if !errors.Is(err, class) {
			t.Errorf("%s: %v, want %v", what, err, class)
		}
		if _, now := load(t, b); now != before {
			t.Errorf("%s: something was written", what)
		}
	}
	view := func(change func(*registry.FeatureView)) registry.ApplyRequest {
		v := *servedObjects()[2].(*registry.FeatureView)
		change(&v)
		return registry.ApplyRequest{Objects: []registry.Object{&v}}
	}
	r := view(func(v *registry.FeatureView) {
		v.Schema = append(v.Schema, registry.Field{Name: "g", Type: v.Schema[0].Type})
	})
	r.NoPromote = true
	_, err := w.Apply(t.Context(), r)
	unchanged("NoPromote", err, feasterr.ErrUnsupported)
	_, err = w.Apply(t.Context(), view(func(v *registry.FeatureView) { v.Version = "v1" }))
	unchanged("a pin", err, feasterr.ErrUnsupported)
	_, err = w.Apply(t.Context(), view(func(v *registry.FeatureView) { v.Entities = []string{"nobody"} }))
	unchanged("an unknown entity", err, feasterr.ErrNotFound)
	_, err = w.Apply(t.Context(), registry.ApplyRequest{Delete: []registry.Object{&registry.Entity{Name: "nobody"}}})
	unchanged("a deletion of nothing", err, feasterr.ErrNotFound)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	unchanged("materialization of nothing", w.ApplyMaterialization(t.Context(), "nothing", at, at), feasterr.ErrNotFound)

	r = view(func(v *registry.FeatureView) {
		v.Schema = append(v.Schema, registry.Field{Name: "g", Type: v.Schema[0].Type})
		v.Owner = "me"
	})
	r.Delete = []registry.Object{&registry.FeatureService{Name: "service"}, &registry.LabelView{Name: "labels"}}
	apply(t, w, r)
	for _, view := range []string{"stats", "stream"} {
		if err := w.ApplyMaterialization(t.Context(), view, at, at.Add(time.Hour)); err != nil {
			t.Fatal(view, err)
		}
	}
	reg := registry.New(p.Open(t), project, registry.Options{})
	defer reg.Close()
	s, err := reg.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.FeatureView("stats")
	if err != nil {
		t.Fatal(err)
	}
	want := registry.Interval{Start: at, End: at.Add(time.Hour)}
	if v.Owner != "me" || len(v.Schema) != 2 || v.CurrentVersion != 1 || v.State != registry.StateAvailableOnline ||
		len(v.MaterializationIntervals) != 1 || v.MaterializationIntervals[0] != want {
		t.Errorf("the view is %+v", v)
	}
	sv, err := s.StreamFeatureView("stream")
	if err != nil {
		t.Fatal(err)
	}
	if len(sv.MaterializationIntervals) != 1 || sv.MaterializationIntervals[0] != want || sv.State != registry.StateAvailableOnline {
		t.Errorf("the stream view is %+v", sv)
	}
	if _, err := s.FeatureService("service"); !errors.Is(err, feasterr.ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.LabelView("labels"); !errors.Is(err, feasterr.ErrNotFound) {
		t.Error(err)
	}
}
