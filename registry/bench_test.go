package registry_test

import (
	"fmt"
	"testing"

	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// Applying 1,000 views of ten features each: new ones, and the same again.
func BenchmarkApply(b *testing.B) {
	list := []registry.Object{&registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}}
	names := make([]string, 10)
	for i := range names {
		names[i] = fmt.Sprintf("feature_%d", i)
	}
	for i := range 1000 {
		list = append(list, view(fmt.Sprintf("view_%03d", i), func(v *registry.FeatureView) {
			v.Entities, v.Schema = []string{"driver"}, fields(names...)
		}))
	}
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w, _ := newWriter("p")
			if _, err := w.Apply(b.Context(), objects(list...)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("same", func(b *testing.B) {
		b.ReportAllocs()
		w, _ := newWriter("p")
		for range 2 {
			if _, err := w.Apply(b.Context(), objects(list...)); err != nil {
				b.Fatal(err)
			}
		}
		for b.Loop() {
			if _, err := w.Apply(b.Context(), objects(list...)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
