package types

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"unicode/utf8"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/wire"
)

// Wire types of the protobuf encoding.
const (
	wireVarint  = wire.Varint
	wireFixed64 = wire.Fixed64
	wireBytes   = wire.Bytes
	wireFixed32 = wire.Fixed32
)

// maxDepth bounds how deep values nest (maps in maps, lists of lists), so that hostile bytes cannot exhaust the stack.
const maxDepth = 100

var (
	errMalformed = feasterr.Invalid("malformed value: not a serialized feast.types.Value")
	errUTF8      = feasterr.Invalid("malformed value: text is not UTF-8")
	errDepth     = feasterr.Invalid("malformed value: nested deeper than %d levels", maxDepth)
)

// field is one field of a message as it stands on the wire.
type field struct {
	num  int32
	wire uint8
	bits uint64 // varint, fixed64 or fixed32
	data []byte // wireBytes, aliasing the message, without spare capacity
}

// nextField reads the field that b begins with and its length in bytes, 0 when b is malformed.
func nextField(b []byte) (f field, n int) {
	tag, bits, data, n := wire.Next(b)
	return field{int32(tag >> 3), uint8(tag & 7), bits, data}, n
}

// eachField calls fn for each field of a message that was not looked at before.
func eachField(b []byte, fn func(field) error) error {
	for len(b) > 0 {
		f, n := nextField(b)
		if n == 0 {
			return errMalformed
		}
		b = b[n:]
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

// fields yields the fields of a checked message.
func fields(b []byte) iter.Seq[field] {
	return func(yield func(field) bool) {
		for len(b) > 0 {
			f, n := nextField(b)
			if n == 0 || !yield(f) {
				return
			}
			b = b[n:]
		}
	}
}

// parts yields the elements of a checked message whose field 1 repeats messages, text or bytes: every list and map of
// Feast other than those of numbers.
func parts(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			f, n := nextField(b)
			if n == 0 || f.num == 1 && f.wire == wireBytes && !yield(f.data) {
				return
			}
			b = b[n:]
		}
	}
}

// merge adds another occurrence of a message field to those before, as protobuf defines it: messages merge by
// concatenation.
func merge(before, data []byte) []byte {
	if before == nil {
		return data
	}
	return append(before, data...)
}

// uvarintLen is the length of v as a varint.
func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// wireOf is the wire type of the Value member that carries t, and of list elements of type t.
func wireOf(t Type) uint8 {
	switch t {
	case Int32, Int64, Bool, UnixTimestamp, Null:
		return wireVarint
	case Float64:
		return wireFixed64
	case Float32:
		return wireFixed32
	}
	return wireBytes
}

// member returns the type under which Value carries t: bytes_val for the types stored as bytes, else t.
func (t Type) member() Type { return Type(infos[t].tag) }

// memberOf returns the type of a Value member, [Invalid] for a field that is none.
func memberOf(f field) Type {
	if f.num > int32(maxType) {
		return Invalid
	}
	if t := Type(f.num); t.member() == t && wireOf(t) == f.wire {
		return t
	}
	return Invalid
}

// value is the set member of a feast.types.Value, aliasing the bytes it was read from.
type value struct {
	typ  Type   // Invalid when unset
	bits uint64 // numbers: signed ones extended to 64 bits, floats as their bits, booleans 0 or 1
	data []byte // text, bytes and messages
}

// parseValue reads a checked feast.types.Value: the last set member wins, repeated message members merge, unknown
// fields are skipped.
func parseValue(b []byte) (v value) {
	for f := range fields(b) {
		t := memberOf(f)
		if t == Invalid {
			continue
		}
		if s := infos[t].store; t == v.typ && (s == storeList || s == storeRaw) {
			v.data = merge(v.data, f.data)
			continue
		}
		v = value{t, f.bits, f.data}
	}
	switch v.typ {
	case Int32:
		v.bits = uint64(int32(v.bits))
	case Bool:
		v.bits = min(v.bits, 1)
	}
	return v
}

// null reports whether v is one of Feast's nulls.
func (v value) null() bool {
	switch v.typ {
	case Invalid, Null:
		return true
	case UnixTimestamp:
		return int64(v.bits) == NullUnixTimestamp
	case ZonedTimestamp:
		seconds, _ := zonedParts(v.data)
		return seconds == NullUnixTimestamp
	}
	return false
}

// checkValue walks a serialized feast.types.Value, every member of it also where a later one wins, so that reading it
// afterwards cannot fail.
func checkValue(b []byte, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	return eachField(b, func(f field) error { return checkMember(memberOf(f), f.data, depth) })
}

func checkMember(t Type, data []byte, depth int) error {
	part := func(check func([]byte, int) error) error {
		return eachField(data, func(f field) error {
			if f.num == 1 && f.wire == wireBytes {
				return check(f.data, depth+1)
			}
			return nil
		})
	}
	switch t {
	case Map, Struct:
		return checkMap(data, depth+1)
	case MapList, StructList:
		return part(checkMap)
	case ValueList, ValueSet:
		return part(checkValue)
	case ScalarMap:
		return part(checkScalarEntry)
	case ZonedTimestamp:
		return checkText(data, 2, 2)
	}
	switch infos[t].store {
	case storeBytes:
		return checkUTF8(t, data)
	case storeList:
		return checkList(t.Elem(), data)
	}
	return nil
}

// checkMap walks a feast.types.Map.
func checkMap(b []byte, depth int) error {
	return eachField(b, func(f field) error {
		if f.num != 1 || f.wire != wireBytes {
			return nil
		}
		return eachField(f.data, func(e field) error {
			switch {
			case e.num == 1 && e.wire == wireBytes:
				return checkUTF8(String, e.data)
			case e.num == 2 && e.wire == wireBytes:
				return checkValue(e.data, depth)
			}
			return nil
		})
	})
}

// checkScalarEntry walks a feast.types.ScalarMapEntry.
func checkScalarEntry(b []byte, depth int) error {
	return eachField(b, func(f field) error {
		switch {
		case f.num == 1 && f.wire == wireBytes:
			return checkText(f.data, 8, 10) // uuid_key, time_uuid_key, decimal_key
		case f.num == 2 && f.wire == wireBytes:
			return checkValue(f.data, depth)
		}
		return nil
	})
}

// checkText walks a message whose fields first to last are text and whose others need no look.
func checkText(b []byte, first, last int32) error {
	return eachField(b, func(f field) error {
		if f.num >= first && f.num <= last && f.wire == wireBytes {
			return checkUTF8(String, f.data)
		}
		return nil
	})
}

// checkList walks the message of a list or set of elem.
func checkList(elem Type, b []byte) error {
	return eachField(b, func(f field) error {
		switch {
		case f.num != 1 || f.wire != wireBytes:
			return nil
		case widthOf(elem) == 0:
			return checkUTF8(elem, f.data)
		}
		for data := f.data; len(data) > 0; {
			_, n := packedElem(elem, data)
			if n == 0 {
				return errMalformed
			}
			data = data[n:]
		}
		return nil
	})
}

func checkUTF8(t Type, b []byte) error {
	if !t.isBytes() && !utf8.Valid(b) {
		return errUTF8
	}
	return nil
}

// packedElem reads one packed element and its length, 0 when b is malformed.
func packedElem(elem Type, b []byte) (bits uint64, n int) {
	switch wireOf(elem) {
	case wireVarint:
		return wire.Uvarint(b)
	case wireFixed64:
		if len(b) >= 8 {
			return binary.LittleEndian.Uint64(b), 8
		}
	case wireFixed32:
		if len(b) >= 4 {
			return uint64(binary.LittleEndian.Uint32(b)), 4
		}
	}
	return 0, 0
}

// appendKey appends the key of the Value member that carries t.
func appendKey(dst []byte, t Type) []byte {
	m := t.member()
	return binary.AppendUvarint(dst, uint64(m)<<3|uint64(wireOf(m)))
}
