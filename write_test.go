package feast_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/registry"
	registrymemory "github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/telemetry"
	"github.com/feastgo/feast/types"
)

// writeSource is the batch source of views that are written.
func writeSource(created string) *feast.DataSource {
	return &feast.DataSource{
		Name: "file", TimestampField: "ts", CreatedTimestampColumn: created,
		FieldMapping: map[string]string{"raw_rate": "rate", "id": "driver_id"}, Options: registry.FileOptions{Path: "x.parquet"},
	}
}

func pushSource(name string) *feast.DataSource {
	return &feast.DataSource{Name: name, BatchSource: writeSource(""), Options: registry.PushOptions{}}
}

// spy is a store that counts batches, fails for some tables, and deletes.
type spy struct {
	*memory.Store
	mu      sync.Mutex
	batches []string
	fail    map[string]error // by view
	deleted []string
	times   [2]types.Timestamp // event and created, of the last row
}

func (s *spy) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	s.mu.Lock()
	s.batches = append(s.batches, fmt.Sprintf("%s %d", b.Table.StoredView(), b.Rows()))
	err := s.fail[b.Table.View]
	s.times[0] = b.Event[b.Rows()-1]
	if b.Created != nil {
		s.times[1] = b.Created[b.Rows()-1]
	}
	s.mu.Unlock()
	if err != nil {
		return online.WriteResult{}, err
	}
	return s.Store.Write(ctx, b)
}

func (s *spy) wrote() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.batches
	s.batches = nil
	return out
}

type deletingSpy struct{ *spy }

func (s deletingSpy) Delete(_ context.Context, t *online.Table, keys [][]byte) error {
	for _, k := range keys {
		s.deleted = append(s.deleted, fmt.Sprintf("%s %x", t.StoredView(), k))
	}
	return s.fail[t.View]
}

// writeStore opens a store that has views of all kinds to write.
func writeStore(t testing.TB, opts ...feast.Option) (*feast.FeatureStore, *spy, *registrymemory.Backend) {
	t.Helper()
	rate := feast.Field{Name: "rate", Type: feast.Float64}
	drivers := driverView("drivers", 0, rate, feast.Field{Name: "label", Type: feast.String})
	drivers.Source = writeSource("made")
	pushed := driverView("pushed", 0, rate)
	pushed.Source = pushSource("events")
	stream := &feast.StreamFeatureView{
		Name: "stream", Entities: []string{"driver"}, Schema: []feast.Field{{Name: "label", Type: feast.String}},
		EntityColumns: driverKey, Source: writeSource(""), StreamSource: pushSource("events"),
	}
	labels := &feast.LabelView{
		Name: "labels", Entities: []string{"driver"}, Schema: []feast.Field{{Name: "good", Type: feast.Bool}},
		EntityColumns: driverKey, Source: pushSource("labelled"),
	}
	global := &feast.FeatureView{Name: "global", Schema: []feast.Field{{Name: "total", Type: feast.Int64}}}
	vectors := driverView("vectors", 0, feast.Field{Name: "emb", Type: feast.Float32List, VectorIndex: true},
		feast.Field{Name: "fixed", Type: feast.Float32List, VectorIndex: true, VectorLength: 2})
	vectors.Source = writeSource("")
	computed := &feast.OnDemandFeatureView{Name: "computed", Entities: []string{"driver"}, EntityColumns: driverKey, Schema: []feast.Field{rate}}
	stored := &feast.OnDemandFeatureView{Name: "stored", Entities: []string{"driver"}, EntityColumns: driverKey, Schema: []feast.Field{rate}, WriteToOnlineStore: true}
	lonely := pushSource("lonely")
	backend := registrymemory.New()
	put(t, backend, driver, drivers, pushed, stream, labels, global, vectors, computed, stored, lonely)
	s := &spy{Store: memory.New(), fail: map[string]error{}}
	opts = append([]feast.Option{feast.WithRegistry(backend), feast.WithOnlineStore(deletingSpy{s}), feast.WithClock(func() time.Time { return t0 })}, opts...)
	fs, err := feast.New(t.Context(), config.Default(project), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return fs, s, backend
}

// readAll is the values, statuses and times of one feature for drivers, as text.
func readAll(t testing.TB, fs *feast.FeatureStore, ref string, ids ...int64) []string {
	t.Helper()
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{ref}, Entities: feast.Columns{"driver_id": ids}})
	if err != nil {
		t.Fatal(err)
	}
	c := resp.At(1)
	if !strings.HasPrefix(ref, c.View()) {
		c = resp.At(0) // a view without entities
	}
	var out []string
	for row := range c.Len() {
		if c.Status(row) == feast.NotFound {
			out = append(out, "-")
			continue
		}
		out = append(out, fmt.Sprintf("%v@%s", c.Any(row), c.EventTime(row).Format("15:04:05.999999999")))
	}
	return out
}

// TestWriteFrames writes the same rows through every form of frame.
func TestWriteFrames(t *testing.T) {
	type named string
	type row struct {
		ID    int64     `feast:"driver_id"`
		Rate  *float64  `feast:"rate"`
		Label named     `feast:"label"`
		TS    time.Time `feast:"ts"`
		Made  *time.Time
		made  int // unexported
		Extra []string
	}
	r := 0.5
	rows := []row{{1, &r, "a", t0, nil, 0, nil}, {2, nil, "b", t0.Add(time.Second), nil, 0, nil}}
	type tagged struct {
		row
		Made any `feast:"made"`
	}
	var batch, parsed feast.Batch
	feast.SetColumn(&batch, "driver_id", []int32{1, 2})
	feast.SetColumn(&batch, "rate", []float32{0.5, float32(math.NaN())})
	feast.SetColumn(&batch, "label", []named{"a", "b"})
	feast.SetColumn(&batch, "ts", []int64{t0.UnixNano(), t0.Add(time.Second).UnixNano()})
	feast.SetColumn(&batch, "made", []time.Time{t0, {}})
	if err := json.Unmarshal([]byte(`{"driver_id": ["1", 2], "rate": [0.5, null], "label": ["a", "b"],
		"ts": ["2024-05-01T12:00:00Z", "2024-05-01 14:00:01+02:00"], "made": ["2024-05-01", null], "other": [1, {}]}`), &parsed); err != nil {
		t.Fatal(err)
	}
	one := t0.Add(time.Second)
	for name, f := range map[string]feast.Frame{
		"columns": feast.Columns{
			"driver_id": []int{1, 2}, "rate": []*float64{&r, nil}, "label": []string{"a", "b"}, "ts": []time.Time{t0, one}, "made": []any{nil, t0},
		},
		"mapped": feast.Columns{
			"id": []int64{1, 2}, "raw_rate": []float64{0.5, math.NaN()}, "label": []string{"a", "b"}, "ts": []*time.Time{&t0, &one}, "made": []*time.Time{nil, &t0},
		},
		"rows": feast.Rows{
			{"driver_id": 1, "rate": 0.5, "label": "a", "ts": t0, "made": nil},
			{"driver_id": 2, "rate": nil, "label": "b", "ts": one.UnixNano(), "made": t0},
		},
		"structs":  feast.Structs([]tagged{{rows[0], nil}, {rows[1], t0}}),
		"pointers": feast.Structs([]*tagged{{rows[0], nil}, {rows[1], t0}}),
		"batch":    &batch,
		"json":     &parsed,
	} {
		fs, _, _ := writeStore(t)
		res, err := fs.WriteToOnlineStore(ctx, "drivers", f, feast.WriteOptions{})
		if err != nil || res != (feast.WriteResult{Written: 2}) {
			t.Errorf("%s: %+v, %v", name, res, err)
			continue
		}
		got := append(readAll(t, fs, "drivers:rate", 1, 2), readAll(t, fs, "drivers:label", 1, 2)...)
		if want := []string{"0.5@12:00:00", "<nil>@12:00:01", "a@12:00:00", "b@12:00:01"}; !slices.Equal(got, want) {
			t.Errorf("%s: stored %v, want %v", name, got, want)
		}
	}
}

// TestTypedSlices: one rule for join keys and features says which typed slices fit.
func TestTypedSlices(t *testing.T) {
	type named uint16
	type text struct{ net.IP }
	one, half := 1, 0.5
	numbers := []any{
		[]int{1}, []int8{1}, []int16{1}, []int32{1}, []int64{1}, []uint{1}, []uint16{1}, []uint32{1}, []uint64{1}, []named{1}, []time.Duration{1},
		[]*int{&one}, []*uint64{new(uint64(1))}, []**int{new(&one)}, []any{"1"},
	}
	others := []any{
		[]float32{1}, []float64{1}, []*float64{&half}, []string{"1"}, []*string{new("1")}, []bool{true}, []*bool{new(true)}, []byte("1"), [][]byte{[]byte("1")},
		[]time.Time{t0}, []*time.Time{&t0}, []*big.Int{big.NewInt(1)}, []text{{net.IPv4zero}}, [][]int64{{1}},
	}
	fs, _, _ := writeStore(t)
	write := func(id, label, rate any) error {
		_, err := fs.WriteToOnlineStore(ctx, "drivers", feast.Columns{"driver_id": id, "rate": rate, "label": label, "ts": []int{1}, "made": []int{1}}, feast.WriteOptions{})
		return err
	}
	total := func(v any) error {
		_, err := fs.WriteToOnlineStore(ctx, "global", feast.Columns{"total": v, "event_timestamp": []int{1}}, feast.WriteOptions{})
		return err
	}
	label, rate := []string{"a"}, []float64{1}
	for _, v := range numbers {
		if err := errors.Join(total(v), write(v, label, rate)); err != nil {
			t.Errorf("%T: %v", v, err)
		}
		if _, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"drivers:rate"}, Entities: feast.Columns{"driver_id": v}}); err != nil {
			t.Errorf("%T: %v", v, err)
		}
	}
	for _, v := range others {
		if _, bytes := v.([]byte); bytes { // which is []uint8
			if err := errors.Join(total(v), write(v, label, rate)); err != nil {
				t.Error(err)
			}
			continue
		}
		name := strings.ReplaceAll(fmt.Sprintf("%T", v), "uint8", "byte")
		want := fmt.Sprintf(`column "total": is a %s, and the feature is Int64; []any has its values coerced`, name)
		if err := total(v); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		want = fmt.Sprintf(`column "driver_id": is a %s, and the join key is Int64; []any has its values coerced`, name)
		if err := write(v, label, rate); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, tc := range []struct {
		id, label, rate any
		want            string
	}{
		{[]*int{nil}, label, rate, `column "driver_id", row 0: a null is not allowed here`},
		{[]uint64{1 << 63}, label, rate, `column "driver_id", row 0: 9223372036854775808 is out of range for Int64`},
		{[]int{1}, []uint8{1}, rate, `column "label": is a []byte, and the feature is String; []any has its values coerced`},
		{[]int{1}, label, []uint8{1}, `column "rate": is a []byte, and the feature is Float64; []any has its values coerced`},
	} {
		if err := write(tc.id, tc.label, tc.rate); err == nil || err.Error() != tc.want {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
	type row struct {
		ID    *uint32   `feast:"driver_id"`
		Rate  **float64 `feast:"rate"`
		Label text      `feast:"label"`
		TS    *uint64   `feast:"ts"`
		Made  any       `feast:"made"`
	}
	rows := []row{{new(uint32(1)), new(&half), text{net.IPv4zero}, new(uint64(7e9)), nil}}
	if _, err := fs.WriteToOnlineStore(ctx, "drivers", feast.Structs(rows), feast.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	got := append(readAll(t, fs, "drivers:rate", 1), readAll(t, fs, "drivers:label", 1)...)
	if want := []string{"0.5@00:00:07", "0.0.0.0@00:00:07"}; !slices.Equal(got, want) {
		t.Errorf("stored %v, want %v", got, want)
	}
	if _, err := fs.WriteToOnlineStore(ctx, "drivers", feast.Structs([]struct {
		row
		ID *string `feast:"driver_id"`
	}{{}}), feast.WriteOptions{}); err == nil {
		t.Error("text is taken for an Int64 key")
	}
}

const maxSecond = 253402300799 // 9999-12-31T23:59:59Z

// TestWriteTimes writes times in all their forms, and the first and last ones.
func TestWriteTimes(t *testing.T) {
	text, at, seven := "2024-05-01T12:00:07", t0.Add(7*time.Second), int64(7)
	sec := t0.Unix() + 7
	type stamp = types.Timestamp
	for _, tc := range []struct {
		times any
		want  stamp
	}{
		{[]int32{7}, stamp{Nanos: 7}},
		{[]int16{-7}, stamp{Seconds: -1, Nanos: 999_999_993}},
		{[]uint64{7}, stamp{Nanos: 7}},
		{[]uint64{math.MaxInt64}, stamp{Seconds: 9223372036, Nanos: 854775807}},
		{[]*int64{&seven}, stamp{Nanos: 7}},
		{[]any{uint8(7)}, stamp{Nanos: 7}},
		{[]any{json.Number("7")}, stamp{Nanos: 7}},
		{[]any{json.Number("7.0")}, stamp{Nanos: 7}},
		{[]any{json.Number("0e5")}, stamp{}},
		{[]any{json.Number("1.7e18")}, stamp{Seconds: 1_700_000_000}},
		{[]any{json.Number("1714564807.000000007e9")}, stamp{Seconds: sec, Nanos: 7}},
		{[]any{json.Number("1714564807000000007")}, stamp{Seconds: sec, Nanos: 7}},
		{[]any{&at}, stamp{Seconds: sec}},
		{[]*string{&text}, stamp{Seconds: sec}},
		{[]time.Time{time.Unix(maxSecond, 999_999_999)}, stamp{Seconds: maxSecond, Nanos: 999_999_999}},
		{[]string{"0001-01-01"}, stamp{Seconds: -62135596800}},
	} {
		fs, s, _ := writeStore(t)
		rows := feast.Columns{"driver_id": []int{1}, "rate": []float64{1}, "label": []string{"a"}, "ts": tc.times, "made": tc.times}
		res, err := fs.WriteToOnlineStore(ctx, "drivers", rows, feast.WriteOptions{})
		if err != nil || res.Written != 1 || s.times != [2]stamp{tc.want, tc.want} {
			t.Errorf("%v: %+v, %v, %v", tc.times, res, s.times, err)
		}
	}
}

// TestWriteTypes writes features of every kind from typed columns, and reads them.
func TestWriteTypes(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		t.Fatal(err)
	}
	type id [16]byte
	local := t0.In(zone)
	columns := []struct {
		typ    types.Type
		values any // two rows
		want   any // of the first; the second is null
	}{
		{types.Int32, []*int8{new(int8), nil}, int32(0)},
		{types.Bytes, [][]byte{{}, nil}, []byte{}},
		{types.ImageBytes, [][]byte{{1}, nil}, []byte{1}},
		{types.UnixTimestamp, []*time.Time{&t0, nil}, t0.Unix()},
		{types.ZonedTimestamp, []*time.Time{&local, nil}, local},
		{types.JSON, []json.RawMessage{json.RawMessage(`{"a": 1}`), nil}, json.RawMessage(`{"a": 1}`)},
		{types.UUID, []*id{{15: 1}, nil}, [16]byte{15: 1}},
		{types.Map, []map[string]any{{"a": 1}, nil}, map[string]any{"a": int64(1)}},
		{types.Struct, []json.RawMessage{json.RawMessage(`{"a": "x"}`), nil}, map[string]any{"a": "x"}},
		{types.ScalarMap, []map[int64]string{{5: "x"}, nil}, []types.MapEntry{{Key: int64(5), Value: "x"}}},
		{types.MapList, [][]map[string]any{{{"a": 1}}, nil}, []map[string]any{{"a": int64(1)}}},
		{types.Int32List, [][]int32{{1}, nil}, []int32{1}},
		{types.Int64List, [][]int64{{1}, nil}, []int64{1}},
		{types.Int64Set, [][]int{{2, 1, 2}, nil}, []int64{2, 1}},
		{types.Float32List, [][]float32{{}, nil}, []float32{}},
		{types.Float64List, [][]float64{{1.5}, nil}, []float64{1.5}},
		{types.BoolList, [][]bool{{true}, nil}, []bool{true}},
		{types.StringList, [][]string{{"a"}, nil}, []string{"a"}},
		{types.StringSet, []map[string]struct{}{{"a": {}}, nil}, []string{"a"}},
		{types.BytesList, [][][]byte{{{1}}, nil}, [][]byte{{1}}},
		{types.UnixTimestampList, [][]time.Time{{t0}, nil}, []int64{t0.Unix()}},
		{types.ValueList, [][][]float32{{{1}, {}}, nil}, []any{[]float32{1}, []float32{}}},
		{types.Float32List, []any{json.RawMessage(`[0.5]`), nil}, []float32{0.5}},
	}
	var fields []feast.Field
	frame := feast.Columns{"driver_id": []int64{1, 2}, "ts": []time.Time{t0, t0}, "any": []int64{1, 1}}
	for i, c := range columns {
		name := fmt.Sprintf("f%d", i)
		fields = append(fields, feast.Field{Name: name, Type: c.typ})
		frame[name] = c.values
	}
	fields = append(fields, feast.Field{Name: "any", Type: feast.Int64})
	view := driverView("v", 0, fields...)
	view.Source = writeSource("")
	fs, _, _ := newStore(t, []feast.Object{driver, view})
	if res, err := fs.WriteToOnlineStore(ctx, "v", frame, feast.WriteOptions{}); err != nil || res.Written != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	for i, c := range columns {
		resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{fmt.Sprintf("v:f%d", i)}, Entities: feast.Columns{"driver_id": []int64{1, 2}}})
		if err != nil {
			t.Fatal(err)
		}
		got := resp.At(1)
		v := got.Any(0)
		if at, ok := v.(time.Time); ok && at.Equal(local) && at.Location().String() == zone.String() {
			v = c.want
		}
		if !reflect.DeepEqual(v, c.want) || got.Status(1) != feast.NullValue {
			t.Errorf("%T as %s: %#v and %v, want %#v and a null", c.values, c.typ, got.Any(0), got.Status(1), c.want)
		}
	}
}

// Types without an end: a pointer may point to itself.
type (
	pointer *pointer
	list    []list
)

// TestBadRows refuses rows before anything is written, and says what is wrong.
func TestBadRows(t *testing.T) {
	good := func(change func(c feast.Columns)) feast.Columns {
		c := feast.Columns{"driver_id": []int64{1, 2}, "rate": []float64{1, 2}, "label": []string{"a", "b"}, "ts": []time.Time{t0, t0}, "made": []time.Time{t0, t0}}
		change(c)
		return c
	}
	set := func(name string, v any) feast.Columns { return good(func(c feast.Columns) { c[name] = v }) }
	without := func(names ...string) feast.Columns {
		return good(func(c feast.Columns) {
			for _, n := range names {
				delete(c, n)
			}
		})
	}
	type bad struct {
		Rate chan int `feast:"rate"`
	}
	round, anyOf := new(pointer), new(any)
	*round, *anyOf = round, anyOf
	fs, s, _ := writeStore(t)
	for _, tc := range []struct {
		view string
		rows feast.Frame
		is   error
		says string
	}{
		{"drivers", set("rate", []any{1, pointer(round)}), feast.ErrInvalid, `column "rate", row 1: malformed value: nested deeper than 100 levels`},
		{"drivers", set("rate", []*any{nil, anyOf}), feast.ErrInvalid, `column "rate", row 1: malformed value: nested deeper than 100 levels`},
		{"drivers", set("driver_id", []any{1, anyOf}), feast.ErrInvalid, `column "driver_id", row 1: a *interface {} does not convert to Int64`},
		{"drivers", set("ts", []any{t0, anyOf}), feast.ErrInvalid, `column "ts", row 1: a *interface {} points to no value`},
		{"drivers", set("ts", []any{t0, new(any)}), feast.ErrInvalid, `column "ts", row 1: an event time cannot be null`},
		{"drivers", set("rate", []pointer{nil, nil}), feast.ErrInvalid, `column "rate": a []feast_test.pointer is no column: use a slice, of int64, string, float32, []float32, any and others`},
		{"drivers", set("rate", []list{nil, nil}), feast.ErrInvalid, `column "rate": a []feast_test.list is no column: use a slice, of int64, string, float32, []float32, any and others`},
		{"driverz", good(func(feast.Columns) {}), feast.ErrNotFound, `feature view "driverz" does not exist in project "demo"; did you mean "drivers"?`},
		{"computed", good(func(feast.Columns) {}), feast.ErrInvalid, `on-demand feature view "computed" is computed when it is read: only one with write_to_online_store is written`},
		{"drivers", nil, feast.ErrInvalid, "no rows: the frame is nil"},
		{"drivers", without("label", "made", "driver_id"), feast.ErrInvalid, `column "driver_id": feature view "drivers" needs columns driver_id, label, made, and the rows have no such columns (given are rate, ts)`},
		{"drivers", without("ts"), feast.ErrInvalid, `column "ts": feature view "drivers" needs column ts, and the rows have no such column (given are driver_id, label, made, rate)`},
		{"drivers", set("raw_rate", []float64{1, 2}), feast.ErrInvalid, `column "rate": the rows also have column "raw_rate", which the source of feature view "drivers" maps to it: give one of the two`},
		{"drivers", set("rate", []float64{1}), feast.ErrInvalid, `column "rate": has 1 rows and column "driver_id" has 2: all columns must have the same length`},
		{"drivers", set("rate", 5), feast.ErrInvalid, `column "rate": an int is no column: use a slice, of int64, string, float32, []float32, any and others`},
		{"drivers", set("rate", []func(){}), feast.ErrInvalid, `column "rate": a []func() is no column: use a slice, of int64, string, float32, []float32, any and others`},
		{"drivers", feast.Structs([]bad{{}}), feast.ErrInvalid, "feast.Structs: field Rate of feast_test.bad has type chan int, which is no column type"},
		{"drivers", set("rate", []string{"1", "2"}), feast.ErrInvalid, `column "rate": is a []string, and the feature is Float64; []any has its values coerced`},
		{"drivers", set("rate", [][]float64{{1}, {2}}), feast.ErrInvalid, `column "rate": is a [][]float64, and the feature is Float64; []any has its values coerced`},
		{"drivers", set("rate", []any{1, "2"}), feast.ErrInvalid, `column "rate", row 1: a string does not convert to Float64`},
		{"drivers", set("rate", []map[string]any{{}, {}}), feast.ErrInvalid, `column "rate", row 0: a map does not convert to Float64`},
		{"drivers", set("label", []string{"a", "\xff"}), feast.ErrInvalid, `column "label", row 1: malformed value: text is not UTF-8`},
		{"drivers", set("driver_id", []string{"1", "2"}), feast.ErrInvalid, `column "driver_id": is a []string, and the join key is Int64; []any has its values coerced`},
		{"drivers", set("driver_id", []any{1, nil}), feast.ErrInvalid, `column "driver_id", row 1: a null is not allowed here`},
		{"drivers", set("driver_id", []*string{nil, nil}), feast.ErrInvalid, `column "driver_id": is a []*string, and the join key is Int64; []any has its values coerced`},
		{"drivers", set("ts", []time.Time{t0, {}}), feast.ErrInvalid, `column "ts", row 1: an event time cannot be null`},
		{"drivers", set("ts", []*time.Time{&t0, nil}), feast.ErrInvalid, `column "ts", row 1: an event time cannot be null`},
		{"drivers", set("ts", []any{nil, t0}), feast.ErrInvalid, `column "ts", row 0: an event time cannot be null`},
		{"drivers", set("ts", []string{"2024-05-01", "soon"}), feast.ErrInvalid, `column "ts", row 1: "soon" is no ISO 8601 time`},
		{"drivers", set("ts", []float64{1, 2}), feast.ErrInvalid, `column "ts", row 0: a float64 is no time: give a time.Time, ISO 8601 text or whole nanoseconds since 1970`},
		{"drivers", set("ts", []any{t0, json.Number("1.5")}), feast.ErrInvalid, `column "ts", row 1: 1.5 are no whole nanoseconds since 1970 that fit into 64 bits`},
		{"drivers", set("ts", []any{t0, json.Number("9.3e18")}), feast.ErrInvalid, `column "ts", row 1: 9.3e18 are no whole nanoseconds since 1970 that fit into 64 bits`},
		{"drivers", set("ts", []any{t0, json.Number("1e-999999999")}), feast.ErrInvalid, `column "ts", row 1: 1e-999999999 are no whole nanoseconds since 1970 that fit into 64 bits`},
		{"drivers", set("ts", []any{t0, json.Number("1e-999999")}), feast.ErrInvalid, `column "ts", row 1: 1e-999999 are no whole nanoseconds since 1970 that fit into 64 bits`},
		{"drivers", set("ts", []any{t0, json.Number("NaN")}), feast.ErrInvalid, `column "ts", row 1: NaN are no whole nanoseconds since 1970 that fit into 64 bits`},
		{"drivers", set("ts", []any{t0, json.Number("zz")}), feast.ErrInvalid, `column "ts", row 1: zz are no whole nanoseconds since 1970 that fit into 64 bits`},
		{"drivers", set("ts", []uint64{1, 1 << 63}), feast.ErrInvalid, `column "ts", row 1: 9223372036854775808 nanoseconds since 1970 do not fit into 64 bits with a sign`},
		{"drivers", set("ts", []any{t0, []int{1}}), feast.ErrInvalid, `column "ts", row 1: a []int is no time: give a time.Time, ISO 8601 text or whole nanoseconds since 1970`},
		{"drivers", set("ts", []time.Time{t0, time.Unix(t0.UnixMilli(), 0).UTC()}), feast.ErrInvalid, `column "ts", row 1: 56302-05-26T00:00:00Z is outside the years 1 to 9999, which times can be of`},
		{"drivers", set("made", []*time.Time{nil, new(time.Unix(maxSecond+1, 0).UTC())}), feast.ErrInvalid, `column "made", row 1: 10000-01-01T00:00:00Z is outside the years 1 to 9999, which times can be of`},
		{"drivers", set("made", []any{nil, time.Date(0, 12, 31, 23, 59, 59, 5, time.UTC)}), feast.ErrInvalid, `column "made", row 1: 0000-12-31T23:59:59.000000005Z is outside the years 1 to 9999, which times can be of`},
		{"drivers", set("ts", []string{"2024-05-01", "0001-01-01T00:30:00+01:00"}), feast.ErrInvalid, `column "ts", row 1: 0001-01-01T00:30:00+01:00 is outside the years 1 to 9999, which times can be of`},
		{"drivers", set("made", []any{"x", nil}), feast.ErrInvalid, `column "made", row 0: "x" is no ISO 8601 time`},
		{"vectors", feast.Columns{"driver_id": []int{1, 2}, "emb": [][]float32{{1}, {1, 2}}, "fixed": [][]float32{nil, nil}, "ts": []int{1, 2}}, feast.ErrInvalid,
			`column "emb", row 1: a vector of length 2, and the length of the first vector of the feature is 1`},
		{"vectors", feast.Columns{"driver_id": []int{1, 2}, "emb": [][]float32{nil, {1}}, "fixed": [][]float32{{1, 2}, {1, 2, 3}}, "ts": []int{1, 2}}, feast.ErrInvalid,
			`column "fixed", row 1: a vector of length 3, and the length declared for the feature is 2`},
	} {
		res, err := fs.WriteToOnlineStore(ctx, tc.view, tc.rows, feast.WriteOptions{})
		if !errors.Is(err, tc.is) || err.Error() != tc.says || res != (feast.WriteResult{}) {
			t.Errorf("%s: %+v, %v, want %s", tc.view, res, err, tc.says)
		}
	}
	if got := s.wrote(); len(got) > 0 {
		t.Errorf("bad rows were written: %v", got)
	}
}

// TestWriteResults counts rows.
func TestWriteResults(t *testing.T) {
	fs, s, _ := writeStore(t)
	rows := func(at time.Time, rates ...any) feast.Columns {
		c := feast.Columns{}
		var ids []int64
		var times, labels []any
		for i := range rates {
			ids, times, labels = append(ids, int64(i)), append(times, at), append(labels, nil)
		}
		c["driver_id"], c["ts"], c["made"], c["rate"], c["label"] = ids, times, labels, rates, labels
		return c
	}
	for _, tc := range []struct {
		name      string
		rows      feast.Frame
		overwrite bool
		want      feast.WriteResult
		stored    []string
	}{
		{"new", rows(t0, 1, 2), false, feast.WriteResult{Written: 2}, []string{"1@12:00:00", "2@12:00:00"}},
		{"older", rows(t0.Add(-time.Second), 3, 4), false, feast.WriteResult{Older: 2}, []string{"1@12:00:00", "2@12:00:00"}},
		{"equal", rows(t0, 5, nil), false, feast.WriteResult{Written: 2}, []string{"5@12:00:00", "<nil>@12:00:00"}},
		{"older, overwriting", rows(t0.Add(-time.Second), 6, 7), true, feast.WriteResult{Written: 2}, []string{"6@11:59:59", "7@11:59:59"}},
		{"all null", rows(t0, nil, math.NaN()), false, feast.WriteResult{Null: 2}, []string{"6@11:59:59", "7@11:59:59"}},
		{"no rows", feast.Columns{"driver_id": []int64{}}, false, feast.WriteResult{}, []string{"6@11:59:59", "7@11:59:59"}},
		{"no columns", feast.Rows{}, false, feast.WriteResult{}, []string{"6@11:59:59", "7@11:59:59"}},
	} {
		s.wrote()
		res, err := fs.WriteToOnlineStore(ctx, "drivers", tc.rows, feast.WriteOptions{Overwrite: tc.overwrite})
		if err != nil || res != tc.want {
			t.Errorf("%s: %+v, %v, want %+v", tc.name, res, err, tc.want)
		}
		if batches := s.wrote(); len(batches) != min(1, tc.want.Written+tc.want.Older) {
			t.Errorf("%s: batches %v", tc.name, batches)
		}
		if got := readAll(t, fs, "drivers:rate", 0, 1); !slices.Equal(got, tc.stored) {
			t.Errorf("%s: stored %v, want %v", tc.name, got, tc.stored)
		}
	}
}

// TestWriteKinds writes to views of other kinds.
func TestWriteKinds(t *testing.T) {
	fs, _, _ := writeStore(t)
	for view, rows := range map[string]feast.Columns{
		"stream": {"driver_id": []int{1}, "label": []string{"x"}, "ts": []time.Time{t0}},
		"labels": {"driver_id": []int{1}, "good": []bool{true}, "ts": []time.Time{t0}},
		"stored": {"driver_id": []int{1}, "rate": []float64{2}}, // as of now
		"global": {"total": []int{6, 5}, "event_timestamp": []string{"2024-05-01 12:00:00", "2024-05-01 11:00:00"}},
	} {
		if _, err := fs.WriteToOnlineStore(ctx, view, rows, feast.WriteOptions{}); err != nil {
			t.Errorf("%s: %v", view, err)
		}
	}
	for ref, want := range map[string]string{
		"stream:label": "x@12:00:00", "labels:good": "true@12:00:00", "stored:rate": "2@12:00:00", "global:total": "6@12:00:00",
	} {
		if got := readAll(t, fs, ref, 1); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %v, want %s", ref, got, want)
		}
	}
}

// TestWriteVersions writes to the current version of a view.
func TestWriteVersions(t *testing.T) {
	backend := registrymemory.New()
	view := driverView("v", 0, feast.Field{Name: "a", Type: feast.Int64})
	view.CurrentVersion = 2
	put(t, backend, driver, view)
	s := &spy{Store: memory.New()}
	cfg := config.Default(project)
	cfg.Registry.OnlineVersioning = true
	fs, err := feast.New(ctx, cfg, feast.WithRegistry(backend), feast.WithOnlineStore(s))
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	rows := feast.Columns{"driver_id": []int{1}, "a": []int{1}, "event_timestamp": []time.Time{t0}}
	if _, err := fs.WriteToOnlineStore(ctx, "v", rows, feast.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := s.wrote(); !slices.Equal(got, []string{"v_v2 1"}) {
		t.Errorf("wrote %v", got)
	}
	if got := readAll(t, fs, "v:a", 1); !slices.Equal(got, []string{"1@12:00:00"}) {
		t.Errorf("stored %v", got)
	}
	view.CurrentVersion = 3
	put(t, backend, view)
	put(t, backend, driverView("new", 0, feast.Field{Name: "a", Type: feast.Int64}))
	if _, err := fs.WriteToOnlineStore(ctx, "new", rows, feast.WriteOptions{}); err != nil { // which refreshes
		t.Fatal(err)
	}
	if _, err := fs.WriteToOnlineStore(ctx, "v", rows, feast.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := s.wrote(); !slices.Equal(got, []string{"new 1", "v_v3 1"}) {
		t.Errorf("wrote %v", got)
	}
}

// TestWriteMany writes more rows than a batch has.
func TestWriteMany(t *testing.T) {
	const n = 25_000
	fs, s, _ := writeStore(t)
	ids, rates, labels, times := make([]int64, n), make([]float64, n), make([]any, n), make([]time.Time, n)
	for i := range n {
		ids[i], rates[i], times[i] = int64(i), math.NaN(), t0
	}
	frame := feast.Columns{"driver_id": ids, "rate": rates, "label": labels, "ts": times, "made": labels}
	if res, err := fs.WriteToOnlineStore(ctx, "drivers", frame, feast.WriteOptions{}); err != nil || res != (feast.WriteResult{Null: n}) {
		t.Errorf("all null: %+v, %v", res, err)
	}
	rates[n-1] = 7
	labels[n-2] = []any{}
	re, ok := errors.AsType[*feast.RequestError](second(fs.WriteToOnlineStore(ctx, "drivers", frame, feast.WriteOptions{})))
	if !ok || re.Row != n-2 || re.Column != "label" {
		t.Errorf("a bad row: %v", re)
	}
	if got := s.wrote(); len(got) > 0 {
		t.Errorf("wrote %v", got)
	}
	labels[n-2] = nil
	if res, err := fs.WriteToOnlineStore(ctx, "drivers", frame, feast.WriteOptions{}); err != nil || res != (feast.WriteResult{Written: n}) {
		t.Errorf("%+v, %v", res, err)
	}
	if got := s.wrote(); !slices.Equal(got, []string{"drivers 10000", "drivers 10000", "drivers 5000"}) {
		t.Errorf("wrote %v", got)
	}
	if got := readAll(t, fs, "drivers:rate", 0, n-1); !slices.Equal(got, []string{"<nil>@12:00:00", "7@12:00:00"}) {
		t.Errorf("stored %v", got)
	}
	if err := fs.DeleteFromOnlineStore(ctx, "drivers", frame); err != nil || len(s.deleted) != n {
		t.Errorf("deleted %d, %v", len(s.deleted), err)
	}

	// A vector as long as the first of all rows, in a batch before.
	embs, fixed := make([][]float32, n), make([][]float32, n)
	embs[1], embs[n-1] = []float32{1, 2}, []float32{1}
	vectors := feast.Columns{"driver_id": ids, "emb": embs, "fixed": fixed, "ts": times}
	re, ok = errors.AsType[*feast.RequestError](second(fs.WriteToOnlineStore(ctx, "vectors", vectors, feast.WriteOptions{})))
	if !ok || re.Row != n-1 || re.Column != "emb" {
		t.Errorf("a vector of another length: %v", re)
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := fs.WriteToOnlineStore(stopped, "drivers", frame, feast.WriteOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func second[A, B any](_ A, b B) B { return b }

func TestPush(t *testing.T) {
	fs, s, _ := writeStore(t)
	rows := feast.Columns{"driver_id": []int64{1}, "rate": []float64{0.5}, "label": []string{"x"}, "ts": []time.Time{t0}}
	down := errors.New("down")
	for _, tc := range []struct {
		name   string
		source string
		rows   feast.Frame
		to     feast.PushMode
		fail   map[string]error
		is     error
		says   string
		wrote  []string
	}{
		{"both views", "events", rows, feast.ToOnline, nil, nil, "", []string{"pushed 1", "stream 1"}},
		{"no rows", "events", feast.Columns{}, feast.ToOnline, nil, nil, "", nil},
		{"unknown source", "event", rows, feast.ToOnline, nil, feast.ErrNotFound, `push source "event" does not exist in project "demo"; did you mean "events"?`, nil},
		{"no view", "lonely", rows, feast.ToOnline, nil, feast.ErrInvalid, `push source "lonely" feeds no feature view: give it to one as its source, and apply it`, nil},
		{"bad mode", "events", rows, 0, nil, feast.ErrInvalid, "PushMode(0) is no push mode: give ToOnline, ToOffline or ToOnlineAndOffline", nil},
		{"missing for several", "events", feast.Columns{"driver_id": []int64{1}, "ts": []time.Time{t0}}, feast.ToOnline, nil, feast.ErrInvalid,
			"column \"rate\": feature view \"pushed\" needs column rate, and the rows have no such column (given are driver_id, ts)\n" +
				"column \"label\": feature view \"stream\" needs column label, and the rows have no such column (given are driver_id, ts)", nil},
		{"bad for the second", "events", feast.Columns{"driver_id": []int64{1}, "rate": []float64{1}, "label": []string{"\xff"}, "ts": []time.Time{t0}}, feast.ToOnline, nil, feast.ErrInvalid,
			`column "label", row 0: malformed value: text is not UTF-8`, nil},
		{"one view fails", "events", rows, feast.ToOnline, map[string]error{"pushed": down}, feast.ErrPartial, "1 feature view(s) failed: pushed: memory: write: down", []string{"pushed 1", "stream 1"}},
		{"all fail", "events", rows, feast.ToOnline, map[string]error{"pushed": down, "stream": down}, down, "memory: write: down\nmemory: write: down", []string{"pushed 1", "stream 1"}},
		{"null for one view", "events", feast.Columns{"driver_id": []int64{1}, "rate": []any{nil}, "label": []string{"y"}, "ts": []time.Time{t0}}, feast.ToOnline, nil, nil, "", []string{"stream 1"}},
	} {
		s.fail = tc.fail
		err := fs.Push(ctx, tc.source, tc.rows, tc.to)
		if !errors.Is(err, tc.is) || err != nil && err.Error() != tc.says {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.says)
		}
		if got := s.wrote(); !slices.Equal(got, tc.wrote) {
			t.Errorf("%s: wrote %v, want %v", tc.name, got, tc.wrote)
		}
	}
	if got := append(readAll(t, fs, "pushed:rate", 1), readAll(t, fs, "stream:label", 1)...); !slices.Equal(got, []string{"0.5@12:00:00", "y@12:00:00"}) {
		t.Errorf("stored %v", got)
	}
	if err := fs.Push(ctx, "labelled", feast.Rows{{"driver_id": 1, "good": true, "ts": t0}}, feast.ToOnline); err != nil {
		t.Error(err)
	}
	if got := readAll(t, fs, "labels:good", 1); !slices.Equal(got, []string{"true@12:00:00"}) {
		t.Errorf("stored %v", got)
	}
}

func TestDelete(t *testing.T) {
	fs, s, _ := writeStore(t)
	key := func(id int64) string { return fmt.Sprintf("drivers %x", onlinetest.Key("driver_id", id)) }
	if err := fs.DeleteFromOnlineStore(ctx, "drivers", feast.Columns{"id": []int64{2, 1, 2}, "other": []any{nil, nil, nil}}); err != nil {
		t.Fatal(err)
	}
	if err := fs.DeleteFromOnlineStore(ctx, "drivers", feast.Columns{}); err != nil {
		t.Fatal(err)
	}
	if err := fs.DeleteFromOnlineStore(ctx, "global", feast.Columns{"x": []int{1, 2}}); err != nil {
		t.Fatal(err)
	}
	if want := []string{key(1), key(2), fmt.Sprintf("global %x", onlinetest.Key(online.DummyJoinKey, ""))}; !slices.Equal(s.deleted, want) {
		t.Errorf("deleted %v, want %v", s.deleted, want)
	}
	s.deleted, s.fail = nil, map[string]error{"pushed": errors.New("down")}
	for _, tc := range []struct {
		view     string
		entities feast.Frame
		is       error
		says     string
	}{
		{"nope", feast.Columns{}, feast.ErrNotFound, `feature view "nope" does not exist in project "demo"`},
		{"drivers", nil, feast.ErrInvalid, "no rows: the frame is nil"},
		{"drivers", feast.Columns{"driver": []int{1}}, feast.ErrInvalid, `column "driver_id": feature view "drivers" needs column driver_id, and the rows have no such column (given are driver)`},
		{"drivers", feast.Columns{"driver_id": []any{1, nil}}, feast.ErrInvalid, `column "driver_id", row 1: a null is not allowed here`},
		{"pushed", feast.Columns{"driver_id": []any{1}}, s.fail["pushed"], "memory: delete: down"},
	} {
		if err := fs.DeleteFromOnlineStore(ctx, tc.view, tc.entities); !errors.Is(err, tc.is) || err.Error() != tc.says {
			t.Errorf("%s: %v, want %s", tc.view, err, tc.says)
		}
	}
	if len(s.deleted) != 1 { // of the store that failed
		t.Errorf("deleted %v", s.deleted)
	}
}

// bare is a store without other abilities.
type bare struct{ online.Store }

func TestForbiddenWrites(t *testing.T) {
	rows := feast.Columns{"driver_id": []int64{1}, "rate": []float64{0.5}, "label": []string{"x"}, "ts": []time.Time{t0}, "made": []time.Time{t0}}
	all := func(fs *feast.FeatureStore) []error {
		return []error{
			second(fs.WriteToOnlineStore(ctx, "drivers", rows, feast.WriteOptions{})),
			fs.Push(ctx, "events", rows, feast.ToOnline),
			fs.DeleteFromOnlineStore(ctx, "drivers", rows),
		}
	}
	fs, s, _ := writeStore(t, feast.ReadOnly())
	for i, err := range all(fs) {
		if !errors.Is(err, feast.ErrUnsupported) || !strings.Contains(err.Error(), "feast.ReadOnly()") {
			t.Errorf("read-only, %d: %v", i, err)
		}
	}
	if len(s.wrote())+len(s.deleted) > 0 {
		t.Error("a read-only store was written")
	}
	fs, _, _ = writeStore(t)
	if err := fs.Close(); err != nil {
		t.Fatal(err)
	}
	for i, err := range all(fs) {
		if !errors.Is(err, feast.ErrClosed) {
			t.Errorf("closed, %d: %v", i, err)
		}
	}
	fs, _, _ = writeStore(t, feast.WithOnlineStore(bare{memory.New()}))
	err := fs.DeleteFromOnlineStore(ctx, "drivers", rows)
	if !errors.Is(err, feast.ErrUnsupported) || err.Error() != `online store "memory" cannot delete rows: they go with their view, or where the store lets keys expire` {
		t.Errorf("a store that cannot delete: %v", err)
	}
}

func TestWriteHook(t *testing.T) {
	var events []telemetry.OnlineWrite
	fs, s, _ := writeStore(t, feast.WithHooks(telemetry.Hooks{OnlineWrite: func(_ context.Context, e telemetry.OnlineWrite) {
		if e.Start.IsZero() || e.Took < 0 {
			t.Errorf("event %+v", e)
		}
		e.Start, e.Took = time.Time{}, 0
		events = append(events, e)
	}}))
	rows := feast.Columns{"driver_id": []int64{1, 1}, "rate": []float64{0.5, 1}, "label": []string{"x", "y"}, "ts": []time.Time{t0, t0.Add(-1)}}
	s.fail = map[string]error{"stream": feast.ErrUnavailable}
	err := fs.Push(ctx, "events", rows, feast.ToOnline)
	if !errors.Is(err, feast.ErrUnavailable) {
		t.Error(err)
	}
	if err := fs.Push(ctx, "events", feast.Columns{"driver_id": []any{nil}}, feast.ToOnline); err == nil {
		t.Error("bad rows were pushed")
	}
	if len(events) != 2 || events[0] != (telemetry.OnlineWrite{Store: "memory", View: "pushed", Rows: 2, Written: 1, Older: 1}) ||
		events[1].View != "stream" || !errors.Is(events[1].Err, feast.ErrUnavailable) {
		t.Errorf("events %+v", events)
	}
}

// TestWriteConcurrently pushes from several goroutines.
func TestWriteConcurrently(t *testing.T) {
	fs, _, _ := writeStore(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				id, rate := int64(g), float64(i)
				rows := feast.Columns{"driver_id": []int64{id}, "rate": []float64{rate}, "label": []string{fmt.Sprint(g)}, "ts": []int64{int64(i) * 1e9}}
				if i%2 == 0 {
					rows["extra"] = []int{1}
				}
				if err := fs.Push(ctx, "events", rows, feast.ToOnline); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := readAll(t, fs, "pushed:rate", 0, 7); !slices.Equal(got, []string{"19@00:00:19", "19@00:00:19"}) {
		t.Errorf("stored %v", got)
	}
}

// discard is a store that keeps nothing.
type discard struct{ online.Store }

func (discard) Write(_ context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	return online.WriteResult{Written: b.Rows()}, nil
}

// TestWriteAllocates holds that a reused batch is written without allocations that depend on the number of rows.
func TestWriteAllocates(t *testing.T) {
	view := driverView("v", 0, feast.Field{Name: "rate", Type: feast.Float64}, feast.Field{Name: "trips", Type: feast.Int64},
		feast.Field{Name: "label", Type: feast.String}, feast.Field{Name: "emb", Type: feast.Float32List}, feast.Field{Name: "tags", Type: feast.StringList})
	view.Source = writeSource("")
	backend := registrymemory.New()
	put(t, backend, driver, view)
	fs, err := feast.New(ctx, config.Default(project), feast.WithRegistry(backend), feast.WithOnlineStore(discard{memory.New()}))
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	const n = 1000
	ids, rates, trips, labels, times := make([]int64, n), make([]float64, n), make([]int, n), make([]string, n), make([]time.Time, n)
	embs, tags := make([][]float32, n), make([][]string, n)
	for i := range n {
		ids[i], rates[i], trips[i], labels[i], times[i] = int64(i), float64(i), i<<20, "label", t0
		embs[i], tags[i] = []float32{1, 2, 3}, []string{"a", "b"}
	}
	var b feast.Batch
	allocs := testing.AllocsPerRun(20, func() {
		b.Reset()
		feast.SetColumn(&b, "driver_id", ids)
		feast.SetColumn(&b, "rate", rates)
		feast.SetColumn(&b, "trips", trips)
		feast.SetColumn(&b, "label", labels)
		feast.SetColumn(&b, "emb", embs)
		feast.SetColumn(&b, "tags", tags)
		feast.SetColumn(&b, "ts", times)
		if _, err := fs.WriteToOnlineStore(ctx, "v", &b, feast.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 64 { // one per value would be thousands; the race detector drops pooled memory now and then
		t.Errorf("%v allocations", allocs)
	}
	t.Logf("%v allocations for %d rows", allocs, n)
}
