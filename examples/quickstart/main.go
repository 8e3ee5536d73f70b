// Command quickstart lives the life of a small feature repository, in a temporary directory: it defines features, applies
// them, makes training data, materializes, reads, pushes newer values and reads again. repo/ has the definitions as YAML, definitions.go the same as Go structs, and
// repo/features.py the same again for Feast (Python), which can open the repository at any time.
package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/feastgo/feast"
	_ "github.com/feastgo/feast/drivers/embedded"
)

//go:embed repo/feature_store.yaml repo/definitions.yaml
var repository embed.FS

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "feast-quickstart-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	files, err := fs.Sub(repository, "repo")
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, files); err != nil {
		return err
	}
	store, err := feast.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	for _, step := range []func(context.Context, *feast.FeatureStore, string, io.Writer) error{
		define, train, materialize, read, readFast, push,
	} {
		if err := step(ctx, store, dir, out); err != nil {
			return err
		}
	}
	return nil
}

// define applies the definitions, and shows what a change would do.
func define(ctx context.Context, store *feast.FeatureStore, dir string, out io.Writer) error {
	objects, err := feast.LoadDefinitions(filepath.Join(dir, "definitions.yaml")) // or Definitions(), the same in Go
	if err != nil {
		return err
	}
	diff, err := store.Apply(ctx, objects...)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Applied definitions.yaml\n%s", diff)

	for _, o := range objects {
		if view, ok := o.(*feast.FeatureView); ok {
			view.TTL = 30 * 24 * time.Hour
			view.Tags = map[string]string{"team": "rides"}
		}
	}
	if diff, err = store.Plan(ctx, objects...); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe plan for another ttl and a tag; nothing is written\n%s", diff)
	return nil
}

// stats is a row of the view.
type stats struct {
	Driver    int64     `feast:"driver_id"`
	ConvRate  float32   `feast:"conv_rate"`
	AccRate   float32   `feast:"acc_rate"`
	Trips     *int64    `feast:"avg_daily_trips"` // nil is a null
	City      string    `feast:"city"`
	Embedding []float32 `feast:"embedding"`
	At        time.Time `feast:"event_timestamp"`
	Created   time.Time `feast:"created"`
}

var noon = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// train writes some history to the offline store, a Parquet file, and joins it with labels: each gets the features as they
// were at its time.
func train(ctx context.Context, store *feast.FeatureStore, dir string, out io.Writer) error {
	var history []stats
	for age := 4; age >= 0; age-- {
		at := noon.Add(-time.Duration(age) * day)
		history = append(history,
			stats{1001, 0.75 - 0.125*float32(age), 0.875, new(int64(18 - age)), "Oslo", []float32{0.1, 0.2}, at, at},
			stats{1002, 0.25 + 0.125*float32(age), 0.9375, new(int64(7 + age)), "Bergen", []float32{0.3, 0.4}, at, at},
			stats{1003, 0.5, 0.96875, nil, "Tromsø", nil, at, at})
	}
	n, err := store.WriteToOfflineStore(ctx, "driver_hourly_stats", feast.Structs(history))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nWrote %d rows of history to data/driver_stats.parquet\n", n)

	type label struct {
		Driver int64     `feast:"driver_id"`
		At     time.Time `feast:"event_timestamp"`
		Tipped bool      `feast:"tipped"`
	}
	job, err := store.GetHistoricalFeatures(ctx, feast.HistoricalRequest{
		FeatureService: "driver_activity",
		Entities: feast.Structs([]label{
			{1001, noon.Add(-2*day + time.Hour), true},
			{1001, noon.Add(-2*day - time.Hour), false}, // an hour before the row of that day
			{1002, noon.Add(-10 * day), false},          // before all history
			{1003, noon, true},
		}),
	})
	if err != nil {
		return err
	}
	if err := job.WriteParquet(ctx, filepath.Join(dir, "training.parquet")); err != nil {
		return err
	}
	fmt.Fprintln(out, "Training data for four labels, also in training.parquet")
	for batch, err := range job.Records(ctx) {
		if err != nil {
			return err
		}
		for row := range int(batch.NumRows()) {
			for i, field := range batch.Schema().Fields() {
				fmt.Fprintf(out, "  %s=%s", field.Name, batch.Column(i).ValueStr(row))
			}
			fmt.Fprintln(out)
		}
	}
	return nil
}

// materialize brings the newest row of each driver to the online store.
func materialize(ctx context.Context, store *feast.FeatureStore, _ string, out io.Writer) error {
	fmt.Fprintln(out, "\nMaterialized what is newest")
	_, err := store.Materialize(ctx, feast.MaterializeRequest{
		Start: noon.Add(-30 * day), End: noon,
		Progress: func(p feast.MaterializeProgress) {
			if p.Done {
				fmt.Fprintf(out, "  [%d/%d] %s: %d of %d rows written\n", p.Index+1, p.Views, p.Name, p.Written, p.Read)
			}
		},
	})
	return err
}

// read asks for all features of a service.
func read(ctx context.Context, store *feast.FeatureStore, _ string, out io.Writer) error {
	resp, err := store.GetOnlineFeatures(ctx, feast.OnlineRequest{
		FeatureService: "driver_activity",
		Entities:       feast.Columns{"driver_id": []int64{1001, 1002, 1003, 9999}},
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nOne request: the feature service driver_activity for four drivers")
	keys, err := resp.Int64s("driver_id")
	if err != nil {
		return err
	}
	for row, key := range keys {
		for _, c := range resp.Columns() {
			if c.View() == "" {
				continue // the key itself
			}
			value := "-"
			if v := c.Any(row); v != nil {
				value = fmt.Sprint(v)
			}
			fmt.Fprintf(out, "  driver_id=%d  %-16s %-8s %s\n", key, c.Name(), value, c.Status(row))
		}
	}

	fmt.Fprintln(out, "\nIts rows as structs")
	type Driver struct {
		ID    int64   `feast:"driver_id"`
		Rate  float32 `feast:"conv_rate"`
		Trips *int64  `feast:"avg_daily_trips"` // nil when there is no value
		City  string  `feast:"city,default=unknown"`
	}
	drivers, err := feast.Scan[Driver](resp)
	if err != nil {
		return err
	}
	for _, d := range drivers {
		trips := "no trips known"
		if d.Trips != nil {
			trips = fmt.Sprintf("%d trips a day", *d.Trips)
		}
		fmt.Fprintf(out, "  %d in %s: conv_rate %.2f, %s\n", d.ID, d.City, d.Rate, trips)
	}
	return nil
}

// readFast reads as a model server does.
func readFast(ctx context.Context, store *feast.FeatureStore, _ string, out io.Writer) error {
	q, err := store.PrepareOnline(ctx, feast.OnlineQuery{FeatureService: "driver_activity"})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nA prepared query, for hot paths: resolved once, its memory reused")
	var batch feast.Batch
	var answer feast.OnlineResponse
	var matrix []float32
	rate, trips := q.Index("conv_rate"), q.Index("avg_daily_trips")
	for _, ids := range [][]int64{{1001, 1002}, {1003, 9999}} {
		batch.Reset()
		feast.SetColumn(&batch, "driver_id", ids)
		if err := q.GetInto(ctx, &batch, &answer); err != nil {
			return err
		}
		if matrix, err = answer.Float32Matrix(matrix[:0], -1, rate, trips); err != nil {
			return err
		}
		fmt.Fprintf(out, "  drivers %v: conv_rate and avg_daily_trips as a matrix, -1 where missing: %v\n", ids, matrix)
	}
	return nil
}

// push sends a newer row and a late one to both stores, and reads again.
func push(ctx context.Context, store *feast.FeatureStore, _ string, out io.Writer) error {
	rows := []stats{
		{1001, 0.875, 0.96, new(int64(19)), "Oslo", nil, noon.Add(time.Hour), noon.Add(time.Hour)},
		{1002, 0.99, 0.99, new(int64(99)), "Bergen", nil, noon.Add(-time.Hour), noon.Add(time.Hour)},
	}
	if err := store.Push(ctx, "driver_stats_push", feast.Structs(rows), feast.ToOnlineAndOffline); err != nil {
		return err
	}
	resp, err := store.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: []string{"driver_hourly_stats:conv_rate"},
		Entities: feast.Columns{"driver_id": []int64{1001, 1002}},
	})
	if err != nil {
		return err
	}
	rates, err := resp.Float32s("conv_rate")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nAfter a push of a newer row for 1001 and a late one for 1002, conv_rate is %v\n", rates)
	return nil
}
