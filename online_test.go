package feast_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/registry"
)

var (
	t0  = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	ctx = context.Background()
)

// demo is a small store: drivers 1001 (complete), 1002 (one null, one absent feature), 1003 (too old).
func demo(t testing.TB, opts ...feast.Option) *feast.FeatureStore {
	t.Helper()
	stats := driverView("driver_stats", time.Hour,
		feast.Field{Name: "conv_rate", Type: feast.Float32},
		feast.Field{Name: "trips", Type: feast.Int64},
		feast.Field{Name: "city", Type: feast.String})
	service := &feast.FeatureService{Name: "activity", Features: []feast.FeatureViewProjection{{Name: "driver_stats", Features: stats.Schema}}}
	customer := &feast.Entity{Name: "customer", JoinKey: "customer_id", ValueType: feast.String}
	pair := &feast.FeatureView{
		Name: "pair", Entities: []string{"driver", "customer"},
		Schema:        []feast.Field{{Name: "rides", Type: feast.Int64}},
		EntityColumns: []feast.Field{{Name: "driver_id", Type: feast.Int64}, {Name: "customer_id", Type: feast.String}},
	}
	opts = append([]feast.Option{feast.WithClock(func() time.Time { return t0.Add(30 * time.Minute) })}, opts...)
	fs, store, _ := newStore(t, []feast.Object{driver, customer, stats, pair, service}, opts...)
	write(t, store, stats, driverKey,
		row{[]any{1001}, t0, map[string]any{"conv_rate": 0.5, "trips": 7, "city": "Oslo"}},
		row{[]any{1002}, t0, map[string]any{"conv_rate": 0.25, "trips": nil}},
		row{[]any{1003}, t0.Add(-2 * time.Hour), map[string]any{"conv_rate": 0.75, "trips": 9, "city": "Rome"}})
	return fs
}

var allStats = []string{"driver_stats:conv_rate", "driver_stats:trips", "driver_stats:city"}

func TestStatuses(t *testing.T) {
	fs := demo(t)
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: allStats, Entities: feast.Columns{"driver_id": []int64{1001, 1002, 1003, 9}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]feast.Status{
		"driver_id": {feast.Present, feast.Present, feast.Present, feast.Present},
		"conv_rate": {feast.Present, feast.Present, feast.OutsideMaxAge, feast.NotFound},
		"trips":     {feast.Present, feast.NullValue, feast.OutsideMaxAge, feast.NotFound},
		"city":      {feast.Present, feast.NotFound, feast.OutsideMaxAge, feast.NotFound},
	}
	for i, c := range resp.Columns() {
		var got []feast.Status
		for row := range c.Len() {
			got = append(got, c.Status(row))
		}
		if !slices.Equal(got, want[c.Name()]) {
			t.Errorf("column %d %s has %v, want %v", i, c.Name(), got, want[c.Name()])
		}
	}
	rates, err := resp.Float32s("conv_rate")
	if err != nil || !slices.Equal(rates, []float32{0.5, 0.25, 0.75, 0}) {
		t.Errorf("conv_rate is %v, %v", rates, err)
	}
	trips, _ := resp.Column("trips")
	if at := trips.EventTime(2); !at.Equal(t0.Add(-2 * time.Hour)) {
		t.Errorf("event time of 1003 is %v", at)
	}
	if at := trips.EventTime(3); !at.Equal(time.Unix(0, 0)) {
		t.Errorf("event time of an absent row is %v", at)
	}
}

func TestExpiredNull(t *testing.T) {
	fs := demo(t)
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: allStats, Expired: feast.Null, Entities: feast.Columns{"driver_id": []int64{1003}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range resp.Columns() {
		if c.View() != "" && (c.Any(0) != nil || c.Status(0) != feast.OutsideMaxAge) {
			t.Errorf("%s is %v %v, want no value and OUTSIDE_MAX_AGE", c.Name(), c.Any(0), c.Status(0))
		}
	}
}

func TestExpiryIsExact(t *testing.T) {
	now := t0.Add(time.Hour)
	fs := demo(t, feast.WithClock(func() time.Time { return now }))
	status := func() feast.Status {
		resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats[:1], Entities: feast.Columns{"driver_id": []int64{1001}}})
		if err != nil {
			t.Fatal(err)
		}
		return resp.At(1).Status(0)
	}
	if s := status(); s != feast.Present {
		t.Errorf("at the age of the ttl the status is %v, want PRESENT", s)
	}
	now = now.Add(time.Nanosecond)
	if s := status(); s != feast.OutsideMaxAge {
		t.Errorf("a nanosecond later the status is %v, want OUTSIDE_MAX_AGE", s)
	}
}

func TestJSON(t *testing.T) {
	fs := demo(t)
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: allStats[:2], Entities: feast.Columns{"driver_id": []int64{1003, 1002}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(resp)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"results":[` +
		`{"values":[1003,1002],"statuses":["PRESENT","PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z","1970-01-01T00:00:00Z"]},` +
		`{"values":[0.75,0.25],"statuses":["OUTSIDE_MAX_AGE","PRESENT"],"event_timestamps":["2024-05-01T10:00:00Z","2024-05-01T12:00:00Z"]},` +
		`{"values":[9,null],"statuses":["OUTSIDE_MAX_AGE","NULL_VALUE"],"event_timestamps":["2024-05-01T10:00:00Z","2024-05-01T12:00:00Z"]}],` +
		`"metadata":{"feature_names":["driver_id","conv_rate","trips"]}}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	compat, err := resp.AppendJSON(nil, feast.JSON{FeastStatuses: true})
	if err != nil || strings.Contains(string(compat), "NULL_VALUE") || strings.Contains(string(compat), "OUTSIDE") {
		t.Errorf("FeastStatuses: %s, %v", compat, err)
	}
}

// TestFrames asks the same through every form of frame.
func TestFrames(t *testing.T) {
	type entity struct {
		ID   int64  `feast:"driver_id"`
		Note string `feast:"-"`
	}
	type named int32
	type optional struct {
		ID *named `feast:"driver_id"`
	}
	one, two := named(1001), named(1002)
	var batch feast.Batch
	feast.SetColumn(&batch, "driver_id", []named{1001, 1002, 1001})
	var parsed feast.Batch
	if err := json.Unmarshal([]byte(`{"driver_id": [1001, "1002", 1001.9], "other": [1, 2, 3]}`), &parsed); err != nil {
		t.Fatal(err)
	}
	frames := map[string]feast.Frame{
		"int64":    feast.Columns{"driver_id": []int64{1001, 1002, 1001}},
		"int":      feast.Columns{"driver_id": []int{1001, 1002, 1001}},
		"int32":    feast.Columns{"driver_id": []int32{1001, 1002, 1001}},
		"any":      feast.Columns{"driver_id": []any{"1001", 1002.9, uint8(233)}},
		"rows":     feast.Rows{{"driver_id": 1001}, {"driver_id": int64(1002)}, {"driver_id": "1001"}},
		"structs":  feast.Structs([]entity{{ID: 1001}, {ID: 1002}, {ID: 1001}}),
		"pointers": feast.Structs([]*entity{{ID: 1001}, {ID: 1002}, {ID: 1001}}),
		"optional": feast.Structs([]optional{{&one}, {&two}, {&one}}),
		"batch":    &batch,
		"json":     &parsed,
		"by name":  feast.Columns{"driver": []int64{1001, 1002, 1001}},
	}
	fs := demo(t)
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: allStats[:1]})
	if err != nil {
		t.Fatal(err)
	}
	var out feast.OnlineResponse
	for name, f := range frames {
		want := []float32{0.5, 0.25, 0.5}
		if name == "any" {
			want[2] = 0
		}
		resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats[:1], Entities: f})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := resp.Float32s("conv_rate"); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, want)
		}
		if err := q.GetInto(ctx, f, &out); err != nil {
			t.Errorf("%s: GetInto: %v", name, err)
			continue
		}
		if got, err := feast.Values[float32](out.At(q.Index("conv_rate"))); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: GetInto: %v, %v, want %v", name, got, err, want)
		}
	}
}

func TestBadRequests(t *testing.T) {
	fs := demo(t)
	ids := feast.Columns{"driver_id": []int64{1001}}
	cases := []struct {
		name string
		req  feast.OnlineRequest
		is   error
		says []string
	}{
		{"no features", feast.OnlineRequest{Entities: ids}, feast.ErrInvalid, []string{"no features asked for"}},
		{"no colon", feast.OnlineRequest{Features: []string{"driver_stats"}, Entities: ids}, feast.ErrInvalid, []string{`"driver_stats" has no colon`}},
		{"unknown view", feast.OnlineRequest{Features: []string{"driver_stat:trips"}, Entities: ids}, feast.ErrNotFound, []string{`feature view "driver_stat"`, `did you mean "driver_stats"`}},
		{"unknown feature", feast.OnlineRequest{Features: []string{"driver_stats:trip"}, Entities: ids}, feast.ErrNotFound, []string{`feature "trip" does not exist`, `"driver_stats"`, `did you mean "trips"`}},
		{"unknown service", feast.OnlineRequest{FeatureService: "activty", Entities: ids}, feast.ErrNotFound, []string{`feature service "activty"`, `did you mean "activity"`}},
		{"two problems", feast.OnlineRequest{Features: []string{"nope:a", "driver_stats:nope", "x"}, Entities: ids}, feast.ErrNotFound, []string{`"nope"`, `"x" has no colon`}},
		{"version off", feast.OnlineRequest{Features: []string{"driver_stats@v1:trips"}, Entities: ids}, feast.ErrInvalid, []string{"enable_online_feature_view_versioning"}},
		{"twice", feast.OnlineRequest{Features: []string{"driver_stats:trips", "driver_stats:trips"}, Entities: ids}, feast.ErrInvalid, []string{"several columns named trips"}},
		{"no frame", feast.OnlineRequest{Features: allStats}, feast.ErrInvalid, []string{"no entity rows"}},
		{"no columns", feast.OnlineRequest{Features: allStats, Entities: feast.Columns{}}, feast.ErrInvalid, []string{"no columns"}},
		{"no rows", feast.OnlineRequest{Features: allStats, Entities: feast.Columns{"driver_id": []int64{}}}, feast.ErrInvalid, []string{`column "driver_id"`, "no rows"}},
		{"empty rows", feast.OnlineRequest{Features: allStats, Entities: feast.Rows{}}, feast.ErrInvalid, []string{"no columns"}},
		{"missing key", feast.OnlineRequest{Features: allStats, Entities: feast.Columns{"drivr_id": []int64{1}}}, feast.ErrInvalid, []string{`"driver_stats" needs join key driver_id`, "given are drivr_id"}},
		{"partial key", feast.OnlineRequest{Features: []string{"pair:rides"}, Entities: ids}, feast.ErrInvalid, []string{`"pair" needs join key customer_id`}},
		{"wrong slice", feast.OnlineRequest{Features: allStats, Entities: feast.Columns{"driver_id": []string{"1001"}}}, feast.ErrInvalid, []string{`column "driver_id"`, "[]string", "Int64"}},
		{"no slice", feast.OnlineRequest{Features: allStats, Entities: feast.Columns{"driver_id": 5}}, feast.ErrInvalid, []string{`column "driver_id"`, "int is no column"}},
		{"null", feast.OnlineRequest{Features: allStats, Entities: feast.Columns{"driver_id": []any{1001, nil}}}, feast.ErrInvalid, []string{`column "driver_id", row 1`, "null"}},
		{"text", feast.OnlineRequest{Features: allStats, Entities: feast.Columns{"driver_id": []any{"abc"}}}, feast.ErrInvalid, []string{`column "driver_id", row 0`, `"abc" is no whole number`}},
		{"range", feast.OnlineRequest{Features: allStats, Entities: feast.Columns{"driver_id": []any{uint64(math.MaxUint64)}}}, feast.ErrInvalid, []string{"out of range"}},
		{"list", feast.OnlineRequest{Features: allStats, Entities: feast.Columns{"driver_id": []any{[]any{1}}}}, feast.ErrInvalid, []string{"list does not convert"}},
		{"unequal", feast.OnlineRequest{Features: allStats, Entities: feast.Columns{"driver_id": []int64{1}, "z": []int64{1, 2}}}, feast.ErrInvalid, []string{`column "z"`, "has 2 rows", `"driver_id" has 1`}},
		{"ragged rows", feast.OnlineRequest{Features: allStats, Entities: feast.Rows{{"driver_id": 1}, {"other": 1}}}, feast.ErrInvalid, []string{`column "driver_id", row 1`}},
		{"extra key", feast.OnlineRequest{Features: allStats, Entities: feast.Rows{{"driver_id": 1}, {"driver_id": 1, "b": 1}}}, feast.ErrInvalid, []string{`column "b", row 1`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			resp, err := fs.GetOnlineFeatures(ctx, c.req)
			if resp != nil || !errors.Is(err, c.is) {
				t.Fatalf("got %v, %v; want %v", resp, err, c.is)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error %q does not say %q", err, s)
				}
			}
			if feast.Retryable(err) {
				t.Errorf("%v is called retryable", err)
			}
		})
	}
}

func TestFeastCompatiblePartialKey(t *testing.T) {
	fs := demo(t)
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: []string{"pair:rides"}, FeastCompatible: true, Entities: feast.Columns{"driver_id": []int64{1001}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := resp.Column("rides")
	if err != nil || c.Status(0) != feast.NotFound {
		t.Errorf("rides: %v, %v", c, err)
	}
}

func TestEchoOfOtherKeys(t *testing.T) {
	fs := demo(t)
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: allStats[:1], Entities: feast.Columns{"customer_id": []string{"c1"}, "driver_id": []int64{1001}, "unknown": []int64{5}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range resp.Columns() {
		names = append(names, c.Name())
	}
	if want := []string{"customer_id", "driver_id", "conv_rate"}; !slices.Equal(names, want) {
		t.Errorf("columns are %v, want %v", names, want)
	}

	// The type of a column that no view of the query declares comes from its values, in each request anew.
	other, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: allStats[:1], Entities: feast.Columns{"customer_id": []int64{1}, "driver_id": []int64{1001}, "unknown": []int64{5}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		resp *feast.OnlineResponse
		col  string
		val  any
	}{{resp, "customer_id String[1]", "c1"}, {other, "customer_id Int64[1]", int64(1)}} {
		if c := want.resp.At(0); c.String() != want.col || c.Any(0) != want.val {
			t.Errorf("%s of %v, want %s of %v", c, c.Any(0), want.col, want.val)
		}
	}
}

func TestManyRows(t *testing.T) {
	fs := demo(t)
	ids := make([]int64, 100_000)
	for i := range ids {
		ids[i] = int64(i % 25_000)
	}
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats, Entities: feast.Columns{"driver_id": ids}})
	if err != nil {
		t.Fatal(err)
	}
	trips, err := resp.Int64s("trips")
	if err != nil || len(trips) != len(ids) {
		t.Fatalf("%d rows, %v", len(trips), err)
	}
	for i, v := range trips {
		want := map[int64]int64{1001: 7, 1003: 9}[ids[i]]
		if v != want {
			t.Fatalf("row %d (driver %d) is %d, want %d", i, ids[i], v, want)
		}
	}
}

func TestMatrix(t *testing.T) {
	fs := demo(t)
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: allStats})
	if err != nil {
		t.Fatal(err)
	}
	var out feast.OnlineResponse
	if err := q.GetInto(ctx, feast.Columns{"driver_id": []int64{1001, 1002}}, &out); err != nil {
		t.Fatal(err)
	}
	buf := make([]float32, 0, 8)
	m, err := out.Float32Matrix(buf, -1, q.Index("trips"), q.Index("conv_rate"))
	if err != nil || !slices.Equal(m, []float32{7, 0.5, -1, 0.25}) {
		t.Errorf("matrix is %v, %v", m, err)
	}
	var mismatch *feast.TypeMismatchError
	if _, err := out.Float32Matrix(nil, 0); !errors.As(err, &mismatch) || mismatch.Column != "city" {
		t.Errorf("a matrix with text: %v", err)
	}
	if got := out.At(q.Index("trips")).Or(nil, 5); !slices.Equal(got, []float32{7, 5}) {
		t.Errorf("Or is %v", got)
	}
	if want := []string{"driver_id", "conv_rate", "trips", "city"}; !slices.Equal(q.Columns(), want) {
		t.Errorf("Columns are %v", q.Columns())
	}
	if i := q.Index("nope"); i != -1 {
		t.Errorf("Index of an unknown column is %d", i)
	}
}

func TestNoAllocations(t *testing.T) {
	fs, refs := benchStore(t, 1)
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: refs})
	if err != nil {
		t.Fatal(err)
	}
	var batch feast.Batch
	var out feast.OnlineResponse
	for _, ids := range [][]int64{{42}, make([]int64, 100)} {
		for i := range ids {
			ids[i] = int64(i % 90)
		}
		if n := testing.AllocsPerRun(100, func() {
			batch.Reset()
			feast.SetColumn(&batch, "driver_id", ids)
			if err := q.GetInto(ctx, &batch, &out); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("GetInto of %d rows allocates %v times", len(ids), n)
		}
	}
}

func TestClosed(t *testing.T) {
	fs := demo(t)
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: allStats})
	if err != nil {
		t.Fatal(err)
	}
	if err := fs.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fs.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	ids := feast.Columns{"driver_id": []int64{1}}
	var out feast.OnlineResponse
	_, getErr := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats, Entities: ids})
	_, prepareErr := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: allStats})
	_, snapErr := fs.Snapshot(ctx)
	for name, err := range map[string]error{
		"GetOnlineFeatures": getErr, "PrepareOnline": prepareErr, "Snapshot": snapErr,
		"GetInto": q.GetInto(ctx, ids, &out), "Warm": fs.Warm(ctx), "Check": fs.Check(ctx), "Refresh": fs.Refresh(ctx),
	} {
		if !errors.Is(err, feast.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

func TestCancelled(t *testing.T) {
	fs := demo(t)
	done, cancel := context.WithCancel(ctx)
	cancel()
	ids := feast.Columns{"driver_id": []int64{1}}
	_, getErr := fs.GetOnlineFeatures(done, feast.OnlineRequest{Features: allStats, Entities: ids})
	_, prepareErr := fs.PrepareOnline(done, feast.OnlineQuery{Features: allStats})
	_, openErr := feast.Open(done, t.TempDir())
	for name, err := range map[string]error{
		"GetOnlineFeatures": getErr, "PrepareOnline": prepareErr, "Open": openErr, "Warm": fs.Warm(done), "Check": fs.Check(done), "Refresh": fs.Refresh(done),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v", name, err)
		}
	}
}

func TestUnlinked(t *testing.T) {
	cfg := config.Default(project)
	cfg.OnlineStore = config.NewSection("elasticsearch", nil)
	fs, err := feast.New(ctx, cfg, feast.WithRegistry(registryOf(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	var nl *feast.NotLinkedError
	if _, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: allStats}); !errors.As(err, &nl) || nl.Type != "elasticsearch" {
		t.Errorf("error is %v", err)
	}
	if err := fs.Check(ctx); !errors.As(err, &nl) {
		t.Errorf("Check says %v", err)
	}
}

func TestSchemaChange(t *testing.T) {
	view := driverView("v", 0, feast.Field{Name: "a", Type: feast.Int64}, feast.Field{Name: "b", Type: feast.Int64})
	fs, store, backend := newStore(t, []feast.Object{driver, view})
	write(t, store, view, driverKey, row{[]any{1}, t0, map[string]any{"a": 1, "b": 2}})
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: []string{"v:a", "v:b"}})
	if err != nil {
		t.Fatal(err)
	}
	ids := feast.Columns{"driver_id": []int64{1}}
	var out feast.OnlineResponse
	change := func(fields ...feast.Field) error {
		put(t, backend, driverView("v", 0, fields...))
		if err := fs.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		return q.GetInto(ctx, ids, &out)
	}
	// A new feature beside the others changes nothing for the query.
	if err := change(feast.Field{Name: "c", Type: feast.String}, feast.Field{Name: "a", Type: feast.Int64}, feast.Field{Name: "b", Type: feast.Int64}); err != nil {
		t.Fatal(err)
	}
	if got, _ := feast.Values[int64](out.At(q.Index("b"))); !slices.Equal(got, []int64{2}) {
		t.Errorf("b is %v", got)
	}
	var changed *feast.SchemaChangedError
	if err := change(feast.Field{Name: "a", Type: feast.String}, feast.Field{Name: "b", Type: feast.Int64}); !errors.As(err, &changed) || changed.Column != "a" || changed.Now != "String" {
		t.Errorf("a retyped column: %v", err)
	}
	if err := change(feast.Field{Name: "a", Type: feast.Int64}); !errors.As(err, &changed) || !errors.Is(err, feast.ErrConflict) {
		t.Errorf("a removed column: %v", err)
	}
	if err := change(feast.Field{Name: "a", Type: feast.Int64}, feast.Field{Name: "b", Type: feast.Int64}); err != nil {
		t.Errorf("back again: %v", err)
	}
	// One-off queries follow the registry.
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"v:a"}, Entities: ids})
	if err != nil || resp.At(1).Any(0) != int64(1) {
		t.Errorf("one-off: %v, %v", resp, err)
	}
}

// TestMissRefreshes finds a view that somebody applied after the registry was read.
func TestMissRefreshes(t *testing.T) {
	fs, store, backend := newStore(t, []feast.Object{driver})
	if err := fs.Warm(ctx); err != nil {
		t.Fatal(err)
	}
	view := driverView("fresh", 0, feast.Field{Name: "a", Type: feast.Int64})
	put(t, backend, view)
	write(t, store, view, driverKey, row{[]any{1}, t0, map[string]any{"a": 5}})
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"fresh:a"}, Entities: feast.Columns{"driver_id": []int64{1}}})
	if err != nil || resp.At(1).Any(0) != int64(5) {
		t.Errorf("got %v, %v", resp, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	fs := demo(t)
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{FeatureService: "activity"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			var batch feast.Batch
			var out feast.OnlineResponse
			for i := range 200 {
				id := int64(1001 + (w+i)%3)
				batch.Reset()
				feast.SetColumn(&batch, "driver_id", []int64{id})
				if err := q.GetInto(ctx, &batch, &out); err != nil {
					t.Error(err)
					return
				}
				want := map[int64]float32{1001: 0.5, 1002: 0.25, 1003: 0.75}[id]
				if got, _ := out.Float32s("conv_rate"); got[0] != want {
					t.Errorf("driver %d has %v, want %v", id, got[0], want)
				}
				if i%20 == 0 {
					if _, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats, Entities: &batch}); err != nil {
						t.Error(err)
					}
					if err := fs.Refresh(ctx); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}

// failing is a store one of whose tables fails.
type failing struct {
	online.Store
	view string
}

type failingReader struct {
	online.Reader
	plan *online.ReadPlan
	view string
}

func (f *failing) Prepare(p *online.ReadPlan) (online.Reader, error) {
	r, err := f.Store.Prepare(p)
	return &failingReader{r, p, f.view}, err
}

func (f *failingReader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	for _, t := range f.plan.Tables() {
		if t.View == f.view {
			dst.Fail(t, fmt.Errorf("table is on fire"))
		}
	}
	return f.Reader.Read(ctx, keys, dst)
}

func TestPartialFailure(t *testing.T) {
	good := driverView("good", 0, feast.Field{Name: "a", Type: feast.Int64})
	bad := driverView("bad", 0, feast.Field{Name: "b", Type: feast.Int64})
	store := memory.New()
	fs, _, _ := newStore(t, []feast.Object{driver, good, bad}, feast.WithOnlineStore(&failing{store, "bad"}))
	write(t, store, good, driverKey, row{[]any{1}, t0, map[string]any{"a": 5}})
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"good:a", "bad:b"}, Entities: feast.Columns{"driver_id": []int64{1}}})
	var partial *feast.PartialError
	if !errors.As(err, &partial) || !errors.Is(err, feast.ErrPartial) || len(partial.Views) != 1 || partial.Views["bad"] == nil {
		t.Fatalf("error is %v", err)
	}
	if resp == nil {
		t.Fatal("no response beside the partial failure")
	}
	a, _ := resp.Column("a")
	b, _ := resp.Column("b")
	if a.Any(0) != int64(5) || a.Err() != nil || b.Err() == nil || b.Status(0) != feast.Failed {
		t.Errorf("a is %v (%v), b is %v (%v)", a.Any(0), a.Err(), b.Any(0), b.Err())
	}
}

func registryOf(t testing.TB, objects ...feast.Object) registry.Backend {
	_, _, b := newStore(t, objects)
	return b
}
