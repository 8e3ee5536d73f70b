package hybrid

import (
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness spreads views over three stores by their names.
var harness = onlinetest.Harness{
	Open: func(t testing.TB, _ string) online.Store {
		return mustNew(t, map[string]online.Store{"a": memory.New(), "b": memory.New(), "c": memory.New()})
	},
	Tags: func(view string) map[string]string {
		return map[string]string{"tribe": string("ABc"[crc32.ChecksumIEEE([]byte(view))%3])}
	},
}

func TestConformance(t *testing.T) { onlinetest.Run(t, harness) }

func BenchmarkRead(b *testing.B) { onlinetest.Bench(b, harness) }

func mustNew(t testing.TB, stores map[string]online.Store) *Store {
	t.Helper()
	s, err := New("tribe", stores)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fake is a memory store that notes what it is asked, and reads as it is told.
type fake struct {
	*memory.Store
	info  online.Info
	calls []string
	read  func(ctx context.Context) error
}

func newFake() *fake { return &fake{Store: memory.New()} }

func (f *fake) note(call string, tables ...*online.Table) {
	for _, t := range tables {
		call += " " + t.View
	}
	f.calls = append(f.calls, call)
}

func (f *fake) Info() online.Info { return f.info }

func (f *fake) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	r, err := f.Store.Prepare(plan)
	return &fakeReader{f, r}, err
}

func (f *fake) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	f.note("write", b.Table)
	return f.Store.Write(ctx, b)
}

func (f *fake) Delete(ctx context.Context, t *online.Table, keys [][]byte) error {
	f.note("delete", t)
	return f.Store.Delete(ctx, t, keys)
}

func (f *fake) Update(ctx context.Context, keep, drop []*online.Table) error {
	f.note("keep", keep...)
	f.note("drop", drop...)
	return f.Store.Update(ctx, keep, drop)
}

func (f *fake) Teardown(ctx context.Context, tables []*online.Table) error {
	f.note("teardown", tables...)
	return f.Store.Teardown(ctx, tables)
}

func (f *fake) Close() error {
	f.note("close")
	return f.Store.Close()
}

type fakeReader struct {
	f *fake
	online.Reader
}

func (r *fakeReader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	if r.f.read != nil {
		if err := r.f.read(ctx); err != nil {
			return err
		}
	}
	return r.Reader.Read(ctx, keys, dst)
}

// view is a table with one feature, in the store of a name.
func view(name, store string) *online.Table {
	t := &online.Table{
		Project: "p", View: name, JoinKeys: []string{"driver_id"}, Features: []types.Field{{Name: "f", Type: types.Int64}},
	}
	if store != "" {
		t.Tags = map[string]string{"tribe": store}
	}
	return t
}

var key = onlinetest.Key("driver_id", int64(1))

// write stores a value.
func write(t testing.TB, s online.Store, table *online.Table, v int64) {
	t.Helper()
	row := onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: 1}, Values: []any{v}}
	if _, err := s.Write(t.Context(), onlinetest.Batch(table, row)); err != nil {
		t.Fatal(err)
	}
}

func TestGoldenConfig(t *testing.T) {
	var golden struct {
		Cases []struct{ ID, YAML string }
	}
	b, err := os.ReadFile("testdata/cases.json")
	if err == nil {
		err = json.Unmarshal(b, &golden)
	}
	if err != nil || len(golden.Cases) != 1 || golden.Cases[0].ID != "online_hybrid" {
		t.Fatalf("%v, %v", golden, err)
	}
	opened, s, err := openYAML(t, golden.Cases[0].YAML, 3)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{`redis {"connection_string":"localhost:6379"}`, `sqlite {"path":"x.db"}`}; !slices.Equal(opened, want) {
		t.Errorf("opened %q, want %q", opened, want)
	}
	if tag := s.(*Store).tag; tag != "team" {
		t.Errorf("routing tag %q, want team", tag)
	}
}

// openYAML opens the online store of a configuration. It returns the stores that were opened for it, with their keys.
func openYAML(t *testing.T, text string, keyVersion int) (opened []string, _ online.Store, _ error) {
	t.Helper()
	cfg, err := config.Parse([]byte(text), "f.yaml", ".", nil)
	if err != nil {
		t.Fatal(err)
	}
	fakes := map[string]*fake{}
	env := online.Env{KeyVersion: keyVersion, Open: func(sub config.Section) (online.Store, error) {
		var conf struct {
			Keys map[string]any `yaml:",inline"`
		}
		if err := sub.Decode(&conf); err != nil {
			return nil, err
		}
		if conf.Keys["fail"] != nil {
			return nil, sub.Invalid("fail", "fails")
		}
		b, err := json.Marshal(conf.Keys)
		opened = append(opened, sub.Type()+" "+string(b))
		f := newFake()
		if v, ok := conf.Keys["key_version"].(int64); ok {
			f.info.KeyVersion = int(v)
		}
		fakes[sub.Type()] = f
		return f, err
	}}
	s, err := open(cfg.OnlineStore, env)
	for name, f := range fakes {
		if closed := slices.Contains(f.calls, "close"); closed != (err != nil) {
			t.Errorf("%s: closed %t, error %v", name, closed, err)
		}
	}
	return opened, s, err
}

func TestOpen(t *testing.T) {
	for name, c := range map[string]struct {
		stores     string
		keyVersion int
		opened     string
		names      string
		err        string
	}{
		"null": {stores: "null"},
		"class path": {
			stores: "[{type: feast.infra.online_stores.redis.RedisOnlineStore, conf: {a: 1}}, {type: SQLite, conf: {}}]",
			opened: `feast.infra.online_stores.redis.RedisOnlineStore {"a":1}; sqlite {}`, names: "redis sqlite",
		},
		"plug-in":   {stores: "[{type: acme.AcmeOnlineStore, conf: null}]", opened: "acme.AcmeOnlineStore {}", names: "acme.acmeonlinestore"},
		"no conf":   {stores: "[{type: sqlite}]", opened: "sqlite {}", names: "sqlite"},
		"the later": {stores: "[{type: redis, conf: {a: 1}}, {type: redis, conf: {a: 2}}]", opened: `redis {"a":2}`, names: "redis"},
		"no list": {
			stores: "", err: "f.yaml:4: online_store.online_stores: is required",
		},
		"no type": {
			stores: "[{conf: {}}]", err: "f.yaml:5: online_store.online_stores[0].type: is required",
		},
		"one fails": {
			stores: "[{type: redis, conf: {fail: 1}}, {type: sqlite, conf: {fail: 1}}, {type: mysql, conf: {}}]",
			opened: "mysql {}",
			err: "f.yaml:5: online_store.online_stores[0].conf.fail: fails\n" +
				"f.yaml:5: online_store.online_stores[1].conf.fail: fails",
		},
		"versions that agree": {
			stores: "[{type: redis, conf: {}}, {type: mysql, conf: {key_version: 3}}]", keyVersion: 3,
			opened: `mysql {"key_version":3}; redis {}`, names: "mysql redis",
		},
		"versions that do not agree": {
			stores: "[{type: redis, conf: {}}, {type: mysql, conf: {key_version: 3}}]", keyVersion: 2,
			opened: `mysql {"key_version":3}; redis {}`,
			err:    "hybrid: the stores need entity keys of one serialization version, but redis needs 2 and mysql needs 3",
		},
	} {
		yaml := "project: p\nregistry: r.db\nonline_store:\n  type: hybrid\n"
		if c.stores != "" {
			yaml += "  online_stores: " + c.stores + "\n"
		}
		opened, s, err := openYAML(t, yaml, c.keyVersion)
		if got := strings.Join(opened, "; "); got != c.opened {
			t.Errorf("%s: opened %q, want %q", name, got, c.opened)
		}
		if err != nil || c.err != "" {
			if !errors.Is(err, feasterr.ErrInvalid) || err.Error() != c.err {
				t.Errorf("%s: error %v, want %s", name, err, c.err)
			}
			continue
		}
		if got := strings.Join(s.(*Store).names, " "); got != c.names {
			t.Errorf("%s: stores %q, want %q", name, got, c.names)
		}
	}
	for _, name := range []string{"hybrid", "feast.infra.online_stores.hybrid_online_store.hybrid_online_store.HybridOnlineStore"} {
		if err := online.Linked(name); err != nil {
			t.Error(err)
		}
	}
}

func TestNew(t *testing.T) {
	with := func(infos ...online.Info) map[string]online.Store {
		stores := map[string]online.Store{}
		for i, info := range infos {
			f := newFake()
			f.info = info
			stores[string(rune('a'+i))] = f
		}
		return stores
	}
	for _, c := range []struct {
		tag    string
		stores map[string]online.Store
		info   online.Info
		err    string
	}{
		{tag: "t", info: online.Info{Name: "hybrid", Versioned: true}},
		{tag: "t", stores: with(online.Info{Versioned: true}, online.Info{Versioned: true}), info: online.Info{Name: "hybrid", Versioned: true}},
		{tag: "t", stores: with(online.Info{Versioned: true}, online.Info{}), info: online.Info{Name: "hybrid"}},
		{tag: "t", stores: with(online.Info{}, online.Info{KeyVersion: 3}, online.Info{KeyVersion: 3}), info: online.Info{Name: "hybrid", KeyVersion: 3}},
		{
			tag: "t", stores: with(online.Info{KeyVersion: 3}, online.Info{KeyVersion: 2}, online.Info{}),
			err: "hybrid: the stores need entity keys of one serialization version, but b needs 2 and a needs 3",
		},
		{tag: "t", stores: map[string]online.Store{"a": newFake(), "A": newFake()}, err: `hybrid: two stores are named "a"`},
		{err: "hybrid: the routing tag has no name"},
	} {
		s, err := New(c.tag, c.stores)
		if c.err != "" {
			if !errors.Is(err, feasterr.ErrInvalid) || err.Error() != c.err {
				t.Errorf("error %v, want %s", err, c.err)
			}
			continue
		}
		if err != nil || s.Info() != c.info {
			t.Errorf("%+v, %v, want %+v", s.Info(), err, c.info)
		}
	}
}

func TestRouting(t *testing.T) {
	a, b := newFake(), newFake()
	s := mustNew(t, map[string]online.Store{"a": a, "b": b})
	inA, inB, untagged, unknown := view("in_a", "A"), view("in_b", "b"), view("untagged", ""), view("unknown", "c")
	write(t, s, inA, 1)
	write(t, s, inB, 2)
	if err := s.Delete(t.Context(), inB, [][]byte{key}); err != nil {
		t.Error(err)
	}
	if err := s.Update(t.Context(), []*online.Table{inA, inB}, []*online.Table{view("old", "b")}); err != nil {
		t.Error(err)
	}
	if err := s.Update(t.Context(), nil, []*online.Table{view("older", "a")}); err != nil {
		t.Error(err)
	}
	if err := s.Teardown(t.Context(), []*online.Table{inB, untagged, unknown}); err != nil {
		t.Error(err)
	}

	const missing = `feature view "untagged" has no tag "tribe", which says in which store it is: one of a, b`
	const wrong = `feature view "unknown" is in no store: its tag "tribe" is "c", and there are a, b`
	_, prepare := s.Prepare(online.NewReadPlan([]*online.Table{view("x", "a"), view("untagged", "")}, []*online.Table{view("unknown", "c")}))
	_, writing := s.Write(t.Context(), &online.WriteBatch{Table: unknown})
	for _, c := range []struct {
		err  error
		want string
	}{
		{prepare, missing + "\n" + wrong},
		{writing, wrong},
		{s.Delete(t.Context(), unknown, [][]byte{key}), wrong},
		{s.Delete(t.Context(), untagged, [][]byte{key}), missing},
		{s.Update(t.Context(), []*online.Table{inA, unknown}, nil), wrong},
		{s.Update(t.Context(), []*online.Table{inA}, []*online.Table{untagged}), missing},
	} {
		if !errors.Is(c.err, feasterr.ErrInvalid) || c.err.Error() != c.want {
			t.Errorf("error %v, want %s", c.err, c.want)
		}
	}

	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	err := s.Ping(t.Context())
	if want := "a: ping: feast: use after Close\nb: ping: feast: use after Close"; !errors.Is(err, feasterr.ErrClosed) || err.Error() != want {
		t.Errorf("Ping after Close: %v, want %s", err, want)
	}
	if got, want := strings.Join(a.calls, ", "), "write in_a, keep in_a, drop, keep, drop older, teardown, close"; got != want {
		t.Errorf("a: %s, want %s", got, want)
	}
	if got, want := strings.Join(b.calls, ", "), "write in_b, delete in_b, keep in_b, drop old, teardown in_b, close"; got != want {
		t.Errorf("b: %s, want %s", got, want)
	}
}

// plain is a store without optional abilities.
type plain struct{ online.Store }

// wrapper is a store that leaves all to another one.
type wrapper struct{ plain }

func (w wrapper) Unwrap() online.Store { return w.Store }

// TestDelete: the view's store decides whether its rows can be deleted, through whatever wraps it.
func TestDelete(t *testing.T) {
	s := mustNew(t, map[string]online.Store{
		"can": memory.New(), "wraps": wrapper{plain{memory.New()}},
		"cannot": plain{memory.New()}, "wraps_none": wrapper{plain{plain{memory.New()}}},
	})
	d, ok := online.As[online.Deleter](wrapper{plain{s}})
	if !ok {
		t.Fatal("the store cannot delete")
	}
	for _, c := range []struct{ store, err string }{
		{"can", ""},
		{"Wraps", ""},
		{"cannot", `feature view "v": online store "cannot" cannot delete rows by entity key`},
		{"WRAPS_none", `feature view "v": online store "wraps_none" cannot delete rows by entity key`},
	} {
		table := view("v", c.store)
		write(t, s, table, 1)
		err := d.Delete(t.Context(), table, [][]byte{key})
		if c.err == "" && err != nil || c.err != "" && (!errors.Is(err, feasterr.ErrUnsupported) || err.Error() != c.err) {
			t.Errorf("%s: error %v, want %s", c.store, err, c.err)
		}
		read := onlinetest.Pick(table)
		res := onlinetest.Read(t, s, online.NewReadPlan([]*online.Table{read}), 1, online.NewKeys(onlinetest.KeysOf(key)))
		if got := res.Found(read, 0); got != (c.err != "") {
			t.Errorf("%s: the row is there: %t", c.store, got)
		}
	}
}

// reading is a hybrid store of two fakes with a view in each, and a read of both.
func reading(t *testing.T) (a, b *fake, inA, inB *online.Table, read func(context.Context) (*online.Result, error)) {
	t.Helper()
	a, b = newFake(), newFake()
	s := mustNew(t, map[string]online.Store{"a": a, "b": b})
	inA, inB = view("in_a", "a"), view("in_b", "b")
	write(t, s, inA, 1)
	write(t, s, inB, 2)
	plan := online.NewReadPlan([]*online.Table{inA, inB})
	r, err := s.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	return a, b, inA, inB, func(ctx context.Context) (*online.Result, error) {
		res := online.NewResult(plan, 1)
		return res, r.Read(ctx, online.NewKeys(onlinetest.KeysOf(key)), res)
	}
}

func TestConcurrentRead(t *testing.T) {
	a, b, inA, inB, read := reading(t)
	inStore := make(chan struct{})
	a.read = func(context.Context) error { inStore <- struct{}{}; return nil }
	b.read = func(context.Context) error { <-inStore; return nil }
	res, err := read(t.Context())
	if err != nil || res.Column(inA, 0).Any(0) != int64(1) || res.Column(inB, 0).Any(0) != int64(2) {
		t.Errorf("%v, %v, %v", res.Column(inA, 0).Any(0), res.Column(inB, 0).Any(0), err)
	}
}

func TestFailingStores(t *testing.T) {
	a, b, inA, inB, read := reading(t)
	broken := errors.New("broken")
	b.read = func(context.Context) error { return broken }
	res, err := read(t.Context())
	if err != nil || res.Column(inA, 0).Any(0) != int64(1) || res.Err(inA) != nil {
		t.Errorf("the other store: %v, %v, %v", res.Column(inA, 0).Any(0), res.Err(inA), err)
	}
	if err := res.Err(inB); !errors.Is(err, broken) || err.Error() != "b: read: broken" {
		t.Errorf("the failing store: %v", err)
	}
	a.read = b.read
	if _, err := read(t.Context()); !errors.Is(err, broken) || err.Error() != "a: read: broken\nb: read: broken" {
		t.Errorf("both: %v", err)
	}
	// A store's own name of an error stays.
	a.read = func(context.Context) error { return &feasterr.StoreError{Store: "redis", Op: "read", Err: broken} }
	if _, err := read(t.Context()); err == nil || err.Error() != "redis: read: broken\nb: read: broken" {
		t.Errorf("both: %v", err)
	}
}

func TestSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b, inA, inB, read := reading(t)
		b.read = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		res, err := read(ctx)
		if err != nil || res.Column(inA, 0).Any(0) != int64(1) || !errors.Is(res.Err(inB), context.DeadlineExceeded) {
			t.Errorf("%v, %v, %v", res.Column(inA, 0).Any(0), res.Err(inB), err)
		}
	})
}
