package fallback

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustNew(t testing.TB, o Options, stores ...online.Store) *Store {
	t.Helper()
	s, err := New(o, stores...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var errDown, errFire = feasterr.Unavailable("connection refused"), errors.New("on fire")

// halves is a store whose tables fail where fail says so, half-way.
type halves struct {
	online.Store
	fail func(t *online.Table) bool
}

func (s *halves) Unwrap() online.Store { return s.Store }

func (s *halves) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	r, err := s.Store.Prepare(plan)
	return failing{r, plan, s.fail}, err
}

type failing struct {
	online.Reader
	plan *online.ReadPlan
	fail func(t *online.Table) bool
}

func (r failing) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	err := r.Reader.Read(ctx, keys, dst)
	for _, t := range r.plan.Tables() {
		if r.fail(t) {
			dst.Fail(t, errFire)
		}
	}
	return err
}

// broken is a store whose reads fail half-way.
func broken(inner online.Store) *onlinetest.Scripted {
	return &onlinetest.Scripted{Store: inner, Script: func(_ context.Context, _ int, read func() error, _ *online.Result) error {
		if err := read(); err != nil {
			return err
		}
		return errDown
	}}
}

// slow is a store whose reads take a minute.
func slow(inner online.Store) *onlinetest.Scripted {
	return &onlinetest.Scripted{Store: inner, Script: func(ctx context.Context, _ int, read func() error, _ *online.Result) error {
		if err := read(); err != nil {
			return err
		}
		return onlinetest.Wait(ctx, time.Minute)
	}}
}

// odd fails some of the tables.
func odd(t *online.Table) bool { return len(t.View)%3 == 0 || len(t.Features) == 1 }

// TestConformance: two ways to one store answer as that store does, whatever is wrong with the first.
func TestConformance(t *testing.T) {
	for name, first := range map[string]func(online.Store) online.Store{
		"first answers":     func(s online.Store) online.Store { return s },
		"first fails":       func(s online.Store) online.Store { return broken(s) },
		"some tables fail":  func(s online.Store) online.Store { return &halves{s, odd} },
		"first is too slow": func(s online.Store) online.Store { return slow(s) },
	} {
		t.Run(name, func(t *testing.T) {
			onlinetest.Run(t, onlinetest.Harness{Open: func(t testing.TB, _ string) online.Store {
				inner := memory.New()
				return mustNew(t, Options{Timeout: time.Millisecond}, first(inner), inner)
			}})
		})
	}
}

// BenchmarkRead is to be compared with that of the memory store.
func BenchmarkRead(b *testing.B) {
	onlinetest.Bench(b, onlinetest.Harness{Open: func(t testing.TB, _ string) online.Store {
		inner := memory.New()
		return mustNew(t, Options{Timeout: time.Second}, inner, inner)
	}})
}

// stored returns a memory store in which every row of three tables is the given text.
func stored(t testing.TB, text string) *memory.Store {
	s := memory.New()
	for _, table := range tables() {
		row := onlinetest.Row{Key: onlinetest.Key("driver_id", int64(1)), Event: types.Timestamp{Seconds: 1}, Values: []any{text}}
		if _, err := s.Write(t.Context(), onlinetest.Batch(table, row)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func tables() []*online.Table {
	var out []*online.Table
	for _, view := range []string{"a", "b", "c"} {
		out = append(out, &online.Table{
			Project: "p", View: view, JoinKeys: []string{"driver_id"}, Features: []types.Field{{Name: "s", Type: types.String}},
		})
	}
	return out
}

// in fails the tables of these views.
func in(views string) func(t *online.Table) bool {
	return func(t *online.Table) bool { return strings.Contains(views, t.View) }
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second func(online.Store) online.Store // nil: as it is
		want          string                          // the answers for a, b and c, or their errors
		err           string
		stats         string
	}{
		{"first answers", nil, nil, "1 1 1", "", "1/0 0/0"},
		{"first fails", func(s online.Store) online.Store { return broken(s) }, nil, "2 2 2", "", "1/1 1/0"},
		{"first is too slow", func(s online.Store) online.Store { return slow(s) }, nil, "2 2 2", "", "1/1 1/0"},
		{"a table fails", func(s online.Store) online.Store { return &halves{s, in("b")} }, nil, "1 2 1", "", "1/1 1/0"},
		{
			"another fails in the second",
			func(s online.Store) online.Store { return &halves{s, in("b")} },
			func(s online.Store) online.Store { return &halves{s, in("ac")} }, "1 2 1", "", "1/1 1/0",
		},
		{
			"one fails in both",
			func(s online.Store) online.Store { return &halves{s, in("bc")} },
			func(s online.Store) online.Store { return &halves{s, in("c")} },
			"1 2 (memory: read: on fire\nmemory: read: on fire)", "", "1/1 1/1",
		},
		{
			"second fails", func(s online.Store) online.Store { return &halves{s, in("b")} },
			func(s online.Store) online.Store { return broken(s) },
			"1 (memory: read: on fire\nmemory: read: connection refused) 1", "", "1/1 1/1",
		},
		{
			"second fails a table", func(s online.Store) online.Store { return broken(s) },
			func(s online.Store) online.Store { return &halves{s, in("a")} },
			"(memory: read: connection refused\nmemory: read: on fire) 2 2", "", "1/1 1/1",
		},
		{
			"both fail", func(s online.Store) online.Store { return broken(s) }, func(s online.Store) online.Store { return broken(s) },
			"", "memory: read: connection refused\nmemory: read: connection refused", "1/1 1/1",
		},
		{
			"both are too slow", func(s online.Store) online.Store { return slow(s) },
			func(s online.Store) online.Store { return &onlinetest.Scripted{Store: broken(slow(s))} },
			"", "memory: read: there was no answer within 10ms\nmemory: read: connection refused", "1/1 1/1",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stores [2]online.Store
				for i, wrap := range []func(online.Store) online.Store{c.first, c.second} {
					stores[i] = stored(t, []string{"1", "2"}[i])
					if wrap != nil {
						stores[i] = wrap(stores[i])
					}
				}
				s := mustNew(t, Options{Timeout: 10 * time.Millisecond}, stores[:]...)
				plan := online.NewReadPlan(tables())
				r, err := s.Prepare(plan)
				if err != nil {
					t.Fatal(err)
				}
				res := online.NewResult(plan, 1)
				err = r.Read(t.Context(), online.NewKeys(onlinetest.KeysOf(onlinetest.Key("driver_id", int64(1)))), res)
				if got := text(err); got != c.err {
					t.Errorf("error %s, want %s", got, c.err)
				}
				var got []string
				for _, table := range plan.Tables() {
					if err := res.Err(table); err != nil {
						got = append(got, "("+text(err)+")")
					} else if v, ok := res.Column(table, 0).Any(0).(string); ok {
						got = append(got, v)
					}
				}
				if got := strings.Join(got, " "); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
				var stats []string
				for _, st := range s.Stats() {
					stats = append(stats, string(rune('0'+st.Reads))+"/"+string(rune('0'+st.Failures)))
				}
				if got := strings.Join(stats, " "); got != c.stats {
					t.Errorf("counts %s, want %s", got, c.stats)
				}
			})
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestContext: when the read's own context ends, the next store is not asked.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := &onlinetest.Scripted{Store: memory.New()}
		s := mustNew(t, Options{Timeout: time.Second}, slow(memory.New()), second)
		plan := online.NewReadPlan(tables())
		r, err := s.Prepare(plan)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start := time.Now()
		err = r.Read(ctx, online.NewKeys(onlinetest.KeysOf(onlinetest.Key("driver_id", int64(1)))), online.NewResult(plan, 1))
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != time.Millisecond || second.Reads.Load() != 0 {
			t.Errorf("after %v: %v, %d reads of the second store", took, err, second.Reads.Load())
		}
		if got := s.Stats(); got[0].Failures != 0 {
			t.Errorf("the first store failed %d times", got[0].Failures)
		}
	})
}

// TestChanges go to the first store alone.
func TestChanges(t *testing.T) {
	first, second := memory.New(), stored(t, "2")
	s := mustNew(t, Options{}, first, second)
	table := tables()[0]
	key := onlinetest.Key("driver_id", int64(1))
	answer := func(s online.Store) any {
		plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(table)})
		return onlinetest.Read(t, s, plan, 1, online.NewKeys(onlinetest.KeysOf(key))).Column(plan.Tables()[0], 0).Any(0)
	}
	expect := func(after string, one any) {
		t.Helper()
		if a, b, c := answer(first), answer(second), answer(s); a != one || b != "2" || c != one {
			t.Errorf("after %s: %v, %v, together %v", after, a, b, c)
		}
	}
	row := onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: 5}, Values: []any{"new"}}
	if _, err := s.Write(t.Context(), onlinetest.Batch(table, row)); err != nil {
		t.Error(err)
	}
	expect("a write", "new")
	d, ok := online.As[online.Deleter](s)
	if !ok {
		t.Fatal("it cannot delete")
	}
	if err := d.Delete(t.Context(), table, [][]byte{key}); err != nil {
		t.Error(err)
	}
	expect("a deletion", nil)
	if _, err := s.Write(t.Context(), onlinetest.Batch(table, row)); err != nil {
		t.Error(err)
	}
	if err := s.Update(t.Context(), nil, []*online.Table{table}); err != nil {
		t.Error(err)
	}
	expect("an update", nil)
	if err := s.Teardown(t.Context(), tables()); err != nil {
		t.Error(err)
	}
	expect("a teardown", nil)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for i, store := range []*memory.Store{first, second} {
		if err := store.Ping(t.Context()); !errors.Is(err, feasterr.ErrClosed) {
			t.Errorf("store %d after Close: %v", i, err)
		}
	}
}

// unreachable is a store that cannot be pinged.
type unreachable struct{ online.Store }

func (unreachable) Ping(context.Context) error { return errDown }

func TestPing(t *testing.T) {
	there, gone := memory.New(), unreachable{memory.New()}
	for _, c := range []struct {
		stores []online.Store
		want   string
	}{
		{[]online.Store{there, gone}, ""},
		{[]online.Store{gone, there}, ""},
		{[]online.Store{gone, struct{ online.Store }{there}}, ""},
		{[]online.Store{gone, gone}, "memory: ping: connection refused\nmemory: ping: connection refused"},
	} {
		if got := text(mustNew(t, Options{}, c.stores...).Ping(t.Context())); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// informed is a store with another description.
type informed struct {
	online.Store
	info online.Info
}

func (s informed) Info() online.Info { return s.info }

func TestNew(t *testing.T) {
	inner := memory.New()
	v2, v3 := informed{inner, online.Info{Name: "two", KeyVersion: 2, Versioned: true}}, informed{inner, online.Info{Name: "three", KeyVersion: 3}}
	for _, c := range []struct {
		o      Options
		stores []online.Store
		want   string
	}{
		{Options{}, []online.Store{inner}, "fallback: needs at least two stores, got 1"},
		{Options{Timeout: -1}, []online.Store{inner, inner}, "fallback: Timeout must not be negative, is -1ns"},
		{
			Options{}, []online.Store{inner, v2, v3},
			"fallback: the stores need entity keys of one serialization version, but two needs 2 and three needs 3",
		},
	} {
		if _, err := New(c.o, c.stores...); !errors.Is(err, feasterr.ErrInvalid) || err.Error() != c.want {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
	for _, c := range []struct {
		stores []online.Store
		want   online.Info
	}{
		{[]online.Store{inner, v2}, online.Info{Name: "memory", KeyVersion: 2, Versioned: true}},
		{[]online.Store{v3, inner}, online.Info{Name: "three", KeyVersion: 3}},
	} {
		if got := mustNew(t, Options{}, c.stores...).Info(); got != c.want {
			t.Errorf("Info: %+v, want %+v", got, c.want)
		}
	}
	if got, ok := online.As[*memory.Store](mustNew(t, Options{}, inner, v2)); !ok || got != inner {
		t.Error("the first store is not found")
	}
}
