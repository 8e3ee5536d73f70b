//go:build unix

package file_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/internal/cputime"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
)

// BenchmarkCancel ends the context of a join at one of 50 moments and measures how long the join goes on, at most: by the
// clock, and in processor time of all its threads, which other load does not change.
func BenchmarkCancel(b *testing.B) {
	for _, times := range []int{1, 10} {
		b.Run(fmt.Sprint(times, "x"), func(b *testing.B) {
			size := largeSize
			size.features, size.entities, size.keys = size.features*times, size.entities*times, size.keys*times
			path := filepath.Join(b.TempDir(), "features.parquet")
			size.generate(b, path)
			plan := size.plan(path, 24*time.Hour)
			entities := size.entityRows()
			benchmarkCancel(b, plan, func() array.RecordReader { return reader(b, entities) })
		})
	}
	b.Run("texts", func(b *testing.B) {
		size := skewedSize{features: 5_000_000, entities: 1_000_000}
		dir := b.TempDir()
		size.generate(b, dir, 2)
		benchmarkCancel(b, size.plan(dir), size.entityRows)
	})
}

func benchmarkCancel(b *testing.B, plan *offline.JoinPlan, entities func() array.RecordReader) {
	b.Helper()
	join := func(ctx context.Context) {
		job, err := file.New(".").Historical(ctx, plan, offline.EntityRows{Rows: entities(), Event: "event_timestamp"})
		if err != nil {
			if ctx.Err() == nil {
				b.Fatal(err)
			}
			return
		}
		defer job.Close()
		if rows, err := job.Read(ctx); err == nil {
			for rows.Next() {
			}
			rows.Release()
		}
	}
	join(b.Context())
	start := time.Now()
	join(b.Context())
	whole := time.Since(start)
	var longest, processor time.Duration
	for i := 0; b.Loop(); i++ {
		ctx, cancel := context.WithCancel(b.Context())
		var at time.Time
		var used time.Duration
		timer := time.AfterFunc(whole*time.Duration(i%50)/50, func() { at, used = time.Now(), cputime.Used(); cancel() })
		join(ctx)
		if !timer.Stop() {
			<-ctx.Done()
			longest, processor = max(longest, time.Since(at)), max(processor, cputime.Used()-used)
		}
		cancel()
	}
	b.ReportMetric(longest.Seconds()*1e3, "longest-ms")
	b.ReportMetric(processor.Seconds()*1e3, "longest-cpu-ms")
}
