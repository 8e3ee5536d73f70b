package types

import (
	"math"
	"strconv"
)

// AppendFloat appends f as Python's repr writes it, which is the text that Feast stores beside values and sends in
// JSON: the shortest digits that read back exactly, always with a fraction, exponents below 1e-4 and from 1e16 on
// with a sign and at least two digits; "nan", "inf", "-inf".
func AppendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "nan"...)
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	}
	abs := math.Abs(f)
	if abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if f == math.Trunc(f) {
		dst = append(dst, '.', '0')
	}
	return dst
}

// AppendText appends the text by which Feast's SQL stores keep a cell beside its bytes (value_text): strings as they
// are, numbers as Python prints them (float32 widened), "True" or "False". ok is false where they keep none: nulls
// and all other types.
func (c *Column) AppendText(dst []byte, row int) (_ []byte, ok bool) {
	v, ok := c.scalar(row)
	if !ok {
		return dst, false
	}
	switch v.typ {
	case String:
		return append(dst, v.data...), true
	case Int32, Int64:
		return strconv.AppendInt(dst, int64(v.bits), 10), true
	case Float64:
		return AppendFloat(dst, math.Float64frombits(v.bits)), true
	case Float32:
		return AppendFloat(dst, float64(math.Float32frombits(uint32(v.bits)))), true
	case Bool:
		if v.bits != 0 {
			return append(dst, "True"...), true
		}
		return append(dst, "False"...), true
	}
	return dst, false
}

// Number returns the cell as the number that Feast's SQL stores keep beside its bytes (value_num): numbers, and
// booleans as 1 or 0. ok is false for nulls and all other types.
func (c *Column) Number(row int) (f float64, ok bool) {
	v, ok := c.scalar(row)
	if !ok {
		return 0, false
	}
	switch v.typ {
	case Int32, Int64, Bool:
		return float64(int64(v.bits)), true
	case Float64:
		return math.Float64frombits(v.bits), true
	case Float32:
		return float64(math.Float32frombits(uint32(v.bits))), true
	}
	return 0, false
}
