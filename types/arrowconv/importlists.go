package arrowconv

import (
	"fmt"
	"strings"
	"unsafe"

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
		return importBytes(m, dst, at, list, items)
	case types.UUID, types.TimeUUID:
		return importList(dst, at, list, items, nil, kept(m, items, m.uuids), &m.text, "")
	case types.Decimal:
		return importList(dst, at, list, items, nil, kept(m, items, m.decimals), &m.text, "")
	case types.JSON:
		return importList(dst, at, list, items, nil, kept(m, items, m.json), &m.text, "")
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

// importList copies lists of comparable elements. whole, when it is not nil, has all elements in the form of the column;
// null stands for a null among them.
func importList[T interface {
	comparable
	types.Native
}](dst *types.Column, at int, list array.ListLike, items arrow.Array, whole []T, get getter[T], scratch *[]T, null T) error {
	if get == nil {
		return misfit(dst, list)
	}
	set := dst.Type().IsSet()
	isNull := nullsOf(items)
	direct := whole != nil && items.NullN() == 0 && !set
	for i := range list.Len() {
		if list.IsNull(i) {
			dst.Clear(at+i, types.NullValue)
			continue
		}
		start, end := list.ValueOffsets(i)
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
			if set {
				elems = distinct(elems)
			}
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

// distinct removes repetitions in place and keeps the order.
func distinct[T comparable](elems []T) []T {
	out := elems[:0]
	if len(elems) > 32 {
		seen := make(map[T]struct{}, len(elems))
		for _, v := range elems {
			if _, ok := seen[v]; !ok {
				seen[v] = struct{}{}
				out = append(out, v)
			}
		}
		return out
	}
next:
	for _, v := range elems {
		for _, w := range out {
			if v == w {
				continue next
			}
		}
		out = append(out, v)
	}
	return out
}

// importBytes copies lists of bytes, which are not comparable.
func importBytes(m *Importer, dst *types.Column, at int, list array.ListLike, items arrow.Array) error {
	get := bytesOf(items)
	if get == nil {
		return misfit(dst, list)
	}
	isNull := nullsOf(items)
	for i := range list.Len() {
		if list.IsNull(i) {
			dst.Clear(at+i, types.NullValue)
			continue
		}
		start, end := list.ValueOffsets(i)
		m.binary = m.binary[:0]
		m.text = m.text[:0]
		for j := int(start); j < int(end); j++ {
			var b []byte
			if !isNull(j) {
				b, _ = get(j)
			}
			m.binary = append(m.binary, b)
			m.text = append(m.text, unsafe.String(unsafe.SliceData(b), len(b)))
		}
		if dst.Type().IsSet() {
			m.binary = m.binary[:0]
			for _, s := range distinct(m.text) {
				m.binary = append(m.binary, unsafe.Slice(unsafe.StringData(s), len(s)))
			}
		}
		if err := types.SetList(dst, at+i, m.binary); err != nil {
			return &feasterr.RequestError{Column: dst.Name(), Row: at + i, Err: err}
		}
	}
	return nil
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
