package file

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/localfile"
)

// A file is written under another name beside its own, .NAME.*.tmp, and gets its name when it is complete and on disk. What
// a process that was killed left of it goes when such a file is next written, if it is older than abandoned.

// abandoned is how long nothing was written to a file that is nobody's any more.
const abandoned = 24 * time.Hour

// replace writes a file that takes the place of whatever is there. A link stays: what it leads to is replaced.
func replace(path string, write func(f *os.File) error) error {
	path = resolved(path)
	was, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return rewrite(path, was, write, func(temp string) error { return os.Rename(temp, path) })
}

// replaceUnchanged writes a file that takes the place of one that is still what it was; before is called before it does.
func replaceUnchanged(path string, was fs.FileInfo, write func(f *os.File) error, before func()) error {
	return rewrite(path, was, write, func(temp string) error {
		before()
		now, err := os.Stat(path)
		if err != nil || !sameFile(now, was) {
			return fmt.Errorf("%w: the file was changed by somebody else while rows were appended", feasterr.ErrConflict)
		}
		return os.Rename(temp, path)
	})
}

// sameFile reports whether two stats show the same file, unmodified.
func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// writeNew writes a file that was not there, and must not be there when it is complete.
func writeNew(path string, write func(f *os.File) error) error {
	return rewrite(path, nil, write, func(temp string) error {
		err := os.Link(temp, path)
		if err == nil {
			return os.Remove(temp)
		}
		if _, statErr := os.Lstat(path); statErr == nil {
			return fmt.Errorf("%w: the file was made by somebody else while rows were appended", feasterr.ErrConflict)
		}
		return os.Rename(temp, path) // a file system without links
	})
}

// resolved is the path without links, as far as it exists.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// rewrite writes a file with the mode and owner of the one that it replaces, nil for none, and has it named.
func rewrite(path string, was fs.FileInfo, write func(f *os.File) error, named func(temp string) error) (err error) {
	dir, base := filepath.Dir(path), filepath.Base(path)
	removeAbandoned(dir, base)
	f, err := createTemp(dir, base)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if was != nil {
		localfile.TakeOwner(f, was)
		if err := f.Chmod(was.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := write(f); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := named(f.Name()); err != nil {
		return err
	}
	return localfile.SyncDir(dir)
}

const tempSuffix = ".tmp"

// createTemp makes a file with the mode that the umask leaves, which [os.CreateTemp] does not.
func createTemp(dir, base string) (*os.File, error) {
	for attempt := 0; ; attempt++ {
		name := fmt.Sprintf(".%s.%08x%s", base, rand.Uint32(), tempSuffix)
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) || attempt == 100 {
			return f, err
		}
	}
}

// removeAbandoned removes what writers of this file that were killed left; of what was appended to a directory, whose names
// are new each time, that of any.
func removeAbandoned(dir, base string) {
	prefix := "." + base + "."
	if strings.HasPrefix(base, newest) {
		prefix = "." + newest
	}
	d, err := os.Open(dir)
	if err != nil {
		return // so that writing fails, too
	}
	names, _ := d.Readdirnames(-1)
	_ = d.Close()
	for _, n := range names {
		if !strings.HasPrefix(n, prefix) || !strings.HasSuffix(n, tempSuffix) {
			continue
		}
		path := filepath.Join(dir, n)
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(path)
		}
	}
}
