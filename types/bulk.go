package types

import (
	"encoding/binary"
	"unicode/utf8"
	"unsafe"
)

// HasValue reports whether a cell holds a value, be it too old: what [Column.Any] answers as nil has none, a stored null
// timestamp neither.
func (c *Column) HasValue(row int) bool { return has(c.states()[row]) }

// Bitmap sets bit row%8 of dst[row/8] for each row that holds a value and returns the number of rows that hold none. dst
// is zero and has a bit for every row.
func (c *Column) Bitmap(dst []byte) (missing int) {
	for row, s := range c.states() {
		if has(s) {
			dst[row>>3] |= 1 << (row & 7)
		} else {
			missing++
		}
	}
	return missing
}

// SetRange stores values in as many cells from row on, each with status [Present]. As with the other setters, the column
// stores T as it is: int64 is for Int64 and UnixTimestamp.
func SetRange[T int32 | int64 | float32 | float64 | bool](c *Column, row int, values []T) {
	if len(values) == 0 {
		return
	}
	if !nativeFits[T](c.typ) {
		panic("types: SetRange of another type than " + c.typ.String()) //nolint:forbidigo // as the other setters do
	}
	copy(valuesOf[T](c)[row:row+len(values)], values)
	states := c.states()[row : row+len(values)]
	for i := range states {
		states[i] = byte(Present)
	}
	if stamps, ok := any(values).([]int64); ok && c.typ == UnixTimestamp {
		for i, v := range stamps {
			if v == NullUnixTimestamp {
				c.setInt64(row+i, v)
			}
		}
	}
}

// SetList stores a list or set, copying its elements; int64 is also for timestamps, in seconds. Text that is not UTF-8 is
// an error and leaves the cell as it was. Like the other setters it panics on a column of another type.
func SetList[T Native](c *Column, row int, values []T) error {
	elem := c.typ.Elem()
	if c.store != storeList || !nativeFits[T](elem) {
		panic("types: SetList of other elements than those of " + c.typ.String()) //nolint:forbidigo // as the other setters do
	}
	arena := c.rest.arena
	off := len(arena)
	switch list := any(values).(type) {
	case []string:
		for _, s := range list {
			if !utf8.ValidString(s) {
				return errUTF8
			}
			arena = binary.AppendUvarint(append(arena, 1<<3|wireBytes), uint64(len(s)))
			arena = append(arena, s...)
		}
	case [][]byte:
		for _, b := range list {
			if checkUTF8(elem, b) != nil {
				return errUTF8
			}
			arena = binary.AppendUvarint(append(arena, 1<<3|wireBytes), uint64(len(b)))
			arena = append(arena, b...)
		}
	default:
		arena = append(arena, native(values)...)
	}
	if uint64(len(arena)) > maxArena {
		return errArena
	}
	c.rest.arena = arena
	c.cells()[row] = cell{uint32(off), uint32(len(arena) - off), c.rest.id}
	c.states()[row] = byte(Present)
	return nil
}

// native sees numbers or booleans in their native form.
func native[T any](s []T) []byte {
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(zero)))
}

// ParseWhole reads decimal text as Python's int() does: surrounding space, a sign, and single underscores between digits
// are allowed.
func ParseWhole(s string) (int64, error) { return parseWhole(s) }
