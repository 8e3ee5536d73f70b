package feast_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	corepb "github.com/feastgo/feast/internal/protos/feast/core"
	typespb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/onlinetest"
	feastredis "github.com/feastgo/feast/online/redis"
	registrymemory "github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
)

// modelViews are two views of drivers, and modelService has both.
func modelViews() (stats, profile *feast.FeatureView) {
	stats = driverView("stats", time.Hour, feast.Field{Name: "trips", Type: feast.Int64}, feast.Field{Name: "label", Type: feast.String})
	profile = driverView("profile", 0, feast.Field{Name: "name", Type: feast.String})
	for _, v := range []*feast.FeatureView{stats, profile} {
		v.Online, v.Source = true, writeSource("")
	}
	return stats, profile
}

func projectionOf(v *feast.FeatureView) feast.FeatureViewProjection {
	return feast.FeatureViewProjection{Name: v.Name, Features: v.Schema}
}

func modelService(views ...*feast.FeatureView) *feast.FeatureService {
	s := &feast.FeatureService{Name: "model", PrecomputeOnline: true}
	for _, v := range views {
		s.Features = append(s.Features, projectionOf(v))
	}
	return s
}

// model is a feature store with a precomputed service.
type model struct {
	*feast.FeatureStore
	store   *watched
	backend *registrymemory.Backend
	now     clock
}

func newModel(t testing.TB, store online.Store, objects ...feast.Object) *model {
	t.Helper()
	if objects == nil {
		stats, profile := modelViews()
		objects = []feast.Object{driver, stats, profile, modelService(stats, profile)}
	}
	m := &model{store: &watched{Store: store}, backend: registrymemory.New()}
	put(t, m.backend, objects...)
	m.now.set(t, "2024-06-01T12:00:00Z")
	fs, err := feast.New(t.Context(), config.Default(project), feast.WithRegistry(m.backend), feast.WithOnlineStore(m.store), m.now.option())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Error(err)
		}
	})
	m.FeatureStore = fs
	return m
}

// stats writes rows of the view of that name: driver, trips, minutes before noon.
func (m *model) stats(t testing.TB, rows ...[3]int) {
	t.Helper()
	for _, r := range rows {
		row := feast.Rows{{
			"driver_id": r[0], "trips": r[1], "label": fmt.Sprint("l", r[1]),
			"ts": time.Date(2024, 6, 1, 12, -r[2], 0, 0, time.UTC),
		}}
		if res, err := m.WriteToOnlineStore(t.Context(), "stats", row, feast.WriteOptions{}); err != nil || res.Written != 1 {
			t.Fatalf("%+v, %v", res, err)
		}
	}
}

// trips reads stats:trips of drivers by the service.
func (m *model) trips(t testing.TB, drivers ...int64) string {
	t.Helper()
	resp, err := m.GetOnlineFeatures(t.Context(), feast.OnlineRequest{FeatureService: "model", Entities: feast.Columns{"driver_id": drivers}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := resp.Column("trips")
	if err != nil {
		t.Fatal(err)
	}
	var cells []string
	for row := range c.Len() {
		cells = append(cells, fmt.Sprintf("%v %v", c.Any(row), c.Status(row)))
	}
	return strings.Join(cells, ", ")
}

func (m *model) want(t testing.TB, reads, trips string, drivers ...int64) {
	t.Helper()
	m.store.reads()
	if got := m.trips(t, drivers...); got != trips {
		t.Errorf("trips are %s, want %s", got, trips)
	}
	if got := m.store.reads(); got != reads {
		t.Errorf("%s were read, want %s", got, reads)
	}
}

func (m *model) precompute(t testing.TB, names ...string) feast.PrecomputeResult {
	t.Helper()
	res, err := m.PrecomputeFeatureService(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// servers are the stores that have vectors, each empty.
var servers = map[string]func(testing.TB) online.Store{
	"memory": func(testing.TB) online.Store { return memory.New() },
	"redis": func(t testing.TB) online.Store {
		client := redis.NewClient(&redis.Options{Addr: testserver.Redis(t)})
		t.Cleanup(func() { _ = client.Close() })
		keys := client.Keys(t.Context(), "*"+project).Val()
		if len(keys) > 0 {
			client.Del(t.Context(), keys...)
		}
		s, err := feastredis.New(client, feastredis.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	},
}

// TestPrecomputedWrites: vectors follow the rows that this library writes, and old ones show when others write.
func TestPrecomputedWrites(t *testing.T) {
	for name, newStore := range servers {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, newStore(t))
			plain := newModel(t, rowsOnly{m.store.Store})
			plain.stats(t, [3]int{1, 10, 30}, [3]int{2, 20, 30}, [3]int{3, 30, 90}) // as somebody who makes no vectors
			m.want(t, "4 vectors, 3 rows", "10 PRESENT, 20 PRESENT, 30 OUTSIDE_MAX_AGE, <nil> NOT_FOUND", 1, 2, 3, 4)

			res := m.precompute(t)
			if want := []feast.PrecomputedService{{Name: "model", Written: 3}}; !slices.Equal(res.Services, want) {
				t.Errorf("precomputed %+v, want %+v", res.Services, want)
			}
			m.want(t, "4 vectors, 0 rows", "10 PRESENT, 20 PRESENT, 30 OUTSIDE_MAX_AGE, <nil> NOT_FOUND", 1, 2, 3, 4)

			plain.stats(t, [3]int{2, 21, 29})
			m.want(t, "2 vectors, 1 rows", "10 PRESENT, 21 PRESENT", 1, 2)

			m.now.set(t, "2024-06-01T12:00:01Z")
			m.stats(t, [3]int{2, 22, 28}, [3]int{4, 40, 30}) // makes vectors of these
			m.want(t, "4 vectors, 0 rows", "10 PRESENT, 22 PRESENT, 30 OUTSIDE_MAX_AGE, 40 PRESENT", 1, 2, 3, 4)

			m.now.set(t, "2024-06-01T12:00:02Z")
			if err := m.DeleteFromOnlineStore(t.Context(), "stats", feast.Columns{"driver_id": []int64{1, 2}}); err != nil {
				t.Fatal(err)
			}
			m.want(t, "3 vectors, 0 rows", "<nil> NOT_FOUND, <nil> NOT_FOUND, 30 OUTSIDE_MAX_AGE", 1, 2, 3)
			if err := plain.DeleteFromOnlineStore(t.Context(), "stats", feast.Columns{"driver_id": []int64{3}}); err != nil {
				t.Fatal(err)
			}
			m.want(t, "2 vectors, 1 rows", "<nil> NOT_FOUND, 40 PRESENT", 3, 4)
		})
	}
}

// TestPrecomputedPush: the vectors of pushed rows, of the services of all views that a source feeds.
func TestPrecomputedPush(t *testing.T) {
	stats, profile := modelViews()
	stats.StreamSource, profile.StreamSource = pushSource("p"), pushSource("p")
	other := modelService(profile)
	other.Name = "other"
	m := newModel(t, memory.New(), driver, stats, profile, modelService(stats, profile), other)
	m.stats(t, [3]int{1, 10, 30}, [3]int{2, 20, 30})
	m.now.set(t, "2024-06-01T12:00:01Z")
	m.store.reads()
	rows := feast.Columns{
		"driver_id": []int64{1, 1}, "trips": []int64{11, 12}, "label": []string{"a", "b"}, "name": []string{"Ann", "Anna"},
		"ts": []time.Time{time.Unix(1717243100, 0), time.Unix(1717243150, 0)},
	}
	if err := m.Push(t.Context(), "p", rows, feast.ToOnline); err != nil {
		t.Fatal(err)
	}
	if got := m.store.reads(); got != "0 vectors, 2 rows" { // of one entity, for two services
		t.Errorf("the push read %s", got)
	}
	m.want(t, "2 vectors, 0 rows", "12 PRESENT, 20 PRESENT", 1, 2)
	resp, err := m.GetOnlineFeatures(t.Context(), feast.OnlineRequest{FeatureService: "other", Entities: feast.Columns{"driver_id": []int64{1}}})
	if err != nil {
		t.Fatal(err)
	}
	if name := resp.At(1).Any(0); name != "Anna" || m.store.reads() != "1 vectors, 0 rows" {
		t.Errorf("name is %v", name)
	}
}

// noVectors is a store that refuses to write vectors.
type noVectors struct{ online.Store }

var errVectors = errors.New("no vectors today")

func (f noVectors) Unwrap() online.Store { return f.Store }

func (f noVectors) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	if b.Table.HasVectors() {
		return online.WriteResult{}, errVectors
	}
	return f.Store.Write(ctx, b)
}

// TestPrecomputedFails: rows that are written stay written and are answered when their vectors fail, which is told.
func TestPrecomputedFails(t *testing.T) {
	store := memory.New()
	m := newModel(t, store)
	m.stats(t, [3]int{1, 10, 30})
	broken := newModel(t, noVectors{store})
	row := feast.Rows{{"driver_id": 1, "trips": 11, "label": "x", "ts": "2024-06-01T11:50:00Z"}}
	res, err := broken.WriteToOnlineStore(t.Context(), "stats", row, feast.WriteOptions{})
	if !errors.Is(err, errVectors) || !strings.Contains(err.Error(), `vectors of feature service "model"`) || res.Written != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := broken.PrecomputeFeatureService(t.Context()); !errors.Is(err, errVectors) {
		t.Errorf("error %v", err)
	}
	m.want(t, "1 vectors, 1 rows", "11 PRESENT", 1)
}

// TestPrecomputedServices: which services can be precomputed, and which are.
func TestPrecomputedServices(t *testing.T) {
	stats, profile := modelViews()
	off := modelService(profile)
	off.Name, off.PrecomputeOnline = "off", false
	customer := &feast.Entity{Name: "customer", JoinKey: "customer_id", ValueType: feast.String}
	orders := &feast.FeatureView{
		Name: "orders", Entities: []string{"customer"}, Schema: fieldsOf(feast.Int64, "n"), Online: true,
		EntityColumns: []feast.Field{{Name: "customer_id", Type: feast.String}},
	}
	mixed := modelService(stats, orders)
	mixed.Name = "mixed"
	m := newModel(t, memory.New(), driver, customer, stats, profile, orders, modelService(stats, profile), off, mixed)
	m.stats(t, [3]int{1, 10, 30})
	if res := m.precompute(t); len(res.Services) != 1 || res.Services[0].Name != "model" || !slices.Equal(res.Skipped, []string{"mixed"}) {
		t.Errorf("%+v", res)
	}
	if res := m.precompute(t, "off", "model"); len(res.Services) != 2 || res.Services[0].Name != "off" {
		t.Errorf("%+v", res)
	}
	_, err := m.PrecomputeFeatureService(t.Context(), "mixed")
	want := `feature service "mixed" cannot be precomputed: stats and orders are not looked up by the same join keys`
	if !errors.Is(err, feast.ErrInvalid) || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	var missing *feast.NotFoundError
	if _, err := m.PrecomputeFeatureService(t.Context(), "modell"); !errors.As(err, &missing) || !slices.Equal(missing.Near, []string{"model"}) {
		t.Errorf("error %v, want one that is not found", err)
	}
	plain := newModel(t, rowsOnly{memory.New()})
	if _, err := plain.PrecomputeFeatureService(t.Context()); !errors.Is(err, feast.ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
	readOnly, _, _ := newStore(t, []feast.Object{driver, stats, profile, modelService(stats)}, feast.ReadOnly())
	if _, err := readOnly.PrecomputeFeatureService(t.Context()); !errors.Is(err, feast.ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
}

// TestPrecomputedPromise: a prepared query keeps its columns, with vectors of before and after its service grew.
func TestPrecomputedPromise(t *testing.T) {
	stats, profile := modelViews()
	m := newModel(t, memory.New(), driver, stats, profile, modelService(stats))
	m.stats(t, [3]int{1, 10, 30})
	q, err := m.PrepareOnline(t.Context(), feast.OnlineQuery{FeatureService: "model"})
	if err != nil {
		t.Fatal(err)
	}
	get := func(reads string) {
		t.Helper()
		m.store.reads()
		var out feast.OnlineResponse
		if err := q.GetInto(t.Context(), feast.Columns{"driver_id": []int64{1}}, &out); err != nil {
			t.Fatal(err)
		}
		row := out.AppendRow(nil, 0)
		if fmt.Sprint(row) != "map[driver_id:1 label:l10 trips:10]" || m.store.reads() != reads {
			t.Errorf("row %v", row)
		}
	}
	get("1 vectors, 0 rows")
	put(t, m.backend, modelService(stats, profile))
	if err := m.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	get("1 vectors, 1 rows")
	m.now.set(t, "2024-06-01T12:00:01Z")
	m.precompute(t)
	get("1 vectors, 0 rows")
}

// TestPrecomputedVectors reads vectors that are made by hand. Those that can be used answer another value than the rows do.
func TestPrecomputedVectors(t *testing.T) {
	row := time.Date(2024, 6, 1, 11, 30, 0, 0, time.UTC)
	text := func(s string) *typespb.Value { return &typespb.Value{Val: &typespb.Value_StringVal{StringVal: s}} }
	number := func(n int64) *typespb.Value { return &typespb.Value{Val: &typespb.Value_Int64Val{Int64Val: n}} }
	right := func() *corepb.PrecomputedFeatureVector {
		return &corepb.PrecomputedFeatureVector{
			FeatureNames: []string{"stats__trips", "stats__label", "profile__name"},
			Values:       []*typespb.Value{number(77), text("v"), {}},
			FvTimestamps: []*corepb.FeatureViewTimestamp{
				{FeatureViewName: "stats", EventTimestamp: timestamppb.New(row)},
				{FeatureViewName: "profile", EventTimestamp: &timestamppb.Timestamp{}},
			},
			PrecomputedAt: timestamppb.New(row),
		}
	}
	for _, c := range []struct {
		name   string
		usable bool
		change func(v *corepb.PrecomputedFeatureVector)
	}{
		{"right", true, func(*corepb.PrecomputedFeatureVector) {}},
		{"other order", true, func(v *corepb.PrecomputedFeatureVector) { slices.Reverse(v.FeatureNames); slices.Reverse(v.Values) }},
		{"other order of times", true, func(v *corepb.PrecomputedFeatureVector) { slices.Reverse(v.FvTimestamps) }},
		{"no time of an absent row", true, func(v *corepb.PrecomputedFeatureVector) { v.FvTimestamps = v.FvTimestamps[:1] }},
		{"no clock", true, func(v *corepb.PrecomputedFeatureVector) { v.PrecomputedAt = nil }},
		{"more values", true, func(v *corepb.PrecomputedFeatureVector) { v.Values = append(v.Values, number(1)) }},
		{"another view", true, func(v *corepb.PrecomputedFeatureVector) {
			v.FvTimestamps = append(v.FvTimestamps, &corepb.FeatureViewTimestamp{FeatureViewName: "x", EventTimestamp: timestamppb.New(row)})
		}},
		{"last time", true, func(v *corepb.PrecomputedFeatureVector) {
			wrong := &corepb.FeatureViewTimestamp{FeatureViewName: "stats", EventTimestamp: &timestamppb.Timestamp{Seconds: 1}}
			v.FvTimestamps = append([]*corepb.FeatureViewTimestamp{wrong}, v.FvTimestamps...)
		}},
		{"no times", false, func(v *corepb.PrecomputedFeatureVector) { v.FvTimestamps = nil }},
		{"older row", false, func(v *corepb.PrecomputedFeatureVector) { v.FvTimestamps[0].EventTimestamp.Nanos = 1 }},
		{"row that is gone", false, func(v *corepb.PrecomputedFeatureVector) { v.FvTimestamps[1].EventTimestamp.Nanos = 1 }},
		{"nanoseconds", false, func(v *corepb.PrecomputedFeatureVector) { v.FvTimestamps[0].EventTimestamp.Nanos = -1 }},
		{"value of no row", false, func(v *corepb.PrecomputedFeatureVector) { v.Values[2] = text("x") }},
		{"other type", false, func(v *corepb.PrecomputedFeatureVector) { v.Values[0] = text("7") }},
		{"value of another type at last", false, func(v *corepb.PrecomputedFeatureVector) {
			v.Values[0].ProtoReflect().SetUnknown([]byte{0x12, 1, 'x'}) // the text member of a Value
		}},
		{"fewer values", false, func(v *corepb.PrecomputedFeatureVector) { v.Values = v.Values[:2] }},
		{"fewer names", false, func(v *corepb.PrecomputedFeatureVector) { v.FeatureNames = v.FeatureNames[:2] }},
		{"one name less", false, func(v *corepb.PrecomputedFeatureVector) { v.FeatureNames, v.Values = v.FeatureNames[:2], v.Values[:2] }},
		{"one name more", false, func(v *corepb.PrecomputedFeatureVector) {
			v.FeatureNames, v.Values = append(v.FeatureNames, "stats__x"), append(v.Values, number(1))
		}},
		{"a name twice", false, func(v *corepb.PrecomputedFeatureVector) {
			v.FeatureNames, v.Values = append(v.FeatureNames, "stats__trips"), append(v.Values, number(1))
		}},
		{"a name instead of another", false, func(v *corepb.PrecomputedFeatureVector) { v.FeatureNames[1] = "stats__trips" }},
		{"short names", false, func(v *corepb.PrecomputedFeatureVector) { v.FeatureNames = []string{"trips", "label", "name"} }},
		{"nothing", false, func(v *corepb.PrecomputedFeatureVector) { proto.Reset(v) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newModel(t, memory.New())
			newModel(t, rowsOnly{m.store.Store}).stats(t, [3]int{1, 10, 30})
			v := right()
			c.change(v)
			data, err := proto.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			putVector(t, m.store, project, "model", 1, data)
			if c.usable {
				m.want(t, "1 vectors, 0 rows", "77 PRESENT", 1)
			} else {
				m.want(t, "1 vectors, 1 rows", "10 PRESENT", 1)
			}
			resp, err := m.GetOnlineFeatures(t.Context(), feast.OnlineRequest{FeatureService: "model", Entities: feast.Columns{"driver_id": []int64{1}}})
			if err != nil {
				t.Fatal(err)
			}
			if s := resp.At(3).Status(0); s != feast.NotFound {
				t.Errorf("the absent row is %v", s)
			}
		})
	}
}

// putVector stores bytes as the vector of a driver.
func putVector(t testing.TB, s online.Store, project, service string, driver int64, data []byte) {
	t.Helper()
	c := types.NewColumn("vector", types.Bytes, 1)
	if err := c.SetBytes(0, data); err != nil {
		t.Fatal(err)
	}
	table := &online.Table{
		Project: project, View: "__precomputed__" + service, JoinKeys: []string{"driver_id"},
		Features: []types.Field{{Name: "vector", Type: types.Bytes}},
	}
	b := &online.WriteBatch{
		Table: table, Keys: [][]byte{onlinetest.Key("driver_id", driver)}, Event: []types.Timestamp{{Seconds: 1}},
		Columns: []*types.Column{c}, Overwrite: true,
	}
	if _, err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// TestPrecomputedGarbage: a field that is no vector, nor a value, is as good as none.
func TestPrecomputedGarbage(t *testing.T) {
	m := newModel(t, servers["redis"](t))
	m.stats(t, [3]int{1, 10, 30}, [3]int{2, 20, 30})
	m.want(t, "2 vectors, 0 rows", "10 PRESENT, 20 PRESENT", 1, 2)
	client := redis.NewClient(&redis.Options{Addr: testserver.Redis(t)})
	defer func() { _ = client.Close() }()
	key := "\x01\x00\x00\x00\x02\x00\x00\x00\x09\x00\x00\x00driver_id\x04\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" + project
	for _, value := range []string{"", "\xff", "\x0a\xff\x01", "\x12\x02ab", "\x0a\x00"} {
		if n, err := client.HSet(t.Context(), key, vectorField("model"), value).Result(); err != nil || n != 0 {
			t.Fatal(n, err)
		}
		if got := m.trips(t, 1, 2); got != "10 PRESENT, 20 PRESENT" {
			t.Errorf("%q: %s", value, got)
		}
	}
}

// TestPrecomputedManyRows: chunks of entities, with and without vectors, repeated ones among them.
func TestPrecomputedManyRows(t *testing.T) {
	const n = 12_000
	m := newModel(t, memory.New())
	plain := newModel(t, rowsOnly{m.store.Store})
	ids, trips, labels, times := make([]int64, n), make([]int64, n), make([]string, n), make([]time.Time, n)
	for i := range ids {
		ids[i], trips[i], labels[i], times[i] = int64(i), int64(i)*3, fmt.Sprint(i), time.Date(2024, 6, 1, 11, 30, 0, 0, time.UTC)
	}
	rows := feast.Columns{"driver_id": ids, "trips": trips, "label": labels, "ts": times}
	if _, err := plain.WriteToOnlineStore(t.Context(), "stats", rows, feast.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if res := m.precompute(t); res.Services[0].Written != n {
		t.Errorf("%+v", res)
	}
	plain.stats(t, [3]int{3, 1003, 20}, [3]int{11_000, 1004, 20})
	ask := slices.Concat(ids, []int64{7, 3, n + 1})
	req := feast.OnlineRequest{FeatureService: "model", Entities: feast.Columns{"driver_id": ask}}
	m.store.reads()
	got, err := m.GetOnlineFeatures(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if reads := m.store.reads(); reads != "12001 vectors, 2 rows" {
		t.Errorf("%s were read", reads)
	}
	want, err := plain.GetOnlineFeatures(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	sameResponses(t, got, want)
}

// TestPrecomputedAllocates: reading vectors into memory that is used again allocates nothing, however many values there are.
func TestPrecomputedAllocates(t *testing.T) {
	m, ask := wideModel(t, memory.New(), 100, 250)
	q, err := m.PrepareOnline(t.Context(), feast.OnlineQuery{FeatureService: "model"})
	if err != nil {
		t.Fatal(err)
	}
	var out feast.OnlineResponse
	ctx := context.Background()
	read := func() {
		if err := q.GetInto(ctx, ask, &out); err != nil {
			t.Fatal(err)
		}
	}
	m.store.reads()
	read()
	if reads := m.store.reads(); reads != "100 vectors, 0 rows" {
		t.Fatalf("%s were read", reads)
	}
	if n := testing.AllocsPerRun(20, read); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// wideObjects are one view with that many features, and a service with it.
func wideObjects(features int) []feast.Object {
	fields, _ := wide(features)
	v := driverView("wide", 0, fields...)
	return []feast.Object{driver, v, modelService(v)}
}

// wideModel is a model of one view with many features and rows, whose vectors are made, and a request for all rows.
func wideModel(t testing.TB, store online.Store, rows, features int) (*model, *feast.Batch) {
	t.Helper()
	m := newModel(t, store, wideObjects(features)...)
	ids, times := make([]int64, rows), make([]time.Time, rows)
	frame := feast.Columns{"driver_id": ids, "event_timestamp": times}
	for f := range features {
		values := make([]int64, rows)
		for i := range values {
			values[i] = int64(i*features+f) << 20
		}
		frame[fmt.Sprint("f", f)] = values
	}
	for i := range ids {
		ids[i], times[i] = int64(i), time.Unix(1_700_000_000, 0)
	}
	if _, err := m.WriteToOnlineStore(t.Context(), "wide", frame, feast.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	ask := new(feast.Batch)
	feast.SetColumn(ask, "driver_id", ids)
	return m, ask
}

// TestPrecomputedWhileWriting: what was written is read from then on, and values belong to their times.
func TestPrecomputedWhileWriting(t *testing.T) {
	m := newModel(t, memory.New())
	m.now.set(t, "2024-06-01T12:00:00Z")
	const writes = 300
	var mu sync.Mutex
	written := int64(0)
	write := func(n int64) {
		m.now.now.Add(int64(time.Millisecond))
		row := feast.Rows{{"driver_id": 1, "trips": n, "label": fmt.Sprint(n), "ts": time.Unix(1717239600+n, 0)}}
		if _, err := m.WriteToOnlineStore(context.Background(), "stats", row, feast.WriteOptions{}); err != nil {
			t.Error(err)
		}
		mu.Lock()
		written = n
		mu.Unlock()
	}
	write(1)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				mu.Lock()
				least := written
				mu.Unlock()
				resp, err := m.GetOnlineFeatures(context.Background(), feast.OnlineRequest{FeatureService: "model", Entities: feast.Columns{"driver_id": []int64{1}}})
				if err != nil {
					t.Error(err)
					return
				}
				trips, label := resp.At(1), resp.At(2)
				n, _ := trips.Any(0).(int64)
				if n < least || label.Any(0) != fmt.Sprint(n) || trips.EventTime(0).Unix() != 1717239600+n {
					t.Errorf("read %v %v of %v after %d was written", trips.Any(0), label.Any(0), trips.EventTime(0), least)
					return
				}
			}
		})
	}
	for n := range int64(writes) {
		write(n + 2)
	}
	close(done)
	wg.Wait()
}

// TestPrecomputedApply: the vectors go with the service, with its flag, and with the project.
func TestPrecomputedApply(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: testserver.Redis(t)})
	defer func() { _ = client.Close() }()
	fieldsOf := func() string {
		key := "\x01\x00\x00\x00\x02\x00\x00\x00\x09\x00\x00\x00driver_id\x04\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" + project
		var names []string
		for name := range client.HGetAll(t.Context(), key).Val() {
			if strings.HasPrefix(name, "_ts:") {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return fmt.Sprint(len(client.HGetAll(t.Context(), key).Val()), names)
	}
	stats, profile := modelViews()
	service := modelService(stats, profile)
	off := modelService(stats, profile)
	off.PrecomputeOnline = false
	for name, change := range map[string]struct {
		do   func(m *model) error
		want string
	}{
		"flag": {func(m *model) error { _, err := m.Apply(t.Context(), off); return err }, "3 [_ts:stats]"},
		"service": {func(m *model) error {
			_, err := m.ApplyAll(t.Context(), feast.ApplyRequest{Delete: []feast.Object{service}})
			return err
		}, "3 [_ts:stats]"},
		"same":     {func(m *model) error { _, err := m.Apply(t.Context(), service); return err }, "5 [_ts:__precomputed__model _ts:stats]"},
		"teardown": {func(m *model) error { return m.Teardown(t.Context()) }, "0 []"},
		"views": {func(m *model) error {
			_, err := m.ApplyAll(t.Context(), feast.ApplyRequest{Delete: []feast.Object{stats, profile}})
			return err
		}, "0 []"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, servers["redis"](t), []feast.Object{}...)
			if _, err := m.Apply(t.Context(), driver, stats, profile, service); err != nil {
				t.Fatal(err)
			}
			m.stats(t, [3]int{1, 10, 30})
			if got := fieldsOf(); got != "5 [_ts:__precomputed__model _ts:stats]" {
				t.Fatal(got)
			}
			if err := change.do(m); err != nil {
				t.Fatal(err)
			}
			if got := fieldsOf(); got != change.want {
				t.Errorf("stored are %s, want %s", got, change.want)
			}
		})
	}
}

// TestPrecomputedMaterialize: materializing makes the vectors of all entities of the services that have its views.
func TestPrecomputedMaterialize(t *testing.T) {
	left, right := materializeView("left"), materializeView("right")
	m := newMaterializer(t, []*feast.FeatureView{left, right})
	service := func(name string, on bool, views ...string) *feast.FeatureService {
		s := &feast.FeatureService{Name: name, PrecomputeOnline: on}
		for _, v := range views {
			s.Features = append(s.Features, feast.FeatureViewProjection{Name: v, Alias: v + "_of_" + name})
		}
		return s
	}
	mustApply(t, m.FeatureStore, service("both", true, "left", "right"), service("second", true, "right"), service("off", false, "left"))
	m.rows(t, "left", [3]any{1, 10, 1}, [3]any{2, 20, 1}, [3]any{3, 30, 1})
	m.rows(t, "right", [3]any{4, 40, 1})
	r := window(0, 2)
	r.Views = []string{"left"}
	res, err := m.Materialize(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if want := []feast.PrecomputedService{{Name: "both", Written: 3}}; !slices.Equal(res.Precomputed, want) {
		t.Errorf("precomputed %+v, want %+v", res.Precomputed, want)
	}
	r.Views = nil
	if res, err = m.Materialize(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	want := []feast.PrecomputedService{{Name: "both", Written: 4}, {Name: "second", Written: 1}}
	if !slices.Equal(res.Precomputed, want) {
		t.Errorf("precomputed %+v, want %+v", res.Precomputed, want)
	}
	m.online.before = func(_ context.Context, b *online.WriteBatch) error {
		if b.Table.HasVectors() {
			return errVectors
		}
		return nil
	}
	res, err = m.Materialize(t.Context(), r)
	if !errors.Is(err, errVectors) || !strings.HasPrefix(err.Error(), "the views were materialized") || len(res.Views) != 2 {
		t.Errorf("%+v, %v", res, err)
	}
}
