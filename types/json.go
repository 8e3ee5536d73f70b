package types

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends the value of a cell as Feast's feature server writes it: null without a value, integers and
// timestamps (seconds, also [NullUnixTimestamp]) as numbers, floats in Python's form with "NaN", "Infinity" and
// "-Infinity" as strings, bytes in base64, JSON, decimal and UUID as text, zoned timestamps in ISO 8601, maps and structs
// as objects, scalar maps as null. The status plays no part: the value of a cell that is too old is written.
func (c *Column) AppendJSON(dst []byte, row int) []byte {
	s := c.states()[row]
	switch {
	case s&stateOdd != 0:
		return parseValue(c.odd(row)).appendJSON(dst)
	case s&stateNaT != 0:
		return strconv.AppendInt(dst, NullUnixTimestamp, 10)
	case !has(s):
		return append(dst, "null"...)
	}
	switch c.store {
	case storeInt32:
		return strconv.AppendInt(dst, int64(c.i32()[row]), 10)
	case storeInt64:
		return strconv.AppendInt(dst, c.i64()[row], 10)
	case storeFloat32:
		return appendFloatJSON(dst, float64(c.f32()[row]))
	case storeFloat64:
		return appendFloatJSON(dst, c.f64()[row])
	case storeBool:
		return strconv.AppendBool(dst, c.bools()[row])
	case storeBytes:
		return appendTextJSON(dst, c.typ, c.bytes(c.cells()[row]))
	case storeList:
		elem, data := c.typ.Elem(), c.bytes(c.cells()[row])
		if widthOf(elem) > 0 {
			return appendNativeJSON(dst, elem, data)
		}
		return appendTextsJSON(dst, elem, data)
	}
	return parseValue(c.bytes(c.cells()[row])).appendJSON(dst)
}

// appendJSON is AppendJSON on a checked value.
func (v value) appendJSON(dst []byte) []byte {
	switch v.typ {
	case Invalid, Null, ScalarMap:
		return append(dst, "null"...)
	case Map, Struct:
		return appendMapJSON(dst, v.data)
	case MapList, StructList:
		return appendEachJSON(dst, v.data, appendMapJSON)
	case ValueList, ValueSet:
		return appendEachJSON(dst, v.data, func(dst, b []byte) []byte { return parseValue(b).appendJSON(dst) })
	case ZonedTimestamp:
		seconds, zone := zonedParts(v.data)
		if seconds == NullUnixTimestamp {
			return append(dst, "null"...)
		}
		return append(appendISO(append(dst, '"'), zonedTime(seconds, zone)), '"')
	}
	switch infos[v.typ].store {
	case storeBytes:
		return appendTextJSON(dst, v.typ, v.data)
	case storeList:
		elem := v.typ.Elem()
		if widthOf(elem) == 0 {
			return appendTextsJSON(dst, elem, v.data)
		}
		data, _ := appendNative(nil, elem, v.data)
		return appendNativeJSON(dst, elem, data)
	}
	return appendNumberJSON(dst, v.typ, v.bits)
}

// appendNumberJSON renders a number, timestamp or boolean from the bits of its [value].
func appendNumberJSON(dst []byte, t Type, bits uint64) []byte {
	switch t {
	case Float32:
		return appendFloatJSON(dst, float64(math.Float32frombits(uint32(bits))))
	case Float64:
		return appendFloatJSON(dst, math.Float64frombits(bits))
	case Bool:
		return strconv.AppendBool(dst, bits != 0)
	}
	return strconv.AppendInt(dst, int64(bits), 10)
}

func appendFloatJSON(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	return AppendFloat(dst, f)
}

func appendTextJSON(dst []byte, t Type, b []byte) []byte {
	if t.isBytes() {
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), b), '"')
	}
	return AppendJSONString(dst, b)
}

// appendNativeJSON renders list elements in native form.
func appendNativeJSON(dst []byte, elem Type, data []byte) []byte {
	dst = append(dst, '[')
	for i := range len(data) / widthOf(elem) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendNumberJSON(dst, elem, elemBits(elem, data, i))
	}
	return append(dst, ']')
}

// appendTextsJSON renders a list message of text or bytes.
func appendTextsJSON(dst []byte, elem Type, msg []byte) []byte {
	return appendEachJSON(dst, msg, func(dst, b []byte) []byte { return appendTextJSON(dst, elem, b) })
}

// appendEachJSON renders the elements of a message whose field 1 repeats messages or text.
func appendEachJSON(dst, msg []byte, one func(dst, b []byte) []byte) []byte {
	dst = append(dst, '[')
	first := true
	for b := range parts(msg) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = one(dst, b)
	}
	return append(dst, ']')
}

// appendMapJSON renders a feast.types.Map in stored order; of equal keys only the last is written.
func appendMapJSON(dst, msg []byte) []byte {
	last := map[string]int{} // by key, the number of its last entry
	n := 0
	for entry := range parts(msg) {
		key, _ := entryParts(entry)
		last[string(key)] = n
		n++
	}
	dst = append(dst, '{')
	n = 0
	first := true
	for entry := range parts(msg) {
		key, val := entryParts(entry)
		if last[string(key)] == n {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(AppendJSONString(dst, key), ':')
			dst = parseValue(val).appendJSON(dst)
		}
		n++
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

// AppendJSONString appends UTF-8 text as a JSON string. Only what JSON requires is escaped: quotes, backslashes and
// control characters; bytes that are not UTF-8 become U+FFFD.
func AppendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		ch := s[i]
		if ch >= 0x20 && ch != '"' && ch != '\\' && ch < utf8.RuneSelf {
			i++
			continue
		}
		if ch >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		dst = append(dst, s[start:i]...)
		switch ch {
		case '"', '\\':
			dst = append(dst, '\\', ch)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[ch>>4], hexDigits[ch&0xf])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
