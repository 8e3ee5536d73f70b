package types

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/feastgo/feast/feasterr"
)

// imageBlock has a column of every type with every kind of cell, one a row: unset, a null, a value, a value of another
// type, a null of another type, a value that is too old, one that was cleared, and every recorded value in turn.
func imageBlock(t testing.TB) *Block {
	var recorded [][]byte
	for _, g := range goldenValues(t) {
		value, err := hex.DecodeString(g.Hex)
		if err != nil {
			t.Fatal(err)
		}
		recorded = append(recorded, value)
	}
	var fields []Field
	for _, typ := range everyType() {
		fields = append(fields, Field{typ.String(), typ})
	}
	b := new(Block)
	b.Reset(fields, 8+len(recorded))
	for i := range b.cols {
		c := &b.cols[i]
		own := []byte(nil)
		for _, g := range recorded {
			if parseValue(g).typ == c.typ.member() {
				own = g
			}
		}
		set := func(row int, value []byte) {
			if err := c.SetValue(row, value); err != nil {
				t.Fatalf("%s, row %d: %v", c.typ, row, err)
			}
		}
		other := stored(String, "odd")
		if c.typ == String {
			other = stored(Int64, 5)
		}
		set(1, nil)
		set(2, own)
		set(3, other)
		if c.typ.member() == Null {
			set(4, other)
		} else {
			set(4, append(appendKey(nil, Null), 0))
		}
		set(5, own)
		c.SetStatus(5, OutsideMaxAge)
		set(6, own)
		c.Clear(6, OutsideMaxAge)
		set(7, stored(UnixTimestamp, int64(NullUnixTimestamp)))
		for k, g := range recorded {
			set(8+k, g)
		}
	}
	return b
}

func TestImage(t *testing.T) {
	from := imageBlock(t)
	rows := from.Rows()
	var to Block
	to.Reset(from.fields, rows)
	describe := func(b *Block, column, row int) string {
		c := &b.cols[column]
		return fmt.Sprintf("%s %x %v %x", c.Status(row), c.AppendValue(nil, row), reflect.ValueOf(c.Any(row)), c.Bytes(row))
	}
	for row := range rows {
		image := AppendImage([]byte("before"), from.cols, row)[len("before"):]
		at := rows - 1 - row
		if row%2 == 0 { // whatever is there before
			if err := PutImage(to.cols, at, AppendImage(nil, from.cols, 2)); err != nil {
				t.Fatal(err)
			}
		}
		own := bytes.Clone(image)
		if err := PutImage(to.cols, at, own); err != nil {
			t.Fatalf("row %d: %v", row, err)
		}
		clear(own)
		for i := range from.cols {
			if got, want := describe(&to, i, at), describe(from, i, row); got != want {
				t.Errorf("%s, row %d: got %s, want %s", from.cols[i].typ, row, got, want)
			}
		}
		if again := AppendImage(nil, to.cols, at); !bytes.Equal(again, image) {
			t.Errorf("row %d: the image of what an image gave is another", row)
		}
	}
	image := AppendImage(nil, from.cols, 2)
	for n := range image {
		if err := PutImage(to.cols, 0, image[:n]); !errors.Is(err, feasterr.ErrInvalid) {
			t.Fatalf("%d of %d bytes: error %v", n, len(image), err)
		}
	}
	if err := PutImage(to.cols, 0, append(image, 0)); !errors.Is(err, feasterr.ErrInvalid) {
		t.Errorf("a byte too many: error %v", err)
	}
}

func TestImageAllocations(t *testing.T) {
	from := imageBlock(t)
	image := AppendImage(nil, from.cols, 2)
	var to Block
	if n := testing.AllocsPerRun(20, func() {
		to.Reset(from.fields, 4)
		for row := range 4 {
			if err := PutImage(to.cols, row, image); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("putting: %v allocations, want 0", n)
	}
	if n := testing.AllocsPerRun(20, func() { image = AppendImage(image[:0], from.cols, 2) }); n != 0 {
		t.Errorf("making: %v allocations, want 0", n)
	}
}

// BenchmarkImage puts a row of 50 int64 features back.
func BenchmarkImage(b *testing.B) {
	var fields []Field
	for i := range 50 {
		fields = append(fields, Field{fmt.Sprint("f", i), Int64})
	}
	var block Block
	block.Reset(fields, 1)
	for i := range block.cols {
		if err := block.cols[i].SetValue(0, stored(Int64, int64(i)<<40)); err != nil {
			b.Fatal(err)
		}
	}
	image := AppendImage(nil, block.cols, 0)
	values := make([][]byte, len(fields))
	for i := range values {
		values[i] = block.cols[i].AppendValue(nil, 0)
	}
	b.Run("image", func(b *testing.B) {
		for b.Loop() {
			if err := PutImage(block.cols, 0, image); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("values", func(b *testing.B) {
		for b.Loop() {
			for i := range block.cols {
				if err := block.cols[i].SetValue(0, values[i]); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
