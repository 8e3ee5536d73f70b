package arrowconv

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// importNested copies maps, structs, nested collections and scalar maps, by way of native values.
func (m *Importer) importNested(dst *types.Column, at int, src arrow.Array) error {
	if d, ok := src.(*array.Dictionary); ok {
		return m.importDictionary(dst, at, d)
	}
	if !nests(dst.Type(), src.DataType()) {
		return misfit(dst, src)
	}
	for i := range src.Len() {
		if src.IsNull(i) {
			dst.Clear(at+i, types.NullValue)
			continue
		}
		v, err := native(src, i, dst.Type() == types.ScalarMap)
		if err == nil {
			err = dst.SetNative(at+i, v)
		}
		if err != nil {
			return &feasterr.RequestError{Column: dst.Name(), Row: at + i, Err: err}
		}
	}
	return nil
}

// nests reports whether values of an Arrow type can be those of a nested type. Text is looked into when it is read.
func nests(t types.Type, dt arrow.DataType) bool {
	object := dt.ID() == arrow.MAP || dt.ID() == arrow.STRUCT || dt.ID() == arrow.NULL
	var item arrow.DataType = arrow.Null
	list, isList := dt.(arrow.ListLikeType)
	if isList = isList && dt.ID() != arrow.MAP; isList {
		item = list.Elem()
	}
	_, lists := item.(arrow.ListLikeType)
	switch t {
	case types.Map, types.Struct:
		return object || isText(dt)
	case types.MapList, types.StructList:
		return isList && (item.ID() == arrow.MAP || item.ID() == arrow.STRUCT || item.ID() == arrow.NULL)
	case types.ValueList, types.ValueSet:
		return isList && (lists && item.ID() != arrow.MAP || item.ID() == arrow.NULL)
	}
	return t == types.ScalarMap && dt.ID() == arrow.MAP
}

func isText(dt arrow.DataType) bool {
	return dt.ID() == arrow.STRING || dt.ID() == arrow.LARGE_STRING || dt.ID() == arrow.STRING_VIEW
}

// native returns a value as types.Column.SetNative takes it and Feast, which sees Python values, infers its type: whole
// numbers as int64, floats as float64. scalar: the keys of a map keep their type.
func native(src arrow.Array, i int, scalar bool) (any, error) {
	src = storage(src)
	if nullsOf(src)(i) {
		return nil, nil
	}
	if get := integersOf(src); get != nil {
		return get(i)
	}
	if get := floatsOf(src); get != nil {
		return get(i)
	}
	if get := textsOf(src); get != nil {
		s, err := get(i)
		return strings.Clone(s), err
	}
	if get := bytesOf(src); get != nil {
		return get(i)
	}
	if get := secondsOf(src); get != nil {
		s, err := get(i)
		return time.Unix(s, 0).UTC(), err
	}
	if get := decimalsOf(new(Importer), src); get != nil {
		return get(i)
	}
	switch a := src.(type) {
	case *array.Boolean:
		return a.Value(i), nil
	case *array.Dictionary:
		return native(a.Dictionary(), a.GetValueIndex(i), scalar)
	case *array.Map:
		if scalar {
			return scalarMap(a, i)
		}
		return textMap(a, i)
	case *array.Struct:
		out := make(map[string]any, a.NumField())
		for f, field := range a.DataType().(*arrow.StructType).Fields() {
			v, err := native(a.Field(f), i, false)
			if err != nil {
				return nil, err
			}
			out[field.Name] = v
		}
		return out, nil
	case array.ListLike:
		return nativeList(a, i)
	}
	return nil, fmt.Errorf("holds Arrow type %s, which Feast has no type for", TypeText(src.DataType()))
}

// textMap reads a map whose keys are text or have one.
func textMap(a *array.Map, i int) (any, error) {
	start, end := a.ValueOffsets(i)
	out := make(map[string]any, end-start)
	for j := int(start); j < int(end); j++ {
		key, err := native(a.Keys(), j, false)
		if err != nil {
			return nil, err
		}
		if n, ok := key.(int64); ok {
			key = strconv.FormatInt(n, 10)
		}
		text, ok := key.(string)
		if !ok {
			return nil, fmt.Errorf("is a map with keys of Arrow type %s, and those of a Map are text", TypeText(a.Keys().DataType()))
		}
		if out[text], err = native(a.Items(), j, false); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func scalarMap(a *array.Map, i int) (any, error) {
	start, end := a.ValueOffsets(i)
	out := make([]types.MapEntry, 0, end-start)
	for j := int(start); j < int(end); j++ {
		key, err := native(a.Keys(), j, false)
		if err != nil {
			return nil, err
		}
		if _, ok := key.(string); ok && isText(a.Keys().DataType()) {
			return nil, fmt.Errorf("is a map with text as keys, which a ScalarMap cannot have")
		}
		v, err := native(a.Items(), j, false)
		if err != nil {
			return nil, err
		}
		out = append(out, types.MapEntry{Key: key, Value: v})
	}
	return out, nil
}

// nativeList reads a list: as a typed slice, which says what an empty list is of, or with its nulls.
func nativeList(a array.ListLike, i int) (any, error) {
	items := storage(a.ListValues())
	start, end := a.ValueOffsets(i)
	from, to := int(start), int(end)
	null, nulls := nullsOf(items), 0
	for j := from; j < to; j++ {
		if null(j) {
			nulls++
		}
	}
	if nulls == 0 && items.DataType().ID() != arrow.NULL {
		if get := integersOf(items); get != nil {
			return slice(from, to, get)
		}
		if get := floatsOf(items); get != nil {
			return slice(from, to, get)
		}
		if get := textsOf(items); get != nil {
			return slice(from, to, get)
		}
		if get := bytesOf(items); get != nil {
			return slice(from, to, get)
		}
		if b, ok := items.(*array.Boolean); ok {
			return slice(from, to, boolsOf(b))
		}
	}
	out := make([]any, 0, to-from)
	for j := from; j < to; j++ {
		v, err := native(items, j, false)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func slice[T any](from, to int, get getter[T]) (any, error) {
	out := make([]T, 0, to-from)
	for j := from; j < to; j++ {
		v, err := get(j)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// importZoned copies timestamps with the zone of their Arrow type; without one the zone is empty, as Feast stores it.
func (m *Importer) importZoned(dst *types.Column, at int, src arrow.Array) error {
	a, ok := src.(*array.Timestamp)
	if !ok {
		return misfit(dst, src)
	}
	dt := a.DataType().(*arrow.TimestampType)
	seconds := secondsOf(a)
	var zone *time.Location
	if dt.TimeZone != "" {
		toTime, err := dt.GetToTimeFunc()
		if err != nil {
			return &feasterr.RequestError{Column: dst.Name(), Row: -1, Err: err}
		}
		zone = toTime(0).Location()
	}
	return each(dst, at, src, seconds, func(row int, s int64) error {
		if zone != nil {
			return dst.SetNative(row, time.Unix(s, 0).In(zone))
		}
		var message [math.MaxUint8]byte
		body := binary.AppendUvarint([]byte{1 << 3}, uint64(s)) // unix_timestamp
		b := binary.AppendUvarint(message[:0], uint64(types.ZonedTimestamp)<<3|2)
		b = binary.AppendUvarint(b, uint64(len(body)))
		return dst.SetValue(row, append(b, body...))
	})
}
