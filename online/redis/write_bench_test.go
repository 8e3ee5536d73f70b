package redis

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// BenchmarkWrite writes 1000 rows: beside the floor, which is HSET in a pipeline of go-redis with keys, fields and values
// made before, with skip_dedup; with the time rule in a script, for rows that are stored and for rows that are not; and
// with the times read before.
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
		run := func(name string, s *Store, write func() error) {
			b.Run(fmt.Sprintf("%dx%d/%s", n, features, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := write(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
		ours := func(name string, older int, overwrite bool) {
			s := openStore(b, 3, map[string]any{"skip_dedup": name == "skip_dedup"})
			s.noScripts.Store(name == "read first")
			run(name, s, func() error {
				if older == 0 && !overwrite {
					for i := range batch.Event {
						batch.Event[i].Seconds++
					}
				}
				res, err := s.Write(b.Context(), batch)
				if err == nil && res.Older != older {
					err = fmt.Errorf("%+v", res)
				}
				return err
			})
		}
		floor := openStore(b, 3, nil)
		var args [][]any
		for row := range n {
			a := []any{timeField(table), batch.Event[row].AppendProto(nil)}
			for f, field := range featureFields(table) {
				a = append(a, field, batch.AppendValue(nil, row, f))
			}
			args = append(args, a)
		}
		keys := make([]string, n)
		for row := range n {
			keys[row] = string(batch.Keys[row]) + table.Project
		}
		run("floor", floor, func() error {
			pipe := floor.client.Pipeline()
			for row := range n {
				pipe.HSet(b.Context(), keys[row], args[row]...)
			}
			_, err := pipe.Exec(b.Context())
			return err
		})
		ours("skip_dedup", 0, true)
		ours("script", 0, false)
		ours("script, older", n, false)
		ours("read first", 0, false)
		if err := floor.client.(*redis.Client).Del(context.WithoutCancel(b.Context()), keys...).Err(); err != nil {
			b.Fatal(err)
		}
	}
}
