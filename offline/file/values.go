package file

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/parquet-go/parquet-go"

	"github.com/feastgo/feast/feasterr"
)

// vector is values of a column, as they are in the file. Goroutines may fill disjoint parts of it.
type vector struct {
	typ   arrow.DataType
	leaf  leafType
	n     int
	data  []byte   // formFixed and formBool
	text  []string // formText
	valid []bool
	nulls atomic.Bool // some of valid is false

	mu     sync.Mutex
	nested []stretch // columns that are not flat: arrays of values, one behind the other
}

// stretch is a part of a vector.
type stretch struct {
	at     int
	values arrow.Array
}

// newVector makes a vector of n nulls for values of a column.
func newVector(c *column, n int) *vector {
	v := &vector{typ: c.typ, n: n}
	if !c.flat {
		return v
	}
	v.leaf = c.leaf
	switch v.leaf.form {
	case formText:
		v.text = make([]string, n)
	case formFixed, formBool:
		v.data = aligned(n * v.leaf.width)
	}
	v.valid = make([]bool, n)
	return v
}

// aligned is n bytes of memory that any fixed-width values may stand in.
func aligned(n int) []byte { return bytesOf(make([]uint64, (n+7)/8))[:n] }

func bytesOf[T any](s []T) []byte {
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(zero)))
}

// valuesOf sees bytes as values; a rest that makes no value is left out.
func valuesOf[T any](b []byte) []T {
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(zero)))
}

// filler moves values of pages to a vector. It is one goroutine's.
type filler struct {
	dst   *vector
	at    int // where the next value goes
	leaf  leafType
	idx   []int32
	bits  []byte
	dict  parquet.Dictionary
	dictB []byte // the values of dict, booleans a byte each
	dictO []uint32
	arena []byte
}

// fill reads wanted rows of a column into dst, from at on. The rows of files that have no such values stay null.
func (g *rowGroup) fill(ctx context.Context, c *column, w wanted, dst *vector, at int) error {
	p := c.in[g.file]
	switch {
	case p.part != nil:
		if p.part.null {
			dst.nulls.Store(true)
			return nil
		}
		for i := range w.len() {
			dst.text[at+i], dst.valid[at+i] = p.part.value, true
		}
		return nil
	case !p.shape.flat():
		return g.fillNested(ctx, c, p.shape, w, dst, at)
	case !c.flat || p.shape.leaf.form == formNull:
		dst.nulls.Store(true)
		return ctx.Err()
	}
	f := filler{dst: dst, at: at, leaf: p.shape.leaf}
	if f.leaf.form != dst.leaf.form || f.leaf.width != dst.leaf.width || f.leaf.clock != dst.leaf.clock {
		return g.fillOther(ctx, c, p.shape.leaf, w, dst, at)
	}
	return g.pages(ctx, p.shape.first, w, f.page)
}

// positions returns where wanted rows of a page are among its values, -1 for nulls; nil when they are the values from
// lo on, without nulls.
func (f *filler) positions(p page, w wanted) (idx []int32, lo int, err error) {
	nulls := p.NumNulls() > 0
	n := w.len()
	lo = w.lo - p.first
	if !nulls && !w.some {
		return nil, lo, nil
	}
	f.idx = slices.Grow(f.idx[:0], n)[:n]
	idx = f.idx
	if !nulls {
		for i, r := range w.rows {
			idx[i] = r - int32(p.first)
		}
		return idx, lo, nil
	}
	levels := p.DefinitionLevels()
	if len(levels) < p.rows {
		return nil, 0, feasterr.Invalid("the file is damaged: a page with %d levels for %d rows", len(levels), p.rows)
	}
	f.dst.nulls.Store(true)
	row, value := 0, int32(0) // value: of present values before row
	for i := range n {
		r := lo + i
		if w.some {
			r = int(w.rows[i]) - p.first
		}
		for ; row < r; row++ {
			value += int32(levels[row] & 1) // the one level of a flat column
		}
		idx[i] = -1
		if levels[r] != 0 {
			idx[i] = value
		}
	}
	return idx, lo, nil
}

// page takes wanted values of a page.
func (f *filler) page(p page, w wanted) error {
	n, at := w.len(), f.at
	f.at += n
	idx, lo, err := f.positions(p, w)
	if err != nil {
		return err
	}
	valid := f.dst.valid[at : at+n]
	if idx == nil || p.NumNulls() == 0 {
		for i := range valid {
			valid[i] = true
		}
	} else {
		for i, k := range idx {
			valid[i] = k >= 0
		}
	}
	values := p.Data()
	src, offsets := values.Data()
	if f.leaf.form == formBool && p.Dictionary() == nil {
		src = f.unpack(src, p.rows-int(p.NumNulls()))
	}
	if d := p.Dictionary(); d != nil {
		f.setDictionary(d)
		codes := values.Int32()
		if idx == nil {
			idx, lo = codes[lo:lo+n], 0
		} else {
			for i, k := range idx {
				if k >= 0 {
					idx[i] = codes[k]
				}
			}
		}
		src, offsets = f.dictB, f.dictO
	}
	if f.leaf.form == formText {
		f.texts(f.dst.text[at:at+n], src, offsets, idx, lo)
		return nil
	}
	width := f.leaf.width
	dst := f.dst.data[at*width : (at+n)*width]
	if idx == nil {
		copy(dst, src[lo*width:(lo+n)*width])
		return nil
	}
	switch width {
	case 1:
		gather(dst, src, idx)
	case 2:
		gather(valuesOf[uint16](dst), valuesOf[uint16](src), idx)
	case 4:
		gather(valuesOf[uint32](dst), valuesOf[uint32](src), idx)
	case 8:
		gather(valuesOf[uint64](dst), valuesOf[uint64](src), idx)
	case 12:
		gather(valuesOf[[12]byte](dst), valuesOf[[12]byte](src), idx)
	case 16:
		gather(valuesOf[[16]byte](dst), valuesOf[[16]byte](src), idx)
	default:
		for i, k := range idx {
			if k >= 0 {
				copy(dst[i*width:(i+1)*width], src[int(k)*width:(int(k)+1)*width])
			}
		}
	}
	return nil
}

// gather sets dst to the values of src at idx; where it is negative dst stays.
func gather[T any](dst, src []T, idx []int32) {
	dst = dst[:len(idx)]
	for i, k := range idx {
		if k >= 0 {
			dst[i] = src[k]
		}
	}
}

func (f *filler) setDictionary(d parquet.Dictionary) {
	if f.dict == d {
		return
	}
	values := d.Page().Data()
	f.dict = d
	f.dictB, f.dictO = values.Data()
	if f.leaf.form == formBool {
		f.dictB = slices.Clone(f.unpack(f.dictB, d.Len()))
	}
}

// unpack makes bytes of n bits.
func (f *filler) unpack(bits []byte, n int) []byte {
	f.bits = slices.Grow(f.bits[:0], n)[:n]
	for i := range f.bits {
		f.bits[i] = bits[i>>3] >> (i & 7) & 1
	}
	return f.bits
}

// texts copies texts out of memory that will be used again.
func (f *filler) texts(dst []string, src []byte, offsets []uint32, idx []int32, lo int) {
	if idx == nil {
		if len(dst) == 0 {
			return
		}
		first := offsets[lo]
		all := string(src[first:offsets[lo+len(dst)]])
		for i := range dst {
			dst[i] = all[offsets[lo+i]-first : offsets[lo+i+1]-first]
		}
		return
	}
	for i, k := range idx {
		if k >= 0 {
			dst[i] = f.keep(src[offsets[k]:offsets[k+1]])
		}
	}
}

// arenaSize is how much memory for texts is taken at a time.
const arenaSize = 32 << 10

// keep copies text into memory shared with other texts.
func (f *filler) keep(b []byte) string {
	if len(b) > arenaSize/8 {
		return string(b)
	}
	if len(b) > cap(f.arena)-len(f.arena) {
		f.arena = make([]byte, 0, arenaSize)
	}
	n := len(f.arena)
	f.arena = append(f.arena, b...)
	return unsafe.String(unsafe.SliceData(f.arena[n:]), len(b))
}

// fillOther reads from a file whose times are of another unit than those of the vector, or its integers narrower.
func (g *rowGroup) fillOther(ctx context.Context, c *column, leaf leafType, w wanted, dst *vector, at int) error {
	if dst.leaf.own.ID() == arrow.INT64 && leaf.form == formFixed && leaf.width == 4 && !leaf.clock.isTime() {
		return g.fillNarrow(ctx, c, leaf, w, dst, at)
	}
	if leaf.clock.unit == 0 || dst.leaf.clock.unit == 0 || dst.leaf.width != 8 {
		return feasterr.Invalid("column %q is not of one type in all files", c.name)
	}
	times := make([]int64, w.len())
	if err := g.times(ctx, c, w, dst.leaf.clock.unit, times); err != nil {
		return err
	}
	out := valuesOf[int64](dst.data)[at : at+len(times)]
	for i, t := range times {
		if dst.valid[at+i] = t != noTime; t == noTime {
			dst.nulls.Store(true)
			continue
		}
		out[i] = t
	}
	return nil
}

// fillNarrow reads integers of 32 bits at most into a vector of 64, see [table.keyColumn].
func (g *rowGroup) fillNarrow(ctx context.Context, c *column, leaf leafType, w wanted, dst *vector, at int) error {
	narrow := newVector(&column{typ: leaf.typ, flat: true, leaf: leaf}, w.len())
	if err := g.fill(ctx, c, w, narrow, 0); err != nil {
		return err
	}
	out := valuesOf[int64](dst.data)[at : at+w.len()]
	copy(dst.valid[at:], narrow.valid)
	if narrow.nulls.Load() {
		dst.nulls.Store(true)
	}
	if leaf.own.ID() == arrow.UINT32 {
		for i, v := range valuesOf[uint32](narrow.data)[:len(out)] {
			out[i] = int64(v)
		}
		return nil
	}
	for i, v := range valuesOf[int32](narrow.data)[:len(out)] {
		out[i] = int64(v)
	}
	return nil
}

// take returns the values at idx, nulls where it is negative.
func (v *vector) take(idx []int32) *vector {
	out := &vector{typ: v.typ, leaf: v.leaf, n: len(idx)}
	out.valid = make([]bool, len(idx))
	nulls := v.nulls.Load()
	lost := false
	for i, k := range idx {
		ok := k >= 0 && (!nulls || v.valid[k])
		out.valid[i] = ok
		lost = lost || !ok
	}
	out.nulls.Store(lost)
	switch v.leaf.form {
	case formText:
		out.text = make([]string, len(idx))
		gather(out.text, v.text, idx)
	case formFixed, formBool:
		w := v.leaf.width
		out.data = aligned(len(idx) * w)
		switch w {
		case 1:
			gather(out.data, v.data, idx)
		case 4:
			gather(valuesOf[uint32](out.data), valuesOf[uint32](v.data), idx)
		case 8:
			gather(valuesOf[uint64](out.data), valuesOf[uint64](v.data), idx)
		default:
			for i, k := range idx {
				if k >= 0 {
					copy(out.data[i*w:(i+1)*w], v.data[int(k)*w:(int(k)+1)*w])
				}
			}
		}
	}
	return out
}
