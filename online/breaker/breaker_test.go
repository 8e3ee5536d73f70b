package breaker

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

func mustNew(t testing.TB, store online.Store, o Options) *Store {
	t.Helper()
	s, err := New(store, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var harness = onlinetest.Harness{Open: func(t testing.TB, _ string) online.Store {
	return mustNew(t, memory.New(), Options{Failures: 3, Ratio: 0.5, Window: time.Minute, MinReads: 10, OpenFor: time.Hour})
}}

func TestConformance(t *testing.T) { onlinetest.Run(t, harness) }

// BenchmarkRead is to be compared with that of the memory store.
func BenchmarkRead(b *testing.B) { onlinetest.Bench(b, harness) }

var stats = &online.Table{
	Project: "p", View: "stats", JoinKeys: []string{"driver_id"}, Features: []types.Field{{Name: "n", Type: types.Int64}},
}

const openFor = 10 * time.Second

var errDown = feasterr.Unavailable("connection refused")

// trial is a store with a breaker, and what the reads of the store come to.
type trial struct {
	*testing.T
	inner *onlinetest.Scripted
	store *Store
	read  func(ctx context.Context) error
	next  error // of the store's next reads
	takes time.Duration
}

// try runs a test in a bubble with a clock of its own.
func try(t *testing.T, o Options, test func(*trial)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tr := &trial{T: t}
		tr.inner = &onlinetest.Scripted{Store: memory.New()}
		tr.inner.Script = func(ctx context.Context, _ int, read func() error, _ *online.Result) error {
			next := tr.next
			if err := onlinetest.Wait(ctx, tr.takes); err != nil {
				return err
			}
			if next != nil {
				return next
			}
			return read()
		}
		o.OpenFor = openFor
		tr.store = mustNew(t, tr.inner, o)
		plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(stats)})
		r, err := tr.store.Prepare(plan)
		if err != nil {
			t.Fatal(err)
		}
		tr.read = func(ctx context.Context) error {
			return r.Read(ctx, online.NewKeys(onlinetest.KeysOf(onlinetest.Key("driver_id", int64(1)))), online.NewResult(plan, 1))
		}
		test(tr)
	})
}

// passes reads n times, each of which has to reach the store and come to its error.
func (t *trial) passes(n int, err error) {
	t.Helper()
	t.next = err
	for range n {
		before := t.inner.Reads.Load()
		if got := t.read(t.Context()); !errors.Is(got, err) {
			t.Errorf("read: %v, want %v", got, err)
		}
		if t.inner.Reads.Load() != before+1 {
			t.Error("the read did not reach the store")
		}
	}
}

// refused reads, and expects that the store is not asked.
func (t *trial) refused(says string) {
	t.Helper()
	before, start := t.inner.Reads.Load(), time.Now()
	err := t.read(t.Context())
	if !errors.Is(err, feasterr.ErrUnavailable) || !feasterr.Retryable(err) || !strings.Contains(err.Error(), says) {
		t.Errorf("read: %v, want an ErrUnavailable with %q", err, says)
	}
	if t.inner.Reads.Load() != before || time.Since(start) != 0 {
		t.Error("the read reached the store")
	}
}

func (t *trial) state(want State) {
	t.Helper()
	if got := t.store.State(); got != want {
		t.Errorf("the breaker is %v, want %v", got, want)
	}
}

func TestFailuresInARow(t *testing.T) {
	try(t, Options{Failures: 3}, func(t *trial) {
		t.passes(2, errDown)
		t.passes(1, nil)
		t.passes(2, errDown)
		t.state(Closed)
		t.passes(1, errDown)
		t.state(Open)
		t.refused("memory is left alone after failures, and tried again at 2000-01-01T00:00:10Z, in 10s; the last failure: connection refused")
		time.Sleep(4 * time.Second)
		t.refused("at 2000-01-01T00:00:10Z, in 6s;")
		if _, err := t.store.Write(t.Context(), onlinetest.Batch(stats)); err != nil {
			t.Errorf("a write while the breaker is open: %v", err)
		}
		time.Sleep(6*time.Second + 1)
		t.state(HalfOpen)
		t.passes(1, errDown)
		t.refused("at 2000-01-01T00:00:20.000000001Z, in 10s;")
		time.Sleep(openFor + 1)
		t.passes(1, nil)
		t.state(Closed)
		t.passes(2, errDown) // all is forgotten
		t.state(Closed)
	})
}

func TestHalfOpen(t *testing.T) {
	try(t, Options{Failures: 1}, func(t *trial) {
		t.passes(1, errDown)
		time.Sleep(openFor + 1)
		// While one read is on its way, others are refused. It is cancelled, which says nothing of the store.
		t.takes, t.next = time.Minute, nil
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- t.read(ctx) }()
		synctest.Wait()
		t.refused("memory is left alone after failures, and just being tried again; the last failure: connection refused")
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled read: %v", err)
		}
		t.state(HalfOpen)
		t.takes = 0
		t.passes(1, nil)
		t.state(Closed)
	})
}

func TestRatio(t *testing.T) {
	try(t, Options{Failures: 100, Ratio: 0.5, Window: 10 * time.Second, MinReads: 4}, func(t *trial) {
		t.passes(3, errDown) // too few
		time.Sleep(12 * time.Second)
		t.passes(2, nil)
		t.passes(1, errDown) // of three, with those that were forgotten half
		t.state(Closed)
		t.passes(1, errDown)
		t.state(Open)
		time.Sleep(openFor + 1)
		t.passes(1, nil)
		for range 10 { // a third
			t.passes(2, nil)
			t.passes(1, errDown)
			time.Sleep(time.Second)
		}
		t.state(Closed)
	})
}

// TestWhatCounts reads once with each error.
func TestWhatCounts(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		count bool
	}{
		{"unavailable", errDown, true},
		{"in a store error", &feasterr.StoreError{Store: "redis", Op: "read", Err: errDown}, true},
		{"deadline", context.DeadlineExceeded, true},
		{"cancelled", context.Canceled, false},
		{"malformed value", feasterr.Invalid("malformed"), false},
		{"denied", feasterr.ErrDenied, false},
		{"closed", feasterr.ErrClosed, false},
		{"what we do not know", errors.New("ERR no such command"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			try(t, Options{Failures: 1}, func(t *trial) {
				t.passes(1, c.err)
				want := Closed
				if c.count {
					want = Open
				}
				t.state(want)
			})
		})
	}
	try(t, Options{Failures: 1}, func(t *trial) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.Sleep(2 * time.Second)
		if err := t.read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
		t.state(Closed) // the deadline had passed before the store was asked
		t.takes = time.Minute
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := t.read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
		t.state(Open)
	})
}

func TestNew(t *testing.T) {
	inner := memory.New()
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{OpenFor: 1}, "breaker: Failures must be positive, is 0"},
		{Options{Failures: 1}, "breaker: OpenFor must be positive, is 0s"},
		{Options{Failures: 1, OpenFor: 1, Ratio: 2, Window: 1, MinReads: 1}, "breaker: Ratio must be 0 to 1, is 2"},
		{
			Options{Failures: 1, OpenFor: 1, Ratio: 1},
			"breaker: Window must be positive where there is a Ratio, is 0s\nbreaker: MinReads must be positive where there is a Ratio, is 0",
		},
	} {
		if _, err := New(inner, c.o); !errors.Is(err, feasterr.ErrInvalid) || err.Error() != c.want {
			t.Errorf("%+v: error %v, want %s", c.o, err, c.want)
		}
	}
	s := mustNew(t, inner, Options{Failures: 1, OpenFor: 1})
	if s.Info() != inner.Info() {
		t.Errorf("Info: %+v", s.Info())
	}
	if got, ok := online.As[*memory.Store](s); !ok || got != inner {
		t.Error("the wrapped store is not found")
	}
	for want, state := range map[string]State{"closed": Closed, "open": Open, "half open": HalfOpen} {
		if state.String() != want {
			t.Errorf("%d is %q", state, state)
		}
	}
}

// TestAllocs: a read that passes allocates what the breaker calls, and nothing else.
func TestAllocs(t *testing.T) {
	s := mustNew(t, memory.New(), Options{Failures: 3, Ratio: 0.5, Window: time.Minute, MinReads: 10, OpenFor: time.Hour})
	plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(stats)})
	r, err := s.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	keys := online.NewKeys(onlinetest.KeysOf(onlinetest.Key("driver_id", int64(1))))
	res := online.NewResult(plan, 1)
	if n := testing.AllocsPerRun(100, func() {
		if err := r.Read(t.Context(), keys, res); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}
