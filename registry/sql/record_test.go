package sql

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/registry"
)

// The project is put where protobuf libraries write it, and taken out again.
func TestPlace(t *testing.T) {
	for kind, m := range map[registry.Kind]struct{ without, with proto.Message }{
		registry.KindEntity: {
			&core.Entity{Spec: &core.EntitySpecV2{Name: "e", Owner: "o"}, Meta: &core.EntityMeta{}},
			&core.Entity{Spec: &core.EntitySpecV2{Name: "e", Owner: "o", Project: "p"}, Meta: &core.EntityMeta{}},
		},
		registry.KindDataSource:          {&core.DataSource{Name: "d", Owner: "o"}, &core.DataSource{Name: "d", Owner: "o", Project: "p"}},
		registry.KindFeatureService:      {&core.FeatureService{Spec: &core.FeatureServiceSpec{}}, &core.FeatureService{Spec: &core.FeatureServiceSpec{Project: "p"}}},
		registry.KindValidationReference: {&core.ValidationReference{Name: "v"}, &core.ValidationReference{Name: "v", Project: "p"}},
		registry.KindPermission:          {&core.Permission{}, &core.Permission{}}, // has no specification to name it in
		registry.KindProject:             {&core.Project{Spec: &core.ProjectSpec{Name: "p"}}, &core.Project{Spec: &core.ProjectSpec{Name: "p"}}},
	} {
		encode := func(m proto.Message) []byte {
			b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		without, with := encode(m.without), encode(m.with)
		if got := placeOf(kind).appendNamed(nil, without, "p"); !bytes.Equal(got, with) {
			t.Errorf("%s: added %x, want %x", kind, got, with)
		}
		if got := placeOf(kind).appendNamed(nil, with, "other"); !bytes.Equal(got, with) {
			t.Errorf("%s: replaced %x by %x", kind, with, got)
		}
		if got := placeOf(kind).remove(with); !bytes.Equal(got, without) {
			t.Errorf("%s: removed %x, want %x", kind, got, without)
		}
	}
}

// Whatever a column holds, it becomes a record that names its project, or stays as it is.
func FuzzRecord(f *testing.F) {
	entity, err := proto.Marshal(&core.Entity{Spec: &core.EntitySpecV2{Name: "e", Owner: "o"}, Meta: &core.EntityMeta{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(registry.KindEntity), entity)
	f.Add(uint8(registry.KindDataSource), []byte("\xa2\x01\x01d"))
	f.Add(uint8(registry.KindFeatureView), []byte("\x0a\xff\xff"))
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		was := bytes.Clone(b)
		r := row{kind: registry.Kind(kind), project: "p", name: "n", time: 1, proto: b}
		first := r.record(new(arena))
		if !bytes.Equal(b, was) {
			t.Fatal("the row was changed")
		}
		stored, err := rowOf(first)
		if err != nil {
			return // not a message
		}
		if again := stored.record(new(arena)); !bytes.Equal(again.Proto, first.Proto) && placeOf(first.Kind).omitted {
			var m core.Entity // what has its parts twice, or in another order, need not come back the same
			if proto.Unmarshal(b, &m) == nil && first.Kind == registry.KindEntity {
				canonical, err := proto.MarshalOptions{Deterministic: true}.Marshal(&m)
				if err == nil && bytes.Equal(canonical, b) {
					t.Errorf("%x became %x", first.Proto, again.Proto)
				}
			}
		}
	})
}
