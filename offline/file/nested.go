package file

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"github.com/feastgo/feast/feasterr"
)

// Lists, structs and maps go row by row: each leaf yields its values of the row with their levels, and assemble puts them
// together, as Google's Dremel paper describes.

// whole makes an Arrow array of a vector.
func (v *vector) whole() (arrow.Array, error) {
	if v.leaf.form != formNull || len(v.nested) == 0 {
		return v.array()
	}
	if len(v.nested) == 1 && v.nested[0].values.Len() == v.n { // as a batch of a scan has it
		v.nested[0].values.Retain()
		return v.nested[0].values, nil
	}
	idx := make([]int32, v.n)
	for i := range idx {
		idx[i] = int32(i)
	}
	return v.takeNested(idx)
}

// takeNested returns the values at idx as an Arrow array, nulls where it is negative.
func (v *vector) takeNested(idx []int32) (arrow.Array, error) {
	b := array.NewBuilder(memory.DefaultAllocator, v.typ)
	defer b.Release()
	for _, k := range idx {
		i, ok := slices.BinarySearchFunc(v.nested, int(k), func(s stretch, k int) int { return cmp.Compare(s.at, k) })
		if !ok {
			i--
		}
		if k < 0 || i < 0 || int(k) >= v.nested[i].at+v.nested[i].values.Len() {
			b.AppendNull()
			continue
		}
		if err := copyValue(b, v.nested[i].values, int(k)-v.nested[i].at); err != nil {
			return nil, err
		}
	}
	return b.NewArray(), nil
}

// put adds values of a column that is not flat, in their place.
func (v *vector) put(at int, values arrow.Array) {
	v.mu.Lock()
	defer v.mu.Unlock()
	i, _ := slices.BinarySearchFunc(v.nested, at, func(s stretch, at int) int { return cmp.Compare(s.at, at) })
	v.nested = slices.Insert(v.nested, i, stretch{at: at, values: values})
}

// leafRows reads the values of a leaf, a row at a time.
type leafRows struct {
	pages   parquet.Pages
	page    parquet.Page
	values  parquet.ValueReader
	buf     []parquet.Value
	n, next int
	row     []parquet.Value
}

// fillNested reads wanted rows of a column that is not flat.
func (g *rowGroup) fillNested(ctx context.Context, c *column, s *shape, w wanted, dst *vector, at int) error {
	if s.simpleList() {
		return g.fillList(ctx, c, s, w, dst, at)
	}
	leaves := make([]*leafRows, s.leaves)
	defer func() {
		for _, l := range leaves {
			if l != nil {
				l.close()
			}
		}
	}()
	for i := range leaves {
		if err := g.readable(s.first + i); err != nil {
			return err
		}
		leaves[i] = &leafRows{pages: g.chunks[s.first+i].Pages(), buf: make([]parquet.Value, 1024)}
		if w.lo > 0 {
			if _, err := g.chunks[s.first+i].OffsetIndex(); err != nil && !errors.Is(err, parquet.ErrMissingOffsetIndex) {
				return malformed(err)
			}
			if err := leaves[i].pages.SeekToRow(int64(w.lo)); err != nil {
				return malformed(err)
			}
		}
	}
	b := array.NewBuilder(memory.DefaultAllocator, c.typ)
	defer b.Release()
	b.Reserve(w.len())
	rows := make([][]parquet.Value, len(leaves))
	for k, row := 0, w.lo; k < w.len(); row++ {
		if row%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		for i, l := range leaves {
			var err error
			if rows[i], err = l.nextRow(); err != nil {
				return malformed(err)
			}
		}
		if w.some && int(w.rows[k]) != row {
			continue
		}
		if err := s.assemble(b, rows); err != nil {
			return err
		}
		k++
	}
	values := b.NewArray()
	dst.put(at, values)
	return nil
}

func (l *leafRows) close() {
	if l.page != nil {
		parquet.Release(l.page)
	}
	_ = l.pages.Close()
}

// nextRow returns the values of the next row, which are valid until the next call.
func (l *leafRows) nextRow() ([]parquet.Value, error) {
	l.row = l.row[:0]
	for {
		if l.next == l.n {
			if err := l.read(); errors.Is(err, io.EOF) && len(l.row) > 0 {
				return l.row, nil
			} else if errors.Is(err, io.EOF) {
				return nil, io.ErrUnexpectedEOF
			} else if err != nil {
				return nil, err
			}
		}
		v := l.buf[l.next]
		if len(l.row) > 0 && v.RepetitionLevel() == 0 {
			return l.row, nil
		}
		l.row = append(l.row, v)
		l.next++
	}
}

func (l *leafRows) read() error {
	for {
		if l.values == nil {
			p, err := l.pages.ReadPage()
			if err != nil {
				return err
			}
			if l.page != nil {
				for i, v := range l.row { // their bytes are the page's
					l.row[i] = v.Clone()
				}
				parquet.Release(l.page)
			}
			l.page, l.values = p, p.Values()
		}
		n, err := l.values.ReadValues(l.buf)
		if l.n, l.next = n, 0; err != nil {
			l.values = nil
			if !errors.Is(err, io.EOF) {
				return err
			}
		}
		if n > 0 {
			return nil
		}
	}
}

// assemble appends the value that the values of the leaves below s make.
func (s *shape) assemble(b array.Builder, rows [][]parquet.Value) error {
	if len(rows[0]) == 0 {
		return feasterr.Invalid("the file is damaged: the levels of a column do not fit together")
	}
	level := rows[0][0].DefinitionLevel()
	if level < s.def {
		b.AppendNull()
		return nil
	}
	switch s.kind {
	case kindLeaf:
		return appendLeaf(b, s.leaf, rows[0][0])
	case kindStruct:
		sb := b.(*array.StructBuilder)
		sb.Append(true)
		at := 0
		for i, c := range s.children {
			if err := c.assemble(sb.FieldBuilder(i), rows[at:at+c.leaves]); err != nil {
				return err
			}
			at += c.leaves
		}
		return nil
	}
	item := func(rows [][]parquet.Value) error { return nil }
	switch b := b.(type) {
	case *array.MapBuilder:
		b.Append(true)
		item = func(rows [][]parquet.Value) error {
			key, value := s.children[0], s.children[1]
			if err := key.assemble(b.KeyBuilder(), rows[:key.leaves]); err != nil {
				return err
			}
			return value.assemble(b.ItemBuilder(), rows[key.leaves:])
		}
	case *array.ListBuilder:
		b.Append(true)
		item = func(rows [][]parquet.Value) error { return s.children[0].assemble(b.ValueBuilder(), rows) }
	}
	if level < s.element {
		return nil // empty
	}
	rest := slices.Clone(rows)
	one := make([][]parquet.Value, len(rows))
	for len(rest[0]) > 0 {
		for i, values := range rest {
			n := 1
			for n < len(values) && values[n].RepetitionLevel() > s.rep {
				n++
			}
			if len(values) == 0 {
				return feasterr.Invalid("the file is damaged: the lists of a column are of different lengths")
			}
			one[i], rest[i] = values[:n], values[n:]
		}
		if err := item(one); err != nil {
			return err
		}
	}
	return nil
}

// appendLeaf appends one value of a leaf, as results have it.
func appendLeaf(b array.Builder, t leafType, v parquet.Value) error {
	switch b := b.(type) {
	case *array.NullBuilder:
		b.AppendNull()
	case *array.BooleanBuilder:
		b.Append(v.Boolean())
	case *array.Int8Builder:
		b.Append(int8(v.Int32()))
	case *array.Int16Builder:
		b.Append(int16(v.Int32()))
	case *array.Int32Builder:
		b.Append(v.Int32())
	case *array.Int64Builder:
		b.Append(v.Int64())
	case *array.Uint8Builder:
		b.Append(uint8(v.Int32()))
	case *array.Uint16Builder:
		b.Append(uint16(v.Int32()))
	case *array.Uint32Builder:
		b.Append(uint32(v.Int32()))
	case *array.Uint64Builder:
		b.Append(uint64(v.Int64()))
	case *array.Float16Builder:
		b.Append(float16.FromBits(binary.LittleEndian.Uint16(v.ByteArray())))
	case *array.Float32Builder:
		b.Append(v.Float())
	case *array.Float64Builder:
		b.Append(v.Double())
	case *array.StringBuilder:
		b.Append(string(v.ByteArray()))
	case *array.BinaryBuilder:
		b.Append(v.ByteArray())
	case *array.FixedSizeBinaryBuilder:
		b.Append(v.ByteArray())
	case *array.Date32Builder:
		b.Append(arrow.Date32(v.Int32()))
	case *array.Time32Builder:
		b.Append(arrow.Time32(v.Int32()))
	case *array.Time64Builder:
		b.Append(arrow.Time64(v.Int64()))
	case *array.DurationBuilder:
		b.Append(arrow.Duration(v.Int64()))
	case *array.TimestampBuilder:
		unit := int64(b.Type().(*arrow.TimestampType).Unit.Multiplier())
		if t.clock.int96 {
			x := v.Int96()
			raw := binary.LittleEndian.AppendUint32(nil, x[0])
			raw = binary.LittleEndian.AppendUint32(raw, x[1])
			raw = binary.LittleEndian.AppendUint32(raw, x[2])
			if unit == nanosecond {
				b.Append(arrow.Timestamp(int96Nanos(raw)))
			} else {
				b.Append(arrow.Timestamp(int96Micros(raw)))
			}
			break
		}
		one := []int64{v.Int64()}
		rescale(one, t.clock.unit, unit)
		b.Append(arrow.Timestamp(one[0]))
	case *array.Decimal128Builder, *array.Decimal256Builder:
		var le [32]byte
		switch v.Kind() {
		case parquet.Int32:
			binary.LittleEndian.PutUint64(le[:], uint64(v.Int32()))
			fillSign(le[8:], v.Int32() < 0)
		case parquet.Int64:
			binary.LittleEndian.PutUint64(le[:], uint64(v.Int64()))
			fillSign(le[8:], v.Int64() < 0)
		default:
			if err := decimalBytes(le[:], v.ByteArray()); err != nil {
				return err
			}
		}
		w := func(i int) uint64 { return binary.LittleEndian.Uint64(le[8*i:]) }
		if b, ok := b.(*array.Decimal256Builder); ok {
			b.Append(decimal256.New(w(3), w(2), w(1), w(0)))
			break
		}
		b.(*array.Decimal128Builder).Append(decimal128.New(int64(w(1)), w(0)))
	default:
		return feasterr.Unsupported("values of type %s inside of others", typeName(b.Type()))
	}
	return nil
}

// copyValue appends value i of an array of the builder's type.
func copyValue(b array.Builder, a arrow.Array, i int) error {
	if isNull(a, i) {
		b.AppendNull()
		return nil
	}
	switch a := a.(type) {
	case *array.Struct:
		sb := b.(*array.StructBuilder)
		sb.Append(true)
		for f := range a.NumField() {
			if err := copyValue(sb.FieldBuilder(f), a.Field(f), i); err != nil {
				return err
			}
		}
	case *array.Map:
		mb := b.(*array.MapBuilder)
		mb.Append(true)
		from, to := a.ValueOffsets(i)
		for k := from; k < to; k++ {
			if err := errors.Join(copyValue(mb.KeyBuilder(), a.Keys(), int(k)), copyValue(mb.ItemBuilder(), a.Items(), int(k))); err != nil {
				return err
			}
		}
	case *array.List:
		lb := b.(*array.ListBuilder)
		lb.Append(true)
		from, to := a.ValueOffsets(i)
		for k := from; k < to; k++ {
			if err := copyValue(lb.ValueBuilder(), a.ListValues(), int(k)); err != nil {
				return err
			}
		}
	case *array.Boolean:
		b.(*array.BooleanBuilder).Append(a.Value(i))
	case *array.String:
		b.(*array.StringBuilder).Append(a.Value(i))
	case *array.Binary:
		b.(*array.BinaryBuilder).Append(a.Value(i))
	case *array.FixedSizeBinary:
		b.(*array.FixedSizeBinaryBuilder).Append(a.Value(i))
	case *array.Int8:
		b.(*array.Int8Builder).Append(a.Value(i))
	case *array.Int16:
		b.(*array.Int16Builder).Append(a.Value(i))
	case *array.Int32:
		b.(*array.Int32Builder).Append(a.Value(i))
	case *array.Int64:
		b.(*array.Int64Builder).Append(a.Value(i))
	case *array.Uint8:
		b.(*array.Uint8Builder).Append(a.Value(i))
	case *array.Uint16:
		b.(*array.Uint16Builder).Append(a.Value(i))
	case *array.Uint32:
		b.(*array.Uint32Builder).Append(a.Value(i))
	case *array.Uint64:
		b.(*array.Uint64Builder).Append(a.Value(i))
	case *array.Float16:
		b.(*array.Float16Builder).Append(a.Value(i))
	case *array.Float32:
		b.(*array.Float32Builder).Append(a.Value(i))
	case *array.Float64:
		b.(*array.Float64Builder).Append(a.Value(i))
	case *array.Date32:
		b.(*array.Date32Builder).Append(a.Value(i))
	case *array.Time32:
		b.(*array.Time32Builder).Append(a.Value(i))
	case *array.Time64:
		b.(*array.Time64Builder).Append(a.Value(i))
	case *array.Duration:
		b.(*array.DurationBuilder).Append(a.Value(i))
	case *array.Timestamp:
		b.(*array.TimestampBuilder).Append(a.Value(i))
	case *array.Decimal128:
		b.(*array.Decimal128Builder).Append(a.Value(i))
	case *array.Decimal256:
		b.(*array.Decimal256Builder).Append(a.Value(i))
	default:
		return feasterr.Unsupported("values of type %s inside of others", typeName(a.DataType()))
	}
	return nil
}
