package types

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// SetNative stores a native value in a cell of any type, by the rules with which Feast turns Python values into stored
// ones. It takes what [Column.Any] returns, and:
//
//   - whole numbers from all Go numbers (cut toward zero), booleans and decimal text; Float32 from numbers, booleans and
//     text, Float64 from numbers; Bool from booleans and whole numbers; String from all of these
//   - timestamps from time.Time and whole seconds; zoned timestamps from time.Time, with the zone's IANA name, or
//     "UTC+05:30" where it has none
//   - JSON from valid JSON text (string, []byte or json.RawMessage), which is kept as it is, and from anything else as
//     Python's json.dumps writes it
//   - UUIDs from text and [16]byte, decimals from text
//   - lists and sets from slices and arrays with elements of the type itself: whole numbers for whole numbers, floats for
//     floats. A nil in []any is 0, false, "" or, among timestamps, [NullUnixTimestamp]; a NaN stays. Sets also from
//     map[T]struct{}; what is in a slice twice is stored once
//   - maps and structs from maps with string keys and from JSON text, scalar maps from maps with other keys and from
//     []MapEntry; the types of values inside maps and nested lists are inferred, see [Infer], with an int32 or float32
//     staying one
//   - JSON text in []byte or json.RawMessage also for lists, sets and nested lists
//
// nil, nil pointers, slices and maps, and, but for lists and sets, NaN are stored as a null ([NullValue]); an empty slice
// that is not nil is an empty list. Named types count as what they are made of, pointers as what they point to, and
// structs that implement encoding.TextMarshaler as text. Numbers may be json.Number, which keeps integers exact.
//
// What does not convert is an error that does not name the column; the cell then is as it was.
func (c *Column) SetNative(row int, v any) error {
	v, err := plain(v)
	switch {
	case err != nil:
		return err
	case nullNative(c.typ, v):
		c.Clear(row, NullValue)
		return nil
	}
	switch c.store {
	case storeRaw:
		return c.fill(row, func(dst []byte) ([]byte, error) { return appendNativeValue(dst, c.typ, v, 0) })
	case storeList:
		return c.fill(row, func(dst []byte) ([]byte, error) { return appendElems(dst, c.typ, v) })
	}
	x, err := memberOfNative(c.typ, v)
	switch {
	case err != nil:
		return err
	case isNaN(x):
		c.Clear(row, NullValue)
		return nil
	}
	return c.setMember(row, x)
}

// SetList stores a slice in a list or set cell, as [Column.SetNative] does, without boxing it.
func SetList[T Native](c *Column, row int, v []T) error {
	if c.store != storeList {
		return c.SetNative(row, v)
	}
	if v == nil {
		c.Clear(row, NullValue)
		return nil
	}
	arena, err := appendSlice(c.rest.arena, c.typ.Elem(), v)
	return c.filled(row, arena, err)
}

// SetText is [Column.SetNative] for text.
func (c *Column) SetText(row int, s string) error {
	switch {
	case c.typ == JSON && !json.Valid(unsafe.Slice(unsafe.StringData(s), len(s))): // which only reads
		return errNoJSON
	case c.typ == Decimal && !isDecimal(s):
		return notDecimal(s)
	case c.store == storeBytes && !c.typ.isBytes():
		return c.SetString(row, s)
	}
	return c.SetNative(row, s)
}

// fill stores what appendTo appends to the arena.
func (c *Column) fill(row int, appendTo func(dst []byte) ([]byte, error)) error {
	arena, err := appendTo(c.rest.arena)
	return c.filled(row, arena, err)
}

// filled points a cell to what was appended to the arena, unless there was an error.
func (c *Column) filled(row int, arena []byte, err error) error {
	if err != nil {
		return err
	}
	off := len(c.rest.arena)
	if uint64(len(arena)) > maxArena {
		return errArena
	}
	if c.typ.IsSet() && c.store == storeList {
		arena = distinct(arena, off, c.typ.Elem())
	}
	c.rest.arena = arena
	c.cells()[row] = cell{uint32(off), uint32(len(arena) - off), c.rest.id}
	c.states()[row] = byte(Present)
	return nil
}

// ListLen returns the number of elements of a list or set cell, 0 where there is none and for other types.
func (c *Column) ListLen(row int) int {
	if s := c.states()[row]; c.store != storeList || !has(s) || s&stateOdd != 0 {
		return 0
	}
	elem, data, n := c.typ.Elem(), c.bytes(c.cells()[row]), 0
	if width := widthOf(elem); width > 0 {
		return len(data) / width
	}
	for range parts(data) {
		n++
	}
	return n
}

// plain returns a value as one of the types that the rest of this file knows: nil, a basic type, json.Number, []byte,
// json.RawMessage, [16]byte, time.Time, a slice of a basic type, []any, map[string]any or []MapEntry.
func plain(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int, int64, int32, int16, int8, uint, uint64, uint32, uint16, uint8, float32, float64, string,
		json.Number, [16]byte, time.Time:
		return v, nil
	case []byte:
		return orNil(v), nil
	case json.RawMessage:
		return orNil(v), nil
	case []any:
		return orNil(v), nil
	case []int32:
		return orNil(v), nil
	case []int64:
		return orNil(v), nil
	case []float32:
		return orNil(v), nil
	case []float64:
		return orNil(v), nil
	case []bool:
		return orNil(v), nil
	case []string:
		return orNil(v), nil
	case [][]byte:
		return orNil(v), nil
	case []MapEntry:
		return orNil(v), nil
	case map[string]any:
		if v == nil {
			return nil, nil
		}
		return v, nil
	}
	return plainOf(reflect.ValueOf(v))
}

// orNil makes a nil slice a null.
func orNil[S ~[]E, E any](s S) any {
	if s == nil {
		return nil
	}
	return s
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// pointsToValue reports whether a type is a pointer that counts as what it points to; one that is text itself does not.
func pointsToValue(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer && (t.Elem().Implements(textMarshaler) || !t.Implements(textMarshaler))
}

// pointedTo is plain for what a pointer points to, also through others, as deep as values nest: a pointer may point to itself.
func pointedTo(v reflect.Value) (any, error) {
	for depth := 0; pointsToValue(v.Type()); depth++ {
		switch {
		case v.IsNil():
			return nil, nil
		case depth == maxDepth:
			return nil, errDepth
		}
		if v = v.Elem(); v.Kind() == reflect.Interface && !v.IsNil() {
			v = v.Elem()
		}
	}
	return plain(v.Interface())
}

// plainOf is plain for types that are not listed there.
func plainOf(v reflect.Value) (any, error) {
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Int, reflect.Int64:
		return v.Int(), nil
	case reflect.Int8, reflect.Int16, reflect.Int32:
		return int32(v.Int()), nil
	case reflect.Uint8, reflect.Uint16:
		return int32(v.Uint()), nil
	case reflect.Uint, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return v.Uint(), nil
	case reflect.Float32:
		return float32(v.Float()), nil
	case reflect.Float64:
		return v.Float(), nil
	case reflect.String:
		return v.String(), nil
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if v.IsNil() {
			return nil, nil
		}
	}
	t := v.Type()
	switch k := v.Kind(); {
	case k == reflect.Array && t.Len() == 16 && t.Elem().Kind() == reflect.Uint8:
		return v.Convert(reflect.TypeFor[[16]byte]()).Interface(), nil
	case pointsToValue(t):
		return pointedTo(v)
	case t.Implements(textMarshaler):
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		return string(text), err
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return v.Bytes(), nil
	case k == reflect.Slice || k == reflect.Array:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = v.Index(i).Interface()
		}
		return list, nil
	case k == reflect.Map:
		return plainMap(v), nil
	}
	return v.Interface(), nil // which fits no type but JSON
}

// plainMap returns a map as map[string]any, one of keys alone as []any, others as []MapEntry, in an order that depends on
// the keys alone.
func plainMap(m reflect.Value) any {
	key, elem := m.Type().Key(), m.Type().Elem()
	if elem.Kind() == reflect.Struct && elem.NumField() == 0 {
		list := make([]any, 0, m.Len())
		for _, k := range m.MapKeys() {
			list = append(list, k.Interface())
		}
		slices.SortFunc(list, compareText)
		return list
	}
	if key.Kind() == reflect.String {
		out := make(map[string]any, m.Len())
		for it := m.MapRange(); it.Next(); {
			out[it.Key().String()] = it.Value().Interface()
		}
		return out
	}
	out := make([]MapEntry, 0, m.Len())
	for it := m.MapRange(); it.Next(); {
		out = append(out, MapEntry{it.Key().Interface(), it.Value().Interface()})
	}
	slices.SortFunc(out, func(a, b MapEntry) int { return compareText(a.Key, b.Key) })
	return out
}

func compareText(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }

// nullNative reports whether a plain value is stored as a null in a cell or nested value of type t.
func nullNative(t Type, v any) bool {
	switch f := v.(type) {
	case nil:
		return true
	case float64:
		return math.IsNaN(f) && t.Elem() == Invalid
	case float32:
		return f != f && t.Elem() == Invalid
	}
	return false
}

// isNaN reports whether text was converted to a NaN.
func isNaN(v value) bool {
	switch v.typ {
	case Float32:
		return math.IsNaN(float64(math.Float32frombits(uint32(v.bits))))
	case Float64:
		return math.IsNaN(math.Float64frombits(v.bits))
	}
	return false
}

// memberOfNative converts a plain value to a type that is no list and not raw.
func memberOfNative(t Type, v any) (value, error) {
	if t == JSON {
		text, err := jsonText(v)
		return value{typ: JSON, data: text}, err
	}
	return scalarOf(t, v)
}

// Lists.

// elemFits reports whether a plain value may be an element of a list: lists take values of their own type only.
func elemFits(elem Type, v any) bool {
	switch n := v.(type) {
	case int, int64, int32, int16, int8, uint, uint64, uint32, uint16, uint8:
		return elem == Int32 || elem == Int64 || elem == UnixTimestamp || elem == JSON
	case json.Number:
		if isInteger(string(n)) {
			return elem == Int32 || elem == Int64 || elem == UnixTimestamp || elem == JSON
		}
		return elem == Float32 || elem == Float64 || elem == JSON
	case float32, float64:
		return elem == Float32 || elem == Float64 || elem == JSON
	case bool:
		return elem == Bool || elem == JSON
	case string:
		return elem == String || elem == UUID || elem == TimeUUID || elem == Decimal || elem == JSON
	case []byte:
		return elem == Bytes || elem == JSON
	case [16]byte:
		return elem == UUID || elem == TimeUUID
	case time.Time:
		return elem == UnixTimestamp
	}
	return elem == JSON
}

// appendElems appends the elements of a list or set as a cell holds them.
func appendElems(dst []byte, t Type, v any) ([]byte, error) {
	elem := t.Elem()
	switch s := v.(type) {
	case []any:
		return appendEachElem(dst, elem, s)
	case []int32:
		return appendSlice(dst, elem, s)
	case []int64:
		return appendSlice(dst, elem, s)
	case []float32:
		return appendSlice(dst, elem, s)
	case []float64:
		return appendSlice(dst, elem, s)
	case []bool:
		return appendSlice(dst, elem, s)
	case []string:
		return appendSlice(dst, elem, s)
	case [][]byte:
		return appendSlice(dst, elem, s)
	case []byte:
		list, err := parseList(s)
		if err != nil {
			return dst, err
		}
		return appendEachElem(dst, elem, list)
	case json.RawMessage:
		return appendElems(dst, t, []byte(s))
	}
	return dst, unfit(v, t)
}

func appendEachElem(dst []byte, elem Type, list []any) (_ []byte, err error) {
	for i, v := range list {
		if dst, err = appendAnyElem(dst, elem, v); err != nil {
			return dst, within("element", i, err)
		}
	}
	return dst, nil
}

// appendAnyElem appends an element as a cell holds it.
func appendAnyElem(dst []byte, elem Type, v any) ([]byte, error) {
	width := widthOf(elem)
	v, err := plain(v)
	if err != nil {
		return dst, err
	}
	var x value
	switch {
	case v == nil && elem == UnixTimestamp:
		x.bits = 1 << 63 // NullUnixTimestamp
	case v == nil:
	case !elemFits(elem, v):
		return dst, unfit(v, elem)
	default:
		if x, err = memberOfNative(elem, v); err != nil {
			return dst, err
		}
	}
	if width > 0 {
		return appendElem(dst, width, x.bits), nil
	}
	return appendPart(dst, x.data), nil
}

// appendPart appends an element of a message whose field 1 repeats text or messages.
func appendPart(dst, data []byte) []byte {
	dst = append(dst, 1<<3|wireBytes)
	return append(binary.AppendUvarint(dst, uint64(len(data))), data...)
}

// appendSlice appends the elements of a slice as a cell holds them.
func appendSlice[T Native](dst []byte, elem Type, s []T) (_ []byte, err error) {
	if nativeFits[T](elem) && widthOf(elem) > 0 { // in native form already
		var zero T
		return append(dst, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(zero)))...), nil
	}
	switch s := any(s).(type) {
	case []string:
		if elem == String {
			for i, text := range s {
				if !utf8.ValidString(text) {
					return dst, fmt.Errorf("element %d: %w", i, errUTF8)
				}
				dst = append(dst, 1<<3|wireBytes)
				dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
			}
			return dst, nil
		}
	case [][]byte:
		if elem == Bytes {
			for _, b := range s {
				dst = appendPart(dst, b)
			}
			return dst, nil
		}
	case []float64:
		if elem == Float32 {
			for _, f := range s {
				dst = appendElem(dst, 4, uint64(math.Float32bits(float32(f))))
			}
			return dst, nil
		}
	case []float32:
		if elem == Float64 {
			for _, f := range s {
				dst = appendElem(dst, 8, math.Float64bits(float64(f)))
			}
			return dst, nil
		}
	}
	for i, v := range s {
		if dst, err = appendAnyElem(dst, elem, v); err != nil {
			return dst, within("element", i, err)
		}
	}
	return dst, nil
}

// distinct drops elements, from an offset on, that are equal to an earlier one.
func distinct(b []byte, from int, elem Type) []byte {
	size := func(at int) int {
		if width := widthOf(elem); width > 0 {
			return width
		}
		_, n := nextField(b[at:])
		return n
	}
	const few = 256 // bytes; below, looking through is faster than a map
	var seen map[string]struct{}
	if len(b)-from > few {
		seen = map[string]struct{}{}
	}
	end := from
next:
	for at := from; at < len(b); {
		e := b[at : at+size(at)]
		at += len(e)
		if seen != nil {
			if _, ok := seen[string(e)]; ok {
				continue next
			}
			seen[string(e)] = struct{}{}
		} else {
			for k := from; k < end; k += size(k) {
				if bytes.Equal(b[k:k+size(k)], e) {
					continue next
				}
			}
		}
		end += copy(b[end:], e)
	}
	return b[:end]
}

// within says where in a value an error is. That of a value nested too deep is left alone: the way there is long, and
// endless where a value holds itself.
func within(what string, at any, err error) error {
	if errors.Is(err, errDepth) {
		return err
	}
	if text, ok := at.(string); ok {
		at = strconv.Quote(text)
	}
	return fmt.Errorf("%s %v: %w", what, at, err)
}

// Maps and nested values.

// appendNativeValue appends a plain value as a serialized feast.types.Value of type t, nothing for a null.
func appendNativeValue(dst []byte, t Type, v any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return dst, errDepth
	}
	if nullNative(t, v) {
		return dst, nil
	}
	var body []byte
	var err error
	switch t {
	case Map, Struct:
		body, err = appendNativeMap(nil, t, v, depth)
	case MapList, StructList:
		body, err = appendNativeParts(t, v, func(dst []byte, v any) ([]byte, error) {
			return appendNativeMap(dst, t.Elem(), v, depth+1)
		})
	case ValueList, ValueSet:
		body, err = appendNativeParts(t, v, func(dst []byte, v any) ([]byte, error) {
			return appendCollection(dst, v, depth+1)
		})
	case ScalarMap:
		body, err = scalarMap(v, depth)
	case ZonedTimestamp:
		at, ok := v.(time.Time)
		if !ok {
			return dst, unfit(v, t)
		}
		body = appendZoned(nil, at)
	case Null, Invalid:
		return dst, unfit(v, t)
	default:
		return appendFlat(dst, t, v)
	}
	if err != nil {
		return dst, err
	}
	dst = appendKey(dst, t)
	return append(binary.AppendUvarint(dst, uint64(len(body))), body...), nil
}

// appendFlat is appendNativeValue for scalars, lists and sets.
func appendFlat(dst []byte, t Type, v any) ([]byte, error) {
	if elem := t.Elem(); elem != Invalid {
		data, err := appendElems(nil, t, v)
		if err != nil {
			return dst, err
		}
		if t.IsSet() {
			data = distinct(data, 0, elem)
		}
		return appendList(appendKey(dst, t), elem, data), nil
	}
	x, err := memberOfNative(t, v)
	if err != nil || isNaN(x) {
		return dst, err
	}
	dst = appendKey(dst, t)
	switch wireOf(t) {
	case wireVarint:
		return binary.AppendUvarint(dst, x.bits), nil
	case wireFixed64:
		return binary.LittleEndian.AppendUint64(dst, x.bits), nil
	case wireFixed32:
		return binary.LittleEndian.AppendUint32(dst, uint32(x.bits)), nil
	}
	return append(binary.AppendUvarint(dst, uint64(len(x.data))), x.data...), nil
}

// appendInferred appends a value whose type is inferred.
func appendInferred(dst []byte, v any, depth int) ([]byte, error) {
	v, err := plain(v)
	if err != nil || nullNative(Invalid, v) {
		return dst, err
	}
	t, err := inferNested(v, depth)
	if err != nil {
		return dst, err
	}
	return appendNativeValue(dst, t, v, depth)
}

// appendCollection appends an element of a nested list: a list. Of one that is empty and has no type Feast stores a null.
func appendCollection(dst []byte, v any, depth int) ([]byte, error) {
	v, err := plain(v)
	if err != nil || v == nil {
		return dst, err
	}
	switch text := v.(type) {
	case []byte:
		v, err = parseList(text)
	case json.RawMessage:
		v, err = parseList(text)
	}
	if err != nil {
		return dst, err
	}
	if list, ok := v.([]any); ok && len(list) == 0 {
		return dst, nil
	}
	if reflect.TypeOf(v).Kind() != reflect.Slice {
		return dst, fmt.Errorf("%s is no list", nativeName(v))
	}
	return appendInferred(dst, v, depth)
}

// appendNativeParts appends the elements of a list of messages.
func appendNativeParts(t Type, v any, one func(dst []byte, v any) ([]byte, error)) (dst []byte, err error) {
	var list []any
	switch s := v.(type) {
	case []any:
		list = s
	case json.RawMessage:
		list, err = parseList(s)
	case []byte:
		list, err = parseList(s)
	default:
		s2 := reflect.ValueOf(v)
		if s2.Kind() != reflect.Slice {
			return nil, unfit(v, t)
		}
		for i := range s2.Len() {
			list = append(list, s2.Index(i).Interface())
		}
	}
	if err != nil {
		return nil, err
	}
	for i, v := range list {
		part, err := one(nil, v)
		if err != nil {
			return nil, within("element", i, err)
		}
		dst = appendPart(dst, part)
	}
	return dst, nil
}

// appendNativeMap appends a feast.types.Map, its entries sorted by key.
func appendNativeMap(dst []byte, t Type, v any, depth int) ([]byte, error) {
	v, err := plain(v)
	if err != nil {
		return dst, err
	}
	if depth > maxDepth {
		return dst, errDepth
	}
	var m map[string]any
	switch x := v.(type) {
	case map[string]any:
		m = x
	case string:
		m, err = parseObject([]byte(x))
	case []byte:
		m, err = parseObject(x)
	case json.RawMessage:
		m, err = parseObject(x)
	case []MapEntry:
		if len(x) > 0 {
			return dst, unfit(v, t)
		}
	default:
		return dst, unfit(v, t)
	}
	if err != nil {
		return dst, err
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !utf8.ValidString(key) {
			return dst, fmt.Errorf("key %q: %w", key, errUTF8)
		}
		val, err := appendInferred(nil, m[key], depth+1)
		if err != nil {
			return dst, within("key", key, err)
		}
		dst = appendPart(dst, mapEntry([]byte(key), val))
	}
	return dst, nil
}

// mapEntry returns a message of fields 1 and 2: an entry of a map.
func mapEntry(key, val []byte) []byte {
	entry := append(binary.AppendUvarint([]byte{1<<3 | wireBytes}, uint64(len(key))), key...)
	entry = binary.AppendUvarint(append(entry, 2<<3|wireBytes), uint64(len(val)))
	return append(entry, val...)
}

// scalarMap returns a feast.types.ScalarMap, entries in the order given.
func scalarMap(v any, depth int) ([]byte, error) {
	entries, ok := v.([]MapEntry)
	if !ok {
		if m, isMap := v.(map[string]any); isMap {
			if len(m) > 0 {
				return nil, errors.New("the keys of a ScalarMap are no strings; for those there is Map")
			}
		} else {
			return nil, unfit(v, ScalarMap)
		}
	}
	var out []byte
	for _, e := range entries {
		key, err := mapKey(e.Key)
		if err != nil {
			return nil, err
		}
		val, err := appendInferred(nil, e.Value, depth+1)
		if err != nil {
			return nil, within("key", e.Key, err)
		}
		out = appendPart(out, mapEntry(key, val))
	}
	return out, nil
}

// mapKey returns a feast.types.MapKey. Text is that of a decimal number, as [Column.Any] returns those.
func mapKey(v any) ([]byte, error) {
	v, err := plain(v)
	if err != nil {
		return nil, err
	}
	varint := func(field byte, n int64) []byte {
		return binary.AppendUvarint([]byte{field<<3 | wireVarint}, uint64(n))
	}
	text := func(field byte, b []byte) []byte {
		return append(binary.AppendUvarint([]byte{field<<3 | wireBytes}, uint64(len(b))), b...)
	}
	switch k := v.(type) {
	case int32, int16, int8, uint16, uint8:
		n, _ := wholeNumber(k)
		return varint(1, n), nil
	case int, int64, uint, uint32, uint64:
		n, err := wholeNumber(k)
		return varint(2, n), err
	case float32:
		return binary.LittleEndian.AppendUint32([]byte{3<<3 | wireFixed32}, math.Float32bits(k)), nil
	case float64:
		return binary.LittleEndian.AppendUint64([]byte{4<<3 | wireFixed64}, math.Float64bits(k)), nil
	case bool:
		return varint(5, int64(boolValue(k).bits)), nil
	case time.Time:
		return varint(6, unixSeconds(k)), nil
	case []byte:
		return text(7, k), nil
	case [16]byte:
		return text(8, AppendUUID(nil, k)), nil
	case string:
		if isDecimal(k) {
			return text(10, []byte(k)), nil
		}
		return nil, fmt.Errorf("key %q: the keys of a ScalarMap are no strings, but those of decimal numbers", k)
	}
	return nil, fmt.Errorf("%s is no key of a ScalarMap", nativeName(v))
}

// inferNested returns the type that Feast infers for a plain value inside another.
func inferNested(v any, depth int) (Type, error) {
	if depth > maxDepth {
		return Invalid, errDepth
	}
	switch s := v.(type) {
	case int32, int16, int8, uint16, uint8:
		return Int32, nil
	case float32:
		return Float32, nil
	case [16]byte:
		return UUID, nil
	case json.RawMessage:
		return JSON, nil
	case map[string]any:
		return Map, nil
	case []MapEntry:
		return ScalarMap, nil
	case []int32:
		return Int32List, nil
	case []int64:
		return Int64List, nil
	case []float32:
		return Float32List, nil
	case []float64:
		return Float64List, nil
	case []bool:
		return BoolList, nil
	case []string:
		return StringList, nil
	case [][]byte:
		return BytesList, nil
	case []any:
		return inferList(s, depth)
	}
	if t := Infer(v); t != Invalid {
		return t, nil
	}
	return Invalid, fmt.Errorf("%s has no type that can be stored", nativeName(v))
}

// inferList returns the type of a list by its elements, which must agree.
func inferList(list []any, depth int) (Type, error) {
	elem := Invalid
	for i, v := range list {
		v, err := plain(v)
		if err != nil {
			return Invalid, err
		}
		if v == nil {
			continue
		}
		t, err := inferNested(v, depth+1)
		if err != nil {
			return Invalid, within("element", i, err)
		}
		if t.Elem() != Invalid || t == ValueList {
			t = ValueList // of lists, whatever theirs
		}
		switch elem {
		case Invalid:
			elem = t
		case t:
		default:
			return Invalid, fmt.Errorf("element %d: a list holds elements of one type, and this has %s and %s", i, elem, t)
		}
	}
	if elem == ValueList {
		return ValueList, nil
	}
	for t := range infos {
		if typ := Type(t); infos[t].elem == elem && elem != Invalid && typ.IsList() {
			return typ, nil
		}
	}
	if elem == Invalid {
		return Invalid, errors.New("a list without elements has no type here: give a typed slice")
	}
	return Invalid, fmt.Errorf("there are no lists of %s", elem)
}

// appendZoned appends a feast.types.ZonedTimestamp.
func appendZoned(dst []byte, t time.Time) []byte {
	if s := unixSeconds(t); s != 0 {
		dst = binary.AppendUvarint(append(dst, 1<<3|wireVarint), uint64(s))
	}
	zone := zoneName(t)
	dst = binary.AppendUvarint(append(dst, 2<<3|wireBytes), uint64(len(zone)))
	return append(dst, zone...)
}

// zoneName names the zone of a time as Feast does: the zone's own name where reading it finds the zone again, else the
// offset.
func zoneName(t time.Time) string {
	name := t.Location().String()
	_, offset := t.Zone()
	if name != "" && name != "Local" && utf8.ValidString(name) {
		if _, back := t.In(zones.location([]byte(name))).Zone(); back == offset && (offset != 0 || name == "UTC" || strings.Contains(name, "/")) {
			return name
		}
	}
	if offset == 0 {
		return "UTC"
	}
	sign := '+'
	if offset < 0 {
		sign, offset = '-', -offset
	}
	if s := offset % 60; s != 0 {
		return fmt.Sprintf("UTC%c%02d:%02d:%02d", sign, offset/3600, offset/60%60, s)
	}
	return fmt.Sprintf("UTC%c%02d:%02d", sign, offset/3600, offset/60%60)
}

// AppendUUID appends the text of a UUID: lower-case hexadecimal digits with hyphens.
func AppendUUID(dst []byte, u [16]byte) []byte {
	for i, part := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

// JSON.

// parseObject and parseList read JSON text, with exact numbers.

func parseObject(text []byte) (m map[string]any, err error) {
	if err = parseJSON(text, &m); err == nil && m == nil {
		err = errors.New("a JSON null is no object")
	}
	return m, err
}

func parseList(text []byte) (list []any, err error) {
	if err = parseJSON(text, &list); err == nil && list == nil {
		err = errors.New("a JSON null is no array")
	}
	return list, err
}

func parseJSON(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err := d.Decode(into)
	if err == nil && d.InputOffset() < int64(len(text)) && len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
		err = errors.New("something follows the value")
	}
	if err != nil {
		return fmt.Errorf("malformed JSON: %w", err)
	}
	return nil
}

var errNoJSON = errors.New("the text is no valid JSON")

// jsonText returns the JSON that is stored for a plain value.
func jsonText(v any) ([]byte, error) {
	var text []byte
	switch s := v.(type) {
	case string:
		text = unsafe.Slice(unsafe.StringData(s), len(s)) // which is only read
	case []byte:
		text = s
	case json.RawMessage:
		text = s
	default:
		return appendPythonJSON(nil, v, 0)
	}
	if !json.Valid(text) {
		return nil, errNoJSON
	}
	return text, nil
}

// appendPythonJSON appends a value as Python's json.dumps writes it, keys sorted.
func appendPythonJSON(dst []byte, v any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return dst, errDepth
	}
	v, err := plain(v)
	if err != nil {
		return dst, err
	}
	switch x := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, x), nil
	case string:
		return appendASCII(dst, x), nil
	case json.Number:
		if !isJSONNumber([]byte(x)) {
			return dst, fmt.Errorf("%q is no JSON number", string(x))
		}
		return append(dst, x...), nil
	case json.RawMessage:
		text, err := jsonText(x)
		return append(dst, text...), err
	case float32:
		return appendFinite(dst, float64(x))
	case float64:
		return appendFinite(dst, x)
	case map[string]any:
		dst = append(dst, '{')
		for i, key := range slices.Sorted(maps.Keys(x)) {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(appendASCII(dst, key), ": "...)
			if dst, err = appendPythonJSON(dst, x[key], depth+1); err != nil {
				return dst, within("key", key, err)
			}
		}
		return append(dst, '}'), nil
	}
	if n, err := wholeNumber(v); err == nil {
		return strconv.AppendInt(dst, n, 10), nil
	}
	if s := reflect.ValueOf(v); s.Kind() == reflect.Slice && s.Type().Elem().Kind() != reflect.Uint8 && s.Type() != reflect.TypeFor[[]MapEntry]() {
		dst = append(dst, '[')
		for i := range s.Len() {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			if dst, err = appendPythonJSON(dst, s.Index(i).Interface(), depth+1); err != nil {
				return dst, within("element", i, err)
			}
		}
		return append(dst, ']'), nil
	}
	text, err := json.Marshal(v)
	return append(dst, text...), err
}

func appendFinite(dst []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, fmt.Errorf("JSON has no %v", f)
	}
	return AppendFloat(dst, f), nil
}

// appendASCII appends a JSON string in which all but ASCII is escaped.
func appendASCII(dst []byte, s string) []byte {
	quoted := AppendJSONString(nil, []byte(s))
	for _, r := range string(quoted) {
		switch {
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r))
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, hi, lo)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
	}
	return dst
}
