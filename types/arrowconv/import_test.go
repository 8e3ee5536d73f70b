package arrowconv

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// parse makes an array of a type from JSON, as Arrow reads it.
func parse(t testing.TB, dt arrow.DataType, text string) arrow.Array {
	t.Helper()
	arr, _, err := array.FromJSON(memory.DefaultAllocator, dt, strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s %s: %v", dt, text, err)
	}
	return arr
}

func anys(c *types.Column) []any {
	out := make([]any, c.Len())
	for i := range out {
		out[i] = c.Any(i)
	}
	return out
}

var (
	i64 = arrow.PrimitiveTypes.Int64
	f64 = arrow.PrimitiveTypes.Float64
	str = arrow.BinaryTypes.String
)

var newYork = func() *time.Location {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		panic(err)
	}
	return zone
}()

func stamp(u arrow.TimeUnit, zone string) arrow.DataType {
	return &arrow.TimestampType{Unit: u, TimeZone: zone}
}

// importCases are arrays, as JSON, and what becomes of them.
var importCases = []struct {
	from arrow.DataType
	json string
	to   types.Type
	want []any
}{
	{i64, `[1, null, 9007199254740993]`, types.Int64, []any{int64(1), nil, int64(9007199254740993)}},
	{arrow.PrimitiveTypes.Int32, `[1, null, -3]`, types.Int64, []any{int64(1), nil, int64(-3)}},
	{arrow.PrimitiveTypes.Int8, `[-128]`, types.Int64, []any{int64(-128)}},
	{arrow.PrimitiveTypes.Int16, `[-129]`, types.Int32, []any{int32(-129)}},
	{arrow.PrimitiveTypes.Uint8, `[255]`, types.Int32, []any{int32(255)}},
	{arrow.PrimitiveTypes.Uint16, `[65535]`, types.Int32, []any{int32(65535)}},
	{arrow.PrimitiveTypes.Uint32, `[4294967295]`, types.Int64, []any{int64(4294967295)}},
	{arrow.PrimitiveTypes.Uint64, `[9223372036854775807]`, types.Int64, []any{int64(math.MaxInt64)}},
	{arrow.PrimitiveTypes.Int32, `[7, null]`, types.Int32, []any{int32(7), nil}},
	{i64, `[-2147483648]`, types.Int32, []any{int32(math.MinInt32)}},
	{f64, `[1.9, -1.9, null]`, types.Int64, []any{int64(1), int64(-1), nil}},
	{arrow.FixedWidthTypes.Boolean, `[true, false]`, types.Int64, []any{int64(1), int64(0)}},
	{str, `[" -1_000 ", null]`, types.Int64, []any{int64(-1000), nil}},
	{&arrow.Decimal128Type{Precision: 20, Scale: 2}, `["-12.99"]`, types.Int64, []any{int64(-12)}},
	{&arrow.Decimal128Type{Precision: 20, Scale: 2}, `["-12.50", null]`, types.Float64, []any{-12.5, nil}},

	{arrow.PrimitiveTypes.Float32, `[0.5, null]`, types.Float64, []any{0.5, nil}},
	{f64, `[0.1, 1e300]`, types.Float32, []any{float32(0.1), float32(math.Inf(1))}},
	{arrow.FixedWidthTypes.Float16, `[1.5]`, types.Float32, []any{float32(1.5)}},
	{i64, `[9007199254740993]`, types.Float64, []any{float64(9007199254740992)}},
	{str, `["2.5", "-inf"]`, types.Float32, []any{float32(2.5), float32(math.Inf(-1))}},

	{i64, `[1, null]`, types.String, []any{"1", nil}},
	{arrow.PrimitiveTypes.Uint64, `[18446744073709551615]`, types.String, []any{"18446744073709551615"}},
	{f64, `[1, 1e16]`, types.String, []any{"1.0", "1e+16"}},
	{arrow.FixedWidthTypes.Boolean, `[true, false]`, types.String, []any{"True", "False"}},
	{arrow.BinaryTypes.Binary, `["J1wKAA=="]`, types.String, []any{`b"'\\\n\x00"`}},
	{arrow.BinaryTypes.LargeString, `["é", ""]`, types.String, []any{"é", ""}},
	{arrow.BinaryTypes.StringView, `["a text that is longer than an inline view"]`, types.String, []any{"a text that is longer than an inline view"}},
	{&arrow.Decimal128Type{Precision: 20, Scale: 3}, `["1.100", "-0.005", "0.000"]`, types.Decimal, []any{"1.100", "-0.005", "0.000"}},
	{&arrow.Decimal128Type{Precision: 20, Scale: 0}, `["120"]`, types.String, []any{"120"}},
	{&arrow.Decimal256Type{Precision: 50, Scale: 8}, `["0.00000001", "0.00000100"]`, types.Decimal, []any{"1E-8", "0.00000100"}},
	{str, `["1.10"]`, types.Decimal, []any{"1.10"}},
	{&arrow.FixedSizeBinaryType{ByteWidth: 16}, `["EjRWeBI0VngSNFZ4EjRWeA=="]`, types.UUID, []any{[16]byte{0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78}}},

	{arrow.BinaryTypes.LargeBinary, `["AP8=", "", null]`, types.Bytes, []any{[]byte{0, 255}, []byte{}, nil}},
	{arrow.FixedWidthTypes.Boolean, `[true, null]`, types.Bool, []any{true, nil}},
	{i64, `[2, 0]`, types.Bool, []any{true, false}},

	{stamp(arrow.Second, ""), `["2024-01-01 00:00:00"]`, types.UnixTimestamp, []any{int64(1704067200)}},
	{stamp(arrow.Millisecond, "UTC"), `[1704067200999]`, types.UnixTimestamp, []any{int64(1704067200)}},
	{stamp(arrow.Microsecond, ""), `["1969-12-31 23:59:59.500000", null]`, types.UnixTimestamp, []any{int64(0), nil}},
	{stamp(arrow.Nanosecond, ""), `["1969-12-31 23:59:58.999999999"]`, types.UnixTimestamp, []any{int64(-1)}},
	{stamp(arrow.Second, "America/New_York"), `[1704085200]`, types.UnixTimestamp, []any{int64(1704085200)}},
	{arrow.FixedWidthTypes.Date32, `["2024-01-01"]`, types.UnixTimestamp, []any{int64(1704067200)}},
	{i64, `[5]`, types.UnixTimestamp, []any{int64(5)}},
	{str, `["5"]`, types.UnixTimestamp, []any{int64(5)}},
	{stamp(arrow.Microsecond, "America/New_York"), `[1704085200000001]`, types.ZonedTimestamp, []any{time.Unix(1704085200, 0).In(newYork)}},

	{arrow.ListOf(arrow.PrimitiveTypes.Int32), `[[1, null, 3], [], null]`, types.Int64List, []any{[]int64{1, 0, 3}, []int64{}, nil}},
	{arrow.LargeListOf(i64), `[[1, 2]]`, types.Int64List, []any{[]int64{1, 2}}},
	{arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), `[[1, 2], null, [3, 4]]`, types.Float32List, []any{[]float32{1, 2}, nil, []float32{3, 4}}},
	{arrow.ListOf(f64), `[[1.5, null]]`, types.Float32List, []any{[]float32{1.5, 0}}},
	{arrow.ListOf(str), `[["a", null, "é"], []]`, types.StringList, []any{[]string{"a", "", "é"}, []string{}}},
	{arrow.ListOf(str), `[["b", "a", "b", null, null]]`, types.StringSet, []any{[]string{"b", "a", ""}}},
	{arrow.ListOf(arrow.BinaryTypes.Binary), `[["YQ==", "YQ==", null]]`, types.BytesSet, []any{[][]byte{[]byte("a"), {}}}},
	{arrow.ListOf(arrow.FixedWidthTypes.Boolean), `[[true, false, null]]`, types.BoolList, []any{[]bool{true, false, false}}},
	{arrow.ListOf(stamp(arrow.Millisecond, "")), `[["2024-01-01 00:00:00", null]]`, types.UnixTimestampList, []any{[]int64{1704067200, math.MinInt64}}},
	{arrow.ListOf(arrow.Null), `[[null], []]`, types.UnixTimestampList, []any{[]int64{math.MinInt64}, []int64{}}},
	{arrow.ListOf(&arrow.Decimal128Type{Precision: 5, Scale: 1}), `[["1.5", "2.0"]]`, types.DecimalList, []any{[]string{"1.5", "2.0"}}},

	{arrow.MapOf(str, i64), `[[{"key": "a", "value": 1}, {"key": "b", "value": null}], [], null]`, types.Map, []any{map[string]any{"a": int64(1), "b": nil}, map[string]any{}, nil}},
	{arrow.MapOf(i64, f64), `[[{"key": 7, "value": 0.5}]]`, types.Map, []any{map[string]any{"7": 0.5}}},
	{arrow.MapOf(i64, str), `[[{"key": 7, "value": "x"}]]`, types.ScalarMap, []any{[]types.MapEntry{{Key: int64(7), Value: "x"}}}},
	{arrow.MapOf(f64, arrow.ListOf(i64)), `[[{"key": 0.5, "value": [1, null]}]]`, types.ScalarMap, []any{[]types.MapEntry{{Key: 0.5, Value: []int64{1, 0}}}}},
	{
		arrow.StructOf(
			arrow.Field{Name: "s", Type: str, Nullable: true}, arrow.Field{Name: "l", Type: arrow.ListOf(arrow.ListOf(i64)), Nullable: true},
			arrow.Field{Name: "t", Type: stamp(arrow.Microsecond, "UTC"), Nullable: true}, arrow.Field{Name: "b", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
		),
		`[{"s": "x", "l": [[1], []], "t": 1704067200000000, "b": true}, {"s": null}]`, types.Struct,
		[]any{map[string]any{"s": "x", "l": []any{[]int64{1}, []int64{}}, "t": int64(1704067200), "b": true}, map[string]any{"s": nil, "l": nil, "t": nil, "b": nil}},
	},
	{arrow.ListOf(arrow.MapOf(str, str)), `[[[{"key": "a", "value": "b"}], []]]`, types.MapList, []any{[]map[string]any{{"a": "b"}, {}}}},
	{arrow.ListOf(arrow.ListOf(str)), `[[["a"], []]]`, types.ValueList, []any{[]any{[]string{"a"}, []string{}}}},
	{str, `["{\"a\": [1, 2], \"b\": {\"c\": null}, \"d\": [[0.5]], \"e\": true}"]`, types.Struct, []any{map[string]any{"a": []int64{1, 2}, "b": map[string]any{"c": nil}, "d": []any{[]float64{0.5}}, "e": true}}},
	{arrow.StructOf(arrow.Field{Name: "a", Type: arrow.ListOf(f64), Nullable: true}), `[{"a": [1, null]}, null]`, types.JSON, []any{jsonRaw(`{"a": [1.0, null]}`), nil}},

	{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: str}, `["a", null, "b", "a"]`, types.String, []any{"a", nil, "b", "a"}},
	{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint16, ValueType: i64}, `[5, 6, 5]`, types.Int64, []any{int64(5), int64(6), int64(5)}},
	{arrow.ListOf(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: str}), `[["a", "b", "a"]]`, types.StringList, []any{[]string{"a", "b", "a"}}},
	{arrow.Null, `[null, null]`, types.Map, []any{nil, nil}},
}

func TestImport(t *testing.T) {
	for _, c := range importCases {
		arr := parse(t, c.from, c.json)
		var m Importer
		col := types.NewColumn("c", c.to, len(c.want)+2)
		if err := m.Import(col, 1, arr); err != nil {
			t.Errorf("%s %s to %s: %v", TypeText(c.from), c.json, c.to, err)
			continue
		}
		got := anys(col)[1 : len(c.want)+1]
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s to %s: %#v, want %#v", TypeText(c.from), c.json, c.to, got, c.want)
		}
		for i, v := range c.want {
			if want := map[bool]types.Status{true: types.Present, false: types.NullValue}[v != nil]; col.Status(i+1) != want {
				t.Errorf("%s to %s: row %d is %s", TypeText(c.from), c.to, i, col.Status(i+1))
			}
		}
		if col.Status(0) != types.NotFound || col.Status(len(c.want)+1) != types.NotFound {
			t.Errorf("%s to %s: cells beside the array were touched", TypeText(c.from), c.to)
		}

		// A slice of the array is read as such.
		if arr.Len() > 1 {
			part := array.NewSlice(arr, 1, int64(arr.Len()))
			col := types.NewColumn("c", c.to, part.Len())
			if err := m.Import(col, 0, part); err != nil || !reflect.DeepEqual(anys(col), c.want[1:]) {
				t.Errorf("slice of %s to %s: %#v, %v; want %#v", TypeText(c.from), c.to, anys(col), err, c.want[1:])
			}
		}
	}
}

func jsonRaw(s string) any {
	c := types.NewColumn("", types.JSON, 1)
	_ = c.SetString(0, s)
	return c.Any(0)
}

func TestImportNaN(t *testing.T) {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	b.AppendValues([]float64{math.NaN(), 1}, nil)
	arr := b.NewArray()
	for _, typ := range []types.Type{types.Float64, types.Float32} {
		col := types.NewColumn("c", typ, 2)
		if err := new(Importer).Import(col, 0, arr); err != nil || col.Status(0) != types.NullValue || col.Status(1) != types.Present {
			t.Errorf("%s: %s %s, %v", typ, col.Status(0), col.Status(1), err)
		}
		col = types.NewColumn("c", typ, 2)
		if err := (&Importer{KeepNaN: true}).Import(col, 0, arr); err != nil || col.Status(0) != types.Present {
			t.Errorf("%s: NaN is not kept, %v", typ, err)
		}
	}
	col := types.NewColumn("c", types.Int64, 2)
	if err := (&Importer{KeepNaN: true}).Import(col, 0, arr); err != nil || col.Status(0) != types.NullValue || col.Any(1) != int64(1) {
		t.Errorf("Int64: %v, %v", anys(col), err)
	}
}

// Empty lists stay lists, also when nothing else was imported before.
func TestImportEmptyLists(t *testing.T) {
	for _, elem := range []types.Type{types.Int64List, types.Int32List, types.Float64List, types.Float32List, types.BoolList, types.StringList, types.BytesList, types.UnixTimestampList} {
		dt, err := DataType(elem, "")
		if err != nil {
			t.Fatal(err)
		}
		b := array.NewBuilder(memory.DefaultAllocator, dt).(*array.ListBuilder)
		b.AppendNull()
		b.Append(true)
		col := types.NewColumn("c", elem, 2)
		if err := new(Importer).Import(col, 0, b.NewArray()); err != nil || col.Status(0) != types.NullValue || col.Status(1) != types.Present || col.ListLen(1) != 0 {
			t.Errorf("%s: %s %s, %v", elem, col.Status(0), col.Status(1), err)
		}
	}
}

func TestImportErrors(t *testing.T) {
	for _, c := range []struct {
		from arrow.DataType
		json string
		to   types.Type
		row  int
		says string
	}{
		{i64, `[1, 2147483648]`, types.Int32, 1, "2147483648 is out of range for Int32"},
		{arrow.PrimitiveTypes.Uint64, `[9223372036854775808]`, types.Int64, 0, "out of range"},
		{f64, `[1e300]`, types.Int64, 0, "out of range"},
		{str, `["7.5"]`, types.Int64, 0, `text "7.5" is no whole number`},
		{str, `["x"]`, types.Float32, 0, `text "x" is no number`},
		{str, `["1.5"]`, types.Float64, -1, "Arrow type string does not convert to Float64"},
		{arrow.FixedWidthTypes.Boolean, `[true]`, types.Float64, -1, "bool does not convert to Float64"},
		{f64, `[1]`, types.Bool, -1, "double does not convert to Bool"},
		{f64, `[1]`, types.UnixTimestamp, -1, "double does not convert to UnixTimestamp"},
		{str, `["YQ=="]`, types.Bytes, -1, "string does not convert to Bytes"},
		{f64, `[1.5]`, types.Decimal, -1, "double does not convert to Decimal"},
		{arrow.BinaryTypes.Binary, `["YQ=="]`, types.UUID, 0, "1 bytes are no UUID"},
		{str, `["{"]`, types.JSON, 0, "is not valid JSON"},
		{stamp(arrow.Second, ""), `[0]`, types.String, -1, "timestamp[s] does not convert to String"},
		{arrow.ListOf(i64), `[[1]]`, types.Float64List, -1, "list<item: int64> does not convert to Array(Float64)"},
		{arrow.ListOf(f64), `[[1.5]]`, types.Int64List, -1, "does not convert to Array(Int64)"},
		{arrow.ListOf(i64), `[[1], [4294967296]]`, types.Int32List, 1, "out of range for Int32"},
		{i64, `[1]`, types.Int64List, -1, "int64 does not convert to Array(Int64)"},
		{arrow.ListOf(i64), `[[1]]`, types.Map, -1, "list<item: int64> does not convert to Map"},
		{arrow.MapOf(str, str), `[[{"key": "a", "value": "b"}]]`, types.ScalarMap, 0, "a map with text as keys"},
		{arrow.MapOf(str, arrow.FixedWidthTypes.Duration_s), `[[{"key": "a", "value": 1}]]`, types.Map, 0, "duration[s], which Feast has no type for"},
		{str, `["[1]"]`, types.Map, 0, "malformed JSON"},
		{str, `["{\"a\": [1, \"x\"]}"]`, types.Map, 0, "a list holds elements of one type"},
		{str, `["{\"a\": 9223372036854775808}"]`, types.Map, 0, "out of range for Int64"},
	} {
		col := types.NewColumn("c", c.to, 3)
		err := new(Importer).Import(col, 0, parse(t, c.from, c.json))
		var at *feasterr.RequestError
		if !errors.As(err, &at) || at.Column != "c" || at.Row != c.row || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s to %s: %v, want row %d and %q", TypeText(c.from), c.json, c.to, err, c.row, c.says)
		}
	}
}

// A column whose values are not all of its type is exported as far as they widen.
func TestMixed(t *testing.T) {
	value := func(typ types.Type, set func(c *types.Column)) []byte {
		c := types.NewColumn("", typ, 1)
		set(c)
		return c.AppendValue(nil, 0)
	}
	f := types.NewColumn("f", types.Float64, 2)
	f.SetFloat64(0, 0.5)
	_ = f.SetValue(1, value(types.Int32, func(c *types.Column) { c.SetInt32(0, 7) }))
	arr, err := Array(f, f64, memory.DefaultAllocator)
	if err != nil || arr.(*array.Float64).Value(1) != 7 {
		t.Errorf("%v, %v", arr, err)
	}
	s := types.NewColumn("s", types.String, 2)
	_ = s.SetString(0, "x")
	_ = s.SetValue(1, value(types.UUID, func(c *types.Column) { _ = c.SetString(0, "u") }))
	if arr, err = Array(s, str, memory.DefaultAllocator); err != nil || arr.(*array.String).Value(1) != "u" {
		t.Errorf("%v, %v", arr, err)
	}
	_ = s.SetValue(1, value(types.Int64, func(c *types.Column) { c.SetInt64(0, 7) }))
	var mismatch *feasterr.TypeMismatchError
	if _, err = Array(s, str, memory.DefaultAllocator); !errors.As(err, &mismatch) || mismatch.Column != "s" || mismatch.Row != 1 {
		t.Errorf("%v", err)
	}
}

func TestExportErrors(t *testing.T) {
	c := types.NewColumn("at", types.UnixTimestamp, 2)
	c.SetInt64(1, math.MaxInt64/1000)
	if _, err := Array(c, Timestamp, memory.DefaultAllocator); err == nil || !strings.Contains(err.Error(), `column "at", row 1: timestamp`) {
		t.Errorf("%v", err)
	}
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	s := types.NewColumn("s", types.Struct, 1)
	if err := new(Importer).Import(s, 0, parse(t, str, `["{\"a\": \"x\"}"]`)); err != nil {
		t.Fatal(err)
	}
	dt, _ := DataType(types.Struct, `{"a": "INT64"}`)
	var mismatch *feasterr.TypeMismatchError
	if _, err := Array(s, dt, mem); !errors.As(err, &mismatch) || mismatch.Want != "struct<a: int64>" || mismatch.Have != "string" || mismatch.Row != 0 {
		t.Errorf("%v", err)
	}
	mem.AssertSize(t, 0)
}

// Statuses: a value that is too old is exported, what is no value is null.
func TestExportStatuses(t *testing.T) {
	c := types.NewColumn("c", types.Int64, 4)
	for row := range 3 {
		c.SetInt64(row, int64(row))
	}
	c.SetStatus(0, types.OutsideMaxAge)
	c.Clear(1, types.OutsideMaxAge)
	arr, err := Array(c, i64, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(arr); got != "[0 (null) 2 (null)]" {
		t.Errorf("%s", got)
	}
}

// Neither direction allocates per value: ten times the rows cost no more allocations.
func TestAllocations(t *testing.T) {
	var m Importer
	for _, c := range benchCases {
		count := func(rows int) (in, out float64) {
			arr := benchArray(t, c.dt, rows)
			var block types.Block
			fields := []types.Field{{Name: "c", Type: c.typ}}
			in = testing.AllocsPerRun(5, func() {
				block.Reset(fields, rows)
				if err := m.Import(&block.Columns()[0], 0, arr); err != nil {
					t.Fatal(err)
				}
			})
			out = testing.AllocsPerRun(5, func() {
				a, err := Array(&block.Columns()[0], c.dt, memory.DefaultAllocator)
				if err != nil {
					t.Fatal(err)
				}
				a.Release()
			})
			return in, out
		}
		in, out := count(100)
		moreIn, moreOut := count(1000)
		if moreIn > in+2 || moreOut > out+2 { // of which each is for a whole array
			t.Errorf("%s: %v and %v allocations for 100 rows, %v and %v for 1000", c.typ, in, out, moreIn, moreOut)
		}
	}
}

// fromJSON makes an array, nil of JSON that Arrow does not read, or panics over.
func fromJSON(dt arrow.DataType, text string) (arr arrow.Array) {
	defer func() {
		if recover() != nil {
			arr = nil
		}
	}()
	arr, _, err := array.FromJSON(memory.DefaultAllocator, dt, strings.NewReader(text))
	if err != nil {
		return nil
	}
	return arr
}

// Whatever an array holds, it becomes a column of a type, which is written, read and exported again, or an error.
func FuzzImport(f *testing.F) {
	for i, c := range importCases {
		f.Add(uint8(i), uint8(c.to), c.json)
		f.Add(uint8(i), uint8(types.String), c.json)
	}
	f.Fuzz(func(t *testing.T, from, to uint8, text string) {
		typ := types.Type(to)
		if !typ.Valid() || typ == types.Null {
			return
		}
		dt := importCases[int(from)%len(importCases)].from
		arr := fromJSON(dt, text)
		if arr == nil {
			return
		}
		defer arr.Release()
		col := types.NewColumn("c", typ, arr.Len())
		if err := new(Importer).Import(col, 0, arr); err != nil {
			var at *feasterr.RequestError
			if !errors.As(err, &at) || at.Column != "c" || at.Row >= arr.Len() {
				t.Errorf("%s to %s: %v", dt, typ, err)
			}
			return
		}
		again := types.NewColumn("c", typ, arr.Len())
		for row := range arr.Len() {
			if err := again.SetValue(row, col.AppendValue(nil, row)); err != nil {
				t.Errorf("%s to %s: row %d cannot be read: %v", dt, typ, row, err)
			}
		}
		out, err := DataType(typ, "")
		if err != nil {
			t.Fatal(err)
		}
		back, err := Array(col, out, memory.DefaultAllocator)
		if err != nil {
			return
		}
		defer back.Release()
		if back.Len() != arr.Len() {
			t.Errorf("%s to %s: %d rows came back as %d", dt, typ, arr.Len(), back.Len())
		}
	})
}

func FuzzJSONMap(f *testing.F) {
	f.Add(`{"a": [1, 2], "b": {"c": null}, "d": [[0.5]], "e": true}`)
	f.Add(`{"a": "x", "b": [true], "c": [{"d": 1}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		b := array.NewStringBuilder(memory.DefaultAllocator)
		defer b.Release()
		b.Append(text)
		arr := b.NewArray()
		defer arr.Release()
		col := types.NewColumn("c", types.Map, 1)
		if err := new(Importer).Import(col, 0, arr); err != nil {
			return
		}
		again := types.NewColumn("c", types.Map, 1)
		if err := again.SetValue(0, col.AppendValue(nil, 0)); err != nil {
			t.Errorf("%q became a value that cannot be read: %v", text, err)
		}
	})
}

func FuzzDataType(f *testing.F) {
	f.Add(`{"a": "INT64", "b": "Array(Struct({x: Int64, y: Map}))"}`)
	f.Fuzz(func(t *testing.T, inner string) {
		for _, typ := range []types.Type{types.Struct, types.StructList, types.ValueList} {
			if dt, err := DataType(typ, inner); err == nil && TypeText(dt) == "" {
				t.Errorf("%s of %q has no text", typ, inner)
			}
		}
	})
}
