package arrowconv

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

func (m *Importer) importLists(dst *types.Column, at int, src arrow.Array) error {
	list, ok := src.(array.ListLike)
	if d, dict := src.(*array.Dictionary); dict {
		return m.importDictionary(dst, at, d)
	}
	if !ok {
		return misfit(dst, src)
	}
	items := storage(list.ListValues())
	switch elem := dst.Type().Elem(); elem {
	case types.Int64:
		var whole []int64
		if a, ok := items.(*array.Int64); ok {
			whole = a.Int64Values()
		}
		return importList(dst, at, list, items, whole, integersOf(items), &m.i64, 0)
	case types.Int32:
		var whole []int32
		if a, ok := items.(*array.Int32); ok {
			whole = a.Int32Values()
		}
		return importList(dst, at, list, items, whole, narrowed(integersOf(items)), &m.i32, 0)
	case types.Float64:
		var whole []float64
		if a, ok := items.(*array.Float64); ok {
			whole = a.Float64Values()
		}
		return importList(dst, at, list, items, whole, floatsOf(items), &m.f64, 0)
	case types.Float32:
		var whole []float32
		if a, ok := items.(*array.Float32); ok {
			whole = a.Float32Values()
		}
		get := floatsOf(items)
		if get == nil {
			return misfit(dst, src)
		}
		return importList(dst, at, list, items, whole, func(i int) (float32, error) { f, err := get(i); return float32(f), err }, &m.f32, 0)
	case types.Bool:
		var get getter[bool]
		if items.DataType().ID() == arrow.NULL || integersOf(items) == nil { // numbers are no booleans in a list
			get = boolsOf(items)
		}
		return importList(dst, at, list, items, nil, get, &m.bools, false)
	case types.UnixTimestamp:
		get := secondsOf(items)
		if get == nil {
			get = integersOf(items)
		}
		return importList(dst, at, list, items, nil, get, &m.i64, types.NullUnixTimestamp)
	case types.Bytes:
		return importList(dst, at, list, items, nil, bytesOf(items), &m.binary, nil)
	case types.UUID, types.TimeUUID:
		return importList(dst, at, list, items, nil, kept(m, items, m.uuids), &m.text, "")
	case types.Decimal:
		return importList(dst, at, list, items, nil, kept(m, items, m.decimals), &m.text, "")
	case types.JSON:
		return m.importJSONLists(dst, at, list, items)
	default: // String
		return importList(dst, at, list, items, nil, textsOf(items), &m.text, "")
	}
}

// kept copies text that is built in the importer's buffer, of which a list needs several at a time; what is text already
// stays where it is.
func kept(m *Importer, items arrow.Array, of func(arrow.Array) getter[string]) getter[string] {
	get := of(items)
	if get == nil || textsOf(items) != nil {
		return get
	}
	return func(i int) (string, error) { s, err := get(i); return strings.Clone(s), err }
}

func narrowed(get getter[int64]) getter[int32] {
	if get == nil {
		return nil
	}
	return func(i int) (int32, error) {
		n, err := get(i)
		if err == nil && n != int64(int32(n)) {
			err = fmt.Errorf("%d is out of range for Int32", n)
		}
		return int32(n), err
	}
}

// importList copies lists. whole, when it is not nil, has all elements in the form of the column;
// null stands for a null among them.
func importList[T types.Native](dst *types.Column, at int, list array.ListLike, items arrow.Array, whole []T, get getter[T], scratch *[]T, null T) error {
	if get == nil {
		return misfit(dst, list)
	}
	isNull := nullsOf(items)
	direct := whole != nil && items.NullN() == 0
	for i := range list.Len() {
		if list.IsNull(i) {
			dst.Clear(at+i, types.NullValue)
			continue
		}
		start, end := list.ValueOffsets(i)
		if *scratch == nil {
			*scratch = []T{} // a nil slice would be a null
		}
		elems := (*scratch)[:0]
		var err error
		if direct {
			elems = whole[start:end]
		} else {
			for j := int(start); j < int(end) && err == nil; j++ {
				v := null
				if !isNull(j) {
					v, err = get(j)
				}
				elems = append(elems, v)
			}
			*scratch = elems
		}
		if err == nil {
			err = types.SetList(dst, at+i, elems)
		}
		if err != nil {
			return &feasterr.RequestError{Column: dst.Name(), Row: at + i, Err: err}
		}
	}
	return nil
}

// importJSONLists copies lists of JSON text, or of what can be written as such.
func (m *Importer) importJSONLists(dst *types.Column, at int, list array.ListLike, items arrow.Array) error {
	if text := textsOf(items); text != nil {
		return importList(dst, at, list, items, nil, text, &m.text, "")
	}
	return each(dst, at, list, func(i int) (any, error) { return nativeList(list, i) }, dst.SetNative)
}

// never reads of arrays of nulls, where there is nothing to read.
func never[T any](int) (v T, err error) { return v, nil }

// importDictionary copies a dictionary of lists or nested values: each of its values once, then by their numbers.
func (m *Importer) importDictionary(dst *types.Column, at int, d *array.Dictionary) error {
	values := types.NewColumn(dst.Name(), dst.Type(), d.Dictionary().Len())
	if err := m.Import(values, 0, d.Dictionary()); err != nil {
		return err
	}
	for i := range d.Len() {
		if d.IsNull(i) || !values.HasValue(d.GetValueIndex(i)) {
			dst.Clear(at+i, types.NullValue)
			continue
		}
		m.buf = values.AppendValue(m.buf[:0], d.GetValueIndex(i))
		if err := dst.SetValue(at+i, m.buf); err != nil {
			return &feasterr.RequestError{Column: dst.Name(), Row: at + i, Err: err}
		}
	}
	return nil
}
