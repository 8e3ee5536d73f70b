// Command quickstart reads features from a small repository that Feast (Python) made: features.py in repo/ was applied and
// materialized with it. The program carries the repository along and unpacks it into a temporary directory.
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

	"github.com/feastgo/feast"
	_ "github.com/feastgo/feast/drivers/embedded"
)

//go:embed repo/feature_store.yaml repo/data/registry.db repo/data/online.db
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

	store, err := feast.Open(ctx, filepath.Join(dir, "feature_store.yaml"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	fmt.Fprintln(out, "One request: the feature service driver_activity for four drivers")
	resp, err := store.GetOnlineFeatures(ctx, feast.OnlineRequest{
		FeatureService: "driver_activity",
		Entities:       feast.Columns{"driver_id": []int64{1001, 1002, 1003, 9999}},
	})
	if err != nil {
		return err
	}
	if err := printRows(out, resp); err != nil {
		return err
	}

	fmt.Fprintln(out, "\nA prepared query, for hot paths: resolved once, its memory reused")
	q, err := store.PrepareOnline(ctx, feast.OnlineQuery{FeatureService: "driver_activity"})
	if err != nil {
		return err
	}
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

	fmt.Fprintln(out, "\nRows as structs")
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

// printRows writes key, feature, value and status of every row.
func printRows(out io.Writer, resp *feast.OnlineResponse) error {
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
	return nil
}
