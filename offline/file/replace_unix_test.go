//go:build unix

package file_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/offline/offlinetest"
)

// A source may have more files than a process may have open.
func TestManyFiles(t *testing.T) {
	const files = 120
	file.OpenAtMost(t, 16)
	dir := t.TempDir()
	for i := range files {
		write(t, filepath.Join(dir, fmt.Sprintf("%03d.parquet", i)), table("k i64, e us, v i64", row(i, noon, i)))
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	limit := was
	limit.Cur = 80
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	}()
	store := file.New(".")
	for _, scan := range []func(context.Context, *offline.ScanPlan) (offline.Job, error){store.All, store.Latest} {
		job, err := scan(t.Context(), scanPlan(dir))
		if err != nil {
			t.Fatal(err)
		}
		if rows, err := offlinetest.ReadJob(t.Context(), t, job); err != nil || len(rows) != files {
			t.Errorf("%d rows, %v", len(rows), err)
		}
	}
	// A file that is opened again has to be the same.
	job, err := store.All(t.Context(), scanPlan(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer job.Close()
	r, err := job.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	write(t, filepath.Join(dir, "060.parquet"), table("k i64, e us, v i64", row(0, noon, 0)))
	for r.Next() {
		r.RecordBatch()
	}
	if err := r.Err(); !errors.Is(err, feasterr.ErrConflict) || !strings.Contains(err.Error(), "060.parquet") {
		t.Error(err)
	}
}

// A file is written beside its own name, wherever temporary files are, with the mode that the umask leaves to new files and
// that a replaced file had.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("TMPDIR", filepath.Join(dir, "gone"))
	defer syscall.Umask(syscall.Umask(0o027))
	mode := func(path string, want os.FileMode) {
		t.Helper()
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%v, %v, want %v", info.Mode(), err, want)
		}
	}
	write(t, "x.parquet", table("k i64", row(1)))
	mode("x.parquet", 0o640)
	if _, err := file.New(".").Append(t.Context(), &offline.Source{Path: "new.parquet"}, oneRow(t, 1, 1)); err != nil {
		t.Fatal(err)
	}
	mode("new.parquet", 0o640)
	for _, path := range []string{"x.parquet", "new.parquet"} {
		if err := os.Chmod(path, 0o604); err != nil {
			t.Fatal(err)
		}
	}
	write(t, "x.parquet", table("k i64", row(2)))
	mode("x.parquet", 0o604)
	if _, err := file.New(".").Append(t.Context(), &offline.Source{Path: "new.parquet"}, oneRow(t, 1, 2)); err != nil {
		t.Fatal(err)
	}
	mode("new.parquet", 0o604)

	// What is no name of a file.
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("sub", 0o700); err != nil {
		t.Fatal(err)
	}
	for path, words := range map[string]string{"": `path "" names no file`, "sub": "sub is a directory", "other/": `path "other/" names no file`} {
		if n, err := codec.Create(t.Context(), path, oneRow(t, 1, 1)); n != 0 || !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %d, %v", path, n, err)
		}
	}
	names := func(want string) {
		t.Helper()
		entries, err := os.ReadDir(".")
		var got []string
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("the directory has %q, %v, want %s", got, err, want)
		}
	}
	names("new.parquet sub x.parquet")

	// What killed writers left a day ago goes, and no more.
	old, young := time.Now().Add(-25*time.Hour), time.Now().Add(-23*time.Hour)
	for name, at := range map[string]time.Time{".x.parquet.1.tmp": old, ".x.parquet.2.tmp": young, ".y.parquet.3.tmp": old, ".x.parquet.old": old} {
		if err := os.WriteFile(name, []byte("PAR1"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write(t, "x.parquet", table("k i64", row(3)))
	names(".x.parquet.2.tmp .x.parquet.old .y.parquet.3.tmp new.parquet sub x.parquet")
}
