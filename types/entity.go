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
// integers, then the bytes. ok is false, and nothing appended, when the cell has no value or its type cannot be a key.
func (c *Column) AppendKeyValue(dst []byte, row int) (_ []byte, ok bool) {
	if c.states()[row] != byte(Present) || !c.typ.CanBeKey() {
		return dst, false
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(c.typ))
	switch c.typ {
	case Int64, UnixTimestamp:
		dst = binary.LittleEndian.AppendUint32(dst, 8)
		return binary.LittleEndian.AppendUint64(dst, uint64(c.i64()[row])), true
	case Int32:
		dst = binary.LittleEndian.AppendUint32(dst, 4)
		return binary.LittleEndian.AppendUint32(dst, uint32(c.i32()[row])), true
	}
	b := c.bytes(c.cells()[row])
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(b))), b...), true
}
