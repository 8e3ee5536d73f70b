package types

import (
	"encoding/binary"
)

// CanBeKey reports whether values of type t may be part of an entity key: the types that Feast's entity key encoding
// knows.
func (t Type) CanBeKey() bool {
	switch t {
	case String, Bytes, Int32, Int64, UnixTimestamp:
		return true
	}
	return false
}

// AppendKeyValue appends a cell as a value of a serialized entity key: type number and length as 32-bit little-endian
// integers, then the bytes. The column's type must be one that [Type.CanBeKey]; ok is false when the cell has no value.
func (c *Column) AppendKeyValue(dst []byte, row int) (_ []byte, ok bool) {
	if c.state[row] != byte(Present) {
		return dst, false
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(c.typ))
	switch c.typ {
	case Int64, UnixTimestamp:
		dst = binary.LittleEndian.AppendUint32(dst, 8)
		return binary.LittleEndian.AppendUint64(dst, uint64(c.i64[row])), true
	case Int32:
		dst = binary.LittleEndian.AppendUint32(dst, 4)
		return binary.LittleEndian.AppendUint32(dst, uint32(c.i32[row])), true
	case String, Bytes:
		b := c.bytes(c.cells[row])
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b)))
		return append(dst, b...), true
	}
	return dst, false
}
