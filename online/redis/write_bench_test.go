package redis

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/feastgo/feast/internal/cputime"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// BenchmarkWrite writes 1000 rows in turn: by the floor, which is HSET in a pipeline of go-redis with keys, fields and
// values made before; with skip_dedup; with the time rule in a script, for rows that are stored and for rows that are
// not; and with the times read before. It reports the median rows per second of each, and the ratio to the floor, of these
// and of rows per second of this process's processor time.
func BenchmarkWrite(b *testing.B) {
	const n = 1000
	for _, features := range []int{5, 50} {
		table := &online.Table{Project: "redis_bench", View: "stats", JoinKeys: []string{"driver_id"}}
		for f := range features {
			table.Features = append(table.Features, types.Field{Name: fmt.Sprint("feature_", f), Type: types.Int64})
		}
		var rows []onlinetest.Row
		for i := range int64(n) {
			row := onlinetest.Row{Key: onlinetest.Key("driver_id", i), Event: types.Timestamp{Seconds: 1_700_000_000, Nanos: 1000}}
			for f := range features {
				row.Values = append(row.Values, i*int64(f))
			}
			rows = append(rows, row)
		}
		batch := onlinetest.Batch(table, rows...)
		script, skip, readFirst := openStore(b, 3, nil), openStore(b, 3, map[string]any{"skip_dedup": true}), openStore(b, 3, nil)
		readFirst.noScripts.left.Store(math.MaxInt32)
		keys, args := make([]string, n), make([][]any, n)
		for row := range n {
			keys[row] = string(batch.Keys[row]) + table.Project
			args[row] = []any{timeField(table), batch.Event[row].AppendProto(nil)}
			for f, field := range featureFields(table) {
				args[row] = append(args[row], field, batch.AppendValue(nil, row, f))
			}
		}
		write := func(s *Store, newer bool, older int) error {
			for i := range batch.Event {
				if newer {
					batch.Event[i].Seconds++
				}
			}
			res, err := s.Write(b.Context(), batch)
			if err == nil && res != (online.WriteResult{Written: n - older, Older: older}) {
				err = fmt.Errorf("%+v", res)
			}
			return err
		}
		ways := []struct {
			name string
			do   func() error
		}{
			{"floor", func() error {
				pipe := skip.client.Pipeline()
				for row := range n {
					pipe.HSet(b.Context(), keys[row], args[row]...)
				}
				_, err := pipe.Exec(b.Context())
				return err
			}},
			{"skip_dedup", func() error { return write(skip, true, 0) }},
			{"script", func() error { return write(script, true, 0) }},
			{"older", func() error { return write(script, false, n) }},
			{"read_first", func() error { return write(readFirst, true, 0) }},
		}
		b.Run(fmt.Sprintf("%dx%d", n, features), func(b *testing.B) {
			took, cpu := make([][]time.Duration, len(ways)), make([]time.Duration, len(ways))
			for b.Loop() {
				for i, way := range ways {
					start, used := time.Now(), cputime.Used()
					if err := way.do(); err != nil {
						b.Fatalf("%s: %v", way.name, err)
					}
					took[i] = append(took[i], time.Since(start))
					cpu[i] += cputime.Used() - used
				}
			}
			for i, way := range ways {
				slices.Sort(took[i])
				median := took[i][len(took[i])/2]
				b.ReportMetric(n/median.Seconds(), way.name+"_rows/s")
				if i > 0 {
					b.ReportMetric(float64(took[0][len(took[0])/2])/float64(median), way.name+"/floor")
					b.ReportMetric(float64(cpu[0])/float64(cpu[i]), way.name+"_cpu/floor")
				}
			}
			b.ReportMetric(0, "ns/op")
		})
		if err := skip.client.Del(context.WithoutCancel(b.Context()), keys...).Err(); err != nil {
			b.Fatal(err)
		}
	}
}
