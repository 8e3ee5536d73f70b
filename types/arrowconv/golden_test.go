package arrowconv

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/types"
)

func golden[T any](t testing.TB, name string) (out T) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// The Arrow types of Feast's two tables.
func TestGoldenTypeTables(t *testing.T) {
	tables := golden[struct {
		FeastTypes []struct {
			FeastType string `json:"feast_type"`
			ValueType string `json:"value_type"`
			Arrow     string `json:"arrow"`
		} `json:"feast_type_to_value_type_and_arrow"`
		ValueTypes map[string]struct {
			Arrow string `json:"arrow_us"`
		} `json:"value_type_to"`
	}](t, "type_tables.json")
	compared := 0
	for _, f := range tables.FeastTypes {
		if f.Arrow == "" || f.ValueType == "" {
			continue
		}
		compared++
		got, err := typeNamed(f.FeastType)
		if err != nil {
			t.Errorf("%s: %v", f.FeastType, err)
			continue
		}
		if TypeText(got) != f.Arrow {
			t.Errorf("%s is %s in Arrow, want %s", f.FeastType, TypeText(got), f.Arrow)
		}
	}
	if compared != 40 {
		t.Errorf("%d types compared", compared)
	}
	// The other table has types that the first lacks, and timestamps without a zone, which line 28 of
	// docs/compatibility.md gives one.
	for name, v := range tables.ValueTypes {
		typ, _ := types.ParseType(name)
		if v.Arrow == "" || typ == types.Struct || typ == types.StructList { // whose members are not known
			continue
		}
		got, err := DataType(typ, "")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := strings.ReplaceAll(v.Arrow, "timestamp[us]", "timestamp[us, tz=UTC]"); TypeText(got) != want {
			t.Errorf("%s is %s in Arrow, want %s", name, TypeText(got), want)
		}
	}
}

func TestDataTypeInner(t *testing.T) {
	for _, c := range []struct {
		typ         types.Type
		inner, want string
	}{
		{types.Struct, `{"b": "STRING", "a": "FLOAT64", "l": "INT32_LIST"}`, "struct<b: string, a: double, l: list<item: int32>>"},
		{types.StructList, `{"x": "FLOAT32"}`, "list<item: struct<x: float>>"},
		{types.ValueList, "Array(Array(INT64))", "list<item: list<item: int64>>"},
		{types.ValueSet, "Set(Set(STRING))", "list<item: list<item: string>>"},
		{types.ScalarMap, "", "large_string"},
		{types.Invalid, "", "null"},
	} {
		got, err := DataType(c.typ, c.inner)
		if err != nil || TypeText(got) != c.want {
			t.Errorf("%s of %s: %v, %v; want %s", c.typ, c.inner, got, err, c.want)
		}
	}
	for _, c := range []struct {
		typ         types.Type
		inner, says string
	}{
		{types.Struct, `["a"]`, "is no JSON object"},
		{types.Struct, `{"a": 1}`, "is no JSON object"},
		{types.Struct, `{"a": "INT64"`, "is no JSON object"},
		{types.Struct, `{"a": "INT65"}`, `unknown type name "INT65"`},
		{types.ValueList, "Array(Tensor)", `unknown type name "Tensor"`},
		{types.ValueList, strings.Repeat("Array(", 50) + "INT64" + strings.Repeat(")", 50), "nested deeper"},
	} {
		if _, err := DataType(c.typ, c.inner); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s of %s: %v, want an error with %q", c.typ, c.inner, err, c.says)
		}
	}
}

type conversion struct {
	ValueType string   `json:"value_type"`
	Input     []any    `json:"input"`
	Hex       []string `json:"values_hex"`
	Error     any      `json:"error"`
}

// Every stored value survives the way through Arrow: exported and imported it is the same bytes, or for maps and sets, whose
// order is free, and for zones, which Arrow keeps per column, the same value.
func TestGoldenRoundTrip(t *testing.T) {
	var m Importer
	m.KeepNaN = true
	seen := map[types.Type]bool{}
	for _, c := range golden[[]conversion](t, "value_conversion.json") {
		typ, ok := types.ParseType(c.ValueType)
		if !ok || len(c.Hex) == 0 {
			continue
		}
		seen[typ] = true
		col := types.NewColumn("c", typ, len(c.Hex))
		for row, text := range c.Hex {
			b, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			if err := col.SetValue(row, b); err != nil {
				t.Fatal(err)
			}
		}
		inner := ""
		if typ == types.Struct || typ == types.StructList {
			inner = `{"a": "INT64", "b": "STRING"}`
		}
		dt, err := DataType(typ, inner)
		if err != nil {
			t.Fatal(err)
		}
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		arr, err := Array(col, dt, mem)
		if err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		if !arrow.TypeEqual(arr.DataType(), dt) || arr.Len() != col.Len() {
			t.Errorf("%s: an array %s of %d", typ, arr.DataType(), arr.Len())
		}
		back := types.NewColumn("c", typ, col.Len())
		if err := m.Import(back, 0, arr); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
		for row := range c.Hex {
			got, want := back.Any(row), col.Any(row)
			switch {
			case typ == types.ZonedTimestamp && want != nil:
				want = want.(time.Time).UTC()
			case typ == types.Struct && want != nil: // Arrow cannot say that a member is missing
				for _, key := range []string{"a", "b"} {
					if _, ok := want.(map[string]any)[key]; !ok {
						want.(map[string]any)[key] = nil
					}
				}
			case typ == types.StructList && want != nil:
				for _, s := range want.([]map[string]any) {
					s["b"] = nil
				}
			case typ == types.Map && want != nil: // of text
				for key, v := range want.(map[string]any) {
					if n, ok := v.(int64); ok {
						want.(map[string]any)[key] = string(types.AppendFloat(nil, float64(n)))[:1]
					}
				}
			}
			if z, ok := got.(time.Time); ok {
				got = z.UTC()
			}
			if !equalNaN(got, want) || back.Valid(row) != col.Valid(row) {
				t.Errorf("%s row %d: %#v, want %#v", typ, row, got, want)
			}
		}
		arr.Release()
		mem.AssertSize(t, 0)
	}
	if len(seen) < 20 {
		t.Errorf("%d types seen", len(seen))
	}
}

func equalNaN(a, b any) bool {
	switch x := a.(type) {
	case float32:
		y, ok := b.(float32)
		return ok && math.Float32bits(x) == math.Float32bits(y)
	case []float32:
		y, ok := b.([]float32)
		return ok && slices.EqualFunc(x, y, func(v, w float32) bool { return math.Float32bits(v) == math.Float32bits(w) })
	}
	return reflect.DeepEqual(a, b)
}

// Native values become the values that Feast makes of them, row by row, each in an array of its own type.
func TestGoldenConversion(t *testing.T) {
	var m Importer
	rows := 0
	for n, c := range golden[[]conversion](t, "value_conversion.json") {
		var failed error
		for row, in := range c.Input {
			arr := arrayOf(t, in)
			if arr == nil {
				continue
			}
			typ, ok := types.ParseType(c.ValueType)
			if !ok {
				typ = TypeOf(arr.DataType()) // what Feast infers
				if _, isUUID := untag(t, in).(uuid); in == nil || c.Error != nil || isUUID {
					continue // nothing to infer from; rows of several types are not inferred here; Arrow's UUIDs are text
				}
			}
			col := types.NewColumn("c", typ, 1)
			err := m.Import(col, 0, arr)
			if err != nil {
				failed = err
				continue
			}
			if c.Error != nil {
				continue
			}
			rows++
			b, err := hex.DecodeString(c.Hex[row])
			if err != nil {
				t.Fatal(err)
			}
			want := types.NewColumn("c", typ, 1)
			if err := want.SetValue(0, b); err != nil {
				t.Fatal(err)
			}
			got, exp := col.Any(0), want.Any(0)
			if typ.IsSet() && exp != nil {
				if ints, ok := got.([]int64); ok {
					slices.Sort(ints)
					slices.Sort(exp.([]int64))
				}
			}
			if gz, ok := got.(time.Time); ok {
				ez := exp.(time.Time)
				if !gz.Equal(ez) {
					t.Errorf("%d %s %v: %v, want %v", n, typ, in, gz, ez)
				}
				continue
			}
			if !equalNaN(got, exp) || col.Status(0) != want.Status(0) {
				t.Errorf("%d %s %v: %#v %s, want %#v %s", n, typ, in, got, col.Status(0), exp, want.Status(0))
			}
		}
		if c.Error != nil && failed == nil && c.ValueType != "UNKNOWN" {
			t.Errorf("%d %s %v: no error, want one as Feast's: %v", n, c.ValueType, c.Input, c.Error)
		}
		if c.Error == nil && failed != nil {
			t.Errorf("%d %s %v: %v", n, c.ValueType, c.Input, failed)
		}
	}
	if rows < 80 {
		t.Errorf("%d rows compared", rows)
	}
}

// arrayOf makes an array of one row; nil for what has no Arrow form.
func arrayOf(t *testing.T, v any) arrow.Array {
	t.Helper()
	v = untag(t, v)
	if v == (unknown{}) {
		return nil
	}
	if list, ok := v.([]any); ok { // Arrow has no lists of several types
		for _, x := range list {
			if x != nil && reflect.TypeOf(x) != reflect.TypeOf(list[0]) {
				return nil
			}
		}
	}
	dt := typeOfNative(v)
	b := array.NewBuilder(memory.DefaultAllocator, dt)
	defer b.Release()
	appendTest(t, b, v)
	return b.NewArray()
}

type (
	unknown struct{}
	decimal string
	uuid    string
)

func untag(t *testing.T, v any) any {
	t.Helper()
	switch v := v.(type) {
	case json.Number:
		if f, err := v.Float64(); err == nil && strings.ContainsAny(string(v), ".eE") {
			return f
		}
	case []any:
		for i := range v {
			v[i] = untag(t, v[i])
			if v[i] == (unknown{}) {
				return unknown{}
			}
		}
	case map[string]any:
		for tag, x := range v {
			switch tag {
			case "$float":
				return map[any]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}[x]
			case "$bytes":
				b, err := base64.StdEncoding.DecodeString(x.(string))
				if err != nil {
					t.Fatal(err)
				}
				return b
			case "$datetime":
				for _, layout := range []string{"2006-01-02T15:04:05.999999Z07:00", "2006-01-02T15:04:05.999999"} {
					if at, err := time.Parse(layout, x.(string)); err == nil {
						return at
					}
				}
				t.Fatalf("datetime %s", x)
			case "$set":
				return untag(t, x)
			case "$decimal":
				return decimal(x.(string))
			case "$uuid":
				return uuid(x.(string))
			case "$repr", "$map":
				return unknown{}
			default:
				if v[tag] = untag(t, x); v[tag] == (unknown{}) {
					return unknown{}
				}
			}
		}
	}
	return v
}

func typeOfNative(v any) arrow.DataType {
	switch v := v.(type) {
	case json.Number:
		if _, err := v.Int64(); err != nil {
			return arrow.PrimitiveTypes.Uint64
		}
		return arrow.PrimitiveTypes.Int64
	case float64:
		return arrow.PrimitiveTypes.Float64
	case string, decimal, uuid:
		return arrow.BinaryTypes.String
	case bool:
		return arrow.FixedWidthTypes.Boolean
	case []byte:
		return arrow.BinaryTypes.Binary
	case time.Time:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case []any:
		for _, x := range v {
			if x != nil {
				return arrow.ListOf(typeOfNative(x))
			}
		}
		return arrow.ListOf(arrow.Null)
	case map[string]any:
		var fields []arrow.Field
		for key, x := range v {
			fields = append(fields, arrow.Field{Name: key, Type: typeOfNative(x), Nullable: true})
		}
		return arrow.StructOf(fields...)
	}
	return arrow.Null
}

func appendTest(t *testing.T, builder array.Builder, v any) {
	t.Helper()
	if v == nil {
		builder.AppendNull()
		return
	}
	switch b := builder.(type) {
	case *array.ListBuilder:
		b.Append(true)
		for _, x := range v.([]any) {
			appendTest(t, b.ValueBuilder(), x)
		}
	case *array.StructBuilder:
		b.Append(true)
		for i, f := range b.Type().(*arrow.StructType).Fields() {
			appendTest(t, b.FieldBuilder(i), v.(map[string]any)[f.Name])
		}
	case *array.BinaryBuilder:
		b.Append(v.([]byte))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.(time.Time).UnixMicro()))
	default:
		var text string
		switch v := v.(type) {
		case json.Number:
			text = string(v)
		case string:
			text = v
		case decimal:
			text = string(v)
		case uuid:
			text = string(v)
		case bool:
			builder.(*array.BooleanBuilder).Append(v)
			return
		case float64:
			builder.(*array.Float64Builder).Append(v)
			return
		}
		if err := builder.AppendValueFromString(text); err != nil {
			t.Fatal(err)
		}
	}
}
