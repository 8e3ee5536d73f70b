package file

import (
	"context"
	"math"

	"github.com/parquet-go/parquet-go"

	"github.com/feastgo/feast/feasterr"
)

// scanRows is about how many rows a task reads at a time.
var scanRows = 1 << 17

// batchCells bounds the values of a batch of results, so that wide tables come in shorter ones.
const batchCells = 1 << 21

// rowsOfWidth is how many rows of that many columns a task reads at a time.
func rowsOfWidth(columns int) int {
	const least = 1 << 14 // a page is decoded as a whole, and should not be for a few rows
	return min(scanRows, max(least, batchCells/max(columns, 1)))
}

// stretchOf is a part of a row group that one task reads.
type stretchOf struct {
	group *rowGroup
	rows  wanted
}

// window is the times, both included, that a scan wants of a column of times; the zero window wants all.
type window struct{ low, high, unit int64 }

func (w window) outside(low, high int64) bool { return w.unit != 0 && (low > w.high || high < w.low) }

// stretches divides row groups, between pages of a column, into parts that fit well in the caches, and leaves out the row
// groups and pages that have no time in the window, as their statistics say. Parts have about so many rows.
func stretches(ctx context.Context, groups []*rowGroup, c *column, w window, rows int) ([]stretchOf, error) {
	var out []stretchOf
	for _, g := range groups {
		if g.rows > math.MaxInt32 {
			return nil, inFile(g.file.path, feasterr.Unsupported("a row group of %d rows", g.rows))
		}
		if w.unit != 0 {
			if low, high, ok := g.bounds(c, w.unit); ok && w.outside(low, high) {
				continue
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		parts, err := g.stretches(c, w, rows)
		if err != nil {
			return nil, inFile(g.file.path, err)
		}
		out = append(out, parts...)
	}
	return out, nil
}

func (g *rowGroup) stretches(c *column, w window, rows int) (out []stretchOf, err error) {
	defer recovered(g.file.path, &err)
	from := 0
	add := func(to int) {
		if from < to {
			out = append(out, stretchOf{g, allRows(from, to)})
		}
		from = to
	}
	p := c.in[g.file]
	if p.shape == nil || !p.shape.flat() || p.shape.leaf.form == formNull {
		add(int(g.rows))
		return out, nil
	}
	index := g.pageTimes(p.shape, w)
	if g.rows <= int64(rows) && index == nil {
		add(int(g.rows))
		return out, nil
	}
	l, err := g.layout(p.shape.first)
	if err != nil {
		return nil, err
	}
	if len(index) != len(l.pages) {
		index = nil // it is about other pages
	}
	for i, p := range l.pages {
		if index != nil && w.outside(index[i].low, index[i].high) {
			add(int(p.first))
			from = int(p.first + p.rows)
		} else if to := int(p.first + p.rows); to-from >= rows*3/4 {
			add(to)
		}
	}
	add(int(g.rows))
	return out, nil
}

// pageTimes are the least and the greatest time of each page of a column, if the file has an index that says so and there is
// a window to compare them with.
func (g *rowGroup) pageTimes(s *shape, w window) []struct{ low, high int64 } {
	chunk, ok := g.chunks[s.first].(*parquet.FileColumnChunk)
	if w.unit == 0 || !ok || g.index > math.MaxInt16 || // of more row groups the library finds no index
		!s.leaf.clock.isTime() || s.leaf.clock.int96 || g.file.meta.RowGroups[g.index].Columns[s.first].ColumnIndexOffset == 0 {
		return nil
	}
	index, err := chunk.ColumnIndex()
	if err != nil {
		return nil
	}
	times := make([]struct{ low, high int64 }, index.NumPages())
	for i := range times {
		if index.NullPage(i) {
			times[i].low, times[i].high = math.MaxInt64, math.MinInt64
			continue
		}
		b := []int64{valueOf(index.MinValue(i)), valueOf(index.MaxValue(i))}
		b[0], b[1] = b[0]*s.leaf.clock.scale, b[1]*s.leaf.clock.scale
		rescale(b, s.leaf.clock.unit, w.unit)
		times[i].low, times[i].high = b[0], b[1]
	}
	return times
}

func valueOf(v parquet.Value) int64 {
	if v.Kind() == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}
