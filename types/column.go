package types

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"unsafe"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/wire"
)

// Column is a typed column of cells, each with a status. Its values stand dense in Go slices; a cell without a value
// holds the zero value. A stored value whose type is not the column's is kept as it was stored: the column is then
// mixed, [Column.Any], JSON and [Column.AppendValue] answer it exactly, and typed access widens it where nothing is
// lost or fails with [*feasterr.TypeMismatchError].
//
// A Column belongs to the [Block] that made it and shares its memory. Reading is safe from several goroutines, writing
// is not, except that forks write disjoint rows (see [Column.Fork]).
type Column struct {
	mem   unsafe.Pointer // a byte of state for each row, see below; from the next multiple of 8 bytes on, the values
	field *Field         // of the block's
	rest  *rest          // nil for a column of fixed width without odd cells
	rows  uint32
	typ   Type
	store store
	key   [2]byte // key of the type's Value member; the second byte is 0 when it has one byte
}

// rest is what only some columns need. Keeping it apart keeps a column in half a cache line.
type rest struct {
	arena  []byte         // what cells with arena == id point into; being appended to
	id     uint32         // number of arena
	joined [][]byte       // arenas of joined forks, by number
	odd    map[int][]byte // serialized Values of cells of other types; only those whose state says so count
}

// states are the rows' states.
func (c *Column) states() []byte { return unsafe.Slice((*byte)(c.mem), c.rows) }

// The rows' values, by store.

func (c *Column) i32() []int32   { return valuesOf[int32](c) }
func (c *Column) i64() []int64   { return valuesOf[int64](c) }
func (c *Column) f32() []float32 { return valuesOf[float32](c) }
func (c *Column) f64() []float64 { return valuesOf[float64](c) }
func (c *Column) bools() []bool  { return valuesOf[bool](c) }
func (c *Column) cells() []cell  { return valuesOf[cell](c) }

// valuesOf returns the values as T, which has to be what the column stores.
func valuesOf[T any](c *Column) []T {
	return unsafe.Slice((*T)(unsafe.Add(c.mem, (uintptr(c.rows)+7)&^7)), c.rows)
}

// variable reports whether cells are of variable width.
func (c *Column) variable() bool { return c.store == storeRaw || c.store >= storeBytes }

// odd returns the stored value of an odd cell.
func (c *Column) odd(row int) []byte { return c.rest.odd[row] }

// cell is a variable-width cell: a range of an arena. For lists of fixed-width elements the range is the elements in
// native form; for lists of text the range is the list message; for raw types it is the Value message.
type cell struct {
	off, len uint32
	arena    uint32
}

// Bits of a cell's state. A cell whose state is 0 was never set.
const (
	statusMask = 0x0f
	stateNull  = 0x20 // there is no value: the stored one is a null, or the cell was cleared
	stateNaT   = 0x40 // with stateNull: the null is stored as NullUnixTimestamp
	stateOdd   = 0x80 // the stored value is in odd
)

const maxArena = math.MaxUint32

var errArena = feasterr.Invalid("a column of one response holds more than 4 GiB: ask for fewer rows at a time")

// Name returns the column's name.
func (c *Column) Name() string { return c.field.Name }

// Type returns the declared type.
func (c *Column) Type() Type { return c.typ }

// Len returns the number of rows.
func (c *Column) Len() int { return int(c.rows) }

// String describes the column for people: name, type and length.
func (c *Column) String() string { return fmt.Sprintf("%s %s[%d]", c.Name(), c.typ, c.rows) }

// Status returns the status of a cell.
func (c *Column) Status(row int) Status { return Status(c.states()[row] & statusMask) }

// Valid reports whether the cell holds a value that is neither null nor too old: its status is [Present].
func (c *Column) Valid(row int) bool { return c.Status(row) == Present }

// AllValid reports whether every cell is [Present].
func (c *Column) AllValid() bool {
	for _, s := range c.states() {
		if Status(s&statusMask) != Present {
			return false
		}
	}
	return true
}

// Mixed reports whether some cell holds a value of another type than the column's.
func (c *Column) Mixed() bool { return c.firstOdd() >= 0 }

// Odd reports whether the cell holds a value of another type than the column's.
func (c *Column) Odd(row int) bool { return c.states()[row]&stateOdd != 0 }

// firstOdd returns the first row whose value has another type than the column's, -1 when there is none.
func (c *Column) firstOdd() int {
	if c.rest != nil && len(c.rest.odd) > 0 {
		for row, s := range c.states() {
			if s&stateOdd != 0 {
				return row
			}
		}
	}
	return -1
}

// has reports whether a cell in state s holds a value.
func has(s byte) bool { return s&statusMask != byte(NotFound) && s&stateNull == 0 }

// SetStatus changes the status of a cell and keeps its value; s is not [NotFound], for which there is [Column.Clear]. It
// is for the front, which alone knows of age.
func (c *Column) SetStatus(row int, s Status) {
	c.states()[row] = c.states()[row]&^statusMask | byte(s)
}

// Clear empties a cell: status s, no value.
func (c *Column) Clear(row int, s Status) {
	switch c.store {
	case storeInt32:
		c.i32()[row] = 0
	case storeInt64:
		c.i64()[row] = 0
	case storeFloat32:
		c.f32()[row] = 0
	case storeFloat64:
		c.f64()[row] = 0
	case storeBool:
		c.bools()[row] = false
	default:
		c.cells()[row] = cell{}
	}
	c.states()[row] = byte(s)
	if s != NotFound {
		c.states()[row] |= stateNull
	}
}

// SetValue decodes a stored feast.types.Value into a cell and sets its status to [Present] or [NullValue]. b is not
// kept. An int32 in an Int64 column and a float in a Float64 column are widened; any other foreign type makes the
// column mixed. Malformed bytes are an error and leave the cell empty.
func (c *Column) SetValue(row int, b []byte) error {
	// The common case, one member of the declared type and nothing else, is decoded without a general parse.
	if len(b) > 0 && b[0] == c.key[0] {
		switch c.store {
		case storeInt64:
			if v, n := wire.Uvarint(b[1:]); n > 0 && n == len(b)-1 {
				c.setInt64(row, int64(v))
				return nil
			}
		case storeInt32:
			if v, n := wire.Uvarint(b[1:]); n > 0 && n == len(b)-1 {
				c.i32()[row], c.states()[row] = int32(v), byte(Present)
				return nil
			}
		case storeFloat64:
			if len(b) == 9 {
				c.f64()[row] = math.Float64frombits(binary.LittleEndian.Uint64(b[1:]))
				c.states()[row] = byte(Present)
				return nil
			}
		case storeFloat32:
			if len(b) == 5 {
				c.f32()[row] = math.Float32frombits(binary.LittleEndian.Uint32(b[1:]))
				c.states()[row] = byte(Present)
				return nil
			}
		case storeBool:
			if len(b) == 2 && b[1] < 0x80 {
				c.bools()[row], c.states()[row] = b[1] != 0, byte(Present)
				return nil
			}
		case storeBytes, storeList:
			body := b[1:]
			if c.key[1] != 0 {
				if len(body) == 0 || body[0] != c.key[1] {
					break
				}
				body = body[1:]
			}
			size, n := wire.Uvarint(body)
			if n == 0 || uint64(len(body)-n) != size {
				break
			}
			return c.emptied(row, c.setData(row, body[n:]))
		}
	}
	return c.emptied(row, c.setAny(row, b))
}

// emptied clears a cell that an error left half written.
func (c *Column) emptied(row int, err error) error {
	if err != nil {
		c.Clear(row, NotFound)
	}
	return err
}

// setInt64 stores an integer or a timestamp.
func (c *Column) setInt64(row int, v int64) {
	if v == NullUnixTimestamp && c.typ == UnixTimestamp {
		c.i64()[row], c.states()[row] = 0, byte(NullValue)|stateNull|stateNaT
		return
	}
	c.i64()[row], c.states()[row] = v, byte(Present)
}

// setData stores the text or bytes of a scalar, or the message of a list.
func (c *Column) setData(row int, data []byte) error {
	if c.store == storeList {
		return c.setList(row, data)
	}
	if err := checkUTF8(c.typ, data); err != nil {
		return err
	}
	return c.put(row, data)
}

// setAny is SetValue for any Value.
func (c *Column) setAny(row int, b []byte) error {
	if err := checkValue(b, 0); err != nil {
		return err
	}
	v := parseValue(b)
	switch {
	case v.typ == Invalid:
		c.Clear(row, NullValue)
		return nil
	case c.typ == Int64 && v.typ == Int32:
		c.setInt64(row, int64(v.bits))
		return nil
	case c.typ == Float64 && v.typ == Float32:
		c.f64()[row] = float64(math.Float32frombits(uint32(v.bits)))
		c.states()[row] = byte(Present)
		return nil
	case v.typ != c.typ.member():
		c.setOdd(row, append([]byte(nil), b...), v.null())
		return nil
	}
	if c.store != storeRaw {
		return c.setMember(row, v)
	}
	if err := c.put(row, b); err != nil {
		return err
	}
	if v.null() {
		c.states()[row] = byte(NullValue) | stateNull
	}
	return nil
}

// setMember stores a value of the column's type, which is not raw.
func (c *Column) setMember(row int, v value) error {
	switch c.store {
	case storeInt64:
		c.setInt64(row, int64(v.bits))
	case storeInt32:
		c.i32()[row], c.states()[row] = int32(v.bits), byte(Present)
	case storeFloat64:
		c.f64()[row], c.states()[row] = math.Float64frombits(v.bits), byte(Present)
	case storeFloat32:
		c.f32()[row], c.states()[row] = math.Float32frombits(uint32(v.bits)), byte(Present)
	case storeBool:
		c.bools()[row], c.states()[row] = v.bits != 0, byte(Present)
	default:
		return c.setData(row, v.data)
	}
	return nil
}

// setOdd stores a value of another type. The column keeps b.
func (c *Column) setOdd(row int, b []byte, null bool) {
	c.Clear(row, NotFound)
	if c.rest == nil {
		c.rest = new(rest)
	}
	if c.rest.odd == nil {
		c.rest.odd = map[int][]byte{}
	}
	c.rest.odd[row] = b
	c.states()[row] = byte(Present) | stateOdd
	if null {
		c.states()[row] = byte(NullValue) | stateNull | stateOdd
	}
}

// put appends data to the arena and points the cell to it.
func (c *Column) put(row int, data []byte) error {
	off := len(c.rest.arena)
	if uint64(off)+uint64(len(data)) > maxArena {
		return errArena
	}
	c.rest.arena = append(c.rest.arena, data...)
	c.cells()[row] = cell{uint32(off), uint32(len(data)), c.rest.id}
	c.states()[row] = byte(Present)
	return nil
}

// bytes returns the range of a cell, aliasing the arena.
func (c *Column) bytes(x cell) []byte {
	if x.len == 0 {
		return nil
	}
	return c.arenaOf(x)[x.off : x.off+x.len : x.off+x.len]
}

// arenaOf returns the arena that a cell points into.
func (c *Column) arenaOf(x cell) []byte {
	if x.arena == c.rest.id {
		return c.rest.arena
	}
	return c.rest.joined[x.arena]
}

// CopyCell makes cell dst of this column equal to its cell src. Variable-width bytes are shared, not copied.
func (c *Column) CopyCell(dst, src int) {
	switch c.store {
	case storeInt32:
		c.i32()[dst] = c.i32()[src]
	case storeInt64:
		c.i64()[dst] = c.i64()[src]
	case storeFloat32:
		c.f32()[dst] = c.f32()[src]
	case storeFloat64:
		c.f64()[dst] = c.f64()[src]
	case storeBool:
		c.bools()[dst] = c.bools()[src]
	default:
		c.cells()[dst] = c.cells()[src]
	}
	c.states()[dst] = c.states()[src]
	if c.states()[src]&stateOdd != 0 {
		c.rest.odd[dst] = c.odd(src)
	}
}

// CopyFrom makes a cell equal to the same row's cell of other; it panics when that is of another type. It fails, and leaves the cell
// empty, only when the column would grow beyond 4 GiB. other may be reused afterwards.
func (c *Column) CopyFrom(other *Column, row int) error {
	if c.typ != other.typ {
		c.wrongSetter()
	}
	if other.states()[row]&stateOdd != 0 {
		c.setOdd(row, other.odd(row), false) // never written again, so that both may keep it
		c.states()[row] = other.states()[row]
		return nil
	}
	switch c.store {
	case storeInt32:
		c.i32()[row] = other.i32()[row]
	case storeInt64:
		c.i64()[row] = other.i64()[row]
	case storeFloat32:
		c.f32()[row] = other.f32()[row]
	case storeFloat64:
		c.f64()[row] = other.f64()[row]
	case storeBool:
		c.bools()[row] = other.bools()[row]
	default:
		if err := c.put(row, other.bytes(other.cells()[row])); err != nil {
			return c.emptied(row, err)
		}
	}
	c.states()[row] = other.states()[row]
	return nil
}

// Fork makes f a writer to the same rows: the column and all its forks may be written concurrently as long as no two
// write the same row. id is above 0, small, and different for all forks alive at the same time, forks of forks included.
// f's previous contents are lost. A fork reads only what it wrote itself, and what it wrote is read through the column
// after [Column.Join].
func (c *Column) Fork(f *Column, id int) {
	own := f.rest
	*f = *c
	f.rest = nil
	if !c.variable() {
		return
	}
	if own == nil {
		own = new(rest)
	}
	*own = rest{arena: *c.rest.joinedArena(uint32(id)), id: uint32(id)}
	f.rest = own
}

// joinedArena returns the place of a fork's arena.
func (r *rest) joinedArena(id uint32) *[]byte {
	for uint32(len(r.joined)) <= id {
		r.joined = append(r.joined, nil)
	}
	return &r.joined[id]
}

// Join takes over what a fork of this column wrote, with what the fork has joined. Every fork has to be joined before
// the column is read, also one that failed half-way; other forks may still be writing. The fork must not be used
// afterwards.
func (c *Column) Join(f *Column) {
	from := f.rest
	if from == nil {
		return
	}
	if c.rest == nil {
		c.rest = new(rest)
	}
	to := c.rest
	*to.joinedArena(from.id) = from.arena
	for id, arena := range from.joined {
		if arena != nil {
			*to.joinedArena(uint32(id)) = arena
		}
	}
	if to.odd == nil {
		to.odd = from.odd
		return
	}
	maps.Copy(to.odd, from.odd)
}

// AppendValue appends the cell as a serialized feast.types.Value: nothing for a cell without a value.
func (c *Column) AppendValue(dst []byte, row int) []byte {
	s := c.states()[row]
	switch {
	case s&stateOdd != 0:
		return append(dst, c.odd(row)...)
	case s&stateNaT != 0:
		v := int64(NullUnixTimestamp)
		return binary.AppendUvarint(appendKey(dst, c.typ), uint64(v))
	case c.store == storeRaw: // a stored null, too, is written as it was
		return append(dst, c.bytes(c.cells()[row])...)
	case !has(s):
		return dst
	}
	dst = appendKey(dst, c.typ)
	switch c.store {
	case storeInt32:
		return binary.AppendUvarint(dst, uint64(c.i32()[row]))
	case storeInt64:
		return binary.AppendUvarint(dst, uint64(c.i64()[row]))
	case storeFloat32:
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(c.f32()[row]))
	case storeFloat64:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(c.f64()[row]))
	case storeBool:
		if c.bools()[row] {
			return append(dst, 1)
		}
		return append(dst, 0)
	case storeList:
		return appendList(dst, c.typ.Elem(), c.bytes(c.cells()[row]))
	}
	data := c.bytes(c.cells()[row])
	return append(binary.AppendUvarint(dst, uint64(len(data))), data...)
}

// Bytes returns the bytes of a cell without copying: text as UTF-8, bytes, JSON, decimal and UUID text as they are; for
// maps, structs, nested collections and zoned timestamps the serialized Value; nil for numbers, lists, cells of another
// type than the column's and cells without a value. It stays valid until the column's memory is reused.
func (c *Column) Bytes(row int) []byte {
	if s := c.states()[row]; !has(s) || s&stateOdd != 0 || c.store != storeBytes && c.store != storeRaw {
		return nil
	}
	if b := c.bytes(c.cells()[row]); b != nil {
		return b
	}
	return []byte{}
}

// scalar returns the value of a cell, of any type where it is odd, else of a type that is not a list or raw. ok is false
// when there is none.
func (c *Column) scalar(row int) (v value, ok bool) {
	s := c.states()[row]
	switch {
	case !has(s):
		return value{}, false
	case s&stateOdd != 0:
		return parseValue(c.odd(row)), true
	}
	v.typ = c.typ.member()
	switch c.store {
	case storeInt32:
		v.bits = uint64(c.i32()[row])
	case storeInt64:
		v.bits = uint64(c.i64()[row])
	case storeFloat32:
		v.bits = uint64(math.Float32bits(c.f32()[row]))
	case storeFloat64:
		v.bits = math.Float64bits(c.f64()[row])
	case storeBool:
		if c.bools()[row] {
			v.bits = 1
		}
	case storeBytes:
		v.data = c.bytes(c.cells()[row])
	default:
		return value{}, false
	}
	return v, true
}

// Block is a set of columns of equal length that share memory, reused by [Block.Reset]. Not safe for concurrent use.
type Block struct {
	cols   []Column
	fields []Field
	rows   int
	mem    []uint64 // of all columns
}

// Reset shapes the block as empty columns of the given fields and length. Nothing is allocated when the block was as
// large before. Columns handed out earlier are reused. The block keeps fields, which must never change.
func (b *Block) Reset(fields []Field, rows int) {
	if b.rows == rows && len(b.fields) == len(fields) && unsafe.SliceData(b.fields) == unsafe.SliceData(fields) {
		clear(b.mem)
		for i := range b.cols {
			if r := b.cols[i].rest; r != nil {
				r.reset()
			}
		}
		return
	}
	if cap(b.cols) < len(fields) {
		old := b.cols[:cap(b.cols)]
		b.cols = make([]Column, len(fields))
		copy(b.cols, old) // for their arenas
	}
	b.cols, b.fields, b.rows = b.cols[:len(fields)], fields, rows
	words := 0
	for i := range fields {
		words += wordsOf(shapes[fields[i].Type].width, rows)
	}
	if cap(b.mem) < words {
		b.mem = make([]uint64, words)
	} else {
		b.mem = b.mem[:words]
		clear(b.mem)
	}

	mem := b.mem
	for i := range fields {
		c, f := &b.cols[i], &fields[i]
		shape := &shapes[f.Type]
		c.mem, c.field, c.rows = unsafe.Pointer(unsafe.SliceData(mem)), f, uint32(rows)
		c.typ, c.store, c.key = f.Type, shape.store, shape.key
		if c.rest != nil {
			c.rest.reset()
		} else if c.variable() {
			c.rest = new(rest)
		}
		mem = mem[wordsOf(shape.width, rows):]
	}
}

// reset empties the arenas and keeps their memory.
func (r *rest) reset() {
	r.arena = r.arena[:0]
	for id := range r.joined {
		r.joined[id] = r.joined[id][:0]
	}
	clear(r.odd)
}

// shape is what a column of a type looks like.
type shape struct {
	store store
	width uint8   // of a value, in bytes
	key   [2]byte // see [Column]
}

var shapes = func() (out [len(infos)]shape) {
	for t := range out {
		s := &out[t]
		s.store = infos[t].store
		switch s.store {
		case storeInt32, storeFloat32:
			s.width = 4
		case storeInt64, storeFloat64:
			s.width = 8
		case storeBool:
			s.width = 1
		default:
			s.width = uint8(unsafe.Sizeof(cell{}))
		}
		appendKey(s.key[:0], Type(t))
	}
	return out
}()

// wordsOf is how many words of 8 bytes the states and values of a column take.
func wordsOf(width uint8, rows int) int { return (rows+7)/8 + (rows*int(width)+7)/8 }

// Rows returns the length of the columns.
func (b *Block) Rows() int { return b.rows }

// Columns returns the columns, valid until the next Reset.
func (b *Block) Columns() []Column { return b.cols }

// NewColumn returns an empty column of its own memory, for writers and tests.
func NewColumn(name string, t Type, rows int) *Column {
	var b Block
	b.Reset([]Field{{name, t}}, rows)
	return &b.cols[0]
}
