package feast_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/breaker"
	"github.com/feastgo/feast/online/cache"
	"github.com/feastgo/feast/online/fallback"
	"github.com/feastgo/feast/online/hedge"
	"github.com/feastgo/feast/online/memory"
)

// wrapped returns a store as it is, and in every wrapper. What is wrong with the options ends the test.
func wrapped(t testing.TB, inner online.Store) (names []string, stores map[string]online.Store) {
	stores = map[string]online.Store{}
	add := func(name string, s online.Store, err error) online.Store {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		names, stores[name] = append(names, name), s
		return s
	}
	cached := func(s online.Store) (online.Store, error) {
		return cache.New(s, cache.Options{MaxAge: time.Hour, MaxBytes: 1 << 20})
	}
	hedged := func(s online.Store) (online.Store, error) {
		return hedge.New(s, hedge.Options{Delay: time.Hour, Budget: 0.05})
	}
	guarded := func(s online.Store) (online.Store, error) {
		return breaker.New(s, breaker.Options{Failures: 5, Ratio: 0.5, Window: time.Minute, MinReads: 20, OpenFor: time.Second})
	}
	add("bare", inner, nil)
	s, err := cached(inner)
	add("cache", s, err)
	s, err = cache.New(inner, cache.Options{MaxAge: time.Nanosecond, MaxBytes: 1 << 20})
	add("cache without hits", s, err)
	s, err = guarded(inner)
	circuit := add("breaker", s, err)
	s, err = fallback.New(fallback.Options{}, inner, inner)
	add("fallback", s, err)
	s, err = hedged(inner)
	add("hedge", s, err)
	s, err = hedged(circuit)
	s, err = cached(add("hedge of breaker", s, err))
	add("cache of hedge of breaker", s, err)
	return names, stores
}

// TestWrappersAgree makes random requests of stores that are wrapped in one way or another, twice, so that a cache has the
// rows the second time. All have to answer alike.
func TestWrappersAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 7))
	objects := []feast.Object{driver}
	var refs []string
	var views []*feast.FeatureView
	for i := range 4 {
		v := driverView(fmt.Sprint("v", i), time.Duration(i)*time.Hour, // v0 does not expire
			feast.Field{Name: "n", Type: feast.Int64}, feast.Field{Name: "s", Type: feast.String}, feast.Field{Name: "f", Type: feast.Float32})
		views, objects = append(views, v), append(objects, v)
		for _, f := range v.Schema {
			refs = append(refs, v.Name+":"+f.Name)
		}
	}
	inner := memory.New()
	for _, v := range views {
		for id := range 12 {
			values := map[string]any{}
			for name, value := range map[string]any{"n": int64(id) << 40, "s": fmt.Sprint("driver ", id), "f": float32(id) / 3} {
				switch random.IntN(4) {
				case 0:
				case 1:
					values[name] = nil
				default:
					values[name] = value
				}
			}
			if len(values) > 0 {
				write(t, inner, v, driverKey, row{[]any{id}, t0.Add(-time.Duration(random.IntN(240)) * time.Minute), values})
			}
		}
	}
	now := t0
	names, stores := wrapped(t, inner)
	byName := map[string]*feast.FeatureStore{}
	for _, name := range names {
		byName[name], _, _ = newStore(t, objects, feast.WithOnlineStore(stores[name]), feast.WithClock(func() time.Time { return now }))
	}
	for n := range 60 {
		now = now.Add(time.Duration(random.IntN(10)) * time.Minute) // rows expire in the cache, too
		r := feast.OnlineRequest{FullFeatureNames: true, Expired: feast.Expired(random.IntN(2))}
		for _, i := range random.Perm(len(refs))[:1+random.IntN(len(refs))] {
			r.Features = append(r.Features, refs[i])
		}
		ids := make([]int64, 1+random.IntN(20))
		for i := range ids {
			ids[i] = random.Int64N(15) // some twice, some absent
		}
		r.Entities = feast.Columns{"driver_id": ids}
		var want string
		for range 2 {
			for _, name := range names {
				resp, err := byName[name].GetOnlineFeatures(ctx, r)
				if err != nil {
					t.Fatalf("request %d, %s: %v", n, name, err)
				}
				got, err := json.Marshal(resp)
				if err != nil {
					t.Fatal(err)
				}
				if want == "" {
					want = string(got)
				} else if string(got) != want {
					t.Fatalf("request %d, %s: got  %s\nwant %s", n, name, got, want)
				}
			}
		}
	}
	if s := stores["cache"].(*cache.Store).Stats(); s.Hits < 2*s.Misses || s.Misses == 0 {
		t.Errorf("the cache: %+v", s)
	}
}

// TestCachedAllocates: a request that is answered by the cache allocates nothing.
func TestCachedAllocates(t *testing.T) {
	get, _ := cachedRequest(t, "cache", 1)
	if n := testing.AllocsPerRun(100, func() {
		if err := get(); err != nil {
			t.Fatal(err)
		}
	}); n > pooled {
		t.Errorf("%v allocations", n)
	}
}

// cachedRequest returns a request of some rows of 50 int64 features from a store in memory in a wrapper.
func cachedRequest(t testing.TB, name string, rows int) (get func() error, out *feast.OnlineResponse) {
	inner := memory.New()
	fields, values := wide(50)
	view := driverView("wide", 0, fields...)
	ids := make([]int64, rows)
	for i := range ids {
		ids[i] = int64(i)
		write(t, inner, view, driverKey, row{[]any{int64(i)}, t0, values})
	}
	_, stores := wrapped(t, inner)
	fs, _, _ := newStore(t, []feast.Object{driver, view}, feast.WithOnlineStore(stores[name]))
	var refs []string
	for _, f := range fields {
		refs = append(refs, "wide:"+f.Name)
	}
	q, err := fs.PrepareOnline(t.Context(), feast.OnlineQuery{Features: refs})
	if err != nil {
		t.Fatal(err)
	}
	var batch feast.Batch
	out = new(feast.OnlineResponse)
	return func() error {
		batch.Reset()
		feast.SetColumn(&batch, "driver_id", ids)
		return q.GetInto(t.Context(), &batch, out)
	}, out
}

// BenchmarkWrapped reads 50 int64 features of 1 and of 100 entities from the store in memory, as it is and wrapped. The
// floor is that of BenchmarkOnline.
func BenchmarkWrapped(b *testing.B) {
	byHand := decodeByHand()
	names, _ := wrapped(b, memory.New())
	for _, rows := range []int{1, 100} {
		floor := measure(b, byHand) * float64(rows)
		for _, name := range names {
			b.Run(fmt.Sprintf("%dx50/%s", rows, name), func(b *testing.B) {
				get, out := cachedRequest(b, name, rows)
				loop(b, floor, get)
				if last := out.At(50); last.Any(rows-1) != int64(49)<<33+7 {
					b.Fatalf("read %v", last.Any(rows-1))
				}
			})
		}
	}
}
