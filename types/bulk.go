package types

import (
	"unicode/utf8"
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

// SetTexts stores text or bytes that stand one after the other in data in the cells from row on, copying them, each with
// status [Present]: the first from offsets[0] to offsets[1], and so on; data begins at offsets[0]. When a text is not UTF-8, or
// the column becomes too long, it reports false and has set nothing.
func SetTexts[O int32 | int64](c *Column, row int, data []byte, offsets []O) bool {
	if c.store != storeBytes {
		panic("types: SetTexts of another type than " + c.typ.String()) //nolint:forbidigo // as the other setters do
	}
	start, n := len(c.rest.arena), len(offsets)-1
	if uint64(start)+uint64(len(data)) > maxArena {
		return false
	}
	if !c.typ.isBytes() {
		if !utf8.Valid(data) {
			return false
		}
		for _, o := range offsets { // nor may a text end within a character
			if at := int(o - offsets[0]); at < len(data) && !utf8.RuneStart(data[at]) {
				return false
			}
		}
	}
	c.rest.arena = append(c.rest.arena, data...)
	cells, states := c.cells()[row:row+n], c.states()[row:row+n]
	for i := range cells {
		from := offsets[i] - offsets[0]
		cells[i] = cell{uint32(start) + uint32(from), uint32(offsets[i+1] - offsets[i]), c.rest.id}
		states[i] = byte(Present)
	}
	return true
}

// EachElement calls fn for each element of a list or set of text or bytes, in order; it aliases the column's memory. It calls
// nothing for a cell without a value, for one of another type, and for lists of other elements.
func (c *Column) EachElement(row int, fn func(element []byte)) {
	s := c.states()[row]
	if c.store != storeList || widthOf(c.typ.Elem()) > 0 || !has(s) || s&stateOdd != 0 {
		return
	}
	for b := c.bytes(c.cells()[row]); len(b) > 0; {
		f, n := nextField(b)
		if n == 0 {
			return
		}
		if f.num == 1 && f.wire == wireBytes {
			fn(f.data)
		}
		b = b[n:]
	}
}

// ParseWhole reads decimal text as Python's int() does: surrounding space, a sign, and single underscores between digits
// are allowed.
func ParseWhole(s string) (int64, error) { return parseWhole(s) }
