package cache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/breaker"
	"github.com/feastgo/feast/online/cache"
	"github.com/feastgo/feast/online/fallback"
	"github.com/feastgo/feast/online/hedge"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/online/redis"
	"github.com/feastgo/feast/types"
)

// The wrappers as programs use them. An error is of the test, and ends it.

func must[S any](t testing.TB) func(s S, err error) S {
	return func(s S, err error) S {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func cached(t testing.TB, s online.Store) online.Store {
	return must[*cache.Store](t)(cache.New(s, cache.Options{MaxAge: time.Hour, MaxBytes: 1 << 20}))
}

func hedged(t testing.TB, s online.Store) online.Store {
	return must[*hedge.Store](t)(hedge.New(s, hedge.Options{Delay: time.Millisecond, Budget: 1}))
}

func guarded(t testing.TB, s online.Store) online.Store {
	return must[*breaker.Store](t)(breaker.New(s, breaker.Options{Failures: 5, OpenFor: time.Second}))
}

func backed(t testing.TB, s, next online.Store) online.Store {
	return must[*fallback.Store](t)(fallback.New(fallback.Options{Timeout: time.Minute}, s, next))
}

// openRedis returns a store at addr that gives up soon.
func openRedis(t testing.TB, addr string) online.Store {
	client := goredis.NewClient(&goredis.Options{
		Addr: addr, MaxRetries: -1, DialTimeout: time.Second, DialerRetries: 1, ContextTimeoutEnabled: true,
	})
	s, err := redis.New(client, redis.Options{KeyVersion: 3})
	if err != nil {
		t.Fatal(err)
	}
	return closing{s, client}
}

// closing closes the client with its store.
type closing struct {
	online.Store
	client *goredis.Client
}

func (s closing) Unwrap() online.Store { return s.Store }

func (s closing) Close() error {
	err := s.Store.Close()
	if cerr := s.client.Close(); cerr != nil && cerr != goredis.ErrClosed { //nolint:errorlint // closed twice
		err = cerr
	}
	return err
}

// TestWrappers: a store answers as before, however it is wrapped.
func TestWrappers(t *testing.T) {
	for _, w := range []struct {
		name  string
		wrap  func(testing.TB, online.Store) online.Store
		redis bool // on a real server, else in memory
	}{
		{"cache", cached, true},
		{"fallback", func(t testing.TB, s online.Store) online.Store { return backed(t, s, s) }, true},
		{"cache of hedge of breaker", func(t testing.TB, s online.Store) online.Store { return cached(t, hedged(t, guarded(t, s))) }, true},
		{"hedge of cache", func(t testing.TB, s online.Store) online.Store { return hedged(t, cached(t, s)) }, false},
		{"fallback of breaker of cache", func(t testing.TB, s online.Store) online.Store {
			return backed(t, guarded(t, cached(t, s)), s)
		}, false},
	} {
		t.Run(w.name, func(t *testing.T) {
			if w.redis {
				addr := testserver.Redis(t)
				onlinetest.Run(t, onlinetest.Harness{
					EqualSkipped: true,
					Open:         func(t testing.TB, _ string) online.Store { return w.wrap(t, openRedis(t, addr)) },
				})
				return
			}
			onlinetest.Run(t, onlinetest.Harness{Open: func(t testing.TB, _ string) online.Store { return w.wrap(t, memory.New()) }})
		})
	}
}

// wrapped is a table of which a store has one row.
type wrapped struct {
	*testing.T
	table *online.Table
	key   []byte
}

func newWrapped(t *testing.T) *wrapped {
	return &wrapped{
		T: t, key: onlinetest.Key("driver_id", int64(1)),
		table: &online.Table{
			Project: "wrapped", View: "stats", JoinKeys: []string{"driver_id"}, Features: []types.Field{{Name: "s", Type: types.String}},
		},
	}
}

// put stores a text.
func (w *wrapped) put(s online.Store, text string) {
	w.Helper()
	row := onlinetest.Row{Key: w.key, Event: types.Timestamp{Seconds: 1}, Values: []any{text}}
	if _, err := s.Write(w.Context(), onlinetest.Batch(w.table, row)); err != nil {
		w.Fatal(err)
	}
}

// prepare returns a function that reads the text.
func (w *wrapped) prepare(s online.Store) func() (any, error) {
	table := onlinetest.Pick(w.table)
	plan := online.NewReadPlan([]*online.Table{table})
	r, err := s.Prepare(plan)
	if err != nil {
		w.Fatal(err)
	}
	return func() (any, error) {
		ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
		defer cancel()
		res := online.NewResult(plan, 1)
		err := r.Read(ctx, online.NewKeys(onlinetest.KeysOf(w.key)), res)
		if err == nil {
			err = res.Err(table)
		}
		return res.Column(table, 0).Any(0), err
	}
}

// until reads until the answer is want; all answers before it have to be one of those allowed.
func (w *wrapped) until(read func() (any, error), want string, allowed ...any) {
	w.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		got, err := read()
		if err != nil {
			w.Fatalf("read: %v", err)
		}
		if got == want {
			return
		}
		ok := false
		for _, a := range allowed {
			ok = ok || a == got
		}
		if !ok || time.Now().After(deadline) {
			w.Fatalf("read %v, want %v", got, want)
		}
	}
}

// TestRedisKilled kills a Redis server under readers, and starts it again. Every read is answered, by the replica while
// the server is gone, and by the server soon after it is back.
func TestRedisKilled(t *testing.T) {
	w := newWrapped(t)
	server := testserver.NewRedis(t)
	primary := openRedis(t, server.Addr)
	circuit := must[*breaker.Store](t)(breaker.New(primary, breaker.Options{Failures: 3, OpenFor: 50 * time.Millisecond}))
	replica := memory.New()
	s := must[*fallback.Store](t)(fallback.New(fallback.Options{Timeout: 5 * time.Second}, circuit, replica))
	defer func() { _ = s.Close() }()
	w.put(primary, "server")
	w.put(replica, "replica")
	read := w.prepare(s)
	w.until(read, "server")

	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				// Redis is empty when it is started.
				if got, err := read(); err != nil || got != "server" && got != "replica" && got != "server again" && got != nil {
					t.Errorf("read %v, %v", got, err)
					return
				}
			}
		})
	}
	server.Kill()
	w.until(read, "replica", "server")
	for circuit.State() != breaker.Open {
		w.until(read, "replica")
	}
	before := s.Stats()
	if got := before[0]; got.Failures == 0 || got.Failures > got.Reads {
		t.Errorf("the server: %+v", got)
	}
	if _, err := s.Write(t.Context(), onlinetest.Batch(w.table)); err != nil {
		t.Errorf("a write of no rows: %v", err)
	}
	server.Start()
	w.put(primary, "server again")
	stop()
	readers.Wait()
	w.until(read, "server again", "replica")
	if circuit.State() != breaker.Closed {
		t.Errorf("the breaker is %v", circuit.State())
	}
}

// TestRedisHangs: of a server that hangs, reads do not wait longer than they may, and leave it alone soon.
func TestRedisHangs(t *testing.T) {
	w := newWrapped(t)
	gate := testserver.NewGate(t, testserver.NewRedis(t).Addr)
	primary := openRedis(t, gate.Addr)
	circuit := must[*breaker.Store](t)(breaker.New(primary, breaker.Options{Failures: 3, OpenFor: 20 * time.Millisecond}))
	replica := memory.New()
	s := must[*fallback.Store](t)(fallback.New(fallback.Options{Timeout: 200 * time.Millisecond}, circuit, replica))
	defer func() { _ = s.Close() }()
	w.put(primary, "server")
	w.put(replica, "replica")
	read := w.prepare(s)
	w.until(read, "server")
	for range 2 {
		gate.Stall()
		for circuit.State() != breaker.Open {
			w.until(read, "replica")
		}
		gate.Open()
		w.until(read, "server", "replica")
		gate.Shut()
		for circuit.State() != breaker.Open {
			w.until(read, "replica")
		}
		gate.Open()
		w.until(read, "server", "replica")
	}
}

// TestDeadlinesBehindCache: a breaker behind a cache, whose fetches have no deadline of their own, sees that those of
// readers run out.
func TestDeadlinesBehindCache(t *testing.T) {
	w := newWrapped(t)
	gate := testserver.NewGate(t, testserver.NewRedis(t).Addr)
	circuit := must[*breaker.Store](t)(breaker.New(openRedis(t, gate.Addr), breaker.Options{Failures: 2, OpenFor: time.Hour}))
	s := cached(t, hedged(t, circuit))
	defer func() { _ = s.Close() }()
	plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(w.table)})
	r := must[online.Reader](t)(s.Prepare(plan))
	gate.Stall()
	read := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		return r.Read(ctx, online.NewKeys(onlinetest.KeysOf(w.key)), online.NewResult(plan, 1))
	}
	for deadline := time.Now().Add(20 * time.Second); circuit.State() != breaker.Open; {
		if err := read(); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, feasterr.ErrUnavailable) {
			t.Fatalf("read: %v", err)
		}
		if time.Now().After(deadline) {
			t.Fatal("the breaker stays closed")
		}
	}
	if err := read(); !errors.Is(err, feasterr.ErrUnavailable) {
		t.Errorf("read while the breaker is open: %v", err)
	}
}

// TestCacheWhileRedisIsGone: what is cached is answered for as long as it may be, what is not fails, and that is not kept.
func TestCacheWhileRedisIsGone(t *testing.T) {
	w := newWrapped(t)
	gate := testserver.NewGate(t, testserver.NewRedis(t).Addr)
	s := cached(t, openRedis(t, gate.Addr))
	defer func() { _ = s.Close() }()
	w.put(s, "server")
	read := w.prepare(s)
	w.until(read, "server")
	gate.Shut()
	w.until(read, "server")
	other := *w
	other.key = onlinetest.Key("driver_id", int64(2))
	missing := other.prepare(s)
	for range 2 {
		if got, err := missing(); err == nil {
			t.Errorf("a row that is not cached: %v", got)
		}
	}
	gate.Open()
	if got, err := missing(); got != nil || err != nil {
		t.Errorf("after the failures: %v, %v", got, err)
	}
}
