package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/localfile"
	"github.com/feastgo/feast/internal/sleep"
	"github.com/feastgo/feast/registry"
)

const (
	// retries is how often an update runs again because another program wrote the file meanwhile.
	retries = 20
	// lockWait is how long a writer waits for another one, which is far more than any needs.
	lockWait = 30 * time.Second
)

// errMoved says that the file is no longer the one that was read.
var errMoved = errors.New("another program writes the file, or holds it open")

// Update implements registry.Backend. It reads the file, and replaces it by a new one with the same permissions and, as
// far as the process may, the same owner. A file that does not exist is an empty registry: it is created when fn writes
// something, its folders before. A symbolic link stays, and what it names is replaced. fn must not use Update or Teardown
// of this file.
//
// A program that takes no lock, as Feast, may write the file at the same time. Up to the replacement that is noticed, and
// fn runs again on what the other one wrote; when it keeps writing, the error is a feasterr.ErrConflict. A program that
// opens the file for writing in the instant of the replacement itself gets its file back, and fn runs again, where the
// file system has hard links; on Windows its open handle holds up the replacement. What the other program had read
// before this update is for it to read again: Feast does so when the time of the file moves, which every update sees to.
//
// A file that is garbage or empty is waited for, since Feast empties it for a moment. Garbage that stays is a
// feasterr.ErrInvalid, and is not written over. After an error the file is what it was, but for one: a failure to make
// the folder durable says that the replacement took place.
func (b *Backend) Update(ctx context.Context, project string, fn func(registry.Tx) error) (registry.Token, error) {
	path, unlock, err := b.lock(ctx, true)
	if err != nil {
		return "", b.unchangedBy(err)
	}
	defer unlock()
	for range retries {
		var token registry.Token
		token, err = b.update(ctx, path, project, fn)
		if !errors.Is(err, errMoved) {
			return token, err
		}
		if err := sleep.For(ctx, pause); err != nil {
			return "", b.unchangedBy(err)
		}
	}
	return "", fmt.Errorf("%w: tried %d times: %w", err, retries, feasterr.ErrConflict)
}

// unchangedBy says which file an error left as it was.
func (b *Backend) unchangedBy(err error) error {
	return fmt.Errorf("registry file %q was not changed: %w", b.path, err)
}

// update tries once.
func (b *Backend) update(
	ctx context.Context, path, project string, fn func(registry.Tx) error,
) (registry.Token, error) {
	was, err := load(ctx, path, writing)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", b.unchangedBy(err)
	}
	data, err := registry.Rewrite(was.data, project, fn)
	switch {
	case err != nil:
		return "", err
	case data == nil && was.info == nil:
		return "", nil // still no file, which no token stands for
	case data == nil:
		return b.remember(was.data, was.info), nil
	}
	fresh := sidecar(path, "new")
	info, err := write(fresh, data, was.info)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = replace(path, was)
	}
	if err != nil {
		_ = os.Remove(fresh)
		return "", b.unchangedBy(err)
	}
	token := b.remember(data, info)
	if err := localfile.SyncDir(filepath.Dir(path)); err != nil {
		return "", fmt.Errorf("registry file %q was replaced, but may be the old one after a power failure: %w", b.path,
			failed("sync folder", err))
	}
	return token, nil
}

// write makes a new file, durable, that can take the place of the one that was; nil when there was none.
func write(path string, data []byte, was fs.FileInfo) (_ fs.FileInfo, err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a writer that was killed
		return nil, failed("remove", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) // less the umask, as Feast
	if err != nil {
		return nil, failed("create", err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = failed("close", closeErr)
		}
	}()
	if was != nil {
		localfile.TakeOwner(f, was)
		if err := f.Chmod(was.Mode().Perm()); err != nil {
			return nil, failed("set permissions", err)
		}
	}
	if _, err := f.Write(data); err != nil {
		return nil, failed("write", err)
	}
	info, err := f.Stat()
	if err == nil && was != nil && !info.ModTime().After(was.ModTime()) { // or others would not look at it
		if err = os.Chtimes(path, time.Time{}, was.ModTime().Add(time.Microsecond)); err == nil {
			info, err = f.Stat()
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, failed("write", err)
	}
	return info, nil
}

// replace puts the new file in the place of the one that was. errMoved: that one is no longer there.
func replace(path string, was content) error {
	old := sidecar(path, "old")
	_ = os.Remove(old) // of a writer that was killed
	kept := was.info != nil && keep(path, old)
	err := check(path, was)
	if err == nil {
		err = swap(path, was, kept)
	} else {
		_ = os.Remove(old)
	}
	if localfile.Busy(err) {
		return fmt.Errorf("%w: %w", errMoved, err)
	}
	return err
}

// keep gives the file a second name, if the file system can. On Windows that is not needed: a file that somebody else has
// open cannot be replaced.
func keep(path, old string) bool { return runtime.GOOS != "windows" && os.Link(path, old) == nil }

// check reports whether path holds what was read, and may be written, which renaming does not ask.
func check(path string, was content) error {
	if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
		_ = f.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return failed("open", err)
	}
	data, info, err := read(path)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case missing && was.info == nil:
		return nil
	case err != nil && !missing:
		return err
	case missing || was.info == nil || !same(info, was.info) || !bytes.Equal(data, was.data):
		return errMoved
	}
	return nil
}

// swap renames the new file. When the old one was kept, and somebody opened it after check and writes it now, it takes
// its place again.
func swap(path string, was content, kept bool) error {
	old := sidecar(path, "old")
	if err := os.Rename(sidecar(path, "new"), path); err != nil {
		_ = os.Remove(old)
		return failed("replace", err)
	}
	if !kept {
		return nil
	}
	if info, err := os.Stat(old); err == nil && !same(info, was.info) {
		if err := os.Rename(old, path); err != nil {
			return failed("restore", err)
		}
		return errMoved
	}
	_ = os.Remove(old)
	return nil
}

// Teardown implements registry.Backend: it removes the file.
func (b *Backend) Teardown(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return b.unchangedBy(err)
	}
	if _, err := os.Lstat(b.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, unlock, err := b.lock(ctx, false)
	if err != nil {
		return b.unchangedBy(err)
	}
	defer unlock()
	if err := os.Remove(b.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return b.unchangedBy(failed("remove", err))
	}
	return nil
}

// lock waits for the turn of the caller to write, and returns the path of the file itself, with no symbolic link at its
// end. create says to create its folder.
func (b *Backend) lock(ctx context.Context, create bool) (path string, unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return "", nil, err
	}
	if path, err = filepath.EvalSymlinks(b.path); errors.Is(err, fs.ErrNotExist) {
		path = b.path
	} else if err != nil {
		return "", nil, failed("resolve", err)
	}
	if create {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return "", nil, failed("create folder", err)
		}
	}
	unlock, err = localfile.Lock(ctx, sidecar(path, "lock"), lockWait)
	if _, system := errors.AsType[*fs.PathError](err); system {
		err = failed("lock", err)
	}
	return path, unlock, err
}

// sidecar returns the path of a file that a writer of path needs beside it.
func sidecar(path, what string) string {
	dir, name := filepath.Split(path)
	return dir + "." + name + "." + what
}
