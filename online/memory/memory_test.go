package memory_test

import (
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var harness = onlinetest.Harness{Open: func(testing.TB, string) online.Store { return memory.New() }}

func TestConformance(t *testing.T) { onlinetest.Run(t, harness) }

func BenchmarkRead(b *testing.B) { onlinetest.Bench(b, harness) }

func TestOpen(t *testing.T) {
	s, err := online.Open(t.Context(), config.NewSection("memory", nil), online.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := online.As[online.Pinger](s); !ok || p.Ping(t.Context()) != nil {
		t.Error("the store does not answer a ping")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	section := config.NewSection("memory", map[string]any{"path": "x"})
	if _, err := online.Open(t.Context(), section, online.Env{}); !errors.Is(err, feasterr.ErrInvalid) {
		t.Errorf("a section with a key: got error %v, want ErrInvalid", err)
	}
}

// stats writes rows of n Int64 features, whose cells are numbered, with a sign, and returns their table.
func stats(t testing.TB, s online.Store, project string, sign int64, n, rows int) *online.Table {
	t.Helper()
	table := &online.Table{Project: project, View: "stats", JoinKeys: []string{"driver_id"}}
	for i := range n {
		table.Features = append(table.Features, types.Field{Name: fmt.Sprint("f", i), Type: types.Int64})
	}
	batch := make([]onlinetest.Row, rows)
	for i := range batch {
		batch[i] = onlinetest.Row{Key: onlinetest.Key("driver_id", int64(i)), Event: types.Timestamp{Seconds: 1}}
		for f := range n {
			batch[i].Values = append(batch[i].Values, sign*int64(i*n+f))
		}
	}
	if _, err := s.Write(t.Context(), onlinetest.Batch(table, batch...)); err != nil {
		t.Fatal(err)
	}
	return table
}

// One store keeps the rows of several projects apart; stores that share a server are tried by the suite.
func TestProjects(t *testing.T) {
	s := memory.New()
	a, b := stats(t, s, "proj", 1, 1, 3), stats(t, s, "my_proj", -1, 1, 3)
	read := func(table *online.Table) any {
		table = onlinetest.Pick(table)
		plan := online.NewReadPlan([]*online.Table{table})
		res := onlinetest.Read(t, s, plan, 1, online.NewKeys(onlinetest.KeysOf(onlinetest.Key("driver_id", int64(2)))))
		return res.Column(table, 0).Any(0)
	}
	if x, y := read(a), read(b); x != int64(2) || y != int64(-2) {
		t.Errorf("read %v and %v, want 2 and -2", x, y)
	}
	if err := s.Teardown(t.Context(), []*online.Table{a}); err != nil {
		t.Fatal(err)
	}
	if x, y := read(a), read(b); x != nil || y != int64(-2) {
		t.Errorf("after Teardown of one: read %v and %v, want nothing and -2", x, y)
	}
}

func TestReadAllocs(t *testing.T) {
	s := memory.New()
	table := onlinetest.Pick(stats(t, s, "proj", 1, 50, 100))
	plan := online.NewReadPlan([]*online.Table{table})
	reader, err := s.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int{1, 100} {
		var ids [][]byte
		for i := range rows {
			ids = append(ids, onlinetest.Key("driver_id", int64(i)))
		}
		keys, res, ctx := online.NewKeys(onlinetest.KeysOf(ids...)), new(online.Result), t.Context()
		if n := testing.AllocsPerRun(20, func() {
			res.Reset(plan, rows)
			if err := reader.Read(ctx, keys, res); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%d rows of 50 features: %v allocations, want 0", rows, n)
		}
		if got := res.Column(table, 49).Any(rows - 1); got != int64(rows*50-1) {
			t.Errorf("last cell: got %v, want %d", got, rows*50-1)
		}
	}
}
