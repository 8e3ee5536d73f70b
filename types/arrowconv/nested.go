package arrowconv

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// nested makes an array of a column of maps, structs, nested collections, scalar maps or zoned timestamps.
func (b *buffers) nested(c *types.Column, dt arrow.DataType) (arrow.ArrayData, error) {
	builder := array.NewBuilder(b.mem, dt)
	defer builder.Release()
	builder.Reserve(c.Len())
	var text []byte
	for row := range c.Len() {
		var err error
		switch {
		case !c.HasValue(row):
			builder.AppendNull()
		case c.Type() == types.ScalarMap:
			text = c.AppendJSON(text[:0], row)
			err = appendNative(builder, string(text))
		default:
			err = appendNative(builder, c.Any(row))
		}
		if err != nil {
			return nil, &feasterr.TypeMismatchError{Column: c.Name(), Want: TypeText(dt), Have: err.Error(), Row: row}
		}
	}
	arr := builder.NewArray()
	defer arr.Release()
	data := arr.Data()
	data.Retain()
	return data, nil
}

// unfit is the kind of a value that has no place in an array.
type unfit string

func (e unfit) Error() string { return string(e) }

// appendNative appends a value as types.Column.Any gives it.
func appendNative(builder array.Builder, v any) error {
	if v == nil {
		builder.AppendNull()
		return nil
	}
	ok := true
	switch b := builder.(type) {
	case *array.Int64Builder:
		var n int64
		if n, ok = whole(v); ok {
			b.Append(n)
		}
	case *array.Int32Builder:
		var n int32
		if n, ok = v.(int32); ok {
			b.Append(n)
		} else if wide, fits := whole(v); fits && wide == int64(int32(wide)) {
			b.Append(int32(wide))
			ok = true
		}
	case *array.Float64Builder:
		switch n := v.(type) {
		case float64:
			b.Append(n)
		case float32:
			b.Append(float64(n))
		default:
			ok = false
		}
	case *array.Float32Builder:
		switch n := v.(type) {
		case float32:
			b.Append(n)
		case float64: // what Feast infers for numbers in a struct
			b.Append(float32(n))
		default:
			ok = false
		}
	case *array.BooleanBuilder:
		var x bool
		if x, ok = v.(bool); ok {
			b.Append(x)
		}
	case *array.BinaryBuilder:
		var x []byte
		if x, ok = v.([]byte); ok {
			b.Append(x)
		}
	case *array.StringBuilder:
		var s string
		if s, ok = textOf(v); ok {
			b.Append(s)
		}
	case *array.LargeStringBuilder:
		var s string
		if s, ok = textOf(v); ok {
			b.Append(s)
		}
	case *array.TimestampBuilder:
		ok = appendTime(b, v)
	case *array.MapBuilder:
		var m map[string]any
		if m, ok = v.(map[string]any); ok {
			b.Append(true)
			for _, key := range slices.Sorted(maps.Keys(m)) {
				b.KeyBuilder().(*array.StringBuilder).Append(key)
				if err := appendNative(b.ItemBuilder(), m[key]); err != nil {
					return err
				}
			}
		}
	case *array.StructBuilder:
		var m map[string]any
		if m, ok = v.(map[string]any); ok {
			b.Append(true)
			for i, f := range b.Type().(*arrow.StructType).Fields() {
				if err := appendNative(b.FieldBuilder(i), m[f.Name]); err != nil {
					return err
				}
			}
		}
	case *array.ListBuilder:
		return appendElements(b, v)
	case *array.NullBuilder:
		b.AppendNull()
	default:
		ok = false
	}
	if !ok {
		return unfit(fmt.Sprintf("%T", v))
	}
	return nil
}

func whole(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int32:
		return int64(n), true
	}
	return 0, false
}

func appendTime(b *array.TimestampBuilder, v any) bool {
	switch t := v.(type) {
	case time.Time:
		b.Append(arrow.Timestamp(t.UnixMicro()))
	case int64:
		switch {
		case t == types.NullUnixTimestamp:
			b.AppendNull()
		case t > maxSeconds || t < -maxSeconds:
			return false
		default:
			b.Append(arrow.Timestamp(t * 1_000_000))
		}
	default:
		return false
	}
	return true
}

// textOf is what a member of a map of text holds: text as it is, anything else in the form of JSON.
func textOf(v any) (string, bool) {
	switch s := v.(type) {
	case string:
		return s, true
	case json.RawMessage:
		return string(s), true
	case [16]byte:
		return string(types.AppendUUID(nil, s)), true
	case float32:
		return string(types.AppendFloat(nil, float64(s))), true
	case float64:
		return string(types.AppendFloat(nil, s)), true
	}
	text, err := json.Marshal(v)
	return string(text), err == nil
}

// appendElements appends a list, in one of the forms in which Any gives lists.
func appendElements(b *array.ListBuilder, v any) error {
	switch list := v.(type) {
	case []any:
		return eachNative(b, list)
	case []map[string]any:
		return eachNative(b, list)
	case []string:
		return eachNative(b, list)
	case []int32:
		return eachNative(b, list)
	case []int64:
		return eachNative(b, list)
	case []float32:
		return eachNative(b, list)
	case []float64:
		return eachNative(b, list)
	case []bool:
		return eachNative(b, list)
	case [][]byte:
		return eachNative(b, list)
	case []json.RawMessage:
		return eachNative(b, list)
	case [][16]byte:
		return eachNative(b, list)
	}
	return unfit(fmt.Sprintf("%T", v))
}

func eachNative[T any](b *array.ListBuilder, list []T) error {
	b.Append(true)
	for _, v := range list {
		if err := appendNative(b.ValueBuilder(), v); err != nil {
			return err
		}
	}
	return nil
}
