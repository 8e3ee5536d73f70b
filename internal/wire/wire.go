// Package wire reads messages in the protobuf encoding field by field, where bytes are not worth a message of their own.
package wire

import (
	"encoding/binary"
	"math/bits"
)

// Wire types of the protobuf encoding.
const (
	Varint  = 0
	Fixed64 = 1
	Bytes   = 2
	Fixed32 = 5
)

// Next reads the field that b begins with: its tag, that is number<<3 with the wire type, and what it holds, bits of a
// number or data that aliases b, without spare capacity. n is its length in bytes, 0 when b is malformed. Groups are
// refused: no message of Feast has any.
func Next(b []byte) (tag uint32, bits uint64, data []byte, n int) {
	t, n := Uvarint(b)
	if n == 0 || t>>3 == 0 || t>>3 > 1<<29-1 {
		return 0, 0, nil, 0
	}
	tag = uint32(t)
	rest := b[n:]
	switch tag & 7 {
	case Varint:
		v, m := Uvarint(rest)
		if m == 0 {
			return 0, 0, nil, 0
		}
		return tag, v, nil, n + m
	case Fixed64:
		if len(rest) < 8 {
			return 0, 0, nil, 0
		}
		return tag, binary.LittleEndian.Uint64(rest), nil, n + 8
	case Fixed32:
		if len(rest) < 4 {
			return 0, 0, nil, 0
		}
		return tag, uint64(binary.LittleEndian.Uint32(rest)), nil, n + 4
	case Bytes:
		size, m := Uvarint(rest)
		if m == 0 || size > uint64(len(rest)-m) {
			return 0, 0, nil, 0
		}
		return tag, 0, rest[m : m+int(size) : m+int(size)], n + m + int(size)
	}
	return 0, 0, nil, 0
}

// Uvarint reads a varint and its length, 0 when b is truncated or the number needs more than 64 bits.
func Uvarint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return longUvarint(b)
}

// longUvarint is Uvarint for any length. Where it can, it works on eight bytes at a time.
func longUvarint(b []byte) (v uint64, n int) {
	if len(b) < 8 {
		for i, ch := range b {
			v |= uint64(ch&0x7f) << (7 * i & 63)
			if ch < 0x80 {
				return v, i + 1
			}
		}
		return 0, 0
	}
	v = binary.LittleEndian.Uint64(b)
	stop := ^v & 0x8080808080808080 // the top bit of each byte that may end the varint
	if stop != 0 {
		v &= stop&-stop - 1
	}
	v = v&0x007f007f007f007f | v&0x7f007f007f007f00>>1
	v = v&0x00003fff00003fff | v&0x3fff00003fff0000>>2
	v = v&0x000000000fffffff | v&0x0fffffff00000000>>4
	switch {
	case stop != 0:
		return v, bits.TrailingZeros64(stop)/8 + 1
	case len(b) > 8 && b[8] < 0x80:
		return v | uint64(b[8])<<56, 9
	case len(b) > 9 && b[9] <= 1:
		return v | uint64(b[8]&0x7f)<<56 | uint64(b[9])<<63, 10
	}
	return 0, 0
}

// AppendBytes appends a field of bytes with this tag to a message.
func AppendBytes[T []byte | string](dst []byte, tag byte, data T) []byte {
	return append(binary.AppendUvarint(append(dst, tag), uint64(len(data))), data...)
}
