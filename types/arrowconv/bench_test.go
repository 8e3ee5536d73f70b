package arrowconv

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/types"
)

var benchCases = []struct {
	typ types.Type
	dt  arrow.DataType
}{
	{types.Int64, i64},
	{types.Float32, arrow.PrimitiveTypes.Float32},
	{types.String, str},
	{types.UnixTimestamp, Timestamp},
	{types.Float32List, arrow.ListOf(arrow.PrimitiveTypes.Float32)},
	{types.StringList, arrow.ListOf(str)},
}

// benchArray has a null in every tenth row.
func benchArray(t testing.TB, dt arrow.DataType, rows int) arrow.Array {
	t.Helper()
	b := array.NewBuilder(memory.DefaultAllocator, dt)
	defer b.Release()
	for row := range rows {
		if row%10 == 9 {
			b.AppendNull()
			continue
		}
		switch b := b.(type) {
		case *array.Int64Builder:
			b.Append(int64(row))
		case *array.Float32Builder:
			b.Append(float32(row))
		case *array.StringBuilder:
			b.Append(fmt.Sprint("text ", row))
		case *array.TimestampBuilder:
			b.Append(arrow.Timestamp(row * 1_000_000))
		case *array.ListBuilder:
			b.Append(true)
			switch v := b.ValueBuilder().(type) {
			case *array.Float32Builder:
				for i := range 16 {
					v.Append(float32(row + i))
				}
			case *array.StringBuilder:
				v.AppendStringValues([]string{"a", "bc", "def"}, nil)
			}
		}
	}
	return b.NewArray()
}

const benchRows = 10_000

// The floor copies the same values from Go slices to Go slices, with a byte of status for each.
func BenchmarkImport(b *testing.B) {
	var m Importer
	for _, c := range benchCases {
		arr := benchArray(b, c.dt, benchRows)
		var block types.Block
		fields := []types.Field{{Name: "c", Type: c.typ}}
		b.Run(c.typ.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				block.Reset(fields, benchRows)
				if err := m.Import(&block.Columns()[0], 0, arr); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/value")
		})
	}
	ints := benchArray(b, i64, benchRows).(*array.Int64)
	b.Run("floor/Int64", func(b *testing.B) {
		dst, status := make([]int64, benchRows), make([]byte, benchRows)
		for b.Loop() {
			for i, v := range ints.Int64Values() {
				if ints.IsNull(i) {
					dst[i], status[i] = 0, 2
				} else {
					dst[i], status[i] = v, 1
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/value")
	})
	texts := benchArray(b, str, benchRows).(*array.String)
	b.Run("floor/String", func(b *testing.B) {
		dst, status, ends := []byte(nil), make([]byte, benchRows), make([]int, benchRows)
		for b.Loop() {
			dst = dst[:0]
			for i := range texts.Len() {
				status[i] = 2
				if texts.IsValid(i) {
					dst, status[i] = append(dst, texts.Value(i)...), 1
				}
				ends[i] = len(dst)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/value")
	})
}

// The floor appends the same values to Arrow's builders.
func BenchmarkExport(b *testing.B) {
	var m Importer
	for _, c := range benchCases {
		arr := benchArray(b, c.dt, benchRows)
		col := types.NewColumn("c", c.typ, benchRows)
		if err := m.Import(col, 0, arr); err != nil {
			b.Fatal(err)
		}
		b.Run(c.typ.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a, err := Array(col, c.dt, memory.DefaultAllocator)
				if err != nil {
					b.Fatal(err)
				}
				a.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/value")
		})
	}
	ints := benchArray(b, i64, benchRows).(*array.Int64)
	b.Run("floor/Int64", func(b *testing.B) {
		builder := array.NewInt64Builder(memory.DefaultAllocator)
		for b.Loop() {
			builder.Reserve(benchRows)
			for i, v := range ints.Int64Values() {
				if ints.IsNull(i) {
					builder.UnsafeAppendBoolToBitmap(false)
				} else {
					builder.UnsafeAppend(v)
				}
			}
			builder.NewArray().Release()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/value")
	})
	texts := benchArray(b, str, benchRows).(*array.String)
	b.Run("floor/String", func(b *testing.B) {
		builder := array.NewStringBuilder(memory.DefaultAllocator)
		for b.Loop() {
			builder.Reserve(benchRows)
			for i := range texts.Len() {
				if texts.IsNull(i) {
					builder.AppendNull()
				} else {
					builder.Append(texts.Value(i))
				}
			}
			builder.NewArray().Release()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/value")
	})
}
