package arrowconv

import (
	"math"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// Array copies a column into an Arrow array of type dt, which is what [DataType] says for the column's type. Cells without a
// value are null, cells that are too old keep theirs. mem gives the array's memory; the caller releases it.
//
// A mixed column whose values do not widen without loss is a [*feasterr.TypeMismatchError]. So are members of structs and of
// nested lists that are not what dt says.
func Array(c *types.Column, dt arrow.DataType, mem memory.Allocator) (arrow.Array, error) {
	b := buffers{mem: mem}
	defer b.release()
	data, err := b.column(c, dt)
	if err != nil {
		return nil, err
	}
	defer data.Release()
	return array.MakeFromData(data), nil
}

// buffers are those of an array under construction.
type buffers struct {
	mem  memory.Allocator
	made []*memory.Buffer
}

// release drops what is not part of an array by now; an array keeps buffers of its own account.
func (b *buffers) release() {
	for _, buf := range b.made {
		buf.Release()
	}
}

// buffer returns a zeroed buffer.
func (b *buffers) buffer(size int) *memory.Buffer {
	buf := memory.NewResizableBuffer(b.mem)
	buf.Resize(size)
	clear(buf.Bytes())
	b.made = append(b.made, buf)
	return buf
}

// filled returns a buffer of a copy of values.
func filled[T any](b *buffers, values []T) *memory.Buffer {
	buf := b.buffer(len(values) * int(unsafe.Sizeof(*new(T))))
	copy(as[T](buf.Bytes()), values)
	return buf
}

// as sees a buffer as values.
func as[T any](b []byte) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(*new(T))))
}

// packed returns a buffer of bits.
func (b *buffers) packed(values []bool) *memory.Buffer {
	buf := b.buffer((len(values) + 7) / 8)
	dst := buf.Bytes()
	for i, v := range values {
		if v {
			dst[i>>3] |= 1 << (i & 7)
		}
	}
	return buf
}

// valid returns the bitmap of a column's values, nil when no row is without one, and the number of those that are.
func (b *buffers) valid(c *types.Column) (*memory.Buffer, int) {
	buf := b.buffer((c.Len() + 7) / 8)
	nulls := c.Bitmap(buf.Bytes())
	if nulls == 0 {
		return nil, 0
	}
	return buf, nulls
}

// column makes the data of an array, which the caller releases.
func (b *buffers) column(c *types.Column, dt arrow.DataType) (arrow.ArrayData, error) {
	t := c.Type()
	if elem := t.Elem(); elem != types.Invalid && elem != types.Map && elem != types.Struct {
		return b.lists(c, dt, elem)
	}
	var (
		values *memory.Buffer
		err    error
	)
	switch t {
	case types.Int32:
		values, err = fixed[int32](b, c)
	case types.Int64:
		values, err = fixed[int64](b, c)
	case types.Float32:
		values, err = fixed[float32](b, c)
	case types.Float64:
		values, err = fixed[float64](b, c)
	case types.Bool:
		var v []bool
		if v, err = types.Values[bool](c); err == nil {
			values = b.packed(v)
		}
	case types.UnixTimestamp:
		values, err = b.micros(c)
	case types.String, types.UUID, types.TimeUUID, types.Decimal, types.Bytes, types.PdfBytes, types.ImageBytes:
		return text[int32](b, c, dt)
	case types.JSON:
		return text[int64](b, c, dt)
	case types.Invalid, types.Null:
		return array.NewData(arrow.Null, c.Len(), []*memory.Buffer{nil}, nil, c.Len(), 0), nil
	default:
		return b.nested(c, dt)
	}
	if err != nil {
		return nil, err
	}
	valid, nulls := b.valid(c)
	return array.NewData(dt, c.Len(), []*memory.Buffer{valid, values}, nil, nulls, 0), nil
}

func fixed[T int32 | int64 | float32 | float64](b *buffers, c *types.Column) (*memory.Buffer, error) {
	v, err := types.Values[T](c)
	if err != nil {
		return nil, err
	}
	return filled(b, v), nil
}

// maxSeconds is the latest second that microseconds can express, minus the earliest one.
const maxSeconds = math.MaxInt64 / 1_000_000

// micros returns a timestamp column in microseconds.
func (b *buffers) micros(c *types.Column) (*memory.Buffer, error) {
	seconds, err := types.Values[int64](c)
	if err != nil {
		return nil, err
	}
	buf := b.buffer(8 * len(seconds))
	dst := as[int64](buf.Bytes())
	for row, s := range seconds {
		if s > maxSeconds || s < -maxSeconds {
			return nil, beyondMicros(c, row, s)
		}
		dst[row] = s * 1_000_000
	}
	return buf, nil
}

func beyondMicros(c *types.Column, row int, s int64) error {
	return feasterr.Invalid("column %q, row %d: timestamp %d s is beyond what Arrow's microseconds can express", c.Name(), row, s)
}

// text makes an array of text or bytes with offsets of type O.
func text[O int32 | int64](b *buffers, c *types.Column, dt arrow.DataType) (arrow.ArrayData, error) {
	cell := c.Bytes
	if c.Mixed() {
		var err error
		if cell, err = mixedText(c, dt); err != nil {
			return nil, err
		}
	}
	size := 0
	for row := range c.Len() {
		size += len(cell(row))
	}
	if uint64(size) > uint64(maxOf[O]()) {
		return nil, tooLong(c)
	}
	offsets, data := b.buffer((c.Len()+1)*int(unsafe.Sizeof(O(0)))), b.buffer(size)
	ends, dst := as[O](offsets.Bytes()), data.Bytes()
	n := 0
	for row := range c.Len() {
		n += copy(dst[n:], cell(row))
		ends[row+1] = O(n)
	}
	valid, nulls := b.valid(c)
	return array.NewData(dt, c.Len(), []*memory.Buffer{valid, offsets, data}, nil, nulls, 0), nil
}

// mixedText returns the cells of a mixed column as far as they are text, or bytes where dt is binary.
func mixedText(c *types.Column, dt arrow.DataType) (func(row int) []byte, error) {
	if dt.ID() == arrow.BINARY {
		values, err := types.Values[[]byte](c)
		return func(row int) []byte { return values[row] }, err
	}
	values, err := types.Values[string](c)
	return func(row int) []byte { return unsafe.Slice(unsafe.StringData(values[row]), len(values[row])) }, err
}

func maxOf[O int32 | int64]() O {
	return ^(O(-1) << (8*unsafe.Sizeof(O(0)) - 1))
}

func tooLong(c *types.Column) error {
	return feasterr.Invalid("column %q holds more than Arrow's 2 GiB of one array: take fewer rows at a time", c.Name())
}

// lists makes an array of lists.
func (b *buffers) lists(c *types.Column, dt arrow.DataType, elem types.Type) (arrow.ArrayData, error) {
	item := dt.(*arrow.ListType).Elem()
	switch elem {
	case types.Int32:
		return listOf(b, c, dt, func(flat []int32) (arrow.ArrayData, error) { return plain(item, len(flat), filled(b, flat)), nil })
	case types.Int64:
		return listOf(b, c, dt, func(flat []int64) (arrow.ArrayData, error) { return plain(item, len(flat), filled(b, flat)), nil })
	case types.Float32:
		return listOf(b, c, dt, func(flat []float32) (arrow.ArrayData, error) { return plain(item, len(flat), filled(b, flat)), nil })
	case types.Float64:
		return listOf(b, c, dt, func(flat []float64) (arrow.ArrayData, error) { return plain(item, len(flat), filled(b, flat)), nil })
	case types.Bool:
		return listOf(b, c, dt, func(flat []bool) (arrow.ArrayData, error) { return plain(item, len(flat), b.packed(flat)), nil })
	case types.UnixTimestamp:
		return listOf(b, c, dt, func(flat []int64) (arrow.ArrayData, error) { return b.listedMicros(c, item, flat) })
	case types.JSON:
		return textLists[int64](b, c, dt)
	}
	return textLists[int32](b, c, dt)
}

func plain(dt arrow.DataType, n int, values *memory.Buffer) arrow.ArrayData {
	return array.NewData(dt, n, []*memory.Buffer{nil, values}, nil, 0, 0)
}

// listOf makes an array of lists whose elements, row after row, items makes an array of.
func listOf[T types.Native](b *buffers, c *types.Column, dt arrow.DataType, items func(flat []T) (arrow.ArrayData, error)) (arrow.ArrayData, error) {
	lists, err := types.Lists[T](c)
	if err != nil {
		return nil, err
	}
	offsets := b.buffer(4 * (c.Len() + 1))
	ends := as[int32](offsets.Bytes())
	n := 0
	for row := range c.Len() {
		n += len(lists.At(row))
		if n > math.MaxInt32 {
			return nil, tooLong(c)
		}
		ends[row+1] = int32(n)
	}
	child, err := items(lists.Flat())
	if err != nil {
		return nil, err
	}
	defer child.Release()
	valid, nulls := b.valid(c)
	return array.NewData(dt, c.Len(), []*memory.Buffer{valid, offsets}, []arrow.ArrayData{child}, nulls, 0), nil
}

// listedMicros makes an array of the timestamps in lists; Feast's null among them is a null.
func (b *buffers) listedMicros(c *types.Column, item arrow.DataType, flat []int64) (arrow.ArrayData, error) {
	buf, nulls := b.buffer(8*len(flat)), 0
	dst := as[int64](buf.Bytes())
	for i, s := range flat {
		switch {
		case s == types.NullUnixTimestamp:
			nulls++
		case s > maxSeconds || s < -maxSeconds:
			return nil, beyondMicros(c, i, s)
		default:
			dst[i] = s * 1_000_000
		}
	}
	if nulls == 0 {
		return plain(item, len(flat), buf), nil
	}
	valid := b.buffer((len(flat) + 7) / 8)
	set := valid.Bytes()
	for i, s := range flat {
		if s != types.NullUnixTimestamp {
			set[i>>3] |= 1 << (i & 7)
		}
	}
	return array.NewData(item, len(flat), []*memory.Buffer{valid, buf}, nil, nulls, 0), nil
}

// textLists makes an array of lists of text or bytes with offsets of type O.
func textLists[O int32 | int64](b *buffers, c *types.Column, dt arrow.DataType) (arrow.ArrayData, error) {
	if c.Mixed() { // then the error says what is in the way
		if _, err := types.Lists[[]byte](c); err != nil {
			return nil, err
		}
	}
	rows := b.buffer(4 * (c.Len() + 1))
	lists := as[int32](rows.Bytes())
	count, size := 0, 0
	for row := range c.Len() {
		c.EachElement(row, func(element []byte) {
			count++
			size += len(element)
		})
		if count > math.MaxInt32 || uint64(size) > uint64(maxOf[O]()) {
			return nil, tooLong(c)
		}
		lists[row+1] = int32(count)
	}
	offsets, data := b.buffer((count+1)*int(unsafe.Sizeof(O(0)))), b.buffer(size)
	ends, dst := as[O](offsets.Bytes()), data.Bytes()
	i, n := 0, 0
	for row := range c.Len() {
		c.EachElement(row, func(element []byte) {
			n += copy(dst[n:], element)
			i++
			ends[i] = O(n)
		})
	}
	child := array.NewData(dt.(*arrow.ListType).Elem(), count, []*memory.Buffer{nil, offsets, data}, nil, 0, 0)
	defer child.Release()
	valid, nulls := b.valid(c)
	return array.NewData(dt, c.Len(), []*memory.Buffer{valid, rows}, []arrow.ArrayData{child}, nulls, 0), nil
}
