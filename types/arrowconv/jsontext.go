package arrowconv

import (
	"fmt"
	"strconv"
	"unicode/utf16"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/types"
)

// jsonOf returns what appends values as Python's json.dumps writes them, by which Feast makes JSON of what is not text; nil
// for what has no JSON form.
func jsonOf(src arrow.Array) appender {
	if get := textsOf(src); get != nil {
		return func(dst []byte, i int) ([]byte, error) { s, err := get(i); return appendQuoted(dst, s), err }
	}
	if get := integersOf(src); get != nil {
		return func(dst []byte, i int) ([]byte, error) { n, err := get(i); return strconv.AppendInt(dst, n, 10), err }
	}
	if get := floatsOf(src); get != nil {
		return func(dst []byte, i int) ([]byte, error) {
			f, err := get(i)
			switch text := types.AppendFloat(nil, f); string(text) {
			case "nan":
				return append(dst, "NaN"...), err
			case "inf":
				return append(dst, "Infinity"...), err
			case "-inf":
				return append(dst, "-Infinity"...), err
			default:
				return append(dst, text...), err
			}
		}
	}
	switch a := src.(type) {
	case *array.Boolean:
		return func(dst []byte, i int) ([]byte, error) { return strconv.AppendBool(dst, a.Value(i)), nil }
	case *array.Map:
		keys, items := textsOf(storage(a.Keys())), storage(a.Items())
		return jsonObject(a.ValueOffsets, keys, orNull(items))
	case *array.Struct:
		return jsonStruct(a)
	case array.ListLike:
		item := orNull(storage(a.ListValues()))
		if item == nil {
			return nil
		}
		return func(dst []byte, i int) ([]byte, error) {
			start, end := a.ValueOffsets(i)
			dst = append(dst, '[')
			for j := int(start); j < int(end); j++ {
				if j > int(start) {
					dst = append(dst, ", "...)
				}
				var err error
				if dst, err = item(dst, j); err != nil {
					return nil, err
				}
			}
			return append(dst, ']'), nil
		}
	}
	return nil
}

// orNull is jsonOf with null where there is no value.
func orNull(src arrow.Array) appender {
	value, null := jsonOf(src), nullsOf(src)
	if value == nil {
		return nil
	}
	return func(dst []byte, i int) ([]byte, error) {
		if null(i) {
			return append(dst, "null"...), nil
		}
		return value(dst, i)
	}
}

func jsonObject(offsets func(int) (start, end int64), keys getter[string], item appender) appender {
	if keys == nil || item == nil {
		return nil
	}
	return func(dst []byte, i int) ([]byte, error) {
		start, end := offsets(i)
		dst = append(dst, '{')
		for j := int(start); j < int(end); j++ {
			if j > int(start) {
				dst = append(dst, ", "...)
			}
			key, err := keys(j)
			if err != nil {
				return nil, err
			}
			if dst, err = item(append(appendQuoted(dst, key), ": "...), j); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
}

func jsonStruct(a *array.Struct) appender {
	fields := a.DataType().(*arrow.StructType).Fields()
	members := make([]appender, len(fields))
	for f := range fields {
		if members[f] = orNull(storage(a.Field(f))); members[f] == nil {
			return nil
		}
	}
	return func(dst []byte, i int) ([]byte, error) {
		dst = append(dst, '{')
		for f := range fields {
			if f > 0 {
				dst = append(dst, ", "...)
			}
			var err error
			if dst, err = members[f](append(appendQuoted(dst, fields[f].Name), ": "...), i); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
}

// appendQuoted appends text as a JSON string in ASCII.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\b':
			dst = append(dst, `\b`...)
		case r == '\f':
			dst = append(dst, `\f`...)
		case r >= ' ' && r < 0x7f:
			dst = append(dst, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
	}
	return append(dst, '"')
}
