package file_test

import (
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/internal/cputime"
	"github.com/feastgo/feast/offline"
)

// BenchmarkLists reads 20,000 embeddings of 128 numbers.
func BenchmarkLists(b *testing.B) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.ListOf(arrow.PrimitiveTypes.Float32), Nullable: true}}, nil)
	rb := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer rb.Release()
	list := rb.Field(0).(*array.ListBuilder)
	for i := range 20_000 {
		list.Append(true)
		for k := range 128 {
			list.ValueBuilder().(*array.Float32Builder).Append(float32(mix(uint64(i*128 + k))))
		}
	}
	path := filepath.Join(b.TempDir(), "lists.parquet")
	write(b, path, rb.NewRecordBatch())
	codec, err := offline.Parquet()
	if err != nil {
		b.Fatal(err)
	}
	done := cputime.Report(b)
	for b.Loop() {
		r, err := codec.Open(b.Context(), path)
		if err != nil {
			b.Fatal(err)
		}
		rows := int64(0)
		for r.Next() {
			rows += r.RecordBatch().NumRows()
		}
		r.Release()
		if rows != 20_000 {
			b.Fatal(rows, r.Err())
		}
	}
	done()
}
