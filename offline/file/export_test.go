package file

import (
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// Small makes scans read few rows at a time, passes hold few keys, and files have small row groups and pages, until the
// test ends. Tests that use it do not run in parallel.
func Small(t testing.TB, dictionaries bool) {
	rows, keys, group, options := scanRows, passKeys, groupRows, writerOptions
	scanRows, passKeys, groupRows = 16, 9, 100
	writerOptions = append(slices.Clip(writerOptions), parquet.PageBufferSize(64))
	if dictionaries {
		for _, k := range []parquet.Kind{parquet.Int32, parquet.Int64, parquet.Float, parquet.Double, parquet.ByteArray} {
			writerOptions = append(writerOptions, parquet.DefaultEncodingFor(k, &parquet.RLEDictionary))
		}
	}
	t.Cleanup(func() { scanRows, passKeys, groupRows, writerOptions = rows, keys, group, options })
}

// LargeFrom makes files of directories large from so many bytes on, until the test ends.
func LargeFrom(t testing.TB, bytes int64) {
	was := appendedBytes
	appendedBytes = bytes
	t.Cleanup(func() { appendedBytes = was })
}

// Shared makes goroutines of a join share slots, however few these are, until the test ends.
func Shared(t testing.TB) {
	was := bestsBytes
	bestsBytes = 0
	t.Cleanup(func() { bestsBytes = was })
}

// Short makes scans read few rows at a time, so that there is work for many goroutines.
func Short(rows int) { scanRows = rows }

// OpenAtMost makes a process hold fewer files open, until the test ends.
func OpenAtMost(t testing.TB, n int) {
	was := openMost
	openMost = n
	t.Cleanup(func() { openMost = was })
}
