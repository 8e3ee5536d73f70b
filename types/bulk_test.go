package types

import (
	"math"
	"slices"
	"testing"
)

func TestSetRange(t *testing.T) {
	c := NewColumn("c", Int64, 5)
	SetRange(c, 1, []int64{7, math.MinInt64, 9})
	for row, want := range []any{nil, int64(7), int64(math.MinInt64), int64(9), nil} {
		if got := c.Any(row); got != want || c.Valid(row) != (want != nil) {
			t.Errorf("row %d: %v %s, want %v", row, got, c.Status(row), want)
		}
	}
	at := NewColumn("at", UnixTimestamp, 2)
	SetRange(at, 0, []int64{5, NullUnixTimestamp})
	if at.Status(0) != Present || at.Status(1) != NullValue || at.HasValue(1) {
		t.Errorf("statuses %s, %s", at.Status(0), at.Status(1))
	}
	b := NewColumn("b", Bool, 2)
	SetRange(b, 0, []bool{true})
	SetRange[bool](b, 1, nil)
	if b.Any(0) != true || b.Status(1) != NotFound {
		t.Errorf("%v, %s", b.Any(0), b.Status(1))
	}
}

func TestBitmap(t *testing.T) {
	c := NewColumn("c", Int32, 11)
	for _, row := range []int{0, 2, 8, 10} {
		c.SetInt32(row, 1)
	}
	c.SetStatus(2, OutsideMaxAge) // its value is there
	c.Clear(3, NullValue)
	c.Clear(10, OutsideMaxAge)
	bits := make([]byte, 2)
	if missing := c.Bitmap(bits); missing != 8 || !slices.Equal(bits, []byte{0b101, 0b1}) {
		t.Errorf("%08b, %d missing", bits, missing)
	}
	for row := range c.Len() {
		if c.HasValue(row) != (bits[row/8]>>(row%8)&1 == 1) {
			t.Errorf("row %d: HasValue is %t", row, c.HasValue(row))
		}
	}
}
