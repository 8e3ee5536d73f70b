package file_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
)

// oneRow is a reader of the row k, noon, v.
func oneRow(t testing.TB, k, v int) array.RecordReader {
	t.Helper()
	return reader(t, table("k i64, e us, v i64", row(k, noon, v)))
}

// Several processes append to one source at the same time, and to one that is not there yet: what was acknowledged is
// there, once.
func TestAppendProcesses(t *testing.T) {
	const processes, appends = 4, 25
	const variable = "FEAST_APPEND_CHILD"
	if path := os.Getenv(variable); path != "" {
		path, id, _ := strings.Cut(path, "|")
		for i := range appends {
			var n int
			_, _ = fmt.Sscan(id, &n)
			if _, err := file.New(".").Append(t.Context(), &offline.Source{Path: path}, oneRow(t, n, i)); err != nil {
				t.Fatal(err)
			}
			fmt.Println("acknowledged", n, i)
		}
		return
	}
	for _, path := range []string{"source.parquet", "directory/"} {
		path := filepath.Join(t.TempDir(), path) + path[len(strings.TrimSuffix(path, "/")):]
		var group sync.WaitGroup
		outputs := make([]string, processes)
		for p := range processes {
			group.Go(func() {
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAppendProcesses$")
				cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d", variable, path, p))
				out, err := cmd.CombinedOutput()
				if outputs[p] = string(out); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
		group.Wait()
		rows, err := tryAll(t, file.New("."), scanPlan(path))
		if err != nil {
			t.Fatal(err)
		}
		there := map[string]int{}
		for _, r := range rows {
			there[strings.Join(strings.SplitN(r, ",", 3)[:2], ",")]++
		}
		acknowledged := 0
		for p, out := range outputs {
			for i := range appends {
				acknowledged += strings.Count(out, fmt.Sprintf("acknowledged %d %d\n", p, i))
				if n := there[fmt.Sprintf("[%d,%d", p, i)]; n != 1 {
					t.Errorf("%s: row %d of process %d is there %d times", path, i, p, n)
				}
			}
		}
		if acknowledged != processes*appends || len(rows) != acknowledged {
			t.Errorf("%s: %d rows, %d acknowledged", path, len(rows), acknowledged)
		}
		hidden, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
		if err != nil || len(hidden) > 0 {
			t.Errorf("%s: left behind: %s", path, hidden)
		}
	}
}

// Somebody else makes the file while rows come for it: theirs stays, and the appender is told.
func TestAppendToNewConflict(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new.parquet")
	rows := array.ReaderFromIter(oneRow(t, 1, 1).Schema(), func(yield func(arrow.RecordBatch, error) bool) {
		write(t, path, table("k i64, e us, v i64", row(7, noon, 7)))
		yield(table("k i64, e us, v i64", row(1, noon, 1)), nil)
	})
	if n, err := file.New(dir).Append(t.Context(), &offline.Source{Path: "new.parquet"}, rows); n != 0 || !errors.Is(err, feasterr.ErrConflict) {
		t.Errorf("%d, %v", n, err)
	}
	if all, err := tryAll(t, file.New(dir), scanPlan(path)); err != nil || len(all) != 1 || !strings.HasPrefix(all[0], "[7,7,") {
		t.Errorf("%s, %v", all, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// A path that ends as that of a directory becomes one; nothing is left of rows that do not fit.
func TestAppendToNewDirectory(t *testing.T) {
	dir := t.TempDir()
	store := file.New(dir)
	src := &offline.Source{Path: "fresh/"}
	failing := array.ReaderFromIter(oneRow(t, 1, 1).Schema(), func(yield func(arrow.RecordBatch, error) bool) { yield(nil, fs.ErrClosed) })
	if _, err := store.Append(t.Context(), src, failing); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	for i := range 3 {
		if n, err := store.Append(t.Context(), src, oneRow(t, 1, i)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "fresh")); err != nil || !info.IsDir() {
		t.Errorf("%v, %v", info, err)
	}
	rows, err := tryAll(t, store, scanPlan("fresh/"))
	if err != nil || len(rows) != 3 || !strings.HasPrefix(rows[0], "[1,2,") || !strings.HasPrefix(rows[2], "[1,0,") {
		t.Errorf("%s, %v", rows, err)
	}
}

// parquetFile is the metadata of a file.
func parquetFile(t testing.TB, path string) *format.FileMetaData {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)), parquet.SkipPageIndex(true))
	if err != nil {
		t.Fatal(err)
	}
	return f.Metadata()
}

// A source that gets its rows one by one stays in few row groups, the latest row first.
func TestAppendRowByRow(t *testing.T) {
	const rows = 100
	for _, path := range []string{"source.parquet", "directory/"} {
		dir := t.TempDir()
		store := file.New(dir)
		for i := range rows {
			if n, err := store.Append(t.Context(), &offline.Source{Path: path}, oneRow(t, 1, i)); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		all, err := tryAll(t, store, scanPlan(path))
		if err != nil || len(all) != rows {
			t.Fatalf("%d rows, %v", len(all), err)
		}
		for i, r := range all {
			if want := fmt.Sprintf("[1,%d,", rows-1-i); !strings.HasPrefix(r, want) {
				t.Fatalf("%s: row %d is %s", path, i, r)
			}
		}
		files, err := filepath.Glob(filepath.Join(dir, strings.TrimSuffix(path, "/"), "*"))
		if path == "source.parquet" {
			files = []string{filepath.Join(dir, path)}
		}
		if err != nil || len(files) != 1 {
			t.Fatalf("%q, %v", files, err)
		}
		var sizes []int64
		for _, g := range parquetFile(t, files[0]).RowGroups {
			sizes = append(sizes, g.NumRows)
		}
		if want := []int64{3, 8, 89}; !slices.Equal(sizes, want) { // by the rule of smallGroups
			t.Errorf("row groups of %d rows, want %d", sizes, want)
		}
	}
}

// Appends that get smaller and smaller do not leave a row group each, either.
func TestAppendLessAndLess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "source.parquet")
	for n := 30; n > 0; n-- {
		b := table("k i64, e us, v i64", slices.Repeat([][]any{row(1, noon, n)}, n)...)
		if _, err := file.New(".").Append(t.Context(), &offline.Source{Path: path}, reader(t, b)); err != nil {
			t.Fatal(err)
		}
	}
	var sizes []int64
	for _, g := range parquetFile(t, path).RowGroups {
		sizes = append(sizes, g.NumRows)
	}
	if want := []int64{3, 18, 84, 360}; !slices.Equal(sizes, want) {
		t.Errorf("row groups of %d rows, want %d", sizes, want)
	}
	all, err := tryAll(t, file.New("."), scanPlan(path))
	if err != nil || len(all) != 465 || !strings.HasPrefix(all[0], "[1,1,") || !strings.HasPrefix(all[464], "[1,30,") {
		t.Errorf("%d rows, %v", len(all), err)
	}
}

// A file that is large enough gets a sister.
func TestAppendToLargeDirectory(t *testing.T) {
	file.LargeFrom(t, 2000)
	dir := t.TempDir()
	for i := range 40 {
		if _, err := file.New(dir).Append(t.Context(), &offline.Source{Path: "d/"}, oneRow(t, i, i)); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(filepath.Join(dir, "d"))
	if err != nil || len(files) < 2 || len(files) > 20 {
		t.Errorf("%d files, %v", len(files), err)
	}
	all, err := tryAll(t, file.New(dir), scanPlan("d"))
	if err != nil || len(all) != 40 || !strings.HasPrefix(all[0], "[39,39,") || !strings.HasPrefix(all[39], "[0,0,") {
		t.Errorf("%s, %v", all, err)
	}
}

// manyGroups makes a file that says to have its one row group many times.
func manyGroups(t testing.TB, path string, groups, rows int) {
	t.Helper()
	b := table("k i64, e us, v i64", slices.Repeat([][]any{row(1, noon, 1)}, rows)...)
	write(t, path, b)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	meta := parquetFile(t, path)
	meta.RowGroups = slices.Repeat(meta.RowGroups, groups)
	meta.NumRows = int64(groups * rows)
	writeFooter(t, path, data, meta)
}

// writeFooter writes a file with another footer.
func writeFooter(t testing.TB, path string, data []byte, meta *format.FileMetaData) {
	t.Helper()
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), meta)
	if err != nil {
		t.Fatal(err)
	}
	end := len(data) - 8 - int(binary.LittleEndian.Uint32(data[len(data)-8:]))
	data = append(data[:end], footer...)
	data = append(binary.LittleEndian.AppendUint32(data, uint32(len(footer))), "PAR1"...)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Row groups have numbers of 16 bits, and more of them can be read, appended to, and put together.
func TestAppendToManyRowGroups(t *testing.T) {
	const groups = 33_000
	for _, c := range []struct{ rows, groups, footer int }{{1, 1, 2000}, {3, groups + 1, 100_000_000}} {
		path := filepath.Join(t.TempDir(), "source.parquet")
		manyGroups(t, path, groups, c.rows)
		if _, err := file.New(".").Append(t.Context(), &offline.Source{Path: path}, oneRow(t, 2, 2)); err != nil {
			t.Fatal(err)
		}
		all, err := tryAll(t, file.New("."), scanPlan(path))
		if err != nil || len(all) != groups*c.rows+1 || !strings.HasPrefix(all[0], "[2,2,") || !strings.HasPrefix(all[groups*c.rows], "[1,1,") {
			t.Errorf("%d rows, %v", len(all), err)
		}
		if n := len(parquetFile(t, path).RowGroups); n != c.groups {
			t.Errorf("%d row groups", n)
		}
		data, err := os.ReadFile(path)
		if footer := int(binary.LittleEndian.Uint32(data[len(data)-8:])); err != nil || footer > c.footer {
			t.Errorf("a footer of %d bytes, %v", footer, err)
		}
	}
}
