package types

import (
	"slices"

	"github.com/feastgo/feast/feasterr"
)

// Frame is what a transformation reads: a column for each of its inputs, in their order, all of equal length. Columns may
// be shared with whoever made the frame: a transformation must not write to them, nor keep them after it has returned. The
// zero Frame is ready for [Frame.Reset].
type Frame struct {
	rows  int
	names []string
	cols  []*Column
}

// Reset empties the frame, for columns of the given length. Memory is kept.
func (f *Frame) Reset(rows int) {
	clear(f.names)
	clear(f.cols)
	f.rows, f.names, f.cols = rows, f.names[:0], f.cols[:0]
}

// Append adds a column of the frame's length under a name of its own. The frame keeps the column.
func (f *Frame) Append(name string, c *Column) {
	f.names, f.cols = append(f.names, name), append(f.cols, c)
}

// Rows returns the number of rows.
func (f *Frame) Rows() int { return f.rows }

// Len returns the number of columns.
func (f *Frame) Len() int { return len(f.cols) }

// At returns column i, that of the transformation's input i. It panics when there is none.
func (f *Frame) At(i int) *Column { return f.cols[i] }

// Name returns the name of column i as the transformation calls it, which need not be that of the column itself.
func (f *Frame) Name(i int) string { return f.names[i] }

// Column returns a column by its name in the frame; an unknown one is a [*feasterr.NotFoundError].
func (f *Frame) Column(name string) (*Column, error) {
	if i := slices.Index(f.names, name); i >= 0 {
		return f.cols[i], nil
	}
	return nil, &feasterr.NotFoundError{Kind: "input", Name: name, Near: feasterr.Near(name, slices.Values(f.names))}
}

// Builder is where a transformation writes: a column for each of its outputs, in their order, with a row for each row of
// its [Frame]. A cell that is not set is null, as is a NaN. The zero Builder is ready for [Builder.Reset].
type Builder struct{ block Block }

// Reset shapes the builder as empty columns. Nothing is allocated when it was as large before. The builder keeps fields,
// which must never change.
func (b *Builder) Reset(fields []Field, rows int) { b.block.Reset(fields, rows) }

// Rows returns the number of rows.
func (b *Builder) Rows() int { return b.block.Rows() }

// Len returns the number of columns.
func (b *Builder) Len() int { return len(b.block.cols) }

// At returns column i, that of the transformation's output i, to set its cells. It panics when there is none.
func (b *Builder) At(i int) *Column { return &b.block.cols[i] }

// Column returns a column by name; an unknown one is a [*feasterr.NotFoundError].
func (b *Builder) Column(name string) (*Column, error) {
	for i := range b.block.cols {
		if c := &b.block.cols[i]; c.Name() == name {
			return c, nil
		}
	}
	names := func(yield func(string) bool) {
		for _, f := range b.block.fields {
			if !yield(f.Name) {
				return
			}
		}
	}
	return nil, &feasterr.NotFoundError{Kind: "output", Name: name, Near: feasterr.Near(name, names)}
}

// Finish settles what was written: cells with a value are [Present], all others, and NaNs, [NullValue] without one.
func (b *Builder) Finish() {
	for i := range b.block.cols {
		c := &b.block.cols[i]
		switch c.store {
		case storeFloat64:
			clearNaN(c, c.f64())
		case storeFloat32:
			clearNaN(c, c.f32())
		}
		for row, s := range c.states() {
			switch {
			case s == byte(Present):
			case has(s):
				c.SetStatus(row, Present)
			default:
				c.Clear(row, NullValue)
			}
		}
	}
}

func clearNaN[T float32 | float64](c *Column, values []T) {
	for row, v := range values {
		if v != v {
			c.Clear(row, NullValue)
		}
	}
}
