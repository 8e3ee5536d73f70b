package offline

import (
	"context"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
)

// ParquetCodec reads and writes Parquet files for the front. Package offline/file brings it along, so that programs that use
// no Parquet link none.
type ParquetCodec struct {
	// Open reads a file, a directory of files or a pattern, in source order. Columns are all of them, or those named. ctx
	// has to last until the reader is released.
	Open func(ctx context.Context, path string, columns ...string) (array.RecordReader, error)
	// Check reports why Create could not write a file of that name. It leaves nothing behind.
	Check func(path string) error
	// Create writes rows to a new file, which is there as a whole or not at all, and returns their number. A file of that
	// name is replaced. It does not release rows.
	Create func(ctx context.Context, path string, rows array.RecordReader) (int64, error)
	// Schema returns the columns of what Open reads.
	Schema func(ctx context.Context, path string) (*arrow.Schema, error)
}

var parquetCodec atomic.Pointer[ParquetCodec]

// RegisterParquet makes the codec known. It is called from an init function and panics when there is one already.
func RegisterParquet(c ParquetCodec) {
	if !parquetCodec.CompareAndSwap(nil, &c) {
		panic("offline: RegisterParquet called twice")
	}
}

// Parquet returns the codec; a [*feasterr.NotLinkedError] when it is not linked in.
func Parquet() (*ParquetCodec, error) {
	if c := parquetCodec.Load(); c != nil {
		return c, nil
	}
	return nil, &feasterr.NotLinkedError{Room: "Parquet", Type: "file", Import: "github.com/feastgo/feast/offline/file"}
}
