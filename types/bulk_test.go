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

func TestSetTexts(t *testing.T) {
	c := NewColumn("c", String, 4)
	if !SetTexts(c, 1, []byte("aéb"), []int32{5, 6, 6, 9}) { // offsets need not begin at 0
		t.Fatal("refused")
	}
	for row, want := range []any{nil, "a", "", "éb"} {
		if got := c.Any(row); got != want {
			t.Errorf("row %d is %v, want %v", row, got, want)
		}
	}
	for _, offsets := range [][]int64{{0, 2, 4}, {0, 1, 2}} { // in the middle of é; and text that is not UTF-8
		data := []byte("aéb")
		if offsets[1] == 1 {
			data = []byte("a\xff")
		}
		d := NewColumn("d", String, 2)
		if SetTexts(d, 0, data, offsets) || d.Status(0) != NotFound || len(d.rest.arena) > 0 {
			t.Errorf("%q at %v was taken", data, offsets)
		}
	}
	b := NewColumn("b", Bytes, 1)
	if !SetTexts(b, 0, []byte{0xff}, []int64{0, 1}) || string(b.Bytes(0)) != "\xff" {
		t.Errorf("bytes are %q", b.Bytes(0))
	}
}

func TestEachElement(t *testing.T) {
	c := NewColumn("c", StringList, 3)
	if err := SetList(c, 0, []string{"a", "", "bc"}); err != nil {
		t.Fatal(err)
	}
	c.Clear(1, NullValue)
	if err := c.SetValue(2, []byte{2<<3 | wireBytes, 1, 'x'}); err != nil { // text in a column of lists
		t.Fatal(err)
	}
	var got []string
	for row := range 3 {
		c.EachElement(row, func(b []byte) { got = append(got, string(b)) })
	}
	if !slices.Equal(got, []string{"a", "", "bc"}) {
		t.Errorf("%q", got)
	}
	n := NewColumn("n", Int64List, 1)
	_ = SetList(n, 0, []int64{1})
	n.EachElement(0, func([]byte) { t.Error("a number was taken for text") })
}
