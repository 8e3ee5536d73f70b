package types

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

const benchRows = 250

// benchValues returns the serialized Values of benchRows random values of type t.
func benchValues(t Type) [][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	out := make([][]byte, benchRows)
	for i := range out {
		b := appendKey(nil, t)
		switch t {
		case Int64:
			b = binary.AppendUvarint(b, rnd.Uint64()>>2)
		case Float32:
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(rnd.Float32()))
		case String:
			b = append(b, 12)
			b = append(b, "customer-123"...)
		case Float32List:
			b = append(b, 66, 1<<3|wireBytes, 64)
			for range 16 {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(rnd.Float32()))
			}
		}
		out[i] = b
	}
	return out
}

// benchColumns returns a block of one column with benchRows rows, or of benchRows columns with one row.
func benchColumns(t Type, columnWise bool) *Block {
	var b Block
	if columnWise {
		b.Reset([]Field{{"f", t}}, benchRows)
		return &b
	}
	fields := make([]Field, benchRows)
	for i := range fields {
		fields[i] = Field{"f", t}
	}
	b.Reset(fields, 1)
	return &b
}

// BenchmarkDecodeInt64 decodes 250 stored int64 values of 62 random bits: as one column, and as one row of 250 columns.
// Compare with BenchmarkDecodeInt64Floor.
func BenchmarkDecodeInt64(b *testing.B) { benchDecode(b, Int64) }

// BenchmarkDecodeInt64Floor is the least that a decoder of the same bytes has to do.
func BenchmarkDecodeInt64Floor(b *testing.B) {
	vals := benchValues(Int64)
	dst := make([]int64, len(vals))
	b.ReportAllocs()
	for b.Loop() {
		for i, v := range vals {
			if len(v) < 2 || v[0] != 4<<3 {
				b.Fatal("not an int64")
			}
			x, n := binary.Uvarint(v[1:])
			if n != len(v)-1 {
				b.Fatal("malformed")
			}
			dst[i] = int64(x)
		}
	}
}

func BenchmarkDecodeFloat32(b *testing.B)     { benchDecode(b, Float32) }
func BenchmarkDecodeString(b *testing.B)      { benchDecode(b, String) }
func BenchmarkDecodeFloat32List(b *testing.B) { benchDecode(b, Float32List) }

func benchDecode(b *testing.B, t Type) {
	vals := benchValues(t)
	run := func(name string, columnWise bool, decode func(cols []Column) error) {
		b.Run(name, func(b *testing.B) {
			block := benchColumns(t, columnWise)
			cols := block.Columns()
			b.ReportAllocs()
			for b.Loop() {
				for i := range cols {
					if r := cols[i].rest; r != nil {
						r.arena = r.arena[:0] // as Block.Reset does
					}
				}
				if err := decode(cols); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("column", true, func(cols []Column) error {
		for row, v := range vals {
			if err := cols[0].SetValue(row, v); err != nil {
				return err
			}
		}
		return nil
	})
	run("row", false, func(cols []Column) error {
		for i, v := range vals {
			if err := cols[i].SetValue(0, v); err != nil {
				return err
			}
		}
		return nil
	})
}

// BenchmarkAppendJSON renders 250 values.
func BenchmarkAppendJSON(b *testing.B) {
	for _, t := range []Type{Int64, Float32, String, Float32List} {
		b.Run(t.String(), func(b *testing.B) {
			c := &benchColumns(t, true).Columns()[0]
			for row, v := range benchValues(t) {
				if err := c.SetValue(row, v); err != nil {
					b.Fatal(err)
				}
			}
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = buf[:0]
				for row := range benchRows {
					buf = append(c.AppendJSON(buf, row), ',')
				}
			}
		})
	}
}
