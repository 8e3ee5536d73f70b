package feast_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/registry"
	registrymemory "github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/telemetry"
)

// TestServiceGrows changes a service under a prepared query: what was promised stays where it was.
func TestServiceGrows(t *testing.T) {
	field := func(names ...string) (out []feast.Field) {
		for _, n := range names {
			out = append(out, feast.Field{Name: n, Type: feast.Int64})
		}
		return out
	}
	view := driverView("v", 0, field("a", "b", "c")...)
	other := &feast.FeatureView{
		Name: "other", Entities: []string{"customer"}, Schema: field("z"),
		EntityColumns: []feast.Field{{Name: "customer_id", Type: feast.String}},
	}
	customer := &feast.Entity{Name: "customer", JoinKey: "customer_id", ValueType: feast.String}
	service := func(projections ...feast.FeatureViewProjection) *feast.FeatureService {
		return &feast.FeatureService{Name: "s", Features: projections}
	}
	fs, store, backend := newStore(t, []feast.Object{driver, customer, view, other,
		service(feast.FeatureViewProjection{Name: "v", Features: field("a", "c")})})
	write(t, store, view, driverKey, row{[]any{1}, t0, map[string]any{"a": 1, "b": 2, "c": 3}})
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{FeatureService: "s"})
	if err != nil {
		t.Fatal(err)
	}
	var out feast.OnlineResponse
	for name, s := range map[string]*feast.FeatureService{
		"in the middle": service(feast.FeatureViewProjection{Name: "v", Features: field("a", "b", "c")}),
		"reordered":     service(feast.FeatureViewProjection{Name: "v", Features: field("c", "a")}),
		"another view":  service(feast.FeatureViewProjection{Name: "other", Features: field("z")}, feast.FeatureViewProjection{Name: "v", Features: field("a", "c", "b")}),
	} {
		put(t, backend, s)
		if err := fs.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		if err := q.GetInto(ctx, feast.Columns{"driver_id": []int64{1}}, &out); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		m, err := out.Float32Matrix(nil, 0)
		if err != nil || !slices.Equal(m, []float32{1, 3}) || out.At(q.Index("c")).Name() != "c" {
			t.Errorf("%s: matrix %v, %v", name, m, err)
		}
	}
	put(t, backend, service(feast.FeatureViewProjection{Name: "v", Features: field("b", "c")}))
	if err := fs.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	changed, ok := errors.AsType[*feast.SchemaChangedError](q.GetInto(ctx, feast.Columns{"driver_id": []int64{1}}, &out))
	if !ok || changed.Column != "a" {
		t.Errorf("without a: %v", changed)
	}
}

// TestKeysChange gives the view of a prepared query other join keys.
func TestKeysChange(t *testing.T) {
	customer := &feast.Entity{Name: "customer", JoinKey: "customer_id", ValueType: feast.Int64}
	view := driverView("v", 0, feast.Field{Name: "a", Type: feast.Int64})
	view.Entities = []string{"customer", "driver"}
	view.EntityColumns = append(view.EntityColumns, feast.Field{Name: "customer_id", Type: feast.Int64})
	fs, _, backend := newStore(t, []feast.Object{driver, customer, view})
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: []string{"v:a"}})
	if err != nil {
		t.Fatal(err)
	}
	keys := feast.Columns{"driver_id": []int64{1}, "customer_id": []int64{2}}
	var out feast.OnlineResponse
	if err := q.GetInto(ctx, keys, &out); err != nil {
		t.Fatal(err)
	}
	put(t, backend, driverView("v", 0, feast.Field{Name: "a", Type: feast.Int64}))
	if err := fs.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	err = q.GetInto(ctx, keys, &out)
	if _, ok := errors.AsType[*feast.SchemaChangedError](err); !ok || !strings.Contains(err.Error(), "needed customer_id, driver_id") {
		t.Errorf("error is %v", err)
	}
}

func TestEntityNameAndKey(t *testing.T) {
	fs := demo(t)
	var b feast.Batch
	feast.SetColumn(&b, "driver_id", []int64{1001})
	feast.SetColumn(&b, "driver", []int64{1002}) // the later counts
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats[:1], Entities: &b})
	if err != nil {
		t.Fatal(err)
	}
	if resp.At(0).Any(0) != int64(1002) || resp.At(1).Any(0) != float32(0.25) {
		t.Errorf("driver %v has %v", resp.At(0).Any(0), resp.At(1).Any(0))
	}
}

func TestZeroRowsNameTheKey(t *testing.T) {
	fs := demo(t)
	for name, f := range map[string]feast.Frame{
		"key":   feast.Columns{"driver_id": []int64{}},
		"other": feast.Columns{"aaa": []int64{}, "driver_id": []int64{}},
		"rows":  feast.Rows{},
	} {
		_, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats, Entities: f})
		re, ok := errors.AsType[*feast.RequestError](err)
		if !ok || re.Column != "driver_id" || !strings.Contains(err.Error(), `"driver_stats"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadKeyText(t *testing.T) {
	view := &feast.FeatureView{
		Name: "v", Entities: []string{"customer"}, Schema: []feast.Field{{Name: "a", Type: feast.Int64}},
		EntityColumns: []feast.Field{{Name: "customer_id", Type: feast.String}},
	}
	fs, _, _ := newStore(t, []feast.Object{&feast.Entity{Name: "customer", JoinKey: "customer_id", ValueType: feast.String}, view})
	_, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"v:a"}, Entities: feast.Columns{"customer_id": []string{"ok", "\xff"}}})
	if re, ok := errors.AsType[*feast.RequestError](err); !ok || re.Column != "customer_id" || re.Row != 1 {
		t.Errorf("error is %v", err)
	}
}

func TestPinnedServiceNeedsVersioning(t *testing.T) {
	view := driverView("v", 0, feast.Field{Name: "a", Type: feast.Int64})
	seven := 7
	service := &feast.FeatureService{Name: "s", Features: []feast.FeatureViewProjection{{Name: "v", Features: view.Schema, Version: &seven}}}
	fs, _, _ := newStore(t, []feast.Object{driver, view, service})
	_, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{FeatureService: "s", Entities: feast.Columns{"driver_id": []int64{1}}})
	if !errors.Is(err, feast.ErrInvalid) || !strings.Contains(err.Error(), "enable_online_feature_view_versioning") {
		t.Errorf("error is %v", err)
	}
}

func TestAllViewsFail(t *testing.T) {
	bad := driverView("bad", 0, feast.Field{Name: "b", Type: feast.Int64})
	fs, _, _ := newStore(t, []feast.Object{driver, bad}, feast.WithOnlineStore(&failing{memory.New(), "bad"}))
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"bad:b"}, Entities: feast.Columns{"driver_id": []int64{1}}})
	if resp != nil || err == nil || errors.Is(err, feast.ErrPartial) || !strings.Contains(err.Error(), "on fire") {
		t.Errorf("got %v, %v", resp, err)
	}
}

// TestHookOfRefusedRequest reports the request's own numbers.
func TestHookOfRefusedRequest(t *testing.T) {
	var reads []telemetry.OnlineRead
	fs := demo(t, feast.WithHooks(telemetry.Hooks{OnlineRead: func(_ context.Context, e telemetry.OnlineRead) { reads = append(reads, e) }}))
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: allStats})
	if err != nil {
		t.Fatal(err)
	}
	var out feast.OnlineResponse
	if err := q.GetInto(ctx, feast.Columns{"driver_id": []int64{1001, 1002, 1003}}, &out); err != nil {
		t.Fatal(err)
	}
	if err := q.GetInto(ctx, feast.Columns{"driver_id": []any{1001, nil}}, &out); err == nil {
		t.Fatal("a null key is taken")
	}
	if len(reads) != 2 || reads[0].Keys != 3 || reads[1].Rows != 2 || reads[1].Keys != 0 || reads[1].Err == nil {
		t.Errorf("reads are %+v", reads)
	}
}

// closable counts Close and can block Prepare.
type closable struct {
	online.Store
	closed chan struct{}
}

func (c *closable) Close() error {
	close(c.closed)
	return c.Store.Close()
}

// TestGivenStoreIsClosed closes a store that was never read.
func TestGivenStoreIsClosed(t *testing.T) {
	store := &closable{memory.New(), make(chan struct{})}
	fs, err := feast.New(ctx, config.Default(project), feast.WithRegistry(registrymemory.New()), feast.WithOnlineStore(store))
	if err != nil {
		t.Fatal(err)
	}
	if err := fs.Close(); err != nil {
		t.Fatal(err)
	}
	<-store.closed
}

// slowBackend answers a probe only when it is let.
type slowBackend struct {
	registry.Backend
	probed chan struct{}
	let    chan struct{}
}

func (s *slowBackend) Load(ctx context.Context, have registry.Token) (*registry.State, registry.Token, error) {
	if have != "" {
		s.probed <- struct{}{}
		<-s.let
	}
	return s.Backend.Load(ctx, have)
}

// TestWaitsEndWithTheirContext has one request refresh the registry slowly while another, impatient one waits for the same
// query.
func TestWaitsEndWithTheirContext(t *testing.T) {
	memory := registrymemory.New()
	put(t, memory, driver)
	slow := &slowBackend{memory, make(chan struct{}), make(chan struct{})}
	fs, _, _ := newStore(t, nil, feast.WithRegistry(slow))
	if err := fs.Warm(ctx); err != nil {
		t.Fatal(err)
	}
	req := feast.OnlineRequest{Features: []string{"nope:a"}, Entities: feast.Columns{"driver_id": []int64{1}}}
	done := make(chan error)
	go func() {
		_, err := fs.GetOnlineFeatures(ctx, req)
		done <- err
	}()
	<-slow.probed
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := fs.GetOnlineFeatures(short, req); err == nil {
		t.Error("an unknown view was found")
	}
	close(slow.let)
	if err := <-done; !errors.Is(err, feast.ErrNotFound) {
		t.Errorf("the patient request says %v", err)
	}
}

// TestPlansFollowTheSnapshot keeps no query of an earlier snapshot, and none that cannot be resolved.
func TestPlansFollowTheSnapshot(t *testing.T) {
	view := driverView("driver_stats", 0, feast.Field{Name: "conv_rate", Type: feast.Float32}, feast.Field{Name: "trips", Type: feast.Int64}, feast.Field{Name: "city", Type: feast.String})
	fs, _, backend := newStore(t, []feast.Object{driver, view})
	ids := feast.Columns{"driver_id": []int64{1001}}
	for _, f := range allStats {
		if _, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{f}, Entities: ids}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"nope:a"}, Entities: ids}); err == nil {
		t.Fatal("an unknown view was found")
	}
	if n := fs.Stats().Plans; n != len(allStats) {
		t.Errorf("%d plans are kept, want %d", n, len(allStats))
	}
	put(t, backend, driverView("new", 0))
	if err := fs.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats, Entities: ids}); err != nil {
		t.Fatal(err)
	}
	if n := fs.Stats().Plans; n != 1 {
		t.Errorf("%d plans are kept after a refresh, want 1", n)
	}
	// A service is no list of features.
	if _, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{FeatureService: allStats[0], Entities: ids}); !errors.Is(err, feast.ErrNotFound) {
		t.Errorf("a service named as a reference: %v", err)
	}
}

// TestMaterializingState refuses a view for a while, as Feast does, and says so as something that passes.
func TestMaterializingState(t *testing.T) {
	view := driverView("v", 0, feast.Field{Name: "a", Type: feast.Int64})
	fs, _, backend := newStore(t, []feast.Object{driver, view})
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: []string{"v:a"}})
	if err != nil {
		t.Fatal(err)
	}
	var out feast.OnlineResponse
	ids := feast.Columns{"driver_id": []int64{1}}
	busy := driverView("v", 0, feast.Field{Name: "a", Type: feast.Int64})
	busy.State = registry.StateMaterializing
	put(t, backend, busy)
	if err := fs.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if err := q.GetInto(ctx, ids, &out); !errors.Is(err, feast.ErrUnavailable) || !feast.Retryable(err) || !strings.Contains(err.Error(), "serve_features_while_materializing") {
		t.Errorf("while it is materialized: %v", err)
	}
	put(t, backend, view)
	if err := fs.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if err := q.GetInto(ctx, ids, &out); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestNilArguments answers errors where a caller forgot something.
func TestNilArguments(t *testing.T) {
	fs := demo(t)
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: allStats[:2]})
	if err != nil {
		t.Fatal(err)
	}
	var out feast.OnlineResponse
	var batch *feast.Batch
	if err := q.GetInto(ctx, batch, &out); !errors.Is(err, feast.ErrInvalid) {
		t.Errorf("a nil batch: %v", err)
	}
	if err := q.GetInto(ctx, feast.Columns{"driver_id": []int64{1}}, nil); !errors.Is(err, feast.ErrInvalid) {
		t.Errorf("a nil response: %v", err)
	}
	if _, err := feast.Scan[struct {
		X int64 `feast:"trips"`
	}](nil); !errors.Is(err, feast.ErrInvalid) {
		t.Errorf("Scan of nil: %v", err)
	}
	if err := q.GetInto(ctx, feast.Columns{"driver_id": []int64{1}}, &out); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{-1, 99} {
		if _, err := out.Float32Matrix(nil, 0, at); !errors.Is(err, feast.ErrInvalid) {
			t.Errorf("column %d: %v", at, err)
		}
	}
}

// TestEchoOfNulls answers null for a join key of other views.
func TestEchoOfNulls(t *testing.T) {
	fs := demo(t)
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: allStats[:1], Entities: feast.Columns{"customer_id": []any{nil, "c"}, "driver_id": []int64{1001, 1002}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := resp.Column("customer_id")
	if err != nil || c.Any(0) != nil || c.Status(0) != feast.NullValue || c.Any(1) != "c" {
		t.Errorf("customer_id is %v, %v", c, err)
	}
	_, err = fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: allStats[:1], Entities: feast.Columns{"customer_id": []any{[]any{1}}, "driver_id": []int64{1001}},
	})
	if re, ok := errors.AsType[*feast.RequestError](err); !ok || re.Column != "customer_id" {
		t.Errorf("a list: %v", err)
	}
}
