//go:build !race

package redis

import (
	"context"
	"fmt"
	"testing"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// TestAllocations reads without taking memory, however many rows and features there are. A context that can end costs four
// allocations: the wait for its end.
func TestAllocations(t *testing.T) {
	for _, w := range ways {
		if w.keys["direct_reads"] == false {
			continue
		}
		s := openStore(t, 3, w.keys)
		table := &online.Table{Project: "redis_allocations", View: "v", JoinKeys: []string{"driver_id"}}
		for f := range 50 {
			table.Features = append(table.Features, types.Field{
				Name: fmt.Sprint("f", f), Type: []types.Type{types.Int64, types.Float64, types.String}[f%3],
			})
		}
		var rows []onlinetest.Row
		var keys [][]byte
		for i := range 100 {
			row := onlinetest.Row{Key: onlinetest.Key("driver_id", int64(i)), Event: types.Timestamp{Seconds: 100}}
			for f := range table.Features {
				row.Values = append(row.Values, []any{int64(i), float64(i), "some text"}[f%3])
			}
			if keys = append(keys, row.Key); i%3 > 0 {
				rows = append(rows, row)
			}
		}
		if _, err := s.Write(t.Context(), onlinetest.Batch(table, rows...)); err != nil {
			t.Fatal(err)
		}
		plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(table)})
		r, err := s.Prepare(plan)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 100} {
			res, ks := online.NewResult(plan, n), online.NewKeys(onlinetest.KeysOf(keys[100-n:]...))
			for ctx, most := range map[context.Context]float64{context.Background(): 0, t.Context(): 4} {
				if got := testing.AllocsPerRun(100, func() {
					res.Reset(plan, n)
					if err := r.Read(ctx, ks, res); err != nil {
						t.Fatal(err)
					}
				}); got > most {
					t.Errorf("%s, %d rows: %.0f allocations, at most %.0f", w.name, n, got, most)
				}
			}
		}
		if err := s.Teardown(t.Context(), []*online.Table{table}); err != nil {
			t.Fatal(err)
		}
	}
}
