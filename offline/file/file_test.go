package file_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"go.uber.org/goleak"

	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/offline/offlinetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var harness = offlinetest.Harness{
	Open: func(testing.TB) offline.Store { return file.New(".") },
	Source: func(t testing.TB, _ offline.Store, rows ...arrow.RecordBatch) *offline.Source {
		return source(t, rows...)
	},
}

func TestConformance(t *testing.T) { offlinetest.Run(t, harness) }

// The same with everything in small parts: pages, row groups, tasks, passes.
func TestConformanceInParts(t *testing.T) {
	for _, dictionaries := range []bool{false, true} {
		t.Run(fmt.Sprint("dictionaries=", dictionaries), func(t *testing.T) {
			file.Small(t, dictionaries)
			offlinetest.Run(t, harness)
		})
	}
}

func TestTypesInParts(t *testing.T) {
	file.Small(t, false)
	TestTypes(t)
}

// source writes rows to a new file, several batches to several files of a directory.
func source(t testing.TB, rows ...arrow.RecordBatch) *offline.Source {
	t.Helper()
	dir := t.TempDir()
	if len(rows) == 1 {
		path := filepath.Join(dir, "source.parquet")
		write(t, path, rows[0])
		return &offline.Source{Name: "source", Kind: "FileSource", Path: path}
	}
	for i, b := range rows {
		path := filepath.Join(dir, fmt.Sprint("part", i, ".parquet"))
		write(t, path, b)
	}
	return &offline.Source{Name: "source", Kind: "FileSource", Path: dir}
}

// reader reads rows, at least one batch.
func reader(t testing.TB, rows ...arrow.RecordBatch) array.RecordReader {
	t.Helper()
	r, err := array.NewRecordReader(rows[0].Schema(), rows)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func write(t testing.TB, path string, rows ...arrow.RecordBatch) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	r := reader(t, rows...)
	defer r.Release()
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := codec.Create(t.Context(), path, r); err != nil {
		t.Fatal(err)
	}
}
