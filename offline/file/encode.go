package file

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"

	"github.com/feastgo/feast/feasterr"
)

// encoder makes the values of leaves of Arrow arrays.
type encoder struct {
	values [][]parquet.Value // by leaf
	size   int               // bytes of what was encoded
	of     map[*shape]valuerOf
}

// valuerOf is the valuer of the array that a leaf inside of others was encoded from last.
type valuerOf struct {
	array arrow.Array
	value func(i int) (parquet.Value, error)
}

// column encodes rows from to to of a column. Values that the column of the file cannot hold exactly are an error.
func (e *encoder) column(s *shape, a arrow.Array, from, to int) error {
	if s.kind == kindLeaf {
		of, err := valuer(s.leaf, a)
		if err != nil {
			return mismatch(s, a, -1)
		}
		out := e.values[s.first]
		for i := from; i < to; i++ {
			if isNull(a, i) {
				if !s.optional {
					return mismatch(s, a, i)
				}
				out = append(out, parquet.NullValue().Level(0, 0, s.first))
				continue
			}
			v, err := of(i)
			if err != nil {
				return mismatch(s, a, i)
			}
			e.size += sizeOf(v)
			out = append(out, v.Level(0, s.def, s.first))
		}
		e.values[s.first] = out
		return nil
	}
	for i := from; i < to; i++ {
		if err := e.value(s, a, i, 0); err != nil {
			return mismatch(s, a, i)
		}
	}
	return nil
}

// isNull reports nulls, of arrays of nothing but nulls too.
func isNull(a arrow.Array, i int) bool { return a.IsNull(i) || a.DataType().ID() == arrow.NULL }

func sizeOf(v parquet.Value) int {
	if k := v.Kind(); k == parquet.ByteArray || k == parquet.FixedLenByteArray {
		return 4 + len(v.ByteArray())
	}
	return 8
}

var errNull = feasterr.Invalid("a null")

// mismatch says that a column, or one of its rows, does not fit.
func mismatch(s *shape, a arrow.Array, row int) error {
	want := "values of the source"
	if s.own != nil {
		want = typeName(s.own)
	}
	have := typeName(a.DataType())
	if row >= 0 {
		have = fmt.Sprintf("%s (%s)", valueText(a, row), have)
	}
	return &feasterr.TypeMismatchError{Column: s.name, Row: row, Have: have, Want: want}
}

func valueText(a arrow.Array, i int) string {
	const most = 40
	if e, ok := a.(array.ExtensionArray); ok {
		a = e.Storage() // others need not write texts
	}
	if s := a.ValueStr(i); len(s) > most {
		return s[:most] + "..."
	} else {
		return s
	}
}

// value encodes one value with its levels.
func (e *encoder) value(s *shape, a arrow.Array, i, rep int) error {
	switch x := a.(type) {
	case array.ExtensionArray:
		return e.value(s, x.Storage(), i, rep)
	case *array.Dictionary:
		if x.IsValid(i) {
			return e.value(s, x.Dictionary(), x.GetValueIndex(i), rep)
		}
	}
	if isNull(a, i) {
		if !s.optional {
			return errNull
		}
		e.nulls(s, rep, s.def-1)
		return nil
	}
	var items arrow.Array
	var from, to int64
	switch s.kind {
	case kindLeaf:
		of := e.of[s]
		if of.array != a {
			value, err := valuer(s.leaf, a)
			if err != nil {
				return err
			}
			of = valuerOf{a, value}
			e.of[s] = of
		}
		v, err := of.value(i)
		if err != nil {
			return err
		}
		e.size += sizeOf(v)
		e.values[s.first] = append(e.values[s.first], v.Level(rep, s.def, s.first))
		return nil
	case kindStruct:
		st, ok := a.(*array.Struct)
		if !ok {
			return errType
		}
		t := st.DataType().(*arrow.StructType)
		if t.NumFields() != len(s.children) {
			return errType
		}
		for _, c := range s.children {
			f, ok := t.FieldIdx(c.name)
			if !ok {
				return errType
			}
			if err := e.value(c, st.Field(f), i, rep); err != nil {
				return err
			}
		}
		return nil
	case kindMap:
		m, ok := a.(*array.Map)
		if !ok {
			return errType
		}
		if from, to = m.ValueOffsets(i); from == to {
			e.nulls(s, rep, s.def)
		}
		for k := from; k < to; k++ {
			for c, side := range []arrow.Array{m.Keys(), m.Items()} {
				if err := e.value(s.children[c], side, int(k), rep); err != nil {
					return err
				}
			}
			rep = s.rep
		}
		return nil
	default:
		l, ok := a.(array.ListLike)
		if !ok {
			return errType
		}
		items = l.ListValues()
		if from, to = l.ValueOffsets(i); from == to {
			e.nulls(s, rep, s.def)
		}
		for k := from; k < to; k++ {
			if err := e.value(s.children[0], items, int(k), rep); err != nil {
				return err
			}
			rep = s.rep
		}
		return nil
	}
}

// nulls encodes for all leaves that there is no value from level def on.
func (e *encoder) nulls(s *shape, rep, def int) {
	for l := s.first; l < s.first+s.leaves; l++ {
		e.values[l] = append(e.values[l], parquet.NullValue().Level(rep, def, l))
	}
}

var (
	errType = feasterr.Invalid("another type")
	errLoss = feasterr.Invalid("a value that does not fit")
)

// valuer returns what makes values of a leaf of those of an array; an error where the types have nothing in common.
func valuer(t leafType, a arrow.Array) (func(i int) (parquet.Value, error), error) {
	switch x := a.(type) {
	case array.ExtensionArray:
		return valuer(t, x.Storage())
	case *array.Dictionary:
		of, err := valuer(t, x.Dictionary())
		if err != nil {
			return nil, err
		}
		return func(i int) (parquet.Value, error) { return of(x.GetValueIndex(i)) }, nil
	case *array.Null: // they have no values
		return nil, nil
	}
	if t.form == formNull {
		return func(int) (parquet.Value, error) { return parquet.Value{}, errLoss }, nil
	}
	switch t.own.ID() {
	case arrow.BOOL:
		if b, ok := a.(*array.Boolean); ok {
			return func(i int) (parquet.Value, error) { return parquet.BooleanValue(b.Value(i)), nil }, nil
		}
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32:
		return integers(t, a)
	case arrow.UINT64:
		if u, ok := a.(*array.Uint64); ok {
			return func(i int) (parquet.Value, error) { return parquet.Int64Value(int64(u.Value(i))), nil }, nil
		}
		of, err := intOf(a)
		if err != nil {
			return nil, err
		}
		return func(i int) (parquet.Value, error) {
			k, ok := of(i)
			if !ok || k < 0 {
				return parquet.Value{}, errLoss
			}
			return parquet.Int64Value(k), nil
		}, nil
	case arrow.FLOAT32, arrow.FLOAT64, arrow.FLOAT16:
		return floats(t, a)
	case arrow.STRING, arrow.BINARY:
		switch x := a.(type) {
		case array.StringLike:
			return func(i int) (parquet.Value, error) { return parquet.ByteArrayValue([]byte(x.Value(i))), nil }, nil
		case *array.Binary:
			return func(i int) (parquet.Value, error) { return parquet.ByteArrayValue(x.Value(i)), nil }, nil
		case *array.LargeBinary:
			return func(i int) (parquet.Value, error) { return parquet.ByteArrayValue(x.Value(i)), nil }, nil
		case *array.BinaryView:
			return func(i int) (parquet.Value, error) { return parquet.ByteArrayValue(x.Value(i)), nil }, nil
		}
	case arrow.FIXED_SIZE_BINARY:
		if x, ok := a.(*array.FixedSizeBinary); ok && x.DataType().(*arrow.FixedSizeBinaryType).ByteWidth == t.width {
			return func(i int) (parquet.Value, error) { return parquet.FixedLenByteArrayValue(x.Value(i)), nil }, nil
		}
	case arrow.TIMESTAMP, arrow.DATE32:
		return instantsOf(t, a)
	case arrow.TIME32, arrow.TIME64:
		return clockTimes(t, a)
	case arrow.DURATION:
		if x, ok := a.(*array.Duration); ok && arrow.TypeEqual(x.DataType(), t.own) {
			return func(i int) (parquet.Value, error) { return parquet.Int64Value(int64(x.Value(i))), nil }, nil
		}
	case arrow.DECIMAL128, arrow.DECIMAL256:
		return decimalsOf(t, a)
	}
	return nil, errType
}

// intOf reads integers, also those that stand in columns of floats.
func intOf(a arrow.Array) (func(i int) (int64, bool), error) {
	switch x := a.(type) {
	case *array.Int64:
		return func(i int) (int64, bool) { return x.Value(i), true }, nil
	case *array.Int32:
		return func(i int) (int64, bool) { return int64(x.Value(i)), true }, nil
	case *array.Int16:
		return func(i int) (int64, bool) { return int64(x.Value(i)), true }, nil
	case *array.Int8:
		return func(i int) (int64, bool) { return int64(x.Value(i)), true }, nil
	case *array.Uint64:
		return func(i int) (int64, bool) { return int64(x.Value(i)), x.Value(i) <= math.MaxInt64 }, nil
	case *array.Uint32:
		return func(i int) (int64, bool) { return int64(x.Value(i)), true }, nil
	case *array.Uint16:
		return func(i int) (int64, bool) { return int64(x.Value(i)), true }, nil
	case *array.Uint8:
		return func(i int) (int64, bool) { return int64(x.Value(i)), true }, nil
	case *array.Float64:
		return func(i int) (int64, bool) { k, o, ok := ofFloat(x.Value(i)); return k, ok && o.kind == 0 }, nil
	case *array.Float32:
		return func(i int) (int64, bool) { k, o, ok := ofFloat(float64(x.Value(i))); return k, ok && o.kind == 0 }, nil
	}
	return nil, errType
}

func integers(t leafType, a arrow.Array) (func(i int) (parquet.Value, error), error) {
	of, err := intOf(a)
	if err != nil {
		return nil, err
	}
	bits := t.own.(arrow.FixedWidthDataType).BitWidth()
	low, high := int64(math.MinInt64)>>(64-bits), int64(math.MaxInt64)>>(64-bits)
	if arrow.IsUnsignedInteger(t.own.ID()) {
		low, high = 0, 1<<bits-1
	}
	wide := t.width == 8
	return func(i int) (parquet.Value, error) {
		k, ok := of(i)
		switch {
		case !ok || k < low || k > high:
			return parquet.Value{}, errLoss
		case wide:
			return parquet.Int64Value(k), nil
		}
		return parquet.Int32Value(int32(k)), nil
	}, nil
}

func floats(t leafType, a arrow.Array) (func(i int) (parquet.Value, error), error) {
	var of func(i int) float64
	switch x := a.(type) {
	case *array.Float64:
		of = x.Value
	case *array.Float32:
		of = func(i int) float64 { return float64(x.Value(i)) }
	case *array.Float16:
		of = func(i int) float64 { return float64(x.Value(i).Float32()) }
	default:
		ints, err := intOf(a)
		if err != nil {
			return nil, err
		}
		return func(i int) (parquet.Value, error) {
			k, ok := ints(i)
			if x := float64(k); !ok || int64(x) != k || t.width == 4 && float64(float32(x)) != x || t.width == 2 {
				return parquet.Value{}, errLoss
			} else if t.width == 4 {
				return parquet.FloatValue(float32(x)), nil
			}
			return parquet.DoubleValue(float64(k)), nil
		}, nil
	}
	return func(i int) (parquet.Value, error) {
		switch x := of(i); t.width {
		case 2:
			return parquet.FixedLenByteArrayValue(binary.LittleEndian.AppendUint16(nil, float16.New(float32(x)).Uint16())), nil
		case 4:
			return parquet.FloatValue(float32(x)), nil
		default:
			return parquet.DoubleValue(x), nil
		}
	}, nil
}

// instantsOf makes timestamps and dates, which must not lose anything by the unit of the file.
func instantsOf(t leafType, a arrow.Array) (func(i int) (parquet.Value, error), error) {
	of, unit := timesOf(a)
	if of == nil {
		return nil, errType
	}
	return func(i int) (parquet.Value, error) {
		x := of(i)
		one := []int64{x}
		rescale(one, unit, t.clock.unit)
		back := []int64{one[0]}
		rescale(back, t.clock.unit, unit)
		y := one[0]
		if back[0] != x || y%t.clock.scale != 0 {
			return parquet.Value{}, errLoss
		}
		switch {
		case t.clock.int96:
			day := floorDiv(y, 86_400_000_000_000)
			rest := uint64(y - day*86_400_000_000_000)
			return parquet.Int96Value(deprecated.Int96{uint32(rest), uint32(rest >> 32), uint32(day + julianEpoch)}), nil
		case t.width == 4:
			return parquet.Int32Value(int32(y / t.clock.scale)), nil
		}
		return parquet.Int64Value(y), nil
	}, nil
}

func clockTimes(t leafType, a arrow.Array) (func(i int) (parquet.Value, error), error) {
	var of func(i int) int64
	var unit int64
	switch x := a.(type) {
	case *array.Time32:
		of, unit = func(i int) int64 { return int64(x.Value(i)) }, int64(x.DataType().(*arrow.Time32Type).Unit.Multiplier())
	case *array.Time64:
		of, unit = func(i int) int64 { return int64(x.Value(i)) }, int64(x.DataType().(*arrow.Time64Type).Unit.Multiplier())
	default:
		return nil, errType
	}
	to := millisecond
	if t64, ok := t.own.(*arrow.Time64Type); ok {
		to = int64(t64.Unit.Multiplier())
	}
	return func(i int) (parquet.Value, error) {
		ns := of(i) * unit // of a day
		switch {
		case ns%to != 0:
			return parquet.Value{}, errLoss
		case t.width == 4:
			return parquet.Int32Value(int32(ns / to)), nil
		}
		return parquet.Int64Value(ns / to), nil
	}, nil
}

// decimalsOf makes decimals of decimals of the same scale.
func decimalsOf(t leafType, a arrow.Array) (func(i int) (parquet.Value, error), error) {
	have, ok := a.DataType().(arrow.DecimalType)
	if !ok || have.GetScale() != t.own.(arrow.DecimalType).GetScale() {
		return nil, errType
	}
	var of func(i int) []byte // big-endian
	switch x := a.(type) {
	case *array.Decimal128:
		of = func(i int) []byte {
			v := x.Value(i)
			return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(v.HighBits())), v.LowBits())
		}
	case *array.Decimal256:
		of = func(i int) []byte {
			var b []byte
			words := x.Value(i).Array()
			for _, w := range slices.Backward(words[:]) {
				b = binary.BigEndian.AppendUint64(b, w)
			}
			return b
		}
	default:
		return nil, errType
	}
	width := t.width
	if t.form == formText {
		width = 32
	}
	return func(i int) (parquet.Value, error) {
		le := make([]byte, width)
		if err := decimalBytes(le, of(i)); err != nil {
			return parquet.Value{}, errLoss
		}
		switch {
		case t.integer && width == 4:
			return parquet.Int32Value(int32(binary.LittleEndian.Uint32(le))), nil
		case t.integer:
			return parquet.Int64Value(int64(binary.LittleEndian.Uint64(le))), nil
		}
		slices.Reverse(le)
		if t.form == formText {
			return parquet.ByteArrayValue(le), nil
		}
		return parquet.FixedLenByteArrayValue(le), nil
	}, nil
}
