package feast_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast"
)

var (
	arrowInt64  = arrow.PrimitiveTypes.Int64
	arrowString = arrow.BinaryTypes.String
	arrowUTC    = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
)

// recordOf makes a record batch of columns of JSON.
func recordOf(t testing.TB, columns ...any) arrow.RecordBatch {
	t.Helper()
	var fields []arrow.Field
	var arrays []arrow.Array
	for i := 0; i < len(columns); i += 3 {
		dt := columns[i+1].(arrow.DataType)
		a, _, err := array.FromJSON(memory.DefaultAllocator, dt, strings.NewReader(columns[i+2].(string)))
		if err != nil {
			t.Fatal(err)
		}
		fields, arrays = append(fields, arrow.Field{Name: columns[i].(string), Type: dt, Nullable: true}), append(arrays, a)
	}
	rows := int64(0)
	if len(arrays) > 0 {
		rows = int64(arrays[0].Len())
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, rows)
}

// columnsOf shows the columns of a record batch, one a line.
func columnsOf(rb arrow.RecordBatch) string {
	var b strings.Builder
	for i, f := range rb.Schema().Fields() {
		fmt.Fprintf(&b, "%s %s %v\n", f.Name, f.Type, rb.Column(i))
	}
	return b.String()
}

func TestArrowFrame(t *testing.T) {
	fs := demo(t)
	for _, keys := range []arrow.RecordBatch{
		recordOf(t, "driver_id", arrowInt64, `[1001, 9, 1002]`, "label", arrow.ListOf(arrowInt64), `[[1], null, [2]]`),
		recordOf(t, "driver_id", arrow.PrimitiveTypes.Uint16, `[1001, 9, 1002]`),
		recordOf(t, "driver_id", arrowString, `["1001", "9", "1002"]`),
		recordOf(t, "driver_id", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrowInt64}, `[1001, 9, 1002]`),
		recordOf(t, "driver_id", arrowInt64, `[0, 1001, 9, 1002]`).NewSlice(1, 4),
	} {
		resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats, Entities: feast.ArrowFrame(keys)})
		if err != nil {
			t.Errorf("%s: %v", keys.Schema(), err)
			continue
		}
		rb, err := resp.RecordBatch(nil)
		if err != nil {
			t.Fatal(err)
		}
		want := `driver_id int64 [1001 9 1002]
conv_rate float32 [0.5 (null) 0.25]
trips int64 [7 (null) (null)]
city utf8 ["Oslo" (null) (null)]
`
		if got := columnsOf(rb); got != want {
			t.Errorf("%s: got\n%swant\n%s", keys.Schema(), got, want)
		}
	}
	for _, c := range []struct {
		keys arrow.RecordBatch
		row  int
		says string
	}{
		{recordOf(t, "driver_id", arrowInt64, `[1001, null]`), 1, "cannot be null"},
		{recordOf(t, "driver_id", arrowString, `["1001", "x"]`), 1, `text "x" is no whole number`},
		{recordOf(t, "driver_id", arrow.ListOf(arrowInt64), `[[1]]`), -1, "list<item: int64> does not convert to Int64"},
	} {
		_, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats, Entities: feast.ArrowFrame(c.keys)})
		var at *feast.RequestError
		if !errors.As(err, &at) || at.Column != "driver_id" || at.Row != c.row || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want row %d and %q", err, c.row, c.says)
		}
	}
	if _, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats, Entities: feast.ArrowFrame(nil)}); !errors.Is(err, feast.ErrInvalid) {
		t.Errorf("nil record batch: %v", err)
	}
}

// Reading through a prepared query with an Arrow frame costs the frame and nothing per row.
func TestArrowFrameAllocations(t *testing.T) {
	fs := demo(t)
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: allStats})
	if err != nil {
		t.Fatal(err)
	}
	count := func(rows int) float64 {
		b := array.NewInt64Builder(memory.DefaultAllocator)
		for i := range rows {
			b.Append(int64(1001 + i%3))
		}
		schema := arrow.NewSchema([]arrow.Field{{Name: "driver_id", Type: arrowInt64}}, nil)
		rb := array.NewRecordBatch(schema, []arrow.Array{b.NewArray()}, int64(rows))
		frame := feast.ArrowFrame(rb)
		var out feast.OnlineResponse
		return testing.AllocsPerRun(10, func() {
			if err := q.GetInto(ctx, frame, &out); err != nil {
				t.Fatal(err)
			}
		})
	}
	if few, many := count(3), count(3000); many > few {
		t.Errorf("%v allocations for 3 rows, %v for 3000", few, many)
	}
}

func TestRecordBatchMemory(t *testing.T) {
	fs := demo(t)
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats, Entities: feast.Columns{"driver_id": []int64{1001, 1003}}})
	if err != nil {
		t.Fatal(err)
	}
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	rb, err := resp.RecordBatch(mem)
	if err != nil {
		t.Fatal(err)
	}
	defer rb.Release()
	if got := fmt.Sprint(rb.Column(2)); got != "[7 9]" { // too old, and there
		t.Errorf("trips are %s", got)
	}
	var empty feast.OnlineResponse
	if rb, err := empty.RecordBatch(mem); err != nil || rb.NumCols() != 0 || rb.NumRows() != 0 {
		t.Errorf("an empty response is %v, %v", rb, err)
	}
}

// Rows to write may be Arrow, too, also more than one batch of them.
func TestWriteArrow(t *testing.T) {
	fs, s, _ := writeStore(t)
	const rows = 10_003
	var ids, rates, labels, times strings.Builder
	for i := range rows {
		comma := map[bool]string{true: ",", false: ""}[i > 0]
		fmt.Fprintf(&ids, "%s%d", comma, i)
		fmt.Fprintf(&rates, "%s%d.5", comma, i)
		fmt.Fprintf(&labels, "%s%q", comma, fmt.Sprint("label ", i%2))
		fmt.Fprintf(&times, "%s%d", comma, 1714564800000000000+i)
	}
	list := func(b *strings.Builder) string { return "[" + b.String() + "]" }
	rb := recordOf(t, "driver_id", arrow.PrimitiveTypes.Int32, list(&ids), "rate", arrow.PrimitiveTypes.Float32, list(&rates),
		"label", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrowString}, list(&labels),
		"ts", &arrow.TimestampType{Unit: arrow.Nanosecond}, list(&times), "made", arrow.Null, strings.Replace("["+strings.Repeat("null,", rows)+"]", ",]", "]", 1))
	res, err := fs.WriteToOnlineStore(ctx, "drivers", feast.ArrowFrame(rb), feast.WriteOptions{})
	if err != nil || res.Written != rows {
		t.Fatalf("%+v, %v", res, err)
	}
	if got := s.wrote(); len(got) != 2 {
		t.Errorf("batches %v", got)
	}
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"drivers:rate", "drivers:label"}, Entities: feast.Columns{"driver_id": []int64{7, 10_002}}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := resp.RecordBatch(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := columnsOf(out), "driver_id int64 [7 10002]\nrate float64 [7.5 10002.5]\nlabel utf8 [\"label 1\" \"label 0\"]\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if at := resp.At(1).EventTime(1); at.UnixNano() != 1714564800000010002 {
		t.Errorf("event time %d", at.UnixNano())
	}

	for _, c := range []struct {
		rb   arrow.RecordBatch
		col  string
		row  int
		says string
	}{
		{recordOf(t, "driver_id", arrowInt64, `[1, null]`, "rate", arrowInt64, `[1, 1]`, "label", arrowString, `["", ""]`, "ts", arrowUTC, `[1, 1]`, "made", arrowUTC, `[1, null]`), "driver_id", 1, "cannot be null"},
		{recordOf(t, "driver_id", arrowInt64, `[1, 2]`, "rate", arrowInt64, `[1, null]`, "label", arrowString, `["", ""]`, "ts", arrowUTC, `[1, null]`, "made", arrowUTC, `[1, null]`), "ts", 1, "an event time cannot be null"},
		{recordOf(t, "driver_id", arrowInt64, `[1]`, "rate", arrowString, `["x"]`, "label", arrowString, `[""]`, "ts", arrowUTC, `[1]`, "made", arrowUTC, `[1]`), "rate", -1, "string does not convert to Float64"},
		{recordOf(t, "driver_id", arrowInt64, `[1]`, "rate", arrowInt64, `[1]`, "label", arrowString, `[""]`, "ts", arrowString, `["noon"]`, "made", arrowUTC, `[1]`), "ts", 0, `"noon" is no ISO 8601 time`},
	} {
		_, err := fs.WriteToOnlineStore(ctx, "drivers", feast.ArrowFrame(c.rb), feast.WriteOptions{})
		var at *feast.RequestError
		if !errors.As(err, &at) || at.Column != c.col || at.Row != c.row || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %s row %d and %q", err, c.col, c.row, c.says)
		}
	}
	if got := s.wrote(); len(got) != 0 {
		t.Errorf("rows were written: %v", got)
	}
}
