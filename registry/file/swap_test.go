package file

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Another program opened the file after the last look at it, and writes what has been replaced: it gets its file back.
func TestSwap(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a file that is open cannot be replaced here")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "registry.db")
	if err := os.WriteFile(path, []byte("\x1a\x011"), 0o600); err != nil {
		t.Fatal(err)
	}
	was, err := load(t.Context(), path, settle, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, theirs := range []string{"", "\x1a\x012"} { // emptied, and not yet written; written
		fresh, old := sidecar(path, "new"), sidecar(path, "old")
		if _, err := write(fresh, []byte("\x1a\x013"), was.info); err != nil {
			t.Fatal(err)
		}
		if !keep(path, old) {
			t.Fatal("no second name")
		}
		if err := check(path, was); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(theirs); err != nil {
			t.Fatal(err)
		}
		if err := swap(path, was, true); !errors.Is(err, errMoved) {
			t.Error(err)
		}
		if _, err := f.WriteString("\x22\x00"); err != nil { // it goes on
			t.Fatal(err)
		}
		f.Close()
		if got, err := os.ReadFile(path); err != nil || string(got) != theirs+"\x22\x00" {
			t.Errorf("%q, %v", got, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("left behind: %v, %v", entries, err)
		}
		if was, err = load(t.Context(), path, settle, 0); err != nil {
			t.Fatal(err)
		}
	}
}
