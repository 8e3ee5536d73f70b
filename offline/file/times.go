package file

import (
	"context"
	"encoding/binary"
	"errors"
	"math"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/feasterr"
)

// noTime is a null among times: before all others.
const noTime = math.MinInt64

// timeColumn finds a column of times and the finest unit that a file has it in. The role is what it is to the source.
func (t *table) timeColumn(role, name string) (*column, int64, error) {
	c, err := t.column(name, true)
	if missing, ok := errors.AsType[*feasterr.NotFoundError](err); ok {
		missing.Kind = role
	}
	if err != nil {
		return nil, 0, err
	}
	unit := second
	for _, f := range t.files {
		p := c.in[f]
		switch {
		case p.shape == nil || p.shape.flat() && !p.shape.leaf.clock.isTime() && p.shape.leaf.form != formNull || !p.shape.flat():
			own := arrow.DataType(arrow.BinaryTypes.String)
			if p.shape != nil {
				own = p.shape.own
			}
			return nil, 0, inFile(f.path, &feasterr.TypeMismatchError{Column: name, Row: -1, Have: typeName(own), Want: "a timestamp or date"})
		case p.shape.leaf.form != formNull:
			unit = min(unit, p.shape.leaf.clock.unit)
		}
	}
	return c, unit, nil
}

// times reads wanted rows of a column of times as numbers of a unit, noTime for nulls. Coarser units are rounded down.
func (g *rowGroup) times(ctx context.Context, c *column, w wanted, unit int64, dst []int64) error {
	leaf := c.in[g.file].shape.leaf
	if leaf.form == formNull {
		for i := range dst {
			dst[i] = noTime
		}
		return ctx.Err()
	}
	v := &vector{leaf: leaf, n: len(dst), valid: make([]bool, len(dst))}
	direct := leaf.width == 8
	if v.data = bytesOf(dst); !direct {
		v.data = aligned(len(dst) * leaf.width)
	}
	f := filler{dst: v, leaf: leaf}
	if err := g.pages(ctx, c.in[g.file].shape.first, w, f.page); err != nil {
		return err
	}
	switch {
	case leaf.clock.int96:
		for i := range dst {
			dst[i] = int96Nanos(v.data[12*i:])
		}
	case !direct:
		for i, d := range valuesOf[int32](v.data) {
			dst[i] = int64(d) * leaf.clock.scale
		}
	}
	rescale(dst, leaf.clock.unit, unit)
	if v.nulls.Load() {
		for i, ok := range v.valid {
			if !ok {
				dst[i] = noTime
			}
		}
	}
	return nil
}

// bounds are the least and the greatest time of a row group, as its statistics say; ok is false when they say nothing.
func (g *rowGroup) bounds(c *column, unit int64) (low, high int64, ok bool) {
	p := c.in[g.file]
	if p.shape == nil || !p.shape.flat() || !p.shape.leaf.clock.isTime() {
		return 0, 0, false
	}
	low, high, ok = g.integers(p.shape)
	if !ok {
		return 0, 0, false
	}
	b := []int64{low, high}
	for i := range b {
		b[i] *= p.shape.leaf.clock.scale // of dates, which are small
	}
	rescale(b, p.shape.leaf.clock.unit, unit)
	return b[0], b[1], true
}

// integers are the least and the greatest value of a column of signed integers in a row group, as its statistics say.
func (g *rowGroup) integers(s *shape) (low, high int64, ok bool) {
	if s.leaf.form != formFixed || s.leaf.clock.int96 || s.leaf.width != 4 && s.leaf.width != 8 {
		return 0, 0, false
	}
	stats := g.meta(s.first).Statistics
	least, most := stats.MinValue, stats.MaxValue
	if len(least) == 0 || len(most) == 0 { // the older fields, which are right for signed numbers
		least, most = stats.Min, stats.Max
	}
	if len(least) != s.leaf.width || len(most) != s.leaf.width {
		return 0, 0, false
	}
	if s.leaf.width == 4 {
		return int64(int32(binary.LittleEndian.Uint32(least))), int64(int32(binary.LittleEndian.Uint32(most))), true
	}
	return int64(binary.LittleEndian.Uint64(least)), int64(binary.LittleEndian.Uint64(most)), true
}

// canHold reports whether the statistics allow that a row group has one of the values.
func (g *rowGroup) canHold(c *column, t *valueTable) bool {
	p := c.in[g.file]
	if p.part != nil {
		_, ok := t.texts[p.part.value]
		return ok && !p.part.null
	}
	switch p.shape.leaf.own.ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64:
		low, high, ok := g.integers(p.shape)
		return !ok || t.ints.n > 0 && low <= t.ints.max && high >= t.ints.min
	case arrow.STRING, arrow.BINARY:
		stats := g.meta(p.shape.first).Statistics
		return len(stats.MinValue) == 0 || len(stats.MaxValue) == 0 || len(t.texts) > 0 && string(stats.MinValue) <= t.high && string(stats.MaxValue) >= t.low
	}
	return true
}
