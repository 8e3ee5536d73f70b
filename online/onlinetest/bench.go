package onlinetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// Bench measures reads of 1 and of 100 entities with 50 features of one view: prepared reader, keys and result are used
// again, as the front does. Run drivers' benchmarks beside a floor: the least that a client of the same server can do.
func Bench(b *testing.B, h Harness) {
	const features, most = 50, 100
	ofTypes := []types.Type{types.Int64, types.Float32, types.Float64, types.String, types.Bool}
	table := &online.Table{Project: newProject(), View: "stats", Entities: []string{"driver"}, JoinKeys: driverID}
	if h.Tags != nil {
		table.Tags = h.Tags(table.View)
	}
	for f := range features {
		table.Features = append(table.Features, types.Field{Name: fmt.Sprint("feature_", f), Type: ofTypes[f%len(ofTypes)]})
	}
	var rows []Row
	for i := range most {
		row := Row{Key: id(i), Event: at(0)}
		for f := range features {
			values := []any{int64(i * f), float32(i) / 7, float64(f) / 7, "some text", i%2 == 0}
			row.Values = append(row.Values, values[f%len(ofTypes)])
		}
		rows = append(rows, row)
	}
	store := h.Open(b, table.Project)
	b.Cleanup(func() {
		if err := store.Teardown(context.WithoutCancel(b.Context()), []*online.Table{table}); err != nil {
			b.Errorf("Teardown: %v", err)
		}
		if err := store.Close(); err != nil {
			b.Errorf("Close: %v", err)
		}
	})
	if err := store.Update(b.Context(), []*online.Table{table}, nil); err != nil {
		b.Fatalf("Update: %v", err)
	}
	if _, err := store.Write(b.Context(), Batch(table, rows...)); err != nil {
		b.Fatalf("Write: %v", err)
	}
	plan := online.NewReadPlan([]*online.Table{Pick(table)})
	for _, n := range []int{1, most} {
		b.Run(fmt.Sprintf("%dx%d", n, features), func(b *testing.B) {
			reader, err := store.Prepare(plan)
			if err != nil {
				b.Fatalf("Prepare: %v", err)
			}
			keys := online.NewKeys(KeysOf(keysOf(rows[:n])...))
			var res online.Result
			b.ReportAllocs()
			for b.Loop() {
				res.Reset(plan, n)
				if err := reader.Read(b.Context(), keys, &res); err != nil {
					b.Fatalf("Read: %v", err)
				}
			}
			if t := plan.Tables()[0]; !res.Found(t, n-1) || !res.Column(t, features-1).AllValid() {
				b.Fatal("the rows were not found")
			}
		})
	}
}
