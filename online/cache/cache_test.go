package cache

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

func TestMain(m *testing.M) {
	// After as many failed dials as a pool has places, go-redis dials once a second until it gets through. It notices that
	// the client was closed with the next attempt.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

func mustNew(t testing.TB, store online.Store, o Options) *Store {
	t.Helper()
	s, err := New(store, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	for name, o := range map[string]Options{
		"rows stay":          {MaxAge: time.Hour, MaxBytes: 1 << 30},
		"rows are too old":   {MaxAge: time.Nanosecond, MaxBytes: 1 << 30},
		"rows get displaced": {MaxAge: time.Hour, MaxBytes: 1500},
	} {
		t.Run(name, func(t *testing.T) {
			onlinetest.Run(t, onlinetest.Harness{Open: func(t testing.TB, _ string) online.Store {
				return mustNew(t, memory.New(), o)
			}})
		})
	}
}

// BenchmarkRead is to be compared with that of the memory store.
func BenchmarkRead(b *testing.B) {
	onlinetest.Bench(b, onlinetest.Harness{Open: func(t testing.TB, _ string) online.Store {
		return mustNew(t, memory.New(), Options{MaxAge: time.Hour, MaxBytes: 1 << 30})
	}})
}

func TestNew(t *testing.T) {
	inner := memory.New()
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{MaxBytes: 1}, "cache: MaxAge must be positive, is 0s"},
		{Options{MaxAge: 1}, "cache: MaxBytes must be positive, is 0"},
		{Options{MaxAge: 1, MaxBytes: -1}, "cache: MaxBytes must be positive, is -1"},
	} {
		if _, err := New(inner, c.o); !errors.Is(err, feasterr.ErrInvalid) || err.Error() != c.want {
			t.Errorf("%+v: error %v, want %s", c.o, err, c.want)
		}
	}
	s := mustNew(t, inner, Options{MaxAge: 1, MaxBytes: 1})
	if s.Info() != inner.Info() {
		t.Errorf("Info: %+v", s.Info())
	}
	if got, ok := online.As[*memory.Store](s); !ok || got != inner {
		t.Error("the wrapped store is not found")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := inner.Ping(t.Context()); !errors.Is(err, feasterr.ErrClosed) {
		t.Errorf("the wrapped store after Close: %v", err)
	}
	cannot := mustNew(t, struct{ online.Store }{memory.New()}, Options{MaxAge: 1, MaxBytes: 1})
	if err := cannot.Delete(t.Context(), stats, [][]byte{id(1)}); !errors.Is(err, feasterr.ErrUnsupported) {
		t.Errorf("Delete of a store that cannot: %v", err)
	}
}

// drivers are entities with rows of 10 features in a store.
func drivers(t testing.TB, s online.Store, n int) *online.Table {
	table := &online.Table{Project: "p", View: "wide", JoinKeys: []string{"driver_id"}}
	var rows []onlinetest.Row
	for f := range 10 {
		table.Features = append(table.Features, types.Field{Name: fmt.Sprint("f", f), Type: types.Int64})
	}
	for i := range n {
		row := onlinetest.Row{Key: id(i), Event: types.Timestamp{Seconds: 1}}
		for f := range 10 {
			row.Values = append(row.Values, int64(i*f))
		}
		rows = append(rows, row)
	}
	if _, err := s.Write(t.Context(), onlinetest.Batch(table, rows...)); err != nil {
		t.Fatal(err)
	}
	return onlinetest.Pick(table)
}

// TestMaxBytes reads more rows than may be kept.
func TestMaxBytes(t *testing.T) {
	const limit = 100_000
	inner := &onlinetest.Scripted{Store: memory.New()}
	s := mustNew(t, inner, Options{MaxAge: time.Hour, MaxBytes: limit})
	defer func() { _ = s.Close() }()
	table := drivers(t, inner, 2000)
	q := prepare(t, s, []*online.Table{table})
	for range 3 {
		for i := range 2000 {
			res, err := q.read(t.Context(), i)
			if got := res.Column(table, 9).Any(0); err != nil || got != int64(i*9) {
				t.Fatalf("driver %d: read %v, %v", i, got, err)
			}
			if got := s.Stats().Bytes; got > limit {
				t.Fatalf("%d bytes are held, %d are allowed", got, limit)
			}
		}
	}
	got := s.Stats()
	if got.Hits+got.Misses != 6000 || got.Misses != inner.Reads.Load() || got.Evicted < 5000 || got.Evicted > got.Misses {
		t.Errorf("got %+v of 6000 reads, %d of the store", got, inner.Reads.Load())
	}
}

// TestAllocs: a hit allocates nothing.
func TestAllocs(t *testing.T) {
	inner := memory.New()
	s := mustNew(t, inner, Options{MaxAge: time.Hour, MaxBytes: 1 << 20})
	defer func() { _ = s.Close() }()
	q := prepare(t, s, []*online.Table{drivers(t, inner, 100)})
	var ids [][]byte
	for i := range 101 { // one is absent
		ids = append(ids, id(i))
	}
	keys := online.NewKeys(onlinetest.KeysOf(ids...))
	var res online.Result
	if n := testing.AllocsPerRun(200, func() {
		res.Reset(q.plan, len(ids))
		if err := q.reader.Read(t.Context(), keys, &res); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	if got := s.Stats(); got.Misses != int64(len(ids)) || got.Hits != 200*int64(len(ids)) {
		t.Errorf("got %+v", got)
	}
}

// BenchmarkZipf reads entities whose popularity follows Zipf's law, and reports how many reads were answered from memory,
// beside the best that keeping the most popular entities for good could do.
func BenchmarkZipf(b *testing.B) {
	const entities = 100_000
	inner := memory.New()
	table := drivers(b, inner, entities)
	for _, exponent := range []float64{1.01, 1.2} {
		for _, part := range []float64{0.01, 0.1} {
			b.Run(fmt.Sprintf("s=%v/room=%v", exponent, part), func(b *testing.B) {
				s := mustNew(b, struct{ online.Store }{inner}, Options{MaxAge: time.Hour, MaxBytes: 1 << 30})
				q := prepare(b, s, []*online.Table{table})
				if _, err := q.read(b.Context(), 1); err != nil {
					b.Fatal(err)
				}
				room := int64(part*entities) * s.Stats().Bytes
				s = mustNew(b, struct{ online.Store }{inner}, Options{MaxAge: time.Hour, MaxBytes: room})
				q = prepare(b, s, []*online.Table{table})
				zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), exponent, 1, entities-1)
				key := make([]online.Key, 1)
				keys := online.NewKeys(key)
				res := new(online.Result)
				popular := 0
				b.ResetTimer()
				for range b.N {
					n := int(zipf.Uint64())
					if n < int(part*entities) {
						popular++
					}
					key[0].Bytes = id(n)
					res.Reset(q.plan, 1)
					if err := q.reader.Read(b.Context(), keys, res); err != nil {
						b.Fatal(err)
					}
				}
				got := s.Stats()
				b.ReportMetric(100*float64(got.Hits)/float64(got.Hits+got.Misses), "hit-%")
				b.ReportMetric(100*float64(popular)/float64(b.N), "best-%")
			})
		}
	}
}
