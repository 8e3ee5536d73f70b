package types

import (
	"encoding/binary"
	"slices"
	"unsafe"
)

// Elements of numeric lists stand in a column's arena in native form, so that a caller sees them as a Go slice without
// copying: int32 and float32 take 4 bytes, int64, float64 and timestamps 8, booleans 1, in the machine's own byte order.
// An arena holds elements of one width only, so that all are aligned.

// littleEndian: the machine's byte order is protobuf's, so that packed floats are native already.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// widthOf is the size of a list element in native form, 0 for text and bytes.
func widthOf(elem Type) int {
	switch infos[elem].store {
	case storeInt32, storeFloat32:
		return 4
	case storeInt64, storeFloat64:
		return 8
	case storeBool:
		return 1
	}
	return 0
}

// setList stores the message of a list or set.
func (c *Column) setList(row int, msg []byte) error {
	elem := c.typ.Elem()
	if widthOf(elem) == 0 {
		if err := checkList(elem, msg); err != nil {
			return err
		}
		return c.put(row, msg)
	}
	off := len(c.rest.arena)
	arena, ok := appendNative(c.rest.arena, elem, msg)
	if !ok {
		return errMalformed
	}
	if uint64(len(arena)) > maxArena {
		return errArena
	}
	c.rest.arena = arena
	c.cells()[row] = cell{uint32(off), uint32(len(arena) - off), c.rest.id}
	c.states()[row] = byte(Present)
	return nil
}

// appendNative appends the elements of a message of numbers in native form. ok is false when the message is malformed.
func appendNative(dst []byte, elem Type, msg []byte) (_ []byte, ok bool) {
	wire, width := wireOf(elem), widthOf(elem)
	for len(msg) > 0 {
		f, n := nextField(msg)
		if n == 0 {
			return nil, false
		}
		msg = msg[n:]
		switch {
		case f.num != 1:
		case f.wire == wire:
			dst = appendElem(dst, width, f.bits)
		case f.wire != wireBytes:
		case littleEndian && wire != wireVarint:
			if len(f.data)%width != 0 {
				return nil, false
			}
			dst = append(dst, f.data...)
		default:
			for data := f.data; len(data) > 0; {
				bits, n := packedElem(elem, data)
				if n == 0 {
					return nil, false
				}
				dst, data = appendElem(dst, width, bits), data[n:]
			}
		}
	}
	return dst, true
}

// appendElem appends an element in native form.
func appendElem(dst []byte, width int, bits uint64) []byte {
	switch width {
	case 1:
		return append(dst, byte(min(bits, 1)))
	case 4:
		return binary.NativeEndian.AppendUint32(dst, uint32(bits))
	}
	return binary.NativeEndian.AppendUint64(dst, bits)
}

// elemBits reads element i of native elements, as the bits of a [value].
func elemBits(elem Type, b []byte, i int) uint64 {
	switch infos[elem].store {
	case storeBool:
		return uint64(b[i])
	case storeInt32:
		return uint64(int32(binary.NativeEndian.Uint32(b[4*i:])))
	case storeFloat32:
		return uint64(binary.NativeEndian.Uint32(b[4*i:]))
	}
	return binary.NativeEndian.Uint64(b[8*i:])
}

// appendList appends the length and message of a list or set of elem, numbers packed. data is what a cell holds: numbers
// in native form, or the message.
func appendList(dst []byte, elem Type, data []byte) []byte {
	width, wire := widthOf(elem), wireOf(elem)
	if width == 0 || len(data) == 0 {
		return append(binary.AppendUvarint(dst, uint64(len(data))), data...)
	}
	count, size := len(data)/width, len(data)
	if wire == wireVarint {
		size = 0
		for i := range count {
			size += uvarintLen(elemBits(elem, data, i))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(1+uvarintLen(uint64(size))+size))
	dst = binary.AppendUvarint(append(dst, 1<<3|wireBytes), uint64(size))
	if littleEndian && wire != wireVarint {
		return append(dst, data...)
	}
	for i := range count {
		switch bits := elemBits(elem, data, i); wire {
		case wireVarint:
			dst = binary.AppendUvarint(dst, bits)
		case wireFixed32:
			dst = binary.LittleEndian.AppendUint32(dst, uint32(bits))
		default:
			dst = binary.LittleEndian.AppendUint64(dst, bits)
		}
	}
	return dst
}

// viewAs sees elements in native form as a Go slice.
func viewAs[T any](b []byte) []T {
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(zero)))
}

// List is a column of lists or sets seen as Go slices. Its elements alias the column's memory, except strings, which are
// copies. The zero List has no rows.
type List[T Native] struct {
	flat  []T
	rows  []span // in flat
	dense bool   // rows stand in order and fill flat
}

type span struct{ start, end int }

// Len returns the number of rows.
func (l List[T]) Len() int { return len(l.rows) }

// At returns the elements of a row, empty where the cell has no value. It must not be changed.
func (l List[T]) At(row int) []T {
	s := l.rows[row]
	return l.flat[s.start:s.end:s.end]
}

// Flat returns all elements, row after row, for embeddings: with rows of one length d, row i stands at [i*d, (i+1)*d).
// It must not be changed. It copies only when the rows do not stand one after the other in memory (repeated rows, rows
// that arrived in another order).
func (l List[T]) Flat() []T {
	if l.dense {
		return l.flat
	}
	var out []T
	for row := range l.rows {
		out = append(out, l.At(row)...)
	}
	return out
}

// Offsets returns where each row starts in [List.Flat], and one more entry for the end.
func (l List[T]) Offsets() []int {
	out := make([]int, len(l.rows)+1)
	for row, s := range l.rows {
		out[row+1] = out[row] + s.end - s.start
	}
	return out
}

// Lists returns a column of lists or sets with elements of type T, int64 also for timestamps, in seconds. The cells of
// rows without a value are empty. The list stays valid until the column's memory is reused; strings are copied, with one
// allocation for all of them. A mixed column, or another element type, is a [*feasterr.TypeMismatchError].
func Lists[T Native](c *Column) (List[T], error) {
	elem := c.typ.Elem()
	if c.store != storeList || !nativeFits[T](elem) {
		return List[T]{}, mismatch[T](c, -1, "[]")
	}
	if row := c.firstOdd(); row >= 0 {
		return List[T]{}, mismatch[T](c, row, "[]")
	}
	l := List[T]{rows: make([]span, c.Len()), dense: true}
	width := widthOf(elem)
	if width == 0 {
		l.flat = textLists[T](c, l.rows)
		return l, nil
	}
	if arena, ok := c.soleArena(); ok {
		next := 0
		for row, x := range c.cells() {
			s := span{int(x.off) / width, int(x.off+x.len) / width}
			if x.len == 0 {
				s = span{next, next}
			}
			l.rows[row], l.dense = s, l.dense && s.start == next
			next = s.end
		}
		if l.flat = viewAs[T](arena); l.dense {
			l.flat = l.flat[:next]
		}
		return l, nil
	}
	for row, x := range c.cells() {
		start := len(l.flat)
		l.flat = append(l.flat, viewAs[T](c.bytes(x))...)
		l.rows[row] = span{start, len(l.flat)}
	}
	return l, nil
}

// soleArena returns the arena that all cells point into; ok is false when there are several.
func (c *Column) soleArena() (arena []byte, ok bool) {
	arena = c.rest.arena
	first := slices.IndexFunc(c.cells(), func(x cell) bool { return x.len > 0 })
	if first < 0 {
		return arena, true
	}
	for _, x := range c.cells()[first:] {
		if x.len > 0 && x.arena != c.cells()[first].arena {
			return nil, false
		}
	}
	return c.arenaOf(c.cells()[first]), true
}

// textLists returns the elements of a column of lists of text or bytes, and where each row stands among them.
func textLists[T Native](c *Column, rows []span) []T {
	count, size := 0, 0
	for row, x := range c.cells() {
		rows[row].start = count
		for b := range parts(c.bytes(x)) {
			count, size = count+1, size+len(b)
		}
		rows[row].end = count
	}
	flat := make([]T, 0, count)
	switch flat := any(&flat).(type) {
	case *[]string:
		copies := make([]byte, 0, size)
		for _, x := range c.cells() {
			for b := range parts(c.bytes(x)) {
				start := len(copies)
				copies = append(copies, b...)
				*flat = append(*flat, stringOf(copies[start:]))
			}
		}
	case *[][]byte:
		for _, x := range c.cells() {
			*flat = slices.AppendSeq(*flat, parts(c.bytes(x)))
		}
	}
	return flat
}

// stringOf sees bytes that are never written again as a string.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
