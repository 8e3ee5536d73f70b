package feast_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/online/breaker"
	"github.com/feastgo/feast/online/cache"
	"github.com/feastgo/feast/online/hedge"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/registry"
)

// exampleRepo is a copy of a repository that Feast made.
func exampleRepo() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "feast-example-")
	if err != nil {
		log.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("examples", "quickstart", "repo"))); err != nil {
		log.Fatal(err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }
}

// A repository that is defined, applied and read in Go.
func ExampleFeatureStore_Apply() {
	dir, err := os.MkdirTemp("", "feast-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	yaml := "project: demo\nregistry: registry.db\nonline_store: {type: sqlite, path: online.db}\n"
	if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte(yaml), 0o600); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	fs, err := feast.Open(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer fs.Close()

	driver := feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64}
	stats := feast.FeatureView{
		Name: "driver_stats", Entities: []string{"driver"}, TTL: 24 * time.Hour, Online: true,
		Schema: []feast.Field{{Name: "conv_rate", Type: feast.Float32}, {Name: "trips", Type: feast.Int32}},
		Source: &feast.DataSource{
			Name: "driver_stats_source", TimestampField: "event_timestamp", Options: feast.FileOptions{Path: "data/driver_stats.parquet"},
		},
	}
	service := feast.FeatureService{Name: "driver_activity", Features: []feast.FeatureViewProjection{{Name: "driver_stats"}}}
	if _, err := fs.Apply(ctx, &driver, &stats, &service); err != nil {
		log.Fatal(err)
	}

	stats.TTL = time.Hour
	stats.Schema = append(stats.Schema, feast.Field{Name: "city", Type: feast.String})
	diff, err := fs.Apply(ctx, &stats)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(diff)
	// Output:
	// ~ feature view "driver_stats"
	//     schema.city: (none) -> String
	//     ttl: 1d -> 1h
	// + version 1 of feature view "driver_stats"
	// 1 to create, 1 to update, 0 to delete, 1 unchanged
}

func Example() {
	dir, remove := exampleRepo()
	defer remove()
	ctx := context.Background()

	fs, err := feast.Open(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer fs.Close()

	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: []string{"driver_hourly_stats:avg_daily_trips", "driver_hourly_stats:city"},
		Entities: feast.Columns{"driver_id": []int64{1001, 9999}},
	})
	if err != nil {
		log.Fatal(err)
	}
	trips, err := resp.Column("avg_daily_trips")
	if err != nil {
		log.Fatal(err)
	}
	for row := range resp.Len() {
		fmt.Println(trips.Any(row), trips.Status(row))
	}
	// Output:
	// 18 PRESENT
	// <nil> NOT_FOUND
}

// A store that is read through a cache, hedged, and left alone while it is down (docs/resilience.md).
func ExampleWithOnlineStore() {
	dir, remove := exampleRepo()
	defer remove()
	ctx := context.Background()

	inner := memory.New() // redis.New(client, redis.Options{}), where one is running
	circuit, err := breaker.New(inner, breaker.Options{Failures: 5, OpenFor: 2 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	quick, err := hedge.New(circuit, hedge.Options{Delay: 20 * time.Millisecond, Budget: 0.05})
	if err != nil {
		log.Fatal(err)
	}
	store, err := cache.New(quick, cache.Options{MaxAge: 5 * time.Second, MaxBytes: 256 << 20})
	if err != nil {
		log.Fatal(err)
	}
	fs, err := feast.Open(ctx, dir, feast.WithOnlineStore(store))
	if err != nil {
		log.Fatal(err)
	}
	defer fs.Close()

	for _, trips := range []int64{18, 19} { // own writes are seen at once
		now := []time.Time{time.Now()}
		rows := feast.Columns{
			"driver_id": []int64{1001}, "avg_daily_trips": []int64{trips}, "city": []string{"Oslo"},
			"conv_rate": []float32{0.5}, "acc_rate": []float32{0.9}, "embedding": [][]float32{{0.1, 0.9}},
			"event_timestamp": now, "created": now,
		}
		if _, err := fs.WriteToOnlineStore(ctx, "driver_hourly_stats", rows, feast.WriteOptions{}); err != nil {
			log.Fatal(err)
		}
		for range 2 {
			resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
				Features: []string{"driver_hourly_stats:avg_daily_trips"},
				Entities: feast.Columns{"driver_id": []int64{1001}},
			})
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(resp.At(1).Any(0))
		}
	}
	fmt.Println(store.Stats().Hits, "from memory, the breaker is", circuit.State())
	// Output:
	// 18
	// 18
	// 19
	// 19
	// 2 from memory, the breaker is closed
}

func ExampleFeatureStore_PrepareOnline() {
	dir, remove := exampleRepo()
	defer remove()
	ctx := context.Background()

	fs, err := feast.Open(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer fs.Close()

	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{FeatureService: "driver_activity"})
	if err != nil {
		log.Fatal(err)
	}
	rate, trips := q.Index("conv_rate"), q.Index("avg_daily_trips")

	var batch feast.Batch        // reused by every request
	var out feast.OnlineResponse // so is the answer
	var matrix []float32
	for _, ids := range [][]int64{{1001, 1002}, {1003}} {
		batch.Reset()
		feast.SetColumn(&batch, "driver_id", ids)
		if err := q.GetInto(ctx, &batch, &out); err != nil {
			log.Fatal(err)
		}
		if matrix, err = out.Float32Matrix(matrix[:0], -1, rate, trips); err != nil {
			log.Fatal(err)
		}
		fmt.Println(matrix)
	}
	// Output:
	// [0.71 18 0.42 7]
	// [-1 -1]
}

func ExampleFeatureStore_WriteToOnlineStore() {
	dir, remove := exampleRepo()
	defer remove()
	ctx := context.Background()

	fs, err := feast.Open(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer fs.Close()

	type Stats struct {
		ID        int64     `feast:"driver_id"`
		ConvRate  float32   `feast:"conv_rate"`
		AccRate   *float32  `feast:"acc_rate"` // nil is a null
		Trips     int64     `feast:"avg_daily_trips"`
		City      string    `feast:"city"`
		Embedding []float32 `feast:"embedding"`
		Event     time.Time `feast:"event_timestamp"`
		Created   time.Time `feast:"created"`
	}
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	res, err := fs.WriteToOnlineStore(ctx, "driver_hourly_stats", feast.Structs([]Stats{
		{ID: 1003, ConvRate: 0.5, Trips: 12, City: "Oslo", Embedding: []float32{0.1, 0.9}, Event: now, Created: now},
		{ID: 1001, ConvRate: 0.1, Trips: 1, City: "Kyiv", Event: now.AddDate(-5, 0, 0), Created: now}, // older than what is stored
	}), feast.WriteOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", res)

	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		FeatureService: "driver_activity",
		Entities:       feast.Columns{"driver_id": []int64{1003, 1001}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for row := range resp.Len() {
		fmt.Println(resp.AppendRow(nil, row))
	}
	// Output:
	// {Written:1 Older:1 Null:0}
	// map[acc_rate:<nil> avg_daily_trips:12 city:Oslo conv_rate:0.5 driver_id:1003]
	// map[acc_rate:0.95 avg_daily_trips:18 city:Oslo conv_rate:0.71 driver_id:1001]
}

func ExampleScan() {
	dir, remove := exampleRepo()
	defer remove()
	ctx := context.Background()

	fs, err := feast.Open(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer fs.Close()

	type Driver struct {
		ID    int64  `feast:"driver_id"`
		Trips *int64 `feast:"avg_daily_trips"` // nil when there is no value
		City  string `feast:"city,default=unknown"`
	}
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		FeatureService: "driver_activity",
		Entities:       feast.Structs([]Driver{{ID: 1002}, {ID: 1003}}),
	})
	if err != nil {
		log.Fatal(err)
	}
	drivers, err := feast.Scan[Driver](resp)
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range drivers {
		fmt.Println(d.ID, d.City, d.Trips != nil)
	}
	// Output:
	// 1002 Lima true
	// 1003 unknown false
}

func ExampleWithTransformation() {
	dir, remove := exampleRepo()
	defer remove()
	ctx := context.Background()

	// The registry declares an on-demand view "trip_cost" of the feature avg_daily_trips and of request data "fare", which
	// computes "cost". Its function in Go, of one row:
	type in struct {
		Trips sql.Null[int64] `feast:"driver_hourly_stats:avg_daily_trips"`
		Fare  float64         `feast:"fare"`
	}
	type out struct {
		Cost sql.Null[float64] `feast:"cost"`
	}
	cost := feast.RowWise(func(r in) (out, error) {
		return out{sql.Null[float64]{V: float64(r.Trips.V) * r.Fare, Valid: r.Trips.Valid}}, nil
	})

	fs, err := feast.Open(ctx, dir, feast.WithTransformation("trip_cost", cost))
	if err != nil {
		log.Fatal(err)
	}
	defer fs.Close()
	if _, err := fs.Apply(ctx, &feast.OnDemandFeatureView{
		Name:    "trip_cost",
		Schema:  []feast.Field{{Name: "cost", Type: feast.Float64}},
		Sources: []feast.FeatureViewProjection{{Name: "driver_hourly_stats"}},
		RequestSources: []*feast.DataSource{{
			Name:    "ride",
			Options: registry.RequestOptions{Schema: []feast.Field{{Name: "fare", Type: feast.Float64}}},
		}},
	}); err != nil {
		log.Fatal(err)
	}

	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: []string{"trip_cost:cost"},
		Entities: feast.Columns{"driver_id": []int64{1001, 9999}, "fare": []float64{2.5, 2.5}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for row := range resp.Len() {
		fmt.Println(resp.At(1).Any(row), resp.At(1).Status(row))
	}
	// Output:
	// 45 PRESENT
	// <nil> NULL_VALUE
}

func ExampleBind() {
	dir, remove := exampleRepo()
	defer remove()
	ctx := context.Background()

	fs, err := feast.Open(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer fs.Close()

	type Driver struct {
		ID    int64           `feast:"driver_id"`
		Trips sql.Null[int64] `feast:"avg_daily_trips"` // not valid when there is no value
	}
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{FeatureService: "driver_activity"})
	if err != nil {
		log.Fatal(err)
	}
	drivers, err := feast.Bind[Driver](q) // a wrong tag or type is found here
	if err != nil {
		log.Fatal(err)
	}

	var out feast.OnlineResponse // reused, as are the rows
	var rows []Driver
	if err := q.GetInto(ctx, feast.Columns{"driver_id": []int64{1001, 1003}}, &out); err != nil {
		log.Fatal(err)
	}
	if rows, err = drivers.Scan(&out, rows[:0]); err != nil {
		log.Fatal(err)
	}
	fmt.Println(rows)
	// Output:
	// [{1001 {18 true}} {1003 {0 false}}]
}

func ExampleLoadDefinitions() {
	objects, err := feast.LoadDefinitions(filepath.Join("examples", "quickstart", "repo", "definitions.yaml"))
	if err != nil {
		log.Fatal(err)
	}
	for _, o := range objects {
		fmt.Println(registry.KindOf(o), o.Resource().Name)
	}
	// Output:
	// entity driver
	// data source driver_hourly_stats_source
	// data source driver_stats_push
	// feature view driver_hourly_stats
	// feature service driver_activity
}

func ExampleExportDefinitions() {
	driver := feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64}
	source := feast.DataSource{
		Name: "driver_file", TimestampField: "event_timestamp", Options: feast.FileOptions{Path: "data/driver_stats.parquet"},
	}
	stats := feast.FeatureView{
		Name: "driver_stats", Entities: []string{"driver"}, TTL: 24 * time.Hour, Source: &source, Online: true,
		Schema: []feast.Field{{Name: "conv_rate", Type: feast.Float32}},
	}
	if err := feast.ExportDefinitions(os.Stdout, &driver, &source, &stats); err != nil {
		log.Fatal(err)
	}
	// Output:
	// kind: Entity
	// name: driver
	// join_key: driver_id
	// value_type: Int64
	// ---
	// kind: FileSource
	// name: driver_file
	// path: data/driver_stats.parquet
	// timestamp_field: event_timestamp
	// ---
	// kind: FeatureView
	// name: driver_stats
	// entities: [driver]
	// ttl: 1d
	// schema:
	//   - {name: conv_rate, type: Float32}
	// source: driver_file
}

func ExampleFeatureStore_GetHistoricalFeatures() {
	dir, remove := exampleRepo()
	defer remove()
	ctx := context.Background()

	fs, err := feast.Open(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer fs.Close()

	type Ride struct {
		Driver   int64     `feast:"driver_id"`
		At       time.Time `feast:"event_timestamp"`
		Accepted bool      `feast:"accepted"` // the label, which comes back as it is
	}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{
		Features: []string{"driver_hourly_stats:avg_daily_trips", "driver_hourly_stats:city"},
		Entities: feast.Structs([]Ride{{1001, noon, true}, {1002, noon, false}, {1002, noon.Add(-3 * time.Hour), true}}),
	})
	if err != nil {
		log.Fatal(err)
	}
	for batch, err := range job.Records(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		for i, column := range batch.Columns() {
			fmt.Println(batch.ColumnName(i), column.DataType(), column)
		}
	}
	// Output:
	// driver_id int64 [1001 1002 1002]
	// event_timestamp timestamp[us, tz=UTC] [1772366400000000 1772366400000000 1772355600000000]
	// accepted bool [true false true]
	// avg_daily_trips int64 [18 7 (null)]
	// city utf8 ["Oslo" "Lima" (null)]
}
