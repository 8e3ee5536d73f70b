package types

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
)

// MapEntry is an entry of a scalar map, whose keys need not be comparable in Go. A key is an int32, int64 (also for a
// timestamp, in seconds), float32, float64, bool, []byte, [16]byte (a UUID, or a string where the text is none), or the
// string of a decimal.
type MapEntry struct{ Key, Value any }

// Any returns a cell as a Go value, nil when there is none or it is null:
//
//	Bytes, PdfBytes, ImageBytes   []byte
//	String                        string
//	Int32, Int64                  int32, int64
//	Float32, Float64              float32, float64
//	Bool                          bool
//	UnixTimestamp                 int64, seconds (math.MinInt64 is Feast's stored null)
//	JSON                          json.RawMessage, the stored text, which need not be valid JSON
//	Decimal                       string, exact
//	UUID, TimeUUID                [16]byte, or string when the stored text is no UUID
//	ZonedTimestamp                time.Time in its zone; nil for Feast's stored null
//	Array(T), Set(T)              slice of the above, in stored order; UUIDs are strings when one of them is no UUID
//	Map, Struct                   map[string]any
//	Array(Map), Array(Struct)     []map[string]any
//	Array(Array), Set(Array)      []any of the above
//	ScalarMap                     []MapEntry, in stored order
//
// A value of another type than the column's is returned as what it was stored as, unless [Column.SetValue] widened it.
// Everything returned is a copy.
func (c *Column) Any(row int) any {
	s := c.states()[row]
	switch {
	case s&stateOdd != 0:
		return parseValue(c.odd(row)).any()
	case s&stateNaT != 0:
		return int64(NullUnixTimestamp)
	case !has(s):
		return nil
	}
	switch c.store {
	case storeList:
		elem, data := c.typ.Elem(), c.bytes(c.cells()[row])
		if widthOf(elem) > 0 {
			return nativeAny(elem, data)
		}
		return textAny(elem, data)
	case storeRaw:
		return parseValue(c.bytes(c.cells()[row])).any()
	}
	v, _ := c.scalar(row)
	return v.any()
}

// any is Any on a checked value.
func (v value) any() any {
	switch v.typ {
	case Invalid, Null:
		return nil
	case Bytes:
		return append([]byte{}, v.data...)
	case String, Decimal:
		return string(v.data)
	case Int32:
		return int32(v.bits)
	case Int64, UnixTimestamp:
		return int64(v.bits)
	case Float64:
		return math.Float64frombits(v.bits)
	case Float32:
		return math.Float32frombits(uint32(v.bits))
	case Bool:
		return v.bits != 0
	case JSON:
		return json.RawMessage(append([]byte{}, v.data...))
	case UUID, TimeUUID:
		return uuidAny(v.data)
	case Map, Struct:
		return mapAny(v.data)
	case MapList, StructList:
		return eachAny(v.data, mapAny)
	case ValueList, ValueSet:
		return eachAny(v.data, func(b []byte) any { return parseValue(b).any() })
	case ScalarMap:
		return eachAny(v.data, scalarEntry)
	case ZonedTimestamp:
		seconds, zone := zonedParts(v.data)
		if seconds == NullUnixTimestamp {
			return nil
		}
		return zonedTime(seconds, zone)
	}
	elem := v.typ.Elem()
	if widthOf(elem) == 0 {
		return textAny(elem, v.data)
	}
	data, _ := appendNative(nil, elem, v.data)
	return nativeAny(elem, data)
}

// eachAny reads the elements of a message whose field 1 repeats messages or text.
func eachAny[T any](msg []byte, one func([]byte) T) []T {
	out := []T{}
	for b := range parts(msg) {
		out = append(out, one(b))
	}
	return out
}

// nativeAny copies elements in native form.
func nativeAny(elem Type, data []byte) any {
	switch infos[elem].store {
	case storeInt32:
		return copyAs[int32](data)
	case storeInt64:
		return copyAs[int64](data)
	case storeFloat32:
		return copyAs[float32](data)
	case storeFloat64:
		return copyAs[float64](data)
	}
	return copyAs[bool](data)
}

func copyAs[T any](data []byte) []T { return append([]T{}, viewAs[T](data)...) }

// textAny copies the elements of a list message of text or bytes.
func textAny(elem Type, msg []byte) any {
	switch elem {
	case Bytes:
		return eachAny(msg, func(b []byte) []byte { return append([]byte{}, b...) })
	case JSON:
		return eachAny(msg, func(b []byte) json.RawMessage { return append([]byte{}, b...) })
	case UUID, TimeUUID:
		bad := false
		out := eachAny(msg, func(b []byte) [16]byte {
			u, ok := uuidAny(b).([16]byte)
			bad = bad || !ok
			return u
		})
		if !bad {
			return out
		}
	}
	return eachAny(msg, func(b []byte) string { return string(b) })
}

// uuidAny reads UUID text as Python does: with or without hyphens, braces and a urn:uuid: prefix.
func uuidAny(text []byte) any {
	var u [16]byte
	digits := bytes.TrimPrefix(bytes.TrimPrefix(text, []byte("urn:")), []byte("uuid:"))
	digits = bytes.Trim(digits, "{}")
	if bytes.IndexByte(digits, '-') >= 0 {
		digits = slices.DeleteFunc(slices.Clone(digits), func(ch byte) bool { return ch == '-' })
	}
	if len(digits) != 2*len(u) {
		return string(text)
	}
	if _, err := hex.Decode(u[:], digits); err != nil {
		return string(text)
	}
	return u
}

// mapAny reads a feast.types.Map; of equal keys the last wins.
func mapAny(msg []byte) map[string]any {
	out := map[string]any{}
	for entry := range parts(msg) {
		key, val := entryParts(entry)
		out[string(key)] = parseValue(val).any()
	}
	return out
}

// entryParts reads an entry of a feast.types.Map.
func entryParts(entry []byte) (key, val []byte) {
	for f := range fields(entry) {
		switch {
		case f.num == 1 && f.wire == wireBytes:
			key = f.data
		case f.num == 2 && f.wire == wireBytes:
			val = merge(val, f.data)
		}
	}
	return key, val
}

// scalarEntry reads a feast.types.ScalarMapEntry.
func scalarEntry(entry []byte) (e MapEntry) {
	var key, val []byte
	for f := range fields(entry) {
		switch {
		case f.num == 1 && f.wire == wireBytes:
			key = merge(key, f.data)
		case f.num == 2 && f.wire == wireBytes:
			val = merge(val, f.data)
		}
	}
	for f := range fields(key) {
		switch {
		case f.num == 1 && f.wire == wireVarint:
			e.Key = int32(f.bits)
		case f.num == 2 && f.wire == wireVarint, f.num == 6 && f.wire == wireVarint:
			e.Key = int64(f.bits)
		case f.num == 3 && f.wire == wireFixed32:
			e.Key = math.Float32frombits(uint32(f.bits))
		case f.num == 4 && f.wire == wireFixed64:
			e.Key = math.Float64frombits(f.bits)
		case f.num == 5 && f.wire == wireVarint:
			e.Key = f.bits != 0
		case f.num == 7 && f.wire == wireBytes:
			e.Key = append([]byte{}, f.data...)
		case f.num == 8 && f.wire == wireBytes, f.num == 9 && f.wire == wireBytes:
			e.Key = uuidAny(f.data)
		case f.num == 10 && f.wire == wireBytes:
			e.Key = string(f.data)
		}
	}
	e.Value = parseValue(val).any()
	return e
}

// zonedParts reads a feast.types.ZonedTimestamp.
func zonedParts(msg []byte) (seconds int64, zone []byte) {
	for f := range fields(msg) {
		switch {
		case f.num == 1 && f.wire == wireVarint:
			seconds = int64(f.bits)
		case f.num == 2 && f.wire == wireBytes:
			zone = f.data
		}
	}
	return seconds, zone
}
