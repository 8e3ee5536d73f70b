package registry_test

import (
	"context"
	"fmt"
	"time"

	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
)

func Example() {
	ctx := context.Background()
	backend := memory.New()
	source := &registry.DataSource{
		Name:           "driver_file",
		TimestampField: "event_timestamp",
		Options:        registry.FileOptions{Path: "data/driver_stats.parquet"},
	}
	err := backend.Put(ctx, "demo",
		&registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64},
		&registry.FeatureView{
			Name:     "driver_stats",
			Entities: []string{"driver"},
			Schema:   []registry.Field{{Name: "conv_rate", Type: types.Float32}},
			TTL:      24 * time.Hour,
			Source:   source,
			Online:   true,
		})
	if err != nil {
		fmt.Println(err)
		return
	}

	reg := registry.New(backend, "demo", registry.Options{CacheTTL: 10 * time.Minute})
	defer reg.Close()
	snap, err := reg.Snapshot(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for view := range snap.Views() {
		info := view.Info()
		fmt.Println(info.Kind, info.Name, info.Entities, info.TTL)
	}
	_, err = snap.View("driver_stat")
	fmt.Println(err)
	// Output:
	// feature view driver_stats [driver] 24h0m0s
	// feature view "driver_stat" does not exist in project "demo"; did you mean "driver_stats"?
}

func ExampleWriter() {
	ctx := context.Background()
	w := registry.Writer{Backend: memory.New(), Project: "demo"}
	driver := &registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}
	stats := &registry.FeatureView{
		Name:     "driver_stats",
		Entities: []string{"driver"},
		Schema:   []registry.Field{{Name: "conv_rate", Type: types.Float32}},
		Source: &registry.DataSource{
			Name: "driver_file", TimestampField: "event_timestamp", Options: registry.FileOptions{Path: "data/stats.parquet"},
		},
	}
	if _, err := w.Apply(ctx, registry.ApplyRequest{Objects: []registry.Object{driver, stats}}); err != nil {
		fmt.Println(err)
		return
	}

	stats.TTL = 24 * time.Hour
	stats.Schema = append(stats.Schema, registry.Field{Name: "acc_rate", Type: types.Float32})
	plan, err := w.Apply(ctx, registry.ApplyRequest{Objects: []registry.Object{driver, stats}, DryRun: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(plan)
	// Output:
	// ~ feature view "driver_stats"
	//     schema.acc_rate: (none) -> Float32
	//     ttl: 0s -> 1d
	// + version 1 of feature view "driver_stats"
	// 1 to create, 1 to update, 0 to delete, 2 unchanged
}
