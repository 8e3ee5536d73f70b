package feast_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	arrowmemory "github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/registry"
	registrymemory "github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/telemetry"
)

// materializer is a feature store over Parquet files of a directory and an online store that can be made to fail.
type materializer struct {
	*feast.FeatureStore
	dir     string
	online  *gated
	backend *registrymemory.Backend
}

// gated is a store in memory that asks before each write.
type gated struct {
	*memory.Store
	before func(ctx context.Context, b *online.WriteBatch) error
}

func (g *gated) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	if g.before != nil {
		if err := g.before(ctx, b); err != nil {
			return online.WriteResult{}, err
		}
	}
	return g.Store.Write(ctx, b)
}

// materializeView is a view on drivers with its own file.
func materializeView(name string, change ...func(*feast.FeatureView)) *feast.FeatureView {
	v := driverView(name, 0, feast.Field{Name: "trips", Type: feast.Int64})
	v.Online = true
	v.Source = &feast.DataSource{
		Name: name + "_source", TimestampField: "ts", CreatedTimestampColumn: "created", Options: feast.FileOptions{Path: name + ".parquet"},
	}
	for _, c := range change {
		c(v)
	}
	return v
}

func newMaterializer(t testing.TB, views []*feast.FeatureView, opts ...feast.Option) *materializer {
	t.Helper()
	m := &materializer{dir: t.TempDir(), online: &gated{Store: memory.New()}, backend: registrymemory.New()}
	m.FeatureStore = m.open(t, opts...)
	objects := []feast.Object{driver}
	for _, v := range views {
		objects = append(objects, v)
	}
	if _, err := m.Apply(t.Context(), objects...); err != nil {
		t.Fatal(err)
	}
	return m
}

// open opens a feature store over the same registry, as another process would.
func (m *materializer) open(t testing.TB, opts ...feast.Option) *feast.FeatureStore {
	t.Helper()
	cfg := config.Default(project)
	cfg.Materialization.OnlineWriteBatchSize = 2
	fs, err := feast.New(t.Context(), cfg, append([]feast.Option{
		feast.WithRegistry(m.backend), feast.WithOnlineStore(m.online), feast.WithOfflineStore(file.New(m.dir)),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return fs
}

// rows adds rows to the file of a view: driver, trips, hours after t0. Unlike WriteToOfflineStore it takes a null for a driver.
func (m *materializer) rows(t testing.TB, view string, rows ...[3]any) {
	t.Helper()
	var ids, trips, times []any
	for _, r := range rows {
		ids, trips, times = append(ids, r[0]), append(trips, r[1]), append(times, at(r[2].(int)).UnixMicro())
	}
	list := func(values []any) string {
		text, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	rb := recordOf(t, "driver_id", arrowInt64, list(ids), "trips", arrowInt64, list(trips), "ts", arrowUTC, list(times), "created", arrowUTC, list(times))
	r, err := array.NewRecordReader(rb.Schema(), []arrow.RecordBatch{rb})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	snap, err := m.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, err := snap.FeatureView(view)
	if err != nil {
		t.Fatal(err)
	}
	path := v.Source.Options.(feast.FileOptions).Path
	if n, err := file.New(m.dir).Append(t.Context(), &offline.Source{Name: view, Path: path}, r); err != nil || n != int64(len(rows)) {
		t.Fatalf("%d rows: %v", n, err)
	}
}

func (m *materializer) state(t testing.TB, view string) string {
	t.Helper()
	if err := m.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	snap, err := m.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, err := snap.FeatureView(view)
	if err != nil {
		t.Fatal(err)
	}
	s := v.State.String()
	for _, i := range v.MaterializationIntervals {
		s += fmt.Sprintf(" %d-%d", int(i.Start.Sub(t0).Hours()), int(i.End.Sub(t0).Hours()))
	}
	return s
}

func (m *materializer) value(t testing.TB, view string, driver int64) any {
	t.Helper()
	resp, err := m.GetOnlineFeatures(t.Context(), feast.OnlineRequest{Features: []string{view + ":trips"}, Entities: feast.Columns{"driver_id": []int64{driver}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := resp.Column("trips")
	if err != nil {
		t.Fatal(err)
	}
	return c.Any(0)
}

func at(hours int) time.Time { return t0.Add(time.Duration(hours) * time.Hour) }

func window(start, end int) feast.MaterializeRequest {
	return feast.MaterializeRequest{Start: at(start), End: at(end)}
}

func TestMaterializeViews(t *testing.T) {
	var mu sync.Mutex
	var hooks []string
	views := []*feast.FeatureView{
		materializeView("b"), materializeView("a"), materializeView("off", func(v *feast.FeatureView) { v.Online = false }),
		materializeView("disabled", func(v *feast.FeatureView) { v.Disabled = true }),
		materializeView("python", func(v *feast.FeatureView) {
			v.Transformation = &feast.Transformation{Name: "f", Body: []byte("x")}
		}),
		materializeView("sourceless", func(v *feast.FeatureView) { v.Source, v.Online = nil, false }),
	}
	m := newMaterializer(t, views, feast.WithHooks(telemetry.Hooks{Materialize: func(_ context.Context, e telemetry.Materialize) {
		mu.Lock()
		defer mu.Unlock()
		hooks = append(hooks, fmt.Sprintf("%s %d %d %d %d %v", e.View, e.Read, e.NullKeys, e.Older, e.Written, e.Err))
	}}))
	m.rows(t, "a", [3]any{1, 10, 0}, [3]any{1, 11, 1}, [3]any{nil, 5, 1}, [3]any{2, 20, 1}, [3]any{nil, 6, 2}, [3]any{3, 30, 9})
	m.rows(t, "b", [3]any{7, 70, 0})
	var progress []string
	r := window(0, 2)
	r.Progress = func(p feast.MaterializeProgress) {
		progress = append(progress, fmt.Sprintf("%s %d/%d %d %t", p.Name, p.Index, p.Views, p.Read, p.Done))
	}
	res, err := m.Materialize(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range res.Views {
		got = append(got, fmt.Sprint(v.Name, v.Read, v.NullKeys, v.Older, v.Written, v.Start.Equal(r.Start), v.End.Equal(r.End), v.Took > 0))
	}
	if want := []string{"b1 0 0 1 true true true", "a4 2 0 2 true true true"}; !slices.Equal(got, want) && !slices.Equal(got, []string{want[1], want[0]}) {
		t.Errorf("%q", got)
	}
	if !slices.Equal(res.Skipped, []string{"python"}) {
		t.Errorf("skipped %v", res.Skipped)
	}
	slices.Sort(hooks)
	if !slices.Equal(hooks, []string{"a 4 2 0 2 <nil>", "b 1 0 0 1 <nil>"}) {
		t.Errorf("hooks %q", hooks)
	}
	if n := len(progress); n != 5 || !strings.Contains(progress[n-1], "1/2") || !strings.HasSuffix(progress[n-1], "true") {
		t.Errorf("progress %q", progress)
	}
	for id, want := range map[int64]any{1: int64(11), 2: int64(20), 3: nil} {
		if got := m.value(t, "a", id); got != want {
			t.Errorf("driver %d: %v, want %v", id, got, want)
		}
	}
	if s := m.state(t, "a"); s != "AVAILABLE_ONLINE 0-2" {
		t.Error(s)
	}
	// again: equal rows are written again, older ones are not
	if res, err = m.Materialize(t.Context(), window(0, 0)); err != nil || res.Views[len(res.Views)-1].Older+res.Views[0].Older != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	old := window(0, 0)
	old.Overwrite, old.Views = true, []string{"a"}
	if res, err = m.Materialize(t.Context(), old); err != nil || res.Views[0].Written != 1 || m.value(t, "a", 1) != int64(10) {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestMaterializeErrors(t *testing.T) {
	m := newMaterializer(t, []*feast.FeatureView{
		materializeView("a"), materializeView("off", func(v *feast.FeatureView) { v.Online = false }),
		materializeView("disabled", func(v *feast.FeatureView) { v.Disabled = true }),
		materializeView("python", func(v *feast.FeatureView) { v.Transformation = &feast.Transformation{Name: "f", Body: []byte("x")} }),
		materializeView("missing"), materializeView("timeless", func(v *feast.FeatureView) {
			v.Source.TimestampField, v.Source.Options = "when", feast.FileOptions{Path: "a.parquet"}
		}), materializeView("created", func(v *feast.FeatureView) { v.State = registry.StateCreated }),
	})
	m.rows(t, "a", [3]any{1, 10, 0}, [3]any{nil, 11, 0})
	m.rows(t, "created", [3]any{1, 10, 0})
	only := func(views ...string) feast.MaterializeRequest {
		r := window(0, 2)
		r.Views = views
		return r
	}
	strict := only("a")
	strict.Strict = true
	negative, many := only("a"), only("a")
	negative.Concurrency, many.Concurrency = -1, 1025
	for name, c := range map[string]struct {
		r           feast.MaterializeRequest
		incremental bool
		is          error
		says        string
	}{
		"no start":       {feast.MaterializeRequest{End: t0}, false, feast.ErrInvalid, "Start and End are needed"},
		"no end":         {feast.MaterializeRequest{}, true, feast.ErrInvalid, "End is needed"},
		"a start":        {window(0, 1), true, feast.ErrInvalid, "Start is found for each view"},
		"backwards":      {window(2, 1), false, feast.ErrInvalid, "is after End"},
		"concurrency":    {negative, false, feast.ErrInvalid, "Concurrency is -1: give 1 to 1024, or 0"},
		"too much":       {many, false, feast.ErrInvalid, "Concurrency is 1025: give 1 to 1024, or 0"},
		"twice":          {only("a", "missing", "a"), false, feast.ErrInvalid, `feature view "a" is named twice`},
		"unknown":        {only("a", "nope"), false, feast.ErrNotFound, `"nope" does not exist in project "demo"`},
		"all problems":   {only("off", "disabled"), false, feast.ErrInvalid, "feature view \"off\" is not served online: set Online and apply it\nfeature view \"disabled\" is disabled"},
		"python":         {only("python"), false, feast.ErrUnsupported, "materialize it with Feast"},
		"strict":         {strict, false, feast.ErrInvalid, "1 rows have a null in join key driver_id"},
		"no file":        {only("missing"), false, feast.ErrNotFound, `feature view "missing" was not materialized`},
		"no times":       {only("timeless"), false, feast.ErrNotFound, `feature view "timeless" was not materialized: file: read: timestamp field "when" does not exist in `},
		"state":          {only("created"), false, feast.ErrInvalid, "is in state CREATED, from which it cannot be materialized"},
		"before the bad": {only("nope", "a"), false, feast.ErrNotFound, "nope"},
	} {
		run := m.Materialize
		if c.incremental {
			run = m.MaterializeIncremental
		}
		res, err := run(t.Context(), c.r)
		if !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.says) || len(res.Views) > 0 {
			t.Errorf("%s: %v, want %q; %+v", name, err, c.says, res)
		}
	}
	if s := m.state(t, "a"); s != "STATE_UNSPECIFIED" {
		t.Error(s)
	}
	readOnly := m.open(t, feast.ReadOnly())
	if _, err := readOnly.Materialize(t.Context(), window(0, 1)); !errors.Is(err, feast.ErrUnsupported) {
		t.Error(err)
	}
}

func TestMaterializeIncrementally(t *testing.T) {
	now := at(1000)
	m := newMaterializer(t, []*feast.FeatureView{
		materializeView("a", func(v *feast.FeatureView) { v.TTL = 10 * time.Hour }), materializeView("b"),
	}, feast.WithClock(func() time.Time { return now }))
	m.rows(t, "a", [3]any{1, 10, 989}, [3]any{2, 20, 990}, [3]any{3, 30, 995}, [3]any{3, 31, 996})
	m.rows(t, "b", [3]any{1, 10, 1000 - 52*7*24 - 1}, [3]any{2, 20, 0})
	for _, end := range []int{995, 999} {
		if _, err := m.MaterializeIncremental(t.Context(), feast.MaterializeRequest{End: at(end)}); err != nil {
			t.Fatal(err)
		}
	}
	if s := m.state(t, "a"); s != "AVAILABLE_ONLINE 990-995 995-999" {
		t.Error(s)
	}
	if s := m.state(t, "b"); s != fmt.Sprintf("AVAILABLE_ONLINE %d-995 995-999", 1000-52*7*24) {
		t.Error(s)
	}
	if got := fmt.Sprint(m.value(t, "a", 1), m.value(t, "a", 2), m.value(t, "a", 3), m.value(t, "b", 1), m.value(t, "b", 2)); got != "<nil> 20 31 <nil> 20" {
		t.Error(got)
	}
}

// A view that would begin after the end has nothing to do, and those after it are materialized.
func TestMaterializeNothing(t *testing.T) {
	views := []*feast.FeatureView{
		materializeView("fresh", func(v *feast.FeatureView) { v.TTL = time.Hour }), materializeView("ahead"), materializeView("behind"),
	}
	m := newMaterializer(t, views, feast.WithClock(func() time.Time { return at(1000) }))
	for _, v := range views {
		m.rows(t, v.Name, [3]any{1, 10, 0}, [3]any{1, 11, 7})
	}
	ahead := window(0, 9)
	ahead.Views = []string{"ahead"}
	if _, err := m.Materialize(t.Context(), ahead); err != nil {
		t.Fatal(err)
	}
	var progress []string
	for range 2 {
		r := feast.MaterializeRequest{End: at(8), Views: []string{"fresh", "ahead", "behind"}, Progress: func(p feast.MaterializeProgress) {
			progress = append(progress, fmt.Sprint(p.Name, p.Index, p.Read, p.Done))
		}}
		res, err := m.MaterializeIncremental(t.Context(), r)
		if err != nil || len(res.Views) != 3 {
			t.Fatalf("%+v, %v", res, err)
		}
		for i, start := range []int{999, 9} {
			v := res.Views[i]
			if v.Took = 0; v != (feast.MaterializedView{Name: views[i].Name, Start: at(start), End: at(8)}) {
				t.Errorf("%+v", v)
			}
		}
		for view, want := range map[string]string{"fresh": "STATE_UNSPECIFIED", "ahead": "AVAILABLE_ONLINE 0-9"} {
			if s := m.state(t, view); s != want {
				t.Errorf("%s: %s, want %s", view, s, want)
			}
		}
	}
	if s := m.state(t, "behind"); s != fmt.Sprintf("AVAILABLE_ONLINE %d-8 8-8", 1000-52*7*24) {
		t.Error(s)
	}
	if want := []string{"fresh0 0 true", "ahead1 0 true", "behind2 1 false", "behind2 1 true", "fresh0 0 true", "ahead1 0 true", "behind2 0 true"}; !slices.Equal(progress, want) {
		t.Errorf("%q", progress)
	}
	if m.value(t, "fresh", 1) != nil || m.value(t, "ahead", 1) != int64(11) || m.value(t, "behind", 1) != int64(11) {
		t.Error(m.value(t, "fresh", 1), m.value(t, "ahead", 1), m.value(t, "behind", 1))
	}
}

// A window that cannot be noted is said to be so, of a view whose rows are there.
func TestMaterializeNotNoted(t *testing.T) {
	m := newMaterializer(t, []*feast.FeatureView{materializeView("a")})
	m.rows(t, "a", [3]any{1, 10, 0})
	m.online.before = func(ctx context.Context, _ *online.WriteBatch) error {
		_, err := m.open(t).ApplyAll(ctx, feast.ApplyRequest{Delete: []feast.Object{&feast.FeatureView{Name: "a"}}})
		return err
	}
	_, err := m.Materialize(t.Context(), window(0, 1))
	if want := `feature view "a" was not materialized: 1 of its rows were written, and then its window could not be noted in the registry: `; !errors.Is(err, feast.ErrNotFound) || !strings.HasPrefix(err.Error(), want) {
		t.Error(err)
	}
}

// A panic of Progress ends the run as an error, on whatever goroutine it was called.
func TestMaterializeProgressPanics(t *testing.T) {
	m := newMaterializer(t, []*feast.FeatureView{materializeView("a"), materializeView("b")}, feast.WithLogger(slog.New(slog.DiscardHandler)))
	m.rows(t, "a", [3]any{1, 10, 0}, [3]any{2, 20, 0}, [3]any{3, 30, 0})
	r := window(0, 1)
	r.Views = []string{"a", "b"}
	boom := errors.New("boom")
	for _, c := range []struct {
		done        bool
		says, state string
		views       int
	}{
		{false, `feature view "a" was not materialized: the function Progress panicked: boom`, "STATE_UNSPECIFIED", 0},
		{true, `feature view "a" was materialized: the function Progress panicked: boom`, "AVAILABLE_ONLINE 0-1", 1},
	} {
		r.Progress = func(p feast.MaterializeProgress) {
			if p.Done == c.done {
				panic(boom)
			}
		}
		res, err := m.Materialize(t.Context(), r)
		if !errors.Is(err, boom) || err.Error() != c.says || len(res.Views) != c.views {
			t.Errorf("%+v, %v, want %s", res, err, c.says)
		}
		if s := m.state(t, "a"); s != c.state {
			t.Errorf("%s, want %s", s, c.state)
		}
	}
	r.Progress = nil
	r.Views = []string{"a"}
	if res, err := m.Materialize(t.Context(), r); err != nil || res.Views[0].Read != 3 {
		t.Errorf("%+v, %v", res, err)
	}
}

// unversioned is a store that keeps one version of a view.
type unversioned struct{ online.Store }

func (unversioned) Info() online.Info { return online.Info{Name: "flat"} }

// TestMaterializeVersion materializes the history of a view, into the tables of its versions.
func TestMaterializeVersion(t *testing.T) {
	backend, store, dir := registrymemory.New(), &spy{Store: memory.New()}, t.TempDir()
	open := func(versioning bool, on online.Store) *materializer {
		cfg := config.Default(project)
		cfg.Registry.OnlineVersioning = versioning
		fs, err := feast.New(t.Context(), cfg, feast.WithRegistry(backend), feast.WithOnlineStore(on), feast.WithOfflineStore(file.New(dir)),
			feast.WithTransformation("computed", sums([]string{"trips"}, []string{"sum"})), feast.WithClock(func() time.Time { return at(100) }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { fs.Close() })
		return &materializer{FeatureStore: fs, dir: dir}
	}
	m := open(true, store)
	v := materializeView("v", func(v *feast.FeatureView) { v.TTL = 95 * time.Hour })
	mustApply(t, m.FeatureStore, driver, v)
	m.rows(t, "v", [3]any{1, 10, 1}, [3]any{1, 11, 3}, [3]any{1, 12, 6})
	v.Schema = fieldsOf(feast.Float64, "trips")
	mustApply(t, m.FeatureStore, v)
	v.Schema = fieldsOf(feast.String, "trips")
	computed := onDemand("computed", fieldsOf(feast.Int64, "sum"), nil, "v")
	computed.WriteToOnlineStore, computed.Entities, computed.EntityColumns = true, []string{"driver"}, driverKey
	mustApply(t, m.FeatureStore, v, computed)

	for _, step := range []struct {
		version    string
		start, end int
		wrote      string
		state      string
		values     string
	}{
		{"V1", 0, 2, "v_v1 1", "AVAILABLE_ONLINE 0-2", "[-] [10@13:00:00] [-]"},
		{"latest", 2, 4, "v_v2 1", "AVAILABLE_ONLINE 0-2 2-4", "[-] [10@13:00:00] [11@15:00:00]"},
		{"version0", 0, 2, "v 1", "AVAILABLE_ONLINE 0-2 2-4 0-2", "[10@13:00:00] [10@13:00:00] [11@15:00:00]"},
		{"v2", 0, 7, "v_v2 1", "AVAILABLE_ONLINE 0-2 2-4 0-2 0-7", "[10@13:00:00] [10@13:00:00] [12@18:00:00]"},
	} {
		r := window(step.start, step.end)
		r.Views, r.Version = []string{"v"}, step.version
		if res, err := m.Materialize(t.Context(), r); err != nil || len(res.Views) != 1 || res.Views[0].Written != 1 {
			t.Fatalf("%s: %+v, %v", step.version, res, err)
		}
		if got := store.wrote(); !slices.Equal(got, []string{step.wrote}) {
			t.Errorf("%s: wrote %q, want %s", step.version, got, step.wrote)
		}
		if s := m.state(t, "v"); s != step.state {
			t.Errorf("%s: %s, want %s", step.version, s, step.state)
		}
		if got := fmt.Sprint(readAll(t, m.FeatureStore, "v@v0:trips", 1), readAll(t, m.FeatureStore, "v@v1:trips", 1), readAll(t, m.FeatureStore, "v@v2:trips", 1)); got != step.values {
			t.Errorf("%s: values %s, want %s", step.version, got, step.values)
		}
	}
	// By what the history notes of a version, which is nothing: a ttl ago.
	res, err := m.MaterializeIncremental(t.Context(), feast.MaterializeRequest{End: at(8), Views: []string{"v"}, Version: "v1"})
	if err != nil || res.Views[0].Written != 1 || !res.Views[0].Start.Equal(at(5)) {
		t.Errorf("%+v, %v", res, err)
	}
	store.wrote()

	for name, c := range map[string]struct {
		m       *materializer
		views   []string
		version string
		is      error
		says    string
	}{
		"no view":     {m, nil, "v1", feast.ErrInvalid, "version v1 of 0 views: give the name of the one view that is meant"},
		"two views":   {m, []string{"v", "computed"}, "latest", feast.ErrInvalid, "version latest of 2 views"},
		"off":         {open(false, store), []string{"v"}, "latest", feast.ErrInvalid, "set enable_online_feature_view_versioning: true"},
		"no such":     {m, []string{"v"}, "v3", feast.ErrNotFound, `version "v3" does not exist in feature view "v"`},
		"no view so":  {m, []string{"w"}, "v0", feast.ErrNotFound, `feature view "w" does not exist`},
		"no version":  {m, []string{"v"}, "two", feast.ErrInvalid, `version "two" is neither "latest" nor "v" with a number`},
		"one version": {open(true, unversioned{store}), []string{"v"}, "v0", feast.ErrUnsupported, `feature view v@v0: online store "flat" keeps one version of a view`},
		"on demand":   {m, []string{"computed"}, "v0", feast.ErrUnsupported, `version v0 of on-demand feature view "computed": its Go function computes what the view is now`},
	} {
		r := window(0, 2)
		r.Views, r.Version = c.views, c.version
		if res, err := c.m.Materialize(t.Context(), r); !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.says) || len(res.Views) > 0 {
			t.Errorf("%s: %v, want %q; %+v", name, err, c.says, res)
		}
	}
	if got := store.wrote(); len(got) > 0 {
		t.Errorf("wrote %q", got)
	}
}

// TestMaterializeFails fails in the middle of the second of three views, and completes by a rerun.
func TestMaterializeFails(t *testing.T) {
	m := newMaterializer(t, []*feast.FeatureView{materializeView("a"), materializeView("b"), materializeView("c")})
	for _, v := range []string{"a", "b", "c"} {
		m.rows(t, v, [3]any{1, 10, 0}, [3]any{2, 20, 0}, [3]any{3, 30, 0}, [3]any{4, 40, 0}, [3]any{5, 50, 0})
	}
	r := window(0, 1)
	r.Views = []string{"a", "b", "c"}
	down := errors.New("down")
	for _, before := range []string{"STATE_UNSPECIFIED", "AVAILABLE_ONLINE 0-1"} {
		wrote := 0
		m.online.before = func(_ context.Context, b *online.WriteBatch) error {
			if b.Table.View != "b" {
				return nil
			}
			if wrote++; wrote == 2 {
				return down
			}
			return nil
		}
		r.Concurrency = 1
		res, err := m.Materialize(t.Context(), r)
		if !errors.Is(err, down) || err.Error() != `feature view "b" was not materialized: memory: write: down` {
			t.Fatal(err)
		}
		if len(res.Views) != 1 || res.Views[0].Name != "a" || res.Views[0].Written != 5 {
			t.Errorf("%+v", res)
		}
		if s := m.state(t, "b"); s != before {
			t.Errorf("%s, want %s", s, before)
		}
		if s := m.state(t, "a"); !strings.HasSuffix(s, "0-1") {
			t.Error(s)
		}
		m.online.before = nil
		if res, err = m.Materialize(t.Context(), r); err != nil || len(res.Views) != 3 {
			t.Fatal(res, err)
		}
		if before == "STATE_UNSPECIFIED" {
			if s := m.state(t, "b"); s != "AVAILABLE_ONLINE 0-1" {
				t.Error(s)
			}
			if got := fmt.Sprint(m.value(t, "b", 1), m.value(t, "b", 5), m.value(t, "c", 5)); got != "10 50 50" {
				t.Error(got)
			}
		}
	}
}

// A run that was killed leaves the view's state behind, and the next one goes on.
func TestMaterializeAfterKill(t *testing.T) {
	m := newMaterializer(t, []*feast.FeatureView{materializeView("a")})
	m.rows(t, "a", [3]any{1, 10, 0})
	if _, err := m.Materialize(t.Context(), window(0, 0)); err != nil {
		t.Fatal(err)
	}
	w := registry.Writer{Backend: m.backend, Project: project}
	if was, err := w.StartMaterialization(t.Context(), "a", true); err != nil || was != registry.StateAvailableOnline {
		t.Fatal(was, err)
	}
	if s := m.state(t, "a"); s != "MATERIALIZING 0-0" {
		t.Fatal(s)
	}
	refuse := window(0, 1)
	refuse.Refuse = true
	if _, err := m.Materialize(t.Context(), refuse); !errors.Is(err, feast.ErrConflict) || !strings.Contains(err.Error(), "is being materialized by somebody else, or was when that was killed") {
		t.Error(err)
	}
	if s := m.state(t, "a"); s != "MATERIALIZING 0-0" {
		t.Error(s)
	}
	down := errors.New("down")
	m.online.before = func(context.Context, *online.WriteBatch) error { return down }
	if _, err := m.Materialize(t.Context(), window(0, 1)); !errors.Is(err, down) {
		t.Error(err)
	}
	// docs/compatibility.md, materializing: Feast leaves it GENERATED, which does not serve.
	if s := m.state(t, "a"); s != "AVAILABLE_ONLINE 0-0" || m.value(t, "a", 1) != int64(10) {
		t.Error(s)
	}
	if _, err := w.StartMaterialization(t.Context(), "a", true); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	m.online.before = func(context.Context, *online.WriteBatch) error { cancel(); return cancelled.Err() }
	if _, err := m.Materialize(cancelled, window(0, 1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if s := m.state(t, "a"); s != "AVAILABLE_ONLINE 0-0" {
		t.Error(s)
	}
	m.online.before = nil
	if _, err := m.Materialize(t.Context(), refuse); err != nil {
		t.Error(err)
	}
	if s := m.state(t, "a"); s != "AVAILABLE_ONLINE 0-0 0-1" {
		t.Error(s)
	}
}

// Of two runs of a view the second waits, or is refused.
func TestMaterializeTwice(t *testing.T) {
	m := newMaterializer(t, []*feast.FeatureView{materializeView("a"), materializeView("b")})
	m.rows(t, "a", [3]any{1, 10, 0})
	m.rows(t, "b", [3]any{1, 10, 0})
	entered, proceed := make(chan struct{}), make(chan struct{})
	var writes atomic.Int32
	m.online.before = func(_ context.Context, b *online.WriteBatch) error {
		if b.Table.View == "a" && writes.Add(1) == 1 {
			close(entered)
			<-proceed
		}
		return nil
	}
	first := make(chan error)
	go func() {
		r := window(0, 1)
		r.Views = []string{"a"}
		_, err := m.Materialize(context.Background(), r)
		first <- err
	}()
	<-entered
	refuse := window(0, 2)
	refuse.Refuse, refuse.Views = true, []string{"a"}
	if _, err := m.Materialize(t.Context(), refuse); !errors.Is(err, feast.ErrConflict) || !strings.Contains(err.Error(), "another call is materializing it") {
		t.Error(err)
	}
	other := window(0, 1)
	other.Views = []string{"b"}
	if _, err := m.Materialize(t.Context(), other); err != nil {
		t.Error(err)
	}
	waiting, cancel := context.WithCancel(t.Context())
	cancelled := make(chan error)
	go func() {
		r := window(0, 3)
		r.Views = []string{"a"}
		_, err := m.Materialize(waiting, r)
		cancelled <- err
	}()
	cancel()
	if err := <-cancelled; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	second := make(chan error)
	go func() {
		r := feast.MaterializeRequest{End: at(4), Views: []string{"a"}}
		_, err := m.MaterializeIncremental(context.Background(), r)
		second <- err
	}()
	close(proceed)
	if err := errors.Join(<-first, <-second); err != nil {
		t.Fatal(err)
	}
	// The second began where the first had ended, unless it came first, which it cannot.
	if s := m.state(t, "a"); s != "AVAILABLE_ONLINE 0-1 1-4" {
		t.Error(s)
	}
}

// Cancelling ends a run soon, and leaves the registry as it was.
func TestMaterializeCancelled(t *testing.T) {
	m := newMaterializer(t, []*feast.FeatureView{materializeView("a")})
	m.rows(t, "a", [3]any{1, 10, 0}, [3]any{2, 10, 0}, [3]any{3, 10, 0})
	if _, err := m.Materialize(t.Context(), window(0, 0)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	m.online.before = func(ctx context.Context, _ *online.WriteBatch) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	if _, err := m.Materialize(ctx, window(0, 1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if s := m.state(t, "a"); s != "AVAILABLE_ONLINE 0-0" {
		t.Error(s)
	}
}

func TestMaterializeManyViews(t *testing.T) {
	var views []*feast.FeatureView
	for i := range 40 {
		views = append(views, materializeView(fmt.Sprintf("v%02d", i), func(v *feast.FeatureView) {
			v.Source.Name, v.Source.Options = "shared", feast.FileOptions{Path: "shared.parquet"}
		}))
	}
	m := newMaterializer(t, views)
	m.rows(t, "v00", [3]any{1, 10, 0}, [3]any{2, 20, 0})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if res, err := m.Materialize(context.Background(), window(0, 1)); err != nil || len(res.Views) != 40 {
				t.Errorf("%d views, %v", len(res.Views), err)
			}
		})
	}
	wg.Wait()
	for _, v := range views {
		if s := m.state(t, v.Name); s != "AVAILABLE_ONLINE 0-1 0-1 0-1" {
			t.Errorf("%s: %s", v.Name, s)
		}
	}
}

// scanned is an offline store whose answer is given.
type scanned struct {
	offline.Store
	rows []arrow.RecordBatch
	err  error
}

func (scanned) Info() offline.Info { return offline.Info{Name: "scanned"} }
func (scanned) Close() error       { return nil }
func (s scanned) Latest(context.Context, *offline.ScanPlan) (offline.Job, error) {
	return s, nil
}

func (s scanned) Read(context.Context) (array.RecordReader, error) {
	r, err := array.NewRecordReader(s.rows[0].Schema(), s.rows)
	if err != nil || s.err == nil {
		return r, err
	}
	return &endsBadly{r, s.err}, nil
}

type endsBadly struct {
	array.RecordReader
	err error
}

func (e *endsBadly) Err() error { return e.err }

// What cannot be converted is said by key, since rows have no numbers.
func TestMaterializeValues(t *testing.T) {
	view := materializeView("a", func(v *feast.FeatureView) {
		v.Source.CreatedTimestampColumn = ""
		v.Schema = []feast.Field{{Name: "x", Type: feast.Int32}, {Name: "emb", Type: feast.Float32List, VectorIndex: true}}
	})
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "driver_id", Type: arrow.PrimitiveTypes.Float64, Nullable: true}, {Name: "x", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "emb", Type: arrow.ListOf(arrow.PrimitiveTypes.Float32), Nullable: true},
		{Name: "ts", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Nullable: true},
	}, nil)
	batch := func(json string) arrow.RecordBatch {
		b, _, err := array.RecordFromJSON(arrowmemory.DefaultAllocator, schema, strings.NewReader(json))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := `{"driver_id": 1, "x": 9, "emb": [1, 2], "ts": "2026-03-02T10:00:00Z"}`
	for _, c := range []struct {
		rows []string
		err  error
		is   error
		says string
		read string
	}{
		{[]string{"[" + good + `, {"driver_id": null, "x": 1, "emb": null, "ts": "2026-03-02T10:00:00Z"}, {"driver_id": 2, "x": null, "emb": null, "ts": "2026-03-02T10:00:00Z"}]`}, nil, nil, "", "3 1 2"},
		{[]string{`[{"driver_id": null, "x": 1, "emb": null, "ts": "2026-03-02T10:00:00Z"}]`}, nil, nil, "", "1 1 0"},
		{[]string{"[" + good + `, {"driver_id": 7, "x": 3000000000, "emb": null, "ts": "2026-03-02T10:00:00Z"}]`}, nil, feast.ErrInvalid,
			`feature view "a" was not materialized: the row of driver_id=7: column "x": 3000000000 is out of range for Int32`, ""},
		{[]string{"[" + good + "]", `[{"driver_id": 7, "x": 3, "emb": [1], "ts": "2026-03-02T10:00:00Z"}]`}, nil, feast.ErrInvalid, "length", ""},
		{[]string{"[" + good + "]"}, feast.ErrUnavailable, feast.ErrUnavailable, `feature view "a" was not materialized: scanned: read: `, ""},
	} {
		var rows []arrow.RecordBatch
		for _, json := range c.rows {
			rows = append(rows, batch(json))
		}
		m := newMaterializer(t, []*feast.FeatureView{view}, feast.WithOfflineStore(scanned{rows: rows, err: c.err}))
		res, err := m.Materialize(t.Context(), window(0, 1))
		if !errors.Is(err, c.is) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %s", err, c.says)
		}
		if c.is == nil && fmt.Sprint(res.Views[0].Read, res.Views[0].NullKeys, res.Views[0].Written) != c.read {
			t.Errorf("%+v, want %s", res, c.read)
		}
	}
}

// TestMaterializeWhileServing reads a view while it is materialized.
func TestMaterializeWhileServing(t *testing.T) {
	m := newMaterializer(t, []*feast.FeatureView{materializeView("a")})
	m.rows(t, "a", [3]any{1, 10, 0}, [3]any{1, 11, 1})
	if _, err := m.Materialize(t.Context(), window(0, 0)); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default(project)
	cfg.Registry.ServeWhileMaterializing = true
	serving, err := feast.New(t.Context(), cfg, feast.WithRegistry(m.backend), feast.WithOnlineStore(m.online), feast.WithOfflineStore(file.New(m.dir)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = serving.Refresh(context.Background()) })
	read := func(fs *feast.FeatureStore) error {
		_, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{Features: []string{"a:trips"}, Entities: feast.Columns{"driver_id": []int64{1}}})
		return err
	}
	m.online.before = func(context.Context, *online.WriteBatch) error {
		if err := read(m.FeatureStore); !errors.Is(err, feast.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if err := errors.Join(serving.Refresh(t.Context()), read(serving)); err != nil {
			t.Error(err)
		}
		return nil
	}
	if _, err := m.Materialize(t.Context(), window(0, 1)); err != nil {
		t.Fatal(err)
	}
	if err := read(m.FeatureStore); err != nil {
		t.Error(err)
	}
}

// TestPushOffline pushes to the batch source, and to both stores.
func TestPushOffline(t *testing.T) {
	push := func(v *feast.FeatureView) {
		batch := v.Source
		batch.Name, batch.Options = "batch", feast.FileOptions{Path: "batch.parquet"}
		v.Source = &feast.DataSource{Name: "events", BatchSource: batch, Options: registry.PushOptions{}}
	}
	m := newMaterializer(t, []*feast.FeatureView{materializeView("a", push), materializeView("b", push)})
	row := func(id int64, hours int) feast.Columns {
		return feast.Columns{"driver_id": []int64{id}, "trips": []int32{int32(id)}, "ts": []string{at(hours).Format(time.RFC3339)}, "created": []any{nil}}
	}
	count := func() (n int) {
		codec, err := offline.Parquet()
		if err != nil {
			t.Fatal(err)
		}
		r, err := codec.Open(t.Context(), filepath.Join(m.dir, "batch.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		for r.Next() {
			n += int(r.RecordBatch().NumRows())
		}
		return n
	}
	if err := m.Push(t.Context(), "events", row(1, 0), feast.ToOffline); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 1 || m.value(t, "a", 1) != nil {
		t.Errorf("%d rows, online %v", n, m.value(t, "a", 1))
	}
	if err := m.Push(t.Context(), "events", row(2, 1), feast.ToOnlineAndOffline); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 2 || m.value(t, "a", 2) != int64(2) || m.value(t, "b", 2) != int64(2) {
		t.Errorf("%d rows, online %v %v", n, m.value(t, "a", 2), m.value(t, "b", 2))
	}
	if res, err := m.Materialize(t.Context(), window(0, 2)); err != nil || res.Views[0].Read != 2 || m.value(t, "b", 1) != int64(1) {
		t.Errorf("%+v, %v", res, err)
	}

	extra := row(3, 2)
	delete(extra, "created")
	extra["zzz"], extra["yyy"] = []int64{1}, []int64{1}
	want := `column "created": rows for the offline store must have the columns of data source "batch" of feature view "a", and no other: missing are created; not in the source are yyy, zzz`
	for _, to := range []feast.PushMode{feast.ToOffline, feast.ToOnlineAndOffline} {
		if err := m.Push(t.Context(), "events", extra, to); !errors.Is(err, feast.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v", err)
		}
	}
	if _, err := m.WriteToOfflineStore(t.Context(), "a", extra); !errors.Is(err, feast.ErrInvalid) || err.Error() != want {
		t.Errorf("%v", err)
	}
	for name, c := range map[string]struct {
		change map[string]any
		says   string
	}{
		"a null key":     {map[string]any{"driver_id": []any{nil}}, `column "driver_id", row 0: an entity key cannot be null`},
		"a nil key":      {map[string]any{"driver_id": []*int64{nil}}, `column "driver_id", row 0: an entity key cannot be null`},
		"a null time":    {map[string]any{"ts": []any{nil}}, `column "ts", row 0: an event time cannot be null`},
		"no time":        {map[string]any{"ts": []string{"noon"}}, `column "ts", row 0: "noon" is no ISO 8601 time`},
		"another type":   {map[string]any{"trips": []any{"many"}}, `column "trips", row 0`},
		"does not fit":   {map[string]any{"trips": []float64{1.5}}, `column "trips"`},
		"no rows":        {map[string]any{"trips": []int64{}}, "all columns must have the same length"},
		"no column type": {map[string]any{"trips": []chan int{nil}}, "is no column"},
	} {
		rows := row(4, 3)
		maps.Copy(rows, c.change)
		if _, err := m.WriteToOfflineStore(t.Context(), "a", rows); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s", name, err, c.says)
		}
	}
	if n, err := m.WriteToOfflineStore(t.Context(), "a", feast.Columns{}); n != 0 || err != nil {
		t.Errorf("no rows: %d, %v", n, err)
	}
	if _, err := m.WriteToOfflineStore(t.Context(), "nope", feast.Columns{}); !errors.Is(err, feast.ErrNotFound) {
		t.Error(err)
	}
	if n := count(); n != 2 || m.value(t, "a", 3) != nil {
		t.Errorf("%d rows", n)
	}

	// The offline store fails after the online store was written.
	if err := os.Remove(filepath.Join(m.dir, "batch.parquet")); err != nil {
		t.Fatal(err)
	}
	m.online.before = func(context.Context, *online.WriteBatch) error {
		return errors.Join(os.MkdirAll(filepath.Join(m.dir, "batch.parquet", "day=1"), 0o700),
			os.WriteFile(filepath.Join(m.dir, "batch.parquet", "day=1", "x.parquet"), []byte("PAR1"), 0o600))
	}
	err := m.Push(t.Context(), "events", row(5, 4), feast.ToOnlineAndOffline)
	if err == nil || !strings.Contains(err.Error(), "the rows are in the online store and not in the offline store: file: ") {
		t.Errorf("%v", err)
	}
	m.online.before = nil
	if m.value(t, "a", 5) != int64(5) {
		t.Error("the row is not online")
	}
}

// TestMaterializeAllocates holds that a batch costs no allocation per row.
func TestMaterializeAllocates(t *testing.T) {
	fs := openWide(t, scanned{rows: []arrow.RecordBatch{wideBatch(10_000)}}, discard{memory.New()})
	defer fs.Close()
	run := func() {
		if _, err := fs.Materialize(context.Background(), window(0, 1)); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(5, run); n > 3_000 {
		t.Errorf("%v allocations for 10,000 rows of 10 features", n)
	}
}
