package arrowconv

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/feastgo/feast/types"
)

func appendJSONEntries(dst []byte, object map[string]any) ([]byte, error) {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		var from, inner int
		dst, from = begin(dst, 1)
		dst = appendBytes(dst, 1, key)
		dst, inner = begin(dst, 2)
		var err error
		if dst, err = appendJSONValue(dst, object[key]); err != nil {
			return nil, err
		}
		dst = finish(finish(dst, inner), from)
	}
	return dst, nil
}

// appendJSONValue appends a decoded JSON value as the Value that Feast infers: nothing for a null and an empty list.
func appendJSONValue(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return dst, nil
	case string:
		return appendBytes(dst, int(types.String), v), nil
	case bool:
		dst = appendKey(dst, int(types.Bool), wireVarint)
		if v {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case json.Number:
		return appendJSONNumber(dst, v)
	case map[string]any:
		dst, from := begin(dst, int(types.Map))
		dst, err := appendJSONEntries(dst, v)
		if err != nil {
			return nil, err
		}
		return finish(dst, from), nil
	}
	return appendJSONList(dst, v.([]any))
}

func isWhole(n json.Number) bool { return !strings.ContainsAny(string(n), ".eE") }

func appendJSONNumber(dst []byte, n json.Number) ([]byte, error) {
	if isWhole(n) {
		i, err := n.Int64()
		if err != nil {
			return nil, fmt.Errorf("%s is out of range for Int64", n)
		}
		return binary.AppendUvarint(appendKey(dst, int(types.Int64), wireVarint), uint64(i)), nil
	}
	f, err := n.Float64()
	if err != nil {
		return nil, fmt.Errorf("%s is out of range for Float64", n)
	}
	return binary.LittleEndian.AppendUint64(appendKey(dst, int(types.Float64), wireFixed64), math.Float64bits(f)), nil
}

var errMixedList = errors.New("holds a list whose elements are of several types, which Feast has no type for")

// appendJSONList appends a list, whose elements have to be of one kind.
func appendJSONList(dst []byte, list []any) ([]byte, error) {
	if len(list) == 0 {
		return dst, nil
	}
	first := types.Infer(list[0])
	field := types.Invalid
	switch list[0].(type) {
	case string:
		field = types.StringList
	case bool:
		field = types.BoolList
	case json.Number:
		field = types.Float64List
		if first == types.Int64 {
			field = types.Int64List
		}
	case map[string]any:
		field = types.MapList
	case []any:
		field = types.ValueList
	default:
		return nil, errMixedList
	}
	dst, from := begin(dst, int(field))
	packed := 0
	if field == types.Int64List || field == types.Float64List || field == types.BoolList {
		dst, packed = begin(dst, 1)
	}
	for _, v := range list {
		var err error
		switch v := v.(type) {
		case string:
			if field != types.StringList {
				return nil, errMixedList
			}
			dst = appendBytes(dst, 1, v)
		case bool:
			if field != types.BoolList {
				return nil, errMixedList
			}
			if v {
				dst = append(dst, 1)
			} else {
				dst = append(dst, 0)
			}
		case json.Number:
			if types.Infer(v) != first {
				return nil, errMixedList
			}
			if field == types.Int64List {
				n, err := v.Int64()
				if err != nil {
					return nil, fmt.Errorf("%s is out of range for Int64", v)
				}
				dst = binary.AppendUvarint(dst, uint64(n))
				continue
			}
			f, err := v.Float64()
			if err != nil {
				return nil, fmt.Errorf("%s is out of range for Float64", v)
			}
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
		case map[string]any:
			if field != types.MapList {
				return nil, errMixedList
			}
			var inner int
			dst, inner = begin(dst, 1)
			if dst, err = appendJSONEntries(dst, v); err != nil {
				return nil, err
			}
			dst = finish(dst, inner)
		case []any:
			if field != types.ValueList {
				return nil, errMixedList
			}
			var inner int
			dst, inner = begin(dst, 1)
			if dst, err = appendJSONList(dst, v); err != nil {
				return nil, err
			}
			dst = finish(dst, inner)
		default:
			return nil, errMixedList
		}
	}
	if packed > 0 {
		dst = finish(dst, packed)
	}
	return finish(dst, from), nil
}
