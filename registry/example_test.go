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
