package registrytest

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/registry"
)

// goldenRegistry is the registry that Feast wrote for a rich repository.
func goldenRegistry(t *testing.T) (*registry.State, []registry.Object) {
	t.Helper()
	state, err := registry.ParseState(golden(t, "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	var list []registry.Object
	for _, r := range state.Records {
		switch r.Kind {
		case registry.KindInfra, registry.KindProjectMetadata, registry.KindViewVersion:
			continue
		}
		o, err := registry.Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
	return state, list
}

// All that Feast applied is found equal when it is applied again, read from the registry or made in Go.
func testGoldenUnchanged(t *testing.T, p Place) {
	for _, made := range []bool{false, true} {
		state, list := goldenRegistry(t)
		p.Write(t, slices.DeleteFunc(state.Records, func(r registry.Record) bool { return r.Project != "golden" }))
		for _, o := range list {
			if made {
				*o.Origin() = sealed.Origin{}
			}
		}
		d := apply(t, &registry.Writer{Backend: openFor(t, p, "golden"), Project: "golden"}, registry.ApplyRequest{Objects: list})
		if !d.Empty() {
			t.Errorf("made in Go: %t\n%s", made, d)
		}
		if len(d.Changes) != len(list) {
			t.Errorf("%d changes of %d objects", len(d.Changes), len(list))
		}
	}
}

// The same objects made in Go and applied to an empty registry are stored as Feast stores them, but for times.
func testGoldenCreated(t *testing.T, p Place) {
	state, list := goldenRegistry(t)
	for _, o := range list {
		*o.Origin() = sealed.Origin{}
	}
	b := openFor(t, p, "golden")
	d := apply(t, &registry.Writer{Backend: b, Project: "golden"}, registry.ApplyRequest{Objects: list})
	if d.Empty() {
		t.Fatal("nothing was created")
	}
	loaded, _, err := b.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	got := map[registry.ID][]byte{}
	for _, r := range loaded.Records {
		got[r.ID] = r.Proto
	}
	compared := 0
	for _, r := range state.Records {
		m := map[registry.Kind]proto.Message{
			registry.KindFeatureView: new(core.FeatureView), registry.KindFeatureService: new(core.FeatureService),
			registry.KindEntity: new(core.Entity), registry.KindDataSource: new(core.DataSource),
			registry.KindOnDemandFeatureView: new(core.OnDemandFeatureView), registry.KindLabelView: new(core.LabelView),
			registry.KindPermission: new(core.Permission),
		}[r.Kind]
		if m == nil {
			continue
		}
		is := proto.Clone(m)
		if err := errors.Join(proto.Unmarshal(r.Proto, m), proto.Unmarshal(got[r.ID], is)); err != nil {
			t.Fatal(err)
		}
		want, have := map[string]string{}, map[string]string{}
		for to, m := range map[*map[string]string]proto.Message{&want: m, &have: is} {
			text, err := protojson.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			var value any
			if err := json.Unmarshal(text, &value); err != nil {
				t.Fatal(err)
			}
			flatten(*to, "", value)
		}
		paths := maps.Clone(want)
		maps.Copy(paths, have)
		for path := range paths {
			switch compared++; {
			case want[path] == have[path], strings.Contains(path, "Timestamp"), // now, not then
				strings.HasSuffix(path, "dataSourceClassType"),        // spec 6.4: it should be written everywhere
				strings.HasSuffix(path, "configuration"),              // JSON with other spaces
				p.Behind != nil && strings.HasSuffix(path, "project"), // which a server leaves out
				path == "spec.ttl" && r.Name == "no_ttl":              // no ttl and ttl 0 are the same: spec 6.5
			default:
				t.Errorf("%s: %s is %q, want %q", r.ID, path, have[path], want[path])
			}
		}
	}
	if compared < 500 {
		t.Errorf("only %d values compared", compared)
	}
}
