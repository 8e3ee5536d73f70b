package types

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
)

func TestFrame(t *testing.T) {
	var f Frame
	a, b := NewColumn("a", Int64, 2), NewColumn("a", Float32, 2)
	for range 2 { // reused
		f.Reset(2)
		f.Append("x__a", a)
		f.Append("y__a", b)
	}
	if f.Rows() != 2 || f.Len() != 2 || f.At(1) != b || f.Name(1) != "y__a" {
		t.Errorf("frame is %+v", f)
	}
	if c, err := f.Column("y__a"); c != b || err != nil {
		t.Errorf("y__a is %v, %v", c, err)
	}
	_, err := f.Column("y_a")
	if nf, ok := errors.AsType[*feasterr.NotFoundError](err); !ok || len(nf.Near) == 0 || nf.Near[0] != "y__a" {
		t.Errorf("y_a: %v", err)
	}
}

// TestBuilder settles cells of every kind of state.
func TestBuilder(t *testing.T) {
	fields := []Field{{"d", Float64}, {"f", Float32}, {"i", Int64}, {"s", String}}
	var b Builder
	for range 2 {
		b.Reset(fields, 3)
		b.At(0).SetFloat64(0, math.NaN())
		b.At(0).SetFloat64(2, 1.5)
		b.At(1).SetFloat32(0, float32(math.NaN()))
		b.At(1).SetFloat32(2, float32(math.Inf(1)))
		b.At(2).SetInt64(0, 7)
		b.At(2).SetStatus(0, OutsideMaxAge)
		b.At(2).Clear(1, OutsideMaxAge)
		s, err := b.Column("s")
		if err != nil || s != b.At(3) {
			t.Fatal(err)
		}
		if err := s.SetString(1, "x"); err != nil {
			t.Fatal(err)
		}
		b.Finish()
	}
	want := [][]any{{nil, nil, 1.5}, {nil, nil, float32(math.Inf(1))}, {int64(7), nil, nil}, {nil, "x", nil}}
	for i, cells := range want {
		for row, v := range cells {
			status := Present
			if v == nil {
				status = NullValue
			}
			if c := b.At(i); c.Any(row) != v || c.Status(row) != status || len(c.AppendValue(nil, row)) == 0 != (v == nil) {
				t.Errorf("%s row %d is %v %v, want %v", c.Name(), row, c.Any(row), c.Status(row), v)
			}
		}
	}
	if b.Rows() != 3 || b.Len() != 4 {
		t.Errorf("%d rows, %d columns", b.Rows(), b.Len())
	}
	_, err := b.Column("ss")
	if nf, ok := errors.AsType[*feasterr.NotFoundError](err); !ok || nf.Kind != "output" {
		t.Errorf("ss: %v", err)
	}
	if n := testing.AllocsPerRun(10, func() {
		b.Reset(fields, 3)
		b.At(0).SetFloat64(0, 1)
		b.Finish()
	}); n != 0 {
		t.Errorf("a builder that is used again allocates %v times", n)
	}
}

// TestWrongSetters sets cells of other types, which must not reach beyond the column's memory.
func TestWrongSetters(t *testing.T) {
	set := map[string]struct {
		fits []Type
		set  func(c *Column)
	}{
		"SetInt64":   {[]Type{Int64, UnixTimestamp}, func(c *Column) { c.SetInt64(0, 1) }},
		"SetTime":    {[]Type{Int64, UnixTimestamp}, func(c *Column) { c.SetTime(0, time.Unix(1, 0)) }},
		"SetInt32":   {[]Type{Int32}, func(c *Column) { c.SetInt32(0, 1) }},
		"SetFloat64": {[]Type{Float64}, func(c *Column) { c.SetFloat64(0, 1) }},
		"SetFloat32": {[]Type{Float32}, func(c *Column) { c.SetFloat32(0, 1) }},
		"SetBool":    {[]Type{Bool}, func(c *Column) { c.SetBool(0, true) }},
		"SetString":  {[]Type{String, Bytes, JSON}, func(c *Column) { _ = c.SetString(0, "x") }},
		"SetBytes":   {[]Type{String, Bytes, JSON}, func(c *Column) { _ = c.SetBytes(0, []byte("x")) }},
		"CopyFrom":   {[]Type{Int64}, func(c *Column) { _ = c.CopyFrom(NewColumn("", Int64, 1), 0) }},
	}
	for name, s := range set {
		for _, typ := range []Type{Int64, UnixTimestamp, Int32, Float64, Float32, Bool, String, Bytes, JSON, Int64List, Map} {
			fits := false
			for _, f := range s.fits {
				fits = fits || f == typ
			}
			if panics(func() { s.set(NewColumn("c", typ, 1)) }) == fits {
				t.Errorf("%s of a %s column: panics %t", name, typ, !fits)
			}
		}
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

func TestSetTime(t *testing.T) {
	c := NewColumn("at", UnixTimestamp, 2)
	c.SetTime(0, time.Unix(5, 999))
	c.SetTime(1, time.Unix(-5, 999))
	if c.Any(0) != int64(5) || c.Any(1) != int64(-4) { // cut toward zero
		t.Errorf("times are %v, %v", c.Any(0), c.Any(1))
	}
}

func TestValueAt(t *testing.T) {
	f := NewColumn("f", Float32, 3)
	f.SetFloat32(0, 0.5)
	f.Clear(1, NullValue)
	if v, ok := ValueAt[float64](f, 0); v != 0.5 || !ok {
		t.Errorf("a float32 as float64: %v, %t", v, ok)
	}
	if v, ok := ValueAt[float32](f, 0); v != 0.5 || !ok {
		t.Errorf("a float32: %v, %t", v, ok)
	}
	if _, ok := ValueAt[int64](f, 0); ok {
		t.Error("a float32 is an int64")
	}
	for row := 1; row < 3; row++ {
		if _, ok := ValueAt[float32](f, row); ok {
			t.Errorf("row %d has a value", row)
		}
	}
	// A double stored in a column of floats.
	if err := f.SetValue(2, []byte{0x29, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f}); err != nil {
		t.Fatal(err)
	}
	if v, ok := ValueAt[float64](f, 2); v != 1.5 || !ok {
		t.Errorf("a stored double: %v, %t", v, ok)
	}
	if _, ok := ValueAt[float32](f, 2); ok {
		t.Error("a stored double is a float32")
	}
	s := NewColumn("s", String, 1)
	if err := s.SetString(0, "text"); err != nil {
		t.Fatal(err)
	}
	if v, ok := ValueAt[string](s, 0); v != "text" || !ok {
		t.Errorf("text: %q, %t", v, ok)
	}
	if n := testing.AllocsPerRun(20, func() {
		_, _ = ValueAt[float64](f, 0)
		_, _ = ValueAt[[]byte](s, 0)
	}); n != 0 {
		t.Errorf("ValueAt allocates %v times", n)
	}
}
