package arrowconv

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// Nested values are stored as serialized feast.types.Value messages, which are appended here to one buffer: the number of
// a member of Value is the number of its type.

const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
)

func appendKey(dst []byte, field int, wire uint64) []byte {
	return binary.AppendUvarint(dst, uint64(field)<<3|wire)
}

// begin starts a member that is a message, text or bytes and returns where its content starts.
func begin(dst []byte, field int) ([]byte, int) {
	dst = appendKey(dst, field, wireBytes)
	return dst, len(dst)
}

// finish puts the length before the content that starts at from.
func finish(dst []byte, from int) []byte {
	var size [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(size[:], uint64(len(dst)-from))
	dst = append(dst, size[:n]...)
	copy(dst[from+n:], dst[from:])
	copy(dst[from:], size[:n])
	return dst
}

func appendBytes[T string | []byte](dst []byte, field int, b T) []byte {
	dst = binary.AppendUvarint(appendKey(dst, field, wireBytes), uint64(len(b)))
	return append(dst, b...)
}

func (m *Importer) importNested(dst *types.Column, at int, src arrow.Array) error {
	appendOne := m.nestedOf(dst.Type(), src)
	if d, ok := src.(*array.Dictionary); ok && appendOne == nil {
		return m.importDictionary(dst, at, d)
	}
	if appendOne == nil {
		return misfit(dst, src)
	}
	null := nullsOf(src)
	for i := range src.Len() {
		if null(i) {
			dst.Clear(at+i, types.NullValue)
			continue
		}
		b, err := appendOne(m.buf[:0], i)
		if err == nil {
			m.buf = b
			err = dst.SetValue(at+i, b)
		}
		if err != nil {
			return &feasterr.RequestError{Column: dst.Name(), Row: at + i, Err: err}
		}
	}
	return nil
}

// appender appends the Value of a place that is not null.
type appender func(dst []byte, i int) ([]byte, error)

// nestedOf returns what makes Values of type t; nil when the types do not go together.
func (m *Importer) nestedOf(t types.Type, src arrow.Array) appender {
	switch t {
	case types.Map, types.Struct:
		if text := textsOf(src); text != nil {
			return func(dst []byte, i int) ([]byte, error) {
				s, _ := text(i)
				return appendJSONMap(dst, int(t), s)
			}
		}
		if entries := m.entriesOf(src); entries != nil {
			return message(int(t), entries)
		}
	case types.MapList, types.StructList:
		if list, ok := src.(array.ListLike); ok && list.DataType().ID() != arrow.MAP {
			items := storage(list.ListValues())
			if entries := m.entriesOf(items); entries != nil {
				return message(int(t), eachItem(list, nullsOf(items), message(1, entries)))
			}
		}
	case types.ValueList, types.ValueSet:
		if list, ok := src.(array.ListLike); ok && list.DataType().ID() != arrow.MAP {
			items := storage(list.ListValues())
			_, nested := items.(array.ListLike)
			if nested && items.DataType().ID() != arrow.MAP || items.DataType().ID() == arrow.NULL {
				return message(int(t), eachItem(list, nullsOf(items), message(1, m.valueOf(items))))
			}
		}
	case types.ScalarMap:
		if a, ok := src.(*array.Map); ok {
			return m.scalarMapOf(a)
		}
	case types.ZonedTimestamp:
		if a, ok := src.(*array.Timestamp); ok {
			zone := a.DataType().(*arrow.TimestampType).TimeZone
			seconds := secondsOf(a)
			return message(int(t), func(dst []byte, i int) ([]byte, error) {
				s, _ := seconds(i)
				if s != 0 {
					dst = binary.AppendUvarint(appendKey(dst, 1, wireVarint), uint64(s))
				}
				if zone != "" {
					dst = appendBytes(dst, 2, zone)
				}
				return dst, nil
			})
		}
	}
	return nil
}

// message wraps what content appends into a member.
func message(field int, content appender) appender {
	if content == nil {
		return nil
	}
	return func(dst []byte, i int) ([]byte, error) {
		dst, from := begin(dst, field)
		dst, err := content(dst, i)
		if err != nil {
			return nil, err
		}
		return finish(dst, from), nil
	}
}

// eachItem appends all items of a list; a null is an empty message.
func eachItem(list array.ListLike, null func(int) bool, item appender) appender {
	empty := message(1, func(dst []byte, _ int) ([]byte, error) { return dst, nil })
	return func(dst []byte, i int) ([]byte, error) {
		start, end := list.ValueOffsets(i)
		var err error
		for j := int(start); j < int(end) && err == nil; j++ {
			if null(j) {
				dst, err = empty(dst, j)
			} else {
				dst, err = item(dst, j)
			}
		}
		return dst, err
	}
}

// entriesOf appends the entries of a feast.types.Map: of a map with text or whole numbers as keys, or of a struct.
func (m *Importer) entriesOf(src arrow.Array) appender {
	switch a := src.(type) {
	case *array.Null: // of which no value is read
		return func(dst []byte, _ int) ([]byte, error) { return dst, nil }
	case *array.Map:
		text, number := textsOf(storage(a.Keys())), integersOf(storage(a.Keys()))
		if text == nil && number == nil {
			return nil
		}
		items := storage(a.Items())
		value := m.valueOf(items)
		return func(dst []byte, i int) ([]byte, error) {
			start, end := a.ValueOffsets(i)
			for j := int(start); j < int(end); j++ {
				var key [20]byte
				var from int
				dst, from = begin(dst, 1)
				if text != nil {
					s, _ := text(j)
					dst = appendBytes(dst, 1, s)
				} else {
					n, err := number(j)
					if err != nil {
						return nil, err
					}
					dst = appendBytes(dst, 1, strconv.AppendInt(key[:0], n, 10))
				}
				var err error
				if dst, err = appendMember(dst, 2, value, nullsOf(items), j); err != nil {
					return nil, err
				}
				dst = finish(dst, from)
			}
			return dst, nil
		}
	case *array.Struct:
		fields := a.DataType().(*arrow.StructType).Fields()
		values := make([]appender, len(fields))
		nulls := make([]func(int) bool, len(fields))
		for f := range fields {
			member := storage(a.Field(f))
			values[f], nulls[f] = m.valueOf(member), nullsOf(member)
		}
		return func(dst []byte, i int) ([]byte, error) {
			for f := range fields {
				var from int
				dst, from = begin(dst, 1)
				dst = appendBytes(dst, 1, fields[f].Name)
				var err error
				if dst, err = appendMember(dst, 2, values[f], nulls[f], i); err != nil {
					return nil, err
				}
				dst = finish(dst, from)
			}
			return dst, nil
		}
	}
	return nil
}

// appendMember appends a Value as a member; a null is an empty Value.
func appendMember(dst []byte, field int, value appender, null func(int) bool, i int) ([]byte, error) {
	dst, from := begin(dst, field)
	if !null(i) {
		var err error
		if dst, err = value(dst, i); err != nil {
			return nil, err
		}
	}
	return finish(dst, from), nil
}

// valueOf makes Values of the type that Feast infers for native values of the array's type.
func (m *Importer) valueOf(src arrow.Array) appender {
	if d, ok := src.(*array.Dictionary); ok {
		value := m.valueOf(storage(d.Dictionary()))
		return func(dst []byte, i int) ([]byte, error) { return value(dst, d.GetValueIndex(i)) }
	}
	if get := integersOf(src); get != nil {
		return varint(types.Int64, get)
	}
	if get := floatsOf(src); get != nil {
		return func(dst []byte, i int) ([]byte, error) {
			f, _ := get(i)
			if math.IsNaN(f) && !m.KeepNaN {
				return dst, nil
			}
			dst = appendKey(dst, int(types.Float64), wireFixed64)
			return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f)), nil
		}
	}
	if get := textsOf(src); get != nil {
		return func(dst []byte, i int) ([]byte, error) {
			s, _ := get(i)
			return appendBytes(dst, int(types.String), s), nil
		}
	}
	if get := bytesOf(src); get != nil {
		return func(dst []byte, i int) ([]byte, error) {
			b, _ := get(i)
			return appendBytes(dst, int(types.Bytes), b), nil
		}
	}
	if get := secondsOf(src); get != nil {
		return varint(types.UnixTimestamp, get)
	}
	other := &Importer{KeepNaN: m.KeepNaN} // m's buffer is in use
	if get := decimalsOf(other, src); get != nil {
		return func(dst []byte, i int) ([]byte, error) {
			s, _ := get(i)
			return appendBytes(dst, int(types.Decimal), s), nil
		}
	}
	switch a := src.(type) {
	case *array.Boolean:
		return func(dst []byte, i int) ([]byte, error) {
			dst = appendKey(dst, int(types.Bool), wireVarint)
			if a.Value(i) {
				return append(dst, 1), nil
			}
			return append(dst, 0), nil
		}
	case *array.Map, *array.Struct:
		if entries := m.entriesOf(a); entries != nil {
			return message(int(types.Map), entries)
		}
	case array.ListLike:
		t := TypeOf(a.DataType())
		if t == types.MapList || t == types.ValueList {
			if nested := m.nestedOf(t, a); nested != nil {
				return nested
			}
		}
		if t.Elem() != types.Invalid && t != types.MapList {
			return other.listValue(t, a)
		}
	}
	return func([]byte, int) ([]byte, error) {
		return nil, fmt.Errorf("holds Arrow type %s, which Feast has no type for", TypeText(src.DataType()))
	}
}

func varint(t types.Type, get getter[int64]) appender {
	return func(dst []byte, i int) ([]byte, error) {
		n, err := get(i)
		return binary.AppendUvarint(appendKey(dst, int(t), wireVarint), uint64(n)), err
	}
}

// listValue makes Values of lists of scalars, through a column of one row.
func (m *Importer) listValue(t types.Type, list array.ListLike) appender {
	return func(dst []byte, i int) ([]byte, error) {
		row := types.NewColumn("", t, 1)
		one := array.NewSlice(list, int64(i), int64(i)+1)
		defer one.Release()
		if err := m.Import(row, 0, one); err != nil {
			var at *feasterr.RequestError
			if errors.As(err, &at) && at.Err != nil {
				err = at.Err
			}
			return nil, err
		}
		return row.AppendValue(dst, 0), nil
	}
}

// scalarMapOf makes scalar maps. Keys are whole numbers, floats, booleans, bytes, instants or decimals; Feast refuses text.
func (m *Importer) scalarMapOf(a *array.Map) appender {
	keys, items := storage(a.Keys()), storage(a.Items())
	key := m.scalarKeyOf(keys)
	if key == nil {
		return nil
	}
	value := m.valueOf(items)
	return message(int(types.ScalarMap), func(dst []byte, i int) ([]byte, error) {
		start, end := a.ValueOffsets(i)
		for j := int(start); j < int(end); j++ {
			var from int
			var err error
			dst, from = begin(dst, 1)
			if dst, err = message(1, key)(dst, j); err != nil {
				return nil, err
			}
			if dst, err = appendMember(dst, 2, value, nullsOf(items), j); err != nil {
				return nil, err
			}
			dst = finish(dst, from)
		}
		return dst, nil
	})
}

// Members of feast.types.MapKey's scalar form.
const (
	keyInt64     = 2
	keyFloat64   = 4
	keyBool      = 5
	keyTimestamp = 6
	keyBytes     = 7
	keyDecimal   = 10
)

func (m *Importer) scalarKeyOf(keys arrow.Array) appender {
	if get := integersOf(keys); get != nil {
		return varint(keyInt64, get)
	}
	if get := floatsOf(keys); get != nil {
		return func(dst []byte, i int) ([]byte, error) {
			f, err := get(i)
			return binary.LittleEndian.AppendUint64(appendKey(dst, keyFloat64, wireFixed64), math.Float64bits(f)), err
		}
	}
	if a, ok := keys.(*array.Boolean); ok {
		return func(dst []byte, i int) ([]byte, error) {
			dst = appendKey(dst, keyBool, wireVarint)
			if a.Value(i) {
				return append(dst, 1), nil
			}
			return append(dst, 0), nil
		}
	}
	if get := bytesOf(keys); get != nil {
		return func(dst []byte, i int) ([]byte, error) { b, err := get(i); return appendBytes(dst, keyBytes, b), err }
	}
	if get := secondsOf(keys); get != nil {
		return varint(keyTimestamp, get)
	}
	if get := decimalsOf(new(Importer), keys); get != nil {
		return func(dst []byte, i int) ([]byte, error) { s, err := get(i); return appendBytes(dst, keyDecimal, s), err }
	}
	return nil
}

// appendJSONMap appends a map or struct that is given as the text of a JSON object.
func appendJSONMap(dst []byte, field int, text string) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(unsafe.Slice(unsafe.StringData(text), len(text))))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil || object == nil || d.More() {
		return nil, errors.New("is no JSON object")
	}
	dst, from := begin(dst, field)
	dst, err := appendJSONEntries(dst, object)
	if err != nil {
		return nil, err
	}
	return finish(dst, from), nil
}
