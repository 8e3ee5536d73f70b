package offlinetest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// types are the types that [Table] knows.
var types = map[string]arrow.DataType{
	"i64": arrow.PrimitiveTypes.Int64, "i32": arrow.PrimitiveTypes.Int32, "i16": arrow.PrimitiveTypes.Int16, "i8": arrow.PrimitiveTypes.Int8,
	"u64": arrow.PrimitiveTypes.Uint64, "u32": arrow.PrimitiveTypes.Uint32, "u16": arrow.PrimitiveTypes.Uint16, "u8": arrow.PrimitiveTypes.Uint8,
	"f64": arrow.PrimitiveTypes.Float64, "f32": arrow.PrimitiveTypes.Float32, "bool": arrow.FixedWidthTypes.Boolean,
	"text": arrow.BinaryTypes.String, "large": arrow.BinaryTypes.LargeString, "bytes": arrow.BinaryTypes.Binary,
	"s":     &arrow.TimestampType{Unit: arrow.Second, TimeZone: "UTC"},
	"ms":    &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"},
	"us":    &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"},
	"ns":    &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"},
	"naive": &arrow.TimestampType{Unit: arrow.Microsecond},
	"paris": &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "Europe/Paris"},
	"date":  arrow.FixedWidthTypes.Date32,
	"f64s":  arrow.ListOfField(arrow.Field{Name: "item", Type: arrow.PrimitiveTypes.Float64, Nullable: true}),
	"texts": arrow.ListOfField(arrow.Field{Name: "item", Type: arrow.BinaryTypes.String, Nullable: true}),
}

// R is a row for [Table].
func R(values ...any) []any { return values }

// Table makes a batch of columns "name type, name type" and rows of Go values: integers, floats, strings, booleans,
// []byte, time.Time, slices of float64 and string, and nil for a null. It panics on what does not fit.
func Table(columns string, rows ...[]any) arrow.RecordBatch {
	var fields []arrow.Field
	for c := range strings.SplitSeq(columns, ",") {
		words := strings.Fields(c)
		t := types[words[1]]
		if t == nil {
			panic("offlinetest: no type " + words[1])
		}
		fields = append(fields, arrow.Field{Name: words[0], Type: t, Nullable: true})
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	for _, r := range rows {
		if len(r) != len(fields) {
			panic(fmt.Sprintf("offlinetest: a row of %d values for %d columns", len(r), len(fields)))
		}
		for i, v := range r {
			put(b.Field(i), v)
		}
	}
	return b.NewRecordBatch()
}

func put(b array.Builder, v any) {
	if v == nil {
		b.AppendNull()
		return
	}
	integer := func() int64 {
		switch v := v.(type) {
		case int:
			return int64(v)
		case int64:
			return v
		}
		panic(fmt.Sprintf("offlinetest: %T for %s", v, b.Type()))
	}
	float := func() float64 {
		if f, ok := v.(float64); ok {
			return f
		}
		return float64(integer())
	}
	switch b := b.(type) {
	case *array.Int64Builder:
		b.Append(integer())
	case *array.Int32Builder:
		b.Append(int32(integer()))
	case *array.Int16Builder:
		b.Append(int16(integer()))
	case *array.Int8Builder:
		b.Append(int8(integer()))
	case *array.Uint64Builder:
		if u, ok := v.(uint64); ok {
			b.Append(u)
			break
		}
		b.Append(uint64(integer()))
	case *array.Uint32Builder:
		b.Append(uint32(integer()))
	case *array.Uint16Builder:
		b.Append(uint16(integer()))
	case *array.Uint8Builder:
		b.Append(uint8(integer()))
	case *array.Float64Builder:
		b.Append(float())
	case *array.Float32Builder:
		b.Append(float32(float()))
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.StringBuilder:
		b.Append(v.(string))
	case *array.LargeStringBuilder:
		b.Append(v.(string))
	case *array.BinaryBuilder:
		b.Append(v.([]byte))
	case *array.Date32Builder:
		b.Append(arrow.Date32FromTime(v.(time.Time)))
	case *array.TimestampBuilder:
		t, err := arrow.TimestampFromTime(v.(time.Time), b.Type().(*arrow.TimestampType).Unit)
		if err != nil {
			panic(err)
		}
		b.Append(t)
	case *array.ListBuilder:
		b.Append(true)
		switch v := v.(type) {
		case []float64:
			for _, x := range v {
				put(b.ValueBuilder(), x)
			}
		case []string:
			for _, x := range v {
				put(b.ValueBuilder(), x)
			}
		}
	default:
		panic(fmt.Sprintf("offlinetest: no values of %s", b.Type()))
	}
}

// epoch is the time that the tests' times are counted from.
var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// at is a time of that many hours.
func at(hours int) time.Time { return epoch.Add(time.Duration(hours) * time.Hour) }

// Rows writes each row of a batch as JSON, in the encoding of the golden data: [1,{"$ts":"2024-01-01T00:00:00Z"},null].
func Rows(b arrow.RecordBatch) []string {
	out := make([]string, b.NumRows())
	for i := range out {
		text := []byte{'['}
		for c := range int(b.NumCols()) {
			if c > 0 {
				text = append(text, ',')
			}
			text = appendValue(text, b.Column(c), i)
		}
		out[i] = string(append(text, ']'))
	}
	return out
}

func appendValue(b []byte, a arrow.Array, i int) []byte {
	if a.IsNull(i) || a.DataType().ID() == arrow.NULL {
		return append(b, "null"...)
	}
	float := func(x float64, bits int) []byte {
		switch {
		case math.IsNaN(x):
			return append(b, `{"$float":"NaN"}`...)
		case math.IsInf(x, 0):
			return append(b, map[bool]string{true: `{"$float":"Infinity"}`, false: `{"$float":"-Infinity"}`}[x > 0]...)
		}
		return strconv.AppendFloat(b, x, 'g', -1, bits)
	}
	quoted := func(s string) []byte {
		text, _ := json.Marshal(s)
		return append(b, text...)
	}
	list := func(values arrow.Array, from, to int64) []byte {
		b = append(b, '[')
		for k := from; k < to; k++ {
			if k > from {
				b = append(b, ',')
			}
			b = appendValue(b, values, int(k))
		}
		return append(b, ']')
	}
	switch a := a.(type) {
	case *array.Float64:
		return float(a.Value(i), 64)
	case *array.Float32:
		return float(float64(a.Value(i)), 64)
	case *array.Boolean:
		return strconv.AppendBool(b, a.Value(i))
	case array.StringLike:
		return quoted(a.Value(i))
	case *array.Binary:
		return append(append(append(b, `{"$b64":"`...), base64.StdEncoding.EncodeToString(a.Value(i))...), `"}`...)
	case *array.FixedSizeBinary:
		return append(append(append(b, `{"$b64":"`...), base64.StdEncoding.EncodeToString(a.Value(i))...), `"}`...)
	case *array.Date32:
		return append(append(append(b, `{"$date":"`...), a.Value(i).FormattedString()...), `"}`...)
	case *array.Decimal128:
		return quoted(a.Value(i).ToString(a.DataType().(arrow.DecimalType).GetScale()))
	case *array.Decimal256:
		return quoted(a.Value(i).ToString(a.DataType().(arrow.DecimalType).GetScale()))
	case *array.Timestamp:
		t := a.DataType().(*arrow.TimestampType)
		tag, form := "$ts", "2006-01-02T15:04:05.999999999Z"
		if t.TimeZone == "" {
			tag, form = "$ts_naive", "2006-01-02T15:04:05.999999999"
		}
		return append(b, fmt.Sprintf(`{"%s":"%s"}`, tag, a.Value(i).ToTime(t.Unit).UTC().Format(form))...)
	case *array.List:
		from, to := a.ValueOffsets(i)
		return list(a.ListValues(), from, to)
	case *array.Map:
		from, to := a.ValueOffsets(i)
		return list(a.ListValues(), from, to)
	case *array.Struct:
		b = append(b, '{')
		for f := range a.NumField() {
			if f > 0 {
				b = append(b, ',')
			}
			b = append(strconv.AppendQuote(b, a.DataType().(*arrow.StructType).Field(f).Name), ':')
			b = appendValue(b, a.Field(f), i)
		}
		return append(b, '}')
	}
	switch a.DataType().ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return append(b, a.ValueStr(i)...)
	}
	return quoted(a.ValueStr(i))
}
