package feast_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/feastgo/feast"
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
