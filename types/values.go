package types

import (
	"fmt"
	"math"

	"github.com/feastgo/feast/feasterr"
)

// Native is a Go type in which a column can be read as a whole.
type Native interface {
	int32 | int64 | float32 | float64 | bool | string | []byte
}

// nativeFits reports whether cells of type t are read as T without conversion.
func nativeFits[T Native](t Type) bool {
	var zero T
	s := infos[t].store
	switch any(zero).(type) {
	case int32:
		return s == storeInt32
	case int64:
		return s == storeInt64
	case float32:
		return s == storeFloat32
	case float64:
		return s == storeFloat64
	case bool:
		return s == storeBool
	case string:
		return s == storeBytes && !t.isBytes()
	}
	return s == storeBytes // []byte
}

// Values returns a scalar column as a Go slice with one element per row, the zero value where the cell has none: check
// [Column.AllValid] or the statuses before you trust zeros. A value that is too old is there. int64 also reads timestamps,
// as seconds.
//
// Numbers and booleans alias the column's memory, must not be changed and stay valid until it is reused; strings are
// copied, with one allocation for all of them; []byte aliases. Reading a narrower column as a wider type (int32 as int64
// or float64, float32 as float64) and mixed columns that fit cost a copy. What does not fit without loss is a
// [*feasterr.TypeMismatchError].
func Values[T Native](c *Column) ([]T, error) {
	mixed := c.Mixed()
	if !mixed && nativeFits[T](c.typ) {
		if !c.variable() {
			return valuesOf[T](c), nil
		}
		out := make([]T, c.Len())
		switch p := any(out).(type) {
		case []string:
			c.copyStrings(p)
		case [][]byte:
			for row := range p {
				p[row] = c.Bytes(row)
			}
		}
		return out, nil
	}
	if probe := new(T); !mixed && !widen(probe, value{typ: c.typ.member()}) {
		return nil, mismatch[T](c, -1, "")
	}
	out := make([]T, c.Len())
	for row := range out {
		if v, ok := c.scalar(row); ok && !widen(&out[row], v) || !ok && has(c.states()[row]) {
			return nil, mismatch[T](c, row, "")
		}
	}
	return out, nil
}

// ValueAt returns a scalar cell as T: of the types that [Values] reads as T, without looking at other rows. ok is false
// where there is no value, and where it is of another type. A string is a copy; []byte aliases the column.
func ValueAt[T Native](c *Column, row int) (v T, ok bool) {
	if s := c.states()[row]; has(s) && s&stateOdd == 0 { // the common cases
		switch p := any(&v).(type) {
		case *int64:
			if c.store == storeInt64 {
				*p = c.i64()[row]
				return v, true
			}
		case *float32:
			if c.store == storeFloat32 {
				*p = c.f32()[row]
				return v, true
			}
		case *float64:
			if c.store == storeFloat64 {
				*p = c.f64()[row]
				return v, true
			}
		}
	}
	x, ok := c.scalar(row)
	return v, ok && widen(&v, x)
}

// copyStrings copies the text of all cells at once.
func (c *Column) copyStrings(dst []string) {
	size := 0
	for _, x := range c.cells() {
		size += int(x.len)
	}
	copies := make([]byte, 0, size)
	for row, x := range c.cells() {
		start := len(copies)
		copies = append(copies, c.bytes(x)...)
		dst[row] = stringOf(copies[start:])
	}
}

// widen stores v in out when T can hold every value of v's type. []byte aliases v.
func widen[T Native](out *T, v value) bool {
	switch p := any(out).(type) {
	case *int32:
		*p = int32(v.bits)
		return v.typ == Int32
	case *int64:
		*p = int64(v.bits)
		return v.typ == Int64 || v.typ == Int32 || v.typ == UnixTimestamp
	case *float32:
		*p = math.Float32frombits(uint32(v.bits))
		return v.typ == Float32
	case *float64:
		switch v.typ {
		case Float64:
			*p = math.Float64frombits(v.bits)
		case Float32:
			*p = float64(math.Float32frombits(uint32(v.bits)))
		case Int32:
			*p = float64(int32(v.bits))
		default:
			return false
		}
		return true
	case *bool:
		*p = v.bits != 0
		return v.typ == Bool
	case *string:
		*p = string(v.data)
		return infos[v.typ].store == storeBytes && v.typ != Bytes
	case *[]byte:
		*p = v.data
		return infos[v.typ].store == storeBytes
	}
	return false
}

// mismatch says that a column, or one row of it unless row is negative, cannot be read as T, or as a list of T when
// prefix is "[]".
func mismatch[T Native](c *Column, row int, prefix string) error {
	var zero T
	want := fmt.Sprintf("%s%T", prefix, zero)
	if _, ok := any(zero).([]byte); ok {
		want = prefix + "[]byte"
	}
	have := c.typ
	if row >= 0 && c.states()[row]&stateOdd != 0 {
		have = parseValue(c.odd(row)).typ
	}
	return &feasterr.TypeMismatchError{Column: c.Name(), Want: want, Have: have.String(), Row: row}
}

// Or writes a numeric column to dst[0], dst[stride], dst[2*stride]... as float32, rounding what float32 cannot hold and
// writing missing where the cell is not valid. dst must be long enough for every row. Values of a mixed column that are
// no numbers count as missing, as do all values of a column that is not numeric.
func (c *Column) Or(dst []float32, stride int, missing float32) {
	switch c.store {
	case storeInt32:
		orOf(dst, stride, missing, c.states(), c.i32())
	case storeInt64:
		orOf(dst, stride, missing, c.states(), c.i64())
	case storeFloat32:
		orOf(dst, stride, missing, c.states(), c.f32())
	case storeFloat64:
		orOf(dst, stride, missing, c.states(), c.f64())
	default:
		for row, s := range c.states() {
			x := missing
			if s == byte(Present) && c.store == storeBool {
				x = 0
				if c.bools()[row] {
					x = 1
				}
			}
			dst[row*stride] = x
		}
	}
	if !c.Mixed() {
		return
	}
	for row, s := range c.states() {
		if s == byte(Present)|stateOdd {
			if f, ok := c.Number(row); ok {
				dst[row*stride] = float32(f)
			}
		}
	}
}

func orOf[T int32 | int64 | float32 | float64](dst []float32, stride int, missing float32, state []byte, vals []T) {
	for row, s := range state {
		x := missing
		if s == byte(Present) {
			x = float32(vals[row])
		}
		dst[row*stride] = x
	}
}
