package feast_test

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	arrowmemory "github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/internal/cputime"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	onlineredis "github.com/feastgo/feast/online/redis"
	"github.com/feastgo/feast/online/sqlite"
	registrymemory "github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
)

// wideBatch is n rows of distinct drivers, of 4 float64, 4 int64 and 2 texts.
func wideBatch(n int) arrow.RecordBatch {
	fields := []arrow.Field{{Name: "driver_id", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}
	for f, name := range benchNames {
		fields = append(fields, arrow.Field{
			Name: name, Nullable: true,
			Type: []arrow.DataType{arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String}[f/4],
		})
	}
	fields = append(fields, arrow.Field{Name: "ts", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Nullable: true})
	b := array.NewRecordBuilder(arrowmemory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	at := arrow.Timestamp(t0.UnixMicro())
	for row := range n {
		b.Field(0).(*array.Int64Builder).Append(int64(row))
		for f := range benchNames {
			switch b := b.Field(f + 1).(type) {
			case *array.Float64Builder:
				b.Append(float64(row)/7 + float64(f))
			case *array.Int64Builder:
				b.Append(int64(row)<<20 + int64(f))
			case *array.StringBuilder:
				b.Append("city-" + strconv.Itoa(row%100))
			}
		}
		b.Field(len(fields) - 1).(*array.TimestampBuilder).Append(at + arrow.Timestamp(row%1000))
	}
	return b.NewRecordBatch()
}

// wideView is a view of the columns of wideBatch.
func wideView() *feast.FeatureView {
	return materializeView("wide", func(v *feast.FeatureView) {
		v.Schema, v.Source.CreatedTimestampColumn = nil, ""
		for f, name := range benchNames {
			v.Schema = append(v.Schema, feast.Field{Name: name, Type: []types.Type{types.Float64, types.Int64, types.String}[f/4]})
		}
	})
}

// openWide opens a feature store with wideView over stores.
func openWide(tb testing.TB, off offline.Store, on online.Store) *feast.FeatureStore {
	tb.Helper()
	fs, err := feast.New(context.Background(), config.Default(project), feast.WithRegistry(registrymemory.New()), feast.WithOnlineStore(on), feast.WithOfflineStore(off))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := fs.Apply(context.Background(), driver, wideView()); err != nil {
		tb.Fatal(err)
	}
	return fs
}

// recorder keeps what it is given to write, beside a store.
type recorder struct {
	online.Store
	batches []*online.WriteBatch
}

func (r *recorder) Write(_ context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	kept := &online.WriteBatch{Table: b.Table, Overwrite: b.Overwrite, Event: append([]types.Timestamp(nil), b.Event...)}
	for _, k := range b.Keys {
		kept.Keys = append(kept.Keys, append([]byte(nil), k...))
	}
	for _, c := range b.Columns {
		copied := types.NewColumn(c.Name(), c.Type(), c.Len())
		for row := range c.Len() {
			if err := copied.CopyFrom(c, row); err != nil {
				return online.WriteResult{}, err
			}
		}
		kept.Columns = append(kept.Columns, copied)
	}
	r.batches = append(r.batches, kept)
	return online.WriteResult{Written: b.Rows()}, nil
}

// createParquet writes a file of rows.
func createParquet(b *testing.B, path string, rb arrow.RecordBatch) {
	b.Helper()
	r, err := array.NewRecordReader(rb.Schema(), []arrow.RecordBatch{rb})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Release()
	codec, err := offline.Parquet()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := codec.Create(b.Context(), path, r); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkMaterialize materializes a million rows of 10 features from a Parquet file into empty stores. The floor is the
// bare bulk write of the same rows: batches that were converted before, handed to the same store one after the other.
func BenchmarkMaterialize(b *testing.B) {
	const rows = 1_000_000
	ctx := context.Background()
	dir := b.TempDir()
	rb := wideBatch(rows)
	createParquet(b, filepath.Join(dir, "wide.parquet"), rb)
	rb.Release()
	request := feast.MaterializeRequest{Start: t0, End: t0.Add(time.Hour)}
	materialize := func(fs *feast.FeatureStore) {
		if res, err := fs.Materialize(ctx, request); err != nil || res.Views[0].Written != rows {
			b.Fatalf("%+v, %v", res, err)
		}
	}
	for _, c := range []struct {
		name string
		open func() online.Store // empty
	}{
		{"discard", func() online.Store { return discard{memory.New()} }},
		{"memory", func() online.Store { return memory.New() }},
		{"sqlite", func() online.Store {
			store, err := sqlite.New(sqlite.Config{Path: filepath.Join(b.TempDir(), "online.db")})
			if err != nil {
				b.Fatal(err)
			}
			return store
		}},
		{"redis", func() online.Store {
			addr := testserver.Redis(b)
			client := redis.NewClient(&redis.Options{Addr: addr, DB: 7})
			if err := client.FlushDB(ctx).Err(); err != nil {
				b.Fatal(err)
			}
			store, err := onlineredis.New(client, onlineredis.Options{})
			if err != nil {
				b.Fatal(err)
			}
			return store
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var ours, floor, oursCPU, floorCPU time.Duration
			for b.Loop() {
				rec := &recorder{Store: memory.New()}
				fs, err := feast.New(ctx, config.Default(project), feast.WithRegistry(registrymemory.New()), feast.WithOnlineStore(rec), feast.WithOfflineStore(file.New(dir)))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := fs.Apply(ctx, driver, wideView()); err != nil {
					b.Fatal(err)
				}
				one := request
				one.Concurrency = 1
				if _, err := fs.Materialize(ctx, one); err != nil {
					b.Fatal(err)
				}
				fs.Close()
				store := c.open()
				if err := store.Update(ctx, []*online.Table{rec.batches[0].Table}, nil); err != nil {
					b.Fatal(err)
				}
				start, used := time.Now(), cputime.Used()
				for _, batch := range rec.batches {
					if _, err := store.Write(ctx, batch); err != nil {
						b.Fatal(err)
					}
				}
				floor, floorCPU = floor+time.Since(start), floorCPU+cputime.Used()-used
				store.Close()
				rec.batches = nil

				fs = openWide(b, file.New(dir), c.open())
				start, used = time.Now(), cputime.Used()
				materialize(fs)
				ours, oursCPU = ours+time.Since(start), oursCPU+cputime.Used()-used
				fs.Close()
			}
			b.ReportMetric(float64(ours)/float64(floor), "x-floor")
			b.ReportMetric(float64(oursCPU)/float64(floorCPU), "x-floor-cpu")
			b.ReportMetric(float64(ours)/float64(b.N)/1e6, "ms/materialize")
			b.ReportMetric(float64(floor)/float64(b.N)/1e6, "ms/floor")
		})
	}
}
