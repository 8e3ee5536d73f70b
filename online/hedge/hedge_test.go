package hedge

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
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

// harness opens a store whose delay starts a second attempt of many reads, or of none.
func harness(delay time.Duration) onlinetest.Harness {
	return onlinetest.Harness{Open: func(t testing.TB, _ string) online.Store {
		return mustNew(t, scripted(func(context.Context, int) error {
			runtime.Gosched()
			return nil
		}), Options{Delay: delay, Budget: 1})
	}}
}

func TestConformance(t *testing.T) {
	t.Run("both attempts", func(t *testing.T) { onlinetest.Run(t, harness(time.Nanosecond)) })
	t.Run("one attempt", func(t *testing.T) { onlinetest.Run(t, harness(time.Hour)) })
}

// BenchmarkRead is to be compared with that of the memory store: the difference is what hedging costs a read that is
// answered in time.
func BenchmarkRead(b *testing.B) {
	onlinetest.Bench(b, onlinetest.Harness{Open: func(t testing.TB, _ string) online.Store {
		return mustNew(t, memory.New(), Options{Delay: time.Hour, Budget: 0.05})
	}})
}

func mustNew(t testing.TB, store online.Store, o Options) *Store {
	t.Helper()
	s, err := New(store, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// scripted is a memory store whose reads first do what a script says.
func scripted(first func(ctx context.Context, n int) error) *onlinetest.Scripted {
	return &onlinetest.Scripted{Store: memory.New(), Script: func(ctx context.Context, n int, read func() error, _ *online.Result) error {
		if err := first(ctx, n); err != nil {
			return err
		}
		return read()
	}}
}

const delay = 10 * time.Millisecond

// trial is a hedged store with one row, and a read of it.
type trial struct {
	*testing.T
	inner *onlinetest.Scripted
	store *Store
	start time.Time
	read  func(context.Context) error // fails when the row is not there after a success
}

// try runs a test in a bubble with a clock of its own.
func try(t *testing.T, budget float64, script func(ctx context.Context, n int) error, test func(*trial)) {
	synctest.Test(t, func(t *testing.T) {
		inner := scripted(script)
		tr := &trial{T: t, inner: inner, store: mustNew(t, inner, Options{Delay: delay, Budget: budget}), start: time.Now()}
		table := &online.Table{
			Project: "p", View: "v", JoinKeys: []string{"driver_id"}, Features: []types.Field{{Name: "f", Type: types.String}},
		}
		key := onlinetest.Key("driver_id", int64(1))
		batch := onlinetest.Batch(table, onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: 1}, Values: []any{"x"}})
		if _, err := tr.store.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(table)})
		r, err := tr.store.Prepare(plan)
		if err != nil {
			t.Fatal(err)
		}
		tr.read = func(ctx context.Context) error {
			own := append([]byte(nil), key...)
			res := online.NewResult(plan, 1)
			err := r.Read(ctx, online.NewKeys(onlinetest.KeysOf(own)), res)
			clear(own) // the keys are the caller's again
			if got := res.Column(plan.Tables()[0], 0).Any(0); err == nil && got != "x" {
				t.Errorf("read %v", got)
			}
			return err
		}
		test(tr)
		if err := tr.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// expect checks how many attempts there were, and how long all has taken.
func (t *trial) expect(attempts int64, took time.Duration) {
	t.Helper()
	if got := t.inner.Reads.Load(); got != attempts {
		t.Errorf("%d attempts, want %d", got, attempts)
	}
	if got := time.Since(t.start); got != took {
		t.Errorf("took %v, want %v", got, took)
	}
}

func TestFastRead(t *testing.T) {
	script := func(ctx context.Context, _ int) error { return onlinetest.Wait(ctx, delay-1) }
	try(t, 1, script, func(t *trial) {
		if err := t.read(t.Context()); err != nil {
			t.Error(err)
		}
		t.expect(1, delay-1)
	})
}

func TestSlowRead(t *testing.T) {
	var lost error
	script := func(ctx context.Context, n int) error {
		if n == 1 {
			lost = onlinetest.Wait(ctx, time.Hour)
			return lost
		}
		return onlinetest.Wait(ctx, time.Millisecond)
	}
	try(t, 1, script, func(t *trial) {
		if err := t.read(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		t.expect(2, delay+time.Millisecond)
		if !errors.Is(lost, context.Canceled) {
			t.Errorf("the attempt that lost: %v", lost)
		}
	})
}

func TestFirstAttemptWins(t *testing.T) {
	script := func(ctx context.Context, n int) error { return onlinetest.Wait(ctx, time.Duration(n)*(delay+1)) }
	try(t, 1, script, func(t *trial) {
		if err := t.read(t.Context()); err != nil {
			t.Error(err)
		}
		t.expect(2, delay+1)
	})
}

var errFirst, errSecond = errors.New("first"), errors.New("second")

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		first, second time.Duration // of the attempts
		errs          []error
		want          error
		attempts      int64
		took          time.Duration
	}{
		"before the delay":  {1, 0, []error{errFirst}, errFirst, 1, 1},
		"second is awaited": {delay + 1, 5, []error{errFirst, nil}, nil, 2, delay + 5},
		"first is awaited":  {delay + 5, 1, []error{nil, errSecond}, nil, 2, delay + 5},
		"both, first last":  {delay + 5, 1, []error{errFirst, errSecond}, errFirst, 2, delay + 5},
		"both, second last": {delay + 1, 5, []error{errFirst, errSecond}, errSecond, 2, delay + 5},
	} {
		script := func(ctx context.Context, n int) error {
			if err := onlinetest.Wait(ctx, []time.Duration{c.first, c.second}[n-1]); err != nil {
				return err
			}
			return c.errs[n-1]
		}
		t.Run(name, func(t *testing.T) {
			try(t, 1, script, func(t *trial) {
				if err := t.read(t.Context()); !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
				t.expect(c.attempts, c.took)
			})
		})
	}
}

// TestContext: a read returns with its context, though the store takes no notice of it.
func TestContext(t *testing.T) {
	script := func(context.Context, int) error { time.Sleep(time.Hour); return nil }
	try(t, 1, script, func(t *trial) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*delay)
		defer cancel()
		if err := t.read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		t.expect(2, 2*delay)
		if err := t.store.Close(); err != nil {
			t.Error(err)
		}
		t.expect(2, delay+time.Hour) // Close waited for the second attempt
		if err := t.read(t.Context()); !errors.Is(err, feasterr.ErrClosed) {
			t.Errorf("read after Close: %v", err)
		}
	})
}

func TestBudget(t *testing.T) {
	script := func(ctx context.Context, _ int) error { return onlinetest.Wait(ctx, time.Second) }
	try(t, 0.25, script, func(t *trial) {
		for n := range int64(41) {
			before := t.inner.Reads.Load()
			if err := t.read(t.Context()); err != nil {
				t.Error(err)
			}
			// Ten are saved from the beginning, and every read adds a quarter. The first one does not, as no more is saved.
			want := int64(1)
			if n < 13 || n%4 == 0 {
				want = 2
			}
			if got := t.inner.Reads.Load() - before; got != want {
				t.Errorf("read %d: %d attempts, want %d", n+1, got, want)
			}
		}
		if got := t.inner.Reads.Load() - 41; got > 10+41/4 {
			t.Errorf("%d second attempts", got)
		}
	})
}

// slowDeleter takes longer to delete than a read may.
type slowDeleter struct {
	*memory.Store
	deletes atomic.Int64
}

func (s *slowDeleter) Delete(ctx context.Context, t *online.Table, keys [][]byte) error {
	s.deletes.Add(1)
	if err := onlinetest.Wait(ctx, 10*delay); err != nil {
		return err
	}
	return s.Store.Delete(ctx, t, keys)
}

// TestDelete: the wrapped store deletes, if it can, and is asked once.
func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &slowDeleter{Store: memory.New()}
		s := mustNew(t, inner, Options{Delay: delay, Budget: 1})
		d, ok := online.As[online.Deleter](s)
		if !ok {
			t.Fatal("the ability is not found")
		}
		start := time.Now()
		if err := d.Delete(t.Context(), &online.Table{Project: "p", View: "v"}, [][]byte{{1}}); err != nil {
			t.Error(err)
		}
		if n, took := inner.deletes.Load(), time.Since(start); n != 1 || took != 10*delay {
			t.Errorf("%d calls in %v, want 1 in %v", n, took, 10*delay)
		}
	})
	if _, ok := online.As[online.Deleter](mustNew(t, struct{ online.Store }{memory.New()}, Options{Delay: 1, Budget: 1})); ok {
		t.Error("a store that cannot delete does when it is wrapped")
	}
}

func TestNew(t *testing.T) {
	inner := memory.New()
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Budget: 1}, "hedge: Delay must be positive, is 0s"},
		{Options{Delay: 1}, "hedge: Budget must be above 0 and at most 1, is 0"},
		{Options{Delay: 1, Budget: 1.5}, "hedge: Budget must be above 0 and at most 1, is 1.5"},
	} {
		if _, err := New(inner, c.o); !errors.Is(err, feasterr.ErrInvalid) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %s", c.o, err, c.want)
		}
	}
	s := mustNew(t, inner, Options{Delay: 1, Budget: 1})
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
}
