package file

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/parquet-go/parquet-go"

	"github.com/feastgo/feast/feasterr"
)

// class says which keys can be equal at all: those of one class.
type class uint8

const (
	noClass class = iota
	numbers       // integers of any width, and floats
	texts         // text and bytes
	booleans
	instants // timestamps and dates
)

func classOf(t arrow.DataType) class {
	switch t.ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64,
		arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64:
		return numbers
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW, arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW, arrow.FIXED_SIZE_BINARY:
		return texts
	case arrow.BOOL:
		return booleans
	case arrow.TIMESTAMP, arrow.DATE32, arrow.DATE64:
		return instants
	case arrow.DICTIONARY:
		return classOf(t.(*arrow.DictionaryType).ValueType)
	case arrow.EXTENSION:
		return classOf(t.(arrow.ExtensionType).StorageType())
	}
	return noClass
}

// isBytes reports whether values of a type are bytes, and no text.
func isBytes(t arrow.DataType) bool {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return isBytes(t.ValueType)
	case arrow.ExtensionType:
		return isBytes(t.StorageType())
	case *arrow.BinaryType, *arrow.LargeBinaryType, *arrow.BinaryViewType, *arrow.FixedSizeBinaryType:
		return true
	}
	return false
}

// noID stands for a value that equals no other.
const noID = -1

// intTable numbers distinct integers, in open addressing.
type intTable struct {
	slots []intSlot
	shift uint
	n     int
	min   int64
	max   int64
}

type intSlot struct {
	key int64
	id  int32 // plus one: 0 is an empty slot
}

// find returns the number of k, or noID.
func (t *intTable) find(k int64) int32 {
	if t.n == 0 || k < t.min || k > t.max {
		return noID
	}
	mask := len(t.slots) - 1
	for i := int(uint64(k) * 0x9e3779b97f4a7c15 >> t.shift); ; i = (i + 1) & mask {
		s := &t.slots[i&mask]
		if s.id == 0 {
			return noID
		}
		if s.key == k {
			return s.id - 1
		}
	}
}

// add returns the number of k, id if it is new.
func (t *intTable) add(k int64, id int32) int32 {
	if t.n*2 >= len(t.slots) {
		t.grow()
	}
	mask := len(t.slots) - 1
	for i := int(uint64(k) * 0x9e3779b97f4a7c15 >> t.shift); ; i = (i + 1) & mask {
		s := &t.slots[i&mask]
		if s.id == 0 {
			if t.n == 0 {
				t.min, t.max = k, k
			}
			t.min, t.max = min(t.min, k), max(t.max, k)
			s.key, s.id = k, id+1
			t.n++
			return id
		}
		if s.key == k {
			return s.id - 1
		}
	}
}

func (t *intTable) grow() {
	old := t.slots
	size := max(16, 2*len(old))
	t.slots, t.shift, t.n = make([]intSlot, size), uint(64-bits.TrailingZeros(uint(size))), 0
	for _, s := range old {
		if s.id != 0 {
			t.add(s.key, s.id-1)
		}
	}
}

// odd is a number or instant that no int64 holds exactly.
type odd struct {
	kind byte // 'u': an unsigned integer, 'f': bits of a fraction, 't': seconds and nanoseconds
	a    int64
	b    int64
}

// valueTable numbers the distinct values of one key column of the entity rows. After the first phase it is only read, by
// any number of goroutines.
type valueTable struct {
	class class
	typ   arrow.DataType
	ints  intTable
	odds  map[odd]int32
	uuids bool // the entity rows have UUIDs, which are here as text and as bytes
	bytes bool // and these bytes, not text
	texts map[string]int32
	low   string // of texts
	high  string
	n     int32
}

func (t *valueTable) addInt(k int64) int32 {
	id := t.ints.add(k, t.n)
	t.counted(id)
	return id
}

func (t *valueTable) counted(id int32) {
	if id == t.n {
		t.n++
	}
}

func (t *valueTable) addOdd(o odd) int32 {
	if id, ok := t.odds[o]; ok {
		return id
	}
	if t.odds == nil {
		t.odds = map[odd]int32{}
	}
	t.odds[o] = t.n
	t.n++
	return t.n - 1
}

func (t *valueTable) addText(s string) int32 {
	if id, ok := t.texts[s]; ok {
		return id
	}
	if t.texts == nil {
		t.texts, t.low, t.high = map[string]int32{}, s, s
	}
	t.low, t.high = min(t.low, s), max(t.high, s)
	t.texts[string([]byte(s))] = t.n // the array that s is in may be gone soon
	t.n++
	return t.n - 1
}

// addBytes numbers bytes, or a UUID, which texts equal too.
func (t *valueTable) addBytes(b []byte) int32 {
	if !t.uuids || len(b) != 16 {
		return t.addText(string(b))
	}
	if id, ok := t.texts[string(b)]; ok {
		return id
	}
	id := t.addText(string(textOfUUID(nil, b)))
	raw := string(b)
	t.texts[raw], t.low, t.high = id, min(t.low, raw), max(t.high, raw)
	return id
}

// ofFloat says which integer a float is: an integer of int64, another number, or nothing that equals anything.
func ofFloat(x float64) (k int64, o odd, ok bool) {
	switch {
	case x != x:
		return 0, odd{}, false
	case x == math.Trunc(x) && x >= -1<<63 && x < 1<<63:
		return int64(x), odd{}, true
	case x == math.Trunc(x) && x >= 1<<63 && x < 1<<64:
		return 0, odd{kind: 'u', a: int64(uint64(x))}, true
	}
	return 0, odd{kind: 'f', a: int64(math.Float64bits(x))}, true
}

func ofUint(x uint64) (int64, odd) {
	if x > math.MaxInt64 {
		return 0, odd{kind: 'u', a: int64(x)}
	}
	return int64(x), odd{}
}

// ofTime says which instant a time of a unit is: nanoseconds, or seconds and a rest where they are too far away.
func ofTime(t, unit int64) (int64, odd) {
	if ns := mulSaturated(t, unit); ns > math.MinInt64+1 && ns < math.MaxInt64 {
		return ns, odd{}
	}
	per := second / unit
	s := floorDiv(t, per)
	return 0, odd{kind: 't', a: s, b: (t - s*per) * unit}
}

// either numbers an integer or, where o has a kind, another value.
func (t *valueTable) either(k int64, o odd, add bool) int32 {
	switch {
	case add && o.kind == 0:
		return t.addInt(k)
	case add:
		return t.addOdd(o)
	case o.kind == 0:
		return t.ints.find(k)
	}
	if id, ok := t.odds[o]; ok {
		return id
	}
	return noID
}

// addArray numbers the values of an array of entity keys: ids[i] for value i, noID for nulls.
func (t *valueTable) addArray(ctx context.Context, a arrow.Array, ids []int32) error {
	if e, ok := a.(array.ExtensionArray); ok {
		a = e.Storage()
	}
	if d, ok := a.(*array.Dictionary); ok {
		values := make([]int32, d.Dictionary().Len())
		if err := t.addArray(ctx, d.Dictionary(), values); err != nil {
			return err
		}
		for i := range ids {
			if err := ended(ctx, i); err != nil {
				return err
			}
			if ids[i] = noID; d.IsValid(i) {
				ids[i] = values[d.GetValueIndex(i)]
			}
		}
		return nil
	}
	if a.DataType().ID() == arrow.NULL {
		for i := range ids {
			ids[i] = noID
		}
		return nil
	}
	number, err := t.numberer(a)
	if err != nil {
		return err
	}
	for i := range ids {
		if err := ended(ctx, i); err != nil {
			return err
		}
		if ids[i] = noID; a.IsValid(i) {
			ids[i] = number(i)
		}
	}
	return nil
}

func (t *valueTable) numberer(a arrow.Array) (func(i int) int32, error) {
	switch a := a.(type) {
	case *array.Int64:
		v := a.Values()
		return func(i int) int32 { return t.addInt(v[i]) }, nil
	case *array.Int32:
		return func(i int) int32 { return t.addInt(int64(a.Value(i))) }, nil
	case *array.Int16:
		return func(i int) int32 { return t.addInt(int64(a.Value(i))) }, nil
	case *array.Int8:
		return func(i int) int32 { return t.addInt(int64(a.Value(i))) }, nil
	case *array.Uint64:
		return func(i int) int32 { k, o := ofUint(a.Value(i)); return t.either(k, o, true) }, nil
	case *array.Uint32:
		return func(i int) int32 { return t.addInt(int64(a.Value(i))) }, nil
	case *array.Uint16:
		return func(i int) int32 { return t.addInt(int64(a.Value(i))) }, nil
	case *array.Uint8:
		return func(i int) int32 { return t.addInt(int64(a.Value(i))) }, nil
	case *array.Float64:
		return func(i int) int32 { return t.float(a.Value(i), true) }, nil
	case *array.Float32:
		return func(i int) int32 { return t.float(float64(a.Value(i)), true) }, nil
	case *array.Float16:
		return func(i int) int32 { return t.float(float64(a.Value(i).Float32()), true) }, nil
	case array.StringLike:
		return func(i int) int32 { return t.addText(a.Value(i)) }, nil
	case *array.Binary:
		return func(i int) int32 { return t.addBytes(a.Value(i)) }, nil
	case *array.LargeBinary:
		return func(i int) int32 { return t.addBytes(a.Value(i)) }, nil
	case *array.BinaryView:
		return func(i int) int32 { return t.addBytes(a.Value(i)) }, nil
	case *array.FixedSizeBinary:
		return func(i int) int32 { return t.addBytes(a.Value(i)) }, nil
	case *array.Boolean:
		return func(i int) int32 {
			if a.Value(i) {
				return t.addInt(1)
			}
			return t.addInt(0)
		}, nil
	case *array.Timestamp, *array.Date32, *array.Date64:
		times, unit := timesOf(a)
		return func(i int) int32 { k, o := ofTime(times(i), unit); return t.either(k, o, true) }, nil
	}
	return nil, feasterr.Unsupported("keys of type %s", typeName(a.DataType()))
}

func (t *valueTable) float(x float64, add bool) int32 {
	k, o, ok := ofFloat(x)
	if !ok {
		return noID
	}
	return t.either(k, o, add)
}

// timesOf sees an array as numbers of a unit; nil when it is of no time.
func timesOf(a arrow.Array) (at func(i int) int64, unit int64) {
	switch a := a.(type) {
	case *array.Timestamp:
		v := a.Values()
		return func(i int) int64 { return int64(v[i]) }, int64(a.DataType().(*arrow.TimestampType).Unit.Multiplier())
	case *array.Date32:
		return func(i int) int64 { return int64(a.Value(i)) * 86400 }, second
	case *array.Date64:
		return func(i int) int64 { return int64(a.Value(i)) }, millisecond
	}
	return nil, 0
}

// finder finds the numbers of the values of a column of the source. It is one goroutine's, for one column of a row group.
type finder struct {
	filler
	table *valueTable
	ids   []int32 // of the wanted rows
	text  []byte  // of a UUID
	dict  parquet.Dictionary
	codes []int32 // number by code of dict, plus one; 0 where it was not looked up yet
}

// find sets ids to the numbers of the wanted rows of a column, noID where no entity row has the value.
func (g *rowGroup) find(ctx context.Context, c *column, t *valueTable, w wanted, ids []int32) error {
	p := c.in[g.file]
	if p.part != nil || p.shape.leaf.form == formNull {
		id := int32(noID)
		if p.part != nil && !p.part.null {
			if n, ok := t.texts[p.part.value]; ok {
				id = n
			}
		}
		for i := range ids {
			ids[i] = id
		}
		return ctx.Err()
	}
	f := finder{table: t, ids: ids, filler: filler{leaf: p.shape.leaf, dst: &vector{}}}
	return g.pages(ctx, p.shape.first, w, f.page)
}

func (f *finder) page(p page, w wanted) error {
	n := w.len()
	out := f.ids[:n]
	f.ids = f.ids[n:]
	idx, lo, err := f.positions(p, w)
	if err != nil {
		return err
	}
	values := p.Data()
	src, offsets := values.Data()
	if d := p.Dictionary(); d != nil {
		if f.dict != d {
			f.dict, f.codes = d, make([]int32, d.Len())
			dv := d.Page().Data()
			f.dictB, f.dictO = dv.Data()
		}
		codes, number := values.Int32(), f.number(f.dictB, f.dictO)
		if idx == nil {
			codes = codes[lo : lo+n]
		}
		for i := range out {
			var k int32
			if idx == nil {
				k = codes[i]
			} else if idx[i] < 0 {
				out[i] = noID
				continue
			} else {
				k = codes[idx[i]]
			}
			id := f.codes[k]
			if id == 0 {
				if id = number(int(k)) + 1; id == 0 {
					id = -1
				}
				f.codes[k] = id
			}
			out[i] = max(id-1, noID)
		}
		return nil
	}
	if f.leaf.form == formBool {
		src = f.unpack(src, p.rows-int(p.NumNulls()))
	}
	if idx == nil && f.leaf.form == formFixed && f.leaf.own.ID() == arrow.INT64 {
		for i, k := range valuesOf[int64](src)[lo : lo+n] {
			out[i] = f.table.ints.find(k)
		}
		return nil
	}
	number := f.number(src, offsets)
	for i := range out {
		switch {
		case idx == nil:
			out[i] = number(lo + i)
		case idx[i] < 0:
			out[i] = noID
		default:
			out[i] = number(int(idx[i]))
		}
	}
	return nil
}

// number returns what finds the number of value i of a page or dictionary.
func (f *finder) number(src []byte, offsets []uint32) func(i int) int32 {
	t, c := f.table, f.leaf.clock
	if f.leaf.form == formText || f.leaf.form == formFixed && classOf(f.leaf.own) == texts {
		return func(i int) int32 {
			var b []byte
			if f.leaf.form == formText {
				b = src[offsets[i]:offsets[i+1]]
			} else {
				b = src[i*f.leaf.width : (i+1)*f.leaf.width]
			}
			if f.leaf.uuid && !t.bytes {
				f.text = textOfUUID(f.text[:0], b)
				b = f.text
			}
			if id, ok := t.texts[string(b)]; ok {
				return id
			}
			return noID
		}
	}
	switch f.leaf.own.ID() {
	case arrow.BOOL:
		return func(i int) int32 { return t.ints.find(int64(src[i])) }
	case arrow.INT8, arrow.INT16, arrow.INT32:
		v := valuesOf[int32](src)
		return func(i int) int32 { return t.ints.find(int64(v[i])) }
	case arrow.UINT8, arrow.UINT16, arrow.UINT32:
		v := valuesOf[uint32](src)
		return func(i int) int32 { return t.ints.find(int64(v[i])) }
	case arrow.INT64:
		v := valuesOf[int64](src)
		return func(i int) int32 { return t.ints.find(v[i]) }
	case arrow.UINT64:
		v := valuesOf[uint64](src)
		return func(i int) int32 { k, o := ofUint(v[i]); return t.either(k, o, false) }
	case arrow.FLOAT16:
		return func(i int) int32 {
			return t.float(float64(float16.FromBits(binary.LittleEndian.Uint16(src[2*i:])).Float32()), false)
		}
	case arrow.FLOAT32:
		v := valuesOf[float32](src)
		return func(i int) int32 { return t.float(float64(v[i]), false) }
	case arrow.FLOAT64:
		v := valuesOf[float64](src)
		return func(i int) int32 { return t.float(v[i], false) }
	case arrow.DATE32:
		v := valuesOf[int32](src)
		return func(i int) int32 { k, o := ofTime(int64(v[i])*c.scale, c.unit); return t.either(k, o, false) }
	case arrow.TIMESTAMP:
		if c.int96 {
			return func(i int) int32 { return t.ints.find(int96Nanos(src[12*i : 12*i+12])) }
		}
		v := valuesOf[int64](src)
		return func(i int) int32 { k, o := ofTime(v[i], c.unit); return t.either(k, o, false) }
	}
	return func(int) int32 { return noID }
}

// keyColumn is a key of a view: a column of the source and the values of the entity rows.
type keyColumn struct {
	column *column
	values valueTable
	pairs  intTable // with the number of the columns before: the number of both together
}

// keySet numbers the distinct keys of the entity rows.
type keySet struct {
	columns []*keyColumn
	n       int32
}

// newKeySet numbers the keys of entity rows: ids[i] is the number of the key of row i, noID when a part of it is null.
// entity has the chunks of each key column.
func newKeySet(ctx context.Context, columns []*column, entity [][]arrow.Array, fields []arrow.Field, ids []int32) (*keySet, error) {
	s := &keySet{n: 1}
	part := make([]int32, len(ids))
	for k, c := range columns {
		kc := &keyColumn{column: c}
		s.columns = append(s.columns, kc)
		at := 0
		for _, a := range entity[k] {
			if kc.values.typ == nil {
				kc.values.typ, kc.values.class = a.DataType(), classOf(a.DataType())
				kc.values.uuids, kc.values.bytes = isUUID(fields[k]), isBytes(a.DataType())
			}
			if err := kc.values.addArray(ctx, a, part[at:at+a.Len()]); err != nil {
				if ctx.Err() != nil {
					return nil, err
				}
				return nil, &feasterr.RequestError{Column: fields[k].Name, Row: -1, Err: err}
			}
			at += a.Len()
		}
		if k == 0 {
			copy(ids, part)
			s.n = kc.values.n
			continue
		}
		n := int32(0)
		for i, id := range ids {
			if err := ended(ctx, i); err != nil {
				return nil, err
			}
			if id == noID || part[i] == noID {
				ids[i] = noID
				continue
			}
			ids[i] = kc.pairs.add(pair(id, part[i]), n)
			if ids[i] == n {
				n++
			}
		}
		s.n = n
	}
	return s, nil
}

func pair(a, b int32) int64 { return int64(a)<<32 | int64(b) }

// check reports keys that cannot be equal to those of the entity rows by their types.
func (k *keyColumn) check(entity arrow.Field) error {
	have := entity.Type
	for _, f := range slices.SortedFunc(maps.Keys(k.column.in), func(a, b *dataFile) int { return cmp.Compare(a.path, b.path) }) {
		p := k.column.in[f]
		own := arrow.DataType(arrow.BinaryTypes.String)
		if p.shape != nil {
			own = p.shape.own
		}
		if own.ID() == arrow.NULL || have.ID() == arrow.NULL {
			continue
		}
		a, b := classOf(own), classOf(have)
		if a == noClass || p.shape != nil && !p.shape.flat() {
			return inFile(f.path, feasterr.Unsupported("column %q is %s, which cannot be a join key", k.column.name, typeName(own)))
		}
		if a != b {
			hint := ""
			if p.part != nil {
				hint = "; columns of directories column=value are text"
			}
			return &feasterr.TypeMismatchError{Column: entity.Name, Row: -1, Have: typeName(have),
				Want: fmt.Sprintf("%s, the type of %q in %s%s", typeName(own), k.column.name, f.path, hint)}
		}
	}
	return nil
}

// find sets ids to the numbers of the keys of wanted rows. scratch is as long.
func (s *keySet) find(ctx context.Context, g *rowGroup, w wanted, ids, scratch []int32) error {
	if len(s.columns) == 0 {
		clear(ids)
		return nil
	}
	for k, c := range s.columns {
		if k == 0 {
			if err := g.find(ctx, c.column, &c.values, w, ids); err != nil {
				return err
			}
			continue
		}
		if err := g.find(ctx, c.column, &c.values, w, scratch); err != nil {
			return err
		}
		for i, id := range ids {
			switch {
			case id == noID:
			case scratch[i] == noID:
				ids[i] = noID
			default:
				ids[i] = c.pairs.find(pair(id, scratch[i]))
			}
		}
	}
	return nil
}
