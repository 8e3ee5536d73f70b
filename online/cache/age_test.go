package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

var stats = &online.Table{
	Project: "p", View: "stats", JoinKeys: []string{"driver_id"},
	Features: []types.Field{{Name: "n", Type: types.Int64}, {Name: "s", Type: types.String}},
}

func id(n int) []byte { return onlinetest.Key("driver_id", int64(n)) }

// put stores n as the features of driver 1 in a store.
func put(t testing.TB, s online.Store, n int) {
	t.Helper()
	row := onlinetest.Row{Key: id(1), Event: types.Timestamp{Seconds: int64(n)}, Values: []any{int64(n), "text"}}
	if _, err := s.Write(context.Background(), onlinetest.Batch(stats, row)); err != nil {
		t.Error(err)
	}
}

// query is a prepared read.
type query struct {
	plan   *online.ReadPlan
	reader online.Reader
}

func prepare(t testing.TB, s online.Store, groups ...[]*online.Table) query {
	t.Helper()
	plan := online.NewReadPlan(groups...)
	r, err := s.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	return query{plan, r}
}

// read reads drivers.
func (q query) read(ctx context.Context, ids ...int) (*online.Result, error) {
	var keys [][]byte
	for _, n := range ids {
		keys = append(keys, id(n))
	}
	res := online.NewResult(q.plan, len(ids))
	err := q.reader.Read(ctx, online.NewKeys(onlinetest.KeysOf(keys...)), res)
	for _, key := range keys {
		clear(key) // they are the caller's again
	}
	return res, err
}

// first reads the first feature of driver 1, nil when it is absent.
func (q query) first(t testing.TB) any {
	t.Helper()
	res, err := q.read(context.Background(), 1)
	if err != nil {
		t.Error(err)
		return nil
	}
	return res.Column(q.plan.Tables()[0], 0).Any(0)
}

const age = 10 * time.Second

// bubble runs a test with a clock of its own, on a store that is called through a cache.
func bubble(t *testing.T, inner *onlinetest.Scripted, test func(t *testing.T, s *Store)) {
	synctest.Test(t, func(t *testing.T) {
		inner.Store = memory.New()
		s := mustNew(t, inner, Options{MaxAge: age, MaxBytes: 1 << 20})
		test(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for i := range s.shards {
			if sh := &s.shards[i]; len(sh.flights)+len(sh.held)+sh.heldWhole > 0 {
				t.Errorf("left: %d flights, %d held rows", len(sh.flights), len(sh.held)+sh.heldWhole)
			}
		}
	})
}

// expect checks how often the store was read.
func expect(t *testing.T, s *onlinetest.Scripted, reads int64) {
	t.Helper()
	if got := s.Reads.Load(); got != reads {
		t.Errorf("%d reads, want %d", got, reads)
	}
}

func TestAge(t *testing.T) {
	inner := &onlinetest.Scripted{Script: func(ctx context.Context, _ int, inner func() error, _ *online.Result) error {
		return errors.Join(inner(), onlinetest.Wait(ctx, time.Second)) // the answer is on its way for a second
	}}
	bubble(t, inner, func(t *testing.T, s *Store) {
		q := prepare(t, s, []*online.Table{onlinetest.Pick(stats)})
		for _, step := range []struct {
			wait  time.Duration
			write int // behind the cache
			want  any
			reads int64
		}{
			{0, 1, int64(1), 1},
			{0, 2, int64(1), 1},
			{age - time.Second, 0, int64(1), 1}, // age old, since the row was asked for a second before it came
			{1, 0, int64(2), 2},
			{age - time.Second + 1, 0, int64(2), 3},
		} {
			if step.write > 0 {
				put(t, inner.Store, step.write)
			}
			time.Sleep(step.wait)
			if got := q.first(t); got != step.want {
				t.Errorf("after %v: read %v, want %v", step.wait, got, step.want)
			}
			expect(t, inner, step.reads)
		}
		want := Stats{Hits: 2, HitAge: age + time.Second, Misses: 3}
		got := s.Stats()
		if got.Bytes = 0; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestSlowFetch: an answer that took longer than MaxAge is for those who waited, and no reader waits for a fetch that
// began longer ago.
func TestSlowFetch(t *testing.T) {
	inner := &onlinetest.Scripted{Script: func(ctx context.Context, n int, inner func() error, _ *online.Result) error {
		if err := inner(); err != nil || n > 1 {
			return err
		}
		return onlinetest.Wait(ctx, 2*age)
	}}
	bubble(t, inner, func(t *testing.T, s *Store) {
		put(t, inner.Store, 1)
		q := prepare(t, s, []*online.Table{onlinetest.Pick(stats)})
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := q.first(t); got != int64(1) {
				t.Errorf("the slow fetch brought %v", got)
			}
		})
		time.Sleep(age + 1)
		put(t, inner.Store, 2)
		if got := q.first(t); got != int64(2) {
			t.Errorf("read %v while a fetch is too old", got)
		}
		expect(t, inner, 2)
		wg.Wait()
		time.Sleep(0)
		if got := q.first(t); got != int64(2) {
			t.Errorf("read %v after a slow fetch", got)
		}
	})
}

// TestNeverTooOld: whatever a writer does behind the cache, readers see no state that was replaced longer than MaxAge
// before they asked.
func TestNeverTooOld(t *testing.T) {
	inner := &onlinetest.Scripted{Script: func(ctx context.Context, n int, inner func() error, _ *online.Result) error {
		if err := onlinetest.Wait(ctx, time.Duration(n%7)*time.Second); err != nil {
			return err
		}
		return errors.Join(inner(), onlinetest.Wait(ctx, time.Duration(n%11)*time.Second))
	}}
	bubble(t, inner, func(t *testing.T, s *Store) {
		q := prepare(t, s, []*online.Table{onlinetest.Pick(stats)})
		put(t, inner.Store, 0)
		start := time.Now()
		const states = 400
		var wg sync.WaitGroup
		wg.Go(func() {
			for n := 1; n <= states; n++ { // state n is there from second n on
				time.Sleep(time.Second)
				put(t, inner.Store, n)
			}
		})
		oldest := new(atomic.Int64)
		for reader := range 5 {
			wg.Go(func() {
				time.Sleep(time.Duration(reader) * 100 * time.Millisecond)
				for time.Since(start) < states*time.Second {
					asked := time.Since(start)
					got, _ := q.first(t).(int64)
					// State got was replaced at second got+1.
					if replaced := asked - time.Duration(got+1)*time.Second; replaced > age {
						t.Errorf("read at %v: state %d, replaced %v before", asked, got, replaced)
					} else if int64(replaced) > oldest.Load() {
						oldest.Store(int64(replaced))
					}
					time.Sleep(300 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		if got := time.Duration(oldest.Load()); got < age/2 {
			t.Errorf("no answer was older than %v: nothing is cached", got)
		}
	})
}

// TestOwnWrites: what is written, deleted or dropped through the cache is seen at once, by queries for whatever features.
func TestOwnWrites(t *testing.T) {
	bubble(t, &onlinetest.Scripted{}, func(t *testing.T, s *Store) {
		all, one := prepare(t, s, []*online.Table{onlinetest.Pick(stats)}), prepare(t, s, []*online.Table{onlinetest.Pick(stats, "n")})
		check := func(after string, want any) {
			t.Helper()
			for range 2 {
				if a, b := all.first(t), one.first(t); a != want || b != want {
					t.Errorf("after %s: read %v and %v, want %v", after, a, b, want)
				}
			}
		}
		check("nothing", nil)
		put(t, s, 1)
		check("a write", int64(1))
		put(t, s, 2)
		check("another", int64(2))
		if err := s.Delete(t.Context(), stats, [][]byte{id(1)}); err != nil {
			t.Error(err)
		}
		check("a deletion", nil)
		put(t, s, 3)
		check("a write", int64(3))
		if err := s.Update(t.Context(), nil, []*online.Table{stats}); err != nil {
			t.Error(err)
		}
		check("an update", nil)
		put(t, s, 4)
		check("a write", int64(4))
		if err := s.Teardown(t.Context(), []*online.Table{stats}); err != nil {
			t.Error(err)
		}
		check("a teardown", nil)
	})
}

// TestWriteDuringFetch: a fetch that began before a write is for those who asked before; nobody else joins it, and it is
// not kept.
func TestWriteDuringFetch(t *testing.T) {
	for name, change := range map[string]func(s *Store, row *online.WriteBatch) error{
		"write": func(s *Store, b *online.WriteBatch) error { _, err := s.Write(context.Background(), b); return err },
		"delete and write": func(s *Store, b *online.WriteBatch) error {
			err := s.Delete(context.Background(), stats, b.Keys)
			_, werr := s.inner.Write(context.Background(), b)
			return errors.Join(err, werr)
		},
		"update": func(s *Store, b *online.WriteBatch) error {
			_, err := s.inner.Write(context.Background(), b)
			return errors.Join(err, s.Update(context.Background(), []*online.Table{stats}, nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inner := &onlinetest.Scripted{Script: func(ctx context.Context, n int, inner func() error, _ *online.Result) error {
				if err := inner(); err != nil {
					return err
				}
				return onlinetest.Wait(ctx, []time.Duration{time.Second, time.Millisecond, 0}[n-1])
			}}
			bubble(t, inner, func(t *testing.T, s *Store) {
				put(t, s, 1)
				q := prepare(t, s, []*online.Table{onlinetest.Pick(stats)})
				var wg sync.WaitGroup
				wg.Go(func() {
					if got := q.first(t); got != int64(1) {
						t.Errorf("the first read brought %v", got)
					}
				})
				time.Sleep(time.Millisecond)
				row := onlinetest.Row{Key: id(1), Event: types.Timestamp{Seconds: 2}, Values: []any{int64(2), "text"}}
				if err := change(s, onlinetest.Batch(stats, row)); err != nil {
					t.Error(err)
				}
				for range 2 {
					if got := q.first(t); got != int64(2) {
						t.Errorf("read %v after the write", got)
					}
				}
				wg.Wait()
				if got := q.first(t); got != int64(2) {
					t.Errorf("read %v after the older fetch", got)
				}
				expect(t, inner, 2)
			})
		})
	}
}

// TestOneFetch: of many who miss a row one fetches it, with whatever else it misses in one read.
func TestOneFetch(t *testing.T) {
	inner := &onlinetest.Scripted{Script: func(ctx context.Context, _ int, inner func() error, _ *online.Result) error {
		return errors.Join(onlinetest.Wait(ctx, time.Second), inner())
	}}
	bubble(t, inner, func(t *testing.T, s *Store) {
		put(t, inner.Store, 1)
		one := prepare(t, s, []*online.Table{onlinetest.Pick(stats)})
		both := prepare(t, s, []*online.Table{onlinetest.Pick(stats), onlinetest.Pick(stats, "s")}, []*online.Table{onlinetest.Pick(stats)})
		start := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if got := one.first(t); got != int64(1) {
					t.Errorf("read %v", got)
				}
			})
		}
		synctest.Wait()
		wg.Go(func() {
			res := online.NewResult(both.plan, 2)
			first := []online.Key{{Bytes: id(1), Row: 1}, {Bytes: id(2), Row: 0}}
			if err := both.reader.Read(t.Context(), online.NewKeys(first, first[:1]), res); err != nil {
				t.Error(err)
				return
			}
			a, b, c := both.plan.Tables()[0], both.plan.Tables()[1], both.plan.Tables()[2]
			got := []any{res.Column(a, 0).Any(1), res.Column(b, 0).Any(1), res.Column(c, 0).Any(1), res.Found(a, 0), res.Found(b, 0)}
			if want := [...]any{int64(1), "text", int64(1), false, false}; [5]any(got) != want {
				t.Errorf("read %v, want %v", got, want)
			}
		})
		wg.Wait()
		expect(t, inner, 2)
		if got := inner.Keys.Load(); got != 3 {
			t.Errorf("%d keys were read, want 1, then driver 1 for its other features, and driver 2", got)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		got := s.Stats()
		if got.Bytes = 0; got != (Stats{Misses: 4, Shared: 11}) {
			t.Errorf("got %+v", got)
		}
	})
}

// TestAbsent: that a row is absent is known for as long as what is in others.
func TestAbsent(t *testing.T) {
	inner := &onlinetest.Scripted{}
	bubble(t, inner, func(t *testing.T, s *Store) {
		q := prepare(t, s, []*online.Table{onlinetest.Pick(stats)})
		for range 3 {
			if got := q.first(t); got != nil {
				t.Errorf("read %v", got)
			}
		}
		expect(t, inner, 1)
		put(t, inner.Store, 1)
		time.Sleep(age + 1)
		if got := q.first(t); got != int64(1) {
			t.Errorf("read %v after %v", got, age)
		}
	})
}

// TestWaiters: each waits as long as its own context lets it; the fetch goes on for the others, and ends with the last.
func TestWaiters(t *testing.T) {
	var ended error
	inner := &onlinetest.Scripted{Script: func(ctx context.Context, _ int, inner func() error, _ *online.Result) error {
		if ended = onlinetest.Wait(ctx, time.Minute); ended != nil {
			return ended
		}
		return inner()
	}}
	bubble(t, inner, func(t *testing.T, s *Store) {
		put(t, inner.Store, 1)
		q := prepare(t, s, []*online.Table{onlinetest.Pick(stats)})
		start := time.Now()
		var wg sync.WaitGroup
		reader := func(limit time.Duration, want error) {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), limit)
				defer cancel()
				_, err := q.read(ctx, 1)
				if took := time.Since(start); !errors.Is(err, want) || took != min(limit, time.Minute) {
					t.Errorf("limit %v: took %v, error %v, want %v", limit, took, err, want)
				}
			})
			synctest.Wait()
		}
		reader(time.Second, context.DeadlineExceeded) // whose fetch it is
		reader(2*time.Second, context.DeadlineExceeded)
		reader(time.Hour, nil)
		wg.Wait()
		expect(t, inner, 1)

		s.rows.InvalidateAll()
		start = time.Now()
		reader(time.Second, context.DeadlineExceeded)
		reader(2*time.Second, context.DeadlineExceeded)
		wg.Wait()
		synctest.Wait()
		if took := time.Since(start); took != 2*time.Second || !errors.Is(ended, context.Canceled) {
			t.Errorf("after %v the fetch that nobody waits for: %v", took, ended)
		}
		expect(t, inner, 2)
	})
}

var errStore = errors.New("the store is on fire")

// TestFailures: an error is not kept, neither of a read nor of a table, and those who did not ask for it do not get it.
func TestFailures(t *testing.T) {
	var fail func(n int, dst *online.Result) error
	inner := &onlinetest.Scripted{Script: func(ctx context.Context, n int, inner func() error, dst *online.Result) error {
		if err := onlinetest.Wait(ctx, time.Second); err != nil {
			return err
		}
		return errors.Join(fail(n, dst), inner())
	}}
	bubble(t, inner, func(t *testing.T, s *Store) {
		put(t, inner.Store, 1)
		table := onlinetest.Pick(stats)
		q := prepare(t, s, []*online.Table{table})

		fail = func(int, *online.Result) error { return errStore }
		if _, err := q.read(t.Context(), 1); !errors.Is(err, errStore) {
			t.Errorf("a failed read: %v", err)
		}
		fail = func(_ int, dst *online.Result) error { dst.Fail(table, errStore); return nil }
		res, err := q.read(t.Context(), 1)
		if err != nil || !errors.Is(res.Err(table), errStore) || res.Found(table, 0) {
			t.Errorf("a failed table: %v, %v, found %t", err, res.Err(table), res.Found(table, 0))
		}
		fail = func(int, *online.Result) error { return nil }
		if got := q.first(t); got != int64(1) {
			t.Errorf("after failures: read %v", got)
		}
		expect(t, inner, 3)

		// The first read fails, perhaps for what the second one did not ask for. That one tries itself.
		s.rows.InvalidateAll()
		fail = func(n int, _ *online.Result) error {
			if n == 4 {
				return errStore
			}
			return nil
		}
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := q.read(context.Background(), 1); !errors.Is(err, errStore) {
				t.Errorf("the first read: %v", err)
			}
		})
		synctest.Wait()
		if got := q.first(t); got != int64(1) {
			t.Errorf("the second read: %v", got)
		}
		wg.Wait()
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		expect(t, inner, 5)
	})
}

// TestCloseWaits: Close waits for a fetch; one that nobody waits for has been cancelled.
func TestCloseWaits(t *testing.T) {
	inner := &onlinetest.Scripted{Script: func(context.Context, int, func() error, *online.Result) error {
		time.Sleep(time.Hour) // takes no notice of its context
		return nil
	}}
	bubble(t, inner, func(t *testing.T, s *Store) {
		q := prepare(t, s, []*online.Table{onlinetest.Pick(stats)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := q.read(ctx, 1); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != time.Hour {
			t.Errorf("Close returned after %v", took)
		}
		if _, err := q.read(t.Context(), 1); !errors.Is(err, feasterr.ErrClosed) {
			t.Errorf("read after Close: %v", err)
		}
	})
}

// slowWriter is a store whose writes take effect at once and return a second later.
type slowWriter struct{ online.Store }

func (s slowWriter) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	res, err := s.Store.Write(ctx, b)
	return res, errors.Join(err, onlinetest.Wait(ctx, time.Second))
}

// TestReadDuringWrite: while a row is written, every read asks the store, and nothing of that is kept.
func TestReadDuringWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &onlinetest.Scripted{Store: memory.New()}
		s := mustNew(t, slowWriter{inner}, Options{MaxAge: age, MaxBytes: 1 << 20})
		put(t, inner.Store, 1)
		q := prepare(t, s, []*online.Table{onlinetest.Pick(stats)})
		read := func(want, reads int64) {
			t.Helper()
			if got := q.first(t); got != want {
				t.Errorf("read %v, want %d", got, want)
			}
			expect(t, inner, reads)
		}
		read(1, 1)
		read(1, 1)
		var wg sync.WaitGroup
		wg.Go(func() { put(t, s, 2) })
		synctest.Wait()
		read(2, 2)
		put(t, inner.Store, 3)
		read(3, 3)
		wg.Wait()
		read(3, 4)
		read(3, 4)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
