package feast_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/online"
	onlineremote "github.com/feastgo/feast/online/remote"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/remote"
	"github.com/feastgo/feast/remote/server"
	"github.com/feastgo/feast/types"
)

// behind opens a feature store without a registry whose online store is a feature server of another.
func behind(t testing.TB, fs *feast.FeatureStore) *feast.FeatureStore {
	t.Helper()
	return forwarding(t, featureServer(t, fs, false))
}

func featureServer(t testing.TB, fs *feast.FeatureStore, truthful bool) *server.FeatureServer {
	t.Helper()
	s, err := server.Features(fs, server.Options{TruthfulStatuses: truthful})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Drain(context.WithoutCancel(t.Context())), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// A program without a registry pushes to the online and the offline store of a server, and has it materialize.
func TestPushWithoutRegistry(t *testing.T) {
	push := func(v *feast.FeatureView) {
		batch := v.Source
		batch.Name, batch.Options = "batch", feast.FileOptions{Path: "batch.parquet"}
		v.Source = &feast.DataSource{Name: "events", BatchSource: batch, Options: registry.PushOptions{}}
	}
	m := newMaterializer(t, []*feast.FeatureView{materializeView("a", push), materializeView("b", push)})
	fs := behind(t, m.FeatureStore)
	row := func(id int64, hours int) feast.Columns {
		return feast.Columns{"driver_id": []int64{id}, "trips": []int32{int32(id)}, "ts": []time.Time{at(hours)}, "created": []any{nil}}
	}
	for id, to := range map[int64]feast.PushMode{1: feast.ToOffline, 2: feast.ToOnlineAndOffline, 3: feast.ToOnline} {
		if err := fs.Push(t.Context(), "events", row(id, 1), to); err != nil {
			t.Fatalf("%s: %v", to, err)
		}
	}
	values := func() [3]any { return [3]any{m.value(t, "b", 1), m.value(t, "a", 2), m.value(t, "b", 3)} }
	if got := values(); got != [3]any{nil, int64(2), int64(3)} {
		t.Errorf("online: %v", got)
	}
	if res, err := fs.Materialize(t.Context(), window(0, 2)); err != nil || !reflect.DeepEqual(res, feast.MaterializeResult{}) {
		t.Errorf("%+v, %v", res, err)
	}
	if got := values(); got != [3]any{int64(1), int64(2), int64(3)} || !strings.Contains(m.state(t, "a"), "0-2") {
		t.Errorf("materialized: %v, %s", got, m.state(t, "a"))
	}
	if err := fs.Push(t.Context(), "events", row(4, 3), feast.ToOffline); err != nil {
		t.Fatal(err)
	}
	if _, err := fs.MaterializeIncremental(t.Context(), feast.MaterializeRequest{End: at(4), Views: []string{"b"}}); err != nil {
		t.Fatal(err)
	}
	if b, a := m.value(t, "b", 4), m.value(t, "a", 4); b != int64(4) || a != nil {
		t.Errorf("incrementally: b %v, a %v", b, a)
	}

	for name, err := range map[string]error{
		"no such source": fs.Push(t.Context(), "nope", row(1, 1), feast.ToOnline),
		"no such view": func() error {
			_, err := fs.Materialize(t.Context(), feast.MaterializeRequest{Start: at(0), End: at(1), Views: []string{"nope"}})
			return err
		}(),
		"no view to write": func() error {
			_, err := fs.WriteToOnlineStore(t.Context(), "nope", row(1, 1), feast.WriteOptions{})
			return err
		}(),
	} {
		if !errors.Is(err, feast.ErrNotFound) || !strings.Contains(err.Error(), "nope") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := fs.Push(t.Context(), "events", row(1, 1), 7); !errors.Is(err, feast.ErrInvalid) {
		t.Error(err)
	}
	_, err := fs.Materialize(t.Context(), feast.MaterializeRequest{
		Start: at(0), End: at(1), Overwrite: true, Strict: true, Refuse: true, Progress: func(feast.MaterializeProgress) {},
	})
	for _, name := range []string{"Overwrite", "Strict", "Refuse", "Progress"} {
		if !errors.Is(err, feast.ErrUnsupported) || !strings.Contains(err.Error(), name+" cannot be told to the feature server") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// With a registry but no offline store only materializing is the server's.
func TestMaterializeWithoutOfflineStore(t *testing.T) {
	m := newMaterializer(t, []*feast.FeatureView{materializeView("a")})
	m.rows(t, "a", [3]any{1, 7, 1})
	open := func(store online.Store) *feast.FeatureStore {
		cfg := config.Default(project)
		cfg.OfflineStore = config.Section{}
		fs, err := feast.New(t.Context(), cfg, feast.WithRegistry(m.backend), feast.WithOnlineStore(store))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := fs.Close(); err != nil {
				t.Error(err)
			}
		})
		return fs
	}
	fs := open(newRemote(t, featureServer(t, m.FeatureStore, false)))
	if _, err := fs.Materialize(t.Context(), window(0, 2)); err != nil || m.value(t, "a", 1) != int64(7) {
		t.Errorf("%v, %v", m.value(t, "a", 1), err)
	}
	if _, err := open(wrapping{m.online}).Materialize(t.Context(), window(0, 2)); !errors.Is(err, feast.ErrUnsupported) {
		t.Errorf("a store that is no server: %v", err)
	}
}

// newRemote returns a client of a handler.
func newRemote(t testing.TB, h http.Handler) *onlineremote.Store {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	store, err := onlineremote.New(remote.HTTPOptions{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

type (
	label  string
	points []float32
)

// everyKind are columns of all kinds of Go values, and what is read of the first row afterwards.
func everyKind() (schema []feast.Field, rows feast.Columns, want map[string]any) {
	n, text := 7, label("x")
	rows, want = feast.Columns{}, map[string]any{}
	for name, c := range map[string]struct {
		typ    types.Type
		values any
		want   any
	}{
		"int":      {feast.Int64, []int{1 << 60, 0}, int64(1 << 60)},
		"int32":    {feast.Int32, []int32{-5, 0}, int32(-5)},
		"uint":     {feast.Int64, []uint8{200, 0}, int64(200)},
		"float32":  {feast.Float32, []float32{0.1, 0}, float32(0.1)},
		"float64":  {feast.Float64, []float64{5, 0}, 5.0},
		"whole":    {feast.Float64, []any{5, 0.5}, 5.0},
		"bool":     {feast.Bool, []bool{true, false}, true},
		"text":     {feast.String, []string{"a\"\n\u00e9", ""}, "a\"\n\u00e9"},
		"label":    {feast.String, []*label{&text, nil}, "x"},
		"pointer":  {feast.Int64, []*int{&n, nil}, int64(7)},
		"bytes":    {feast.Bytes, [][]byte{{0, 0xff}, nil}, []byte{0, 0xff}},
		"time":     {feast.UnixTimestamp, []time.Time{at(1), at(2)}, at(1).Unix()},
		"decimal":  {types.Decimal, []*big.Int{big.NewInt(12), big.NewInt(13)}, "12"},
		"uuid":     {types.UUID, [][16]byte{{1}, {2}}, [16]byte{1}},
		"json":     {types.JSON, []json.RawMessage{json.RawMessage(`{"a":[1]}`), nil}, json.RawMessage(`{"a":[1]}`)},
		"number":   {feast.Int64, []any{json.Number("12"), nil}, int64(12)},
		"list":     {feast.Float32List, [][]float32{{0.5, 2}, nil}, []float32{0.5, 2}},
		"points":   {feast.Float32List, []points{{3}, {}}, []float32{3}},
		"any list": {feast.Int64List, []any{[]any{1, 2}, nil}, []int64{1, 2}},
		"blobs":    {types.BytesList, [][][]byte{{{1}, {}}, nil}, [][]byte{{1}, {}}},
		"times":    {types.UnixTimestampList, []any{[]any{at(3)}, nil}, []int64{at(3).Unix()}},
		"map":      {types.Map, []map[string]any{{"a": 1.5, "b": []any{"x"}}, nil}, map[string]any{"a": 1.5, "b": []string{"x"}}},
	} {
		schema = append(schema, feast.Field{Name: name, Type: c.typ})
		rows[name], want[name] = c.values, c.want
	}
	return schema, rows, want
}

// Rows of all kinds arrive as what they are, with their times to the microsecond.
func TestWriteWithoutRegistry(t *testing.T) {
	schema, rows, want := everyKind()
	there, _, _ := newStore(t, []feast.Object{driver, func() *feast.FeatureView { v := driverView("kinds", 0, schema...); v.Online = true; return v }(),
		func() *feast.FeatureView {
			v := driverView("arrow", 0, feast.Field{Name: "x", Type: feast.Bytes}, feast.Field{Name: "f", Type: feast.Float64})
			v.Online = true
			return v
		}()})
	fs := forwarding(t, featureServer(t, there, false))
	moment := at(1).Add(123456 * time.Microsecond)
	rows["driver_id"], rows["event_timestamp"] = []int64{1, 2}, []time.Time{moment, moment.Add(time.Second)}
	if res, err := fs.WriteToOnlineStore(t.Context(), "kinds", rows, feast.WriteOptions{}); err != nil || res != (feast.WriteResult{Written: 2}) {
		t.Fatalf("%+v, %v", res, err)
	}
	check := func(id int64) {
		t.Helper()
		var refs []string
		for _, f := range schema {
			refs = append(refs, "kinds:"+f.Name)
		}
		resp, err := there.GetOnlineFeatures(t.Context(), feast.OnlineRequest{Features: refs, Entities: feast.Columns{"driver_id": []int64{id}}})
		if err != nil {
			t.Fatal(err)
		}
		for name, w := range want {
			c, err := resp.Column(name)
			if err != nil {
				t.Fatal(err)
			}
			got := c.Any(0)
			if fmt.Sprint(got) != fmt.Sprint(w) || reflect.TypeOf(got) != reflect.TypeOf(w) || !c.EventTime(0).Equal(moment) {
				t.Errorf("driver %d, %s: %T %v at %v, want %T %v", id, name, got, got, c.EventTime(0), w, w)
			}
		}
	}
	check(1)

	// The same as rows, which are []any.
	one := map[string]any{"driver_id": 3, "event_timestamp": moment}
	for name, values := range rows {
		if _, given := one[name]; !given {
			one[name] = reflect.ValueOf(values).Index(0).Interface()
		}
	}
	if _, err := fs.WriteToOnlineStore(t.Context(), "kinds", feast.Rows{one}, feast.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	check(3)

	// Of Arrow arrays, whose times are finer than seconds, too.
	rb := recordOf(t, "driver_id", arrowInt64, "[0,4]", "x", arrow.BinaryTypes.Binary, `["AA==","/w=="]`, "f", arrow.PrimitiveTypes.Float64, "[1.5,2]",
		"event_timestamp", arrowUTC, fmt.Sprintf("[0,%d]", moment.UnixMicro()))
	part := rb.NewSlice(1, 2)
	defer part.Release()
	if err := putArrow(t, there, fs, part); err != nil {
		t.Fatal(err)
	}
}

// putArrow writes a row of an Arrow record batch and sees that it is there.
func putArrow(t *testing.T, there, fs *feast.FeatureStore, rb arrow.RecordBatch) error {
	t.Helper()
	if res, err := fs.WriteToOnlineStore(t.Context(), "arrow", feast.ArrowFrame(rb), feast.WriteOptions{}); err != nil || res.Written != 1 {
		return fmt.Errorf("%+v, %w", res, err)
	}
	resp, err := there.GetOnlineFeatures(t.Context(), feast.OnlineRequest{Features: []string{"arrow:x", "arrow:f"}, Entities: feast.Columns{"driver_id": []int64{4}}})
	if err != nil {
		return err
	}
	x, err := resp.Column("x")
	f, err2 := resp.Float64s("f")
	if fmt.Sprint(x.Any(0), f, x.EventTime(0).Nanosecond()) != "[255] [2] 123456000" {
		t.Errorf("%v, %v at %v", x.Any(0), f, x.EventTime(0))
	}
	return errors.Join(err, err2)
}

// What cannot be sent is refused with its place, and nothing is sent.
func TestUnsendableRows(t *testing.T) {
	var writes atomic.Int64
	fs := forwarding(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			writes.Add(1)
		}
	}))
	cycle := any(nil)
	cycle = &cycle
	deep := any(1)
	for range 200 {
		deep = []any{deep}
	}
	for says, v := range map[string]any{
		"a NaN or an infinity cannot be sent to a feature server: JSON has none": math.Inf(1),
		`"x" is no number`:                                  json.Number("x"),
		"text is no UTF-8":                                  "\xff",
		"outside the years 1 to 9999":                       time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC),
		"a value nests deeper than 100":                     deep,
		"a value nests deeper than 100 ":                    cycle,
		"a map cannot be sent to a feature server":          map[string]any{"a": math.NaN()},
		"cannot be sent to a feature server: JSON has none": struct{}{},
	} {
		_, err := fs.WriteToOnlineStore(t.Context(), "v", feast.Columns{"ok": []any{1, 2}, "f": []any{nil, v}}, feast.WriteOptions{})
		if !errors.Is(err, feast.ErrInvalid) || !strings.Contains(err.Error(), strings.TrimSpace(says)) || !strings.Contains(err.Error(), `column "f", row 1`) {
			t.Errorf("%v, want %s", err, says)
		}
	}
	if err := fs.Push(t.Context(), "s", feast.Columns{"a": []int{1}, "b": []int{1, 2}}, feast.ToOnline); !errors.Is(err, feast.ErrInvalid) {
		t.Error(err)
	}
	if n := writes.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
}
