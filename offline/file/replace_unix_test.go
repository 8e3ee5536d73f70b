//go:build unix

package file_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
)

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
