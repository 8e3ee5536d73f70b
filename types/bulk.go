package types

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

// ParseWhole reads decimal text as Python's int() does: surrounding space, a sign, and single underscores between digits
// are allowed.
func ParseWhole(s string) (int64, error) { return parseWhole(s) }
