package file_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
)

// oneRow is a reader of the row k, noon, v.
func oneRow(t testing.TB, k, v int) array.RecordReader {
	t.Helper()
	b := table("k i64, e us, v i64", row(k, noon, v))
	r, err := array.NewRecordReader(b.Schema(), []arrow.RecordBatch{b})
	if err != nil {
		t.Fatal(err)
	}
	return r
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
