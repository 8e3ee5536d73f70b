//go:build unix

package interop_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/cputime"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
	"github.com/feastgo/feast/types/arrowconv"
)

// wideRows is n rows of as many drivers, of 4 float64, 4 int64 and 2 texts, as the root package's BenchmarkMaterialize has them,
// and their fields.
func wideRows(n int) (arrow.RecordBatch, []registry.Field) {
	columns := []arrow.Field{{Name: "driver_id", Type: arrow.PrimitiveTypes.Int64}}
	var fields []registry.Field
	for i := range 10 {
		f := registry.Field{Name: "f" + strconv.Itoa(i), Type: []types.Type{types.Float64, types.Int64, types.String}[i/4]}
		fields = append(fields, f)
		columns = append(columns, arrow.Field{
			Name: f.Name, Type: []arrow.DataType{arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String}[i/4],
		})
	}
	columns = append(columns, arrow.Field{Name: "ts", Type: arrowconv.Timestamp})
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(columns, nil))
	defer b.Release()
	for row := range n {
		b.Field(0).(*array.Int64Builder).Append(int64(row))
		for i := range fields {
			switch b := b.Field(i + 1).(type) {
			case *array.Float64Builder:
				b.Append(float64(row)/7 + float64(i))
			case *array.Int64Builder:
				b.Append(int64(row)<<20 + int64(i))
			case *array.StringBuilder:
				b.Append("city-" + strconv.Itoa(row%100))
			}
		}
		b.Field(len(columns) - 1).(*array.TimestampBuilder).Append(arrow.Timestamp(start.UnixMicro() + int64(row%1000)))
	}
	return b.NewRecordBatch(), fields
}

// BenchmarkMaterialize materializes the same file of a million rows of 10 features into empty stores, here and then in Feast,
// whose offline store is DuckDB. The results x are how many times as long Feast takes.
func BenchmarkMaterialize(b *testing.B) {
	useFeast(b)
	const rows = 1_000_000
	batch, fields := wideRows(rows)
	open := func(b *testing.B, store string) (*repo, *feast.FeatureStore) {
		r := newRepo(b, store, "offline_store: {type: duckdb}\n")
		r.create("wide.parquet", batch)
		fs := r.open(feast.WithOfflineStore(file.New(r.dir)))
		r.apply(fs, &registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}, &registry.FeatureView{
			Name: "wide", Entities: []string{"driver"}, Online: true, Schema: fields,
			Source: &registry.DataSource{Name: "wide", TimestampField: "ts", Options: registry.FileOptions{Path: "wide.parquet"}},
		})
		return r, fs
	}
	for _, store := range []string{"sqlite", "redis"} {
		b.Run(store, func(b *testing.B) {
			var ours, theirs [2]float64 // seconds, and of processor time
			from, to := start, start.Add(time.Hour)
			for b.Loop() {
				_, fs := open(b, store)
				r, _ := open(b, store)
				began, used := time.Now(), cputime.Used()
				if res, err := fs.Materialize(b.Context(), feast.MaterializeRequest{Start: from, End: to}); err != nil || res.Views[0].Written != rows {
					b.Fatalf("%+v, %v", res, err)
				}
				ours[0], ours[1] = ours[0]+time.Since(began).Seconds(), ours[1]+(cputime.Used()-used).Seconds()
				var took [2]float64
				args := map[string]any{"repo": r.dir, "call": "materialize", "args": map[string]any{"start": from, "end": to, "views": nil}}
				if err := shared.call(b.Context(), "timed", args, &took); err != nil { // takes longer than a test may
					b.Fatal(err)
				}
				theirs[0], theirs[1] = theirs[0]+took[0], theirs[1]+took[1]
			}
			b.ReportMetric(0, "ns/op")
			for i, what := range []string{"", "cpu-"} {
				b.ReportMetric(ours[i]/float64(b.N), what+"s")
				b.ReportMetric(theirs[i]/float64(b.N), "feast-"+what+"s")
				b.ReportMetric(theirs[i]/ours[i], what+"x")
			}
		})
	}
}
