package remote

import (
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/feasterr"
)

// stamp is how all stores answer times.
var stamp = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

// resultType is the type of a column of the result: times are microseconds in UTC, elements of lists are named "item".
func resultType(dt arrow.DataType) arrow.DataType {
	switch dt := dt.(type) {
	case *arrow.TimestampType:
		return stamp
	case *arrow.ListType:
		return arrow.ListOfField(itemOf(dt.ElemField()))
	case *arrow.LargeListType:
		return arrow.LargeListOfField(itemOf(dt.ElemField()))
	}
	return dt
}

func itemOf(f arrow.Field) arrow.Field {
	return arrow.Field{Name: "item", Type: resultType(f.Type), Nullable: true}
}

// converted makes an array of a type by resultType. The caller releases it.
func converted(a arrow.Array, to arrow.DataType) arrow.Array {
	if arrow.TypeEqual(a.DataType(), to) {
		a.Retain()
		return a
	}
	d := convertedData(a.Data(), to)
	defer d.Release()
	return array.MakeFromData(d)
}

func convertedData(d arrow.ArrayData, to arrow.DataType) arrow.ArrayData {
	from, isTime := d.DataType().(*arrow.TimestampType)
	if !isTime {
		var children []arrow.ArrayData
		for _, c := range d.Children() {
			child := convertedData(c, elemOf(to, c.DataType()))
			defer child.Release()
			children = append(children, child)
		}
		return array.NewData(to, d.Len(), d.Buffers(), children, d.NullN(), d.Offset())
	}
	buffers := slices.Clone(d.Buffers())
	if from.Unit != arrow.Microsecond && buffers[1] != nil {
		values := slices.Clone(arrow.Int64Traits.CastFromBytes(buffers[1].Bytes()))
		rescale(values, from.Unit)
		buffers[1] = memory.NewBufferBytes(arrow.Int64Traits.CastToBytes(values))
		defer buffers[1].Release()
	}
	return array.NewData(to, d.Len(), buffers, nil, d.NullN(), d.Offset())
}

func elemOf(list, other arrow.DataType) arrow.DataType {
	if l, ok := list.(arrow.ListLikeType); ok {
		return l.Elem()
	}
	return other
}

// rescale makes microseconds of times, rounded down; what does not fit becomes the last or first time that does.
func rescale(values []int64, unit arrow.TimeUnit) {
	if unit == arrow.Nanosecond {
		for i, v := range values {
			values[i] = v / 1000
			if v%1000 < 0 {
				values[i]--
			}
		}
		return
	}
	factor := int64(1000)
	if unit == arrow.Second {
		factor = 1_000_000
	}
	for i, v := range values {
		switch {
		case v > math.MaxInt64/factor:
			values[i] = math.MaxInt64
		case v < math.MinInt64/factor:
			values[i] = math.MinInt64 + 1
		default:
			values[i] = v * factor
		}
	}
}

// restoredType is the type of a column of the entity rows that was sent as one type and came back as another: Feast's own
// server makes doubles of integers among nulls, and dates become times.
func restoredType(came, sent arrow.DataType) arrow.DataType {
	if sent == nil {
		return came
	}
	switch {
	case came.ID() == arrow.FLOAT64 && (sent.ID() == arrow.INT64 || sent.ID() == arrow.INT32),
		came.ID() == arrow.TIMESTAMP && sent.ID() == arrow.DATE32:
		return sent
	}
	return came
}

// restored makes an array of the type of restoredType. The caller releases it.
func restored(a arrow.Array, f arrow.Field) (arrow.Array, error) {
	if arrow.TypeEqual(a.DataType(), f.Type) {
		a.Retain()
		return a, nil
	}
	b := array.NewBuilder(memory.DefaultAllocator, f.Type)
	defer b.Release()
	b.Reserve(a.Len())
	for i := range a.Len() {
		if a.IsNull(i) {
			b.AppendNull()
			continue
		}
		switch a := a.(type) {
		case *array.Timestamp:
			const day = 86_400_000_000
			t := int64(a.Value(i))
			days := t / day
			if t%day < 0 {
				days--
			}
			b.(*array.Date32Builder).Append(arrow.Date32(days))
		case *array.Float64:
			x := a.Value(i)
			if x != math.Trunc(x) || math.Abs(x) >= 1<<53 {
				return nil, feasterr.Invalid("column %q of the entity rows came back from the offline server with %v: as a double it lost its value", f.Name, x)
			}
			switch b := b.(type) {
			case *array.Int32Builder:
				b.Append(int32(x))
			case *array.Int64Builder:
				b.Append(int64(x))
			}
		}
	}
	return b.NewArray(), nil
}
