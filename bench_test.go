package feast_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast"
	corepb "github.com/feastgo/feast/internal/protos/feast/core"
	typespb "github.com/feastgo/feast/internal/protos/feast/types"
)

// benchStore is a store of many views, of which the first has 50 features and one hundred rows.
func benchStore(b testing.TB, views int) (*feast.FeatureStore, []string) {
	fields, values := wide(50)
	objects := []feast.Object{driver}
	for i := range views {
		objects = append(objects, driverView(fmt.Sprintf("view_%d", i), 0, fields...))
	}
	fs, store, _ := newStore(b, objects)
	first := objects[1].(*feast.FeatureView)
	for id := range int64(100) {
		write(b, store, first, driverKey, row{[]any{id}, time.Unix(1_700_000_000, 0), values})
	}
	var refs []string
	for _, f := range fields {
		refs = append(refs, "view_0:"+f.Name)
	}
	return fs, refs
}

func BenchmarkOnline(b *testing.B) {
	for _, views := range []int{1, 10, 10_000} {
		fs, refs := benchStore(b, views)
		ctx := context.Background()
		b.Run(fmt.Sprintf("views=%d/GetInto/Batch/1x50", views), func(b *testing.B) {
			q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: refs})
			if err != nil {
				b.Fatal(err)
			}
			var batch feast.Batch
			var out feast.OnlineResponse
			ids := []int64{42}
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				feast.SetColumn(&batch, "driver_id", ids)
				if err := q.GetInto(ctx, &batch, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("views=%d/GetInto/Columns/1x50", views), func(b *testing.B) {
			q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: refs})
			if err != nil {
				b.Fatal(err)
			}
			var out feast.OnlineResponse
			ids := []int64{42}
			b.ReportAllocs()
			for b.Loop() {
				if err := q.GetInto(ctx, feast.Columns{"driver_id": ids}, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("views=%d/GetOnlineFeatures/1x50", views), func(b *testing.B) {
			ids := []int64{42}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: refs, Entities: feast.Columns{"driver_id": ids}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen opens a repository with 1,000 views of 50 features and reads its registry; the floor is reading the file
// and decoding it whole with the protobuf library.
func BenchmarkOpen(b *testing.B) {
	const views = 1000
	dir := b.TempDir()
	data := wideRegistry(b, views, 50)
	if err := os.WriteFile(filepath.Join(dir, "registry.db"), data, 0o600); err != nil {
		b.Fatal(err)
	}
	writeYAML(b, dir, "online_store:\n  type: sqlite\n  path: online.db\n")
	ctx := context.Background()
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			fs, err := feast.Open(ctx, dir, feast.Eager(feast.RoomRegistry))
			if err != nil {
				b.Fatal(err)
			}
			if err := fs.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(heldBy(b, dir)/views, "B/view")
	})
	b.Run("Floor", func(b *testing.B) {
		for b.Loop() {
			data, err := os.ReadFile(filepath.Join(dir, "registry.db"))
			if err != nil {
				b.Fatal(err)
			}
			if err := proto.Unmarshal(data, new(corepb.Registry)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// heldBy is the memory that an open feature store holds.
func heldBy(b *testing.B, dir string) float64 {
	before := heap()
	fs, err := feast.Open(b.Context(), dir, feast.Eager(feast.RoomRegistry))
	if err != nil {
		b.Fatal(err)
	}
	held := heap() - before
	if err := fs.Close(); err != nil {
		b.Fatal(err)
	}
	return held
}

// heap is the size of what is alive.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// wideRegistry is a registry file of the project golden_proj.
func wideRegistry(tb testing.TB, views, features int) []byte {
	tb.Helper()
	reg := &corepb.Registry{RegistrySchemaVersion: "1", Projects: []*corepb.Project{{Spec: &corepb.ProjectSpec{Name: "golden_proj"}}}}
	fields, _ := wide(features)
	for i := range views {
		spec := &corepb.FeatureViewSpec{
			Name: fmt.Sprintf("view_%d", i), Project: "golden_proj", Entities: []string{"driver"}, Online: true,
			EntityColumns: []*corepb.FeatureSpecV2{{Name: "driver_id", ValueType: typespb.ValueType_INT64}},
		}
		for _, f := range fields {
			spec.Features = append(spec.Features, &corepb.FeatureSpecV2{Name: f.Name, ValueType: typespb.ValueType_INT64})
		}
		reg.FeatureViews = append(reg.FeatureViews, &corepb.FeatureView{Spec: spec, Meta: &corepb.FeatureViewMeta{}})
	}
	data, err := proto.Marshal(reg)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}
